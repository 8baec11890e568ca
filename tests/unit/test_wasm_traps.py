"""What a hostile guest can try, one small module each, under both ways of linking."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import wasmtime

from host_functions.contexts import HostContext, ValidationContext
from host_functions.contexts.families import Misc
from host_functions.errors import GuestPanic, HostError, MissingHostFunction
from host_functions.executor.wasm import (
    AllocatorError,
    DeadlineExceeded,
    Dynamic,
    InvalidCode,
    OutOfMemory,
    Static,
    Trap,
    WasmRuntime,
)
from host_functions.executor.wasm.heap import HeapAllocStrategy
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import hashing, misc

Run = Callable[..., bytes]

MALLOC = '(import "env" "ext_allocator_malloc_version_1" (func $malloc (param i32) (result i32)))'
FREE = '(import "env" "ext_allocator_free_version_1" (func $free (param i32)))'
BLAKE2 = '(import "env" "ext_hashing_blake2_256_version_1" (func $blake2 (param i64) (result i32)))'
STORAGE_GET = '(import "env" "ext_storage_get_version_1" (func $get (param i64) (result i64)))'
ECHO = "(i64.or (i64.extend_i32_u (local.get 0)) (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)))"
OWN_MEMORY = '(memory (export "memory") 2)'
IMPORTED_MEMORY = '(import "env" "memory" (memory 2))'
HEAP_BASE = '(global (export "__heap_base") i32 (i32.const 1024))'


def module(body: str, *imports: str, memory: str = OWN_MEMORY, heap_base: str = HEAP_BASE) -> bytes:
    """A runtime with one entry point ``run``; ``body`` leaves its result on the stack."""
    entry = f'(func (export "run") (param i32 i32) (result i64) (local $i i32) {body})'
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(imports)} {memory} {heap_base} {entry})"))


@pytest.fixture(params=["fast", "raw", "stock"])
def linking(request: pytest.FixtureRequest) -> Linking:
    chosen: Linking = request.param
    return chosen


@pytest.fixture
def run(linking: Linking) -> Run:
    def call(
        code: bytes,
        argument: bytes = b"",
        context: HostContext | None = None,
        heap: HeapAllocStrategy = Dynamic(64),  # noqa: B008  (immutable)
        timeout: float | None = None,
    ) -> bytes:
        runtime = WasmRuntime(code, heap=heap, timeout=timeout, linking=linking)
        return runtime.call("run", argument, ValidationContext() if context is None else context)

    return call


@contextmanager
def trap(reason: str) -> Iterator[None]:
    with pytest.raises(Trap, match=reason) as caught:
        yield
    assert caught.value.entry_point == "run"


@pytest.mark.parametrize("memory", [OWN_MEMORY, IMPORTED_MEMORY], ids=["exported", "imported"])
def test_memory_of_either_kind_carries_arguments_and_results(run: Run, memory: str) -> None:
    code = module(ECHO, memory=memory)
    if memory is IMPORTED_MEMORY:
        code = bytes(
            wasmtime.wat2wasm(
                f'(module {memory} {HEAP_BASE} (func (export "run") (param i32 i32) (result i64) {ECHO}))'
            )
        )
    for argument in (b"", b"x", bytes(range(256)) * 100):
        assert run(code, argument) == argument


def test_each_call_gets_a_fresh_instance(linking: Linking) -> None:
    counting = (
        "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (i64.const 0x400000000)"
    )
    runtime = WasmRuntime(module(counting), linking=linking)
    assert [runtime.call("run", b"", ValidationContext()) for _ in range(3)] == [b"\x01\0\0\0"] * 3


def test_endless_loop_meets_its_deadline(run: Run) -> None:
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        run(module("(loop $l (br $l)) (i64.const 0)"), timeout=0.1)
    assert caught.value.seconds == 0.1
    assert time.monotonic() - begun > 0.05


def test_a_timeout_does_not_hurt_quick_calls(run: Run) -> None:
    assert run(module(ECHO), b"abc", timeout=10.0) == b"abc"


def test_deep_recursion_exhausts_the_stack(run: Run) -> None:
    recursion = "(func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))"
    code = wasmtime.wat2wasm(
        f"(module {OWN_MEMORY} {HEAP_BASE} {recursion}"
        '(func (export "run") (param i32 i32) (result i64) (i64.extend_i32_u (call $f (local.get 0)))))'
    )
    with trap("call stack exhausted"):
        run(bytes(code))


def test_recursion_through_the_host_ends_too(linking: Linking) -> None:
    """A host function that enters the guest again: each level has a stack of its own, the host's runs out."""
    utf8 = '(import "env" "ext_misc_print_utf8_version_1" (func $print (param i64)))'
    runtime = WasmRuntime(
        module("(call $print (i64.const 0)) (i64.const 0)", utf8), heap=Dynamic(2), linking=linking
    )
    depth = 0

    def again(utf8: bytes) -> None:
        nonlocal depth
        depth += 1
        if depth < 20:
            runtime.call("run", b"", context)
        raise RecursionError("deep enough")

    context = ValidationContext().override({misc.print_utf8: again})
    with pytest.raises(RecursionError, match="deep enough"):
        runtime.call("run", b"", context)
    assert depth == 20


