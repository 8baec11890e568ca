"""The helper module computes what the Python allocator and the pure hash functions compute."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
import wasmtime
from hypothesis import example, given
from hypothesis import strategies as st

from host_functions.contexts import HostContext, ValidationContext
from host_functions.executor.wasm import OutOfMemory, Trap
from host_functions.executor.wasm.allocator import FreeingBumpAllocator
from host_functions.executor.wasm.engine import EngineConfig, engine_for
from host_functions.executor.wasm.execution import Execution
from host_functions.executor.wasm.heap import PAGE
from host_functions.executor.wasm.helper import HELPED, Helper, SharedHeap, hashes_are_pure
from host_functions.executor.wasm.memory import OutOfBounds, RawMemory, StockMemory
from host_functions.interfaces import hashing

MALLOC, FREE = HELPED[:2]
HASHES = {
    function.name: function
    for function in (hashing.twox_64, hashing.twox_128, hashing.blake2_128, hashing.blake2_256)
}
CONFIG = EngineConfig()
BUMP_BASE = 1001


class Bench:
    """A helper over a memory, entered as a guest does (`wasm_…`) and as the host does (`heap`)."""

    def __init__(self, pages: int, max_pages: int) -> None:
        self.store = wasmtime.Store(engine_for(CONFIG))
        kind = wasmtime.MemoryType(wasmtime.Limits(pages, max_pages))
        guest = wasmtime.Memory(self.store, kind)
        self.memory = RawMemory(guest, self.store, max_pages)
        self.helper = Helper(CONFIG, self.store, guest)
        self.execution = Execution("run", ValidationContext())
        self.execution.memory = self.memory
        self.heap: SharedHeap = self.helper.heap(self.memory, BUMP_BASE)

    def call(self, name: str, argument: int) -> int | None:
        function = self.helper._instance.exports(self.store)[name]
        assert isinstance(function, wasmtime.Func)
        bits = 32 if name in (MALLOC, FREE) else 64
        signed = argument - ((argument >> (bits - 1)) << bits)
        try:
            result = function(self.store, signed)
        except wasmtime.Trap as trap:
            fault = self.helper.fault(self.execution)
            assert fault is not None, trap.message
            raise fault from None
        return None if result is None else int(result) & 0xFFFF_FFFF

    def content(self) -> bytes:
        return self.memory.read(0, self.memory.size)


def attempt(call: Callable[..., object], *arguments: object) -> object:
    try:
        return call(*arguments)
    except OutOfMemory as error:
        return type(error), str(error)


SIZES = st.one_of(
    st.integers(0, 100),
    st.integers(0, 70_000),
    st.sampled_from([8, 9, 2**16, 2**20, 2**25, 2**25 + 1, 2**31, 2**32 - 1]),
)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("malloc"), SIZES),
        st.tuples(st.just("free"), st.integers(0, 20)),
        st.tuples(st.just("free at"), st.one_of(st.integers(0, 3000), st.integers(0, 2**32 - 1))),
        st.tuples(st.just("scribble"), st.tuples(st.integers(0, 3000), st.integers(0, 2**64 - 1))),
    ),
    max_size=40,
)


@given(OPERATIONS, st.integers(0, 2**40), st.integers(1, 4), st.integers(0, 600))
@example([("malloc", 8), ("free", 0), ("scribble", (1008, 23)), ("free at", 1016)], 0, 1, 0)
@example(
    [("malloc", 8), ("free", 0), ("scribble", (1008, 1 << 63 | 0xFFF0)), ("malloc", 8), ("malloc", 8)],
    0,
    1,
    0,
)
@example([("malloc", 8), ("free", 0), ("scribble", (1008, 5 << 32)), ("malloc", 8)], 0, 1, 0)
@example([("malloc", 2**25)] * 3, 0b101, 1, 600)
def test_the_heap_is_the_same(
    operations: list[tuple[str, object]], sides: int, pages: int, more: int
) -> None:
    """Whatever is asked, and whichever side asks, up to and including the first error."""
    fast, plain = Bench(pages, pages + more), Bench(pages, pages + more)
    reference = FreeingBumpAllocator(plain.memory, BUMP_BASE)
    held: list[int] = []
    for step, (operation, value) in enumerate(operations):
        by_guest = sides >> step & 1
        if operation == "scribble":
            assert isinstance(value, tuple)
            for bench in (fast, plain):
                bench.memory.write_u64(*value)
            continue
        assert isinstance(value, int)
        if operation == "malloc":
            ours = attempt(fast.call, MALLOC, value) if by_guest else attempt(fast.heap.allocate, value)
            theirs = attempt(reference.allocate, value)
            if isinstance(theirs, int):
                held.append(theirs)
        else:
            pointer = value
            if operation == "free":
                if not held:
                    continue
                pointer = held.pop(value % len(held))
            ours = attempt(fast.call, FREE, pointer) if by_guest else attempt(fast.heap.deallocate, pointer)
            theirs = attempt(reference.deallocate, pointer)
        assert ours == theirs, (step, operation, value)
        assert fast.memory.size == plain.memory.size
        if isinstance(theirs, tuple):
            return
    assert fast.memory.read(0, 8192) == plain.memory.read(0, 8192)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(40, 40)


@pytest.mark.parametrize("name", list(HASHES))
@pytest.mark.parametrize("length", [*range(140), 255, 256, 257, 383, 384, 385, 1000, 4096, 65537])
def test_hashes_of_every_length(bench: Bench, name: str, length: int) -> None:
    data = bytes((7 * index + length) & 0xFF for index in range(length))
    hashed(bench, name, 100_000 + length % 8, data)


@given(st.sampled_from(list(HASHES)), st.binary(max_size=600), st.integers(0, 40 * PAGE))
def test_hashes_of_anything_anywhere(name: str, data: bytes, address: int) -> None:
    bench = Bench(41, 41)
    # Also where the result will be written: it is, after the data was read.
    hashed(bench, name, address, data)


@given(st.sampled_from(list(HASHES)), st.integers(0, 300))
def test_hashes_up_to_the_end_of_memory(name: str, length: int) -> None:
    bench = Bench(1, 1)
    hashed(bench, name, PAGE - length, bytes(length))
    with pytest.raises(Trap, match=f"run: {name}: {length} bytes at .* outside the memory of 65536 bytes"):
        bench.call(name, (PAGE - length + 1) | length << 32)


def hashed(bench: Bench, name: str, address: int, data: bytes) -> None:
    bench.memory.write(address, data)
    expected = HASHES[name].pure_implementation(data)
    pointer = bench.call(name, address | len(data) << 32)
    assert isinstance(pointer, int)
    assert bench.memory.read(pointer, len(expected)) == expected
    bench.heap.deallocate(pointer)


def test_contexts_that_replace_a_hash_are_asked() -> None:
    context = ValidationContext()
    assert hashes_are_pure(context)
    for function in HASHES.values():
        assert not hashes_are_pure(context.override({function: lambda data: b""}))

    class Counting(HostContext):
        @hashing.twox_64.implement
        def twox_64(self, data: bytes) -> bytes:
            return hashing.twox_64.pure_implementation(data)

    assert not hashes_are_pure(Counting())


@given(st.integers(0, 2**33), st.binary(max_size=40), st.integers(0, 5))
def test_both_views_of_memory_agree(address: int, data: bytes, grow: int) -> None:
    store = wasmtime.Store(engine_for(CONFIG))
    guest = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 3)))
    raw, stock = RawMemory(guest, store, 3), StockMemory(guest, store, 3)
    assert stock.grow(grow) == (grow <= 2)
    assert raw.size == stock.size == (1 + (grow if grow <= 2 else 0)) * PAGE
    if address + len(data) > raw.size:
        for memory in (raw, stock):
            with pytest.raises(OutOfBounds, match="outside the memory"):
                memory.write(address, data)
            with pytest.raises(OutOfBounds, match="outside the memory"):
                memory.read(address, len(data))
        return
    raw.write(address, data)
    assert stock.read(address, len(data)) == raw.read(address, len(data)) == data
    stock.write(address, data[::-1])
    assert raw.read(address, len(data)) == data[::-1]


def test_the_memory_does_not_move() -> None:
    store = wasmtime.Store(engine_for(CONFIG))
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 4096)))
    before = ctypes.addressof(memory.data_ptr(store).contents)
    memory.grow(store, 4000)
    assert ctypes.addressof(memory.data_ptr(store).contents) == before
