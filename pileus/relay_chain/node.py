"""One relay chain node's view of the states: what it holds depends on when it joined and how it prunes.

Follows the constrained mode of ``sc-state-db`` [sc-state-db]: the states of the last so many finalized blocks are kept,
those of the blocks not yet finalized too; what finality abandons goes at once. A node that joined by warp sync has no
state from before the block it was synced to.

All nodes of a chain may share one `StateDatabase`: each retains the states it holds, so a state exists once however
many nodes have it, and is gone for a node as soon as that node lets go of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from host_functions.errors import StateUnavailable
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.tree import BlockTree
from runtime.trie.layout import NodeStore

__all__ = ["RelayNode"]


class RelayNode:
    """A `RelayNodeState` for the answerers: what this node can still say about the relay chain's state."""

    def __init__(self, database: StateDatabase, *, pruning: int | None = 256) -> None:
        """`pruning` is the number of finalized blocks whose states are kept; None keeps all, as an archive node."""
        if pruning is not None and pruning < 1:
            raise ValueError(f"a node keeps the state of at least one finalized block, not of {pruning}")
        self.database = database
        self.pruning = pruning
        self._held: dict[bytes, RelayBlock] = {}
        self._roots: dict[bytes, int] = {}
        """How many held blocks have a root as their state."""

    def has_state(self, block: RelayBlock) -> bool:
        """Whether the state after `block` is held. Another block with the same root does not count."""
        return block.hash in self._held

    def held(self) -> tuple[RelayBlock, ...]:
        """The blocks whose states this node has, in the order in which they came."""
        return tuple(self._held.values())

    def state_at(self, root: bytes) -> NodeStore:
        """The trie nodes of the state at `root`. Raises `StateUnavailable` if no held block has it."""
        if root not in self._roots:
            raise StateUnavailable(root)
        return self.database.state_at(root)

    def import_block(self, block: RelayBlock) -> None:
        """A block was executed here, or its state was downloaded. The database has its state."""
        if block.hash in self._held:
            return
        self.database.retain(block.state_root)
        self._held[block.hash] = block
        self._roots[block.state_root] = self._roots.get(block.state_root, 0) + 1

    def finalize(self, tree: BlockTree, newly: Iterable[RelayBlock], abandoned: Iterable[RelayBlock]) -> None:
        """Prune behind the blocks that are finalized now, and those that are abandoned by that."""
        for block in abandoned:
            self.prune(block)
        if self.pruning is None:
            return
        for block in newly:
            old = tree.finalized_at(block.number - self.pruning)
            if old is not None:
                self.prune(old)

    def prune(self, block: RelayBlock) -> None:
        """Drop the state after `block` now, whatever the window says. No effect if it is gone already."""
        if self._held.pop(block.hash, None) is None:
            return
        self._roots[block.state_root] -= 1
        if not self._roots[block.state_root]:
            del self._roots[block.state_root]
        self.database.release(block.state_root)

    def warp_sync(self, target: RelayBlock) -> None:
        """Start anew from the state after `target`, as a node that joins by warp sync: nothing older is held.

        Raises `StateUnavailable` if nobody has that state any more.
        """
        self.database.retain(target.state_root)
        for block in self.held():
            self.prune(block)
        self.import_block(target)
        self.database.release(target.state_root)