@pytest.mark.parametrize("heap", [Dynamic(16), Static(14)], ids=str)
@pytest.mark.parametrize("memory", [OWN_MEMORY, IMPORTED_MEMORY], ids=["exported", "imported"])
def test_memory_bombs_stop_at_the_limit(run: Run, heap: HeapAllocStrategy, memory: str) -> None:
    parts = [MALLOC, memory] if memory is IMPORTED_MEMORY else [MALLOC]
    own = memory if memory is OWN_MEMORY else ""
    by_malloc = module(
        "(loop $l (drop (call $malloc (i32.const 60000))) (br $l)) (i64.const 0)", *parts, memory=own
    )
    with pytest.raises(OutOfMemory, match="16 pages are the limit"):
        run(by_malloc, heap=heap)
    grown = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"
    result = "(i32.store (i32.const 0) (memory.size)) (i64.const 0x400000000)"
    pages = run(module(grown + result, *parts, memory=own), heap=heap)
    assert int.from_bytes(pages, "little") == 16


def test_allocations_have_a_largest_size(run: Run) -> None:
    code = module("(drop (call $malloc (i32.const 33554433))) (i64.const 0)", MALLOC)
    with pytest.raises(OutOfMemory, match="33554433 bytes is too large"):
        run(code, heap=Dynamic(4096))
    code = module("(drop (call $malloc (i32.const -1))) (i64.const 0)", MALLOC)
    with pytest.raises(OutOfMemory, match="4294967295 bytes is too large"):
        run(code)


@pytest.mark.parametrize(
    "body, reason",
    [
        ("(call $free (i32.const 4))", "invalid pointer"),
        ("(call $free (i32.const -8))", "outside memory"),
        ("(call $free (i32.const 512))", "empty header"),
        (
            "(local.set $i (call $malloc (i32.const 8))) (call $free (local.get $i)) (call $free (local.get $i))",
            "empty header",
        ),
        (
            "(i64.store (i32.const 64) (i64.const 0x100000017)) (call $free (i32.const 72))",
            "order 23 is out of range",
        ),
        (
            "(local.set $i (call $malloc (i32.const 8))) (call $free (local.get $i))"
            "(i64.store (i32.sub (local.get $i) (i32.const 8)) (i64.const 0x100000000))"
            "(drop (call $malloc (i32.const 8)))",
            "occupied header",
        ),
        (
            "(local.set $i (call $malloc (i32.const 8))) (call $free (local.get $i))"
            "(i64.store (i32.sub (local.get $i) (i32.const 8)) (i64.const 0xfffffff0))"
            "(drop (call $malloc (i32.const 8))) (drop (call $malloc (i32.const 8)))",
            "invalid header",
        ),
    ],
)
def test_broken_heaps_are_noticed(run: Run, body: str, reason: str) -> None:
    with pytest.raises(AllocatorError, match=reason):
        run(module(f"{body} (i64.const 0)", MALLOC, FREE))


