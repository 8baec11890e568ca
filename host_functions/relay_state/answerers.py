"""The answerers: a relay node's database, a validator's own state, and the proof a PoV carries.

==================== ============================== =====================================================
answerer             used by                        a missing node means
==================== ============================== =====================================================
`EmbeddedRelayNode`  collator                       `StateUnavailable`: it cannot author
`RelayOwnState`      PoV validator (the proposal)   `StateUnavailable`: it abstains
`CarriedProof`       PoV validator, dispute, sync   `WitnessMissing`: the candidate does not show its case
==================== ============================== =====================================================

``None`` always means proven absence. Follows ``RelayStateReader`` of ``cumulus-primitives-additional-data``
[sdk-13022]; not modelled here: a collator without an embedded node, which asks another node for read proofs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from host_functions.errors import WitnessMissing
from host_functions.relay_state.reads import RelayReads
from host_functions.state_machine.backend import FullBackend, WitnessBackend
from runtime.trie.errors import DuplicateNode
from runtime.trie.layout import BLAKE2B_256, NodeStore

__all__ = ["CarriedProof", "EmbeddedRelayNode", "RelayNodeState", "RelayOwnState"]


class RelayNodeState(Protocol):
    """What an answerer needs of a relay chain node."""

    def state_at(self, root: bytes, /) -> NodeStore:
        """The trie nodes of the state with this root. Raises `StateUnavailable` if there is none."""


class _Checked:
    """A database that is not believed: an item that does not have its hash is not there.

    A flipped bit on a disk would otherwise be another answer, and with it another verdict. Costs one hash per
    node and block, because the recorder asks once.
    """

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def __getitem__(self, node: bytes) -> bytes:
        stored = self._store[node]
        if BLAKE2B_256.digest(stored) != node:
            raise KeyError(node)
        return stored


class EmbeddedRelayNode(RelayReads):
    """A collator's relay chain node, asked for the state of the relay parent while a block is authored."""

    def __init__(self, relay_node: RelayNodeState, relay_parent_root: bytes) -> None:
        """Raises `StateUnavailable` if the node has no state at ``relay_parent_root`` (32 bytes)."""
        super().__init__(_Checked(relay_node.state_at(relay_parent_root)), relay_parent_root, FullBackend)


class RelayOwnState(RelayReads):
    """A validator's own relay chain state at the candidate's relay parent."""

    def __init__(self, validator: RelayNodeState, relay_parent_root: bytes) -> None:
        """Raises `StateUnavailable` if the validator does not, or no longer, have that state."""
        super().__init__(_Checked(validator.state_at(relay_parent_root)), relay_parent_root, FullBackend)


class CarriedProof(RelayReads):
    """The nodes a block carries, under a root that the carrier does not choose."""

    def __init__(self, trusted_root: bytes, nodes: Iterable[bytes]) -> None:
        """``trusted_root`` comes from ``ValidationParams``; the root in the carried data is of no interest.

        Raises `DuplicateNode`, and `WitnessMissing` if the root itself is not among the nodes.
        """
        carried: dict[bytes, bytes] = {}
        for node in nodes:
            digest = BLAKE2B_256.digest(node)
            if digest in carried:
                raise DuplicateNode(digest)
            carried[digest] = node
        if trusted_root not in carried:
            raise WitnessMissing(b"", trusted_root)
        self._carried = carried
        super().__init__(carried, trusted_root, WitnessBackend)

    def unused_nodes(self) -> tuple[bytes, ...]:
        """The carried nodes that no read has touched so far, sorted. A minimal proof ends with none."""
        return tuple(sorted(node for digest, node in self._carried.items() if not self.touched(digest)))
