"""Linking through the C interface of wasmtime: host functions called with a bare array of numbers.

`wasmtime.Linker.define_func` converts every value through several Python objects, which costs more than most
host functions do. This calls ``wasmtime_linker_define_func_unchecked`` with a callback of our own instead; the
signature was checked against the blob's before. It uses names of the wasmtime package that are not public,
so the package's major version is pinned, and `stock` remains to compare with.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

from host_functions.executor.wasm.blob import FunctionImport
from host_functions.executor.wasm.execution import current_execution
from host_functions.executor.wasm.marshal import Binding
from host_functions.executor.wasm.stock import function_type

__all__ = ["RawCallbacks", "callbacks_of"]

_SLOTS = ctypes.POINTER(ctypes.c_uint64)
_Callback = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, _SLOTS, ctypes.c_size_t)
_define_unchecked = ctypes.CFUNCTYPE(
    ctypes.c_void_p,  # an error, or null
    ctypes.c_void_p,  # linker
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_void_p,  # function type
    _Callback,
    ctypes.c_void_p,
    ctypes.c_void_p,
)(("wasmtime_linker_define_func_unchecked", ffi.dll))
_trap_new = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)(
    ("wasmtime_trap_new", ffi.dll)
)

SLOT: Final = 2
"""A value takes 16 bytes, two of the array's numbers."""
LOW: Final = 0xFFFF_FFFF
_MODULE: Final = b"env"
_MESSAGE: Final = b"host function failed"


class RawCallbacks:
    """The imports of one blob, ready to be linked. Must live as long as every linker made from it."""

    def __init__(self, bindings: Sequence[tuple[FunctionImport, Binding]]) -> None:
        kinds = {wanted.type: function_type(wanted.type) for wanted, _ in bindings}
        self._callbacks = {
            wanted.name: (kinds[wanted.type], _Callback(_callback(wanted, binding)))
            for wanted, binding in bindings
        }

    def linker(self, engine: wasmtime.Engine) -> wasmtime.Linker:
        """See `StockCallbacks.linker`."""
        linker = wasmtime.Linker(engine)
        linker.allow_shadowing = True
        pointer = ctypes.cast(linker.ptr(), ctypes.c_void_p)
        for text, (kind, callback) in self._callbacks.items():
            name = text.encode()
            kind_pointer = ctypes.cast(kind.ptr(), ctypes.c_void_p)
            error = _define_unchecked(
                pointer, _MODULE, len(_MODULE), name, len(name), kind_pointer, callback, None, None
            )
            if error:
                raise wasmtime.WasmtimeError(f"{text} cannot be defined")
        return linker


callbacks_of = RawCallbacks


def _callback(wanted: FunctionImport, binding: Binding) -> Callable[[Any, Any, Any, int], int]:
    """Arguments and result share the array. Only the low half of a slot holds an ``i32``."""
    end = SLOT * len(wanted.type.params)
    narrow = tuple(index for index, kind in enumerate(wanted.type.params) if kind in ("i32", "f32"))
    name = wanted.name

    def callback(environment: Any, caller: Any, slots: Any, count: int) -> int:
        execution = current_execution.get()
        try:
            raw = slots[:end:SLOT]
            for index in narrow:
                raw[index] &= LOW
            answer = binding(execution, *raw)
        except BaseException as error:  # nothing may cross a C frame; the caller re-raises it
            execution.fail(name, error)
            return int(_trap_new(_MESSAGE, len(_MESSAGE)))
        if answer is not None:
            slots[0] = answer
        return 0

    return callback