@pytest.mark.parametrize(
    "pointer", ["0x2_0001_ffff", "0x1_ffff_ffff", "0xffff_ffff_0000_0000", "0x0000_0000_0002_0001"]
)
def test_arguments_outside_memory(run: Run, pointer: str) -> None:
    number = int(pointer.replace("_", ""), 16)
    with trap("ext_hashing_blake2_256_version_1: .* outside the memory"):
        run(module(f"(drop (call $blake2 (i64.const {number}))) (i64.const 0)", BLAKE2))


def test_thin_pointers_outside_memory(run: Run) -> None:
    verify = '(import "env" "ext_crypto_sr25519_verify_version_2" (func $v (param i32 i64 i32) (result i32)))'
    body = "(i64.extend_i32_u (call $v (i32.const {}) (i64.const 0) (i32.const {})))"
    for signature, public in ((131072 - 63, 0), (0, 131072 - 31), (-1, 0)):
        with trap("ext_crypto_sr25519_verify_version_2: .* outside the memory"):
            run(module(body.format(signature, public), verify))
    assert run(module(body.format(131072 - 64, 131072 - 32), verify)) == b""


@pytest.mark.parametrize("packed", [0x1_0002_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x2_0000_0000_0001, 0x2_0001])
def test_results_outside_memory(run: Run, packed: int) -> None:
    with trap("outside the memory"):
        run(module(f"(i64.const {packed})"))


def test_results_may_end_where_memory_ends(run: Run) -> None:
    assert run(module("(i64.const 0x10001ffff)")) == b"\0"
    assert run(module("(i64.const 0x20000)")) == b""


def test_undecodable_arguments(run: Run) -> None:
    root = (
        '(import "env" "ext_trie_blake2_256_ordered_root_version_2" (func $r (param i64 i32) (result i32)))'
    )
    body = (
        "(i32.store8 (i32.const 0) (i32.const {})) (i64.extend_i32_u (call $r (i64.const {}) (i32.const 0)))"
    )
    with trap("ext_trie_blake2_256_ordered_root_version_2: undecodable argument"):
        run(module(body.format(0xFC, 0x1_0000_0000), root))


def test_wasm_traps_keep_their_reason(run: Run) -> None:
    with trap("unreachable"):
        run(module("unreachable"))
    with trap("divide by zero"):
        run(module("(i64.div_u (i64.const 1) (i64.const 0))"))
    with trap("out of bounds memory access"):
        run(module("(i64.load (i32.const -1))"))


LOG = '(import "env" "ext_logging_log_version_1" (func $log (param i32 i64 i64)))'
PANIC = 'panicked at "why": lib.rs:1'
DATA = f'(data (i32.const 0) "{PANIC.replace(chr(34), chr(92) + chr(34))}")'
MESSAGE = f"(i64.const {len(PANIC) << 32})"


def test_a_panic_that_was_logged_is_told(run: Run) -> None:
    context = Misc(max_level=0)
    code = module(
        f"(call $log (i32.const 0) (i64.const 0) {MESSAGE}) unreachable", LOG, memory=OWN_MEMORY + DATA
    )
    with pytest.raises(GuestPanic) as caught:
        run(code, context=context)
    assert caught.value.message == PANIC
    assert [line.message for line in context.lines] == [PANIC]


def test_a_warning_is_no_panic(run: Run) -> None:
    code = module(
        f"(call $log (i32.const 1) (i64.const 0) {MESSAGE}) unreachable", LOG, memory=OWN_MEMORY + DATA
    )
    with trap("unreachable"):
        run(code)


