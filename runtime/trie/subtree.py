"""A page of the entries below a prefix, with the proof that nothing is missing from it.

A storage proof answers for keys that the verifier names. Here the verifier names a range, "the first so many keys
below this prefix, after that key", and the proof must show every entry of it and that there is no other between:
each node between the first and the last path is there, so no branch can hide a key. What the verifier does is
what the prover did, a walk in key order, over the proof's nodes instead of the database.

The state belongs to somebody else, who may have built anything with the right hashes. `verify_subtree` therefore
requires what every honest trie satisfies: no empty node below the root, no branch that has neither a value nor two
children, no inline node of 32 bytes or more. Without the first two, a few dozen nodes that refer to each other
sixteenfold make a walk of 16^n steps without one entry; with them a walk of n entries visits at most 2n nodes and
the path to the first.

Own format of a protocol of ours: the reference has no range proofs. [trie-db] ``TrieDBRawIterator`` is the walk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.trie.errors import BadNode, DuplicateNode, MissingNode, ProofError, UnusedNode
from runtime.trie.iterate import walk_entries
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout, NodeStore
from runtime.trie.node import POPCOUNT, DecodedNode, decode_node
from runtime.trie.proof import first_duplicate
from runtime.trie.recorder import Recorder

__all__ = ["Subtree", "SubtreeTooLarge", "create_subtree_proof", "verify_subtree"]


class SubtreeTooLarge(ProofError):
    """The entries of the range exceed what the verifier takes."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the entries of the range have more than {max_bytes} bytes")
        self.max_bytes = max_bytes


@dataclass(frozen=True, slots=True)
class Subtree:
    """What a trie holds in a range."""

    entries: tuple[tuple[bytes, bytes], ...]
    """Key and value, in key order: all there are from the start of the range on, up to the page's size."""
    next_key: bytes | None
    """The first key of the range that is not in `entries`; None when the range is complete."""


def create_subtree_proof(
    store: NodeStore,
    root: bytes,
    prefix: bytes,
    layout: Layout,
    *,
    after: bytes | None = None,
    max_entries: int,
) -> tuple[bytes, ...]:
    """The items that `verify_subtree` reads for this range, in byte order. Raises MissingNode and BadNode."""
    recorder = Recorder(store, layout.hasher)
    walk = walk_entries(recorder, root, layout, prefix, after)
    for position, (key, value, value_hash) in enumerate(walk):
        if position == max_entries:
            break
        if value is None:
            _value(recorder, value_hash, key)
    return recorder.nodes()


def verify_subtree(
    root: bytes,
    nodes: Iterable[bytes],
    prefix: bytes,
    layout: Layout,
    *,
    after: bytes | None = None,
    max_entries: int,
    max_bytes: int,
) -> Subtree:
    """What the proof `nodes` shows of the keys below `prefix` that are greater than `after`.

    `after` is None or starts with `prefix`; at most `max_entries` (one or more) entries with together `max_bytes` of
    keys and values. Raises MissingNode when the range is not covered, BadNode for a node that no honest trie contains,
    SubtreeTooLarge, DuplicateNode and UnusedNode.
    """
    items = tuple(nodes)
    store = {layout.digest(item): item for item in items}
    if len(store) != len(items):
        raise DuplicateNode(first_duplicate(items, layout))
    honest = _HonestNodes(store, root)
    used_values: dict[bytes, None] = {}
    entries: list[tuple[bytes, bytes]] = []
    next_key: bytes | None = None
    size = 0
    for key, value, value_hash in walk_entries(honest, root, layout, prefix, after):
        if len(entries) == max_entries:
            next_key = key
            break
        if value is None:
            value = _value(store, value_hash, key)
            used_values[value_hash] = None
        size += len(key) + len(value)
        if size > max_bytes:
            raise SubtreeTooLarge(max_bytes)
        entries.append((key, value))
    for item in store:
        if item not in honest.used and item not in used_values:
            raise UnusedNode(item)
    return Subtree(tuple(entries), next_key)


def _value(store: NodeStore, value_hash: bytes, key: bytes) -> bytes:
    try:
        return store[value_hash]
    except KeyError:
        raise MissingNode(value_hash, key) from None


class _HonestNodes:
    """The nodes of a proof; each is checked when the walk first reaches it, and remembered as used."""

    __slots__ = ("_root", "_store", "used")

    def __init__(self, store: NodeStore, root: bytes) -> None:
        self._store = store
        self._root = root
        self.used: dict[bytes, None] = {}

    def __getitem__(self, node: bytes, /) -> bytes:
        item = self._store[node]
        if node not in self.used:
            if node != self._root or item != EMPTY_NODE:
                _check_honest(node, item)
            self.used[node] = None
        return item


def _check_honest(node: bytes, item: bytes) -> None:
    """An honest writer makes such a node, and such nodes inside it. Raises BadNode."""
    pending = [item]
    while pending:
        encoded = pending.pop()
        try:
            decoded: DecodedNode = decode_node(encoded)
        except BadNode as error:
            raise BadNode(node, error.reason) from None
        _, value, value_hash, bitmap, children, _, end = decoded
        if value is None and value_hash is None and POPCOUNT[bitmap] < 2:
            raise BadNode(node, "a node with neither a value nor two children")
        if end != len(encoded):
            raise BadNode(node, f"{len(encoded) - end} bytes follow the node")
        for child in children:
            if len(child) > HASH_LENGTH:
                raise BadNode(node, f"an inline node of {len(child)} bytes")
            if len(child) < HASH_LENGTH:
                pending.append(child)
