"""The stack that a guest counts itself: costs to the digit, limits to the call, and nothing else changed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from host_functions.compressed_blob import decompress
from host_functions.contexts import ValidationContext
from host_functions.executor.wasm import InvalidCode, Trap, WasmRuntime
from host_functions.executor.wasm.engine import EngineConfig, gate_for
from host_functions.executor.wasm.stack_cost import MeasuredModule
from host_functions.executor.wasm.stack_meter import HEIGHT_EXPORT, metered

MEMORY = '(memory (export "memory") 2) (global (export "__heap_base") i32 (i32.const 1024))'


def assembled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {text})"))


def costs(text: str) -> list[int]:
    return [body.cost for body in MeasuredModule(assembled(text)).bodies]


CALLEE = "(func $f (param i32 i32) (result i32) (i32.const 0))"


@pytest.mark.parametrize(
    "function, cost",
    [
        ("(func)", 0),
        ("(func (i32.const 1) drop)", 1),
        ("(func (i32.const 1) (i32.const 2) (i32.const 3) drop drop drop)", 3),
        ("(func (param i32 i32 i64) (result i32) (local.get 0))", 1),  # parameters are the caller's
        ("(func (local i32 i64 f32) (local f64) (drop (i32.const 1)))", 5),
        ("(func (result i32) (return (i32.const 0)))", 1),
        ("(func (result i32) unreachable (i32.const 0) (i32.const 1) drop)", 0),
        ("(func (drop (i32.add (i32.const 1) (i32.const 2))) unreachable (drop (i32.const 1)))", 2),
        ("(func (drop (select (i32.const 1) (i32.const 2) (i32.const 3))))", 3),
        ("(func (block (result i32) (br 0 (i32.const 1))) drop)", 1),
        ("(func (loop $l (br_if $l (i32.const 1))))", 1),
        ("(func (drop (block (result i32) (br_if 0 (i32.const 5) (i32.const 1)))))", 2),
        ("(func (block (block (br_table 0 1 (i32.const 0)))))", 1),
        # What the first arm leaves is where the second one begins.
        ("(func (drop (if (result i32) (i32.const 1) (then (i32.const 1)) (else (i32.const 2)))))", 2),
        ("(func (if (i32.const 1) (then (drop (i32.const 1))) (else (drop (i32.const 2)))))", 1),
        ("(func (i64.store (i32.const 0) (i64.const 1)))", 2),
        ("(func (drop (i64.load (i32.const 0))) (drop (memory.size)) (drop (memory.grow (i32.const 1))))", 1),
        ("(func (drop (f32.const 1.5)) (drop (f64.neg (f64.const 2.5))))", 1),
        ("(func (drop (i32.trunc_sat_f64_s (f64.const 2.5))) (drop (i32.extend8_s (i32.const 1))))", 1),
        ("(func (local i32) (local.set 0 (local.tee 0 (i32.const 1))))", 2),
        # A call needs two more, for what is put around it.
        ("(func (drop (call $f (i32.const 1) (i32.const 2))))", 4),
        ("(func (drop (call $f (i32.const 1) (i32.const 2))) (call $import (i64.const 1)))", 4),
        ("(func (call $import (i64.const 1)))", 1),
        ("(func (call_indirect (type $t) (i64.const 1) (i32.const 0)))", 2),
        # In dead code only what a block finds is counted, and a call comes with a block.
        ("(func unreachable (i32.const 1) (i32.const 2) (call $f) drop)", 2),
        ("(func unreachable (i32.const 1) (block (drop (i32.const 2))) drop)", 2),
        ("(func unreachable (i32.const 1) (i32.const 2) drop drop)", 0),
    ],
)
def test_costs(function: str, cost: int) -> None:
    text = f"""(type $t (func (param i64))) (import "env" "import" (func $import (type $t)))
      (memory 1) (table 1 funcref) {CALLEE} {function}"""
    assert costs(text) == [1, cost]


RECURSION = """(func $f (param i32) (result i32)
  (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
    (else (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))))"""
"""Costs 5: behind the first arm's result the constant, the two operands of the subtraction, and two for the call."""


def recursing(depth: int, *, table: bool = False) -> bytes:
    """An entry point that returns four bytes, the depth that `RECURSION` reached."""
    call = f"(call $f (i32.const {depth}))"
    if table:
        call = f"(call_indirect (param i32) (result i32) (i32.const {depth}) (i32.const 0))"
    return assembled(
        f"""{MEMORY} (table 1 funcref) (elem (i32.const 0) $f) {RECURSION}
        (func (export "run") (param i32 i32) (result i64)
          (i32.store (i32.const 0) {call}) (i64.const 0x400000000))"""
    )