def test_abort_on_panic(run: Run) -> None:
    abort = '(import "env" "ext_panic_handler_abort_on_panic_version_1" (func $abort (param i64)))'
    with pytest.raises(GuestPanic) as caught:
        run(module(f"(call $abort {MESSAGE}) (i64.const 0)", abort, memory=OWN_MEMORY + DATA))
    assert caught.value.message == PANIC
    assert caught.value.entry_point == "run"


def test_unknown_imports_fail_only_when_called(run: Run) -> None:
    unknown = '(import "env" "ext_sandbox_memory_new_version_1" (func $x (param i32 f64) (result f32)))'
    assert run(module(ECHO, unknown), b"fine") == b"fine"
    with pytest.raises(MissingHostFunction) as caught:
        run(module("(drop (call $x (i32.const 1) (f64.const 2))) (i64.const 0)", unknown))
    assert caught.value.function == "ext_sandbox_memory_new_version_1"


@pytest.mark.parametrize(
    "name, reason",
    [
        ("ext_sandbox_memory_new_version_1", "guests that run guests"),
        ("ext_elliptic_curves_bls12_381_msm_g1_version_1", "arithmetic on elliptic curves"),
        ("ext_crypto_bandersnatch_generate_version_1", "keys for ring signatures"),
        ("ext_crypto_bls381_generate_version_1", "BLS keys"),
        ("ext_wishes_come_true_version_1", "knows no function of that name"),
    ],
)
def test_a_stub_says_what_it_stands_for(run: Run, name: str, reason: str) -> None:
    wanted = f'(import "env" "{name}" (func $x (param i64) (result i64)))'
    with pytest.raises(MissingHostFunction, match=f"{name} is not provided by this host .*{reason}"):
        run(module("(call $x (i64.const 0))", wanted))


def test_what_the_context_lacks_is_missing_by_name(run: Run) -> None:
    assert run(module(ECHO, STORAGE_GET), b"fine") == b"fine"
    with pytest.raises(MissingHostFunction, match="ext_storage_get_version_1 is not provided by Validation"):
        run(module("(call $get (i64.const 0))", STORAGE_GET))


def test_errors_of_the_host_come_out_as_they_are(run: Run) -> None:
    class Broken(HostError):
        pass

    error = Broken("no disk")

    def broken(data: bytes) -> bytes:
        raise error

    context = ValidationContext().override({hashing.blake2_256: broken})
    with pytest.raises(Broken) as caught:
        run(module("(drop (call $blake2 (i64.const 0))) (i64.const 0)", BLAKE2), context=context)
    assert caught.value is error
    with pytest.raises(KeyboardInterrupt):

        def interrupted(data: bytes) -> bytes:
            raise KeyboardInterrupt

        context = ValidationContext().override({hashing.blake2_256: interrupted})
        run(module("(drop (call $blake2 (i64.const 0))) (i64.const 0)", BLAKE2), context=context)


def test_a_host_answer_of_the_wrong_size_is_the_hosts_fault(run: Run) -> None:
    context = ValidationContext().override({hashing.blake2_256: lambda data: b"short"})
    with pytest.raises(HostError, match="5 bytes instead of 32"):
        run(module("(drop (call $blake2 (i64.const 0))) (i64.const 0)", BLAKE2), context=context)


def test_signatures_are_checked_before_anything_runs() -> None:
    wrong = '(import "env" "ext_storage_get_version_1" (func $get (param i32) (result i64)))'
    with pytest.raises(
        InvalidCode, match=r"ext_storage_get_version_1 to be \(i32\) -> i64, .* \(i64\) -> i64"
    ):
        WasmRuntime(module(ECHO, wrong))


