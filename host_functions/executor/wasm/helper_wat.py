"""Text of the helper module: allocator and frequent hashes as Wasm, so that calls to them stay inside Wasm.

Nine in ten host calls of a runtime allocate, free or hash. The module imports the guest's memory (``$m``) and
keeps its own state in a second one (``$s``), which no guest can reach. What it computes is exactly what
`FreeingBumpAllocator` and the pure hash functions compute, down to the order in which memory is read and
written; it is tested against them.

When the guest breaks a rule the module notes why in its state and traps; `host_functions.executor.wasm.helper`
reads the note. Follows [sc-allocator], xxHash64 and RFC 7693 (BLAKE2b).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["BUMPER", "DETAIL", "ERROR", "FREE_LISTS", "HASHES", "MAX_PAGES", "Fault", "helper_text"]

# Where the state lies in $s.
FREE_LISTS: Final = 0
BUMPER: Final = 128
MAX_PAGES: Final = 136
ERROR: Final = 140
DETAIL: Final = 144
CHAIN: Final = 256
"""BLAKE2b: the chain value, 8 words."""
BLOCK: Final = 384
"""BLAKE2b: the last, padded block, 128 bytes."""

HASHES: Final = ("twox_64", "twox_128", "blake2_128", "blake2_256")
NO_BLOCKS: Final = r"\ff" * (23 * 4)
"""Every free list empty."""
MASK: Final = (1 << 64) - 1


class Fault(IntEnum):
    """Why the module trapped; from `BOUNDS` on, plus the index in `HASHES`."""

    TOO_LARGE = 1
    OUT_OF_SPACE = 2
    CANNOT_GROW = 3
    INVALID_HEADER = 4
    OCCUPIED_HEADER = 5
    INVALID_POINTER = 6
    OUTSIDE = 7
    EMPTY_HEADER = 8
    BAD_ORDER = 9
    BOUNDS = 16


def helper_text() -> str:
    """The module in the text format."""
    functions = [
        ALLOCATOR,
        _xxh64(),
        *(_twox(size) for size in (64, 128)),
        _compress("compress", "$m"),
        _compress("compress_last", "$s"),
        *(_blake2(size) for size in (128, 256)),
    ]
    return f"""(module
      (import "env" "memory" (memory $m 0))
      (memory $s (export "state") 1 1)
      (data (memory $s) (i32.const {FREE_LISTS}) "{NO_BLOCKS}")
      {"".join(functions)})"""


def get(name: str) -> str:
    return f"(local.get ${name})"


def const(value: int) -> str:
    return f"(i64.const {value & MASK:#x})"


# -- the heap ----------------------------------------------------------------------------------------------

ALLOCATOR: Final = f"""
(func $fail (param $code i32) (param $detail i64)
  (i32.store $s (i32.const {ERROR}) (local.get $code))
  (i64.store $s (i32.const {DETAIL}) (local.get $detail))
  unreachable)

(func $bytes (result i64) (i64.shl (i64.extend_i32_u (memory.size $m)) (i64.const 16)))

