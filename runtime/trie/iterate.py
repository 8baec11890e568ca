"""Entries in key order: of the whole trie, below a prefix, or after a key.

[trie-db] ``TrieDBRawIterator``: nodes are loaded only when the walk reaches them, so that a recorder sees
what the reference records for ``next_key`` and for prefix walks. Iterative, with the path kept in pieces: a
chain of any depth costs time linear in its nodes (and in the bytes of the keys that are yielded).
"""

from __future__ import annotations

from collections.abc import Iterator

from runtime.trie.errors import BadNode, MissingNode
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout, NodeStore
from runtime.trie.node import DecodedNode, decode_node, digits_of

__all__ = ["iterate", "iterate_keys", "next_key"]


def iterate(
    store: NodeStore, root: bytes, layout: Layout, prefix: bytes = b"", after: bytes | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Entries ``(key, value)`` in ascending key order.

    Only keys that start with `prefix` and, with `after`, that are greater than it. Raises MissingNode and
    BadNode when the walk comes to such a node; what was yielded before is right.
    """
    for key, value, value_hash in walk_entries(store, root, layout, prefix, after):
        if value is None:
            try:
                value = store[value_hash]
            except KeyError:
                raise MissingNode(value_hash, key) from None
        yield key, value


def iterate_keys(
    store: NodeStore,
    root: bytes,
    layout: Layout,
    prefix: bytes = b"",
    after: bytes | None = None,
    *,
    start: bytes | None = None,
) -> Iterator[bytes]:
    """The keys that `iterate` yields; detached values are not loaded (nor recorded).

    ``start``: the first key that may be yielded, where ``after`` is the last that may not.
    """
    for key, _, _ in walk_entries(store, root, layout, prefix, after, start=start):
        yield key


def next_key(store: NodeStore, root: bytes, layout: Layout, key: bytes) -> bytes | None:
    """The first key of the trie that is greater than `key`, or None."""
    return next(iterate_keys(store, root, layout, after=key), None)


def walk_entries(
    store: NodeStore,
    root: bytes,
    layout: Layout,
    prefix: bytes = b"",
    after: bytes | None = None,
    *,
    start: bytes | None = None,
    skip_missing: bool = False,
) -> Iterator[tuple[bytes, bytes | None, bytes]]:
    """``(key, value, value_hash)`` per entry: the value when it is inline, else its hash (empty when unused).

    ``skip_missing`` passes over subtries whose node is missing, once the walk is below the prefix: in a
    partial trie (a witness) what is not there is not of interest.
    """
    wanted = prefix.hex()
    # No key lies between `after` and `after ++ 00`, so the walk starts there, as the reference does.
    first = wanted if after is None else max(wanted, after.hex() + "00")
    if start is not None:
        first = max(first, start.hex())
    if not first.startswith(wanted):
        return
    pieces: list[str] = []
    stack = _seek(store, root, layout, wanted, first, pieces)
    while stack:
        piece, depth, reference = stack.pop()
        try:
            node = load(store, reference, root, layout)
        except MissingNode:
            if skip_missing:
                continue
            raise
        partial, value, value_hash, bitmap, children, _, _ = node
        del pieces[depth:]
        pieces.append(piece + partial)
        if value is not None or value_hash is not None:
            path = "".join(pieces)
            if len(path) & 1:
                raise BadNode(None, f"a value at an odd number of nibbles ({len(path)})")
            yield bytes.fromhex(path), value, value_hash or b""
        if bitmap:
            depth += 1
            stack.extend(
                (digit, depth, child)
                for digit, child in zip(reversed(digits_of(bitmap)), reversed(children), strict=True)
            )


def _seek(
    store: NodeStore, root: bytes, layout: Layout, wanted: str, start: str, pieces: list[str]
) -> list[tuple[str, int, bytes]]:
    """Subtries that hold the paths from `start` on below `wanted`, the first one last.

    Each is ``(digit of its parent's child, length of `pieces` above it, reference)``. `pieces` receives the
    path that the loaded nodes share with `start`.
    """
    stack: list[tuple[str, int, bytes]] = []
    piece, reference, at = "", root, 0
    while True:
        partial, _, _, bitmap, children, _, _ = load(store, reference, root, layout)
        if not start.startswith(partial, at):
            here = start[at : at + len(partial)]
            # All keys of this subtrie are on one side of `start`; those above it may still lie beyond
            # `wanted`.
            if partial > here and (at >= len(wanted) or partial.startswith(wanted[at:])):
                stack.append((piece, len(pieces), reference))
            return stack
        at += len(partial)
        if at == len(start):
            stack.append((piece, len(pieces), reference))
            return stack
        pieces.append(piece + partial)
        digit = start[at]
        inside = at >= len(wanted)
        following = None
        for sibling, child in zip(reversed(digits_of(bitmap)), reversed(children), strict=True):
            if sibling == digit:
                following = child
                break
            if sibling < digit:
                break
            if inside:
                stack.append((sibling, len(pieces), child))
        if following is None:
            return stack
        piece, reference = digit, following
        at += 1


def load(store: NodeStore, reference: bytes, root: bytes, layout: Layout) -> DecodedNode:
    """The node that a reference (a hash, or the node itself) stands for."""
    if len(reference) != HASH_LENGTH:
        return decode_node(reference)
    try:
        node = store[reference]
    except KeyError:
        if reference != root or root != layout.empty_root:
            raise MissingNode(reference) from None
        node = EMPTY_NODE
    try:
        return decode_node(node)
    except BadNode as error:
        raise BadNode(reference, error.reason) from None
