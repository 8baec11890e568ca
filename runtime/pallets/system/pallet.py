"""System: block bookkeeping, accounts, events, weights.

Follows ``frame_system`` [frame-system]: storage names, key hashers and encodings are its own, so that
standard tools can read an account or the events of a block. New code comes by authorisation: governance names its
hash, and anybody may bring the code. Indices are those of Substrate's own node and of Paseo: a runtime built with the
feature ``experimental``, as Asset Hub Polkadot is, has three events and two errors of tasks before those of upgrades
(tests/conformance/test_frame_pallets.py compares). Not modelled: event topics, consumer limits, tasks, ``set_code``,
and bringing authorized code unsigned.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from host_functions.interfaces import additional_data as host_additional_data
from host_functions.interfaces import misc as host_misc
from host_functions.interfaces import storage as host
from host_functions.interfaces import trie as host_trie
from runtime.pallets.system.events import (
    CodeUpdated,
    ExtrinsicFailed,
    ExtrinsicSuccess,
    KilledAccount,
    NewAccount,
    RejectedInvalidAuthorizedUpgrade,
    Remarked,
    UpgradeAuthorized,
)
from runtime.pallets.system.types import (
    DEFAULT_LIMITS,
    AccountData,
    AccountInfo,
    ApplyExtrinsic,
    BlockLimits,
    CodeUpgradeAuthorization,
    Finalization,
    Initialization,
    LastRuntimeUpgradeInfo,
    phase_codec,
)
from runtime.primitives.digest import AdditionalData, DigestItem, PreRuntime, RuntimeEnvironmentUpdated
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import blake2_128_concat, blake2_256, twox_64_concat
from runtime.primitives.header import Header
from runtime.primitives.scale import (
    H256,
    Variant,
    account_id,
    byte_vec,
    codec_of,
    h256,
    u32,
)
from runtime.primitives.version import RuntimeVersion
from runtime.support.dispatch import (
    DispatchError,
    InvalidTransaction,
    Origin,
    TransactionValidity,
    call,
    ensure_root,
    ensure_signed,
)
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap, StorageValue, StorageVec
from runtime.support.weights import DispatchClass, DispatchInfo, PerDispatchClass, Weight

EXTRINSIC_INDEX = b":extrinsic_index"  # sp_core::storage::well_known_keys
CODE = b":code"


class System(Pallet):
    """Every runtime's first pallet."""

    Account: StorageMap[bytes, AccountInfo, AccountInfo] = StorageMap(
        blake2_128_concat, account_id, AccountInfo.codec(), default=AccountInfo()
    )
    ExtrinsicCount = StorageValue(u32)
    BlockWeight = StorageValue(PerDispatchClass.codec(), default=PerDispatchClass())
    AllExtrinsicsLen = StorageValue(u32)
    BlockHash = StorageMap(twox_64_concat, u32, h256)
    """``ValueQuery`` in FRAME; without a default, one read both says whether a hash is kept and gives it."""
    ExtrinsicData = StorageMap(twox_64_concat, u32, byte_vec, default=b"")
    Number = StorageValue(u32, default=0)
    ParentHash = StorageValue(h256, default=bytes(32))
    Digest: StorageVec[DigestItem] = StorageVec(codec_of(DigestItem))
    Events = StorageVec(byte_vec)
    """``Vec<EventRecord>``; decoded by `Pallets.decode_events`, which knows every pallet's events."""
    EventCount = StorageValue(u32, default=0)
    LastRuntimeUpgrade = StorageValue(LastRuntimeUpgradeInfo.codec())
    ExecutionPhase = StorageValue(phase_codec)
    AuthorizedUpgrade = StorageValue(CodeUpgradeAuthorization.codec())

    Event = (
        ExtrinsicSuccess
        | ExtrinsicFailed
        | CodeUpdated
        | NewAccount
        | KilledAccount
        | Remarked
        | UpgradeAuthorized
        | RejectedInvalidAuthorizedUpgrade
    )

    class Error(enum.IntEnum):
        """Why code is refused, with the indices of ``frame_system``."""

        InvalidSpecName = 0
        SpecVersionNeedsToIncrease = 1
        FailedToExtractRuntimeVersion = 2
        NothingAuthorized = 7
        Unauthorized = 8

    def __init__(
        self,
        *,
        version: RuntimeVersion,
        limits: BlockLimits = DEFAULT_LIMITS,
        hashing: Callable[[bytes], bytes] = blake2_256,
        ordered_root: Callable[[Sequence[bytes], int], bytes] = host_trie.blake2_256_ordered_root,
        governance: Callable[[Origin], None] = ensure_root,
    ) -> None:
        """``hashing`` hashes headers, ``ordered_root`` extrinsics: the hasher is a property of the chain.
        ``governance`` raises `BadOrigin` for who may not authorize code.
        """
        self.version = version
        self.limits = limits
        self.hashing = hashing
        self.ordered_root = ordered_root
        self.governance = governance
        self.on_set_code: Callable[[bytes], None] = self.update_code_in_storage
        """What becomes of code that was accepted: ``OnSetCode``. A parachain must ask the relay chain first."""

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

    def update_code_in_storage(self, code: bytes) -> None:
        """Replace ``:code``, from the next block on. The digest says so to nodes."""
        host.set(CODE, code)
        self.deposit_log(RuntimeEnvironmentUpdated())
        self.deposit_event(CodeUpdated())

    def _version_fault(self, code: bytes) -> DispatchError | None:
        """Why this code's version may not follow ours: ``can_set_code``."""
        embedded = host_misc.runtime_version(code)
        try:
            version = None if embedded is None else RuntimeVersion.decode(embedded)
        except ScaleError:
            version = None
        if version is None:
            return self.fail(self.Error.FailedToExtractRuntimeVersion)
        if version.spec_name != self.version.spec_name:
            return self.fail(self.Error.InvalidSpecName)
        if version.spec_version <= self.version.spec_version:
            return self.fail(self.Error.SpecVersionNeedsToIncrease)
        return None

    # Weights.

    def register_extra_weight(self, weight: Weight, dispatch_class: DispatchClass) -> None:
        """Count weight that no limit applies to, such as the hooks'."""
        used = self.BlockWeight.get()
        self.BlockWeight.put(used.replace(dispatch_class, used.of(dispatch_class) + weight))

    def check_weight(self, info: DispatchInfo, length: int) -> None:
        """Reserve an extrinsic's weight and length: ``CheckWeight``. Raises `InvalidTransaction`."""
        dispatch_class = info.dispatch_class
        all_lengths = (self.AllExtrinsicsLen.get() or 0) + length
        used = self.BlockWeight.get()
        wanted = used.replace(
            dispatch_class, used.of(dispatch_class) + info.weight + self.limits.base_extrinsic
        )
        normal = dispatch_class is DispatchClass.NORMAL
        over = all_lengths > (self.limits.max_normal_length if normal else self.limits.max_length)
        if dispatch_class is not DispatchClass.MANDATORY:
            over = (
                over
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

    @call(9, weight=Weight(10_000_000, 1_500), dispatch_class=DispatchClass.OPERATIONAL)
    def authorize_upgrade(self, origin: Origin, code_hash: H256) -> None:
        """Let anybody bring the code with this BLAKE2b-256, if its version follows ours. By governance."""
        self._authorize(origin, code_hash, check_version=True)

    @call(10, weight=Weight(10_000_000, 1_500), dispatch_class=DispatchClass.OPERATIONAL)
    def authorize_upgrade_without_checks(self, origin: Origin, code_hash: H256) -> None:
        """As `authorize_upgrade`, whatever the version of the code: it may go back, or be of another chain."""
        self._authorize(origin, code_hash, check_version=False)

    def _authorize(self, origin: Origin, code_hash: bytes, *, check_version: bool) -> None:
        self.governance(origin)
        self.AuthorizedUpgrade.put(CodeUpgradeAuthorization(code_hash, check_version))
        self.deposit_event(UpgradeAuthorized(code_hash, check_version))

    @call(
        11,
        weight=lambda code: Weight(100_000_000 + 1_000 * len(code), 1_500),
        dispatch_class=DispatchClass.OPERATIONAL,
    )
    def apply_authorized_upgrade(self, origin: Origin, code: bytes) -> None:
        """Bring the code that was authorized. Anybody may; it uses the authorisation up."""
        authorization = self.AuthorizedUpgrade.get()
        if authorization is None:
            raise self.fail(self.Error.NothingAuthorized)
        if blake2_256(code) != authorization.code_hash:
            raise self.fail(self.Error.Unauthorized)
        self.AuthorizedUpgrade.kill()
        fault = self._version_fault(code) if authorization.check_version else None
        if fault is not None:
            # Not the fault of who brings it: the call succeeds, and the authorisation is gone.
            self.deposit_event(RejectedInvalidAuthorizedUpgrade(authorization.code_hash, fault.encode()))
            return
        self.on_set_code(code)
