"""A parachain of a running network that runs on a runtime from outside.

The counterpart of `pileus.network.parachain.RunningParachain` for a raw chain spec: the same blocks, candidates and
imports. What its runtime says in events is its own business, and it takes no part in the traffic of a topology, which
needs our pallets.
"""

from __future__ import annotations

from collections.abc import Sequence

from host_functions.compressed_blob import BlobError
from host_functions.errors import PileusError
from host_functions.executor.wasm import CompileCache, WasmRuntime
from pileus.chain_spec import ChainSpec
from pileus.collator import Collation, Collator, ParachainNode
from pileus.collator.message_source import MessageSource
from pileus.collator.query_source import SiblingQuerySource
from pileus.network.parachain import dev_keypair
from pileus.network.topology import Parachain, TopologyError
from pileus.real_runtimes import RealParachain
from pileus.real_runtimes.dev_genesis import NoAuthorSlot
from pileus.relay_chain.interface import RelayChainInterface
from pileus.relay_chain.real import ParaRegistration
from runtime.primitives.block import Block
from runtime.support.construct import EventRecord

__all__ = ["RunningRealParachain"]


class RunningRealParachain:
    """A real parachain at work."""

    def __init__(self, spec: Parachain, chain: ChainSpec, where: str, *, cache: CompileCache | None) -> None:
        """Boot `chain` with the key of the section's collator in its genesis.

        Raises `TopologyError`, with `where` in front, for a runtime that does not start or believes in another id.
        """
        self.spec = spec
        try:
            self.chain = RealParachain.from_spec(
                chain, keypair=dev_keypair(spec.collators[0].name), cache=cache
            )
        except (PileusError, NoAuthorSlot, BlobError) as error:
            raise TopologyError(f"{where}: the runtime does not start: {error}") from error
        if self.chain.para_id != spec.id:
            raise TopologyError(
                f"{where}: its genesis is that of parachain {self.chain.para_id}, expected {spec.id} as in id"
            )
        self._collator: Collator | None = None

    @property
    def para_id(self) -> int:
        return self.spec.id

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def node(self) -> ParachainNode:
        return self.chain.node

    @property
    def runtime(self) -> WasmRuntime:
        """The genesis code."""
        return self.chain.runtime

    @property
    def registration(self) -> ParaRegistration:
        """How the relay chain knows it at genesis."""
        chain = self.chain
        return ParaRegistration(
            self.para_id, chain.genesis.header.encode(), chain.runtime.code, chain.relay_entries
        )

    def start_collators(
        self,
        relay: RelayChainInterface,
        sources: Sequence[MessageSource],
        query_sources: Sequence[SiblingQuerySource] = (),
        *,
        commit_relay_reads: bool,
    ) -> None:
        """Connect the collator to the relay chain. The runtime takes nothing from siblings and reads no relay state
        through our host function, so there is nothing to commit to."""
        del sources, query_sources, commit_relay_reads
        self._collator = self.chain.collator(relay)

    def collate(self, relay_parent: bytes) -> Collation | None:
        """As `RunningParachain.collate`; may also raise `SandboxError`, when the runtime traps."""
        return None if self._collator is None else self._collator.collate(relay_parent)

    def import_included(
        self, block: Block, relay: RelayChainInterface, relay_parent: bytes
    ) -> tuple[EventRecord, ...]:
        """Import a block that the relay chain included. Raises `InvalidBlock`, `HostError`, `SandboxError`."""
        self.node.import_block(block, relay.relay_state_prover(relay_parent))
        return ()
