"""The relay chain as an in-process node offers it to a parachain node.

The counterpart of Cumulus' ``RelayChainInProcessInterface`` [cumulus-relay-chain-interface]: a collator with an
embedded relay full node. See `RelayChainInterface` for what each method answers. What blocks and their states answer
is the same for both forms of the relay chain (`BlocksInterface`); the model's is here, the real one's in
`pileus.relay_chain.real.interface`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from host_functions.relay_state import EmbeddedRelayNode, RelayStateReader
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.storage import RelayState
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    CommittedCandidateReceipt,
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
)

__all__ = ["BlocksInterface", "RelayChainInProcessInterface"]


class ChainOfBlocks(Protocol):
    """What `BlocksInterface` needs of a relay chain."""

    database: StateDatabase

    @property
    def best(self) -> RelayBlock: ...

    @property
    def finalized(self) -> RelayBlock: ...

    def block(self, block: bytes, /) -> RelayBlock: ...

    def state(self, block: RelayBlock, /) -> RelayState: ...

    def __contains__(self, block: object, /) -> bool: ...


Chain = TypeVar("Chain", bound=ChainOfBlocks)


class BlocksInterface(Generic[Chain]):
    """The methods of `RelayChainInterface` that blocks and their states answer, in either form."""

    def __init__(self, chain: Chain) -> None:
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

    def validation_code_hash(self, para_id: int, relay_parent: bytes) -> bytes | None:
        return self.chain.state(self.chain.block(relay_parent)).code_hash(para_id)

    def candidate_pending_availability(
        self, para_id: int, relay_parent: bytes
    ) -> CommittedCandidateReceipt | None:
        return self.chain.block(relay_parent).pending_of(para_id)


class RelayChainInProcessInterface(BlocksInterface[RelayChain]):
    """`RelayChainInterface` over a `RelayChain`."""

    def persisted_validation_data(self, para_id: int, relay_parent: bytes) -> PersistedValidationData | None:
        block = self.chain.block(relay_parent)
        head = self.chain.state(block).para_head(para_id)
        if head is None:
            return None
        return PersistedValidationData(head, block.number, block.state_root, self.chain.config.max_pov_size)

    def retrieve_dmq_contents(self, para_id: int, relay_parent: bytes) -> tuple[InboundDownwardMessage, ...]:
        return self.chain.state(self.chain.block(relay_parent)).downward_messages(para_id)

    def retrieve_all_inbound_hrmp_channel_contents(
        self, para_id: int, relay_parent: bytes
    ) -> Mapping[int, tuple[InboundHrmpMessage, ...]]:
        """With an entry for each channel, empty ones too."""
        state = self.chain.state(self.chain.block(relay_parent))
        return {sender: state.hrmp_messages(sender, para_id) for sender in state.hrmp_senders(para_id)}

    def validators(self, relay_parent: bytes) -> tuple[bytes, ...]:
        session = self.chain.session_of(self.chain.block(relay_parent))
        return tuple(validator.keypair.public_key for validator in session.validators)

    def session_index_for_child(self, relay_parent: bytes) -> int:
        return self.chain.session_of(self.chain.block(relay_parent)).index

    def accepts_v2_descriptors(self, relay_parent: bytes) -> bool:
        self.chain.block(relay_parent)
        return True

    def core_index(self, para_id: int) -> int | None:
        return self.chain.core_of.get(para_id)
