"""Reading a key by walking the bytes of the nodes on its path.

[trie-db] ``Lookup``. A reader needs three things of a node (does the partial key match, is this the end,
which bytes are the child), so nothing is decoded into objects: the next reference is found from the bitmap,
at a computed offset when all children are hashes. That is twice as fast as decoding, and it is the whole cost
of a read.

Below a trusted root every node is what an honest writer hashed, and the children that the walk passes by are
not looked at. Below a root that an attacker chose (a sibling's header, a proof from anywhere) a node may be
anything with the right hash: ``strict=True`` checks all of each visited node before using it, as the
reference does.
"""

from __future__ import annotations

from typing import TypeAlias

from runtime.trie.errors import BadNode, MissingNode
from runtime.trie.layout import HASH_LENGTH, Layout, NodeStore
from runtime.trie.node import (
    BIT,
    BRANCH,
    HASH_PREFIXES,
    HASHED,
    HEADERS,
    INLINE,
    POPCOUNT,
    REFERENCE_LENGTH,
    decode_header,
    decode_length,
    find_child,
)

__all__ = ["contains", "lookup"]

PLAIN_BRANCH = 0x80
"""Header of a branch without partial key and value: most of the visited nodes of a big trie."""

PLAIN_LENGTHS = [0] + [3 + REFERENCE_LENGTH * count for count in range(1, 17)]
"""Bytes of a plain branch with so many children, all of them hashes (no branch has none)."""

Visit: TypeAlias = tuple[bytes, bytes, int]
"""A visited node: its hash (an inline node's: that of the node it is in), its bytes, the nibbles leading to
it."""


class _Unread:
    """Stands in for detached values where only their existence matters."""

    def __getitem__(self, node: bytes, /) -> bytes:
        return b""


UNREAD = _Unread()


def lookup(
    store: NodeStore, root: bytes, key: bytes, layout: Layout, *, strict: bool = False
) -> bytes | None:
    """The value of `key`, or None when the trie has none. Raises MissingNode, BadNode."""
    return _read(store, store, root, key, layout, strict)


def contains(store: NodeStore, root: bytes, key: bytes, layout: Layout, *, strict: bool = False) -> bool:
    """Whether `key` has a value. A detached value is not loaded (nor recorded)."""
    return _read(store, UNREAD, root, key, layout, strict) is not None


def _read(
    store: NodeStore, values: NodeStore, root: bytes, key: bytes, layout: Layout, strict: bool
) -> bytes | None:
    try:
        node = store[root]
    except KeyError:
        if root == layout.empty_root:
            return None
        raise MissingNode(root, key) from None
    return walk(store, values, key, root, node, 0, strict)


def walk(
    store: NodeStore,
    values: NodeStore,
    key: bytes,
    hash_: bytes,
    node: bytes,
    at: int,
    strict: bool,
    trail: list[Visit] | None = None,
) -> bytes | None:
    """Follow `key` down from `node` (of `hash_`), which lies `at` nibbles deep on its path.

    Detached values are read from `values`. `trail` receives the visited nodes, and last a detached value, as
    if it lay below the key.
    """
    path = key.hex()
    length = len(path)
    try:
        while True:
            if trail is not None:
                trail.append((hash_, node, at))
            if node[0] == PLAIN_BRANCH:
                # The hot path: most visits are to such a branch, and most of these have hashes only.
                bitmap = node[1] | node[2] << 8
                count = POPCOUNT[bitmap]
                if len(node) == PLAIN_LENGTHS[count] and (
                    not strict or node[3::REFERENCE_LENGTH] == HASH_PREFIXES[count]
                ):
                    if at == length:
                        return None
                    bit = BIT[path[at]]
                    if not bitmap & bit:
                        return None
                    at += 1
                    start = 4 + REFERENCE_LENGTH * POPCOUNT[bitmap & bit - 1]
                    hash_ = node[start : start + HASH_LENGTH]
                    node = store[hash_]
                    continue

            entry = HEADERS[node[0]]
            if entry is None:
                raise BadNode(None, f"0x{node[0]:02x} starts no node")
            kind, nibbles, more = entry
            start = 1
            if more:
                nibbles += node[1]
                start = 2
                if node[1] == 0xFF:
                    kind, nibbles, start = decode_header(node)
            matches = True
            if nibbles:
                end = start + (nibbles + 1 >> 1)
                partial = node[start:end].hex()
                if nibbles & 1:
                    if partial[0] != "0":
                        raise BadNode(None, "the padding nibble is not zero")
                    partial = partial[1:]
                matches = path.startswith(partial, at)
                at += nibbles
                start = end

            count = 0
            if kind & BRANCH:
                bitmap = node[start] | node[start + 1] << 8
                start += 2
                count = POPCOUNT[bitmap]
            value_at = start
            if kind & INLINE:
                size = node[start]
                if size & 3:
                    size, value_at = decode_length(node, start)
                else:
                    size >>= 2
                    value_at += 1
                start = value_at + size
            elif kind & HASHED:
                start += HASH_LENGTH
            rest = len(node) - start
            if rest < 0:
                raise BadNode(None, "ends in its value")

            bit = 0
            if kind & BRANCH:
                if not count:
                    raise BadNode(None, "a branch without children")
                rank = -1
                if matches and at < length:
                    bit = bitmap & BIT[path[at]]
                    if bit:
                        rank = POPCOUNT[bitmap & bit - 1]
                # An honest reference takes at most 33 bytes: so many bytes in all are that many hashes.
                if rest == REFERENCE_LENGTH * count and (
                    not strict or node[start::REFERENCE_LENGTH] == HASH_PREFIXES[count]
                ):
                    offset = start + REFERENCE_LENGTH * rank + 1
                    child = node[offset : offset + HASH_LENGTH]
                elif strict or bit:
                    child = find_child(node, start, count if strict else rank + 1, rank)

            if not matches:
                return None
            if at == length:
                if kind & INLINE:
                    return node[value_at:start]
                if kind & HASHED:
                    hash_ = node[value_at:start]
                    value = values[hash_]
                    if trail is not None:
                        trail.append((hash_, value, length + 1))
                    return value
                return None
            if not bit:
                return None
            at += 1
            node = child
            if len(node) == HASH_LENGTH:
                hash_ = node
                node = store[hash_]
    except KeyError:
        raise MissingNode(hash_, key) from None
    except IndexError:
        raise BadNode(hash_, "ends too early") from None
    except BadNode as error:
        raise BadNode(hash_, error.reason) from None
