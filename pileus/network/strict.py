"""Errors of strict decoding, said the way this project says them: first where, then what was expected.

msgspec writes ``Expected `int`, got `str` - at `$.parachains[0].id```; here it reads
``$.parachains[0].id: expected `int`, got `str```.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

__all__ = ["explain"]

_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$", re.DOTALL)
_REQUIRED = re.compile(r"^Object missing required field `(?P<field>.*)`$", re.DOTALL)

MAX_QUOTED = 64
"""Characters of a key from outside that a message repeats."""


def explain(error: msgspec.DecodeError, expected_keys: Callable[[str], str] | None = None) -> str:
    """The error in one line. `expected_keys` tells the keys of the table at a path, for one that is unknown."""
    match = _MESSAGE.match(str(error))
    what, path = (match["what"], match["path"] or "$") if match else (str(error), "$")
    if unknown := _UNKNOWN.match(what):
        hint = f", expected {expected_keys(path)}" if expected_keys else ""
        return f"{path}.{unknown['field'][:MAX_QUOTED]}: unknown key{hint}"
    if required := _REQUIRED.match(what):
        return f"{path}.{required['field']}: expected this key, it is missing"
    return f"{path}: {what[:1].lower()}{what[1:]}"
