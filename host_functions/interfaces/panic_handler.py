"""How a runtime panics without logging first: ``sp_io::panic_handler`` [sp-io].

No context answers this: the Wasm executor stops the guest with the message.
"""

from host_functions.abi import Bytes
from host_functions.declare import host_function


@host_function("panic_handler")
def abort_on_panic(message: Bytes) -> None:
    """Stop the execution; ``message`` is UTF-8."""
