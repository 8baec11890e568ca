"""Calls and their outcome: origins, dispatch errors, and what makes a transaction inadmissible.

Follows ``sp_runtime::{DispatchError, TransactionValidityError}`` and ``frame_support::dispatch``
[sp-runtime]; encodings are byte for byte theirs. A `DispatchError` fails one call and leaves the block valid;
an `InvalidTransaction` refuses an extrinsic; everything else a pallet raises is a panic.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from host_functions.errors import PileusError
from host_functions.interfaces import storage as host
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Codec, fixed_bytes, u8
from runtime.support.weights import DispatchClass, Weight

__all__ = [
    "NONE",
    "ROOT",
    "ArithmeticError_",
    "BadOrigin",
    "CallSpec",
    "CannotLookup",
    "DispatchError",
    "EncodedDispatchError",
    "InvalidTransaction",
    "ModuleError",
    "Origin",
    "OriginKind",
    "TokenError",
    "TransactionValidity",
    "call",
    "call_spec",
    "encode_dispatch_result",
    "ensure_none",
    "ensure_root",
    "ensure_signed",
    "with_storage_layer",
]

P = ParamSpec("P")
S = TypeVar("S")


class DispatchError(PileusError):
    """A call failed. Its storage changes are undone; the extrinsic stays in the block."""

    def encode(self) -> bytes:
        """SCALE of ``sp_runtime::DispatchError``."""
        raise TypeError(f"{type(self).__name__} has no encoding")


class CannotLookup(DispatchError):
    """An address does not resolve to an account."""

    def encode(self) -> bytes:
        return b"\x01"


class BadOrigin(DispatchError):
    """The call does not accept this origin."""

    def encode(self) -> bytes:
        return b"\x02"


class ModuleError(DispatchError):
    """An error of a pallet."""

    def __init__(self, pallet_index: int, error: enum.IntEnum) -> None:
        super().__init__(f"{type(error).__qualname__.removesuffix('.Error')}::{error.name}")
        self.pallet_index = pallet_index
        self.error = error

    def encode(self) -> bytes:
        return bytes([3, self.pallet_index, self.error, 0, 0, 0])


class TokenError(DispatchError):
    """A balance rule: ``sp_runtime::TokenError``."""

    class Kind(enum.IntEnum):
        """The variants used here, with their indices."""

        FUNDS_UNAVAILABLE = 0
        ONLY_PROVIDER = 1
        BELOW_MINIMUM = 2
        NOT_EXPENDABLE = 8

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"TokenError::{kind.name}")
        self.kind = kind

    def encode(self) -> bytes:
        return bytes([7, self.kind])


class ArithmeticError_(DispatchError):  # noqa: N801  (sp_runtime's name, next to Python's)
    """A number left its range: ``sp_runtime::ArithmeticError``."""

    class Kind(enum.IntEnum):
        """The variants, with their indices."""

        UNDERFLOW = 0
        OVERFLOW = 1
        DIVISION_BY_ZERO = 2

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"ArithmeticError::{kind.name}")
        self.kind = kind

    def encode(self) -> bytes:
        return bytes([8, self.kind])


class TransactionValidity(enum.IntEnum):
    """``sp_runtime::InvalidTransaction``: why an extrinsic is not admitted, with the variant's index."""

    CALL = 0
    PAYMENT = 1
    FUTURE = 2
    STALE = 3
    BAD_PROOF = 4
    ANCIENT_BIRTH_BLOCK = 5
    EXHAUSTS_RESOURCES = 6
    BAD_MANDATORY = 8
    MANDATORY_VALIDATION = 9
    BAD_SIGNER = 10


class InvalidTransaction(PileusError):
    """The extrinsic is not admitted; a block that contains it is invalid."""

    def __init__(self, kind: TransactionValidity, detail: str = "") -> None:
        super().__init__(f"InvalidTransaction::{kind.name}{': ' if detail else ''}{detail}")
        self.kind = kind

    def encode(self) -> bytes:
        """SCALE of ``TransactionValidityError::Invalid``."""
        return bytes([0, self.kind])


