"""The context of queries: runtime API calls that leave no trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from host_functions.contexts.batch_verify import BatchVerify
from host_functions.contexts.families import Misc, NoTracing, OffchainIndex, RelayState, VersionReader
from host_functions.contexts.keystore import Keystore, KeystoreFunctions
from host_functions.contexts.offchain_worker import OffchainWorker, TransactionIndex
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
from host_functions.state_machine.backend import TrieBackend
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.relay_reader import RelayStateReader
from host_functions.state_machine.table import STORAGE_TABLE

__all__ = ["OffchainContext"]


class OffchainContext(
    Misc,
    NoTracing,
    BatchVerify,
    KeystoreFunctions,
    OffchainWorker,
    OffchainIndex,
    TransactionIndex,
    RelayState,
    delegates={"state": STORAGE_TABLE},
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
    """A state to ask questions of. Calls may write; each leaves when its ``externalities()`` block ends."""

    def __init__(
        self,
        backend: TrieBackend,
        relay: RelayStateReader | None = None,
        *,
        version_of: VersionReader | None = None,
        max_level: int = 3,
        keystore: Keystore | None = None,
    ) -> None:
        """``keystore``: keys that the runtime may use; without, generating and signing are missing."""
        Misc.__init__(self, max_level=max_level, version_of=version_of)
        OffchainWorker.__init__(self)
        OffchainIndex.__init__(self)
        RelayState.__init__(self, relay)
        self.keystore = keystore
        self.state = Externalities(backend)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Forget at the end what was written within. Nests."""
        self.state.begin_host_transaction()
        try:
            yield
        finally:
            self.state.rollback_host_transaction()
            self.offchain_changes.clear()
            self.batch = None
