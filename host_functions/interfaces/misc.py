"""Printing and version queries: ``sp_io::misc`` [sp-io]."""

from host_functions.abi import U64, Bytes, OptionBytes
from host_functions.declare import host_function


@host_function("misc")
def print_num(val: U64) -> None:
    """Print a number."""


@host_function("misc")
def print_utf8(utf8: Bytes) -> None:
    """Print text."""


@host_function("misc")
def print_hex(data: Bytes) -> None:
    """Print bytes as hex."""


@host_function("misc")
def runtime_version(wasm: Bytes) -> OptionBytes:
    """SCALE-encoded ``RuntimeVersion`` of a code blob, or ``None`` if the blob has none."""
