"""The native engine: a Python runtime called in this process.

Fast and debuggable; not a sandbox. What the guest raises on purpose (`PileusError`) passes through typed;
anything else is a bug of the guest and becomes a `GuestPanic`, the counterpart of a Wasm trap.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping

from host_functions.contexts.base import HostContext
from host_functions.errors import GuestPanic, PileusError
from host_functions.executor.archive import source_archive
from host_functions.tracing.observe import observed
from runtime.primitives.hashing import blake2_256

__all__ = ["NativeRuntime"]

OF_THE_HOST = (MemoryError, RecursionError, OSError, ImportError)
"""What a guest cannot cause: it does no I/O and imports nothing while it runs, and never recurses over its input, so
memory, the depth of this process's stack, a disk or a library of a host function failed. Says nothing about a block."""


class NativeRuntime:
    """A runtime in an importable Python module with a table ``ENTRY_POINTS``."""

    def __init__(self, module_name: str) -> None:
        """Raises `ModuleNotFoundError`, or `TypeError` if the module is not a runtime."""
        module = importlib.import_module(module_name)
        entry_points = getattr(module, "ENTRY_POINTS", None)
        if not isinstance(entry_points, Mapping):
            raise TypeError(f"module {module_name} is not a runtime: it has no table ENTRY_POINTS")
        self.module_name = module_name
        version = entry_points["Core_version"](b"") if "Core_version" in entry_points else b""
        self.code = source_archive(module_name, version)
        self.code_hash = blake2_256(self.code)
        self._entry_points: Mapping[str, Callable[[bytes], bytes]] = entry_points

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """See `host_functions.executor.Runtime.call`."""
        function = self._entry_points.get(entry_point)
        if function is None:
            raise GuestPanic(entry_point, f"{self.module_name} exports no such function")
        with observed(context, "native", entry_point).externalities():
            try:
                result = function(argument)
                if type(result) is not bytes:
                    raise TypeError(f"an entry point returns bytes, not {type(result).__name__}")
                return result
            except (PileusError, *OF_THE_HOST):
                raise
            except Exception as error:
                raise GuestPanic(entry_point, _describe(error)) from error

    def __repr__(self) -> str:
        return f"<native runtime {self.module_name}, code hash 0x{self.code_hash.hex()[:16]}…>"


def _describe(error: Exception) -> str:
    """Type, message (bounded: it may quote hostile input) and the guest line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
