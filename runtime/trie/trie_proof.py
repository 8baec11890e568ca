"""Trie proofs: statements about keys, proven by nodes from which everything the verifier knows is left out.

[trie-db] ``generate_proof`` / ``verify_proof``, [sp-trie] ``generate_trie_proof`` / ``verify_trie_proof``.
The verifier has the statement (keys with their values, or None for absent), so the proof omits those values,
and the hash of every node that follows. Verifying rebuilds the nodes with the statement's values and compares
the root. The nodes come in pre-order of the keys' paths. Bridges and some contracts on other chains read this
form; a PoV uses the form of `runtime.trie.compact`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from runtime.trie.errors import (
    BadNode,
    DuplicateKey,
    ExtraneousHash,
    ExtraneousItem,
    ExtraneousValue,
    IncompleteTrieProof,
    MissingNode,
    RootMismatch,
    ValueMismatch,
)
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout, NodeStore
from runtime.trie.node import BIT, POPCOUNT, decode_node, encode_node, shared_nibbles

__all__ = ["create_trie_proof", "verify_trie_proof"]


class _Entry:
    """A node on the path of the current key; `at` nibbles lead to it.

    `children` are references: empty for an omitted one, and set again as the children below are finished.
    """

    __slots__ = ("at", "bitmap", "children", "inline", "parent", "partial", "rank", "value", "value_hash")

    def __init__(self, node: bytes, at: int, inline: bool, parent: _Entry | None, rank: int) -> None:
        self.partial, self.value, self.value_hash, self.bitmap, children, _, _ = decode_node(node)
        if self.bitmap and max(map(len, children)) > HASH_LENGTH:
            raise BadNode(None, "an inline child longer than a hash")
        self.children = list(children)
        self.at = at
        self.inline = inline
        self.parent = parent
        self.rank = rank

    def encode(self) -> bytes:
        return encode_node(self.partial, self.value, self.value_hash, self.bitmap, self.children)

    def has_value(self) -> bool:
        return self.value is not None or self.value_hash is not None

    def child(self, path: str) -> int | None:
        """Position of the child that `path` leads to below this node's partial key, or None."""
        bit = BIT[path[self.at + len(self.partial)]]
        return POPCOUNT[self.bitmap & bit - 1] if self.bitmap & bit else None


def create_trie_proof(
    store: NodeStore, root: bytes, keys: Iterable[bytes], layout: Layout
) -> tuple[bytes, ...]:
    """The trie proof of what `keys` hold below `root`. Raises MissingNode, BadNode."""
    entries: list[_Entry] = []  # in pre-order
    stack: list[_Entry] = []
    previous = b""
    for key in sorted(set(keys)):
        path = key.hex()
        shared = shared_nibbles(previous, key)
        previous = key
        while stack and stack[-1].at > shared:
            stack.pop()
        if not stack:
            stack.append(_Entry(_fetch(store, root, root, key, layout), 0, False, None, 0))
            entries.append(stack[0])
        entry = stack[-1]
        while path.startswith(entry.partial, entry.at):
            end = entry.at + len(entry.partial)
            if end == len(path):
                _omit_value(entry, store, key)
                break
            rank = entry.child(path)
            if rank is None:
                break
            reference = entry.children[rank]
            inline = len(reference) != HASH_LENGTH
            node = reference if inline else _fetch(store, reference, root, key, layout)
            entry = _Entry(node, end + 1, inline, entry, rank)
            stack.append(entry)
            entries.append(entry)

    proof: list[bytes] = []
    for entry in reversed(entries):
        # Children come after their parents in `entries`: an inline child is final when its parent is encoded.
        encoded = entry.encode()
        if entry.parent is not None:
            entry.parent.children[entry.rank] = encoded if entry.inline else b""
        if not entry.inline:
            proof.append(encoded)
    return tuple(reversed(proof))


def _omit_value(entry: _Entry, store: NodeStore, key: bytes) -> None:
    """Leave out the value of the node that a key ends in. A leaf keeps an empty one, or it would not be a
    leaf."""
    if entry.value_hash is not None:
        try:
            store[entry.value_hash]
        except KeyError:
            raise MissingNode(entry.value_hash, key) from None
    if entry.has_value():
        entry.value = None if entry.bitmap else b""
        entry.value_hash = None


def _fetch(store: NodeStore, hash_: bytes, root: bytes, key: bytes, layout: Layout) -> bytes:
    try:
        return store[hash_]
    except KeyError:
        if hash_ == root == layout.empty_root:
            return EMPTY_NODE
        raise MissingNode(hash_, key) from None


def verify_trie_proof(
    root: bytes,
    proof: Sequence[bytes],
    statement: Iterable[tuple[bytes, bytes | None]],
    layout: Layout,
) -> None:
    """Check that `proof` shows `statement` (keys with their values; None for absent) below `root`.

    Returns when it does. Raises a TrieProofError, RootMismatch or BadNode when it does not.
    """
    items = sorted(statement, key=lambda item: item[0])
    for (key, _), (following, _) in pairwise(items):
        if key == following:
            raise DuplicateKey(key)
    if not items:
        if proof:
            raise ExtraneousItem
        return
    nodes = iter(proof)
    stack = [_Entry(_following(nodes), 0, False, None, 0)]
    previous = b""
    for key, value in items:
        path = key.hex()
        shared = shared_nibbles(previous, key)
        previous = key
        while stack[-1].at > shared:
            _finish(stack.pop(), layout)
        while (below := _descend(stack[-1], path, key, value, nodes, layout)) is not None:
            stack.append(below)
    while len(stack) > 1:
        _finish(stack.pop(), layout)
    computed = layout.digest(stack[0].encode())
    if next(nodes, None) is not None:
        raise ExtraneousItem
    if computed != root:
        raise RootMismatch(root, computed)


def _following(nodes: Iterable[bytes]) -> bytes:
    """The next item of the proof."""
    for node in nodes:
        return node
    raise IncompleteTrieProof


def _descend(
    entry: _Entry, path: str, key: bytes, value: bytes | None, nodes: Iterable[bytes], layout: Layout
) -> _Entry | None:
    """Put the stated value into the node, or return the child to go on with."""
    end = entry.at + len(entry.partial)
    matches = path.startswith(entry.partial, entry.at)
    if matches and end == len(path) and (entry.bitmap or entry.has_value()):
        if entry.has_value() if entry.bitmap else entry.value != b"":
            raise ExtraneousValue(key)
        if value is None:
            if not entry.bitmap:
                raise ValueMismatch(key)
        elif layout.hashes_value(value):
            entry.value, entry.value_hash = None, layout.digest(value)
        else:
            entry.value = value
        return None
    rank = entry.child(path) if matches and end < len(path) else None
    if rank is None:
        if value is not None:
            raise ValueMismatch(key)
        return None
    reference = entry.children[rank]
    if len(reference) == HASH_LENGTH:
        raise ExtraneousHash(reference)
    if reference:
        return _Entry(reference, end + 1, True, entry, rank)
    return _Entry(_following(nodes), end + 1, False, entry, rank)


def _finish(entry: _Entry, layout: Layout) -> None:
    """Encode a node that no further key reaches and refer to it from its parent."""
    encoded = entry.encode()
    if not entry.inline:
        encoded = layout.digest(encoded)
    elif len(encoded) > HASH_LENGTH:
        raise BadNode(None, "an inline child longer than a hash")
    if entry.parent is not None:
        entry.parent.children[entry.rank] = encoded
