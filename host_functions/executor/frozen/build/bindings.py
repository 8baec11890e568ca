"""The door between CPython in the VM and the host, generated from the declarations.

componentize-py speaks WIT, hosts speak ``env.ext_*`` in the style of [RFC-145]. For each function of the host
interface this makes

* a WIT function ``h0``, ``h1`` … of plain shapes (bytes, numbers, options), which componentize-py turns into a
  Python callable;
* an adapter in Wasm text from the canonical ABI of that function to the host's import: pointers become fat
  pointers, and results go through a scratch buffer into memory that CPython owns;
* a row of a table for `host_functions.executor.frozen.guest.links`, which turns values into those shapes.

The adapter also makes the entry points: ``enter`` fetches the argument, calls the guest and packs the result.
``load`` does too, and afterwards writes zeros over the stack and over all memory that is free, where compiling and
importing have left their garbage: the memory becomes part of the blob, and zeros take no room in it. Gaps between what
is in use stay taken, so that a call, which copies each page that it writes to, writes to few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

from host_functions.abi import Into, Wire, wasm_signature, wire_of
from host_functions.executor.frozen.interface import INTERFACE_VERSION, Imported, imported_functions
from host_functions.interfaces import guest_allocates

__all__ = ["ADAPTER_EXPORTS", "HOST_INTERFACE", "WORLD", "adapter_text", "link_table", "wit_text"]

WORLD: Final = "vm"
HOST_INTERFACE: Final = f"pileus:{WORLD}/host"
ADAPTER_EXPORTS: Final = ("enter", "load")
"""``(index, length as i64) -> packed``, which has no entry point's type, and ``(length) -> packed``."""
SCRATCH: Final = 4096
"""Bytes of the scratch buffer; what does not fit is fetched a second time."""

BYTES, OPTION_BYTES = "list<u8>", "option<list<u8>>"
RESULT_TYPES: Final = {
    Into.PREFIX: OPTION_BYTES,
    Into.WINDOW: OPTION_BYTES,
    Into.WHOLE: OPTION_BYTES,
    Into.WHOLE_OR_EMPTY: OPTION_BYTES,
    Into.FLAG: OPTION_BYTES,
    Into.FIXED: BYTES,
    Into.ENCODED: BYTES,
    Into.CHECKED: f"tuple<s64, {BYTES}>",
    Into.CURSOR: f"tuple<u32, u32, u32, {BYTES}>",
}
FLAT: Final = {
    "u32": ("i32",),
    "bool": ("i32",),
    "u64": ("i64",),
    "s64": ("i64",),
    BYTES: ("i32", "i32"),
    OPTION_BYTES: ("i32", "i32", "i32"),
}
"""Wasm types of a parameter in the canonical ABI."""


def wit_text() -> str:
    """The world of the VM."""
    functions = []
    for number, (_, wire) in enumerate(imported_functions()):
        parameters = ", ".join(f"p{index}: {kind}" for index, kind in enumerate(_parameter_types(wire)))
        result = _result_type(wire)
        arrow = "" if result is None else f" -> {result}"
        functions.append(f"  /// {wire.name}\n  h{number}: func({parameters}){arrow};")
    return "\n".join(
        (
            f"package pileus:{WORLD};",
            "interface host {",
            *functions,
            "}",
            f"world {WORLD} {{",
            "  import host;",
            f"  export load: func(archive: {BYTES}) -> {BYTES};",
            f"  export call: func(index: u32, argument: {BYTES}) -> {BYTES};",
            "}",
            "",
        )
    )


def link_table() -> str:
    """A Python module with the rows ``(name, number, shapes of the parameters, shape of the result)``.

    A shape of a parameter is ``bytes:N`` (exactly N), a SCALE type, ``limit``, ``cursor`` or nothing; that of the
    result is the name of an `Into`, ``bool`` or nothing.
    """
    rows = []
    for number, (function, wire) in enumerate(imported_functions()):
        shapes = tuple(_shape(wire_of(annotation)) for annotation in wire.parameters.values())
        rows.append((function.name, number, shapes, _result_shape(wire)))
    return (
        "\n".join(
            (
                f"INTERFACE_VERSION = {INTERFACE_VERSION}",
                "TABLE = (",
                *(f"    {row!r}," for row in rows),
                ")",
            )
        )
        + "\n"
    )


