"""A trie that can be changed: copy-on-write over a store of hash-keyed nodes.

[trie-db] ``TrieDBMut``. Nodes are loaded when a change needs them and live here as objects until
`Trie.commit` encodes the changed ones, children before parents. What is read, and in which cases, is the
reference's exactly, because reads end up in the proof: an insert reads its path; a removal reads its path
and, when a branch is left with one child and no value, that child, which takes the branch's place. Applying a
block's changes in key order therefore records what a node of the reference records.

A write of the value that is there already leaves the path as it was; a detached value is never read by a
write, and an inline one moves out of its node (layout V1) only when its own key is written. No operation
recurses: the depth of a trie is chosen by whoever chose its keys. A change that fails (`MissingNode`,
`BadNode`) changes nothing.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TypeAlias

from runtime.trie.errors import BadNode, MissingNode
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout, NodeStore
from runtime.trie.lookup import UNREAD, walk
from runtime.trie.node import BIT, POPCOUNT, decode_node, digits_of, encode_node

__all__ = ["Trie"]

Child: TypeAlias = "bytes | Node"
"""A reference (the hash of a node, or a short node itself) or a loaded node."""


class Node:
    """A loaded or new node.

    `reference` is how the parent refers to it, empty while that is outdated. `children` are those of
    `bitmap`, in order. An inline value has no `value_hash`; a detached one has, and its `value` only when it
    was written here.
    """

    __slots__ = ("bitmap", "children", "partial", "reference", "value", "value_hash")

    def __init__(
        self,
        partial: str,
        value: bytes | None,
        value_hash: bytes | None,
        bitmap: int,
        children: list[Child],
        reference: bytes,
    ) -> None:
        self.partial = partial
        self.value = value
        self.value_hash = value_hash
        self.bitmap = bitmap
        self.children = children
        self.reference = reference

    def has_value(self) -> bool:
        return self.value is not None or self.value_hash is not None

    def rank(self, bit: int) -> int:
        """Position in `children` of the child with `bit`."""
        return POPCOUNT[self.bitmap & bit - 1]


class Trie:
    """The trie with `root`, its nodes read from `store` (often a `Recorder`)."""

    __slots__ = ("_layout", "_root", "_store")

    def __init__(self, store: NodeStore, root: bytes, layout: Layout) -> None:
        self._store = store
        self._layout = layout
        self._root: Child = root

    # ------------------------------------------------------------------ reading

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` under all changes made so far. Raises MissingNode, BadNode."""
        return self._read(key, self._store)

    def contains(self, key: bytes) -> bool:
        """Whether `key` has a value; a detached value is not loaded."""
        return self._read(key, UNREAD) is not None

    def _read(self, key: bytes, values: NodeStore) -> bytes | None:
        """Walk the loaded nodes, then the bytes of the others."""
        current = self._root
        path = key.hex()
        at = 0
        while not isinstance(current, bytes):
            if not path.startswith(current.partial, at):
                return None
            at += len(current.partial)
            if at == len(path):
                if current.value is not None or current.value_hash is None:
                    return current.value
                try:
                    return values[current.value_hash]
                except KeyError:
                    raise MissingNode(current.value_hash, key) from None
            bit = BIT[path[at]]
            if not current.bitmap & bit:
                return None
            current = current.children[current.rank(bit)]
            at += 1
        return walk(self._store, values, key, current, self._fetch(current, key), at, False)

    def _fetch(self, reference: bytes, key: bytes) -> bytes:
        """The encoded node behind a reference."""
        if len(reference) != HASH_LENGTH:
            return reference
        try:
            return self._store[reference]
        except KeyError:
            if reference == self._layout.empty_root and reference == self._root:
                return EMPTY_NODE
            raise MissingNode(reference, key) from None

    def _load(self, reference: bytes, key: bytes) -> Node:
        try:
            partial, value, value_hash, bitmap, children, _, _ = decode_node(self._fetch(reference, key))
        except BadNode as error:
            raise BadNode(reference, error.reason) from None
        if bitmap:
            if max(map(len, children)) > HASH_LENGTH:
                raise BadNode(reference, "an inline child longer than a hash")
        elif value is None and value_hash is None and reference != self._root:
            raise BadNode(reference, "an empty node below the root")
        return Node(partial, value, value_hash, bitmap, list(children), reference)

    def _root_node(self, key: bytes) -> Node:
        root = self._root
        if isinstance(root, bytes):
            root = self._root = self._load(root, key)
        return root

    def _child(self, parent: Node, rank: int, key: bytes) -> Node:
        child = parent.children[rank]
        if isinstance(child, bytes):
            child = parent.children[rank] = self._load(child, key)
        return child

    # ------------------------------------------------------------------ changing

    def insert(self, key: bytes, value: bytes) -> None:
        """Set the value of `key`."""
        path = key.hex()
        value_hash = self._layout.digest(value) if len(value) >= self._layout.threshold else None
        node = self._root_node(key)
        above: list[Node] = []
        at = 0
        while path.startswith(node.partial, at):
            end = at + len(node.partial)
            if end == len(path):
                if node.value == value and node.value_hash == value_hash:
                    return
                node.value, node.value_hash = value, value_hash
                break
            if not node.bitmap and not node.has_value():
                # The empty trie's root becomes the first leaf.
                node.partial, node.value, node.value_hash = path, value, value_hash
                break
            bit = BIT[path[end]]
            at = end + 1
            if not node.bitmap & bit:
                node.children.insert(node.rank(bit), Node(path[at:], value, value_hash, 0, [], b""))
                node.bitmap |= bit
                break
            above.append(node)
            node = self._child(node, node.rank(bit), key)
        else:
            _split(node, path[at:], value, value_hash)
        node.reference = b""
        for node in above:
            node.reference = b""

    def remove(self, key: bytes) -> None:
        """Remove `key` and its value, if there is one."""
        path = key.hex()
        node = self._root_node(key)
        above: list[Node] = []
        at = bit = 0
        while True:
            if not path.startswith(node.partial, at):
                return
            at += len(node.partial)
            if at == len(path):
                break
            following = BIT[path[at]]
            if not node.bitmap & following:
                return
            bit = following
            above.append(node)
            node = self._child(node, node.rank(bit), key)
            at += 1
        if not node.has_value():
            return

        # What remains, and what takes its place, is settled before anything is changed.
        branch = node
        bitmap = node.bitmap
        if not bitmap:
            if not above:
                self._root = self._layout.empty_root
                return
            branch = above.pop()
            bitmap = branch.bitmap & ~bit
        keeps_value = branch is not node and branch.has_value()
        only = None
        if not keeps_value:
            if not bitmap:
                raise BadNode(branch.reference or None, "a branch with one child and no value")
            if not bitmap & bitmap - 1:
                only = self._child(branch, branch.rank(bitmap), key)

        if branch is node:
            branch.value = branch.value_hash = None
        else:
            del branch.children[branch.rank(bit)]
            branch.bitmap = bitmap
        if only is not None:
            branch.partial += digits_of(bitmap) + only.partial
            branch.value, branch.value_hash = only.value, only.value_hash
            branch.bitmap, branch.children = only.bitmap, only.children
        branch.reference = b""
        for node in above:
            node.reference = b""

    # ------------------------------------------------------------------ writing

    def commit(self, sink: MutableMapping[bytes, bytes]) -> bytes:
        """Encode what has changed, put the new nodes and detached values into `sink`, and return the root.

        The trie stays usable, without `sink`: new nodes remain loaded.
        """
        root = self._root
        if isinstance(root, bytes):
            if root == self._layout.empty_root:
                sink[root] = EMPTY_NODE
            return root
        if not root.reference:
            self._encode_changed(root, sink)
        return root.reference

    def _encode_changed(self, root: Node, sink: MutableMapping[bytes, bytes]) -> None:
        digest = self._layout.digest
        changed = []
        pending = [root]
        while pending:
            node = pending.pop()
            changed.append(node)
            for child in node.children:
                if isinstance(child, Node) and not child.reference:
                    pending.append(child)
        # Parents come before their children in `changed`.
        for node in reversed(changed):
            value, value_hash = node.value, node.value_hash
            if value_hash is not None:
                if value is not None:
                    sink[value_hash] = value
                    value = None
            references = [child.reference if isinstance(child, Node) else child for child in node.children]
            encoded = encode_node(node.partial, value, value_hash, node.bitmap, references)
            if len(encoded) < HASH_LENGTH and node is not root:
                node.reference = encoded
            else:
                node.reference = reference = digest(encoded)
                sink[reference] = encoded


def _split(node: Node, rest: str, value: bytes, value_hash: bytes | None) -> None:
    """Put a branch where `rest`, the path of a new value, leaves the partial key of `node`."""
    partial = node.partial
    shared = 0
    for own, other in zip(partial, rest, strict=False):
        if own != other:
            break
        shared += 1
    lower = Node(partial[shared + 1 :], node.value, node.value_hash, node.bitmap, node.children, b"")
    node.partial = partial[:shared]
    node.bitmap = BIT[partial[shared]]
    node.children = [lower]
    if shared == len(rest):
        node.value, node.value_hash = value, value_hash
        return
    node.value = node.value_hash = None
    bit = BIT[rest[shared]]
    node.children.insert(node.rank(bit), Node(rest[shared + 1 :], value, value_hash, 0, [], b""))
    node.bitmap |= bit
