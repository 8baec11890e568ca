"""Storage proofs: the nodes that show what some keys hold below a root.

[sp-trie] ``StorageProof``, ``read_proof_check``; ``state_getReadProof`` returns these. A proof is a set of
items (trie nodes and detached values side by side), in byte order on the wire. Existence is shown by reaching
the value, absence by reaching a node where the key's path ends: a mismatching partial key, a missing child, a
node without a value. An item that is not there shows nothing (`MissingNode`).

The root of a proof is often chosen by whoever sends it, so `verify_proof` fully decodes each node it uses.
"""

from __future__ import annotations

from collections.abc import Iterable

from runtime.primitives.scale import byte_vec, vec
from runtime.trie.errors import DuplicateNode, MissingNode, UnusedNode
from runtime.trie.layout import BLAKE2B_256, Hasher, Layout, NodeStore
from runtime.trie.lookup import Visit, lookup, walk
from runtime.trie.node import shared_nibbles
from runtime.trie.recorder import Recorder

__all__ = ["StorageProof", "create_proof", "verify_proof"]

_NODES = vec(byte_vec)


class StorageProof:
    """A loaded proof: a node store that holds exactly the proof's items.

    Loading hashes every item; duplicates collapse, as in the reference's ``StorageProof::new``.
    """

    __slots__ = ("items",)

    def __init__(self, nodes: Iterable[bytes], hasher: Hasher = BLAKE2B_256) -> None:
        digest = hasher.digest
        self.items = {digest(node): node for node in nodes}
        """Hash to item."""

    def __getitem__(self, node: bytes, /) -> bytes:
        return self.items[node]

    def __contains__(self, node: bytes) -> bool:
        return node in self.items

    def __len__(self) -> int:
        return len(self.items)

    def nodes(self) -> tuple[bytes, ...]:
        """The items in byte order, each once."""
        return tuple(sorted(self.items.values()))

    def encode(self) -> bytes:
        """SCALE ``Vec<Vec<u8>>`` of `nodes`."""
        return _NODES.encode(self.nodes())

    @classmethod
    def decode(cls, data: bytes, hasher: Hasher = BLAKE2B_256) -> StorageProof:
        """The inverse of `encode`, in any order and with duplicates collapsed. Raises ScaleError."""
        return cls(_NODES.decode(data), hasher)


def create_proof(store: NodeStore, root: bytes, keys: Iterable[bytes], layout: Layout) -> tuple[bytes, ...]:
    """The items that reading `keys` below `root` touches, in byte order. Raises MissingNode."""
    recorder = Recorder(store, layout.hasher)
    for key in keys:
        lookup(recorder, root, key, layout)
    return recorder.nodes()


def verify_proof(
    root: bytes,
    nodes: Iterable[bytes],
    keys: Iterable[bytes],
    layout: Layout,
    *,
    allow_unused: bool = False,
    allow_duplicates: bool = False,
) -> dict[bytes, bytes | None]:
    """What the proof `nodes` shows about `keys` below `root`: the value, or None for "absent".

    Raises MissingNode when the proof does not cover a key (or does not contain the root), BadNode when a node
    on the way is malformed, DuplicateNode and UnusedNode unless allowed. The result is in key order.
    """
    items = tuple(nodes)
    digest = layout.digest
    store = {digest(item): item for item in items}
    if len(store) != len(items) and not allow_duplicates:
        raise DuplicateNode(first_duplicate(items, layout))
    ordered = sorted(keys)
    top = store.get(root)
    if top is None or not ordered:
        if ordered and root != layout.empty_root:
            raise MissingNode(root, ordered[0])
        if store and not allow_unused:
            raise UnusedNode(next(iter(store)))
        return dict.fromkeys(ordered)

    # Keys in order share the upper part of their paths: each walk resumes at the deepest common node, so that
    # every node of the proof is decoded about once however many keys there are.
    found: dict[bytes, bytes | None] = {}
    used: set[bytes] = set()
    trail: list[Visit] = []
    hash_, node, at = root, top, 0
    previous = b""
    for key in ordered:
        if trail:
            shared = shared_nibbles(previous, key)
            while trail[-1][2] > shared:
                used.add(trail.pop()[0])
            hash_, node, at = trail.pop()
        found[key] = walk(store, store, key, hash_, node, at, True, trail)
        previous = key
    if not allow_unused:
        used.update([hash_ for hash_, _, _ in trail])
        if len(used) != len(store):
            raise UnusedNode(next(hash_ for hash_ in store if hash_ not in used))
    return found


def first_duplicate(items: tuple[bytes, ...], layout: Layout) -> bytes:
    """Hash of the first item that an earlier one equals."""
    seen: set[bytes] = set()
    for item in items:
        if item in seen:
            return layout.digest(item)
        seen.add(item)
    raise ValueError("no item occurs twice")