class _EncodedDispatchError(Codec[bytes]):
    """`DispatchError` in events: the value is its encoding, since a node only shows it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("DispatchError", 1)

    def encode(self, value: bytes) -> bytes:
        return value

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bytes, int]:
        kind, _ = u8.decode_prefix(data, offset)
        if kind > 14:
            raise ScaleError(f"no variant has index {kind}", what=self.name, offset=offset)
        size = {3: 6, 7: 2, 8: 2, 9: 2, 14: 2}.get(kind, 1)
        return fixed_bytes(size).decode_prefix(data, offset)


EncodedDispatchError = Annotated[bytes, _EncodedDispatchError()]
"""Field annotation: SCALE bytes of a `DispatchError`."""


def encode_dispatch_result(error: DispatchError | None) -> bytes:
    """SCALE of ``Result<(), DispatchError>``."""
    return b"\x00" if error is None else b"\x01" + error.encode()


class OriginKind(enum.Enum):
    """Where a call comes from: ``frame_system::RawOrigin``."""

    ROOT = "root"
    SIGNED = "signed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a call."""

    kind: OriginKind
    account: bytes | None = None
    """32 bytes, of a signed origin."""


NONE = Origin(OriginKind.NONE)
ROOT = Origin(OriginKind.ROOT)


def ensure_signed(origin: Origin) -> bytes:
    """The signing account. Raises `BadOrigin`."""
    if origin.account is None:
        raise BadOrigin("a signed origin is required")
    return origin.account


def ensure_none(origin: Origin) -> None:
    """Only inherents and unsigned extrinsics. Raises `BadOrigin`."""
    if origin.kind is not OriginKind.NONE:
        raise BadOrigin("the call is an inherent")


def ensure_root(origin: Origin) -> None:
    """Only the chain itself. Raises `BadOrigin`."""
    if origin.kind is not OriginKind.ROOT:
        raise BadOrigin("the root origin is required")


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What a ``@call`` method declares."""

    index: int
    weight: Callable[..., Weight] | str
    """From the call's arguments to its weight before dispatch; a string names a method of the pallet."""
    dispatch_class: DispatchClass
    name: str
    fee: str | None = None
    """The method of the pallet that gives, from the call's arguments, what the signer pays before dispatch."""


def call(
    index: int,
    *,
    weight: Weight | Callable[..., Weight] | str,
    dispatch_class: DispatchClass = DispatchClass.NORMAL,
    fee: str | None = None,
) -> Callable[[Callable[Concatenate[S, Origin, P], None]], Callable[Concatenate[S, Origin, P], None]]:
    """Mark a method as a dispatchable call. Its argument types come from the annotations after ``origin``.

    ``weight`` is a constant, a function of the call's arguments, or the name of a method of the pallet that is
    one; ``fee`` is such a name too, of a method that gives an amount of the native token.
    """

    def mark(method: Callable[Concatenate[S, Origin, P], None]) -> Callable[Concatenate[S, Origin, P], None]:
        declared: Callable[..., Weight] | str = (lambda *_: weight) if isinstance(weight, Weight) else weight
        spec = CallSpec(index, declared, dispatch_class, method.__name__, fee)
        setattr(method, "__pallet_call__", spec)  # noqa: B010  (mypy: functions have no such attribute)
        return method

    return mark


def with_storage_layer(run: Callable[[], None]) -> DispatchError | None:
    """Run in a nested storage transaction: commit, or roll back and give the `DispatchError`.

    Anything else that is raised passes through with the transaction open: the block, or the environment, is
    at fault and not the call, and whoever catches it discards all changes. Source:
    ``frame_support::storage::with_storage_layer`` [frame-support].
    """
    host.start_transaction()
    try:
        run()
    except DispatchError as error:
        host.rollback_transaction()
        return error
    host.commit_transaction()
    return None


def call_spec(method: Any) -> CallSpec | None:
    """The declaration behind a ``@call`` method, or ``None`` for any other attribute."""
    spec = getattr(method, "__pallet_call__", None)
    return spec if isinstance(spec, CallSpec) else None
