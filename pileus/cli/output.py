"""How verbs print: hex, JSON, aligned fields.

Results go to standard output, reasons and warnings to standard error, so that a pipe carries results only.
Text from outside never reaches rich markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["hex_text", "print_fields", "print_json", "visible", "warn"]


def hex_text(data: bytes, limit: int | None = None) -> str:
    """``0x…`` of the bytes; with a limit, only that many bytes and the full length after them."""
    if limit is None or len(data) <= limit:
        return f"0x{data.hex()}"
    return f"0x{data[:limit].hex()}… ({len(data)} bytes)"


def visible(text: str) -> str:
    """Text from outside in one line, with escapes for what a terminal would obey and not show."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One ``name  value`` line each, values aligned."""
    rows = [(visible(name), visible(str(value))) for name, value in fields]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print(f"{name:<{width}}  {value}".rstrip())


def print_json(value: Any) -> None:
    """Indented JSON; bytes anywhere in it are written as ``0x…``."""
    print(json.dumps(value, indent=2, default=_json_value, ensure_ascii=False))


def warn(message: str) -> None:
    """One line on standard error that does not change the exit status."""
    print(f"pileus: warning: {visible(message)}", file=sys.stderr)


def _json_value(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        return hex_text(bytes(value))
    raise TypeError(f"{type(value).__name__} is not JSON")
