"""Pages of a prefix: complete, in order, and nothing can be hidden, added or changed by whoever makes the proof.

The expectation comes from a plain dictionary, and completeness is judged a second time by py-trie's `HexaryTrieFog`,
which keeps the book of unexplored paths for itself.
"""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from trie.fog import HexaryTrieFog

from runtime.trie import (
    LAYOUT_V0,
    LAYOUT_V1,
    BadNode,
    Layout,
    MissingNode,
    Subtree,
    TrieError,
    create_subtree_proof,
    trie_root,
    verify_subtree,
)
from runtime.trie.errors import DuplicateNode, UnusedNode
from runtime.trie.node import decode_node, digits_of, encode_node
from runtime.trie.subtree import SubtreeTooLarge

short_keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
keys = short_keys | short_keys.map(lambda key: b"\x5a" * 33 + key)
values = st.tuples(st.sampled_from([0, 1, 20, 31, 32, 33, 64, 90]), st.integers(0, 255)).map(
    lambda part: bytes((part[1],)) * part[0]
)
entries = st.dictionaries(keys, values, max_size=24)
layouts = st.sampled_from([LAYOUT_V0, LAYOUT_V1])
pages = st.integers(1, 30)
MUCH = 1 << 30


def expected(model: dict[bytes, bytes], prefix: bytes, after: bytes | None, page: int) -> Subtree:
    wanted = sorted(key for key in model if key.startswith(prefix) and (after is None or key > after))
    following = wanted[page] if len(wanted) > page else None
    return Subtree(tuple((key, model[key]) for key in wanted[:page]), following)


Range = tuple[dict[bytes, bytes], bytes, bytes | None, int, Layout]


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    model, layout = draw(entries), draw(layouts)
    prefix = draw(keys.flatmap(lambda key: st.integers(0, len(key)).map(lambda end: key[:end])))
    below = sorted(key for key in model if key.startswith(prefix))
    after = draw(st.none() | short_keys.map(lambda key: prefix + key) | st.sampled_from(below or [prefix]))
    return model, prefix, after, draw(pages), layout


def proven(case: Range) -> tuple[bytes, tuple[bytes, ...]]:
    model, prefix, after, page, layout = case
    store: dict[bytes, bytes] = {}
    root = trie_root(model, layout, store)
    return root, create_subtree_proof(store, root, prefix, layout, after=after, max_entries=page)


def verify(root: bytes, nodes: tuple[bytes, ...], case: Range, max_bytes: int = MUCH) -> Subtree:
    _, prefix, after, page, layout = case
    return verify_subtree(root, nodes, prefix, layout, after=after, max_entries=page, max_bytes=max_bytes)


@example(({}, b"", None, 1, LAYOUT_V1))
@example(({b"\x00": b""}, b"\x00", b"\x00", 1, LAYOUT_V1))
@given(ranges())
def test_a_page_is_what_a_dictionary_says(case: Range) -> None:
    root, nodes = proven(case)
    assert verify(root, nodes, case) == expected(*case[:4])


@given(entries, layouts, st.integers(1, 5))
def test_pages_add_up_to_the_prefix(model: dict[bytes, bytes], layout: Layout, page: int) -> None:
    after, found = None, []
    while True:
        case = (model, b"", after, page, layout)
        subtree = verify(*proven(case), case)
        found += subtree.entries
        if subtree.next_key is None:
            break
        after = found[-1][0]
        assert subtree.next_key > after
    assert dict(found) == model
    assert [key for key, _ in found] == sorted(model)


@given(ranges(), st.data())
def test_without_any_one_node_nothing_is_shown(case: Range, data: st.DataObject) -> None:
    """A node that is left out is never taken for "there is no such key"."""
    root, nodes = proven(case)
    assume(case[0])  # the empty trie has no node to leave out
    position = data.draw(st.integers(0, len(nodes) - 1))
    with pytest.raises(MissingNode):
        verify(root, nodes[:position] + nodes[position + 1 :], case)


@given(ranges(), st.data())
def test_a_flipped_byte_never_changes_what_is_shown(case: Range, data: st.DataObject) -> None:
    root, nodes = proven(case)
    assume(case[0])
    position = data.draw(st.integers(0, len(nodes) - 1))
    node = bytearray(nodes[position])
    node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TrieError):
        verify(root, (*nodes[:position], bytes(node), *nodes[position + 1 :]), case)


