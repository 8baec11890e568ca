"""What a hostile validation function can try, judged as a validator judges it: each gets the verdict it deserves.

None of them costs the host anything: the same workers serve all of these tests, and a good candidate at the end.
"""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from host_functions.contexts import ValidationContext
from host_functions.executor.wasm import OutOfMemory
from host_functions.executor.wasm.version import decode_runtime_version
from pov_validator import AbstainReason, Invalid, InvalidReason, Valid
from pov_validator.pvf import (
    ExecKind,
    ExecutorParams,
    PreparationFailed,
    PreparationFailure,
    PvfHost,
    PvfRuntime,
)
from pov_validator.pvf.params import WALL_CLOCK_FACTOR
from pov_validator.verdict import Abstain, Verdict
from runtime.primitives.scale import byte_vec, option
from runtime.primitives.version import RuntimeVersion

MALLOC = '(import "env" "ext_allocator_malloc_version_1" (func $malloc (param i32) (result i32)))'
FREE = '(import "env" "ext_allocator_free_version_1" (func $free (param i32)))'
BLAKE2 = '(import "env" "ext_hashing_blake2_256_version_1" (func $blake2 (param i64) (result i32)))'
UTF8 = '(import "env" "ext_misc_print_utf8_version_1" (func $print (param i64)))'


def invalid(verdict: Verdict, reason: InvalidReason = InvalidReason.EXECUTION_ERROR) -> str:
    assert isinstance(verdict, Invalid), verdict
    assert verdict.reason is reason, verdict
    return verdict.detail


def cannot_be_prepared(host: PvfHost, code: bytes, failure: PreparationFailure) -> str:
    with pytest.raises(PreparationFailed) as caught:
        PvfRuntime(code, host).prepare()
    assert caught.value.failure is failure, caught.value
    return caught.value.detail


def test_a_good_candidate(guests: Any, host: PvfHost) -> None:
    code = guests.module(guests.ok)
    verdict = guests.judge(code, host)
    assert isinstance(verdict, Valid), verdict
    assert verdict.result.head_data == guests.head
    assert "0x" in invalid(guests.judge(code, host, head=b"other"), InvalidReason.PARA_HEAD_HASH_MISMATCH)


@pytest.mark.parametrize("kind", list(ExecKind))
def test_endless_loops_are_timeouts(guests: Any, hasty: PvfHost, kind: ExecKind) -> None:
    verdict = guests.judge(guests.module("(loop $l (br $l)) (i64.const 0)"), hasty, kind)
    # From inside by CPU time, or, on a busy machine, from outside by the time that passed.
    seconds = hasty.params.execution_timeout(kind)
    inside, outside = (f"stopped after {limit:g} s" for limit in (seconds, WALL_CLOCK_FACTOR * seconds))
    detail = invalid(verdict, InvalidReason.TIMEOUT)
    assert inside in detail or outside in detail


def test_endless_host_calls_are_timeouts(guests: Any, hasty: PvfHost) -> None:
    """Each of them is quick, and most of the time is spent outside of Wasm."""
    code = guests.module("(loop $l (call $print (i64.const 0)) (br $l)) (i64.const 0)", UTF8)
    invalid(guests.judge(code, hasty), InvalidReason.TIMEOUT)


def test_memory_bombs(guests: Any, host: PvfHost) -> None:
    by_malloc = "(loop $l (drop (call $malloc (i32.const 1000000))) (br $l)) (i64.const 0)"
    assert "96 pages are the limit" in invalid(guests.judge(guests.module(by_malloc, MALLOC), host))
    grown = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"
    size = "(if (i32.ne (memory.size) (i32.const 96)) (then unreachable))"
    assert isinstance(guests.judge(guests.module(grown + size + guests.ok), host), Valid), (
        "growing just fails"
    )
    huge = "(drop (call $malloc (i32.const -1))) (i64.const 0)"
    assert "too large" in invalid(guests.judge(guests.module(huge, MALLOC), host))


def test_a_memory_that_is_declared_larger_than_the_limit_is_what_it_gets(guests: Any, host: PvfHost) -> None:
    """The limit is about growth, as in the reference: a module's own minimum is always there."""
    code = guests.module(guests.ok, memory='(memory (export "memory") 200)')
    assert isinstance(guests.judge(code, host), Valid)


def test_a_memory_of_4_gib_is_refused_or_judged_but_never_crashes(guests: Any, host: PvfHost) -> None:
    verdict = guests.judge(guests.module(guests.ok, memory='(memory (export "memory") 65536)'), host)
    assert isinstance(verdict, Valid | Invalid), verdict


