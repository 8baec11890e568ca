"""What a change reads, keeps and refuses, case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime.primitives.hashing import blake2_256
from runtime.trie import LAYOUT_V0, LAYOUT_V1, Recorder, Trie, create_proof, lookup, trie_root
from runtime.trie.child import child_storage_key
from runtime.trie.compact import decode_compact_proof, encode_compact_with_children
from runtime.trie.errors import (
    BadNode,
    ExtraneousChildProof,
    ExtraneousNodes,
    IncompleteProof,
    InvalidChildRoot,
    MissingNode,
    RootMismatch,
    UnusedNode,
)
from runtime.trie.layout import EMPTY_NODE
from runtime.trie.proof import verify_proof

LONG = b"\x07" * 40

ENTRIES = {b"\x10\x00": LONG, b"\x10\x01": b"\x01" * 40, b"\x20\x00": b"\x02" * 40, b"\x20\x01": b"\x03" * 40}
"""Two branches below the root, each with two leaves; all values detached under V1."""


def state(entries: dict[bytes, bytes] = ENTRIES) -> tuple[dict[bytes, bytes], bytes]:
    store: dict[bytes, bytes] = {}
    return store, trie_root(entries, LAYOUT_V1, store)


def test_a_removal_reads_the_branchs_last_child_and_not_its_value() -> None:
    store, root = state()
    recorder = Recorder(store)
    trie = Trie(recorder, root, LAYOUT_V1)
    trie.remove(b"\x10\x00")
    # The root, one branch, the removed leaf and the leaf that takes the branch's place; no detached value.
    assert len(recorder) == 4
    assert blake2_256(LONG) not in recorder
    assert trie.commit({}) == trie_root({k: v for k, v in ENTRIES.items() if k != b"\x10\x00"}, LAYOUT_V1)


def test_an_insert_reads_its_path_only() -> None:
    store, root = state()
    recorder = Recorder(store)
    trie = Trie(recorder, root, LAYOUT_V1)
    trie.insert(b"\x10\x02", b"new")
    assert len(recorder) == 2
    trie.insert(b"\x10\x00", b"other")
    assert len(recorder) == 3
    assert trie.commit({}) == trie_root({**ENTRIES, b"\x10\x02": b"new", b"\x10\x00": b"other"}, LAYOUT_V1)


def test_removing_what_is_not_there_changes_nothing() -> None:
    store, root = state()
    trie = Trie(store, root, LAYOUT_V1)
    for key in (b"", b"\x10", b"\x10\x00\x00", b"\x30"):
        trie.remove(key)
    new: dict[bytes, bytes] = {}
    assert (trie.commit(new), new) == (root, {})


def test_writing_the_present_value_changes_nothing() -> None:
    entries = {b"a": b"1", b"ab": b"2"}
    store, root = state(entries)
    trie = Trie(store, root, LAYOUT_V1)
    for key, value in entries.items():
        trie.insert(key, value)
    new: dict[bytes, bytes] = {}
    assert (trie.commit(new), new) == (root, {})


def test_an_old_inline_value_moves_out_only_when_it_is_written() -> None:
    """A chain that switched from V0 to V1: neighbours of a write stay as they are."""
    store: dict[bytes, bytes] = {}
    root = trie_root(ENTRIES, LAYOUT_V0, store)
    trie = Trie(store, root, LAYOUT_V1)
    trie.insert(b"\x10\x00\x00", b"beside")
    new: dict[bytes, bytes] = {}
    assert trie.commit(new) == trie_root({**ENTRIES, b"\x10\x00\x00": b"beside"}, LAYOUT_V0)
    assert LONG not in new.values()
    trie.insert(b"\x10\x00", LONG)
    mixed = trie.commit(new)
    assert new[blake2_256(LONG)] == LONG
    assert mixed not in (
        trie_root({**ENTRIES, b"\x10\x00\x00": b"beside"}, layout) for layout in (LAYOUT_V0, LAYOUT_V1)
    )
    assert lookup({**store, **new}, mixed, b"\x10\x00", LAYOUT_V0) == LONG


@pytest.mark.parametrize("missing", range(4))
def test_a_change_that_fails_changes_nothing(missing: int) -> None:
    store, root = state()
    recorder = Recorder(store)
    Trie(recorder, root, LAYOUT_V1).remove(b"\x10\x00")
    node = list(recorder)[missing]
    partial = {hash_: item for hash_, item in store.items() if hash_ != node}
    trie = Trie(partial, root, LAYOUT_V1)
    with pytest.raises(MissingNode) as caught:
        trie.remove(b"\x10\x00")
    assert (caught.value.node, caught.value.key) == (node, b"\x10\x00")
    new: dict[bytes, bytes] = {}
    assert (trie.commit(new), new) == (root, {})
    partial[node] = store[node]
    trie.remove(b"\x10\x00")
    assert trie.get(b"\x10\x00") is None


def test_the_empty_trie_is_read_like_any_node() -> None:
    """The reference's stores always have the empty node, and its recorders count it."""
    recorder = Recorder({})
    trie = Trie(recorder, LAYOUT_V1.empty_root, LAYOUT_V1)
    assert trie.get(b"a") is None
    assert recorder.nodes() == (EMPTY_NODE,)
    assert recorder.encoded_size == 2
    trie.insert(b"a", b"1")
    assert trie.commit({}) == trie_root({b"a": b"1"}, LAYOUT_V1)
    # Without it the empty trie is empty all the same.
    assert Trie({}, LAYOUT_V1.empty_root, LAYOUT_V1).get(b"a") is None
    assert lookup({}, LAYOUT_V1.empty_root, b"a", LAYOUT_V1) is None


