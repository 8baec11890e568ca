"""A real relay chain as an in-process node offers it to a parachain node.

See `RelayChainInterface` for what each method answers; here the runtime answers what its state alone does not say,
through its ``ParachainHost`` API at the block asked about.
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.relay_chain.in_process import BlocksInterface
from pileus.relay_chain.real.chain import RealRelayChain
from pileus.relay_chain.real.parachain_host import NodeFeature
from runtime.primitives.parachain import (
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
)

__all__ = ["RealRelayChainInterface"]


class RealRelayChainInterface(BlocksInterface[RealRelayChain]):
    """`RelayChainInterface` over a `RealRelayChain`."""

    def validators(self, relay_parent: bytes) -> tuple[bytes, ...]:
        """Public keys of the session's validators, 32 bytes each."""
        return self.chain.host(self.chain.block(relay_parent)).validators()

    def persisted_validation_data(self, para_id: int, relay_parent: bytes) -> PersistedValidationData | None:
        return self.chain.host(self.chain.block(relay_parent)).persisted_validation_data(para_id)

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
