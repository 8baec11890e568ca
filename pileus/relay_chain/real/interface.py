"""A real relay chain as an in-process node offers it to a parachain node.

See `RelayChainInterface` for what each method answers; here the runtime answers, through its ``ParachainHost`` API at
the block asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from host_functions.relay_state import EmbeddedRelayNode, RelayStateReader
from pileus.relay_chain.real.chain import RealRelayChain
from pileus.relay_chain.real.parachain_host import NodeFeature
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    CommittedCandidateReceipt,
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
)

__all__ = ["RealRelayChainInterface"]


class RealRelayChainInterface:
    """`RelayChainInterface` over a `RealRelayChain`."""

    def __init__(self, chain: RealRelayChain) -> None:
        self.chain = chain

    def best_block_hash(self) -> bytes:
        return self.chain.best.hash

    def finalized_block_hash(self) -> bytes:
        return self.chain.finalized.hash

    def header(self, block: bytes) -> Header | None:
        return self.chain.block(block).header if block in self.chain else None

    def slot(self, block: bytes) -> int | None:
        return self.chain.block(block).slot if block in self.chain else None

    def get_storage_by_key(self, relay_parent: bytes, key: bytes) -> bytes | None:
        return self.chain.state(self.chain.block(relay_parent)).get(key)

    def prove_read(self, relay_parent: bytes, relevant_keys: Iterable[bytes]) -> tuple[bytes, ...]:
        state = self.chain.state(self.chain.block(relay_parent))
        return self.chain.database.prove(state.root, relevant_keys)

    def relay_state_prover(self, relay_parent: bytes) -> RelayStateReader:
        state = self.chain.state(self.chain.block(relay_parent))
        return EmbeddedRelayNode(self.chain.database, state.root)

    def validators(self, relay_parent: bytes) -> tuple[bytes, ...]:
        """Public keys of the session's validators, 32 bytes each."""
        return self.chain.host(self.chain.block(relay_parent)).validators()

    def persisted_validation_data(self, para_id: int, relay_parent: bytes) -> PersistedValidationData | None:
        return self.chain.host(self.chain.block(relay_parent)).persisted_validation_data(para_id)

    def validation_code_hash(self, para_id: int, relay_parent: bytes) -> bytes | None:
        return self.chain.state(self.chain.block(relay_parent)).code_hash(para_id)

    def candidate_pending_availability(
        self, para_id: int, relay_parent: bytes
    ) -> CommittedCandidateReceipt | None:
        return self.chain.block(relay_parent).pending_of(para_id)

    def retrieve_dmq_contents(self, para_id: int, relay_parent: bytes) -> tuple[InboundDownwardMessage, ...]:
        return self.chain.host(self.chain.block(relay_parent)).dmq_contents(para_id)

    def retrieve_all_inbound_hrmp_channel_contents(
        self, para_id: int, relay_parent: bytes
    ) -> Mapping[int, tuple[InboundHrmpMessage, ...]]:
        return self.chain.host(self.chain.block(relay_parent)).inbound_hrmp_channels_contents(para_id)

    def session_index_for_child(self, relay_parent: bytes) -> int:
        return self.chain.host(self.chain.block(relay_parent)).session_index_for_child()

    def core_index(self, para_id: int) -> int | None:
        return self.chain.core_of(para_id, self.chain.best)

    def accepts_v2_descriptors(self, relay_parent: bytes) -> bool:
        host = self.chain.host(self.chain.block(relay_parent))
        return host.has_feature(NodeFeature.CANDIDATE_RECEIPT_V2)
