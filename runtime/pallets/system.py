"""System: block bookkeeping, accounts, events, weights.

Follows ``frame_system`` [frame-system]: storage names, key hashers and encodings are its own, so that
standard tools can read an account or the events of a block. Not modelled: event topics, consumer limits, code
authorisation, tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from host_functions.interfaces import additional_data as host_additional_data
from host_functions.interfaces import storage as host
from host_functions.interfaces import trie as host_trie
from runtime.primitives.digest import AdditionalData, DigestItem, PreRuntime
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_128_concat, blake2_256, twox_64_concat
from runtime.primitives.header import Header
from runtime.primitives.scale import (
    H256,
    U32,
    U128,
    AccountId,
    Codec,
    CompactU32,
    Struct,
    Variant,
    account_id,
    byte_vec,
    codec_of,
    h256,
    u32,
)
from runtime.primitives.version import RuntimeVersion
from runtime.support.dispatch import (
    EncodedDispatchError,
    InvalidTransaction,
    Origin,
    TransactionValidity,
    call,
    ensure_signed,
)
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap, StorageValue, StorageVec
from runtime.support.weights import DispatchClass, DispatchInfo, PerDispatchClass, Weight

MAX_BLOCK = Weight(2_000_000_000_000, 10 * 1024 * 1024)
MAX_NORMAL = Weight(1_500_000_000_000, 10 * 1024 * 1024 * 3 // 4)
BASE_EXTRINSIC = Weight(100_000_000, 0)

EXTRINSIC_INDEX = b":extrinsic_index"  # sp_core::storage::well_known_keys


@dataclass(frozen=True, slots=True)
class AccountData(Struct):
    """Balances of an account: ``pallet_balances::AccountData``. Units of the smallest denomination."""

    free: U128 = 0
    reserved: U128 = 0
    frozen: U128 = 0
    flags: U128 = 1 << 127
    """Bit 127 marks the current account logic, as new accounts have it in polkadot-sdk."""


@dataclass(frozen=True, slots=True)
class AccountInfo(Struct):
    """``System::Account``."""

    nonce: U32 = 0
    consumers: U32 = 0
    providers: U32 = 0
    """An account with no provider does not exist."""
    sufficients: U32 = 0
    data: AccountData = AccountData()


@dataclass(frozen=True, slots=True)
class LastRuntimeUpgradeInfo(Struct):
    """Version that initialized the last block: ``System::LastRuntimeUpgrade``."""

    spec_version: CompactU32
    spec_name: str


@dataclass(frozen=True, slots=True)
class ApplyExtrinsic(Variant):
    """Phase: while extrinsic ``number`` ran."""

    index: ClassVar[int] = 0
    number: U32


@dataclass(frozen=True, slots=True)
class Finalization(Variant):
    """Phase: in the ``on_finalize`` hooks."""

    index: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Initialization(Variant):
    """Phase: in the ``on_initialize`` hooks."""

    index: ClassVar[int] = 2


Phase = ApplyExtrinsic | Finalization | Initialization
phase_codec: Codec[Phase] = codec_of(Phase)


@dataclass(frozen=True, slots=True)
class ExtrinsicSuccess(Variant):
    """An extrinsic ran to its end."""

    index: ClassVar[int] = 0
    dispatch_info: DispatchInfo


@dataclass(frozen=True, slots=True)
class ExtrinsicFailed(Variant):
    """An extrinsic's call failed; its changes were undone."""

    index: ClassVar[int] = 1
    dispatch_error: EncodedDispatchError
    dispatch_info: DispatchInfo


@dataclass(frozen=True, slots=True)
class NewAccount(Variant):
    """An account came into existence."""

    index: ClassVar[int] = 3
    account: AccountId


@dataclass(frozen=True, slots=True)
class KilledAccount(Variant):
    """An account ceased to exist."""

    index: ClassVar[int] = 4
    account: AccountId


@dataclass(frozen=True, slots=True)
class Remarked(Variant):
    """A remark was made; ``hash`` is its BLAKE2b-256."""

    index: ClassVar[int] = 5
    sender: AccountId
    hash: H256


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What a block may hold: ``BlockWeights`` and ``BlockLength`` in one."""

    max_block: Weight = MAX_BLOCK
    """2 s of the reference machine; proof size as Polkadot's ``MAX_POV_SIZE``."""
    max_normal: Weight = MAX_NORMAL
    """Share of `max_block` for normal extrinsics: 75 %."""
    base_extrinsic: Weight = BASE_EXTRINSIC
    max_length: int = 5 * 1024 * 1024
    """Bytes of all extrinsics when a normal one is added."""
    max_mandatory_length: int = 10 * 1024 * 1024
    """Bytes of all extrinsics, whatever they are: more than Polkadot's largest PoV holds nobody can prove."""
    block_hash_count: int = 256
    """Blocks whose hashes are kept in state."""