def test_huge_tables(guests: Any, host: PvfHost) -> None:
    assert "table" in invalid(guests.judge(guests.module(guests.ok, "(table 2000000000 funcref)"), host))


DEEP = "(func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))"


def test_endless_recursion(guests: Any, host: PvfHost) -> None:
    code = guests.module("(drop (call $f (i32.const 0))) (i64.const 0)", DEEP)
    assert "more than 65536 values" in invalid(guests.judge(code, host, ExecKind.APPROVAL))


def test_deep_recursion_is_fine_where_polkadot_allows_it(guests: Any, host: PvfHost, make_host: Any) -> None:
    """Ten thousand levels of five values: the limit is in values, the same on every machine."""
    locals_ = " ".join(f"(local i64) (local.set {i} (i64.extend_i32_u (local.get 0)))" for i in range(1, 2))
    body = f"""(func $g (param i32) (result i64) {locals_}
      (if (result i64) (i32.eqz (local.get 0)) (then (local.get 1))
        (else (i64.add (call $g (i32.sub (local.get 0) (i32.const 1))) (local.get 1)))))"""
    code = guests.module(
        f"(if (i64.ne (call $g (i32.const 10000)) (i64.const 50005000)) (then unreachable)) {guests.ok}", body
    )
    assert isinstance(guests.judge(code, host), Valid)
    shallow = make_host(ExecutorParams(stack_logical_max=50_000))
    assert "more than 50000 values" in invalid(guests.judge(code, shallow))


@pytest.mark.parametrize("packed", [0x1_0002_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x2_0000_0000_0001])
def test_results_outside_memory(guests: Any, host: PvfHost, packed: int) -> None:
    assert "outside the memory" in invalid(guests.judge(guests.module(f"(i64.const {packed})"), host))


@pytest.mark.parametrize("packed", [0, 0x1_0000_0000, 0x2000_0000_0010])
def test_results_that_are_none(guests: Any, host: PvfHost, packed: int) -> None:
    verdict = guests.judge(guests.module(f"(i64.const {packed})"), host)
    invalid(verdict, InvalidReason.BAD_RETURN)


def test_pointers_outside_memory_in_host_calls(guests: Any, host: PvfHost) -> None:
    for pointer in (0x2_0001_FFFF, 0xFFFF_FFFF_0000_0000):
        code = guests.module(f"(drop (call $blake2 (i64.const {pointer}))) (i64.const 0)", BLAKE2)
        assert "ext_hashing_blake2_256_version_1" in invalid(guests.judge(code, host))


def test_broken_heaps(guests: Any, host: PvfHost) -> None:
    code = guests.module("(call $free (i32.const 512)) (i64.const 0)", FREE)
    assert "empty header" in invalid(guests.judge(code, host))


def test_no_storage_for_validation_functions(guests: Any, host: PvfHost) -> None:
    """Every parachain's blob imports it and replaces it inside; calling it is what Polkadot's stub traps on."""
    get = '(import "env" "ext_storage_get_version_1" (func $get (param i64) (result i64)))'
    assert isinstance(guests.judge(guests.module(guests.ok, get), host), Valid)
    code = guests.module("(call $get (i64.const 0))", get)
    assert "ext_storage_get_version_1 is not provided" in invalid(guests.judge(code, host))


UNKNOWN = '(import "env" "ext_wishes_come_true_version_1" (func $wish (param i64) (result i64)))'


def test_unknown_imports(guests: Any, host: PvfHost, make_host: Any) -> None:
    importing, calling = (
        guests.module(guests.ok, UNKNOWN),
        guests.module("(call $wish (i64.const 0))", UNKNOWN),
    )
    assert isinstance(guests.judge(importing, host), Valid), "as on Polkadot"
    assert "ext_wishes_come_true_version_1" in invalid(guests.judge(calling, host))
    strict = make_host(ExecutorParams(refuse_unknown_imports=True))
    detail = cannot_be_prepared(strict, importing, PreparationFailure.PREVALIDATION)
    assert detail == "no host function is called ext_wishes_come_true_version_1"
    retired = '(import "env" "ext_sandbox_invoke_version_1" (func (param i32)))'
    assert isinstance(guests.judge(guests.module(guests.ok, retired), strict), Valid), "known, if not served"