def adapter_text() -> str:
    """The adapter, which imports from the part ``vm`` and the host, and exports ``h0`` … and the entry points."""
    functions = imported_functions()
    imports = [_host_import(f"$e{number}", wire) for number, (_, wire) in enumerate(functions)]
    imports.append(_host_import("$input", guest_allocates.input_read))
    imports.append(_host_import("$last_cursor", guest_allocates.last_cursor))
    bodies = [_function(number, imported) for number, imported in enumerate(functions)]
    return f"""(module
  (import "vm" "memory" (memory 1))
  (import "vm" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "vm" "copy" (func $copy (param i32 i32 i32)))
  (import "vm" "fill" (func $fill (param i32 i32 i32)))
  (import "vm" "malloc" (func $malloc (param i32) (result i32)))
  (import "vm" "malloc_usable_size" (func $usable (param i32) (result i32)))
  (import "vm" "free" (func $free (param i32)))
  (import "vm" "full" (global $full (mut i32)))
  (import "vm" "__stack_pointer" (global $stack (mut i32)))
  (import "vm" "__stack_low" (global $stack_end (mut i32)))
  (import "vm" "load" (func $load (param i32 i32) (result i32)))
  (import "vm" "loaded" (func $loaded (param i32)))
  (import "vm" "call" (func $call (param i32 i32 i32) (result i32)))
  {" ".join(imports)}
  (global $scratch (mut i32) (i32.const 0))
  {_HELPERS}
  {" ".join(bodies)}
  {_ENTRY_POINTS})"""


_HELPERS: Final = f"""
  (func $span (param $p i32) (param $n i32) (result i64)
    (i64.or (i64.extend_i32_u (local.get $p)) (i64.shl (i64.extend_i32_u (local.get $n)) (i64.const 32))))
  (func $buffer (result i32)
    (if (i32.eqz (global.get $scratch))
      (then (global.set $scratch (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {SCRATCH})))))
    (global.get $scratch))
  ;; n bytes that the guest will free, also if there are none
  (func $new (param $n i32) (result i32)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $n)))
  ;; a list at $r that holds a copy
  (func $own (param $p i32) (param $n i32) (param $r i32) (local $q i32)
    (local.set $q (call $new (local.get $n)))
    (call $copy (local.get $q) (local.get $p) (local.get $n))
    (i32.store (local.get $r) (local.get $q))
    (i32.store offset=4 (local.get $r) (local.get $n)))"""

_ENTRY_POINTS: Final = """
  (func $input_of (param $n i32) (result i32) (local $p i32)
    (local.set $p (call $new (local.get $n)))
    (call $input (call $span (local.get $p) (local.get $n)))
    (local.get $p))
  (func $packed (param $r i32) (result i64)
    (call $span (i32.load (local.get $r)) (i32.load offset=4 (local.get $r))))
  (func (export "enter") (param $index i32) (param $length i64) (result i64) (local $n i32)
    (local.set $n (i32.wrap_i64 (local.get $length)))
    (call $packed (call $call (local.get $index) (call $input_of (local.get $n)) (local.get $n))))
  ;; the instance lives on as the frozen guest, so the result is copied and the original given back
  (func (export "load") (param $n i32) (result i64) (local $r i32) (local $p i32)
    (local.set $r (call $load (call $input_of (local.get $n)) (local.get $n)))
    (local.set $n (i32.load offset=4 (local.get $r)))
    (local.set $p (call $new (local.get $n)))
    (call $copy (local.get $p) (i32.load (local.get $r)) (local.get $n))
    (call $loaded (local.get $r))
    (call $scrub)
    (call $span (local.get $p) (local.get $n)))
  ;; zeros into all memory that is free: takes it, piece by piece and without growing, and gives large pieces back
  (func $scrub (local $n i32) (local $p i32) (local $taken i32)
    (call $fill (global.get $stack_end) (i32.const 0) (i32.sub (global.get $stack) (global.get $stack_end)))
    (global.set $full (i32.const 1))
    (local.set $n (i32.const 0x1000000))
    (loop $size
      (block $none (loop $more
        (br_if $none (i32.eqz (local.tee $p (call $malloc (local.get $n)))))
        (call $fill (local.get $p) (i32.const 0) (call $usable (local.get $p)))
        ;; small pieces are not given back: what a call allocates in them would touch pages all over the memory
        (br_if $more (i32.lt_u (local.get $n) (i32.const 4096)))
        (i32.store (local.get $p) (local.get $taken))
        (local.set $taken (local.get $p))
        (br $more)))
      (br_if $size (i32.ge_u (local.tee $n (i32.shr_u (local.get $n) (i32.const 1))) (i32.const 8))))
    (block $all (loop $next
      (br_if $all (i32.eqz (local.tee $p (local.get $taken))))
      (local.set $taken (i32.load (local.get $p)))
      (i32.store (local.get $p) (i32.const 0))
      (call $free (local.get $p))
      (br $next)))
    (global.set $full (i32.const 0)))"""