def test_an_emptied_trie_is_read_again_when_it_fills() -> None:
    store, root = state({b"a": b"1"})
    recorder = Recorder(store)
    trie = Trie(recorder, root, LAYOUT_V1)
    trie.remove(b"a")
    assert EMPTY_NODE not in recorder.values()
    new: dict[bytes, bytes] = {}
    assert trie.commit(new) == LAYOUT_V1.empty_root
    assert new == {LAYOUT_V1.empty_root: EMPTY_NODE}
    trie.insert(b"b", b"2")
    assert EMPTY_NODE in recorder.values()
    assert trie.commit({}) == trie_root({b"b": b"2"}, LAYOUT_V1)


def test_after_a_commit_nothing_is_needed_from_the_sink() -> None:
    store, root = state()
    trie = Trie(store, root, LAYOUT_V1)
    trie.insert(b"\x10\x00", b"\x09" * 50)
    trie.commit({})
    assert trie.get(b"\x10\x00") == b"\x09" * 50
    trie.remove(b"\x10\x01")
    changed = {**ENTRIES, b"\x10\x00": b"\x09" * 50}
    del changed[b"\x10\x01"]
    assert trie.commit({}) == trie_root(changed, LAYOUT_V1)


@pytest.mark.parametrize(
    "node, change",
    [
        # An inline child longer than a hash, below which a key is written.
        (b"\x80\x01\x00" + bytes([40 << 2]) + bytes(40), lambda trie: trie.insert(b"\x11", b"1")),
        # A branch that has one child and no value, and then not even that.
        (b"\x80\x01\x00\x10\x41\x00\x04\x07", lambda trie: trie.remove(b"\x00")),
        # An empty node as a child.
        (b"\x80\x03\x00\x04\x00\x10\x41\x00\x04\x07", lambda trie: trie.insert(b"\x00", b"1")),
    ],
)
def test_nodes_that_no_writer_makes_are_not_written_on(node: bytes, change: Callable[[Trie], None]) -> None:
    root = blake2_256(node)
    with pytest.raises(BadNode):
        change(Trie({root: node}, root, LAYOUT_V1))


# ---------------------------------------------------------------- proofs


