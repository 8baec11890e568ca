"""Objects made immortal in a memory: exactly those, and nothing that is none."""

from __future__ import annotations

import struct

import pytest

from host_functions.executor.frozen.immortal import (
    IMMORTAL,
    LEAST_IMMORTAL,
    MANY,
    UnexpectedLayout,
    made_immortal,
)

TYPE, NONE, THING, LINK = 0, 64, 128, 192
STATIC = 7 << 28


def memory(**references: int) -> bytes:
    """Of 256 bytes: a type whose type it is itself, ``None``, a thing, and a free block that begins with a link."""
    made = bytearray(b"\xee" * 256)
    counts = {"kind": 3, "none": STATIC, "thing": 1, "link": MANY + 8} | references
    for address, count in zip((TYPE, NONE, THING, LINK), counts.values(), strict=True):
        struct.pack_into("<II", made, address, count, TYPE)
    return bytes(made)


def addresses(*found: int) -> bytes:
    return struct.pack(f"<{len(found)}I", *found)


def test_mortal_objects_become_immortal_and_nothing_else_changes() -> None:
    before = memory()
    after = made_immortal(before, addresses(NONE, TYPE, THING))
    assert after == memory(kind=IMMORTAL, thing=IMMORTAL)
    assert IMMORTAL >= LEAST_IMMORTAL
    assert made_immortal(after, addresses(NONE, TYPE, THING)) == after


@pytest.mark.parametrize(
    "given, found, reason",
    [
        (memory(), (NONE, TYPE, LINK), "no object at 0xc0: 1048584 references"),
        (memory(thing=0), (NONE, TYPE, THING), "no object at 0x80: 0 references"),
        (memory(), (NONE, THING), "no object at 0x40: .* a type at 0x0"),
        (memory(), (NONE, TYPE, 32), "no object at 0x20: 4008636142 references, a type at 0xeeeeeeee"),
        (memory(), (NONE, TYPE, 250), "an object at 0xfa, outside the memory of 256 bytes"),
        (memory(), (NONE, TYPE, 2**32 - 1), "outside the memory"),
        (memory(none=1), (NONE, TYPE), "None at 0x40 is not immortal"),
    ],
)
def test_another_layout_is_refused(given: bytes, found: tuple[int, ...], reason: str) -> None:
    with pytest.raises(UnexpectedLayout, match=reason):
        made_immortal(given, addresses(*found))


def test_addresses_cut_short_are_refused() -> None:
    with pytest.raises(UnexpectedLayout, match="cut short"):
        made_immortal(memory(), addresses(NONE, TYPE)[:-1])
