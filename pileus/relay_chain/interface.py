"""What a parachain node sees of a relay chain, and what it hands to it.

`RelayChainInterface` follows the trait of that name in Cumulus [cumulus-relay-chain-interface]; block arguments are
relay block hashes (32 bytes). `Collation` is the shape of what a collator produces, stated here because the relay
chain consumes it and must not import the collator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from host_functions.relay_state import RelayStateReader
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    CandidateCommitments,
    CandidateDescriptor,
    CommittedCandidateReceipt,
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
    PoV,
)

__all__ = ["Collation", "RelayChainInterface"]


class Collation(Protocol):
    """A candidate with everything its backers need. Attributes may have more beside them."""

    @property
    def para_id(self) -> int: ...

    @property
    def descriptor(self) -> CandidateDescriptor: ...

    @property
    def commitments(self) -> CandidateCommitments: ...

    @property
    def pov(self) -> PoV: ...

    @property
    def pvd(self) -> PersistedValidationData: ...


class RelayChainInterface(Protocol):
    """A relay chain node in the same process. Any method may raise `StateUnavailable` for a pruned block."""

    def best_block_hash(self) -> bytes:
        """Hash of the best block."""

    def finalized_block_hash(self) -> bytes:
        """Hash of the last finalized block."""

    def header(self, block: bytes) -> Header | None:
        """The header of a block; ``None`` if it is unknown."""

    def get_storage_by_key(self, relay_parent: bytes, key: bytes) -> bytes | None:
        """Value under `key` in the state after `relay_parent`."""

    def prove_read(self, relay_parent: bytes, relevant_keys: Iterable[bytes]) -> tuple[bytes, ...]:
        """Storage proof of the keys in the state after `relay_parent`: nodes and detached values, sorted."""

    def relay_state_prover(self, relay_parent: bytes) -> RelayStateReader:
        """Live reads of the state after `relay_parent`, recorded; for one block."""

    def persisted_validation_data(self, para_id: int, relay_parent: bytes) -> PersistedValidationData | None:
        """Inputs of a candidate built on `relay_parent`; ``None`` for a para that is not registered."""

    def validation_code_hash(self, para_id: int, relay_parent: bytes) -> bytes | None:
        """Hash of the para's registered code, 32 bytes."""

    def candidate_pending_availability(
        self, para_id: int, relay_parent: bytes
    ) -> CommittedCandidateReceipt | None:
        """The para's candidate that is backed but not yet included at `relay_parent`."""

    def retrieve_dmq_contents(self, para_id: int, relay_parent: bytes) -> tuple[InboundDownwardMessage, ...]:
        """Downward messages that wait for the para."""

    def retrieve_all_inbound_hrmp_channel_contents(
        self, para_id: int, relay_parent: bytes
    ) -> Mapping[int, tuple[InboundHrmpMessage, ...]]:
        """Messages that wait in the para's ingress channels, by sender."""

    def validators(self, relay_parent: bytes) -> tuple[bytes, ...]:
        """Public keys (sr25519, 32 bytes) of the session's validators, by index: who holds which chunk."""

    def session_index_for_child(self, relay_parent: bytes) -> int:
        """Session of a block built on `relay_parent`."""

    def accepts_v2_descriptors(self, relay_parent: bytes) -> bool:
        """Whether candidates may name core and session in place of a collator's signature [RFC-103]."""

    def core_index(self, para_id: int) -> int | None:
        """The core assigned to the para; ``None`` for a para that is not registered."""

    def slot(self, block: bytes) -> int | None:
        """BABE slot of a block; ``None`` if the block is unknown."""
