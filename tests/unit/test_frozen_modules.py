"""Modules taken apart, rewritten and joined: the result does what the parts did, as wasmtime links them."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from host_functions.executor.frozen.build.instructions import STAND_INS, Renumbering, rewrite_body
from host_functions.executor.frozen.build.join import Part, join
from host_functions.executor.frozen.module import (
    Kind,
    const_i32,
    leb,
    read_module,
    signed_leb,
    write_module,
)
from host_functions.executor.wasm.blob import Reader
from host_functions.executor.wasm.cache import compile_module
from host_functions.executor.wasm.engine import EngineConfig
from host_functions.executor.wasm.errors import InvalidCode

COPIER = read_module(bytes(wasmtime.wat2wasm(STAND_INS)))

STATE = """(module
  (memory (export "memory") 1)
  (table (export "table") 3 funcref)
  (global (export "base") i32 (i32.const 100))
  (global (export "count") (mut i32) (i32.const 7))
  (data (i32.const 200) "state"))"""

LEAF = """(module
  (import "state" "memory" (memory 1))
  (import "state" "count" (global $count (mut i32)))
  (import "state" "base" (global $base i32))
  (import "env" "host" (func $host (param i32) (result i32)))
  (import "user" "twice" (func $twice (param i32) (result i32)))
  (table $own 2 funcref)
  (elem (table $own) (i32.const 1) func $inner)
  (global $here i32 (global.get $base))
  (data (global.get $base) "leaf")
  (func $inner (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "step") (param i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.add (global.get $here)
      (call_indirect $own (param i32) (result i32) (call $host (local.get 0)) (i32.const 1))))
  (func (export "back") (param i32) (result i32) (call $twice (local.get 0))))"""

USER = """(module
  (import "state" "memory" (memory 1))
  (import "state" "table" (table 3 funcref))
  (import "state" "count" (global $count (mut i32)))
  (import "leaf" "step" (func $step (param i32) (result i32)))
  (elem (i32.const 2) func $twice)
  (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "run") (param i32) (result i32) (local f64 i64)
    (block $out (result i32)
      (local.set 1 (f64.const 1.5))
      (block (loop (br_table 0 1 0 (i32.const 1)))
      )
      (if (result i32) (i32.gt_u (local.get 0) (i32.const 50))
        (then (br $out (call_indirect (param i32) (result i32) (local.get 0) (i32.const 2))))
        (else (i32.add (call $step (local.get 0))
          (i32.add (global.get $count) (i32.trunc_sat_f64_s (local.get 1)))))))))"""


def parts() -> dict[str, Part]:
    modules = {
        name: read_module(bytes(wasmtime.wat2wasm(text))) for name, text in (("leaf", LEAF), ("user", USER))
    }
    found = {"state": Part(read_module(bytes(wasmtime.wat2wasm(STATE))), {})}
    for name, module in modules.items():
        sources = {
            (one.module, one.name): (one.module, one.name) for one in module.imports if one.module != "env"
        }
        found[name] = Part(module, sources)
    found["copier"] = Part(COPIER, {("vm", "memory"): ("state", "memory")})
    return found


EXPORTS = {
    "run": ("user", "run"),
    "back": ("leaf", "back"),
    "memory": ("state", "memory"),
    "count": ("state", "count"),
}


def test_a_joined_module_does_what_its_parts_did() -> None:
    """Imports in a circle, a second table, initializers that refer to globals, calls through tables."""
    joined = join(parts(), EXPORTS, "copier").module
    assert [(one.module, one.name) for one in joined.imports] == [("env", "host")]
    assert len(joined.tables) == len(joined.memories) == 1
    store = wasmtime.Store()
    asked = []

    def host(number: int) -> int:
        asked.append(number)
        return number + 1

    kind = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
    module = wasmtime.Module(store.engine, write_module(joined))
    exports = wasmtime.Instance(store, module, [wasmtime.Func(store, kind, host)]).exports(store)
    run, back, memory, count = (exports[name] for name in EXPORTS)
    assert isinstance(run, wasmtime.Func)
    assert isinstance(back, wasmtime.Func)
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(count, wasmtime.Global)
    # By hand: here + 3 * host(n) + count + trunc(1.5)
    assert run(store, 5) == 100 + 3 * 6 + 8 + 1
    assert run(store, 60) == 120
    assert back(store, 21) == 42
    assert (asked, count.value(store)) == ([5], 8)
    assert memory.read(store, 100, 104) == b"leaf"
    assert memory.read(store, 200, 205) == b"state"


def test_joining_is_deterministic_and_a_module_is_read_as_it_was_written() -> None:
    joined = join(parts(), EXPORTS, "copier").module
    code = write_module(joined)
    assert write_module(join(parts(), EXPORTS, "copier").module) == code
    assert read_module(code) == joined
    assert write_module(read_module(code)) == code


def test_what_nobody_gives_is_refused() -> None:
    broken = parts()
    module = read_module(bytes(wasmtime.wat2wasm('(module (import "wasi" "clock" (func)))')))
    broken["clock"] = Part(module, {})
    with pytest.raises(InvalidCode, match="clock imports clock of wasi, which nobody gives"):
        join(broken, EXPORTS, "copier")
    with pytest.raises(InvalidCode, match="exports no 'absent'"):
        join(parts(), {"a": ("leaf", "absent")}, "copier")


@pytest.mark.parametrize(
    "body, instruction",
    [
        ("(table.set 0 (i32.const 0) (ref.null func))", "d070"),
        ("(drop (ref.func $f))", "d200"),
        ("(drop (v128.const i64x2 0 0))", "fd0c"),
        ("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))", "fc08"),
        ("(return_call $f)", "1200"),
    ],
)
def test_instructions_that_could_tell_the_difference_are_refused(body: str, instruction: str) -> None:
    code = wasmtime.wat2wasm(
        f'(module (memory 1) (table 1 funcref) (elem declare func $f) (data $d "x") (func $f {body}))'
    )
    start = bytes(code).rindex(bytes.fromhex(instruction))
    with pytest.raises(InvalidCode, match="which no Polkadot validator takes"):
        rewrite_body(b"\0" + bytes(code)[start:], Renumbering([0], [0], [0], [0], 0, 0, None))


def test_sections_that_are_not_handled_are_refused() -> None:
    for text, reason in (
        ("(module (func $s) (start $s))", "section 8"),
        ('(module (memory 1) (data "passive"))', "section 12|kind 1"),
        ("(module (table 1 externref))", "something else than functions"),
    ):
        with pytest.raises(InvalidCode, match=reason):
            read_module(bytes(wasmtime.wat2wasm(text)))
    with pytest.raises(InvalidCode, match="not a core Wasm module"):
        read_module(b"\0asm\x0d\0\1\0")


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_the_format_wants(unsigned: int, signed: int) -> None:
    def value(data: bytes, *, sign: bool) -> int:
        number = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data))
        return number - (1 << 7 * len(data)) if sign and data[-1] & 0x40 else number

    assert value(leb(unsigned), sign=False) == unsigned
    assert value(signed_leb(signed), sign=True) == signed
    assert all(byte & 0x80 for byte in leb(unsigned)[:-1])
    assert len(leb(unsigned)) == max(1, -(-unsigned.bit_length() // 7))


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_a_constant_with_or_without_sign(address: int) -> None:
    code = wasmtime.wat2wasm(f'(module (global (export "g") i32 (i32.const {address})))')
    (one,) = read_module(bytes(code)).globals
    assert const_i32(address) == one.init == const_i32(address - (1 << 32))


@pytest.fixture(scope="module")
def copier() -> tuple[wasmtime.Store, wasmtime.Memory, wasmtime.Func, wasmtime.Func]:
    """The functions that stand for ``memory.copy`` and ``memory.fill``, over a memory of their own."""
    store = wasmtime.Store()
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 1)))
    module = compile_module(EngineConfig(), bytes(wasmtime.wat2wasm(STAND_INS)))
    assert module is not None
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, STAND_INS), [memory])
    copy, fill = (instance.exports(store)[name] for name in ("copy", "fill"))
    assert isinstance(copy, wasmtime.Func)
    assert isinstance(fill, wasmtime.Func)
    return store, memory, copy, fill


@given(st.binary(min_size=80, max_size=80), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_copy_is_that_of_bulk_memory(
    copier: tuple[wasmtime.Store, wasmtime.Memory, wasmtime.Func, wasmtime.Func],
    content: bytes,
    to: int,
    source: int,
    length: int,
) -> None:
    store, memory, copy, _ = copier
    memory.write(store, content, 0)
    copy(store, to, source, length)
    expected = bytearray(content)
    expected[to : to + length] = content[source : source + length]
    assert memory.read(store, 0, 80) == expected


@given(st.binary(min_size=80, max_size=80), st.integers(0, 40), st.integers(-300, 300), st.integers(0, 40))
def test_fill_is_that_of_bulk_memory(
    copier: tuple[wasmtime.Store, wasmtime.Memory, wasmtime.Func, wasmtime.Func],
    content: bytes,
    to: int,
    value: int,
    length: int,
) -> None:
    store, memory, _, fill = copier
    memory.write(store, content, 0)
    fill(store, to, value, length)
    expected = bytearray(content)
    expected[to : to + length] = bytes([value & 0xFF]) * length
    assert memory.read(store, 0, 80) == expected


def test_bulk_memory_becomes_calls() -> None:
    text = """(module (memory (export "memory") 1) (data (i32.const 0) "abcdefghij")
      (func (export "run") (memory.copy (i32.const 2) (i32.const 0) (i32.const 8))
        (memory.fill (i32.const 0) (i32.const 120) (i32.const 2))))"""
    module = read_module(bytes(wasmtime.wat2wasm(text)))
    found = {"own": Part(module, {}), "copier": Part(COPIER, {("vm", "memory"): ("own", "memory")})}
    code = write_module(join(found, {"run": ("own", "run"), "memory": ("own", "memory")}, "copier").module)
    compile_module(EngineConfig(), code)  # which validates for Polkadot's executor, without bulk memory
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, code), []).exports(store)
    run, memory = exports["run"], exports["memory"]
    assert isinstance(run, wasmtime.Func)
    assert isinstance(memory, wasmtime.Memory)
    run(store)
    assert memory.read(store, 0, 10) == b"xxabcdefgh"


def test_long_forms_of_numbers_are_understood() -> None:
    """Object files pad numbers to five bytes; so do bodies that a linker has not touched."""
    padded = b"\0\x10\x83\x80\x80\x80\x00\x0b"
    assert rewrite_body(padded, Renumbering([], [9, 9, 9, 5], [], [], 0, 0, None)) == b"\0\x10\x05\x0b"
    assert Kind(Reader(b"\x02", 0, 1).byte()) is Kind.MEMORY
