"""Which modules of the standard library a frozen runtime may import.

They are loaded into the Python VM when it is built, because a frozen guest has no files to import from later.
Those with a clock, randomness, I/O, threads or a view of the interpreter are left out, as in the lint of the
guest; of them, `SUPPORTED_FOR_DECLARE` are there for `host_functions.declare` alone.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALLOWED", "PRELOADED", "SUPPORTED_FOR_DECLARE"]

ALLOWED: Final = frozenset(
    (
        "__future__ abc array base64 binascii bisect collections collections.abc contextlib copy dataclasses decimal"
        " enum fractions functools hashlib heapq itertools json keyword math numbers operator re string struct"
        " textwrap types typing unicodedata zlib"
    ).split()
)
"""Modules a guest may import."""
SUPPORTED_FOR_DECLARE: Final = frozenset(("contextvars", "importlib"))
LOADED_LATE: Final = frozenset(
    "annotationlib ast encodings.ascii encodings.hex_codec encodings.latin_1 encodings.utf_8 inspect reprlib".split()
)
"""What the library itself imports only when it is used."""
PRELOADED: Final = tuple(sorted(ALLOWED | SUPPORTED_FOR_DECLARE | LOADED_LATE))
"""What the VM loads when it is built."""
