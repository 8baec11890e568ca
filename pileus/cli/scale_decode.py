"""``pileus scale decode``: any SCALE value by the name of its type.

Uses scalecodec, which knows the types of many runtimes by name. It also reads encodings that
parity-scale-codec refuses (compacts longer than needed, any option byte), so the value is encoded again and
a difference reported.

Does not model: types that need a runtime's metadata (calls, events).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import argument_hex, shorten
from pileus.cli.options import HexArgument, JsonOption
from pileus.cli.output import hex_text, print_json, warn

__all__ = ["scale_decode"]

TypeArgument = Annotated[
    str, typer.Argument(metavar="TYPE", help="E.g. u32, Vec<u8>, (u32, H256), Header.", show_default=False)
]

BYTES_AS_HEX = {"types": {"Bytes": "HexBytes", "Vec<u8>": "HexBytes"}}
"""By default scalecodec shows bytes as text whenever they happen to be UTF-8, which hides what they are."""

MAX_EMPTY_VALUES = 100_000
"""Values of a type without bytes that are decoded: a claimed count of these costs the input nothing."""

MAX_VALUES_PER_BYTE = 64
"""Values for each byte of input: as deep as a type name may nest around one byte."""

MAX_ENCODED_AGAIN = 64 * 1024
"""Bytes of the longest encoding that is checked to be canonical: scalecodec's encoding takes quadratic time."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value and what encoding it again gives; None when scalecodec cannot encode it, or only slowly."""

    value: Any
    canonical: bytes | None


def scale_decode(type_name: TypeArgument, encoded: HexArgument, as_json: JsonOption = False) -> None:
    """Print the value of HEX read as SCALE type TYPE.

    Bytes left over are an error (exit 2). An encoding that is not the canonical one of its value is printed
    too, with a warning on standard error: parity-scale-codec would refuse it.
    """
    data = argument_hex(encoded, "HEX")
    decoded = decode_dynamic(type_name, data)
    if decoded.canonical is None:
        warn("the value was not encoded again, so it is not known whether the encoding is canonical")
    elif decoded.canonical != data:
        warn(f"not the canonical encoding of this value, which is {hex_text(decoded.canonical, 64)}")
    if as_json:
        canonical = None if decoded.canonical is None else decoded.canonical == data
        print_json({"type": type_name, "value": decoded.value, "canonical": canonical})
    elif isinstance(decoded.value, dict | list | tuple):
        print_json(decoded.value)
    else:
        print("()" if decoded.value is None else decoded.value)


def decode_dynamic(type_name: str, data: bytes) -> Decoded:
    """Decodes exactly `data`, with the types scalecodec knows by name."""
    # scalecodec takes a quarter of a second to import: only the verb that uses it pays.
    from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
    from scalecodec.exceptions import RemainingScaleBytesNotEmptyException
    from scalecodec.type_registry import load_type_registry_preset

    registry = RuntimeConfigurationObject(ss58_format=42)
    registry.update_type_registry(load_type_registry_preset("legacy"))
    registry.update_type_registry(BYTES_AS_HEX)
    name = shorten(type_name, 80)
    try:
        known = registry.get_decoder_class(type_name) is not None
    except (ValueError, NotImplementedError, AttributeError, RecursionError):
        known = False
    if not known:
        raise UnreadableInput(f"TYPE: unknown type {name!r}")
    _bound_values(registry, MAX_EMPTY_VALUES + MAX_VALUES_PER_BYTE * len(data))
    # scalecodec raises whatever its parts run into (KeyError, IndexError, TypeError ...), so the catch is
    # wide and encloses nothing but its calls.
    try:
        value = registry.create_scale_object(type_name, data=ScaleBytes(data)).decode(check_remaining=True)
    except RemainingScaleBytesNotEmptyException as error:
        raise UnreadableInput(f"HEX: {len(data)} bytes are not exactly one {name}: {error}") from error
    except Exception as error:
        raise UnreadableInput(f"HEX: cannot be read as {name}: {type(error).__name__}: {error}") from error
    if len(data) > MAX_ENCODED_AGAIN:
        return Decoded(value, None)
    try:
        canonical = bytes(registry.create_scale_object(type_name).encode(value).data)
    except Exception:
        canonical = None
    return Decoded(value, canonical)


def _bound_values(registry: Any, limit: int) -> None:
    """Let `registry` make so many values, of which the decoded one consists, and no more."""
    make = registry.create_scale_object
    made = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made > limit:
            raise ValueError(f"more than {limit} values")
        return make(*arguments, **options)

    registry.create_scale_object = counted
