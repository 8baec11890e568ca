"""The root of a whole trie from its entries, in one pass.

[trie-db] ``trie_visit`` / ``trie_root``: what genesis states, ordered roots (extrinsics) and benchmarks use.
Entries come in key order; a stack holds the branches that are still open, each as deep as the key prefix it
shares, and a branch is closed as soon as the next key leaves it. Every node is encoded and hashed exactly
once, and the memory used besides the store is one path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from itertools import chain

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
    digest, threshold = layout.digest, layout.threshold
    key, value = next(pairs, (b"", None))
    if value is None:
        if store is not None:
            store[layout.empty_root] = EMPTY_NODE
        return layout.empty_root

    stack: list[_OpenBranch] = []
    left = -1  # depth of the innermost open branch above the current key, -1 when there is none
    node = b""
    for following in chain(pairs, (None,)):
        right = -1
        if following is not None:
            if following[0] <= key:
                raise ValueError(f"trie entries out of order: 0x{following[0].hex()} after 0x{key.hex()}")
            right = shared_nibbles(key, following[0])
        nibbles = 2 * len(key)
        if right == nibbles:
            # The next key continues this one: this entry is the value of a branch.
            stack.append(_OpenBranch(right, value))
        else:
            if right > left:
                stack.append(_OpenBranch(right, None))
                left = right

            # The leaf. Leaves are most nodes of a trie: their one-byte headers and lengths are looked up
            # here, not computed by the codec.
            start = left + 1
            nibbles -= start
            half = start >> 1
            partial = BYTE[key[half] & 15] + key[half + 1 :] if start & 1 else key[half:]
            size = len(value)
            if size >= threshold:
                value_hash = digest(value)
                if store is not None:
                    store[value_hash] = value
                node = (
                    (BYTE[0x20 | nibbles] if nibbles < 31 else encode_header(HASHED, nibbles))
                    + partial
                    + value_hash
                )
            else:
                header = BYTE[0x40 | nibbles] if nibbles < 63 else encode_header(INLINE, nibbles)
                node = header + partial + (BYTE[size << 2] if size < 64 else encode_compact(size)) + value

            path = key.hex()
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
        if following is not None:
            key, value = following

    root = digest(node)
    if store is not None:
        store[root] = node
    return root


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
