"""Reads of the relay chain's state at one root, with a record of every node they touch.

What was touched is what the block commits to: `RelayReads.additional_data` re-assembles exactly the recorded
nodes, so author and validator arrive at the same commitment if and only if they read the same, and a carried
proof with one node more or fewer has another hash [sdk-13022].
"""

from __future__ import annotations

from collections.abc import Callable

from host_functions.state_machine.backend import TrieBackend
from runtime.primitives.additional_data import RELAY_PROOF_KEY, hash_commitments, relay_proof_entry
from runtime.trie.layout import NodeStore
from runtime.trie.recorder import Recorder

__all__ = ["RelayReads"]


class RelayReads:
    """Recorded reads of the relay chain's state at ``root``. One per block."""

    def __init__(
        self, store: NodeStore, root: bytes, backend: Callable[[NodeStore, bytes], TrieBackend]
    ) -> None:
        """``backend`` says what a missing node means: `FullBackend` or `WitnessBackend`."""
        self.root = root
        """Storage root of the relay parent, 32 bytes."""
        self._recorder = Recorder(store)
        self._backend = backend(self._recorder, root)

    def read(self, key: bytes) -> bytes | None:
        """Value under ``key``, ``None`` if provably absent. Raises `StateUnavailable`, `WitnessMissing`."""
        return self._backend.get(key)

    def proof_size(self) -> int:
        """Bytes of the recorded nodes, counted as in `storage_proof_size`."""
        return self._recorder.encoded_size

    def nodes(self) -> tuple[bytes, ...]:
        """The nodes and detached values touched so far, sorted, each once."""
        return self._recorder.nodes()

    def touched(self, node: bytes) -> bool:
        """Whether the node with this hash was recorded."""
        return node in self._recorder

    def additional_data(self) -> dict[str, bytes] | None:
        """The block's additional data: root and proof of what was read; ``None`` if nothing was read."""
        nodes = self.nodes()
        return {RELAY_PROOF_KEY: relay_proof_entry(self.root, nodes)} if nodes else None

    def commitment(self) -> bytes | None:
        """Hash that the block's header commits to, 32 bytes; ``None`` if nothing was read."""
        additional_data = self.additional_data()
        return None if additional_data is None else hash_commitments(additional_data)

    def start_transaction(self) -> None:
        """Open a transaction of the host; nests."""
        self._recorder.start_transaction()

    def commit_transaction(self) -> None:
        """Keep what was recorded since `start_transaction`."""
        self._recorder.commit_transaction()

    def rollback_transaction(self) -> None:
        """Forget what was read since `start_transaction`, as if it had never been."""
        self._recorder.rollback_transaction()
        self._backend.forget()
