"""The helper module at work: an instance of it beside each guest, and the host's view of the heap they share.

See `host_functions.executor.wasm.helper_wat` for what it computes. Only guests that import their memory can
have one, since the module must exist before the guest does; the others are served by host functions in Python.
"""

from __future__ import annotations

import atexit
import ctypes
import struct
from functools import cache
from typing import Final

import wasmtime

from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction
from host_functions.errors import SandboxError
from host_functions.executor.wasm import allocator, helper_wat
from host_functions.executor.wasm.allocator import (
    HEADER_SIZE,
    MIN_POSSIBLE_ALLOCATION,
    N_ORDERS,
    NIL,
    OCCUPIED,
)
from host_functions.executor.wasm.engine import EngineConfig, engine_for
from host_functions.executor.wasm.errors import AllocatorError, OutOfMemory, Trap
from host_functions.executor.wasm.execution import Execution
from host_functions.executor.wasm.exports import Exports
from host_functions.executor.wasm.helper_wat import (
    BUMPER,
    DETAIL,
    ERROR,
    FREE_LISTS,
    HASHES,
    Fault,
)
from host_functions.executor.wasm.memory import GuestMemory, OutOfBounds
from host_functions.interfaces import allocator as allocator_interface
from host_functions.interfaces import hashing

__all__ = ["HELPED", "Helper", "SharedHeap", "hashes_are_pure"]

_HASH_FUNCTIONS: Final[tuple[HostFunction[..., bytes], ...]] = (
    hashing.twox_64,
    hashing.twox_128,
    hashing.blake2_128,
    hashing.blake2_256,
)
HELPED: Final = (
    allocator_interface.malloc.name,
    allocator_interface.free.name,
    *(function.name for function in _HASH_FUNCTIONS),
)
"""Import names that the helper answers."""
LOW: Final = 0xFFFF_FFFF
_STATE_HEAD: Final = struct.Struct("<QI")


@cache
def _module(config: EngineConfig) -> wasmtime.Module:
    module = wasmtime.Module(engine_for(config), bytes(wasmtime.wat2wasm(helper_wat.helper_text())))
    atexit.register(module.close)
    return module


def hashes_are_pure(context: HostContext) -> bool:
    """Whether ``context`` hashes as everybody does; one that counts or replaces hashes must be asked."""
    return all(context.resolve(function) is function.pure_implementation for function in _HASH_FUNCTIONS)


class Helper:
    """One instance of the module, bound to the memory of one guest."""

    def __init__(self, config: EngineConfig, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._instance = wasmtime.Instance(store, _module(config), [memory])
        state = Exports(self._instance, store).get("state")
        if not isinstance(state, wasmtime.Memory):
            raise TypeError("the helper module lost its state")
        self._state = ctypes.addressof(state.data_ptr(store).contents)

    def define(self, linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        """Let ``linker`` answer `HELPED` with this instance."""
        linker.define_instance(store, "env", self._instance)

    def heap(self, memory: GuestMemory, heap_base: int) -> SharedHeap:
        """Begin the heap at ``heap_base``."""
        begin = _STATE_HEAD.pack(allocator.align_heap_base(heap_base), memory.max_pages)
        ctypes.memmove(self._state + BUMPER, begin, _STATE_HEAD.size)
        return SharedHeap(memory, self._state)

    def fault(self, execution: Execution) -> SandboxError | None:
        """Why the module trapped; ``None`` if it did not."""
        code = ctypes.c_uint32.from_address(self._state + ERROR).value
        detail = ctypes.c_uint64.from_address(self._state + DETAIL).value
        if code >= Fault.BOUNDS:
            name = f"ext_hashing_{HASHES[code - Fault.BOUNDS]}_version_1"
            bounds = OutOfBounds(detail & LOW, detail >> 32, execution.memory.size)
            return Trap(execution.entry_point, f"{name}: {bounds}")
        return heap_error(Fault(code), detail) if code else None


def heap_error(fault: Fault, detail: int) -> OutOfMemory:
    """The error that `FreeingBumpAllocator` raises in the same place."""
    match fault:
        case Fault.TOO_LARGE:
            return OutOfMemory(f"requested allocation of {detail} bytes is too large")
        case Fault.OUT_OF_SPACE:
            return OutOfMemory(f"allocator ran out of space: {detail} pages are the limit")
        case Fault.CANNOT_GROW:
            return OutOfMemory(f"allocator ran out of space: memory cannot grow to {detail} pages")
        case Fault.INVALID_HEADER:
            return AllocatorError("invalid header pointer detected")
        case Fault.OCCUPIED_HEADER:
            return AllocatorError("free list points to an occupied header")
        case Fault.INVALID_POINTER:
            return AllocatorError("invalid pointer for deallocation")
        case Fault.OUTSIDE:
            return AllocatorError("pointer to deallocate is outside memory")
        case Fault.EMPTY_HEADER:
            return AllocatorError("the allocation points to an empty header")
        case _:
            return AllocatorError(f"order {detail} is out of range")


class SharedHeap:
    """The heap that the helper keeps, entered from the host's side. After an error the guest is stopped."""

    def __init__(self, memory: GuestMemory, state: int) -> None:
        self._memory = memory
        self._free_lists = (ctypes.c_uint32 * N_ORDERS).from_address(state + FREE_LISTS)
        self._bumper = ctypes.c_uint64.from_address(state + BUMPER)

    def allocate(self, size: int) -> int:
        """See `FreeingBumpAllocator.allocate`."""
        if size > allocator.MAX_POSSIBLE_ALLOCATION:
            raise heap_error(Fault.TOO_LARGE, size)
        order = (max(size, MIN_POSSIBLE_ALLOCATION) - 1).bit_length() - 3
        header = self._free_lists[order]
        length = HEADER_SIZE + (MIN_POSSIBLE_ALLOCATION << order)
        if header == NIL:
            header = self._bumper.value
            allocator.make_room(self._memory, header + length)
            self._bumper.value = header + length
        else:
            self._free_lists[order] = allocator.next_free(self._memory, header, length)
        self._memory.write_u64(header, order | OCCUPIED)
        return header + HEADER_SIZE

    def deallocate(self, pointer: int) -> None:
        """See `FreeingBumpAllocator.deallocate`."""
        order = allocator.occupied_order(self._memory, pointer)
        self._memory.write_u64(pointer - HEADER_SIZE, self._free_lists[order])
        self._free_lists[order] = pointer - HEADER_SIZE
