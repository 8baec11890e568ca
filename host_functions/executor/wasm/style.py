"""Which calling style a blob is written in, by everything it exports and imports.

`WasmBlob.calling_style` looks at entry points and at the functions that exist in one style only. Here the whole
list of imports counts: a function that returns bytes in memory the host allocates belongs to the legacy
style, a wire form of `host_functions.interfaces.guest_allocates` to that of [RFC-145], and what returns numbers
belongs to both. Follows ``RuntimeAllocSanityChecker`` [sc-executor].
"""

from __future__ import annotations

from typing import Any

from host_functions.abi import WireForm, wire_of
from host_functions.declare import HostFunction, registry
from host_functions.executor.wasm.blob import CallingStyle, WasmBlob
from host_functions.executor.wasm.errors import InvalidCode
from host_functions.interfaces import guest_allocates

__all__ = ["calling_style", "style_of"]

HOST_ALLOCATES = ("fat", "thin", "scale")
"""Forms of results for which the host allocates."""


def style_of(function: HostFunction[..., Any]) -> CallingStyle | None:
    """The style a function belongs to; ``None`` for one that either may import."""
    if isinstance(function, WireForm) or function is guest_allocates.last_cursor:
        return CallingStyle.RFC145
    if function.result is type(None):
        return None
    result = wire_of(function.result)
    return CallingStyle.LEGACY if result.into is None and result.form in HOST_ALLOCATES else None


def calling_style(blob: WasmBlob) -> CallingStyle:
    """The style of ``blob``. Raises `InvalidCode` if it mixes styles, or shows none."""
    style = blob.calling_style
    functions = registry()
    for wanted in blob.imports:
        function = functions.get(wanted.name)
        other = None if function is None else style_of(function)
        if other not in (None, style):
            raise InvalidCode(
                f"the blob mixes calling styles: its entry points are of the {style.value} style, but it imports"
                f" {wanted.name} of the {other.value} style"
            )
    return style
