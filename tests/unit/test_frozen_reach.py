"""What is cut out of a joined module: what only unwanted modules lead to, and what nothing leads to."""

from __future__ import annotations

import re

import pytest
import wasmtime

from host_functions.executor.frozen.build.instructions import CALL, STAND_INS, references
from host_functions.executor.frozen.build.join import Joined, Part, join
from host_functions.executor.frozen.build.reach import CUT, MARGIN, UNWANTED, cut_unreachable
from host_functions.executor.frozen.module import GLOBAL_GET, I32_CONST, leb, read_module, write_module
from host_functions.executor.wasm.errors import InvalidCode

STATE = """(module
  (memory (export "memory") 1)
  (table (export "table") 20 funcref)
  (global (export "data") i32 (i32.const 4096))
  (global (export "entries") i32 (i32.const 3)))"""

LIBRARY = """(module
  (import "state" "memory" (memory 1))
  (import "state" "table" (table 20 funcref))
  (import "env" "__memory_base" (global $data i32))
  (import "env" "__table_base" (global $entries i32))
  (elem (global.get $entries) func $PyInit_kept $PyInit__sqlite3 $kept_method $sql_method $shared $taken)
  (func $never (export "never") (result i32) (i32.const 1))
  (func $alone (result i32) (i32.const 2))
  (func $called (result i32) (i32.const 3))
  (func $shared (result i32) (i32.const 4))
  (func $taken (result i32) (i32.const 5))
  (func $kept_method (result i32) (i32.const 6))
  (func $sql_helper (result i32) (i32.add (call $called) (call $alone)))
  (func $sql_method (result i32) (call $sql_helper))
  ;; the address of its methods, at data + 32 and data + 64
  (func $PyInit_kept (export "PyInit_kept") (result i32) (i32.add (global.get $data) (i32.const @32)))
  (func $PyInit__sqlite3 (export "PyInit__sqlite3") (result i32) (i32.add (global.get $data) (i32.const @64)))
  ;; through the table of modules at data + 0, of which there is one that is wanted; and a function's address
  (func $run (export "run") (result i32)
    (i32.add (call $called) (i32.add
      (call_indirect (result i32) (i32.add (global.get $entries) (i32.const @5)))
      (call_indirect (result i32) (i32.load
        (call_indirect (result i32) (i32.load (i32.add (global.get $data) (i32.const @0)))))))))
  (func (export "__wasm_apply_data_relocs")
    (i32.store (i32.add (i32.const 0) (global.get $data)) (i32.add (global.get $entries) (i32.const 0)))
    (i32.store (i32.add (i32.const 4) (global.get $data)) (i32.add (global.get $entries) (i32.const 1)))
    (i32.store offset=4 (i32.add (i32.const 28) (global.get $data)) (i32.add (global.get $entries) (i32.const 2)))
    (i32.store offset=36 (global.get $data) (i32.add (global.get $entries) (i32.const 4)))
    (i32.store (i32.add (i32.const 64) (global.get $data)) (i32.add (global.get $entries) (i32.const 3)))
    (i32.store (i32.add (i32.const 68) (global.get $data)) (i32.add (global.get $entries) (i32.const 4)))))"""

NAMES = re.findall(r"\n  \(func (?:\$(\w+)|\(export)", LIBRARY)


def joined(library: str = LIBRARY) -> Joined:
    """``@N`` is a number as the linker writes an address: five bytes."""
    code = bytes(
        wasmtime.wat2wasm(re.sub(r"@(\d+)", lambda found: str(0x7000_0000 + int(found[1])), library))
    )
    for number in {int(found) for found in re.findall(r"@(\d+)", library)}:
        magic = leb(0x7000_0000 + number)
        assert len(magic) == 5
        wide = bytes(number >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)) + b"\0"
        code = code.replace(magic, wide)
    parts = {
        "state": Part(read_module(bytes(wasmtime.wat2wasm(STATE))), {}),
        "library": Part(
            read_module(code),
            {
                ("state", "memory"): ("state", "memory"),
                ("state", "table"): ("state", "table"),
                ("env", "__memory_base"): ("state", "data"),
                ("env", "__table_base"): ("state", "entries"),
            },
        ),
        "copier": Part(
            read_module(bytes(wasmtime.wat2wasm(STAND_INS))), {("vm", "memory"): ("state", "memory")}
        ),
    }
    return join(
        parts, {"run": ("library", "run"), "start": ("library", "__wasm_apply_data_relocs")}, "copier"
    )


