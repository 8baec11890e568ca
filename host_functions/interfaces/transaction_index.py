"""Marking extrinsics for storage by the node: ``sp_io::transaction_index`` [sp-io]. No part of the state."""

from host_functions.abi import U32, Bytes32
from host_functions.declare import host_function


@host_function("transaction_index")
def index(extrinsic: U32, size: U32, context_hash: Bytes32) -> None:
    """The last ``size`` bytes of extrinsic number ``extrinsic`` are data to keep under ``context_hash``."""


@host_function("transaction_index")
def renew(extrinsic: U32, context_hash: Bytes32) -> None:
    """Extrinsic number ``extrinsic`` keeps the data under ``context_hash`` for longer."""