(func $malloc (export "ext_allocator_malloc_version_1") (param $size i32) (result i32)
  (local $order i32) (local $list i32) (local $header i32) (local $end i64) (local $raw i64)
  (local $pages i32) (local $needed i32) (local $most i32) (local $next i32)
  (if (i32.gt_u (local.get $size) (i32.const 33554432))
    (then (call $fail (i32.const {Fault.TOO_LARGE}) (i64.extend_i32_u (local.get $size)))))
  (if (i32.lt_u (local.get $size) (i32.const 8)) (then (local.set $size (i32.const 8))))
  (local.set $order (i32.sub (i32.const 29) (i32.clz (i32.sub (local.get $size) (i32.const 1)))))
  (local.set $list (i32.shl (local.get $order) (i32.const 2)))
  (local.set $header (i32.load $s offset={FREE_LISTS} (local.get $list)))
  (local.set $end (i64.add (i64.const 8) (i64.shl (i64.const 8) (i64.extend_i32_u (local.get $order)))))
  (if (i32.eq (local.get $header) (i32.const -1))
    (then
      (local.set $raw (i64.load $s (i32.const {BUMPER})))
      (local.set $header (i32.wrap_i64 (local.get $raw)))
      (local.set $end (i64.add (local.get $raw) (local.get $end)))
      (if (i64.gt_u (local.get $end) (call $bytes))
        (then
          (local.set $pages (memory.size $m))
          (local.set $most (i32.load $s (i32.const {MAX_PAGES})))
          (local.set $needed
            (i32.wrap_i64 (i64.shr_u (i64.add (local.get $end) (i64.const 65535)) (i64.const 16))))
          (if (i32.or (i32.ge_u (local.get $pages) (local.get $most))
                      (i32.gt_u (local.get $needed) (local.get $most)))
            (then (call $fail (i32.const {Fault.OUT_OF_SPACE}) (i64.extend_i32_u (local.get $most)))))
          (local.set $next (i32.shl (local.get $pages) (i32.const 1)))
          (if (i32.gt_u (local.get $next) (local.get $most)) (then (local.set $next (local.get $most))))
          (if (i32.lt_u (local.get $next) (local.get $needed)) (then (local.set $next (local.get $needed))))
          (if (i32.eq (memory.grow $m (i32.sub (local.get $next) (local.get $pages))) (i32.const -1))
            (then (call $fail (i32.const {Fault.CANNOT_GROW}) (i64.extend_i32_u (local.get $next)))))))
      (i64.store $s (i32.const {BUMPER}) (local.get $end)))
    (else
      (if (i64.gt_u (i64.add (i64.extend_i32_u (local.get $header)) (local.get $end)) (call $bytes))
        (then (call $fail (i32.const {Fault.INVALID_HEADER}) (i64.const 0))))
      (local.set $raw (i64.load $m (local.get $header)))
      (if (i32.wrap_i64 (i64.and (i64.shr_u (local.get $raw) (i64.const 32)) (i64.const 1)))
        (then (call $fail (i32.const {Fault.OCCUPIED_HEADER}) (i64.const 0))))
      (i32.store $s offset={FREE_LISTS} (local.get $list) (i32.wrap_i64 (local.get $raw)))))
  (i64.store $m (local.get $header)
    (i64.or (i64.extend_i32_u (local.get $order)) (i64.const 0x100000000)))
  (i32.add (local.get $header) (i32.const 8)))

(func (export "ext_allocator_free_version_1") (param $pointer i32)
  (local $header i32) (local $raw i64) (local $order i32)
  (if (i32.lt_u (local.get $pointer) (i32.const 8))
    (then (call $fail (i32.const {Fault.INVALID_POINTER}) (i64.const 0))))
  (if (i64.gt_u (i64.extend_i32_u (local.get $pointer)) (call $bytes))
    (then (call $fail (i32.const {Fault.OUTSIDE}) (i64.const 0))))
  (local.set $header (i32.sub (local.get $pointer) (i32.const 8)))
  (local.set $raw (i64.load $m (local.get $header)))
  (if (i64.eqz (i64.and (local.get $raw) (i64.const 0x100000000)))
    (then (call $fail (i32.const {Fault.EMPTY_HEADER}) (i64.const 0))))
  (local.set $order (i32.wrap_i64 (local.get $raw)))
  (if (i32.ge_u (local.get $order) (i32.const 23))
    (then (call $fail (i32.const {Fault.BAD_ORDER}) (i64.extend_i32_u (local.get $order)))))
  (local.set $order (i32.shl (local.get $order) (i32.const 2)))
  (i64.store $m (local.get $header) (i64.load32_u $s offset={FREE_LISTS} (local.get $order)))
  (i32.store $s offset={FREE_LISTS} (local.get $order) (local.get $header)))

(func $check (param $data i64) (param $fault i32)
  (if (i64.gt_u
        (i64.add (i64.and (local.get $data) (i64.const 0xffffffff)) (i64.shr_u (local.get $data) (i64.const 32)))
        (call $bytes))
    (then (call $fail (local.get $fault) (local.get $data)))))
