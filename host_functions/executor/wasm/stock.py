"""Linking through wasmtime's public interface: slow, and what every other way is tested against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import wasmtime

from host_functions.executor.wasm.blob import FunctionImport, FunctionType
from host_functions.executor.wasm.execution import current_execution
from host_functions.executor.wasm.marshal import Binding

__all__ = ["StockCallbacks", "callbacks_of", "function_type"]

MASKS: Final = {"i32": (1 << 32) - 1, "i64": (1 << 64) - 1}
SIGN_BITS: Final = {"i32": 1 << 31, "i64": 1 << 63}
VALUE_TYPES: Final[dict[str, Callable[[], wasmtime.ValType]]] = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}


class StockCallbacks:
    """The imports of one blob, ready to be linked."""

    def __init__(self, bindings: Sequence[tuple[FunctionImport, Binding]]) -> None:
        self._bindings = bindings

    def linker(self, engine: wasmtime.Engine) -> wasmtime.Linker:
        """A linker that answers them. What belongs to a single call may be defined over and over."""
        linker = wasmtime.Linker(engine)
        linker.allow_shadowing = True
        defined = set()
        for wanted, binding in self._bindings:
            if wanted.name not in defined:
                linker.define_func("env", wanted.name, function_type(wanted.type), _callback(wanted, binding))
                defined.add(wanted.name)
        return linker


callbacks_of = StockCallbacks


def function_type(kind: FunctionType) -> wasmtime.FuncType:
    return wasmtime.FuncType(
        [VALUE_TYPES[name]() for name in kind.params], [VALUE_TYPES[name]() for name in kind.results]
    )


def _callback(wanted: FunctionImport, binding: Binding) -> Callable[..., int | None]:
    masks = [MASKS.get(name) for name in wanted.type.params]
    result = wanted.type.results[0] if wanted.type.results else None

    def callback(*values: int) -> int | None:
        execution = current_execution.get()
        try:
            raw = [value if mask is None else value & mask for mask, value in zip(masks, values, strict=True)]
            answer = binding(execution, *raw)
        except BaseException as error:
            # The engine turns it into a trap; `Execution.failure` is how the caller learns of it.
            execution.fail(wanted.name, error)
            raise
        if answer is None or result is None:
            return None
        return answer - (answer & SIGN_BITS[result]) * 2  # wasmtime takes signed numbers only

    return callback
