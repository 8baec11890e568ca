"""The tree of relay blocks: forks, which of them count, which block is best and what is finalized.

A block is *viable* while it descends from the last finalized block and from no reverted one. The best block is the
highest viable one, of several the one seen first. That is what ``SelectRelayChain`` and the chain selection subsystem
amount to here [polkadot-chain-selection]: they order leaves by BABE weight (the number of primary slots) before height,
and the model has secondary slots only, whose weight is zero.

Not modelled: stagnant blocks, which upstream leaves aside when their approval takes too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from host_functions.errors import PileusError
from pileus.relay_chain.block import RelayBlock

__all__ = ["BlockTree", "NotViable", "UnknownRelayBlock"]


class UnknownRelayBlock(PileusError):
    """A relay block hash that this chain has never seen."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"relay block 0x{block.hex()} is unknown")
        self.block = block


class NotViable(PileusError):
    """A block that cannot be finalized, reverted or built upon: it is reverted, abandoned, or final."""

    def __init__(self, block: RelayBlock, why: str) -> None:
        super().__init__(f"relay block {block.number} (0x{block.hash.hex()}) {why}")
        self.block = block


class BlockTree:
    """Blocks by hash, with their parent links."""

    def __init__(self, genesis: RelayBlock) -> None:
        self._blocks = {genesis.hash: genesis}
        self._children: dict[bytes, list[bytes]] = {}
        self._viable = {genesis.hash: genesis}
        """In the order in which they came."""
        self._canonical = [genesis.hash]
        """Finalized blocks by number."""
        self._best = genesis

    def __contains__(self, block: object) -> bool:
        return block in self._blocks

    def __getitem__(self, block: bytes) -> RelayBlock:
        """The block with this hash. Raises `UnknownRelayBlock`."""
        try:
            return self._blocks[block]
        except KeyError:
            raise UnknownRelayBlock(block) from None

    def __iter__(self) -> Iterator[RelayBlock]:
        """All blocks, in the order in which they came."""
        return iter(self._blocks.values())

    @property
    def best(self) -> RelayBlock:
        return self._best

    @property
    def genesis(self) -> RelayBlock:
        return self._blocks[self._canonical[0]]

    @property
    def finalized(self) -> RelayBlock:
        return self._blocks[self._canonical[-1]]

    def is_finalized(self, block: RelayBlock) -> bool:
        return self.finalized_at(block.number) == block

    def finalized_at(self, number: int) -> RelayBlock | None:
        """The finalized block with this number, if there is one yet."""
        return self._blocks[self._canonical[number]] if 0 <= number < len(self._canonical) else None

    def is_viable(self, block: RelayBlock) -> bool:
        """Whether the block may still become part of the finalized chain, or is its newest block."""
        return block.hash in self._viable

    def ancestry(self, block: RelayBlock, length: int) -> tuple[RelayBlock, ...]:
        """`block` and up to `length` of its ancestors, newest first."""
        result = [block]
        while length and block.number:
            block = self._blocks[block.parent_hash]
            result.append(block)
            length -= 1
        return tuple(result)

    def is_ancestor(self, ancestor: RelayBlock, block: RelayBlock) -> bool:
        """Whether `block` is `ancestor` or descends from it."""
        if block.number < ancestor.number:
            return False
        if self.is_finalized(ancestor) and self.is_finalized(block):
            return True
        return self.ancestry(block, block.number - ancestor.number)[-1] == ancestor

    def descendants(self, block: RelayBlock) -> Iterator[RelayBlock]:
        """`block` and all that build on it."""
        pending = [block.hash]
        while pending:
            hash_ = pending.pop()
            yield self._blocks[hash_]
            pending.extend(self._children.get(hash_, ()))

    def insert(self, block: RelayBlock) -> bool:
        """Add a block whose parent is known; False if it is known already."""
        if block.hash in self._blocks:
            return False
        self._blocks[block.hash] = block
        self._children.setdefault(block.parent_hash, []).append(block.hash)
        if block.parent_hash in self._viable:
            self._viable[block.hash] = block
            if block.number > self._best.number:
                self._best = block
        return True

    def revert(self, block: RelayBlock) -> None:
        """Give up a block with all that build on it: what a lost dispute does. No effect on what is not viable.

        Raises `NotViable` for a finalized block: it stays, and upstream freezes the chain's parachains instead.
        """
        if self.is_finalized(block):
            raise NotViable(block, "is finalized and cannot be reverted")
        self._give_up(block)
        if self._best.hash not in self._viable:
            self._best = max(self._viable.values(), key=lambda candidate: candidate.number)

    def finalize(self, block: RelayBlock) -> tuple[tuple[RelayBlock, ...], tuple[RelayBlock, ...]]:
        """The newly finalized blocks up to `block`, oldest first, and the blocks that are abandoned by that.

        Raises `NotViable` for a block that does not build on what is finalized, or is reverted.
        """
        if not self.is_viable(block):
            raise NotViable(block, "does not descend from the last finalized block, or is reverted")
        newly = self.ancestry(block, block.number - self.finalized.number)[-2::-1]
        abandoned: list[RelayBlock] = []
        for final in newly:
            parent = self._canonical[-1]
            for other in self._children[parent]:
                if other != final.hash:
                    abandoned.extend(self._give_up(self._blocks[other]))
            self._viable.pop(parent)
            self._canonical.append(final.hash)
        if self._best.hash not in self._viable:
            self._best = max(self._viable.values(), key=lambda candidate: candidate.number)
        return newly, tuple(abandoned)

    def _give_up(self, block: RelayBlock) -> Iterable[RelayBlock]:
        gone = tuple(self.descendants(block))
        for descendant in gone:
            self._viable.pop(descendant.hash, None)
        return gone
