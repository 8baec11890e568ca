"""What authoring and import have in common: a whole block executed over a node's own database, and recorded.

Import must record too: `storage_proof_size` is visible to the runtime, so a node that did not record would
compute another block [RFC-43].
"""

from __future__ import annotations

from host_functions.contexts.batch_verify import BatchVerify
from host_functions.contexts.families import Misc, NoTracing, OffchainIndex, RelayState, VersionReader
from host_functions.contexts.offchain_worker import TransactionIndex
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.relay_reader import RelayStateReader
from host_functions.state_machine.table import STORAGE_TABLE

__all__ = ["BlockContext"]


class BlockContext(
    Misc,
    NoTracing,
    BatchVerify,
    OffchainIndex,
    TransactionIndex,
    RelayState,
    delegates={"state": STORAGE_TABLE},
):
    """Storage from ``state``, relay reads from ``relay``; both count towards the proof size."""

    def __init__(
        self,
        state: Externalities,
        relay: RelayStateReader | None = None,
        *,
        commit_relay_reads: bool = False,
        version_of: VersionReader | None = None,
        max_level: int = 3,
    ) -> None:
        """``state`` must record; its transactions and proof size will include ``relay``.

        ``commit_relay_reads``: the block carries its relay reads and commits to them in its header.
        """
        if state.recorder is None:
            raise ValueError(f"{type(self).__name__} needs an Externalities with a recorder")
        if state.relay_reader is None:
            state.relay_reader = relay
        elif state.relay_reader is not relay:
            raise ValueError(f"{type(self).__name__}: the Externalities count another relay state reader")
        Misc.__init__(self, max_level=max_level, version_of=version_of)
        OffchainIndex.__init__(self)
        RelayState.__init__(self, relay, commit_relay_reads=commit_relay_reads)
        self.state = state
