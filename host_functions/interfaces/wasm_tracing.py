"""Spans that a runtime reports to the node's profiler: ``sp_io::wasm_tracing`` [sp-io].

A runtime asks `enabled` first, and reports nothing where the answer is no.
"""

from host_functions.abi import U64, Bool, Bytes
from host_functions.declare import host_function


@host_function("wasm_tracing")
def enabled(metadata: Bytes) -> Bool:
    """Whether spans with this (encoded) ``WasmMetadata`` are of interest."""


@host_function("wasm_tracing")
def enter_span(span: Bytes) -> U64:
    """Open a span, encoded ``WasmEntryAttributes``; its number, 0 for one that is not recorded."""


@host_function("wasm_tracing")
def event(event: Bytes) -> None:
    """Report an event, encoded ``WasmEntryAttributes``."""


@host_function("wasm_tracing")
def exit(span: U64) -> None:
    """Close a span."""
