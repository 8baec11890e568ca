"""A parachain full node: blocks, state, the offchain database, and what it serves to others.

Follows the client side of a Cumulus node [sc-client]: genesis from the runtime's ``GenesisBuilder``, import
by re-execution, state by content (trie nodes in one store, a root per block). Everything a sibling's collator
may ask for is here (`ParachainNode.read_proof`, `ParachainNode.message_bodies`) and goes through no other
door, so a network transport can stand in front of it. Not modelled: pruning, forks of the parachain, sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host_functions.contexts import AuthoringContext, ImportContext, OffchainContext
from host_functions.errors import StateUnavailable
from host_functions.executor import Runtime
from host_functions.interfaces import crypto
from host_functions.relay_state import RelayStateReader
from host_functions.state_machine.backend import FullBackend
from host_functions.state_machine.externalities import Externalities
from runtime.pallets.state_messaging.types import offchain_body_key
from runtime.primitives.block import Block
from runtime.primitives.digest import AURA, AdditionalData, PreRuntime
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.scale import account_id, byte_vec, u64, vec
from runtime.trie.build import ordered_root
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1, Layout
from runtime.trie.proof import create_proof

__all__ = ["ParachainNode"]

_authorities = vec(account_id)


@dataclass(frozen=True, slots=True)
class ImportedBlock:
    """A block the node has executed."""

    block: Block
    proof_size: int
    """`storage_proof_size` at the end of the execution, bytes."""


class ParachainNode:
    """One node of one parachain."""

    def __init__(self, runtime: Runtime, genesis_config: bytes, *, layout: Layout = LAYOUT_V1) -> None:
        """Build the genesis block. ``genesis_config`` is the SCALE argument of
        ``GenesisBuilder_build_state``.
        """
        self.runtime = runtime
        self.layout = layout
        self.nodes: dict[bytes, bytes] = {}
        """Trie nodes and detached values of every state, by hash."""
        self.offchain: dict[bytes, bytes] = {}
        """What the runtime wrote with ``offchain_index``."""
        self._blocks: dict[bytes, ImportedBlock] = {}
        self._headers: dict[bytes, Header] = {}
        state = Externalities.recording({}, layout.empty_root, layout)
        state.set(b":code", runtime.code)
        runtime.call("GenesisBuilder_build_state", byte_vec.encode(genesis_config), AuthoringContext(state))
        changes = state.drain(layout.state_version)
        self.nodes.update(changes.nodes)
        self.genesis = Header(EMPTY_HASH, 0, changes.root, ordered_root((), LAYOUT_V0))
        self.genesis_hash = self.genesis.hash()
        self._headers[self.genesis_hash] = self.genesis
        self.best_hash = self.genesis_hash

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
        `HostError` if this node cannot execute it; in both cases nothing changes.
        """
        block_hash = block.header.hash()
        known = self._blocks.get(block_hash)
        if known is not None:
            return known
        parent = self._headers.get(block.header.parent_hash)
        if parent is None:
            raise InvalidBlock(f"parent 0x{block.header.parent_hash.hex()} is not imported")
        unsealed = self._check_seal(block.header, block.header.parent_hash)
        commits = any(isinstance(item, AdditionalData) for item in unsealed.digest)
        state = Externalities.recording(self.nodes, parent.state_root, self.layout)
        context = ImportContext(state, relay, commit_relay_reads=commits)
        self.runtime.call("Core_execute_block", Block(unsealed, block.extrinsics).encode(), context)
        proof_size = state.storage_proof_size()
        self.nodes.update(state.drain(self.layout.state_version).nodes)
        for key, value in context.offchain_changes.items():
            if value is None:
                self.offchain.pop(key, None)
            else:
                self.offchain[key] = value
        imported = ImportedBlock(block, proof_size)
        self._blocks[block_hash] = imported
        self._headers[block_hash] = block.header
        self.best_hash = block_hash
        return imported

    def _check_seal(self, header: Header, parent_hash: bytes) -> Header:
        """The unsealed header, once the slot's author is found to have sealed it: the client's aura
        verifier.
        """
        unsealed, seal = header.without_seal()
        authorities = _authorities.decode(self.call("AuraApi_authorities", b"", parent_hash))
        slots = [item for item in unsealed.digest if isinstance(item, PreRuntime) and item.engine == AURA]
        if seal is None or seal.engine != AURA or len(seal.data) != 64 or len(slots) != 1 or not authorities:
            raise InvalidBlock("the header has no aura slot and seal")
        try:
            slot = u64.decode(slots[0].data)
        except ScaleError as error:
            raise InvalidBlock(f"aura pre-runtime digest: {error}") from None
        author = authorities[slot % len(authorities)]
        if not crypto.sr25519_verify(seal.data, unsealed.hash(), author):
            raise InvalidBlock("Invalid AuRa seal: not the slot author's signature")
        return unsealed

    # State.

    def call(self, entry_point: str, argument: bytes, at: bytes) -> bytes:
        """Call a runtime API on the state of a block; changes are discarded. Raises `StateUnavailable`."""
        context = OffchainContext(FullBackend(self.nodes, self._root(at), self.layout))
        return self.runtime.call(entry_point, argument, context)

    def storage(self, key: bytes, at: bytes) -> bytes | None:
        """Value under ``key`` in the state of a block. Raises `StateUnavailable`."""
        return FullBackend(self.nodes, self._root(at), self.layout).get(key)

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> tuple[bytes, ...]:
        """Storage proof of ``keys`` in the state of a block: ``state_getReadProof``. Raises
        `StateUnavailable`.
        """
        return create_proof(self.nodes, self._root(at), keys, self.layout)

    def _root(self, at: bytes) -> bytes:
        header = self._headers.get(at)
        if header is None:
            raise StateUnavailable(at)
        return header.state_root

    # Messages.

    def message_bodies(
        self, dest: int, lane: int, first_nonce: int, max_count: int, max_bytes: int
    ) -> list[bytes]:
        """SCALE-encoded bodies of messages to ``dest``, from ``first_nonce`` on, as far as this node has
        them.

        Stops at ``max_count`` messages and before the body that would exceed ``max_bytes``.
        """
        bodies: list[bytes] = []
        for nonce in range(first_nonce, first_nonce + max_count):
            body = self.offchain.get(offchain_body_key(dest, lane, nonce))
            if body is None or len(body) > max_bytes:
                break
            max_bytes -= len(body)
            bodies.append(body)
        return bodies
