"""The answerers: a relay node's database, a validator's own state, and the proof a PoV carries.

==================== ============================== =====================================================
answerer             used by                        a missing node means
==================== ============================== =====================================================
`EmbeddedRelayNode`  collator                       `StateUnavailable`: it cannot author
`RelayOwnState`      PoV validator (the proposal)   `StateUnavailable`: it abstains
`CarriedProof`       PoV validator, dispute, sync   `WitnessMissing`: the candidate does not show its case
`OwnElseCarried`     PoV validator, third choice    `WitnessMissing` if a proof is carried, else
                                                    `StateUnavailable`
==================== ============================== =====================================================

``None`` always means proven absence. Follows ``RelayStateReader`` of ``cumulus-primitives-additional-data``
[sdk-13022]; not modelled here: a collator without an embedded node, which asks another node for read proofs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from host_functions.errors import StateUnavailable, WitnessMissing
from host_functions.relay_state.reads import RelayReads
from host_functions.state_machine.backend import FullBackend, WitnessBackend
from runtime.trie.errors import DuplicateNode
from runtime.trie.layout import BLAKE2B_256, NodeStore

__all__ = ["CarriedProof", "EmbeddedRelayNode", "OwnElseCarried", "RelayNodeState", "RelayOwnState"]


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


class _OwnElseCarried:
    """The validator's checked nodes, and for those it lacks the carried ones."""

    def __init__(self, own: NodeStore | None, carried: NodeStore) -> None:
        self._own = own
        self._carried = carried
        self.fell_back = own is None
        """Whether the validator's own database has failed to answer, so far."""

    def __getitem__(self, node: bytes) -> bytes:
        if self._own is not None:
            try:
                return self._own[node]
            except KeyError:
                self.fell_back = True
        return self._carried[node]


class OwnElseCarried(RelayReads):
    """A validator's own state, and where that has gaps the nodes that the block carries.

    Which of the two a node comes from makes no difference to anything: both are checked by hash.
    """

    def __init__(self, validator: RelayNodeState, trusted_root: bytes, nodes: Iterable[bytes] | None) -> None:
        """``nodes`` is None for a block that carries no proof, which is another thing than an empty one.

        Raises `StateUnavailable` if nothing is carried and the validator does not have that state.
        """
        self._carried = {BLAKE2B_256.digest(node): node for node in nodes or ()}
        own: NodeStore | None
        try:
            own = _Checked(validator.state_at(trusted_root))
        except StateUnavailable:
            if nodes is None:
                raise
            own = None
        self._store = _OwnElseCarried(own, self._carried)
        super().__init__(self._store, trusted_root, FullBackend if nodes is None else WitnessBackend)

    @property
    def fell_back(self) -> bool:
        """Whether the validator's own database could not answer something."""
        return self._store.fell_back

    def uncovered_node(self) -> bytes | None:
        """Hash of the first touched node that is not among the carried ones; None if there is none."""
        for node in self.nodes():
            digest = BLAKE2B_256.digest(node)
            if digest not in self._carried:
                return digest
        return None
