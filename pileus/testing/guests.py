"""A zoo of tiny guests in Wasm text, each in both calling styles: runtimes that do one thing, for tests.

Every guest has one entry point, ``run``, and gives the same bytes in either style for the same argument. No
toolchain is needed: wasmtime assembles them.

Memory, in both styles: four pages; two buffers of one page each at `ONE` and `TWO`; in the legacy style the heap
begins at `HEAP`, in that of [RFC-145] the argument is fetched to there, and must fit into a page.
"""

from __future__ import annotations

from typing import Any, Final

import wasmtime

from host_functions.abi import wasm_signature
from host_functions.declare import HostFunction
from host_functions.executor.wasm.blob import CallingStyle
from host_functions.interfaces import guest_allocates, relay_chain_state, storage, storage_proof_size

__all__ = ["proof_size_reader", "relay_reader", "storage_echo"]

PAGES: Final = 4
ONE: Final = 0x10000
TWO: Final = 0x20000
HEAP: Final = 0x30000
PAGE: Final = 0x10000


def storage_echo(style: CallingStyle) -> bytes:
    """Stores the argument under the key ``echo``, reads it back and returns what it read.

    Values of 64 KiB and more are not read.
    """
    reader: HostFunction[..., Any]
    write = f"(call $set {_span(ONE, 4)} {_ARGUMENT})"
    if style is CallingStyle.LEGACY:
        # Option<u32> of the bytes there are, in memory of the host's.
        reader = storage.read
        read = f"(call $read {_span(ONE, 4)} {_span(TWO, PAGE)} (i32.const 0))"
        length = f"(i32.load offset=1 align=1 (i32.wrap_i64 {read}))"
    else:
        reader = guest_allocates.storage_read
        length = f"(i32.wrap_i64 (call $read {_span(ONE, 4)} {_span(TWO, PAGE)} (i32.const 0) (i32.const 0)))"
    body = f"{write} {_pack(TWO, length)}"
    return _guest(style, body, f'(data (i32.const {ONE}) "echo")', set=storage.set, read=reader)


def relay_reader(style: CallingStyle) -> bytes:
    """Reads the key that is the argument from the relay chain's state.

    Returns the length as a little-endian ``i64``, -1 for absent, and the value as far as 64 KiB hold it.
    """
    body = f"""
      (local.set $found (call $read {_ARGUMENT} {_span(ONE + 8, PAGE - 8)}))
      (i64.store (i32.const {ONE}) (local.get $found))
      {
        _pack(
            ONE,
            "(i32.add (i32.const 8) (select (i32.wrap_i64 (local.get $found)) (i32.const 0)"
            " (i64.gt_s (local.get $found) (i64.const 0))))",
        )
    }"""
    return _guest(style, body, read=relay_chain_state.read_relay_state)


def proof_size_reader(style: CallingStyle) -> bytes:
    """Asks for the size of the storage proof before and after it looks for the key that is the argument.

    Returns both as little-endian ``u64``. An empty argument is not looked for, because validators offer no
    storage.
    """
    body = f"""
      (i64.store (i32.const {ONE}) (call $size))
      (if (local.get $length) (then (drop (call $exists {_ARGUMENT}))))
      (i64.store (i32.const {ONE + 8}) (call $size))
      {_pack(ONE, "(i32.const 16)")}"""
    return _guest(style, body, size=storage_proof_size.storage_proof_size, exists=storage.exists)


_ARGUMENT: Final = (
    "(i64.or (i64.extend_i32_u (local.get $argument))"
    " (i64.shl (i64.extend_i32_u (local.get $length)) (i64.const 32)))"
)
"""Fat pointer to the argument."""


def _span(address: int, length: int) -> str:
    return f"(i64.const {address | length << 32})"


def _pack(address: int, length: str) -> str:
    return f"(i64.or (i64.const {address}) (i64.shl (i64.extend_i32_u {length}) (i64.const 32)))"


def _guest(style: CallingStyle, body: str, data: str = "", **functions: HostFunction[..., Any]) -> bytes:
    """A module whose ``run`` is ``body``, with the argument at ``$argument`` and ``$length`` bytes long."""
    if style is CallingStyle.LEGACY:
        parameters, begin = "(param $argument i32) (param $length i32)", ""
        heap_base = f'(global (export "__heap_base") i32 (i32.const {HEAP}))'
    else:
        functions = {**functions, "input": guest_allocates.input_read}
        parameters, heap_base = "(param $length i32)", ""
        begin = f"(local.set $argument (i32.const {HEAP})) (call $input {_ARGUMENT})"
    locals = "(local $found i64)" + ("" if style is CallingStyle.LEGACY else " (local $argument i32)")
    imports = "\n".join(_import(name, function) for name, function in functions.items())
    return bytes(
        wasmtime.wat2wasm(f"""(module
          {imports}
          (memory (export "memory") {PAGES})
          {heap_base}
          {data}
          (func (export "run") {parameters} (result i64) {locals} {begin} {body}))""")
    )


def _import(name: str, function: HostFunction[..., Any]) -> str:
    parameters, results = wasm_signature(function)
    types = "".join(f"(param {kind})" for kind in parameters) + "".join(
        f"(result {kind})" for kind in results
    )
    return f'(import "env" "{function.name}" (func ${name} {types}))'