"""

DATA: Final = "(local $p i32) (local $n i32)"
UNPACK: Final = """
  (local.set $p (i32.wrap_i64 (local.get $data)))
  (local.set $n (i32.wrap_i64 (i64.shr_u (local.get $data) (i64.const 32))))"""


def _check(name: str) -> str:
    return f"(call $check (local.get $data) (i32.const {Fault.BOUNDS + HASHES.index(name)}))"


# -- xxHash64 ----------------------------------------------------------------------------------------------

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def _round(lane: str, word: str) -> str:
    mixed = f"(i64.add {lane} (i64.mul {word} {const(P2)}))"
    return f"(i64.mul (i64.rotl {mixed} (i64.const 31)) {const(P1)})"


def _xxh64() -> str:
    """``(p, n, seed) -> digest``. ``$end`` is 64 bits wide: data may end where memory does, at 2^32."""
    lanes = "abcd"
    starts = {"a": P1 + P2, "b": P2, "c": 0, "d": -P1}
    begin = "".join(f"(local.set ${lane} (i64.add {get('seed')} {const(starts[lane])}))" for lane in lanes)
    stripe = "".join(
        f"(local.set ${lane} {_round(get(lane), f'(i64.load $m offset={8 * index} (local.get $p))')})"
        for index, lane in enumerate(lanes)
    )
    turned = [
        f"(i64.rotl {get(lane)} (i64.const {by}))" for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)
    ]
    merge = "".join(
        f"(local.set $h (i64.add (i64.mul (i64.xor {get('h')} {_round(const(0), get(lane))})"
        f" {const(P1)}) {const(P4)}))"
        for lane in lanes
    )
    word = _round(const(0), f"(i64.load $m {get('p')})")
    half = f"(i64.mul (i64.load32_u $m {get('p')}) {const(P1)})"
    byte = f"(i64.mul (i64.load8_u $m {get('p')}) {const(P5)})"

    def step(term: str, rotation: int, factor: int, plus: int) -> str:
        turn = f"(i64.rotl (i64.xor {get('h')} {term}) (i64.const {rotation}))"
        return f"(local.set $h (i64.add (i64.mul {turn} {const(factor)}) {const(plus)}))"

    def advance(size: int) -> str:
        return (
            f"(local.set $p (i32.add {get('p')} (i32.const {size})))"
            f"(local.set $n (i32.sub {get('n')} (i32.const {size})))"
        )

    def final(shift: int, factor: int) -> str:
        folded = f"(i64.xor {get('h')} (i64.shr_u {get('h')} (i64.const {shift})))"
        return f"(local.set $h (i64.mul {folded} {const(factor)}))"

    return f"""
(func $xxh64 (param $p i32) (param $n i32) (param $seed i64) (result i64)
  (local $h i64) (local $total i64) (local $a i64) (local $b i64) (local $c i64) (local $d i64)
  (local.set $total (i64.extend_i32_u {get("n")}))
  (if (i32.ge_u {get("n")} (i32.const 32))
    (then {begin}
      (loop $stripes {stripe} {advance(32)} (br_if $stripes (i32.ge_u {get("n")} (i32.const 32))))
      (local.set $h (i64.add (i64.add {turned[0]} {turned[1]}) (i64.add {turned[2]} {turned[3]})))
      {merge})
    (else (local.set $h (i64.add {get("seed")} {const(P5)}))))
  (local.set $h (i64.add {get("h")} {get("total")}))
  (block $words_done (loop $words (br_if $words_done (i32.lt_u {get("n")} (i32.const 8)))
    {step(word, 27, P1, P4)} {advance(8)} (br $words)))
  (if (i32.ge_u {get("n")} (i32.const 4)) (then {step(half, 23, P2, P3)} {advance(4)}))
  (block $bytes_done (loop $bytes (br_if $bytes_done (i32.eqz {get("n")}))
    {step(byte, 11, P1, 0)} {advance(1)} (br $bytes)))
  {final(33, P2)} {final(29, P3)}
  (i64.xor {get("h")} (i64.shr_u {get("h")} (i64.const 32))))
"""


def _twox(bits: int) -> str:
    words = range(bits // 64)
    hashes = "".join(
        f"(local.set $w{seed} (call $xxh64 {get('p')} {get('n')} (i64.const {seed})))" for seed in words
    )
    stores = "".join(f"(i64.store $m offset={8 * seed} {get('r')} {get(f'w{seed}')})" for seed in words)
    name = f"twox_{bits}"
    return f"""