def test_what_only_an_unwanted_module_leads_to_is_cut() -> None:
    made = joined()
    bodies = list(made.module.code)
    assert cut_unreachable(made) == 8
    dead = {
        number
        for number, (before, after) in enumerate(zip(bodies, made.module.code, strict=True))
        if before != after
    }
    assert all(made.module.code[number] == CUT for number in dead)
    names = [NAMES[number] for number in sorted(dead) if number < len(NAMES)]
    # called by nobody and in no table, or of the unwanted module; not what that shares with others
    assert names == ["never", "alone", "sql_helper", "sql_method", "PyInit__sqlite3"]
    assert len(dead) - len(names) == 3  # nobody grows, copies or fills


def test_what_is_left_does_what_it_did() -> None:
    whole, cut = joined(), joined()
    cut_unreachable(cut)
    results = []
    for made in (whole, cut):
        store = wasmtime.Store()
        module = wasmtime.Module(store.engine, write_module(made.module))
        exports = wasmtime.Instance(store, module, []).exports(store)
        start, run = exports["start"], exports["run"]
        assert isinstance(start, wasmtime.Func)
        assert isinstance(run, wasmtime.Func)
        start(store)
        results.append(run(store))
    assert results == [3 + 5 + 6] * 2


def test_data_that_is_no_longer_used_is_cleared_but_for_margins() -> None:
    """From 1000 to 40 000, to which only the unwanted module refers; and the code of a frozen module."""
    content = bytearray(b"\xff" * 45_000)
    content[208:212] = (20).to_bytes(4, "little")
    escaped = "".join(f"\\{byte:02x}" for byte in content)
    library = LIBRARY.replace(
        '(func (export "__wasm_apply_data_relocs")',
        f"""(data (global.get $data) "{escaped}")
          (global (export "_PyImport_FrozenStdlib") i32 (i32.const 48))
          (func (export "later") (result i32) (i32.add (global.get $data) (i32.const @40000)))
          (func (export "__wasm_apply_data_relocs")
            (i32.store (i32.add (i32.const 48) (global.get $data)) (i32.add (global.get $data) (i32.const 200)))
            (i32.store (i32.add (i32.const 200) (global.get $data)) (i32.add (global.get $data) (i32.const 400)))
            (i32.store (i32.add (i32.const 204) (global.get $data)) (i32.add (global.get $data) (i32.const 300)))
            (i32.store (i32.add (i32.const 42000) (global.get $data)) (i32.add (global.get $entries) (i32.const 2)))""",
    ).replace("(i32.const @64)", "(i32.const @1000)")
    made = joined(library)
    cut_unreachable(made)
    (segment,) = made.module.data
    zeros = [place for place, byte in enumerate(segment.content) if byte == 0 and not 208 <= place < 212]
    assert zeros == [*range(300, 320), *range(1000 + MARGIN, 40_000 - MARGIN)]
    used = joined(library.replace("(i32.const @40000)", "(i32.const @20000)"))
    cut_unreachable(used)
    (segment,) = used.module.data
    assert set(segment.content[20_000 - MARGIN :]) == {0xFF}


def test_relocations_of_another_shape_are_refused() -> None:
    for text, reason in (
        ("(drop (i32.load (i32.const 0)))", "opcode 0x28"),
        ("(local i32) (i32.store (i32.const 0) (i32.const 0))", "with locals"),
    ):
        other = re.sub(
            r'\(export "__wasm_apply_data_relocs"\).*', f'(export "__wasm_apply_data_relocs") {text}))', LIBRARY,
            flags=re.DOTALL,
        )  # fmt: skip
        with pytest.raises(InvalidCode, match=f"relocations .*{reason}|relocations {reason}"):
            cut_unreachable(joined(other))


def test_references_are_found_among_all_kinds_of_instructions() -> None:
    text = """(module (memory 1) (table 1 funcref) (global $g (mut i32) (i32.const 0)) (type $t (func (result i32)))
      (func $f (result i32) (local f64 i64)
        (block $out (result i32)
          (global.set $g (i32.const -70))
          (local.set 0 (f64.const 1.5)) (local.set 1 (i64.const 65))
          (block (loop (br_table 0 1 0 (i32.load8_u offset=65 (i32.const 16)))))
          (drop (i32.trunc_sat_f64_s (local.get 0)))
          (drop (call_indirect (type $t) (memory.size)))
          (i32.add (call $f) (global.get $g)))))"""
    body = read_module(bytes(wasmtime.wat2wasm(text))).code[0]
    assert list(references(body)) == [
        (I32_CONST, -70, 2),
        (I32_CONST, 16, 1),
        (CALL, 0, 1),
        (GLOBAL_GET, 0, 1),
    ]
    with pytest.raises(InvalidCode, match="instruction 0xd0 at offset 1"):
        list(references(b"\0\xd0\x70\x0b"))


def test_unwanted_modules_are_none_that_a_guest_may_import() -> None:
    from host_functions.executor.frozen.guest_modules import PRELOADED

    assert not {name.removeprefix("_") for name in UNWANTED} & set(PRELOADED)
