"""Wire forms: how the arguments and results of host functions cross into Wasm.

Each alias is a Python type with a `Wire` marker; a declaration in `host_functions.interfaces` is therefore
the Python signature and the ABI at once. Follows ``sp_runtime_interface::pass_by`` [sp-runtime-interface] and
the host API chapter of the specification [PS-host-api].

A *fat pointer* is an ``i64``: address in the low 32 bits, length in bytes in the high 32 bits. A *thin
pointer* is an ``i32`` address of a buffer whose length both sides know. Results come back in one of two ways:
in a buffer that the host allocates in the guest (the legacy style), or in one that the guest passes
(`Into`, the style of [RFC-145]). Not modelled: the marshalling itself, which is the executor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar, get_args, get_origin

from host_functions.declare import HostFunction

__all__ = [
    "I32",
    "U32",
    "U64",
    "Bool",
    "Buffer",
    "Bytes",
    "Bytes4",
    "Bytes8",
    "Bytes16",
    "Bytes32",
    "Bytes33",
    "Bytes64",
    "Bytes65",
    "Into",
    "KeyValues",
    "MultiRemovalResults",
    "OptionBytes",
    "OptionU32",
    "RecoverResult",
    "Removal",
    "RemovalCounts",
    "RemovedFrom",
    "Values",
    "Wire",
    "WireForm",
    "wasm_signature",
    "wire_form",
]

P = ParamSpec("P")
R = TypeVar("R")

WasmType = Literal["i32", "i64"]


class Into(Enum):
    """Protocols by which a result gets into a buffer of the guest: name, more parameters, results.

    Where the value may be absent and the result is a length, the guest learns the full length in any case, so
    it can come back with a larger buffer.
    """

    PREFIX = "prefix", ("i64",), ("i64",)
    """Buffer; as much of the value as fits is written. Full length, -1 if absent [sdk-13022]."""
    FLAG = "flag", ("i64",), ("i32",)
    """Buffer, which must hold the value. 1, or 0 if absent [sdk-13022]."""
    WINDOW = "window", ("i64", "i32", "i32"), ("i64",)
    """Buffer, offset, whether a part will do: the value from the offset on is written if it fits, or as much as
    fits of it if a part will do. Bytes from the offset on, -1 if absent."""
    FROM_OFFSET = "from offset", ("i64", "i32"), ("i64",)
    """As `WINDOW`, where a part will not do; but the length is that of the whole value."""
    WHOLE = "whole", ("i64",), ("i64",)
    """Buffer; the value is written if it fits. Full length, -1 if absent."""
    WHOLE_OR_EMPTY = "whole or empty", ("i64",), ("i32",)
    """Buffer; the value is written if it fits. Full length, 0 if absent: no value is empty."""
    ENCODED = "encoded", ("i64",), ()
    """Buffer, which must hold the SCALE encoding of the bytes."""
    FIXED = "fixed", ("i32",), ()
    """Address of a buffer of `Wire.size` bytes."""
    CHECKED = "checked", ("i32",), ("i64",)
    """Address of a buffer of `Wire.size` bytes. 0, or a negative number if there is no value: -1 for ``None``,
    ``-1 - n`` for error number ``n``."""
    CURSOR = "cursor", ("i64", "i32"), ("i32",)
    """Buffer for the cursor, written if it fits; address of 12 bytes for the three counts. Length of the cursor,
    0 if nothing remains."""
    STATUS = "status", (), ("i64",)
    """No buffer: 0 for success, -1 for failure."""

    def __init__(self, label: str, parameters: tuple[WasmType, ...], results: tuple[WasmType, ...]) -> None:
        self.parameters = parameters
        """Wasm parameters after those of the arguments."""
        self.results = results


@dataclass(frozen=True, slots=True)
class Wire:
    """How one value travels."""

    types: tuple[WasmType, ...]
    """Wasm parameters it takes as an argument; as a result, the single Wasm result (or none)."""
    form: Literal["value", "fat", "thin", "scale", "out", "optional", "optional fat"]
    """``value``: the number itself. ``fat``: fat pointer to the raw bytes. ``thin``: pointer to a fixed-size
    buffer. ``scale``: fat pointer to the SCALE encoding of `scale`. ``out``: fat pointer to a buffer the host
    writes into. ``optional``: a 32-bit number, -1 for ``None``. ``optional fat``: as ``fat``, -1 for ``None``.
    """
    size: int = 0
    """Bytes behind a ``thin`` pointer."""
    scale: str = ""
    """SCALE type name behind a ``scale`` pointer."""
    into: Into | None = None
    """For a result only: how it gets into a buffer of the guest, whose parameters stand after the others."""


class MultiRemovalResults(NamedTuple):
    """Outcome of removing many keys: ``sp_io::KillStorageResult`` [sp-io]."""

    all_removed: bool
    """Whether no key of the backend is left; on the wire the variant (0 ``AllRemoved``, 1
    ``SomeRemaining``).
    """
    loops: int
    """Backend keys looped over; keys that exist only in the overlay do not count."""


class RemovalCounts(NamedTuple):
    """Outcome of removing many keys, with where to go on: ``sp_io::MultiRemovalResults`` [sp-io]."""

    cursor: bytes | None
    """The first key of the backend that is left; ``None`` when none is."""
    backend: int
    """Keys deleted from the backend."""
    unique: int
    """Keys deleted from backend and overlay."""
    loops: int
    """Backend keys looped over."""


Bytes = Annotated[bytes, Wire(("i64",), "fat")]
Bytes4 = Annotated[bytes, Wire(("i32",), "thin", size=4)]
Bytes8 = Annotated[bytes, Wire(("i32",), "thin", size=8)]
Bytes16 = Annotated[bytes, Wire(("i32",), "thin", size=16)]
Bytes32 = Annotated[bytes, Wire(("i32",), "thin", size=32)]
Bytes33 = Annotated[bytes, Wire(("i32",), "thin", size=33)]
Bytes64 = Annotated[bytes, Wire(("i32",), "thin", size=64)]
Bytes65 = Annotated[bytes, Wire(("i32",), "thin", size=65)]
Buffer = Annotated[bytearray, Wire(("i64",), "out")]
"""A buffer of the guest; the host writes at most its length."""
Bool = Annotated[bool, Wire(("i32",), "value")]
I32 = Annotated[int, Wire(("i32",), "value")]
U32 = Annotated[int, Wire(("i32",), "value")]
U64 = Annotated[int, Wire(("i64",), "value")]
OptionBytes = Annotated[bytes | None, Wire(("i64",), "scale", scale="Option<Vec<u8>>")]
OptionU32 = Annotated[int | None, Wire(("i64",), "scale", scale="Option<u32>")]
KeyValues = Annotated[Sequence[tuple[bytes, bytes]], Wire(("i64",), "scale", scale="Vec<(Vec<u8>, Vec<u8>)>")]
Values = Annotated[Sequence[bytes], Wire(("i64",), "scale", scale="Vec<Vec<u8>>")]
RemovedFrom = Annotated[RemovalCounts, Wire(("i64",), "scale", scale="MultiRemovalResults")]
Removal = Annotated[MultiRemovalResults, Wire(("i64",), "scale", scale="KillStorageResult")]
RecoverResult = Annotated[bytes | int, Wire(("i64",), "scale", scale="Result<[u8], EcdsaVerifyError>")]
"""The public key, or the index of the error (0 BadRS, 1 BadV, 2 BadSignature)."""


def wire_of(annotation: Any) -> Wire:
    """The `Wire` marker of an annotation. Raises `TypeError` for one without."""
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            if isinstance(extra, Wire):
                return extra
    raise TypeError(f"{annotation!r} has no wire form: use the aliases of host_functions.abi")


class WireForm(HostFunction[P, R]):
    """A further wire form of a host function: same answer, other import.

    Contexts answer `answered_by`, and whoever overrides that overrides this. A ``state_version`` that it takes
    and the form does not is the executor's to say. Python code has no use for forms: it calls `answered_by`.
    """

    def __init__(
        self,
        of: HostFunction[..., Any],
        declaration: Callable[P, R],
        version: int,
        method: str,
        select: Callable[..., Any] | None,
    ) -> None:
        super().__init__(declaration, of.interface, version, method, pure=of.pure)
        self._of = of
        self.select = select
        """Makes the form's result of the answer, and of the arguments that only the form takes."""
        others = set(of.parameters) - set(self.parameters)
        if others - {"state_version"}:
            raise TypeError(f"{self.name} lacks what {of.name} takes: {', '.join(sorted(others))}")

    @property
    def answered_by(self) -> HostFunction[..., Any]:
        return self._of

    @property
    def pure_implementation(self) -> Callable[..., Any]:
        return self._of.pure_implementation


def wire_form(
    of: HostFunction[..., Any],
    *,
    version: int,
    method: str | None = None,
    select: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], WireForm[P, R]]:
    """Declare another wire form of ``of``. ``method``: where the name differs from that of ``of``. ``select``:
    see `WireForm.select`."""

    def declare(declaration: Callable[P, R]) -> WireForm[P, R]:
        return WireForm(of, declaration, version, method or of.method, select)

    return declare


def wasm_signature(function: HostFunction[..., Any]) -> tuple[tuple[WasmType, ...], tuple[WasmType, ...]]:
    """Wasm parameter and result types of the import of ``function``."""
    parameters: list[WasmType] = []
    for annotation in function.parameters.values():
        parameters.extend(wire_of(annotation).types)
    if function.result is type(None):
        return tuple(parameters), ()
    result = wire_of(function.result)
    if result.into is not None:
        return (*parameters, *result.into.parameters), result.into.results
    return tuple(parameters), result.types
