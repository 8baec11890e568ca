"""Reading what a user hands to a verb: files, standard input, JSON, hex.

Everything read is bounded and every failure is an `UnreadableInput` that says what and where: the file with
line and column for malformed JSON, the path (``$.entries[3][0]``) for a wrong value, the position for a bad
hex digit. Hex is read leniently, with or without ``0x`` and with any white space, as real clients write it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pileus.cli.errors import UnreadableInput

__all__ = ["MAX_INPUT_BYTES", "argument_hex", "convert", "hex_bytes", "pick_case", "read_input", "read_json"]

MAX_INPUT_BYTES = 64 * 1024 * 1024
"""Largest file or standard input read, in bytes. Ample: a PoV is at most 10 MiB, a big genesis some MiB."""

STANDARD_INPUT = "-"

T = TypeVar("T", bound=msgspec.Struct)


def read_input(source: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``."""
    if source == STANDARD_INPUT:
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    else:
        try:
            with Path(source).open("rb") as file:
                data = file.read(MAX_INPUT_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UnreadableInput(f"cannot read {source}: {reason}") from error
    if len(data) > MAX_INPUT_BYTES:
        raise UnreadableInput(f"{describe(source)} is larger than {MAX_INPUT_BYTES // 2**20} MiB")
    return data


def read_json(source: str) -> Any:
    """The JSON document in a file or on standard input. A key given twice in one object is refused."""
    data = read_input(source)
    name = describe(source)
    try:
        return json.loads(data, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise UnreadableInput(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise UnreadableInput(f"{name} is not usable JSON: nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{name} is not JSON: not UTF-8 text (byte {error.start})") from error
    except ValueError as error:
        raise UnreadableInput(f"{name} is not usable JSON: {error}") from error


def pick_case(document: Any, case: str | None, source: str) -> Any:
    """The document itself, or the entry with this ``id`` when the document is a list of cases."""
    if not isinstance(document, list):
        if case is not None:
            raise UnreadableInput(f"{describe(source)} holds one object, so --case does not apply")
        return document
    ids = [entry["id"] for entry in document if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    if case is None:
        known = f", for example {', '.join(ids[:3])}" if ids else ""
        raise UnreadableInput(
            f"{describe(source)} is a list of {len(document)}: choose with --case ID{known}"
        )
    for entry in document:
        if isinstance(entry, dict) and entry.get("id") == case:
            return entry
    raise UnreadableInput(f"{describe(source)} has no case {shorten(case)!r}")


def convert(document: Any, shape: type[T], source: str) -> T:
    """The document in the given `msgspec.Struct` shape; the error names the path that does not fit.

    Unknown keys are errors, except in a case of the conformance vectors (it has an ``id``), whose annotations
    (source, licence, note ...) are none of our business.
    """
    if isinstance(document, dict) and "id" in document:
        known = {field.encode_name for field in msgspec.structs.fields(shape)}
        document = {key: value for key, value in document.items() if key in known}
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise UnreadableInput(f"{describe(source)}: {error}") from error
    except UnicodeEncodeError as error:
        raise UnreadableInput(f"{describe(source)}: a key with a lone surrogate, which is no text") from error


def hex_bytes(text: str, where: str) -> bytes:
    """Bytes of a hex string; `where` names it in the error."""
    digits = "".join(text.split())
    if digits[:2] in ("0x", "0X"):
        digits = digits[2:]
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        position = next(
            (at for at, digit in enumerate(digits) if digit not in "0123456789abcdefABCDEF"), None
        )
        if position is None:
            raise UnreadableInput(f"{where}: hex has an odd number of digits ({len(digits)})") from error
        raise UnreadableInput(
            f"{where}: not hex: {shorten(digits[position:], 8)!r} at digit {position}"
        ) from error


def hex_items(texts: Iterable[str], where: str) -> list[bytes]:
    """Bytes of each hex string of a list; the error names ``where[i]``."""
    return [hex_bytes(text, f"{where}[{at}]") for at, text in enumerate(texts)]


def argument_hex(argument: str, what: str) -> bytes:
    """Bytes of a hex command-line argument; ``-`` reads the hex text from standard input."""
    if argument != STANDARD_INPUT:
        return hex_bytes(argument, what)
    try:
        return hex_bytes(read_input(STANDARD_INPUT).decode("ascii"), "standard input")
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"standard input: not hex text (byte {error.start})") from error


def describe(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else source


def shorten(text: str, limit: int = 40) -> str:
    """Text from outside, bounded for a message."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shorten(repeated)!r} appears twice in one object")
    return result
