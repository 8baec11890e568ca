"""The guest's memory as host functions see it. Every access is bounds-checked; addresses come from strangers.

Two ways to the same bytes: `StockMemory` uses wasmtime's public interface, `RawMemory` the address at which
the memory lies in this process, some twenty times as fast for the small accesses that host calls make.
"""

from __future__ import annotations

import ctypes
from typing import Final, Protocol

import wasmtime

__all__ = ["GuestFault", "GuestMemory", "OutOfBounds", "RawMemory", "StockMemory"]


class GuestFault(Exception):
    """The guest passed what no host accepts. Internal: becomes a `Trap` that names the host function."""


class OutOfBounds(GuestFault):
    """A pointer of the guest leaves its memory."""

    def __init__(self, address: int, length: int, size: int) -> None:
        super().__init__(f"{length} bytes at {address:#x} are outside the memory of {size} bytes")


class GuestMemory(Protocol):
    """Bytes of one guest. Also the `HeapMemory` of its allocator."""

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

    def read(self, address: int, length: int) -> bytes:
        """Raises `OutOfBounds`."""

    def write(self, address: int, data: bytes | bytearray) -> None:
        """Raises `OutOfBounds`."""

    def read_u64(self, address: int) -> int:
        """Little-endian. Raises `OutOfBounds`."""

    def write_u64(self, address: int, value: int) -> None:
        """Little-endian. Raises `OutOfBounds`."""


class StockMemory:
    """Through `wasmtime.Memory`."""

    def __init__(self, memory: wasmtime.Memory, store: wasmtime.Store, max_pages: int) -> None:
        self._memory = memory
        self._store = store
        self.max_pages = max_pages

    @property
    def size(self) -> int:
        return self._memory.data_len(self._store)

    def holds(self, end: int) -> bool:
        return end <= self.size

    def grow(self, pages: int) -> bool:
        try:
            self._memory.grow(self._store, pages)
        except wasmtime.WasmtimeError:
            return False
        return True

    def read(self, address: int, length: int) -> bytes:
        self._check(address, length)
        return bytes(self._memory.read(self._store, address, address + length))

    def write(self, address: int, data: bytes | bytearray) -> None:
        self._check(address, len(data))
        if data:
            self._memory.write(self._store, data, address)

    def read_u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(8, "little"))

    def _check(self, address: int, length: int) -> None:
        if not self.holds(address + length):
            raise OutOfBounds(address, length, self.size)


ADDRESSABLE: Final = 1 << 32
"""Bytes that a guest can address."""
_Everything = ctypes.c_char * ADDRESSABLE


class RawMemory:
    """At its address in this process. wasmtime reserves 4 GiB for a memory, so it does not move."""

    def __init__(self, memory: wasmtime.Memory, store: wasmtime.Store, max_pages: int) -> None:
        self._memory = memory
        self._store = store
        self.max_pages = max_pages
        base = ctypes.addressof(memory.data_ptr(store).contents)
        # Over all that the memory may grow to; what is behind its end is only never asked for.
        self._bytes = memoryview(_Everything.from_address(base)).cast("B")
        self._size = memory.data_len(store)

    @property
    def size(self) -> int:
        self._size = self._memory.data_len(self._store)
        return self._size

    def holds(self, end: int) -> bool:
        # Asking the engine costs more than the access itself, and memories do not shrink.
        return end <= self._size or end <= self.size

    def grow(self, pages: int) -> bool:
        try:
            self._memory.grow(self._store, pages)
        except wasmtime.WasmtimeError:
            return False
        self._size = self._memory.data_len(self._store)
        return True

    def read(self, address: int, length: int) -> bytes:
        end = address + length
        if end > self._size and not self.holds(end):
            raise OutOfBounds(address, length, self._size)
        return self._bytes[address:end].tobytes()

    def write(self, address: int, data: bytes | bytearray) -> None:
        end = address + len(data)
        if end > self._size and not self.holds(end):
            raise OutOfBounds(address, len(data), self._size)
        self._bytes[address:end] = data

    def read_u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(8, "little"))
