"""Worked bytes: nodes, roots, lengths, compact items. Each example can be checked by hand."""

from __future__ import annotations

import pytest

from runtime.primitives.hashing import blake2_256
from runtime.trie import (
    BLAKE2B_256,
    KECCAK_256,
    LAYOUT_V0,
    LAYOUT_V1,
    Layout,
    decode_compact,
    encode_compact,
    ordered_root,
    trie_root,
)
from runtime.trie.child import (
    child_id,
    child_root,
    child_storage_key,
    is_child_storage_key,
    lookup_child,
)
from runtime.trie.errors import BadNode, TrieError, brief
from runtime.trie.layout import EMPTY_NODE
from runtime.trie.node import (
    BRANCH,
    HASHED,
    INLINE,
    decode_header,
    decode_node,
    encode_header,
    encode_node,
    find_child,
    outline,
    shared_nibbles,
)


def test_empty_roots() -> None:
    for hasher in (BLAKE2B_256, KECCAK_256):
        assert hasher.empty_root == hasher.digest(EMPTY_NODE)
        assert trie_root({}, Layout(hasher, 1)) == hasher.empty_root
    assert LAYOUT_V1.empty_root.hex().startswith("03170a2e7597b7b7")


@pytest.mark.parametrize(
    "layout, entries, root",
    [
        (LAYOUT_V1, {b"\x01": b"\x01"}, "aec6072b6e4507c220045c5c0ce8438894d9f2280a6a034b355e908546fc28a5"),
        (
            LAYOUT_V0,
            {b"foo": b"bar", b"foobar": b"baz"},
            "a61820b5fba9b01aee10b5bbd84aea80b8230318c5e8ca14b9a4940c76e09815",
        ),
        (
            LAYOUT_V1,
            {b"bar": b"foo", b"barfoo": b"hello", b"anotheritem": b"anothervalue"},
            "441807c345ca7adf88bd21ab1b3cbadb15616abb89167eb9fe285dd5cecd04c8",
        ),
        (LAYOUT_V0, {b"k": b"\x07" * 32}, "19d624ff8b1756a0151a0aaf6c7dca6a174da8f7241205f2fb1f682bdad33661"),
        (LAYOUT_V1, {b"k": b"\x07" * 32}, "19d624ff8b1756a0151a0aaf6c7dca6a174da8f7241205f2fb1f682bdad33661"),
        (LAYOUT_V0, {b"k": b"\x07" * 33}, "85a080578553fa6c3ccc3992d5802066a36b22fc515b809275a0f95c90cc8f78"),
        (LAYOUT_V1, {b"k": b"\x07" * 33}, "c0397d2d339a26673f04c82ba00b621c17819d96692e067440bcff99f42c8690"),
    ],
)
def test_worked_roots(layout: Layout, entries: dict[bytes, bytes], root: str) -> None:
    assert trie_root(entries, layout).hex() == root


@pytest.mark.parametrize(
    "layout, root",
    [
        (LAYOUT_V0, "f25866cc78567b53f4057c465d81d6f59b98106a2ca57477140768cb22583900"),
        (LAYOUT_V1, "a5a48919a2d9fea8a200c29e02b09855d9c90adfa67f47479580f2c2930a923b"),
    ],
)
def test_worked_ordered_root(layout: Layout, root: str) -> None:
    assert ordered_root([bytes.fromhex("10040200"), b"\x20" * 40], layout).hex() == root


def test_a_worked_node() -> None:
    data = bytes.fromhex("c6666f6f40000c62617220450261720c62617a")
    child = bytes.fromhex("450261720c62617a")
    assert decode_node(data) == ("666f6f", b"bar", None, 1 << 6, [child], 10, 19)
    assert decode_node(child) == ("26172", b"baz", None, 0, (), 8, 8)
    assert outline(data) == (BRANCH | INLINE, 6, 1, 1 << 6, 6, 10)
    store: dict[bytes, bytes] = {}
    root = trie_root({b"foo": b"bar", b"foobar": b"baz"}, LAYOUT_V0, store)
    assert store == {root: data}


