"""A Wasm guest for any declared host function, written from its declaration.

What a prototype's function will look like to a real blob can be tried before there is a blob: the guest imports the
function under its import name and with the Wasm type of the declaration, and passes arguments on to it, so every wire
form is crossed as a parachain's runtime would. The argument of the guest's entry point is one number per Wasm
parameter, room for the raw result and for an address, and then what the pointers among the numbers point to.
"""

from __future__ import annotations

import atexit
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import wasmtime

from host_functions.abi import Into, Wire, wasm_signature, wire_of
from host_functions.contexts import HostContext
from host_functions.declare import HostFunction
from host_functions.executor.wasm import WasmRuntime
from host_functions.executor.wasm.wire_codecs import WIRE_CODECS

__all__ = ["WasmCaller"]

ENTRY_POINT: Final = "call"
ROOM: Final = 64 * 1024
"""Bytes of the buffer for a value that the host writes into."""
HASH: Final = 32
"""What the form with a flag carries: the flag says nothing about a length."""
WORD: Final = 8
LOW: Final = 0xFFFF_FFFF


@cache
def _guest(caller: WasmCaller) -> WasmRuntime:
    return WasmRuntime(bytes(wasmtime.wat2wasm(caller.text)))


# A module must be let go while the interpreter still can.
atexit.register(_guest.cache_clear)


@dataclass(frozen=True)
class WasmCaller:
    """The guest of one host function; compiled once per process."""

    function: HostFunction[..., Any]

    def __post_init__(self) -> None:
        """Raises `TypeError` for the wire forms of [RFC-145]: this guest lets the host allocate."""
        forms = {wire.form for wire in self._wires}
        if self._result.into not in (None, Into.PREFIX, Into.FLAG) or forms & {"optional", "optional fat"}:
            raise TypeError(f"{self.function.name} is of the style in which guests allocate")

    def __call__(self, *arguments: Any) -> BoundCall:
        """The call with these arguments, for `assert_contexts_agree` or to be run by hand."""
        return BoundCall(self, arguments)

    @property
    def runtime(self) -> WasmRuntime:
        """The guest."""
        return _guest(self)

    @property
    def text(self) -> str:
        """The guest's source."""
        params, results = wasm_signature(self.function)
        pointers = [wire.form != "value" for wire in self._wires for _ in wire.types] + [True] * self._is_into
        pushed = " ".join(
            _argument(position, kind, pointer)
            for position, (kind, pointer) in enumerate(zip(params, pointers, strict=True))
        )
        call = f"(call $function {pushed})"
        if not results:
            call = f"{call} (i64.const 0)"
        elif results[0] == "i32":
            call = f"(i64.extend_i32_u {call})"
        slot = WORD * len(params)
        result = f"(result {results[0]})" if results else ""
        return f"""(module
  (import "env" "{self.function.name}" (func $function (param {" ".join(params)}) {result}))
  (memory (export "memory") 4)
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "{ENTRY_POINT}") (param $at i32) (param $length i32) (result i64) (local $answer i64)
    (local.set $answer {call})
    (i64.store offset={slot} (local.get $at) (local.get $answer))
    (i64.store32 offset={slot + WORD} (local.get $at) (i64.extend_i32_u (local.get $at)))
    (i64.or (i64.extend_i32_u (local.get $at)) (i64.shl {self._returned} (i64.const 32)))))"""

    @property
    def _returned(self) -> str:
        """How many bytes from the argument on are returned: to its end, or to the end of what the host allocated."""
        if self._form == "thin":
            end = f"(i64.add (local.get $answer) (i64.const {self._result.size}))"
        elif self._form in ("fat", "scale"):
            low = "(i64.and (local.get $answer) (i64.const 0xffffffff))"
            end = f"(i64.add {low} (i64.shr_u (local.get $answer) (i64.const 32)))"
        else:
            return "(i64.extend_i32_u (local.get $length))"
        return f"(i64.sub {end} (i64.extend_i32_u (local.get $at)))"

    @property
    def _wires(self) -> list[Wire]:
        return [wire_of(hint) for hint in self.function.parameters.values()]

    @property
    def _result(self) -> Wire:
        nothing = self.function.result is type(None)
        return Wire((), "value") if nothing else wire_of(self.function.result)

    @property
    def _is_into(self) -> bool:
        return self._result.into is not None

    @property
    def _form(self) -> str:
        return "into" if self._is_into else self._result.form

    @property
    def _start(self) -> int:
        """Where the data of an argument begin, after the numbers, the raw answer, and the argument's own address."""
        return WORD * (len(wasm_signature(self.function)[0]) + 2)

    def argument(self, arguments: tuple[Any, ...]) -> bytes:
        """What the entry point takes. Raises `ValueError` for too few or too many arguments."""
        words: list[int] = []
        data = b""
        for wire, value in zip(self._wires, arguments, strict=True):
            if wire.form == "value":
                words.append(int(value) & 0xFFFF_FFFF_FFFF_FFFF)
                continue
            block = WIRE_CODECS[wire.scale].encode(value) if wire.form == "scale" else bytes(value)
            length = 0 if wire.form == "thin" else len(block)
            words.append(length << 32 | self._start + len(data))
            data += block
        if self._is_into:
            words.append(ROOM << 32 | self._start + len(data))
            data += bytes(ROOM)
        return struct.pack(f"<{len(words) + 2}Q", *words, 0, 0) + data

    def result(self, returned: bytes, arguments: tuple[Any, ...]) -> Any:
        """What the host answered, as a native guest would have it; fills buffers among the arguments."""
        raw, at = struct.unpack_from("<qQ", returned, self._start - 2 * WORD)
        data = returned[self._start :]
        for wire, value in zip(self._wires, arguments, strict=True):
            if wire.form == "value":
                continue
            length = len(WIRE_CODECS[wire.scale].encode(value)) if wire.form == "scale" else len(value)
            if wire.form == "out":
                value[:] = data[:length]
            data = data[length:]
        if self._form in ("fat", "thin", "scale"):
            # The host allocates upwards, so what it answered lies behind the argument.
            answer = returned[(raw & LOW) - at :]
            if self._form == "scale":
                return WIRE_CODECS[self._result.scale].decode_prefix(answer)[0]
            return answer
        if self._is_into:
            if self._result.into is Into.FLAG:
                return data[:HASH] if raw else None
            return None if raw < 0 else data[:raw]
        if self.function.result is type(None):
            return None
        return bool(raw) if self._python_type is bool else raw & (2**64 - 1)

    @property
    def _python_type(self) -> Any:
        return getattr(self.function.result, "__origin__", self.function.result)


@dataclass(frozen=True)
class BoundCall:
    """A guest with its arguments."""

    caller: WasmCaller
    arguments: tuple[Any, ...]

    def run_in(self, context: HostContext) -> Any:
        """Call the host function from Wasm; its answer."""
        returned = self.caller.runtime.call(ENTRY_POINT, self.caller.argument(self.arguments), context)
        return self.caller.result(returned, self.arguments)


def _argument(position: int, kind: str, pointer: bool) -> str:
    word = f"(i64.load offset={WORD * position} (local.get $at))"
    if pointer:
        # The low half is an offset from where the argument lies.
        word = f"(i64.add {word} (i64.extend_i32_u (local.get $at)))"
    return word if kind == "i64" else f"(i32.wrap_i64 {word})"