@pytest.mark.parametrize(
    "wat, reason",
    [
        ('(module (memory (export "memory") 1))', "no entry point"),
        (
            '(module (memory (export "memory") 1) (func (export "a") (param i32 i32) (result i64) (i64.const 0))'
            '(func (export "b") (param i32) (result i64) (i64.const 0)))',
            "mixes calling styles",
        ),
        (
            '(module (import "env" "ext_input_read_version_1" (func (param i64)))'
            '(memory (export "memory") 1) (func (export "a") (param i32 i32) (result i64) (i64.const 0)))',
            "mixes calling styles",
        ),
        (
            f'(module {MALLOC} (memory (export "memory") 1)'
            '(func (export "b") (param i32) (result i64) (i64.const 0)))',
            "mixes calling styles",
        ),
        ('(module (func (export "a") (param i32 i32) (result i64) (i64.const 0)))', "0 memories"),
        (
            '(module (memory 1) (func (export "a") (param i32 i32) (result i64) (i64.const 0)))',
            "neither imports nor exports",
        ),
        ('(module (import "wasi" "f" (func)) (memory (export "memory") 1))', "from 'wasi'"),
        ('(module (import "env" "t" (table 1 funcref)) (memory (export "memory") 1))', "neither a function"),
        (
            '(module (memory (export "memory") 1) (func (export "a") (param i32 i32) (result i64)'
            "(drop (v128.const i64x2 0 0)) (i64.const 0)))",
            "SIMD",
        ),
        (
            '(module (memory (export "memory") 1) (func (export "a") (param i32 i32) (result i64)'
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (i64.const 0)))",
            "bulk memory",
        ),
        (
            '(module (memory (export "memory") 1) (func $s) (start $s)'
            '(func (export "a") (param i32 i32) (result i64) (i64.const 0)))',
            "start function",
        ),
        (
            '(module (memory (export "memory") 1) (memory 1)'
            '(func (export "a") (param i32 i32) (result i64) (i64.const 0)))',
            "2 memories",
        ),
    ],
)
def test_refused_before_it_runs(wat: str, reason: str) -> None:
    with pytest.raises(InvalidCode, match=reason):
        WasmRuntime(bytes(wasmtime.wat2wasm(wat)))


@pytest.mark.parametrize(
    "heap_base",
    [
        "",
        '(global (export "__heap_base") f64 (f64.const nan))',
        '(global (export "__heap_base") i64 (i64.const 8))',
        '(func (export "__heap_base"))',
    ],
)
def test_no_heap_base(run: Run, heap_base: str) -> None:
    with pytest.raises(InvalidCode, match="__heap_base"):
        run(module(ECHO, heap_base=heap_base))


def test_a_heap_base_outside_memory(run: Run) -> None:
    code = module(ECHO, heap_base='(global (export "__heap_base") i32 (i32.const -9))')
    with pytest.raises(OutOfMemory, match="64 pages are the limit"):
        run(code)
    code = module(ECHO, heap_base='(global (export "__heap_base") i32 (i32.const 2000000))')
    assert run(code, b"the memory grows") == b"the memory grows"


def test_data_outside_memory(run: Run) -> None:
    code = module(ECHO, memory=OWN_MEMORY + '(data (i32.const 131071) "ab")')
    with trap("out of bounds memory access"):
        run(code)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_deadlines_hold_in_a_forked_process() -> None:
    code = module("(loop $l (br $l)) (i64.const 0)")
    runtime = WasmRuntime(code, timeout=0.05)
    with pytest.raises(DeadlineExceeded):
        runtime.call("run", b"", ValidationContext())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            runtime.call("run", b"", ValidationContext())
        except DeadlineExceeded:
            status = 7
        finally:
            os._exit(status)
    waited = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > waited + 20:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child never met its deadline")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 7


def test_entry_points_are_those_exported(run: Run, linking: Linking) -> None:
    runtime = WasmRuntime(module(ECHO), linking=linking)
    assert runtime.blob.entry_points == ("run",)
    with pytest.raises(GuestPanic, match="exports no such function"):
        runtime.call("Core_version", b"", ValidationContext())
