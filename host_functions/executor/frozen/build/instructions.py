"""Rewriting the instructions of a function body for another module: indices, and bulk memory.

Functions, globals, types and tables get other numbers when modules are joined. Instructions without such a
number are the great majority; one regular expression passes over as many of them as there are.

The VM must run where Polkadot's validators run it, so it may use no more of Wasm than they accept
[pvf-executor]. CPython is compiled with bulk memory; its ``memory.copy`` and ``memory.fill`` become calls of
functions that do the same with loads and stores (`STAND_INS`), and ``memory.grow`` becomes a call of one that can
be told to refuse. Everything else beyond the first version
that engines do not switch off (sign extension, saturating conversions) stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from host_functions.executor.frozen.module import GLOBAL_GET, I32_ADD, I32_CONST, leb, signed_leb
from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["CALL", "REFERENCE_WIDTH", "STAND_INS", "Renumbering", "references", "rewrite_body"]

STAND_INS: Final = """(module
  (import "vm" "memory" (memory 1))
  (global $full (export "full") (mut i32) (i32.const 0))
  ;; memory.grow: -1 while $full is set
  (func (export "grow") (param $pages i32) (result i32)
    (if (global.get $full) (then (return (i32.const -1))))
    (memory.grow (local.get $pages)))
  ;; memory.copy: forwards unless that would overwrite what is still to be read
  (func (export "copy") (param $to i32) (param $from i32) (param $n i32) (local $end i32)
    (if (i32.or (i32.le_u (local.get $to) (local.get $from))
                (i32.ge_u (i32.sub (local.get $to) (local.get $from)) (local.get $n)))
      (then
        (local.set $end (i32.add (local.get $from) (i32.and (local.get $n) (i32.const -8))))
        (block $words (loop $word
          (br_if $words (i32.eq (local.get $from) (local.get $end)))
          (i64.store (local.get $to) (i64.load (local.get $from)))
          (local.set $to (i32.add (local.get $to) (i32.const 8)))
          (local.set $from (i32.add (local.get $from) (i32.const 8)))
          (br $word)))
        (local.set $end (i32.add (local.get $from) (i32.and (local.get $n) (i32.const 7))))
        (block $bytes (loop $byte
          (br_if $bytes (i32.eq (local.get $from) (local.get $end)))
          (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
          (local.set $to (i32.add (local.get $to) (i32.const 1)))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (br $byte))))
      (else
        (block $words (loop $word
          (br_if $words (i32.lt_u (local.get $n) (i32.const 8)))
          (local.set $n (i32.sub (local.get $n) (i32.const 8)))
          (i64.store (i32.add (local.get $to) (local.get $n)) (i64.load (i32.add (local.get $from) (local.get $n))))
          (br $word)))
        (block $bytes (loop $byte
          (br_if $bytes (i32.eqz (local.get $n)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (i32.store8 (i32.add (local.get $to) (local.get $n))
            (i32.load8_u (i32.add (local.get $from) (local.get $n))))
          (br $byte))))))
  (func (export "fill") (param $to i32) (param $value i32) (param $n i32) (local $end i32) (local $word i64)
    (local.set $word (i64.mul (i64.extend_i32_u (i32.and (local.get $value) (i32.const 255)))
      (i64.const 0x0101010101010101)))
    (local.set $end (i32.add (local.get $to) (i32.and (local.get $n) (i32.const -8))))
    (block $words (loop $next
      (br_if $words (i32.eq (local.get $to) (local.get $end)))
      (i64.store (local.get $to) (local.get $word))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (br $next)))
    (local.set $end (i32.add (local.get $to) (i32.and (local.get $n) (i32.const 7))))
    (block $bytes (loop $next
      (br_if $bytes (i32.eq (local.get $to) (local.get $end)))
      (i32.store8 (local.get $to) (local.get $value))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $next)))))"""
"""Ranges that wrap around the end of memory trap like those that leave it, only later."""

_LEB: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
_WITHOUT_NUMBER: Final = (
    rb"(?:"
    rb"[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4]"  # control without a number, drop, select, arithmetic
    rb"|[\x20-\x22\x42\x0c\x0d]"
    + _LEB  # locals, 64-bit constants, branches
    + rb"|[\x28-\x3e]"
    + _LEB
    + _LEB  # loads and stores
    + rb"|[\x02-\x04][\x40\x7c-\x7f]"  # blocks without parameters
    rb"|\x3f\x00"  # memory.size
    rb"|\x43.{4}|\x44.{8}"  # floating-point constants
    rb"|\xfc[\x00-\x07]"  # saturating conversions
)
_PLAIN: Final = re.compile(_WITHOUT_NUMBER + rb"|\x41" + _LEB + rb")*+", re.DOTALL)
_NO_REFERENCE: Final = re.compile(_WITHOUT_NUMBER + rb"|\x40\x00|\x24" + _LEB + rb")*+", re.DOTALL)

BLOCKS: Final = (0x02, 0x03, 0x04)
BR_TABLE: Final = 0x0E
CALL: Final = 0x10
CALL_INDIRECT: Final = 0x11
GLOBALS: Final = (GLOBAL_GET, 0x24)
PREFIXED: Final = 0xFC
MEMORY_COPY: Final = b"\x0a\0\0"
MEMORY_FILL: Final = b"\x0b\0"
MEMORY_GROW: Final = 0x40
REFERENCE_WIDTH: Final = 5
"""Bytes of a number that the linker filled in."""


@dataclass(frozen=True, slots=True)
class Renumbering:
    """New numbers by old number, for one module that is joined with others."""

    types: Sequence[int]
    functions: Sequence[int]
    tables: Sequence[int]
    """Where each table begins in the one table there is."""
    globals: Sequence[int]
    copy: int
    """Function that does what ``memory.copy`` did."""
    fill: int
    grow: int | None
    """Function that does what ``memory.grow`` did; None leaves it."""


def rewrite_body(body: bytes, to: Renumbering) -> bytes:
    """A function body (declarations of locals, then instructions) with new numbers. Raises `InvalidCode`."""
    out: list[bytes] = []
    position = _after_locals(body)
    done, end = 0, len(body)
    while True:
        matched = _PLAIN.match(body, position)
        position = end if matched is None else matched.end()
        if position == end:
            out.append(body[done:])
            return b"".join(out)
        opcode = body[position]
        out.append(body[done:position])
        if opcode == CALL:
            number, done = _u32(body, position + 1)
            out.append(b"\x10" + leb(to.functions[number]))
        elif opcode in GLOBALS:
            number, done = _u32(body, position + 1)
            out.append(bytes([opcode]) + leb(to.globals[number]))
        elif opcode == CALL_INDIRECT:
            number, done = _u32(body, position + 1)
            table, done = _u32(body, done)
            if base := to.tables[table]:
                out.append(bytes([I32_CONST]) + signed_leb(base) + bytes([I32_ADD]))
            out.append(b"\x11" + leb(to.types[number]) + b"\0")
        elif opcode == BR_TABLE:
            done = _after_br_table(body, position)
            out.append(body[position:done])
        elif opcode in BLOCKS and not 0x40 <= body[position + 1] < 0x80:
            number, done = _u32(body, position + 1)
            out.append(bytes([opcode]) + signed_leb(to.types[number]))
        elif opcode == MEMORY_GROW:
            done = position + 2
            out.append(body[position:done] if to.grow is None else b"\x10" + leb(to.grow))
        elif opcode == PREFIXED and body.startswith(MEMORY_COPY, position + 1):
            out.append(b"\x10" + leb(to.copy))
            done = position + 4
        elif opcode == PREFIXED and body.startswith(MEMORY_FILL, position + 1):
            out.append(b"\x10" + leb(to.fill))
            done = position + 3
        else:
            raise InvalidCode(
                f"instruction {body[position : position + 3].hex()}, which no Polkadot validator takes,"
                f" at offset {position} of a body"
            )
        position = done


def references(body: bytes) -> Iterator[tuple[int, int, int]]:
    """The calls, ``global.get`` and ``i32.const`` of a rewritten body: opcode, number, bytes of the number."""
    position, end = _after_locals(body), len(body)
    while True:
        matched = _NO_REFERENCE.match(body, position)
        position = end if matched is None else matched.end()
        if position == end:
            return
        opcode = body[position]
        if opcode in (CALL, GLOBAL_GET, I32_CONST):
            number, done = _u32(body, position + 1)
            if opcode == I32_CONST and body[done - 1] & 0x40:
                number -= 1 << 7 * (done - position - 1)
            yield opcode, number, done - position - 1
        elif opcode == CALL_INDIRECT:
            _, done = _u32(body, position + 1)
            _, done = _u32(body, done)
        elif opcode == BR_TABLE:
            done = _after_br_table(body, position)
        elif opcode in BLOCKS:
            _, done = _u32(body, position + 1)
        else:
            raise InvalidCode(f"instruction {opcode:#x} at offset {position} of a body, which is not handled")
        position = done


def _after_br_table(body: bytes, position: int) -> int:
    count, done = _u32(body, position + 1)
    for _ in range(count + 1):
        _, done = _u32(body, done)
    return done


def _after_locals(body: bytes) -> int:
    groups, position = _u32(body, 0)
    for _ in range(groups):
        _, position = _u32(body, position)
        position += 1
    return position


def _u32(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned number, however long it is written, and where it ends."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return byte, position
    number, shift = byte & 0x7F, 7
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
