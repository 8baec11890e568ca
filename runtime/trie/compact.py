"""Compact proofs: a witness without the hashes that its reader can compute.

[trie-db] ``encode_compact`` / ``decode_compact``, [sp-trie] ``trie_codec``; the form of the storage proof in
a PoV. The nodes of the partial trie come in pre-order. A reference to a node that is in the witness is left
empty; a detached value that is in the witness follows its node as an item of its own, and the node is then
escaped: `ESCAPE`, and the node encoded with an empty inline value. A reference or value hash whose item is
not in the witness stays.

Decoding accepts what the reference accepts: bytes after an item's node are dropped, an escaped node gets the
hash of the following item whatever value it had. Anything stricter would refuse blocks that the relay chain
accepts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runtime.trie.child import DEFAULT_CHILD_PREFIX
from runtime.trie.errors import (
    BadNode,
    ExtraneousChildProof,
    ExtraneousNodes,
    IncompleteProof,
    InvalidChildRoot,
    MissingNode,
    RootMismatch,
)
from runtime.trie.iterate import walk_entries
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout
from runtime.trie.node import (
    BRANCH,
    EMPTY,
    ESCAPE,
    HASH_PREFIX,
    HASH_PREFIXES,
    HASHED,
    INLINE,
    POPCOUNT,
    REFERENCE_LENGTH,
    decode_node,
    encode_header,
    encode_partial,
    encode_reference,
    outline,
)

__all__ = [
    "SeenHashes",
    "decode_compact",
    "decode_compact_proof",
    "encode_compact",
    "encode_compact_skip_duplicates",
    "encode_compact_with_children",
]

ESCAPE_BYTE = bytes((ESCAPE,))

OMITTED = b"\x00"
"""A child reference of length zero: the child is the next item that is not placed yet."""


@dataclass(slots=True)
class SeenHashes:
    """What `encode_compact_skip_duplicates` has emitted, nodes and values apart.

    A value may equal a node's encoding; skipping that node because the value was emitted would lose its
    subtrie.
    """

    nodes: set[bytes] = field(default_factory=set)
    values: set[bytes] = field(default_factory=set)


def encode_compact(store: Mapping[bytes, bytes], root: bytes, layout: Layout) -> list[bytes]:
    """The compact proof of the part of the trie with `root` that is in `store`.

    `store` is a witness: what is not in it (``store.get``, so a `Recorder` counts with what it recorded) is
    not part of the proof. Raises MissingNode when the root is not in it.
    """
    return _encode(store, root, layout, None)


def encode_compact_skip_duplicates(
    store: Mapping[bytes, bytes], root: bytes, layout: Layout, seen: SeenHashes
) -> list[bytes]:
    """As `encode_compact`, with each distinct node and value emitted once; the root always is.

    `seen` may span several proofs from one unchanging `store`. The result decodes to the same set of items.
    """
    return _encode(store, root, layout, seen)


def encode_compact_with_children(store: Mapping[bytes, bytes], root: bytes, layout: Layout) -> list[bytes]:
    """The compact proof of a top trie, followed by those of its child tries, in the order of their keys.

    A child trie whose root node is not in `store` is left out. Raises InvalidChildRoot.
    """
    proof = encode_compact(store, root, layout)
    for child in _child_roots(store, root, layout):
        # A child trie may be named and not read. The empty one is never written, but always there.
        if child in store or child == layout.empty_root:
            proof.extend(encode_compact(store, child, layout))
    return proof


def _encode(
    store: Mapping[bytes, bytes], root: bytes, layout: Layout, seen: SeenHashes | None
) -> list[bytes]:
    top = store.get(root)
    if top is None:
        if root != layout.empty_root:
            raise MissingNode(root)
        top = EMPTY_NODE
    output: list[bytes] = []
    # Nodes whose encoding waits for its references: position in `output`, bytes before the references,
    # references.
    open_nodes: list[tuple[int, bytes, list[bytes]]] = []
    pending: list[tuple[bytes, bytes, list[bytes], int]] = [(root, top, [OMITTED], 0)]
    while pending:
        hash_, node, siblings, rank = pending.pop()
        if seen is not None:
            if output and hash_ in seen.nodes:
                continue
            seen.nodes.add(hash_)
        siblings[rank] = OMITTED
        try:
            partial, _, value_hash, bitmap, children, children_at, _ = decode_node(node)
        except BadNode as error:
            raise BadNode(hash_, error.reason) from None
        head = node[:children_at]
        value = None
        if value_hash is not None and (seen is None or value_hash not in seen.values):
            value = store.get(value_hash)
        if value is not None and value_hash is not None:
            if seen is not None:
                seen.values.add(value_hash)
            head = _escaped(partial, bitmap)
        position = len(output)
        output.append(head)
        if value is not None:
            output.append(value)
        if bitmap:
            if max(map(len, children)) > HASH_LENGTH:
                raise BadNode(hash_, "an inline child longer than a hash")
            references = [
                b"\x80" + child if len(child) == HASH_LENGTH else encode_reference(child)
                for child in children
            ]
            open_nodes.append((position, head, references))
            for index in range(len(children) - 1, -1, -1):
                child = children[index]
                if len(child) == HASH_LENGTH:
                    below = store.get(child)
                    if below is not None:
                        pending.append((child, below, references, index))
    for position, head, references in open_nodes:
        output[position] = head + b"".join(references)
    return output


def _escaped(partial: str, bitmap: int) -> bytes:
    """The beginning of an item whose value follows: up to and including the empty value."""
    kind = BRANCH | INLINE if bitmap else INLINE
    branches = bitmap.to_bytes(2, "little") if bitmap else b""
    return b"".join(
        (bytes((ESCAPE,)), encode_header(kind, len(partial)), encode_partial(partial), branches, b"\x00")
    )


def decode_compact(
    items: Sequence[bytes], layout: Layout, expected_root: bytes | None = None, start: int = 0
) -> tuple[bytes, dict[bytes, bytes], int]:
    """Decode one trie of a compact proof, from item `start` on: ``(root, store, items consumed)``.

    Items may be left over: several proofs can follow one another. Raises IncompleteProof when they do not
    suffice, BadNode, and RootMismatch when another root was expected.
    """
    return _decode(iter(items[start:] if start else items), layout, expected_root, start)


def _decode(
    following: Iterator[bytes], layout: Layout, expected_root: bytes | None, start: int
) -> tuple[bytes, dict[bytes, bytes], int]:
    """`decode_compact` of an iterator at item `start`. Takes what it consumes, so several tries can share one."""
    digest = layout.digest
    store: dict[bytes, bytes] = {}
    # Branches that wait for omitted children: the pieces of their encoding, every second one a reference that is
    # still missing, and which of these is the next.
    stack: list[list[bytes]] = []
    awaited: list[int] = []
    consumed = 0
    for item in following:
        escaped = item[:1] == ESCAPE_BYTE
        try:
            kind, nibbles, partial_at, bitmap, value_at, at = outline(item, 1 if escaped else 0)
            pieces = _pieces(item, at, POPCOUNT[bitmap], at if escaped else 0)
        except BadNode as error:
            raise BadNode(None, f"compact item {start + consumed}: {error.reason}") from None
        consumed += 1
        if escaped:
            value = next(following, None)
            if value is None:
                raise IncompleteProof(consumed)
            consumed += 1
            value_hash = digest(value)
            store[value_hash] = value
            # Whatever value the node had gives way to the hash; the empty node has no place for one.
            if kind == EMPTY:
                pieces = [EMPTY_NODE]
            else:
                header = encode_header(HASHED | kind & BRANCH, nibbles)
                pieces[0] = header + item[partial_at:value_at] + value_hash + pieces[0]
        if len(pieces) > 1:
            stack.append(pieces)
            awaited.append(1)
            continue
        node = pieces[0]
        while True:
            hash_ = digest(node)
            store[hash_] = node
            if not stack:
                if expected_root is not None and hash_ != expected_root:
                    raise RootMismatch(expected_root, hash_)
                return hash_, store, consumed
            pieces = stack[-1]
            position = awaited[-1]
            pieces[position] = b"\x80" + hash_
            if position + 2 < len(pieces):
                awaited[-1] = position + 2
                break
            stack.pop()
            awaited.pop()
            node = b"".join(pieces)
    raise IncompleteProof(consumed)


def _pieces(item: bytes, at: int, count: int, copied: int) -> list[bytes]:
    """The bytes of an item from `copied` on, cut at its omitted children, with a place between for each of these.

    The `count` references begin at `at`; what follows them is dropped.
    """
    if len(item) - at == REFERENCE_LENGTH * count and item[at::REFERENCE_LENGTH] == HASH_PREFIXES[count]:
        return [item[copied:] if copied else item]
    pieces: list[bytes] = []
    try:
        for _ in range(count):
            length = item[at]
            if length == HASH_PREFIX:
                at += REFERENCE_LENGTH
            elif not length:
                pieces += (item[copied:at], OMITTED)
                at += 1
                copied = at
            elif length & 3 or length > HASH_PREFIX:
                raise BadNode(None, "an inline child longer than a hash")
            else:
                at += 1 + (length >> 2)
    except IndexError:
        raise BadNode(None, "ends too early") from None
    if at > len(item):
        raise BadNode(None, "ends in a child reference")
    pieces.append(item[copied:at])
    return pieces


def decode_compact_proof(
    items: Sequence[bytes], layout: Layout, expected_root: bytes | None = None
) -> tuple[bytes, dict[bytes, bytes]]:
    """Decode a whole compact proof, child tries included: ``(root of the top trie, store)``.

    Raises what `decode_compact` raises, InvalidChildRoot, ExtraneousChildProof for a child trie that the top
    trie does not name, and ExtraneousNodes for items after the last trie.
    """
    following = iter(items)
    root, store, consumed = _decode(following, layout, expected_root, 0)
    unplaced: bytes | None = None
    # As the reference: a decoded trie waits for the key that names it; keys without a trie are passed over.
    for child in _child_roots(store, root, layout):
        if unplaced is None and consumed < len(items):
            unplaced, nodes, count = _decode(following, layout, None, consumed)
            store.update(nodes)
            consumed += count
        if child == unplaced:
            unplaced = None
    if unplaced is not None:
        raise ExtraneousChildProof(unplaced)
    if consumed < len(items):
        raise ExtraneousNodes(len(items) - consumed)
    return root, store


def _child_roots(store: Mapping[bytes, bytes], root: bytes, layout: Layout) -> list[bytes]:
    """The roots of the child tries that the witness of a top trie names, in key order. Raises
    InvalidChildRoot."""
    recorded = _Recorded(store)
    roots = []
    try:
        entries = walk_entries(recorded, root, layout, DEFAULT_CHILD_PREFIX, skip_missing=True)
        for key, value, value_hash in entries:
            if value is None:
                value = store.get(value_hash)
                if value is None:
                    continue
            if len(value) != HASH_LENGTH:
                raise InvalidChildRoot(key, value)
            roots.append(value)
    except MissingNode:
        # The witness does not reach the child roots at all: none was read.
        return []
    return roots


class _Recorded:
    """A witness as a node store, without asking a recorder's base for what it did not record."""

    __slots__ = ("_get",)

    def __init__(self, store: Mapping[bytes, bytes]) -> None:
        self._get = store.get

    def __getitem__(self, node: bytes, /) -> bytes:
        found = self._get(node)
        if found is None:
            raise KeyError(node)
        return found