class System(Pallet):
    """Every runtime's first pallet."""

    Account: StorageMap[bytes, AccountInfo, AccountInfo] = StorageMap(
        blake2_128_concat, account_id, AccountInfo.codec(), default=AccountInfo()
    )
    ExtrinsicCount = StorageValue(u32)
    BlockWeight = StorageValue(PerDispatchClass.codec(), default=PerDispatchClass())
    AllExtrinsicsLen = StorageValue(u32)
    BlockHash = StorageMap(twox_64_concat, u32, h256)
    ExtrinsicData = StorageMap(twox_64_concat, u32, byte_vec, default=b"")
    Number = StorageValue(u32, default=0)
    ParentHash = StorageValue(h256, default=bytes(32))
    Digest: StorageVec[DigestItem] = StorageVec(codec_of(DigestItem))
    Events = StorageVec(byte_vec)
    """``Vec<EventRecord>``; decoded by `Pallets.decode_events`, which knows every pallet's events."""
    EventCount = StorageValue(u32, default=0)
    LastRuntimeUpgrade = StorageValue(LastRuntimeUpgradeInfo.codec())
    ExecutionPhase = StorageValue(phase_codec)

    Event = ExtrinsicSuccess | ExtrinsicFailed | NewAccount | KilledAccount | Remarked

    def __init__(
        self,
        *,
        version: RuntimeVersion,
        limits: BlockLimits = BlockLimits(),
        hashing: Callable[[bytes], bytes] = blake2_256,
        ordered_root: Callable[[Sequence[bytes], int], bytes] = host_trie.blake2_256_ordered_root,
    ) -> None:
        """``hashing`` hashes headers, ``ordered_root`` extrinsics: the hasher is a property of the chain."""
        self.version = version
        self.limits = limits
        self.hashing = hashing
        self.ordered_root = ordered_root

    # Block life cycle, called by the executive.

    def initialize(self, header: Header) -> None:
        """Start a block on top of ``header.parent_hash``: only the header's pre-runtime digests are taken
        over.

        Raises `InvalidBlock`.
        """
        previous = self.Number.get()
        if header.number != previous + 1:
            raise InvalidBlock(f"Block number {header.number} does not follow {previous}")
        self.ExecutionPhase.put(Initialization())
        host.set(EXTRINSIC_INDEX, u32.encode(0))
        self.Number.put(header.number)
        self.Digest.put(tuple(item for item in header.digest if isinstance(item, PreRuntime)))
        self.ParentHash.put(header.parent_hash)
        self.BlockHash.insert(header.number - 1, header.parent_hash)
        self.BlockWeight.kill()

    def reset_events(self) -> None:
        """Drop the events of the previous block."""
        self.Events.kill()
        self.EventCount.kill()

    def note_extrinsic(self, encoded: bytes) -> None:
        """Keep the extrinsic's bytes for the extrinsics root."""
        self.ExtrinsicData.insert(self.extrinsic_index(), encoded)

    def note_applied_extrinsic(self, error: bytes | None, info: DispatchInfo) -> None:
        """Deposit the outcome and move on to the next extrinsic. ``error``: an encoded `DispatchError`.

        The weight in the event includes the base weight of an extrinsic, as in ``frame_system``.
        """
        shown = DispatchInfo(info.weight + self.limits.base_extrinsic, info.dispatch_class, info.pays_fee)
        if error is None:
            self.deposit_event(ExtrinsicSuccess(shown))
        else:
            self.deposit_event(ExtrinsicFailed(error, shown))
        following = self.extrinsic_index() + 1
        host.set(EXTRINSIC_INDEX, u32.encode(following))
        self.ExecutionPhase.put(ApplyExtrinsic(following))

    def note_finished_initialize(self) -> None:
        """The ``on_initialize`` hooks are done: extrinsics follow."""
        self.ExecutionPhase.put(ApplyExtrinsic(0))

    def note_finished_extrinsics(self) -> None:
        """All extrinsics are applied: the ``on_finalize`` hooks follow."""
        self.ExtrinsicCount.put(self.extrinsic_index())
        host.clear(EXTRINSIC_INDEX)
        self.ExecutionPhase.put(Finalization())

    def finalize(self) -> Header:
        """Close the block and compute its header."""
        self.ExecutionPhase.kill()
        self.AllExtrinsicsLen.kill()
        number = self.Number.get()
        count = self.ExtrinsicCount.take() or 0
        extrinsics = [self.ExtrinsicData.take(position) for position in range(count)]
        stale = number - self.limits.block_hash_count - 1
        if stale > 0:
            self.BlockHash.remove(stale)
        commitment = host_additional_data.finalize()
        if commitment is not None:
            self.deposit_log(AdditionalData(commitment))
        extrinsics_root = self.ordered_root(extrinsics, self.version.extrinsics_root_state_version)
        digest = self.Digest.get()
        parent_hash = self.ParentHash.get()
        state_root = host.root(self.version.state_version)
        return Header(parent_hash, number, state_root, extrinsics_root, digest)

    # Services for other pallets.

    def extrinsic_index(self) -> int:
        """Position of the extrinsic that is running."""
        raw = host.get(EXTRINSIC_INDEX)
        return 0 if raw is None else u32.decode(raw)

    def deposit_log(self, item: DigestItem) -> None:
        """Append an item to the header's digest."""
        self.Digest.append(item)

    def deposit_event_of(self, pallet_index: int, event: Variant) -> None:
        """Append an `EventRecord`. Outside a block, at genesis, there is no phase and events are not kept."""
        phase = host.get(self.ExecutionPhase.key())
        if phase is None:
            return
        self.EventCount.put(self.EventCount.get() + 1)
        # The phase is stored as it stands in the record, so it need not be decoded for each event.
        host.append(self.Events.key(), b"%b%c%b\x00" % (phase, pallet_index, event.encode()))

    def account_nonce(self, who: bytes) -> int:
        """Next nonce of an account."""
        return self.Account.get(who).nonce

    def check_nonce(self, who: bytes, nonce: int) -> None:
        """Consume a nonce: ``CheckNonce``. Raises `InvalidTransaction`."""
        account = self.Account.get(who)
        if account.providers == 0 and account.sufficients == 0:
            raise InvalidTransaction(TransactionValidity.PAYMENT, "the account does not exist")
        if nonce != account.nonce:
            kind = TransactionValidity.STALE if nonce < account.nonce else TransactionValidity.FUTURE
            raise InvalidTransaction(kind, f"nonce {nonce}, expected {account.nonce}")
        self.Account.insert(
            who,
            AccountInfo(nonce + 1, account.consumers, account.providers, account.sufficients, account.data),
        )

    def set_account_data(self, who: bytes, account: AccountInfo, data: AccountData, *, alive: bool) -> None:
        """Write an account's balances, creating or killing the account as ``alive`` says."""
        if alive:
            providers = max(account.providers, 1)
            self.Account.insert(
                who, AccountInfo(account.nonce, account.consumers, providers, account.sufficients, data)
            )
            if account.providers == 0:
                self.deposit_event(NewAccount(who))
        elif account.providers:
            self.Account.remove(who)
            self.deposit_event(KilledAccount(who))

    # Weights.

    def register_extra_weight(self, weight: Weight, dispatch_class: DispatchClass) -> None:
        """Count weight that no limit applies to, such as the hooks'."""
        used = self.BlockWeight.get()
        self.BlockWeight.put(used.replace(dispatch_class, used.of(dispatch_class) + weight))

    def check_weight(self, info: DispatchInfo, length: int) -> None:
        """Reserve an extrinsic's weight and length: ``CheckWeight``. Raises `InvalidTransaction`."""
        dispatch_class = DispatchClass(info.dispatch_class)
        all_lengths = (self.AllExtrinsicsLen.get() or 0) + length
        used = self.BlockWeight.get()
        wanted = used.replace(
            dispatch_class, used.of(dispatch_class) + info.weight + self.limits.base_extrinsic
        )
        over = all_lengths > self.limits.max_mandatory_length
        if dispatch_class is not DispatchClass.MANDATORY:
            over = (
                all_lengths > self.limits.max_length
                or wanted.total().any_gt(self.limits.max_block)
                or wanted.normal.any_gt(self.limits.max_normal)
            )
        if over:
            raise InvalidTransaction(TransactionValidity.EXHAUSTS_RESOURCES, "the block is full")
        self.AllExtrinsicsLen.put(all_lengths)
        self.BlockWeight.put(wanted)

    # Calls.

    @call(0, weight=lambda remark: Weight(1_000_000 + 500 * len(remark)))
    def remark(self, origin: Origin, remark: bytes) -> None:
        """Put bytes on the chain, to no effect."""
        ensure_signed(origin)

    @call(7, weight=lambda remark: Weight(10_000_000 + 1_000 * len(remark)))
    def remark_with_event(self, origin: Origin, remark: bytes) -> None:
        """Put bytes on the chain and deposit `Remarked`."""
        sender = ensure_signed(origin)
        self.deposit_event(Remarked(sender, blake2_256(remark)))
