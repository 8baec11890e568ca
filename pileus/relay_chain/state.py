"""The relay chain's states: one content-addressed node store, in which states share what they have in common.

A state is its root. A new one is the old one with changes, so a block or a fork costs the nodes it writes. Every node
and every detached value counts who refers to it; when the last block that keeps a root lets go, exactly the nodes that
no retained root reaches are freed. This is what ``sc-state-db`` does with its journals [sc-state-db], and what makes
*pruned* mean something here: the bytes are gone, and reading them is a `StateUnavailable`.

Not modelled: child tries (the model writes none) and a database on disk.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from host_functions.errors import StateUnavailable
from host_functions.state_machine.backend import FullBackend
from runtime.trie.errors import MissingNode
from runtime.trie.layout import HASH_LENGTH, LAYOUT_V1, Layout, NodeStore
from runtime.trie.node import decode_node
from runtime.trie.proof import create_proof

__all__ = ["StateDatabase"]

Reference = tuple[bool, bytes]
"""Whether it is a node (and not a detached value), and its hash."""


class StateDatabase:
    """States by root. Also a `NodeStore`: ``database[hash]`` is a node or a detached value of a retained state."""

    def __init__(self, layout: Layout = LAYOUT_V1) -> None:
        self.layout = layout
        self._items: dict[bytes, bytes] = {}
        self._references: dict[Reference, int] = {}
        """How many retained roots, nodes and value slots refer to an item. An item can be both node and value."""
        self._roots: dict[bytes, int] = {}

    def __getitem__(self, item: bytes) -> bytes:
        return self._items[item]

    def __len__(self) -> int:
        """Items held: trie nodes and detached values."""
        return len(self._items)

    def has_state(self, root: bytes) -> bool:
        """Whether the state at this root is held."""
        return root in self._roots or root == self.layout.empty_root

    def state_at(self, root: bytes) -> NodeStore:
        """The nodes of the state at `root`, for the answerers of `read_relay_state`. Raises `StateUnavailable`."""
        self._require(root)
        return self._items

    def commit(self, parent: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
        """The root of the state at `parent` with `changes` (``None`` deletes); retained once, for the caller.

        Raises `StateUnavailable` if the parent state is not held.
        """
        self._require(parent)
        backend = FullBackend(self._items, parent, self.layout)
        root, written = backend.delta_root(changes, {}, self.layout.state_version)
        self._retain(root, written)
        return root

    def insert(self, root: bytes, nodes: Mapping[bytes, bytes]) -> None:
        """Take in a state that a runtime computed; retained once, for the caller.

        `nodes` are its nodes and detached values that are not held yet. Raises `StateUnavailable`, and changes
        nothing, if one is in neither place.
        """
        pending: list[Reference] = [] if root == self.layout.empty_root else [(True, root)]
        while pending:
            is_node, item = pending.pop()
            if item in self._items:
                continue
            if item not in nodes:
                raise StateUnavailable(root, item)
            if is_node:
                pending.extend(_references_of(nodes[item]))
        self._retain(root, nodes)

    def retain(self, root: bytes) -> None:
        """Keep the state at `root` until as many `release` calls. Raises `StateUnavailable`."""
        self._require(root)
        self._retain(root, {})

    def release(self, root: bytes) -> None:
        """Undo one `retain` or `commit`; frees what no retained state reaches. Raises `StateUnavailable`."""
        self._require(root)
        if root == self.layout.empty_root:
            return
        self._roots[root] -= 1
        if not self._roots[root]:
            del self._roots[root]
        pending: list[Reference] = [(True, root)]
        while pending:
            reference = pending.pop()
            self._references[reference] -= 1
            if self._references[reference]:
                continue
            del self._references[reference]
            is_node, item = reference
            if is_node:
                pending.extend(_references_of(self._items[item]))
            if (not is_node, item) not in self._references:
                del self._items[item]

    def get(self, root: bytes, key: bytes) -> bytes | None:
        """Value under `key` in the state at `root`. Raises `StateUnavailable`."""
        self._require(root)
        return FullBackend(self._items, root, self.layout).get(key)

    def prove(self, root: bytes, keys: Iterable[bytes]) -> tuple[bytes, ...]:
        """Storage proof of `keys`, absent ones included. Raises `StateUnavailable`."""
        self._require(root)
        try:
            return create_proof(self._items, root, list(keys), self.layout)
        except MissingNode as error:
            raise StateUnavailable(root, error.node) from error

    def items_of(self, root: bytes, known: Container[bytes] = frozenset()) -> Iterator[tuple[bytes, bytes]]:
        """Hash and bytes of each item of the state at `root`; what hangs below a `known` node is left out."""
        self._require(root)
        pending: list[Reference] = [(True, root)] if root in self._roots else []
        seen: set[Reference] = set()
        while pending:
            reference = pending.pop()
            is_node, item = reference
            if reference in seen or item in known:
                continue
            seen.add(reference)
            yield item, self._items[item]
            if is_node:
                pending.extend(_references_of(self._items[item]))

    def _require(self, root: bytes) -> None:
        if not self.has_state(root):
            raise StateUnavailable(root)

    def _retain(self, root: bytes, written: Mapping[bytes, bytes]) -> None:
        """One more reference to the root; items seen for the first time enter the store with all they refer to."""
        if root == self.layout.empty_root:
            return
        self._roots[root] = self._roots.get(root, 0) + 1
        pending: list[Reference] = [(True, root)]
        while pending:
            reference = pending.pop()
            count = self._references.get(reference, 0)
            self._references[reference] = count + 1
            if count:
                continue
            is_node, item = reference
            if item not in self._items:
                self._items[item] = written[item]
            if is_node:
                pending.extend(_references_of(self._items[item]))


def _references_of(node: bytes) -> Iterator[Reference]:
    """What a node refers to by hash. Inline children are shorter than a hash, so they refer to nothing."""
    _, _, value_hash, _, children, _, _ = decode_node(node)
    if value_hash is not None:
        yield (False, value_hash)
    for child in children:
        if len(child) == HASH_LENGTH:
            yield (True, bytes(child))
