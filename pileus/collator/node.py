"""A parachain full node: blocks, state, the offchain database, and what it serves to others.

Follows the client side of a Cumulus node [sc-client]: genesis from the runtime's ``GenesisBuilder`` or from a raw
chain spec, import by re-execution with the code of the parent's state, state by content (trie nodes in one store, a
root per block). Everything a sibling's collator may ask for is here (`ParachainNode.read_proof`,
`ParachainNode.message_bodies`) and goes through no other door, so a network transport can stand in front of it. Not
modelled: pruning, forks of the parachain, sync.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from host_functions.contexts import AuthoringContext, ImportContext, OffchainContext
from host_functions.contexts.families import VersionReader
from host_functions.errors import ContextDivergence, StateUnavailable
from host_functions.executor import Runtime
from host_functions.executor.wasm import embedded_version_reader
from host_functions.executor.wasm.version import decode_runtime_version
from host_functions.relay_state import RelayStateReader
from host_functions.state_machine.backend import FullBackend
from host_functions.state_machine.externalities import Externalities
from pileus.chain_spec import CODE, Genesis
from pileus.collator.consensus import ConsensusEngine, Query, consensus_of
from pileus.metadata import Metadata
from runtime.pallets.state_messaging.lanes import OUTCOME_WINDOW
from runtime.pallets.state_messaging.types import offchain_body_key
from runtime.pallets.state_messaging.views import OutboundLaneView, PendingView
from runtime.primitives.block import Block
from runtime.primitives.digest import AdditionalData
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.scale import byte_vec, tuple_of, u8, u32, u64, vec
from runtime.primitives.version import RuntimeVersion
from runtime.trie.layout import LAYOUT_V1, Layout
from runtime.trie.proof import create_proof

__all__ = ["ImportedBlock", "ParachainNode", "RuntimeLoader"]

_range = tuple_of(u32, u8, u64, u32)
_lane_views = vec(OutboundLaneView.codec())
_pending_views = vec(PendingView.codec())

RuntimeLoader = Callable[[bytes], Runtime]
"""Code as it stands under ``:code`` -> the runtime. Raises what the engine raises for code it cannot run."""


@dataclass(frozen=True, slots=True)
class ImportedBlock:
    """A block the node has executed."""

    block: Block
    proof_size: int
    """`storage_proof_size` at the end of the execution, bytes."""


class ParachainNode:
    """One node of one parachain."""

    def __init__(
        self,
        runtime: Runtime,
        genesis_config: bytes,
        *,
        layout: Layout = LAYOUT_V1,
        load: RuntimeLoader | None = None,
    ) -> None:
        """Build the genesis block. ``genesis_config`` is the SCALE argument of
        ``GenesisBuilder_build_state``; ``load`` as in `from_genesis`.
        """
        state = Externalities.recording({}, layout.empty_root, layout)
        state.set(CODE, runtime.code)
        runtime.call("GenesisBuilder_build_state", byte_vec.encode(genesis_config), AuthoringContext(state))
        changes = state.drain(layout.state_version)
        header = Header(EMPTY_HASH, 0, changes.root, layout.empty_root)
        self._start(runtime, Genesis(layout, changes.nodes, header), load, embedded_version_reader)

    @classmethod
    def from_genesis(
        cls,
        runtime: Runtime,
        genesis: Genesis,
        *,
        load: RuntimeLoader | None = None,
        version_of: VersionReader | None = None,
    ) -> Self:
        """A node of a chain whose genesis block is given.

        ``runtime``: the genesis code. ``load``: how code is run that a block puts under ``:code``; without, the node
        stays with the runtime it has. ``version_of``: what ``misc::runtime_version`` answers, which ``set_code`` asks.
        """
        node = cls.__new__(cls)
        node._start(runtime, genesis, load, version_of)
        return node

    def _start(
        self,
        runtime: Runtime,
        genesis: Genesis,
        load: RuntimeLoader | None,
        version_of: VersionReader | None,
    ) -> None:
        self.runtime = runtime
        """Of the genesis block; see `runtime_at`."""
        self.layout = genesis.layout
        self.digest = genesis.layout.hasher.digest
        """The chain's hash function, for headers."""
        self.version_of = version_of
        self.nodes: dict[bytes, bytes] = dict(genesis.nodes)
        """Trie nodes and detached values of every state, by hash."""
        self.offchain: dict[bytes, bytes] = {}
        """What the runtime wrote with ``offchain_index``."""
        self._bodies_in_flight: set[bytes] = set()
        """Keys in `offchain` of the messages that were in flight at the finalized block looked at last."""
        self._load = load
        self._blocks: dict[bytes, ImportedBlock] = {}
        self._headers: dict[bytes, Header] = {}
        self._runtimes: dict[bytes, Runtime] = {}
        self._versions: dict[bytes, RuntimeVersion] = {}
        self._consensus: dict[bytes, ConsensusEngine] = {}
        self.genesis = genesis.header
        self.genesis_hash = genesis.hash
        self._headers[self.genesis_hash] = self.genesis
        self._runtimes[self.genesis_hash] = runtime
        self.best_hash = self.genesis_hash

    # Runtimes.

    def runtime_at(self, at: bytes) -> Runtime:
        """The runtime in the state of a block, which executes the next one. Raises `StateUnavailable`."""
        found = self._runtimes.get(at)
        if found is None:
            raise StateUnavailable(at)
        return found

    def version_at(self, at: bytes) -> RuntimeVersion:
        """Version of the runtime in the state of a block. Raises `StateUnavailable`, and `ScaleError`."""
        code_hash = self.runtime_at(at).code_hash
        found = self._versions.get(code_hash)
        if found is None:
            found = decode_runtime_version(self.call("Core_version", b"", at))
            self._versions[code_hash] = found
        return found

    def metadata_at(self, at: bytes) -> Metadata:
        """Metadata of the runtime in the state of a block. Raises `StateUnavailable`, `BadMetadata`."""
        return Metadata.of(self.runtime_at(at), self._context_at(at))

    def consensus_at(self, at: bytes) -> ConsensusEngine:
        """How the block after ``at`` is claimed and sealed. Raises `StateUnavailable`."""
        code_hash = self.runtime_at(at).code_hash
        found = self._consensus.get(code_hash)
        if found is None:
            found = consensus_of(self.version_at(at), lambda: self._author_calls(at))
            self._consensus[code_hash] = found
        return found

    def _author_calls(self, at: bytes) -> tuple[str, ...]:
        pallets = self.metadata_at(at).pallets
        return tuple(pallets["AuthorInherent"].calls) if "AuthorInherent" in pallets else ()

    # Blocks.

    @property
    def best_header(self) -> Header:
        """Header of the newest imported block."""
        return self._headers[self.best_hash]

    def header(self, block_hash: bytes) -> Header | None:
        """The header of an imported block."""
        return self._headers.get(block_hash)

    def block(self, block_hash: bytes) -> ImportedBlock | None:
        """An imported block; the genesis block has no body."""
        return self._blocks.get(block_hash)

    def import_block(self, block: Block, relay: RelayStateReader) -> ImportedBlock:
        """Execute a sealed block on its parent's state and make it the best block.

        ``relay`` answers relay reads at the block's relay parent. Raises `InvalidBlock` for a bad block,
        `HostError` if this node cannot execute it, `ContextDivergence` if runtime and node see another state after it,
        and for new code what its `RuntimeLoader` raises; in all cases nothing changes.
        """
        block_hash = block.header.hash(self.digest)
        known = self._blocks.get(block_hash)
        if known is not None:
            return known
        parent_hash = block.header.parent_hash
        parent = self._headers.get(parent_hash)
        if parent is None:
            raise InvalidBlock(f"parent 0x{parent_hash.hex()} is not imported")
        unsealed = self.consensus_at(parent_hash).unseal(
            self.query_at(parent_hash), block.header, self.digest
        )
        commits = any(isinstance(item, AdditionalData) for item in unsealed.digest)
        state = Externalities.recording(self.nodes, parent.state_root, self.layout)
        context = ImportContext(state, relay, commit_relay_reads=commits, version_of=self.version_of)
        runtime = self.runtime_at(parent_hash)
        runtime.call("Core_execute_block", Block(unsealed, block.extrinsics).encode(), context)
        proof_size = state.storage_proof_size()
        changes = state.drain(self.version_at(parent_hash).state_version)
        if changes.root != block.header.state_root:
            raise ContextDivergence(
                "Core_execute_block",
                "the node",
                f"state root 0x{changes.root.hex()} after block {block_hash.hex()}",
            )
        code = changes.changes.top.get(CODE)
        if code is not None and code != runtime.code and self._load is not None:
            runtime = self._load(code)
        self.nodes.update(changes.nodes)
        for key, value in context.offchain_changes.items():
            if value is None:
                self.offchain.pop(key, None)
            else:
                self.offchain[key] = value
        imported = ImportedBlock(block, proof_size)
        self._blocks[block_hash] = imported
        self._headers[block_hash] = block.header
        self._runtimes[block_hash] = runtime
        self.best_hash = block_hash
        return imported

    # State.

    def call(self, entry_point: str, argument: bytes, at: bytes) -> bytes:
        """Call a runtime API on the state of a block; changes are discarded. Raises `StateUnavailable`."""
        return self.runtime_at(at).call(entry_point, argument, self._context_at(at))

    def query_at(self, at: bytes) -> Query:
        """`call` on the state of one block."""
        return partial(self._query, at)

    def _query(self, at: bytes, entry_point: str, argument: bytes) -> bytes:
        return self.call(entry_point, argument, at)

    def storage(self, key: bytes, at: bytes) -> bytes | None:
        """Value under ``key`` in the state of a block. Raises `StateUnavailable`."""
        return FullBackend(self.nodes, self._root(at), self.layout).get(key)

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> tuple[bytes, ...]:
        """Storage proof of ``keys`` in the state of a block: ``state_getReadProof``. Raises
        `StateUnavailable`.
        """
        return create_proof(self.nodes, self._root(at), keys, self.layout)

    def _context_at(self, at: bytes) -> OffchainContext:
        backend = FullBackend(self.nodes, self._root(at), self.layout)
        return OffchainContext(backend, version_of=self.version_of)

    def _root(self, at: bytes) -> bytes:
        header = self._headers.get(at)
        if header is None:
            raise StateUnavailable(at)
        return header.state_root

    # Messages.

    def message_bodies(
        self, dest: int, lane: int, first_nonce: int, max_count: int, max_bytes: int, at: bytes
    ) -> list[bytes]:
        """SCALE-encoded bodies of messages to ``dest`` that are not settled at block ``at``, from ``first_nonce``
        on, as far as this node has them. Raises `StateUnavailable`.

        Stops at ``max_count`` messages and before the body that would exceed ``max_bytes``.
        """
        bodies: list[bytes] = []
        for message in self._pending(dest, lane, first_nonce, max_count, at):
            body = self.offchain.get(offchain_body_key(message.commitment))
            if message.nonce != first_nonce + len(bodies) or body is None or len(body) > max_bytes:
                break
            max_bytes -= len(body)
            bodies.append(body)
        return bodies

    def message_lanes(self, dest: int, at: bytes) -> list[bytes]:
        """The lanes to ``dest`` that are in use at a block, one byte each. Raises `StateUnavailable`."""
        lanes = _lane_views.decode(self.call("StateMessagingApi_outbound_lanes", b"", at))
        return [bytes([lane.name.lane]) for lane in lanes if lane.name.para == dest]

    def forget_settled_bodies(self, finalized: bytes) -> None:
        """Drop the bodies of messages that are settled at a finalized block: no fork that may still win has them in
        flight. To be called with every finalized block, or some. Raises `StateUnavailable`.
        """
        if not self.version_at(finalized).has_api("StateMessagingApi", 2):
            return
        lanes = _lane_views.decode(self.call("StateMessagingApi_outbound_lanes", b"", finalized))
        pending = {
            offchain_body_key(message.commitment)
            for lane in lanes
            for message in self._pending(lane.name.para, lane.name.lane, 0, OUTCOME_WINDOW, finalized)
        }
        for key in self._bodies_in_flight - pending:
            self.offchain.pop(key, None)
        self._bodies_in_flight = pending

    def _pending(self, dest: int, lane: int, first: int, count: int, at: bytes) -> tuple[PendingView, ...]:
        argument = _range.encode((dest, lane, first, min(count, OUTCOME_WINDOW)))
        return _pending_views.decode(self.call("StateMessagingApi_pending_messages", argument, at))