(func (export "ext_hashing_{name}_version_1") (param $data i64) (result i32)
  {DATA} (local $r i32) {"".join(f"(local $w{seed} i64)" for seed in words)}
  {_check(name)} {UNPACK} {hashes}
  (local.set $r (call $malloc (i32.const {bits // 8}))) {stores} {get("r")})
"""


# -- BLAKE2b -----------------------------------------------------------------------------------------------

IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
SIGMA: Final = (
    "0123456789abcdef",
    "ea489fd61c02b753",
    "b8c052fdae367194",
    "7931dcbe265a40f8",
    "905724afe1bc683d",
    "2c6a0b834d75fe19",
    "c51fed4a0763928b",
    "db7ec13950f4862a",
    "6fe9b308c2d714a5",
    "a2847615fb9e3cd0",
)
MIXED: Final = ("048c", "159d", "26ae", "37bf", "05af", "16bc", "278d", "349e")
"""The columns, then the diagonals."""


def _compress(name: str, memory: str) -> str:
    """``(block, bytes so far, last?)``: the compression function, unrolled; ``block`` is in ``memory``."""
    lines = [f"(local.set $m{i} (i64.load {memory} offset={8 * i} {get('p')}))" for i in range(16)]
    lines += [f"(local.set $v{i} (i64.load $s offset={CHAIN + 8 * i} (i32.const 0)))" for i in range(8)]
    lines += [f"(local.set $v{8 + i} {const(IV[i])})" for i in range(8)]
    lines += [f"(local.set $v12 (i64.xor {get('v12')} {get('t')}))"]
    lines += [f"(local.set $v14 (i64.xor {get('v14')} {get('last')}))"]
    for number in range(12):
        sigma = SIGMA[number % 10]
        for index, places in enumerate(MIXED):
            a, b, c, d = (f"v{int(place, 16)}" for place in places)
            for word, right, left in ((sigma[2 * index], 32, 24), (sigma[2 * index + 1], 16, 63)):
                message = get(f"m{int(word, 16)}")
                lines += [
                    f"(local.set ${a} (i64.add (i64.add {get(a)} {get(b)}) {message}))",
                    f"(local.set ${d} (i64.rotr (i64.xor {get(d)} {get(a)}) (i64.const {right})))",
                    f"(local.set ${c} (i64.add {get(c)} {get(d)}))",
                    f"(local.set ${b} (i64.rotr (i64.xor {get(b)} {get(c)}) (i64.const {left})))",
                ]
    for i in range(8):
        chain = f"(i64.load $s offset={CHAIN + 8 * i} (i32.const 0))"
        mixed = f"(i64.xor {chain} (i64.xor {get(f'v{i}')} {get(f'v{8 + i}')}))"
        lines.append(f"(i64.store $s offset={CHAIN + 8 * i} (i32.const 0) {mixed})")
    names = " ".join(f"(local ${kind}{i} i64)" for kind in "mv" for i in range(16))
    body = "\n  ".join(lines)
    return f"\n(func ${name} (param $p i32) (param $t i64) (param $last i64) {names}\n  {body})\n"


def _blake2(bits: int) -> str:
    size, name = bits // 8, f"blake2_{bits}"
    begin = "".join(
        f"(i64.store $s offset={CHAIN + 8 * i} (i32.const 0) {const(IV[i] ^ (0x01010000 ^ size if i == 0 else 0))})"
        for i in range(8)
    )
    clear = "".join(f"(i64.store $s offset={BLOCK + 8 * i} (i32.const 0) (i64.const 0))" for i in range(16))
    copy = f"(i32.store8 $s offset={BLOCK} {get('i')} (i32.load8_u $m (i32.add {get('p')} {get('i')})))"
    copy8 = f"(i64.store $s offset={BLOCK} {get('i')} (i64.load $m (i32.add {get('p')} {get('i')})))"
    stores = "".join(
        f"(i64.store $m offset={8 * i} {get('r')} (i64.load $s offset={CHAIN + 8 * i} (i32.const 0)))"
        for i in range(size // 8)
    )
    return f"""
(func (export "ext_hashing_{name}_version_1") (param $data i64) (result i32)
  {DATA} (local $r i32) (local $t i64) (local $i i32)
  {_check(name)} {UNPACK} {begin}
  (block $blocks_done (loop $blocks (br_if $blocks_done (i32.le_u {get("n")} (i32.const 128)))
    (local.set $t (i64.add {get("t")} (i64.const 128)))
    (call $compress {get("p")} {get("t")} (i64.const 0))
    (local.set $p (i32.add {get("p")} (i32.const 128)))
    (local.set $n (i32.sub {get("n")} (i32.const 128)))
    (br $blocks)))
  {clear}
  (block $words_done (loop $words
    (br_if $words_done (i32.gt_u (i32.add {get("i")} (i32.const 8)) {get("n")}))
    {copy8} (local.set $i (i32.add {get("i")} (i32.const 8))) (br $words)))
  (block $bytes_done (loop $bytes (br_if $bytes_done (i32.ge_u {get("i")} {get("n")}))
    {copy} (local.set $i (i32.add {get("i")} (i32.const 1))) (br $bytes)))
  (call $compress_last (i32.const {BLOCK}) (i64.add {get("t")} (i64.extend_i32_u {get("n")})) (i64.const -1))
  (local.set $r (call $malloc (i32.const {size}))) {stores} {get("r")})
"""
