"""Events of the system pallet, with the indices of ``frame_system`` [frame-system] built without ``experimental``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runtime.primitives.scale import H256, AccountId, Variant
from runtime.support.dispatch import EncodedDispatchError
from runtime.support.weights import DispatchInfo


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
class CodeUpdated(Variant):
    """``:code`` was replaced: the next block runs other code."""

    index: ClassVar[int] = 2


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
class UpgradeAuthorized(Variant):
    """Governance authorized code, which anybody may bring now."""

    index: ClassVar[int] = 6
    code_hash: H256
    check_version: bool


@dataclass(frozen=True, slots=True)
class RejectedInvalidAuthorizedUpgrade(Variant):
    """Authorized code was brought, and its version is none that may follow; the authorisation is used up."""

    index: ClassVar[int] = 7
    code_hash: H256
    error: EncodedDispatchError
