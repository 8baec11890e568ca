"""What the system pallet keeps: accounts, phases, versions, and what a block may hold. Types of ``frame_system``
[frame-system].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from runtime.primitives.scale import H256, U32, U128, Codec, CompactU32, Struct, Variant, codec_of
from runtime.support.weights import Weight

MAX_BLOCK = Weight(2_000_000_000_000, 10 * 1024 * 1024)
MAX_NORMAL = Weight(1_500_000_000_000, 10 * 1024 * 1024 * 3 // 4)
BASE_EXTRINSIC = Weight(100_000_000, 0)


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
class CodeUpgradeAuthorization(Struct):
    """``System::AuthorizedUpgrade``."""

    code_hash: H256
    check_version: bool


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What a block may hold: ``BlockWeights`` and ``BlockLength`` in one."""

    max_block: Weight = MAX_BLOCK
    """2 s of the reference machine; proof size as Polkadot's ``MAX_POV_SIZE``."""
    max_normal: Weight = MAX_NORMAL
    """Share of `max_block` for normal extrinsics: 75 %."""
    base_extrinsic: Weight = BASE_EXTRINSIC
    max_normal_length: int = 5 * 1024 * 1024
    """Bytes of all extrinsics when a normal one is added."""
    max_length: int = 10 * 1024 * 1024
    """Bytes of all extrinsics when another one is added, such as the code of an upgrade: more than Polkadot's largest
    PoV holds nobody can prove."""
    block_hash_count: int = 256
    """Blocks whose hashes are kept in state."""


DEFAULT_LIMITS: Final = BlockLimits()
