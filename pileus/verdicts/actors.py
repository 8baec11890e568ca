"""Who takes part in a scenario: validators with nodes of their own, and a collator that does as it is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeAlias

from host_functions.executor import Runtime
from host_functions.relay_state import EmbeddedRelayNode, RelayStateReader
from pileus.collator import ParachainNode
from pileus.keyring import Keypair
from pileus.relay_chain.backing import Validator
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.in_process import RelayChainInProcessInterface
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.state import StateDatabase
from pov_validator import RelayStateSource
from runtime.primitives.block import Block
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import CandidateCommitments, CollationInfo, PersistedValidationData
from runtime.trie.layout import NodeStore

__all__ = [
    "CollatorView",
    "LyingReads",
    "ReadsOf",
    "RelayDatabase",
    "ScenarioValidator",
    "executing",
    "with_same_past",
]

ReadsOf: TypeAlias = Callable[[RelayStateReader], RelayStateReader]
"""What a dishonest collator makes of the reads that its relay node would answer."""


class RelayDatabase(RelayNode):
    """A relay chain node whose disk may be damaged."""

    def __init__(self, database: StateDatabase, *, pruning: int | None) -> None:
        super().__init__(database, pruning=pruning)
        self.damaged: dict[bytes, bytes] = {}
        """Items that are not what was written, by hash."""

    def damage(self, item: bytes) -> None:
        """Flip a bit of an item (node or detached value) on this node's disk."""
        self.damaged[blake2_256(item)] = item[:-1] + bytes([item[-1] ^ 1])

    def state_at(self, root: bytes) -> NodeStore:
        """As `RelayNode.state_at`, with the damage."""
        store = super().state_at(root)
        return _Damaged(store, self.damaged) if self.damaged else store


class _Damaged:
    """A node store in which some items have changed."""

    def __init__(self, store: NodeStore, damaged: Mapping[bytes, bytes]) -> None:
        self._store = store
        self._damaged = damaged

    def __getitem__(self, item: bytes) -> bytes:
        return self._damaged[item] if item in self._damaged else self._store[item]


class ScenarioValidator(Validator):
    """A validator that takes relay state from where the scenario's network does."""

    def __init__(
        self,
        index: int,
        name: str,
        keypair: Keypair,
        node: RelayDatabase,
        codes: Mapping[bytes, Runtime],
        source_of: Callable[[RelayDatabase], RelayStateSource],
    ) -> None:
        super().__init__(index, name, keypair, node, codes)
        self.database = node
        """Its relay chain node: the same as `node`, and known to be one of ours."""
        self.condition = ""
        """What sets this validator apart from the others, in a word; empty for an ordinary one."""
        self.honest = True
        self._source_of = source_of

    def relay_state(self, *, carried: bool, fallback: bool = False) -> RelayStateSource:
        """The network's answerer, over this validator's node; the arguments say the same."""
        del carried, fallback
        return self.source()

    def source(self) -> RelayStateSource:
        """Where this validator takes relay state from."""
        return self._source_of(self.database)


class CollatorView(RelayChainInProcessInterface):
    """The relay chain as one collator's own node shows it, and as a dishonest collator reads it."""

    def __init__(self, chain: RelayChain, node: RelayNode) -> None:
        super().__init__(chain)
        self._node = node
        self.tampered: ReadsOf | None = None
        """What becomes of the reads of the next block."""

    def persisted_validation_data(self, para_id: int, relay_parent: bytes) -> PersistedValidationData | None:
        """As the interface. Raises `StateUnavailable` if this collator's node has let go of the state."""
        self._node.state_at(self.chain.block(relay_parent).state_root)
        return super().persisted_validation_data(para_id, relay_parent)

    def relay_state_prover(self, relay_parent: bytes) -> RelayStateReader:
        """As the interface, unless the collator is told to cheat."""
        reader = EmbeddedRelayNode(self._node, self.chain.block(relay_parent).state_root)
        return reader if self.tampered is None else self.tampered(reader)


class LyingReads:
    """Reads that say something else about one key, and record and commit to what an honest reader would."""

    def __init__(self, honest: RelayStateReader, key: bytes, lie: bytes | None) -> None:
        self._honest = honest
        self._key = key
        self._lie = lie

    def read(self, key: bytes) -> bytes | None:
        """The truth, but for one key."""
        value = self._honest.read(key)
        return self._lie if key == self._key else value

    def proof_size(self) -> int:
        return self._honest.proof_size()

    def nodes(self) -> tuple[bytes, ...]:
        return self._honest.nodes()

    def additional_data(self) -> dict[str, bytes] | None:
        return self._honest.additional_data()

    def commitment(self) -> bytes | None:
        return self._honest.commitment()

    def start_transaction(self) -> None:
        self._honest.start_transaction()

    def commit_transaction(self) -> None:
        self._honest.commit_transaction()

    def rollback_transaction(self) -> None:
        self._honest.rollback_transaction()


def with_same_past(node: ParachainNode) -> ParachainNode:
    """Another node that has seen what `node` has seen, and goes its own way from here."""
    other = copy.copy(node)
    for name, value in vars(node).items():
        if isinstance(value, dict):
            setattr(other, name, dict(value))
    return other


def executing(node: ParachainNode, block: Block) -> Callable[[RelayStateReader], CandidateCommitments]:
    """How a full node with the same past as `node` executes a block; `node` stays as it is."""

    def execute(reader: RelayStateReader) -> CandidateCommitments:
        full_node = with_same_past(node)
        full_node.import_block(block, reader)
        answer = full_node.call(
            "CollectCollationInfo_collect_collation_info", block.header.encode(), block.header.hash()
        )
        return CollationInfo.decode(answer).to_commitments()

    return execute
