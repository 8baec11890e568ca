"""The freeing-bump allocator: the heap that a legacy host manages in the guest's memory.

Sizes are rounded up to one of 23 *orders*, powers of two from 8 bytes to 32 MiB. Before each block stands an
8-byte header: while the block is in use, its order with bit 32 set; while it is free, the header address of
the next free block of its order, or `NIL`. A block is taken from the free list of its order, last freed
first, else from the bump pointer, growing the memory when that passes its end.

The guest can write anywhere in its memory, headers included, so nothing read from there is trusted. Which
address an allocation gets is visible to the guest, so this is consensus: it follows
``sc_allocator::freeing_bump`` to the byte [sc-allocator].
"""

from __future__ import annotations

from typing import Final, Protocol

from host_functions.executor.wasm.errors import AllocatorError, OutOfMemory
from host_functions.executor.wasm.heap import PAGE

__all__ = [
    "HEADER_SIZE",
    "MAX_POSSIBLE_ALLOCATION",
    "MIN_POSSIBLE_ALLOCATION",
    "NIL",
    "N_ORDERS",
    "OCCUPIED",
    "FreeingBumpAllocator",
    "Heap",
    "HeapMemory",
    "align_heap_base",
    "make_room",
    "next_free",
    "occupied_order",
]

HEADER_SIZE: Final = 8
ALIGNMENT: Final = 8
N_ORDERS: Final = 23
MIN_POSSIBLE_ALLOCATION: Final = 8
MAX_POSSIBLE_ALLOCATION: Final = 32 * 1024 * 1024
"""Bytes of the largest block."""
NIL: Final = 0xFFFF_FFFF
OCCUPIED: Final = 1 << 32
LINK: Final = OCCUPIED - 1


class Heap(Protocol):
    """Who allocates in a guest."""

    def allocate(self, size: int) -> int: ...

    def deallocate(self, pointer: int) -> None: ...


class HeapMemory(Protocol):
    """What the allocator needs of a memory."""

    @property
    def size(self) -> int:
        """Bytes it has now."""

    @property
    def max_pages(self) -> int:
        """Pages it may have."""

    def holds(self, end: int) -> bool:
        """Whether all addresses below ``end`` exist."""

    def grow(self, pages: int) -> bool:
        """Add pages; whether that was possible."""

    def read_u64(self, address: int) -> int: ...

    def write_u64(self, address: int, value: int) -> None: ...


def align_heap_base(heap_base: int) -> int:
    """The first address of the heap."""
    return (heap_base + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def next_free(memory: HeapMemory, header: int, length: int) -> int:
    """Take the free block at ``header``, ``length`` bytes with its header; the next one of its list."""
    if not memory.holds(header + length):
        raise AllocatorError("invalid header pointer detected")
    raw = memory.read_u64(header)
    if raw & OCCUPIED:
        raise AllocatorError("free list points to an occupied header")
    return raw & LINK


def occupied_order(memory: HeapMemory, pointer: int) -> int:
    """The order of the block in use at ``pointer``."""
    if pointer < HEADER_SIZE:
        raise AllocatorError("invalid pointer for deallocation")
    if not memory.holds(pointer):
        raise AllocatorError("pointer to deallocate is outside memory")
    raw = memory.read_u64(pointer - HEADER_SIZE)
    if not raw & OCCUPIED:
        raise AllocatorError("the allocation points to an empty header")
    order = raw & LINK
    if order >= N_ORDERS:
        raise AllocatorError(f"order {order} is out of range")
    return order


def make_room(memory: HeapMemory, required: int) -> None:
    """Grow ``memory`` to ``required`` bytes at least: double it, within its limit, or by more if needed."""
    if memory.holds(required):
        return
    current_pages = memory.size // PAGE
    required_pages = -(-required // PAGE)
    if current_pages >= memory.max_pages or required_pages > memory.max_pages:
        raise OutOfMemory(f"allocator ran out of space: {memory.max_pages} pages are the limit")
    next_pages = max(min(2 * current_pages, memory.max_pages), required_pages)
    if not memory.grow(next_pages - current_pages):
        raise OutOfMemory(f"allocator ran out of space: memory cannot grow to {next_pages} pages")


class FreeingBumpAllocator:
    """One heap. After any error it is poisoned: every further call fails."""

    def __init__(self, memory: HeapMemory, heap_base: int) -> None:
        """``heap_base``: the guest's ``__heap_base``, the first address above its own data."""
        self._memory = memory
        self._bumper = align_heap_base(heap_base)
        self._free_lists = [NIL] * N_ORDERS
        self._poisoned = False

    def allocate(self, size: int) -> int:
        """Address of a new block of at least ``size`` bytes. Raises `OutOfMemory`, `AllocatorError`."""
        self._enter()
        if size > MAX_POSSIBLE_ALLOCATION:
            raise OutOfMemory(f"requested allocation of {size} bytes is too large")
        order = (max(size, MIN_POSSIBLE_ALLOCATION) - 1).bit_length() - 3
        length = HEADER_SIZE + (MIN_POSSIBLE_ALLOCATION << order)
        header = self._free_lists[order]
        if header == NIL:
            header = self._bumper
            make_room(self._memory, header + length)
            self._bumper = header + length
        else:
            self._free_lists[order] = next_free(self._memory, header, length)
        self._memory.write_u64(header, order | OCCUPIED)
        self._poisoned = False
        return header + HEADER_SIZE

    def deallocate(self, pointer: int) -> None:
        """Give back the block at ``pointer``. Raises `AllocatorError`."""
        self._enter()
        order = occupied_order(self._memory, pointer)
        self._memory.write_u64(pointer - HEADER_SIZE, self._free_lists[order])
        self._free_lists[order] = pointer - HEADER_SIZE
        self._poisoned = False

    def _enter(self) -> None:
        if self._poisoned:
            raise AllocatorError("the allocator has been poisoned")
        self._poisoned = True