@given(ranges(), st.binary(max_size=40))
def test_a_node_too_many_is_refused(case: Range, junk: bytes) -> None:
    root, nodes = proven(case)
    if junk in nodes:
        with pytest.raises(DuplicateNode):
            verify(root, (*nodes, junk), case)
    elif case[0] or junk != b"\x00":
        with pytest.raises(UnusedNode):
            verify(root, (*nodes, junk), case)


@given(ranges())
def test_the_fog_of_an_independent_book_keeper_is_lifted_below_the_prefix(case: Range) -> None:
    """`HexaryTrieFog` explores only what the proof's nodes show; what stays foggy is outside the page."""
    _, prefix, after, _, layout = case
    root, nodes = proven(case)
    store = {layout.digest(node): node for node in nodes}
    page_shown = expected(*case[:4])
    fog = HexaryTrieFog()
    references: dict[tuple[int, ...], bytes] = {(): root}
    pending = [()]
    while pending:
        path = pending.pop()
        reference = references[path]
        node = store.get(reference) if len(reference) == 32 else reference
        if node is None:
            continue
        partial, _, _, bitmap, children, _, _ = decode_node(node)
        segments = []
        for digit, child in zip(digits_of(bitmap), children, strict=True):
            segment = tuple(int(nibble, 16) for nibble in partial + digit)
            segments.append(segment)
            references[path + segment] = child
            pending.append(path + segment)
        fog = fog.explore(path, segments)
    low = nibbles(max(prefix, b"" if after is None else after))
    high = None if page_shown.next_key is None else nibbles(page_shown.next_key)
    for foggy in fog._unexplored_prefixes:
        below = tuple(foggy)[: 2 * len(prefix)] == nibbles(prefix)[: len(foggy)]
        before = tuple(foggy) < low and low[: len(foggy)] != tuple(foggy)
        beyond = high is not None and tuple(foggy) > high
        assert not below or before or beyond


def nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(int(digit, 16) for digit in key.hex())


# What only a dishonest sibling's trie contains: each has the right hashes.


def leaf(partial: str, value: bytes) -> bytes:
    return encode_node(partial, value, None, 0, ())


def refused(root_node: bytes, *nodes: bytes, reason: str, page: int = 10, max_bytes: int = 1 << 20) -> None:
    digest = LAYOUT_V1.digest
    with pytest.raises(BadNode, match=reason):
        verify_subtree(
            digest(root_node), (root_node, *nodes), b"", LAYOUT_V1, max_entries=page, max_bytes=max_bytes
        )


def test_a_bomb_of_branches_that_share_their_children_ends_at_its_first_empty_node() -> None:
    """60 nodes that stand for 16^60 paths, none with a value."""
    digest = LAYOUT_V1.digest
    nodes = [b"\x00"]
    for _ in range(60):
        nodes.append(encode_node("", None, None, 0xFFFF, [digest(nodes[-1])] * 16))
    refused(nodes[-1], *nodes[:-1], reason="neither a value nor two children")
    inline = [encode_node("", None, None, 0xFFFF, [b"\x00"] * 16)]
    refused(inline[0], reason="neither a value nor two children")


def test_a_bomb_of_real_entries_ends_at_the_page_or_at_the_bytes() -> None:
    digest = LAYOUT_V1.digest
    nodes = [leaf("0" * 39, b"v" * 32)]
    for _ in range(59):
        nodes.append(encode_node("", None, None, 0xFFFF, [digest(nodes[-1])] * 16))
    root = digest(nodes[-1])
    page = verify_subtree(root, nodes, b"", LAYOUT_V1, max_entries=100, max_bytes=1 << 20)
    assert len(page.entries) == 100
    assert page.next_key is not None
    with pytest.raises(SubtreeTooLarge):
        verify_subtree(root, nodes, b"", LAYOUT_V1, max_entries=100, max_bytes=1_000)


def test_nodes_that_no_writer_makes_are_refused() -> None:
    digest = LAYOUT_V1.digest
    one = leaf("1", b"x")
    refused(encode_node("", None, None, 0b10, [one]), reason="neither a value nor two children")
    refused(encode_node("", None, None, 0b110, [one, one]) + b"\x00", reason="1 bytes follow the node")
    long = leaf("1", b"y" * 40)
    refused(encode_node("", None, None, 0b110, [long, one]), reason="inline node of 43 bytes")
    odd = leaf("", b"z" * 30)
    refused(encode_node("", None, None, 0b110, [digest(odd), one]), odd, reason="odd number of nibbles")