def _parameter_types(wire: Any) -> list[str]:
    return [_parameter_type(wire_of(annotation)) for annotation in wire.parameters.values()]


def _parameter_type(wire: Wire) -> str:
    if wire.form == "value":
        return "u32" if wire.types == ("i32",) else "u64"
    if wire.form == "optional":
        return "s64"
    if wire.form == "optional fat":
        return OPTION_BYTES
    if wire.form in ("fat", "thin", "scale"):
        return BYTES
    raise TypeError(f"a parameter of form {wire.form!r} cannot cross into the VM")


def _shape(wire: Wire) -> str:
    match wire.form:
        case "thin":
            return f"bytes:{wire.size}"
        case "scale":
            return wire.scale
        case "optional":
            return "limit"
        case "optional fat":
            return "cursor"
        case _:
            return ""


def _result_shape(wire: Any) -> str:
    if wire.result is type(None):
        return ""
    into = wire_of(wire.result).into
    if into is None:
        return "bool" if get_args(wire.result)[0] is bool else ""
    return into.name


def _result_type(wire: Any) -> str | None:
    if wire.result is type(None):
        return None
    result = wire_of(wire.result)
    if result.into is None:
        return "u32" if result.types == ("i32",) else "u64"
    return RESULT_TYPES[result.into]


def _host_import(name: str, wire: Any) -> str:
    parameters, results = wasm_signature(wire)
    return f'(import "env" "{wire.name}" (func {name} {_params(parameters)} {_results(results)}))'


def _params(kinds: tuple[str, ...]) -> str:
    return f"(param {' '.join(kinds)})" if kinds else ""


def _results(kinds: tuple[str, ...]) -> str:
    return f"(result {kinds[0]})" if kinds else ""


def _function(number: int, imported: Imported) -> str:
    """The adapter of one function: parameters as the canonical ABI flattens them, the last for a result."""
    wire = imported.wire
    flat: list[str] = []
    pushed: list[str] = []
    for annotation in wire.parameters.values():
        form = wire_of(annotation)
        place = len(flat)
        flat += FLAT[_parameter_type(form)]
        pushed.append(_pushed(form, place))
    call = f"(call $e{number} {' '.join(pushed)}"
    into = None if wire.result is type(None) else wire_of(wire.result).into
    export = f'(func (export "h{number}")'
    if into is None:
        _, results = wasm_signature(wire)
        return f"{export} {_params(tuple(flat))} {_results(results)} {call}))"
    result = f"(local.get {len(flat)})"
    size = wire_of(wire.result).size
    body = _BODIES[into](call, result, size)
    flat.append("i32")
    return f"{export} {_params(tuple(flat))} (local $n i64) (local $m i32) (local $p i32) {body})"


def _pushed(wire: Wire, place: int) -> str:
    """What the host gets of the parameter whose flat values begin at ``place``."""
    if wire.form in ("value", "optional", "thin"):
        return f"(local.get {place})"
    if wire.form == "optional fat":
        span = f"(call $span (local.get {place + 1}) (local.get {place + 2}))"
        return f"(select {span} (i64.const -1) (local.get {place}))"
    return f"(call $span (local.get {place}) (local.get {place + 1}))"


