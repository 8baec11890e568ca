"""The context of a collator that builds a block."""

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

__all__ = ["AuthoringContext"]


class AuthoringContext(
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
    """A block under construction.

    The builder calls the runtime several times in one context and wraps what may have to be taken back,
    inherent creation and each extrinsic, in host-level transactions of `state`. At the end,
    ``state.drain(...)`` gives the changes, ``state.recorder.nodes()`` the storage proof and
    ``relay.additional_data()`` the relay reads to carry.
    """
