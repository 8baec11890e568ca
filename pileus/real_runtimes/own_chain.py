"""A chain that makes its own blocks: a relay chain of any year, or a chain of its own.

Enough to see that a runtime works here: blocks with nothing but inherents, each executed once more. Whose turn it is
belongs to the client, and no runtime checks it, so all blocks are those of the first authority: BABE's secondary slots
or Aura's, by what the runtime exports [sp-consensus-babe], [sc-consensus-aura]. Not modelled: seals, sessions skipped,
consensus engines whose claim the runtime itself verifies.
"""

from __future__ import annotations

from typing import Final, Self

from host_functions.contexts import AuthoringContext, ImportContext, OffchainContext
from host_functions.executor.wasm import CompileCache, WasmRuntime, version_reader
from host_functions.state_machine import Externalities, FullBackend
from pileus.block_builder import propose
from pileus.chain_spec import BadChainSpec, ChainSpec, Genesis, build_genesis, hasher_of
from pileus.real_runtimes.parachain import CALL_TIMEOUT
from pileus.relay_chain.block import SecondaryPlainPreDigest
from pileus.relay_chain.real.inherent import ParachainsInherentData, relay_inherent_data
from runtime.primitives.block import Block
from runtime.primitives.digest import AURA, BABE, DigestItem, PreRuntime
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u64
from runtime.trie.layout import Hasher

__all__ = ["OwnChain"]

FIRST_SLOT: Final = 280_000_000
"""In March 2023, if it is 6 seconds long."""
SLOT_DURATION: Final = 6_000
"""Milliseconds, where the runtime does not say it."""
UNLIMITED: Final = 1 << 62


class OwnChain:
    """A chain and its newest state."""

    def __init__(self, runtime: WasmRuntime, genesis: Genesis, timeout: float | None) -> None:
        """See `from_spec`."""
        self.runtime = runtime
        self.layout = genesis.layout
        self.header: Header = genesis.header
        self._nodes = dict(genesis.nodes)
        self._slot = FIRST_SLOT
        self._version_of = version_reader(None, timeout)
        self.metadata = byte_vec.decode(self.call("Metadata_metadata"))
        """Encoded, from the magic number on."""
        self.slot_duration = self._ask_slot_duration()
        """Milliseconds."""

    @classmethod
    def from_spec(
        cls,
        spec: ChainSpec,
        *,
        hasher: Hasher | None = None,
        cache: CompileCache | None = None,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Self:
        """The chain of a raw chain spec, or of a bare state, which is then taken for its genesis.

        Raises `BadChainSpec` for a spec without a runtime, and what a runtime that cannot be run raises.
        """
        if spec.code is None:
            raise BadChainSpec("the genesis has no runtime under :code")
        runtime = WasmRuntime(spec.code, cache=cache, timeout=timeout)
        genesis = build_genesis(spec.genesis, runtime.version.state_version, hasher or hasher_of(spec.code))
        return cls(runtime, genesis, timeout)

    def call(self, entry_point: str, argument: bytes = b"") -> bytes:
        """Call a runtime API on the newest state; changes are discarded."""
        backend = FullBackend(self._nodes, self.header.state_root, self.layout)
        return self.runtime.call(entry_point, argument, OffchainContext(backend, version_of=self._version_of))

    def author(self) -> Block:
        """The next block, with inherents only. It is not imported."""
        proposal = propose(
            self.runtime,
            self.header,
            self._pre_digest(),
            AuthoringContext(self._state(), version_of=self._version_of),
            relay_inherent_data(
                ParachainsInherentData((), (), (), self.header),
                slot=self._slot,
                slot_duration=self.slot_duration,
            ),
            (),
            layout=self.layout,
            state_version=self.layout.state_version,
            max_pov_size=UNLIMITED,
        )
        return proposal.block

    def execute(self, encoded: bytes) -> dict[bytes, bytes]:
        """``Core_execute_block``, the block SCALE-encoded: the nodes of the state after it. Raises `SandboxError`."""
        state = self._state()
        self.runtime.call("Core_execute_block", encoded, ImportContext(state, version_of=self._version_of))
        return state.drain(self.layout.state_version).nodes

    def import_block(self, block: Block) -> None:
        """Execute the block and build on it from now on. Raises `SandboxError`."""
        self._nodes.update(self.execute(block.encode()))
        self.header = block.header
        self._slot += 1

    def _state(self) -> Externalities:
        return Externalities.recording(self._nodes, self.header.state_root, self.layout)

    def _pre_digest(self) -> tuple[DigestItem, ...]:
        if "BabeApi_configuration" in self.runtime.blob.entry_points:
            return (PreRuntime(BABE, SecondaryPlainPreDigest(0, self._slot).encode()),)
        if "AuraApi_slot_duration" in self.runtime.blob.entry_points:
            return (PreRuntime(AURA, u64.encode(self._slot)),)
        return ()

    def _ask_slot_duration(self) -> int:
        for function in ("BabeApi_configuration", "AuraApi_slot_duration"):
            if function in self.runtime.blob.entry_points:
                duration: int = u64.decode_prefix(self.call(function))[0]
                return duration
        return SLOT_DURATION
