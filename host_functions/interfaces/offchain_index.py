"""Writes from on-chain logic into the node's offchain database: ``sp_io::offchain_index`` [sp-io].

No part of the state: a PoV validator ignores them.
"""

from host_functions.abi import Bytes
from host_functions.declare import host_function


@host_function("offchain_index")
def set(key: Bytes, value: Bytes) -> None:
    """Store ``value`` in the offchain database once the block is imported."""


@host_function("offchain_index")
def clear(key: Bytes) -> None:
    """Delete ``key`` from the offchain database once the block is imported."""
