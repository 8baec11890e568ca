"""The heap that a legacy host manages inside the guest: ``sp_io::allocator`` [sp-io].

No context answers these: they belong to the Wasm executor, which owns the heap of each instance.
"""

from host_functions.abi import U32
from host_functions.declare import host_function


@host_function("allocator")
def malloc(size: U32) -> U32:
    """Address of a new block of at least ``size`` bytes."""


@host_function("allocator")
def free(ptr: U32) -> None:
    """Give back the block at ``ptr``."""
