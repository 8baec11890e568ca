"""The context of a full node that executes a block made by somebody else."""

from __future__ import annotations

from host_functions.contexts.block import BlockContext
from host_functions.interfaces import (
    additional_data,
    child_storage,
    logging,
    misc,
    offchain_index,
    relay_chain_state,
    storage,
    storage_proof_size,
)

__all__ = ["ImportContext"]


class ImportContext(
    BlockContext,
    complete=(
        storage,
        child_storage,
        storage_proof_size,
        relay_chain_state,
        additional_data,
        offchain_index,
        logging,
        misc,
    ),
):
    """A block under import, executed in one runtime call.

    ``relay`` is whatever the node can answer from: usually the proof that came with the block, whose root the
    node believes because the relay chain finalized a candidate that was validated against it.
    """
