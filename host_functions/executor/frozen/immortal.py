"""The objects of a frozen runtime, made immortal: nobody counts references to them any more.

A call gets a fresh copy of the blob's memory, page by page as it writes. Counting references writes to every object
that is so much as looked at, so without this a third of the pages that a call copies hold nothing new. Immortal
objects are CPython's own, made for processes that share memory in this way [PEP-683].

The price: what a runtime made at its import is never destroyed, whatever happens to the names it had. A
``__del__`` of such an object does not run.
"""

from __future__ import annotations

import struct
from typing import Final

from host_functions.errors import PileusError

__all__ = ["UnexpectedLayout", "made_immortal"]

IMMORTAL: Final = 5 << 28
"""Reference count of an object that becomes immortal, where pointers have 32 bits."""
LEAST_IMMORTAL: Final = 1 << 30
MANY: Final = 1 << 20
"""References that no object has; addresses of objects are larger. So a counter is told from the link that a free
block of memory begins with."""
_HEAD: Final = struct.Struct("<II")
"""An object begins with the number of references to it and the address of its type."""
_WORD: Final = struct.Struct("<I")


class UnexpectedLayout(PileusError):
    """The memory of the VM is not what CPython's of the pinned version is."""


def made_immortal(memory: bytes, addresses: bytes) -> bytes:
    """``memory`` with the objects at ``addresses`` immortal.

    ``addresses``: of ``None`` and then of the others, little-endian ``u32`` each. Raises `UnexpectedLayout`.
    """
    if len(addresses) % _WORD.size:
        raise UnexpectedLayout("the addresses of objects are cut short")
    found = [address for (address,) in _WORD.iter_unpack(addresses)]
    changed = bytearray(memory)
    known = frozenset(found)
    for position, address in enumerate(found):
        if address + _HEAD.size > len(memory):
            raise UnexpectedLayout(f"an object at {address:#x}, outside the memory of {len(memory)} bytes")
        references, kind = _HEAD.unpack_from(memory, address)
        if kind not in known or not (0 < references < MANY or references >= LEAST_IMMORTAL):
            raise UnexpectedLayout(f"no object at {address:#x}: {references} references, a type at {kind:#x}")
        if references < LEAST_IMMORTAL:
            if position == 0:
                raise UnexpectedLayout(f"None at {address:#x} is not immortal")
            _WORD.pack_into(changed, address, IMMORTAL)
    return bytes(changed)
