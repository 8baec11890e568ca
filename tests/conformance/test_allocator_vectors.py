"""The heap against what Substrate, smoldot and gossamer recorded: `host_api.json`, allocator traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.executor.wasm import AllocatorError, OutOfMemory
from host_functions.executor.wasm.allocator import FreeingBumpAllocator
from host_functions.executor.wasm.heap import MAX_PAGES, PAGE

Vectors = Callable[[str], Any]
TRACES = "ext_allocator_malloc/free_version_1"
VALUES = ("ext_allocator_malloc_version_1", "ext_allocator_free_version_1")


class FlatMemory:
    """A memory of any size in bytes, as the recorded traces have."""

    def __init__(self, size: int, max_pages: int) -> None:
        self.data = bytearray(size)
        self.max_pages = max_pages

    @property
    def size(self) -> int:
        return len(self.data)

    def holds(self, end: int) -> bool:
        return end <= len(self.data)

    def grow(self, pages: int) -> bool:
        self.data.extend(bytes(pages * PAGE))
        return True

    def read_u64(self, address: int) -> int:
        assert address + 8 <= len(self.data)
        return int.from_bytes(self.data[address : address + 8], "little")

    def write_u64(self, address: int, value: int) -> None:
        assert address + 8 <= len(self.data)
        self.data[address : address + 8] = value.to_bytes(8, "little")


def replay(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    size = inputs["memory_size"]
    memory = FlatMemory(size, MAX_PAGES if inputs["memory_can_grow"] else size // PAGE)
    heap = FreeingBumpAllocator(memory, inputs["heap_base"])
    for step, op in enumerate(case["ops"]):
        where = f"{case['id']}, step {step}"
        if "error" in op:
            expected = AllocatorError if op["error"] == "Poisoned" else OutOfMemory
            with pytest.raises(expected) as caught:
                heap.allocate(op["size"]) if op["op"] == "alloc" else heap.deallocate(op["ptr"])
            assert type(caught.value) is expected, where
        elif op["op"] == "alloc":
            assert heap.allocate(op["size"]) == op["ptr"], where
        else:
            heap.deallocate(op["ptr"])


def test_recorded_traces(vectors: Vectors) -> None:
    cases = [case for case in vectors("host_api") if case["function"] == TRACES]
    for case in cases:
        replay(case)
    assert len(cases) >= 12


def test_a_value_survives_its_allocation(vectors: Vectors) -> None:
    cases = [case for case in vectors("host_api") if case["function"] in VALUES]
    memory = FlatMemory(PAGE, 16)
    heap = FreeingBumpAllocator(memory, 13)
    for case in cases:
        value = case["inputs"]["value"].encode()
        pointer = heap.allocate(len(value))
        memory.data[pointer : pointer + len(value)] = value
        assert memory.data[pointer : pointer + len(value)].decode() == case["expected"]
        heap.deallocate(pointer)
    assert len(cases) >= 10