def test_wrong_signatures_are_refused_when_code_is_prepared(guests: Any, host: PvfHost) -> None:
    wrong = '(import "env" "ext_hashing_blake2_256_version_1" (func $blake2 (param i32) (result i32)))'
    detail = cannot_be_prepared(host, guests.module(guests.ok, wrong), PreparationFailure.PREVALIDATION)
    assert "(i32) -> i32" in detail
    foreign = '(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))'
    detail = cannot_be_prepared(host, guests.module(guests.ok, foreign), PreparationFailure.PREVALIDATION)
    assert "wasi_snapshot_preview1" in detail


@pytest.mark.parametrize(
    "name, fields, body",
    [
        ("SIMD", [], "(drop (v128.const i64x2 0 0))"),
        ("bulk memory", [], "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))"),
        ("bulk memory", ['(data $d "x")'], "(data.drop $d)"),
        ("reference types", [], "(drop (ref.null extern))"),
        ("threads", [], "(drop (i32.atomic.load (i32.const 0)))"),
        ("multi-value", ["(func (result i32 i32) (i32.const 0) (i32.const 0))"], ""),
        ("tail calls", ["(func $t (return_call $t))"], ""),
        ("exceptions", ["(tag $e)"], ""),
        ("relaxed SIMD", [], "(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))"),
    ],
)
def test_proposals_that_polkadot_refuses(
    guests: Any, host: PvfHost, name: str, fields: list[str], body: str
) -> None:
    code = guests.module(f"{body} {guests.ok}", *fields)
    with pytest.raises(PreparationFailed) as caught:
        PvfRuntime(code, host).prepare()
    assert caught.value.failure.deterministic, caught.value
    verdict = guests.judge(code, host)
    assert isinstance(verdict, Abstain), "the code is to blame, or this validator; not the candidate"
    assert verdict.reason is AbstainReason.PREPARATION_FAILED


@pytest.mark.parametrize(
    "memory", ['(memory (export "memory") i64 2)', '(memory (export "memory") 2) (memory 1)', "(memory 2)"]
)
def test_memories_that_polkadot_refuses(host: PvfHost, memory: str) -> None:
    text = f"""(module {memory} (global (export "__heap_base") i32 (i32.const 4096))
      (func (export "validate_block") (param i32 i32) (result i64) (i64.const 0)))"""
    cannot_be_prepared(host, bytes(wasmtime.wat2wasm(text)), PreparationFailure.PREVALIDATION)


def test_bulk_memory_is_an_executor_parameter(guests: Any, make_host: Any) -> None:
    code = guests.module(f"(memory.fill (i32.const 0) (i32.const 7) (i32.const 9)) {guests.ok}")
    assert isinstance(guests.judge(code, make_host(ExecutorParams(bulk_memory=True))), Valid)
    simd = guests.module(f"(drop (v128.const i64x2 0 0)) {guests.ok}")
    cannot_be_prepared(make_host(ExecutorParams(bulk_memory=True)), simd, PreparationFailure.PREPARATION)


def test_start_functions_do_not_run(guests: Any, host: PvfHost) -> None:
    code = guests.module(guests.ok, "(func $s (loop $l (br $l)))", "(start $s)")
    assert "start function" in cannot_be_prepared(host, code, PreparationFailure.PREVALIDATION)


def test_nans_carry_no_payload(guests: Any, host: PvfHost) -> None:
    """The sign and payload of a NaN differ between machines; a guest could make its head of them."""
    computed = [
        "(f64.div (f64.const 0) (f64.const 0))",
        "(f64.sqrt (f64.const -1))",
        "(f64.add (f64.const nan:0x4000000000001) (f64.const 1))",
        "(f64.mul (f64.const -nan:0x8000000000123) (f64.const 2))",
        "(f64.sub (f64.const inf) (f64.const inf))",
    ]
    for expression in computed:
        code = guests.module(f"(f64.store (i32.const 0) {expression}) (i64.const 0x800000000)")
        bits = PvfRuntime(code, host).call("validate_block", b"", ValidationContext())
        assert int.from_bytes(bits, "little") == 0x7FF8_0000_0000_0000, expression


def test_code_that_is_none(host: PvfHost, guests: Any) -> None:
    good = guests.module(guests.ok)
    for code in (b"", b"no code at all", good[:-1], good[:8], b"\x52\xbc\x53\x76\x46\xdb\x8e\x05truncated"):
        with pytest.raises(PreparationFailed) as caught:
            PvfRuntime(code, host).prepare()
        assert caught.value.failure.deterministic
        assert "\n" not in str(caught.value)
        assert isinstance(guests.judge(code, host), Abstain)


