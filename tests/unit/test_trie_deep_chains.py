"""A chain of a hundred thousand levels: whoever chooses the keys chooses the depth, so no operation may recurse.

The trie is real: at every level a leaf beside the next branch. Its nodes are made bottom-up here, without the code
under test, and so are the roots after a change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import pytest

from runtime.primitives.hashing import blake2_256
from runtime.trie import (
    LAYOUT_V0,
    Recorder,
    Trie,
    decode_compact,
    encode_compact,
    iterate_keys,
    lookup,
    next_key,
    verify_proof,
)
from runtime.trie.descendant import closest_merkle_value
from runtime.trie.iterate import iterate
from runtime.trie.trie_proof import create_trie_proof, verify_trie_proof

LEVELS = 100_000
LAST = b"last"
"""Value of the longest key: a key of only zero digits."""

BOTH = b"\x80\x03\x00"
"""A plain branch with the children 0 (the chain) and 1 (a leaf)."""


def leaf(depth: int, value: bytes) -> bytes:
    """A leaf below a path of `depth` digits; its key has a whole number of bytes."""
    return (b"\x40" if depth % 2 == 0 else b"\x41\x00") + bytes([len(value) << 2]) + value


def side(depth: int) -> bytes:
    """Reference to the leaf beside the chain at `depth`."""
    node = leaf(depth, b"side")
    return bytes([len(node) << 2]) + node


def side_key(depth: int) -> bytes:
    """Key of the leaf that hangs on digit 1 below `depth - 1` digits 0."""
    path = "0" * (depth - 1) + "1"
    return bytes.fromhex(path if depth % 2 == 0 else path + "0")


@cache
def chain(levels: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Root and nodes of the chain with `levels` branches."""
    store = {}
    node = leaf(levels, LAST)
    for depth in range(levels, 0, -1):
        if len(node) < 32:
            reference = bytes([len(node) << 2]) + node
        else:
            hash_ = blake2_256(node)
            store[hash_] = node
            reference = b"\x80" + hash_
        node = BOTH + reference + side(depth)
    root = blake2_256(node)
    store[root] = node
    return root, store


def last_key(levels: int) -> bytes:
    return bytes((levels + 1) // 2)


def changed_root(levels: int) -> bytes:
    """The root after the topmost side leaf is gone: the second branch takes the place of the root."""
    second, store = chain(levels)
    node = store[second]
    below = store[node[4:36]]
    # Now a branch with the partial key "0": it absorbed the digit that led to it.
    return blake2_256(b"\x81\x00" + below[1:])


def read(levels: int) -> None:
    root, store = chain(levels)
    assert lookup(store, root, last_key(levels), LAYOUT_V0, strict=True) == LAST
    assert lookup(store, root, side_key(levels), LAYOUT_V0) == b"side"
    assert lookup(store, root, side_key(levels) + b"\x00", LAYOUT_V0) is None


def prove(levels: int) -> None:
    root, store = chain(levels)
    keys = [last_key(levels), side_key(levels // 2), side_key(levels)]
    assert list(verify_proof(root, store.values(), keys, LAYOUT_V0).values()) == [LAST, b"side", b"side"]


def compact(levels: int) -> None:
    root, store = chain(levels)
    items = encode_compact(store, root, LAYOUT_V0)
    assert decode_compact(items, LAYOUT_V0, root) == (root, store, len(store))


def trie_proof(levels: int) -> None:
    root, store = chain(levels)
    statement = [(last_key(levels), LAST), (side_key(levels), b"side")]
    proof = create_trie_proof(store, root, [key for key, _ in statement], LAYOUT_V0)
    verify_trie_proof(root, proof, statement, LAYOUT_V0)


def walk(levels: int) -> None:
    root, store = chain(levels)
    # The first key in order is the longest; the one after it hangs beside it.
    assert next(iterate(store, root, LAYOUT_V0)) == (last_key(levels), LAST)
    assert next_key(store, root, LAYOUT_V0, last_key(levels)) == side_key(levels)
    assert next(iterate_keys(store, root, LAYOUT_V0, prefix=last_key(levels)[:-1])) == last_key(levels)
    assert closest_merkle_value(store, root, "0" * levels, LAYOUT_V0) == leaf(levels, LAST)


def change(levels: int) -> None:
    root, store = chain(levels)
    recorder = Recorder(store)
    trie = Trie(recorder, root, LAYOUT_V0)
    trie.insert(last_key(levels), b"other")
    new: dict[bytes, bytes] = {}
    assert trie.commit(new) != root
    assert len(new) == len(store) == len(recorder)
    assert trie.get(last_key(levels)) == b"other"
    trie.insert(last_key(levels), LAST)
    assert trie.commit({}) == root


def collapse(levels: int) -> None:
    root, store = chain(levels)
    trie = Trie(store, root, LAYOUT_V0)
    trie.remove(side_key(1))
    assert trie.commit({}) == changed_root(levels)
    # The deepest branch collapses too: into the leaf with the longest key.
    trie.remove(side_key(levels))
    trie.commit({})
    assert trie.get(last_key(levels)) == LAST
    trie.insert(side_key(levels), b"side")
    trie.insert(side_key(1), b"side")
    assert trie.commit({}) == root


OPERATIONS = [read, prove, compact, trie_proof, walk, change, collapse]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_recurses(operation: Callable[[int], None]) -> None:
    operation(LEVELS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_time_is_linear(operation: Callable[[int], None]) -> None:
    def seconds(levels: int) -> float:
        chain(levels)
        times = []
        for _ in range(3):
            start = time.process_time()
            operation(levels)
            times.append(time.process_time() - start)
        return min(times)

    # CPU time, not wall time. Sixteen times the levels: linear work was seen to take up to a hundred times as long
    # when caches are shared with other work; quadratic work takes 256 times as long before any such effect.
    assert seconds(64_000) < 256 * seconds(4_000)
