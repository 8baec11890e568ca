"""The context of a PoV validator: what the host offers to a PVF.

No storage at all, as on Polkadot: the blob brings its own over the PoV's witness, and a storage call that
reaches the host is refused. Nor an offchain index, which the blob replaces by a no-op.
"""

from __future__ import annotations

from host_functions.contexts.batch_verify import BatchVerify
from host_functions.contexts.families import Misc, RelayState, VersionReader
from host_functions.interfaces import (
    additional_data,
    crypto,
    hashing,
    logging,
    misc,
    relay_chain_state,
    storage_proof_size,
    trie,
)
from host_functions.state_machine.relay_reader import RelayStateReader

__all__ = ["ValidationContext"]


class ValidationContext(
    Misc,
    BatchVerify,
    RelayState,
    complete=(
        misc,
        crypto,
        hashing,
        logging,
        trie,
        relay_chain_state,
        additional_data,
        storage_proof_size,
    ),
):
    """One candidate under validation.

    ``relay`` is the validator's own state (the proposal) or the proof carried in the PoV; the outcome is the
    same. Follows ``executor_interface`` of ``polkadot-node-core-pvf`` [pvf-executor].
    """

    def __init__(
        self,
        relay: RelayStateReader | None = None,
        *,
        commit_relay_reads: bool = False,
        version_of: VersionReader | None = None,
        max_level: int = 3,
    ) -> None:
        """``commit_relay_reads``: the candidate carries its relay reads, so its headers commit to them."""
        Misc.__init__(self, max_level=max_level, version_of=version_of)
        RelayState.__init__(self, relay, commit_relay_reads=commit_relay_reads)

    @storage_proof_size.storage_proof_size.implement
    def storage_proof_size(self) -> int:
        """Bytes of the relay reads alone; the guest, which holds the witness, adds its part."""
        return 0 if self.relay is None else self.relay.proof_size()