@pytest.mark.parametrize(
    "kind, nibbles, encoded",
    [
        (INLINE, 62, "7e"),
        (INLINE, 63, "7f00"),
        (INLINE, 64, "7f01"),
        (INLINE, 317, "7ffe"),
        (INLINE, 318, "7fff00"),
        (HASHED, 30, "3e"),
        (HASHED, 31, "3f00"),
        (HASHED, 62, "3f1f"),
        (BRANCH | HASHED, 14, "1e"),
        (BRANCH | HASHED, 15, "1f00"),
        (BRANCH | HASHED, 62, "1f2f"),
        (BRANCH, 0, "80"),
        (BRANCH | INLINE, 63 + 255 + 254, "fffffe"),
    ],
)
def test_worked_headers(kind: int, nibbles: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert encode_header(kind, nibbles) == data
    assert decode_header(data) == (kind, nibbles, len(data))


@pytest.mark.parametrize("nibbles", [15, 16, 31, 62, 63, 64, 317, 318, 319, 573, 70_000])
@pytest.mark.parametrize("kind", [INLINE, HASHED, BRANCH, BRANCH | INLINE, BRANCH | HASHED])
def test_partial_keys_of_any_length(kind: int, nibbles: int) -> None:
    """The length is not saturated at 16 bits: the reference stopped doing so."""
    value = b"v" if kind & INLINE else None
    value_hash = bytes(32) if kind & HASHED else None
    bitmap, children = (1, [b"\x41\x01\x04\x07"]) if kind & BRANCH else (0, [])
    node = encode_node("a" * nibbles, value, value_hash, bitmap, children)
    assert decode_node(node)[:5] == ("a" * nibbles, value, value_hash, bitmap, children or ())


@pytest.mark.parametrize(
    "data, reason",
    [
        ("", "too early"),
        ("01", "starts no node"),
        ("0f", "starts no node"),
        ("41", "too early"),
        ("4110", "padding"),
        ("411004", "padding"),
        ("420a", "too early"),
        ("4101", "too early"),
        ("410108", "value"),
        ("41010100", "shortest"),
        ("21010000", "value"),
        ("800000", "without children"),
        ("8001", "too early"),
        ("800100", "too early"),
        ("80010080", "reference"),
        ("8001000100", "shortest"),
        ("7f", "too early"),
        ("7fff", "header"),
    ],
)
def test_what_is_no_node(data: str, reason: str) -> None:
    with pytest.raises(BadNode, match=reason):
        decode_node(bytes.fromhex(data))


def test_bytes_after_a_node_are_ignored() -> None:
    """As the reference does: a stricter decoder would refuse PoVs that the relay chain accepts."""
    assert decode_node(bytes.fromhex("4101040755"))[:2] == ("1", b"\x07")
    root, store, consumed = decode_compact([bytes.fromhex("4101040755")], LAYOUT_V0)
    assert (root, consumed) == (blake2_256(bytes.fromhex("41010407")), 1)
    assert store == {root: bytes.fromhex("41010407")}
    # Two items that the reference accepts, found by fuzzing it.
    assert decode_compact([bytes.fromhex("400055")], LAYOUT_V0)[0] == blake2_256(bytes.fromhex("4000"))
    assert decode_compact([bytes.fromhex("0100"), b"v"], LAYOUT_V0)[0] == LAYOUT_V0.empty_root


def test_a_partial_key_alone_is_no_node() -> None:
    with pytest.raises(BadNode, match="without a value"):
        encode_node("2", None, None, 0, [])
    assert encode_node("", None, None, 0, []) == EMPTY_NODE


def test_finding_one_child() -> None:
    references = bytes.fromhex("0441" + "80" + "11" * 32 + "00" + "0842ff")
    assert find_child(references, 0, 4, 0) == b"\x41"
    assert find_child(references, 0, 2, 1) == b"\x11" * 32
    assert find_child(references, 0, 4, 2) == b""
    assert find_child(references, 0, 4, 3) == b"\x42\xff"
    assert find_child(references, 0, 4, -1) == b""
    with pytest.raises(BadNode):
        find_child(references[:-1], 0, 4, 0)


@pytest.mark.parametrize(
    "first, second, nibbles",
    [
        ("", "", 0),
        ("", "12", 0),
        ("12", "13", 1),
        ("12", "22", 0),
        ("12", "1234", 2),
        ("0012", "0013", 3),
        ("ff", "ff", 2),
    ],
)
def test_shared_nibbles(first: str, second: str, nibbles: int) -> None:
    assert shared_nibbles(bytes.fromhex(first), bytes.fromhex(second)) == nibbles
    assert shared_nibbles(bytes.fromhex(second), bytes.fromhex(first)) == nibbles


def test_entries_out_of_order_are_refused() -> None:
    assert trie_root([(b"a", b""), (b"b", b"")], LAYOUT_V1) == trie_root({b"b": b"", b"a": b""}, LAYOUT_V1)
    for pairs in ([(b"b", b""), (b"a", b"")], [(b"a", b""), (b"a", b"")]):
        with pytest.raises(ValueError, match="out of order"):
            trie_root(pairs, LAYOUT_V1)


def test_a_layout_has_version_0_or_1() -> None:
    with pytest.raises(ValueError):
        Layout(BLAKE2B_256, 2)
    assert not LAYOUT_V0.hashes_value(bytes(1 << 20))
    assert [LAYOUT_V1.hashes_value(bytes(size)) for size in (0, 32, 33)] == [False, False, True]


def test_worked_compact_items() -> None:
    """A detached value: the node escaped with an empty value, then the value."""
    store: dict[bytes, bytes] = {}
    value = b"\x07" * 33
    root = trie_root({b"k": value}, LAYOUT_V1, store)
    assert encode_compact(store, root, LAYOUT_V1) == [bytes.fromhex("01426b00"), value]
    del store[blake2_256(value)]
    assert encode_compact(store, root, LAYOUT_V1) == [bytes.fromhex("226b") + blake2_256(value)]


def test_child_tries() -> None:
    store: dict[bytes, bytes] = {}
    below = trie_root({b"a": b"1", b"b": b"2"}, LAYOUT_V1, store)
    assert below.hex() == "61960a2d3c73f4186669e52242511a17d0003f7a3a7e3cd8f879d73668f8c4df"
    key = child_storage_key(b"id")
    assert (child_id(key), child_id(b"id")) == (b"id", None)
    assert is_child_storage_key(b":child_storage:other:x")
    assert not is_child_storage_key(b":code")
    root = trie_root({key: below, b"x": b"y", child_storage_key(b"bad"): b"no hash"}, LAYOUT_V1, store)
    assert child_root(store, root, b"id", LAYOUT_V1) == below
    assert child_root(store, root, b"none", LAYOUT_V1) is None
    assert lookup_child(store, root, b"id", b"b", LAYOUT_V1) == b"2"
    assert lookup_child(store, root, b"id", b"c", LAYOUT_V1) is None
    assert lookup_child(store, root, b"none", b"b", LAYOUT_V1) is None
    with pytest.raises(BadNode):
        child_root(store, root, b"bad", LAYOUT_V1)


def test_messages_do_not_repeat_hostile_bytes_at_length() -> None:
    assert brief(b"\x01\x02") == "0x0102"
    assert len(brief(bytes(1 << 20))) < 120
    assert issubclass(BadNode, TrieError)
