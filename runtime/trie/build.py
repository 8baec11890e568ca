"""The root of a whole trie from its entries, in one pass.

[trie-db] ``trie_visit`` / ``trie_root``: what genesis states, ordered roots (extrinsics) and benchmarks use.
Entries come in key order; a stack holds the branches that are still open, each as deep as the key prefix it
shares, and a branch is closed as soon as the next key leaves it. Every node is encoded and hashed exactly
once, and the memory used besides the store is one path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from runtime.primitives.scale import encode_compact
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH, Layout
from runtime.trie.node import BIT, BRANCH, BYTE, HASHED, INLINE, encode_header, encode_partial, shared_nibbles

__all__ = ["ordered_root", "trie_root"]


class _OpenBranch:
    """A branch whose children are still coming; `depth` nibbles of the current key lead to its value."""

    __slots__ = ("bitmap", "depth", "references", "value")

    def __init__(self, depth: int, value: bytes | None) -> None:
        self.depth = depth
        self.value = value
        self.bitmap = 0
        self.references: list[bytes] = []
        """The children so far, as they stand in the encoding."""


def trie_root(
    entries: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
    layout: Layout,
    store: MutableMapping[bytes, bytes] | None = None,
) -> bytes:
    """The root (32 bytes) of the trie with exactly `entries`.

    `entries` is a mapping, which is sorted here, or pairs in strictly ascending key order (`ValueError`
    otherwise). `store`, when given, receives every node and detached value under its hash.
    """
    pairs = iter(sorted(entries.items()) if isinstance(entries, Mapping) else entries)
    digest = layout.digest
    current = next(pairs, None)
    if current is None:
        if store is not None:
            store[layout.empty_root] = EMPTY_NODE
        return layout.empty_root

    stack: list[_OpenBranch] = []
    left = -1  # depth of the innermost open branch above the current key, -1 when there is none
    node = b""
    while current is not None:
        key, value = current
        path = key.hex()
        current = next(pairs, None)
        right = -1
        if current is not None:
            following = current[0]
            if following <= key:
                raise ValueError(f"trie entries out of order: 0x{following.hex()} after 0x{key.hex()}")
            right = shared_nibbles(key, following)
        if right == len(path):
            # The next key continues this one: this entry is the value of a branch.
            stack.append(_OpenBranch(right, value))
            left = right
            continue
        if right > left:
            stack.append(_OpenBranch(right, None))
            left = right

        start = left + 1
        node = _leaf(key, start, value, layout, store)
        while start:
            # The path to `node` has `start` nibbles: it is a child of the innermost open branch.
            branch = stack[-1]
            size = len(node)
            if size >= HASH_LENGTH:
                hash_ = digest(node)
                if store is not None:
                    store[hash_] = node
                branch.references.append(b"\x80" + hash_)
            else:
                branch.references.append(BYTE[size << 2] + node)
            branch.bitmap |= BIT[path[start - 1]]
            if branch.depth <= right:
                break
            # The next key leaves this branch: it is complete.
            stack.pop()
            left = stack[-1].depth if stack else -1
            if right > left:
                stack.append(_OpenBranch(right, None))
                left = right
            start = left + 1
            node = _branch(branch, path[start : branch.depth], layout, store)
        left = right

    root = digest(node)
    if store is not None:
        store[root] = node
    return root


def _leaf(
    key: bytes, start: int, value: bytes, layout: Layout, store: MutableMapping[bytes, bytes] | None
) -> bytes:
    """Encode the leaf whose partial key is `key` from nibble `start` on."""
    # Leaves are most nodes of a trie: one-byte headers and lengths are looked up here, not computed.
    nibbles = 2 * len(key) - start
    half = start >> 1
    partial = BYTE[key[half] & 15] + key[half + 1 :] if start & 1 else key[half:]
    size = len(value)
    if size >= layout.threshold:
        value_hash = layout.digest(value)
        if store is not None:
            store[value_hash] = value
        header = BYTE[0x20 | nibbles] if nibbles < 31 else encode_header(HASHED, nibbles)
        return header + partial + value_hash
    header = BYTE[0x40 | nibbles] if nibbles < 63 else encode_header(INLINE, nibbles)
    return header + partial + (BYTE[size << 2] if size < 64 else encode_compact(size)) + value


def _branch(
    branch: _OpenBranch, partial: str, layout: Layout, store: MutableMapping[bytes, bytes] | None
) -> bytes:
    """Encode a branch whose children are complete."""
    kind = BRANCH
    value = branch.value
    stored = b""
    if value is not None:
        if len(value) >= layout.threshold:
            kind = BRANCH | HASHED
            stored = layout.digest(value)
            if store is not None:
                store[stored] = value
        else:
            kind = BRANCH | INLINE
            stored = encode_compact(len(value)) + value
    return b"".join(
        (
            encode_header(kind, len(partial)),
            encode_partial(partial),
            branch.bitmap.to_bytes(2, "little"),
            stored,
            *branch.references,
        )
    )


def ordered_root(values: Iterable[bytes], layout: Layout) -> bytes:
    """The root of the trie with the compact-encoded index of each value as its key: extrinsics and
    receipts."""
    return trie_root({encode_compact(index): value for index, value in enumerate(values)}, layout)