def test_a_proof_of_nothing_is_empty() -> None:
    _, root = state()
    assert verify_proof(root, [], [], LAYOUT_V1) == {}
    with pytest.raises(UnusedNode):
        verify_proof(root, [b"item"], [], LAYOUT_V1)
    with pytest.raises(MissingNode) as caught:
        verify_proof(root, [], [b"k"], LAYOUT_V1)
    assert (caught.value.node, caught.value.key) == (root, b"k")


def test_a_proof_below_the_empty_root() -> None:
    root = LAYOUT_V1.empty_root
    assert verify_proof(root, [], [b"b", b"a"], LAYOUT_V1) == {b"a": None, b"b": None}
    assert verify_proof(root, create_proof({}, root, [b"a"], LAYOUT_V1), [b"a"], LAYOUT_V1) == {b"a": None}


def test_a_node_that_is_also_a_value() -> None:
    """An item may serve twice: the hash of a value says nothing about what the value looks like."""
    store, root = state()
    twin = dict(ENTRIES) | {b"\x30": store[root]}
    twin_store, twin_root = state(twin)
    proof = create_proof(twin_store, twin_root, [b"\x30"], LAYOUT_V1)
    assert verify_proof(twin_root, proof, [b"\x30"], LAYOUT_V1) == {b"\x30": store[root]}


# ---------------------------------------------------------------- child tries in compact proofs


def with_child(entries: dict[bytes, bytes]) -> tuple[dict[bytes, bytes], bytes, bytes]:
    store: dict[bytes, bytes] = {}
    below = trie_root(entries, LAYOUT_V1, store)
    return store, trie_root({child_storage_key(b"c"): below, b"x": b"y"}, LAYOUT_V1, store), below


def test_errors_of_compact_proofs_with_child_tries() -> None:
    store, root, below = with_child(ENTRIES)
    items = encode_compact_with_children(store, root, LAYOUT_V1)
    assert decode_compact_proof(items, LAYOUT_V1, root) == (root, store)

    with pytest.raises(RootMismatch) as mismatch:
        decode_compact_proof(items, LAYOUT_V1, below)
    assert (mismatch.value.expected, mismatch.value.computed) == (below, root)

    with pytest.raises(IncompleteProof):
        decode_compact_proof(items[:-1], LAYOUT_V1, root)

    with pytest.raises(ExtraneousNodes) as left_over:
        decode_compact_proof([*items, b"a", b"b"], LAYOUT_V1, root)
    assert left_over.value.count == 2

    other_store, _, other = with_child({b"other": b"1"})
    top_only = {hash_: item for hash_, item in store.items() if hash_ != below}
    stranger = [*encode_compact_with_children(top_only, root, LAYOUT_V1), other_store[other]]
    with pytest.raises(ExtraneousChildProof) as extraneous:
        decode_compact_proof(stranger, LAYOUT_V1, root)
    assert extraneous.value.root == other


def test_a_child_root_that_is_no_hash() -> None:
    store: dict[bytes, bytes] = {}
    root = trie_root({child_storage_key(b"c"): b"short"}, LAYOUT_V1, store)
    with pytest.raises(InvalidChildRoot) as caught:
        encode_compact_with_children(store, root, LAYOUT_V1)
    assert (caught.value.key, caught.value.value) == (child_storage_key(b"c"), b"short")
    with pytest.raises(InvalidChildRoot):
        decode_compact_proof(list(store.values()), LAYOUT_V1)


def test_compact_encoding_takes_only_what_a_recorder_recorded() -> None:
    store, root, _ = with_child(ENTRIES)
    recorder = Recorder(store)
    assert lookup(recorder, root, b"x", LAYOUT_V1) == b"y"
    recorded = dict(recorder)
    items = encode_compact_with_children(recorder, root, LAYOUT_V1)
    assert recorder == recorded
    assert decode_compact_proof(items, LAYOUT_V1, root)[1] == recorded
    with pytest.raises(MissingNode):
        encode_compact_with_children(Recorder(store), root, LAYOUT_V1)