def test_code_that_is_none_costs_no_process(make_host: Any, guests: Any) -> None:
    host = make_host()
    assert isinstance(guests.judge(guests.module(guests.ok), host), Valid)
    pids = host.pids
    assert isinstance(guests.judge(b"no code at all", host), Abstain)
    assert host.pids == pids


def test_code_that_decompresses_to_a_bomb(make_host: Any) -> None:
    from host_functions.compressed_blob import compress
    from runtime.primitives.compressed_blob import BlobKind

    bomb = compress(bytes(31 << 20), BlobKind.LEGACY, 1 << 30)
    assert bomb is not None
    assert len(bomb) < 10_000
    detail = cannot_be_prepared(make_host(), bomb, PreparationFailure.PREVALIDATION)
    assert detail == "the decompressed data exceeds 31457280 bytes"


VERSION = '(import "env" "ext_misc_runtime_version_version_1" (func $version (param i64) (result i64)))'


def test_no_guest_runs_inside_a_guest(guests: Any, host: PvfHost) -> None:
    """Validators read the version of code from its section. Code without one is not asked, however it would answer."""
    endless = '(func (export "Core_version") (param i32 i32) (result i64) (loop $l (br $l)) (i64.const 0))'
    other = guests.module(guests.ok, endless)
    span = "(i64.or (i64.extend_i32_u (local.get $at)) (i64.shl (i64.extend_i32_u (local.get $size)) (i64.const 32)))"
    asking = PvfRuntime(guests.module(f"(call $version {span})", VERSION), host)
    for code in (other, asking.code, b"no code", b""):
        assert asking.call("validate_block", code, ValidationContext()) == b"\0"
    section = RuntimeVersion("spec", "impl", 1, 2, 3, (), 1, 0).encode()
    content = b"\x0fruntime_version" + section
    told = asking.call("validate_block", other + bytes([0, len(content)]) + content, ValidationContext())
    version = option(byte_vec).decode(told)
    assert version is not None
    assert decode_runtime_version(version).spec_version == 2


@pytest.mark.parametrize(
    "heap_base, said",
    [
        ("", "does not export __heap_base"),
        ('(global (export "__heap_base") f32 (f32.const 1))', "does not export __heap_base"),
        ('(func (export "__heap_base"))', "does not export __heap_base"),
        ('(global (export "__heap_base") i32 (i32.const -1))', "pages are the limit"),
        ('(global (export "__heap_base") i32 (i32.const -2147483648))', "pages are the limit"),
    ],
)
def test_heaps_that_begin_nowhere(host: PvfHost, guests: Any, heap_base: str, said: str) -> None:
    """No argument can be placed: the reference meets it when it makes the instance, twice, and blames the candidate."""
    code = bytes(
        wasmtime.wat2wasm(
            f"""(module (memory (export "memory") 2) {heap_base}
            (func (export "validate_block") (param i32 i32) (result i64) (i64.const 0)))"""
        )
    )
    assert said in invalid(guests.judge(code, host, ExecKind.APPROVAL))


def test_an_argument_that_does_not_fit(guests: Any, make_host: Any) -> None:
    """The PoV is larger than the memory that the guest may have."""
    host = make_host(ExecutorParams(max_memory_pages=0))
    code = guests.module(guests.ok)
    assert isinstance(guests.judge(code, host, payload=bytes(900_000)), Valid)
    with pytest.raises(OutOfMemory, match="32 pages are the limit"):
        PvfRuntime(code, host).call("validate_block", bytes(3_000_000), ValidationContext())


def test_what_a_host_function_refuses_is_the_candidates_fault(guests: Any, host: PvfHost) -> None:
    finish = '(import "env" "ext_crypto_finish_batch_verify_version_1" (func $finish (result i32)))'
    code = guests.module("(drop (call $finish)) (i64.const 0)", finish)
    assert "no batch of signatures is open" in invalid(guests.judge(code, host))


def test_other_entry_points(guests: Any, host: PvfHost) -> None:
    from host_functions.errors import GuestPanic

    with pytest.raises(GuestPanic, match="exports no such function"):
        PvfRuntime(guests.module(guests.ok), host).call("Core_version", b"", ValidationContext())


def test_and_the_next_candidate_is_judged_as_ever(guests: Any, host: PvfHost) -> None:
    assert isinstance(guests.judge(guests.module(guests.ok), host), Valid)
    assert len(host.pids) <= 2
