"""A runtime that is called often, and by several threads."""

from __future__ import annotations

import resource
import threading

import pytest
import wasmtime

from host_functions.contexts import ValidationContext
from host_functions.executor.wasm import Dynamic, Trap, WasmRuntime
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import misc
from runtime.primitives.hashing import blake2_256

CODE = bytes(
    wasmtime.wat2wasm("""(module
      (import "env" "memory" (memory 2))
      (import "env" "ext_allocator_malloc_version_1" (func $malloc (param i32) (result i32)))
      (import "env" "ext_hashing_blake2_256_version_1" (func $hash (param i64) (result i32)))
      (import "env" "ext_misc_print_num_version_1" (func $print (param i64)))
      (global (export "__heap_base") i32 (i32.const 8))
      (func (export "hash") (param i32 i32) (result i64)
        (call $print (i64.extend_i32_u (local.get 1)))
        (i64.or (i64.const 0x2000000000) (i64.extend_i32_u (call $hash
          (i64.or (i64.extend_i32_u (local.get 0)) (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)))))))
      (func (export "fail") (param i32 i32) (result i64)
        (drop (call $malloc (i32.const 100000))) unreachable))""")
)


@pytest.mark.parametrize("linking", ["fast", "raw"])
def test_memory_stays_flat(linking: Linking) -> None:
    runtime = WasmRuntime(CODE, heap=Dynamic(64), linking=linking)

    def rounds(count: int) -> int:
        for number in range(count):
            data = number.to_bytes(8, "little") * 100
            assert len(runtime.call("hash", data, ValidationContext())) == 32
            with pytest.raises(Trap):
                runtime.call("fail", b"", ValidationContext())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    warm = rounds(200)
    assert rounds(500) - warm < 8_000, "KiB"


@pytest.mark.parametrize("linking", ["fast", "raw"])
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_threads_share_a_runtime(linking: Linking, timeout: float | None) -> None:
    """Each call keeps to its own context, memory and helper."""
    runtime = WasmRuntime(CODE, heap=Dynamic(64), linking=linking, timeout=timeout)
    wrong: list[object] = []

    def work(seed: int) -> None:
        seen: list[int] = []
        context = ValidationContext().override({misc.print_num: seen.append})
        for number in range(50):
            data = bytes([seed]) * number
            if runtime.call("hash", data, context) != blake2_256(data):
                wrong.append((seed, number))
        if seen != list(range(50)):
            wrong.append(seen)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