def _optional_length(more: str) -> Callable[[str, str, int], str]:
    """Results whose length, or absence, is an ``i64``. ``more``: what follows the buffer."""

    def body(call: str, result: str, size: int) -> str:
        scratch = f"(call $span (call $buffer) (i32.const {SCRATCH}))"
        exact = "(call $span (local.get $p) (local.get $m))"
        return f"""
          (local.set $n {call} {scratch} {more}))
          (if (i64.lt_s (local.get $n) (i64.const 0)) (then (i32.store8 {result} (i32.const 0)) (return)))
          (i32.store8 {result} (i32.const 1))
          (local.set $m (i32.wrap_i64 (local.get $n)))
          (if (i32.le_u (local.get $m) (i32.const {SCRATCH}))
            (then (call $own (global.get $scratch) (local.get $m) (i32.add {result} (i32.const 4))))
            (else
              (local.set $p (call $new (local.get $m)))
              (if (i64.ne {call} {exact} {more}) (local.get $n)) (then unreachable))
              (i32.store offset=4 {result} (local.get $p))
              (i32.store offset=8 {result} (local.get $m))))"""

    return body


def _whole_or_empty(call: str, result: str, size: int) -> str:
    """As above; the length is an ``i32``, 0 for absence."""
    scratch = f"(call $span (call $buffer) (i32.const {SCRATCH}))"
    return f"""
      (local.set $m {call} {scratch}))
      (i32.store8 {result} (i32.ne (local.get $m) (i32.const 0)))
      (if (i32.le_u (local.get $m) (i32.const {SCRATCH}))
        (then (call $own (global.get $scratch) (local.get $m) (i32.add {result} (i32.const 4))))
        (else
          (local.set $p (call $new (local.get $m)))
          (if (i32.ne {call} (call $span (local.get $p) (local.get $m))) (local.get $m)) (then unreachable))
          (i32.store offset=4 {result} (local.get $p))
          (i32.store offset=8 {result} (local.get $m))))"""


def _flag(call: str, result: str, size: int) -> str:
    """The only such function writes 32 bytes."""
    return f"""
      (local.set $m {call} (call $span (call $buffer) (i32.const 32))))
      (i32.store8 {result} (local.get $m))
      (if (local.get $m)
        (then (call $own (global.get $scratch) (i32.const 32) (i32.add {result} (i32.const 4)))))"""


def _fixed(call: str, result: str, size: int) -> str:
    return f"""
      (local.set $p (call $new (i32.const {size})))
      {call} (local.get $p))
      (i32.store {result} (local.get $p))
      (i32.store offset=4 {result} (i32.const {size}))"""


def _encoded(call: str, result: str, size: int) -> str:
    """A hash behind its one byte of length."""
    return f"""
      {call} (call $span (call $buffer) (i32.const {SCRATCH})))
      (call $own (i32.add (global.get $scratch) (i32.const 1))
        (i32.shr_u (i32.load8_u (global.get $scratch)) (i32.const 2)) {result})"""


def _checked(call: str, result: str, size: int) -> str:
    return f"""
      (local.set $n {call} (call $buffer)))
      (i64.store {result} (local.get $n))
      (call $own (global.get $scratch)
        (select (i32.const {size}) (i32.const 0) (i64.eqz (local.get $n))) (i32.add {result} (i32.const 8)))"""


def _cursor(call: str, result: str, size: int) -> str:
    room = SCRATCH - 16
    return f"""
      (local.set $p (call $buffer))
      (local.set $m {call} (call $span (i32.add (local.get $p) (i32.const 16)) (i32.const {room})) (local.get $p)))
      (i32.store {result} (i32.load (local.get $p)))
      (i32.store offset=4 {result} (i32.load offset=4 (local.get $p)))
      (i32.store offset=8 {result} (i32.load offset=8 (local.get $p)))
      (if (i32.le_u (local.get $m) (i32.const {room}))
        (then (call $own (i32.add (local.get $p) (i32.const 16)) (local.get $m) (i32.add {result} (i32.const 12))))
        (else
          (local.set $p (call $new (local.get $m)))
          (drop (call $last_cursor (call $span (local.get $p) (local.get $m))))
          (i32.store offset=12 {result} (local.get $p))
          (i32.store offset=16 {result} (local.get $m))))"""


_BODIES: Final[dict[Into, Callable[[str, str, int], str]]] = {
    Into.PREFIX: _optional_length(""),
    Into.WHOLE: _optional_length(""),
    Into.WINDOW: _optional_length("(i32.const 0) (i32.const 0)"),
    Into.WHOLE_OR_EMPTY: _whole_or_empty,
    Into.FLAG: _flag,
    Into.FIXED: _fixed,
    Into.ENCODED: _encoded,
    Into.CHECKED: _checked,
    Into.CURSOR: _cursor,
}