def run(code: bytes, limit: int | None) -> bytes:
    return WasmRuntime(code, engine=EngineConfig(stack_values=limit)).call("run", b"", ValidationContext())


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("limit", [64, 1000, 1024, 65_536])
def test_the_limit_is_exact(limit: int, table: bool) -> None:
    assert costs(RECURSION) == [5]
    # The entry point costs the address, the argument and two for the call, its thunk two arguments and two;
    # entered through the table, $f's first call passes a thunk that costs one argument and two more.
    entry = (1 + 2 if table else 2 + 2) + 4
    first = 3 if table else 0
    most = (limit - entry - first) // 5 - 1
    assert int.from_bytes(run(recursing(most, table=table), limit), "little") == most
    with pytest.raises(Trap, match=f"the stack is full: more than {limit} values"):
        run(recursing(most + 1, table=table), limit)


def test_the_height_comes_down_again() -> None:
    """A loop of calls that each are close to the limit."""
    code = assembled(
        f"""{MEMORY} {RECURSION} (func (export "run") (param i32 i32) (result i64)
          (loop $l (drop (call $f (i32.const 190))) (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 0) (i32.const 5000)))) (i64.const 0))"""
    )
    assert run(code, 1024) == b""


def test_other_traps_keep_their_reason() -> None:
    code = assembled(f'{MEMORY} {RECURSION} (func (export "run") (param i32 i32) (result i64) unreachable)')
    with pytest.raises(Trap, match="unreachable"):
        run(code, 1024)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(func)",
        "(memory 1)",
        '(func (export "a")) (func (export "b") (drop (i32.const 1)))',
        "(global i32 (i32.const 1)) (global (mut i64) (i64.const -5)) (func (drop (global.get 0)))",
        '(import "env" "memory" (memory 1 7)) (import "env" "f" (func (param i64) (result i32))) (export "g" (func 0))',
        '(table 4 4 funcref) (elem (i32.const 1) $a $b) (func $a (drop (i32.const 1))) (func $b) (data "x") (memory 1)',
        f'(func (export "{HEIGHT_EXPORT}") (drop (i32.const 1)))',
        '(memory 1) (func $a (drop (i64.const 1))) (data (i32.const 3) "abc") (export "z" (memory 0))',
    ],
)
def test_rewritten_modules_are_valid(text: str) -> None:
    code = assembled(text)
    gate = gate_for(EngineConfig(bulk_memory=True))
    wasmtime.Module.validate(gate, code)
    rewritten = metered(code, 100)
    wasmtime.Module.validate(gate, rewritten)
    before, after = (wasmtime.Module(wasmtime.Engine(), each) for each in (code, rewritten))
    names = [export.name for export in before.exports]
    assert [export.name for export in after.exports if export.name in names] == names
    assert [(one.module, one.name) for one in before.imports] == [
        (one.module, one.name) for one in after.imports
    ]


@pytest.mark.parametrize(
    "body",
    [
        "(drop (ref.null func))",
        "(drop (v128.const i64x2 0 0))",
        "(drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)))",
        "(drop (i32.atomic.load (i32.const 0)))",
        "(return_call 0)",
        "(drop (table.size 0))",
    ],
)
def test_what_cannot_be_measured_is_refused(body: str) -> None:
    with pytest.raises(InvalidCode, match="cannot be measured"):
        metered(assembled(f"(memory 1) (table 1 funcref) (func {body})"), 100)


@given(st.data())
def test_damaged_code_is_rewritten_or_refused(data: st.DataObject) -> None:
    """It is validated first; even so, nothing but `InvalidCode` may come of it."""
    code = bytearray(recursing(3, table=True))
    code[data.draw(st.integers(8, len(code) - 1))] = data.draw(st.integers(0, 255))
    try:
        wasmtime.Module.validate(gate_for(EngineConfig()), bytes(code))
    except wasmtime.WasmtimeError:
        return
    try:
        rewritten = metered(bytes(code), 100)
    except InvalidCode:
        return
    wasmtime.Module.validate(gate_for(EngineConfig()), rewritten)


@pytest.mark.parametrize("name", ["kusama-genesis", "local-testnet-genesis"])
def test_real_runtimes_stay_what_they_were(vectors_dir: Path, name: str) -> None:
    state = json.loads(gzip.decompress((vectors_dir / "files" / f"{name}.json.gz").read_bytes()))
    code = decompress(bytes.fromhex(state["top"]["0x3a636f6465"][2:]), 1 << 26)
    rewritten = metered(code, 65_536)
    wasmtime.Module.validate(gate_for(EngineConfig()), rewritten)
    module = MeasuredModule(code)
    assert max(body.cost for body in module.bodies) < 1_000
    assert len(MeasuredModule(rewritten).bodies) > len(module.bodies)
