"""Log lines of the runtime: ``sp_io::logging`` [sp-io]."""

from host_functions.abi import I32, U32, Bytes
from host_functions.declare import host_function


@host_function("logging")
def log(level: U32, target: Bytes, message: Bytes) -> None:
    """Emit a line. ``level``: 0 error, 1 warn, 2 info, 3 debug, 4 trace; ``target`` and ``message`` are
    UTF-8.
    """


@host_function("logging")
def max_level() -> I32:
    """Most verbose level the host listens to: 0 off, 1 error … 5 trace."""
