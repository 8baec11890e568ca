"""The closest descendant of a path: what identifies the state below it.

[trie-db] ``lookup_first_descendant``; behind ``archive_storage`` and ``chainHead_storage`` with
``closestDescendantMerkleValue``. The result changes exactly when something below the path does, so
one small answer tells a client whether a whole map is as it was.

Unlike the reference this does not load the node whose hash it returns, when its parent already shows that it
is the closest one: a proof need not contain it.
"""

from __future__ import annotations

from runtime.trie.iterate import load
from runtime.trie.layout import Layout, NodeStore
from runtime.trie.node import BIT, POPCOUNT

__all__ = ["closest_merkle_value"]


def closest_merkle_value(store: NodeStore, root: bytes, path: str, layout: Layout) -> bytes | None:
    """The merkle value of the highest node at or below `path` (hex digits, ``key.hex()`` for a key).

    That is its hash (32 bytes) or, for a node that its parent contains, its encoding (shorter); None when
    nothing lies below the path. Raises MissingNode and BadNode.
    """
    reference = root
    at = 0
    while at < len(path):
        partial, _, _, bitmap, children, _, _ = load(store, reference, root, layout)
        if len(path) - at <= len(partial):
            return reference if partial.startswith(path[at:]) else None
        if not path.startswith(partial, at):
            return None
        at += len(partial)
        bit = BIT[path[at]]
        if not bitmap & bit:
            return None
        reference = children[POPCOUNT[bitmap & bit - 1]]
        at += 1
    return None if reference == layout.empty_root else reference
