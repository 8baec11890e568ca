"""Exports of an instance, one by one.

wasmtime's own mapping makes an object for each export there is, and a runtime has dozens, of which a call needs three.
"""

from __future__ import annotations

import ctypes

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime._extern import wrap_extern

__all__ = ["Exports"]


class Exports:
    """What ``instance`` exports, by name. Uses names of the wasmtime package that are not public, as `raw` does."""

    def __init__(self, instance: wasmtime.Instance, store: wasmtime.Store) -> None:
        self._instance = ctypes.byref(instance._instance)
        self._context = store._context()

    def get(self, name: str) -> object | None:
        """A `wasmtime.Func`, `wasmtime.Memory`, `wasmtime.Global` …; ``None`` if there is nothing of that name."""
        encoded = name.encode()
        found = ffi.wasmtime_extern_t()
        text = ctypes.cast(ctypes.c_char_p(encoded), ctypes.POINTER(ctypes.c_char))
        if not ffi.wasmtime_instance_export_get(
            self._context, self._instance, text, len(encoded), ctypes.byref(found)
        ):
            return None
        export: object = wrap_extern(found)
        return export
