"""Wire forms: how the arguments and results of host functions cross into Wasm.

Each alias is a Python type with a `Wire` marker; a declaration in `host_functions.interfaces` is therefore
the Python signature and the ABI at once. Follows ``sp_runtime_interface::pass_by`` [sp-runtime-interface] and
the host API chapter of the specification [PS-host-api].

A *fat pointer* is an ``i64``: address in the low 32 bits, length in bytes in the high 32 bits. A *thin
pointer* is an ``i32`` address of a buffer whose length both sides know. Not modelled: the marshalling itself
(the executor's) and the newer guest-allocates forms of RFC-145 [RFC-145], which are further versions of the
functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

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
    "KeyValues",
    "MultiRemovalResults",
    "OptionBytes",
    "OptionU32",
    "RecoverResult",
    "Removal",
    "Values",
    "Wire",
    "wasm_signature",
]

WasmType = Literal["i32", "i64"]


@dataclass(frozen=True, slots=True)
class Wire:
    """How one value travels."""

    types: tuple[WasmType, ...]
    """Wasm parameters it takes as an argument; as a result, the single Wasm result (or none)."""
    form: Literal["value", "fat", "thin", "scale", "out"]
    """``value``: the number itself. ``fat``: fat pointer to the raw bytes. ``thin``: pointer to a fixed-size
    buffer. ``scale``: fat pointer to the SCALE encoding of `scale`. ``out``: fat pointer to a buffer the host
    writes into."""
    size: int = 0
    """Bytes behind a ``thin`` pointer."""
    scale: str = ""
    """SCALE type name behind a ``scale`` pointer."""
    into: WasmType | None = None
    """For a result only: the host writes the value into a buffer that the guest passes as one more (last, fat
    pointer) parameter, and returns this type instead: an ``i64`` with the full length, -1 for absent
    (``read_relay_chain_state_into``), or an ``i32`` flag, 0 for absent (``finalize_into``) [sdk-13022]."""


class MultiRemovalResults(NamedTuple):
    """Outcome of removing many keys: ``sp_io::KillStorageResult`` [sp-io]."""

    all_removed: bool
    """Whether no key of the backend is left; on the wire the variant (0 ``AllRemoved``, 1
    ``SomeRemaining``).
    """
    loops: int
    """Backend keys looped over; keys that exist only in the overlay do not count."""


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


def wasm_signature(function: HostFunction[..., Any]) -> tuple[tuple[WasmType, ...], tuple[WasmType, ...]]:
    """Wasm parameter and result types of the import of ``function``."""
    parameters: list[WasmType] = []
    for annotation in function.parameters.values():
        parameters.extend(wire_of(annotation).types)
    if function.result is type(None):
        return tuple(parameters), ()
    result = wire_of(function.result)
    if result.into is not None:
        return (*parameters, "i64"), (result.into,)
    return tuple(parameters), result.types
