"""The trie against a dictionary: any sequence of changes, both layouts and hashers, and layouts changed midway.

What the root should be is computed by a second implementation, the short recursive one below, which shares no code
with the product.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.primitives.scale import encode_compact
from runtime.trie import (
    BLAKE2B_256,
    KECCAK_256,
    LAYOUT_V0,
    LAYOUT_V1,
    Layout,
    Recorder,
    Trie,
    contains,
    iterate,
    iterate_keys,
    lookup,
    next_key,
    ordered_root,
    trie_root,
)

LAYOUTS = [Layout(hasher, version) for hasher in (BLAKE2B_256, KECCAK_256) for version in (0, 1)]

# Few different bytes, so that keys share prefixes of odd and even length and one is often a prefix of another.
short_keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
long_keys = st.tuples(st.sampled_from([16, 31, 32, 33, 160]), short_keys).map(
    lambda part: b"\x5a" * part[0] + part[1]
)
keys = short_keys | long_keys
# Around every limit: empty, inline node, inline value, one-byte length, two-byte length.
values = st.tuples(st.sampled_from([0, 1, 5, 28, 31, 32, 33, 63, 64, 70, 16384]), st.integers(0, 255)).map(
    lambda part: bytes((part[1],)) * part[0]
)
entries = st.dictionaries(keys, values, max_size=24)

insert = st.tuples(st.just("insert"), keys, values)
remove = st.tuples(st.just("remove"), keys, st.just(b""))
others = st.tuples(st.sampled_from(["commit", "reopen", "switch", "rewrite"]), keys, st.just(b""))
steps = st.lists(insert | insert | remove | remove | others, max_size=30)

Stored = dict[bytes, tuple[bytes, bool]]
"""Key to its value and whether the value is stored apart from its node."""


def header(prefix: int, bits: int, length: int) -> bytes:
    most = (1 << bits) - 1
    if length < most:
        return bytes([prefix | length])
    length -= most
    return bytes([prefix | most]) + b"\xff" * (length // 255) + bytes([length % 255])


def reference_node(entries: list[tuple[str, bytes, bool]], digest: Callable[[bytes], bytes]) -> bytes:
    """Encode the subtrie of entries (rest of the path, value, detached), which are in order and not empty."""
    first, last = entries[0][0], entries[-1][0]
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    partial, below = first[:shared], entries
    stored, detached, has_value = b"", False, len(first) == shared
    if has_value:
        _, value, detached = entries[0]
        stored = digest(value) if detached else encode_compact(len(value)) + value
        below = entries[1:]
    if not below:
        prefix, bits = (0x20, 5) if detached else (0x40, 6)
    elif has_value:
        prefix, bits = (0x10, 4) if detached else (0xC0, 6)
    else:
        prefix, bits = 0x80, 6
    node = header(prefix, bits, shared) + bytes.fromhex("0" * (shared % 2) + partial)
    references = b""
    bitmap = 0
    for index, digit in enumerate("0123456789abcdef"):
        child = [(path[shared + 1 :], value, apart) for path, value, apart in below if path[shared] == digit]
        if child:
            bitmap |= 1 << index
            encoded = reference_node(child, digest)
            encoded = digest(encoded) if len(encoded) >= 32 else encoded
            references += encode_compact(len(encoded)) + encoded
    return node + (bitmap.to_bytes(2, "little") if below else b"") + stored + references


def reference_root(stored: Stored, layout: Layout) -> bytes:
    pairs = sorted((key.hex(), value, detached) for key, (value, detached) in stored.items())
    return layout.digest(reference_node(pairs, layout.digest) if pairs else b"\x00")


def written(model: dict[bytes, bytes], layout: Layout) -> Stored:
    return {key: (value, layout.state_version == 1 and len(value) >= 33) for key, value in model.items()}


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(model=entries)
@example(model={})
@example(model={b"": b""})
@example(model={b"": b"", b"\x00": b"\x01" * 33})
def test_root_of_entries(layout: Layout, model: dict[bytes, bytes]) -> None:
    store: dict[bytes, bytes] = {}
    root = trie_root(model, layout, store)
    assert root == reference_root(written(model, layout), layout)
    assert root == trie_root(sorted(model.items()), layout)
    assert all(layout.digest(item) == hash_ for hash_, item in store.items())
    # The store is exactly the trie: reading everything touches every item.
    recorder = Recorder(store, layout.hasher)
    assert dict(iterate(recorder, root, layout)) == model
    assert recorder == store


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@given(model=entries, steps=steps)
def test_any_sequence_of_changes(
    layout: Layout, model: dict[bytes, bytes], steps: list[tuple[str, bytes, bytes]]
) -> None:
    """Inserts, removals, commits, reopening, and a chain that switches its layout while it runs."""
    model = dict(model)
    stored = written(model, layout)
    store: dict[bytes, bytes] = {}
    root = trie_root(model, layout, store)
    trie = Trie(store, root, layout)
    new: dict[bytes, bytes] = {}
    for step, key, value in steps:
        assert trie.get(key) == model.get(key)
        assert trie.contains(key) == (key in model)
        if step == "insert":
            trie.insert(key, value)
            model[key] = value
            stored[key] = (value, layout.hashes_value(value))
        elif step == "remove":
            trie.remove(key)
            model.pop(key, None)
            stored.pop(key, None)
        elif step == "rewrite":
            # Writing all values as they are is what a migration to V1 does.
            for present in sorted(model):
                trie.insert(present, model[present])
            stored = written(model, layout)
        else:
            root = trie.commit(new)
            assert root == reference_root(stored, layout)
            if step == "switch":
                layout = Layout(layout.hasher, 1 - layout.state_version)
            if step != "commit":
                store.update(new)
                trie = Trie(store, root, layout)
    assert trie.commit(new) == reference_root(stored, layout)
    assert trie.commit({}) == reference_root(stored, layout)


@given(model=entries, changes=st.dictionaries(keys, st.none() | values, max_size=8))
def test_the_commit_contains_what_the_store_lacks(
    model: dict[bytes, bytes], changes: dict[bytes, bytes | None]
) -> None:
    store: dict[bytes, bytes] = {}
    trie = Trie(store, trie_root(model, LAYOUT_V1, store), LAYOUT_V1)
    model = dict(model)
    for key, value in changes.items():
        if value is None:
            trie.remove(key)
            model.pop(key, None)
        else:
            trie.insert(key, value)
            model[key] = value
    new: dict[bytes, bytes] = {}
    root = trie.commit(new)
    assert dict(iterate({**store, **new}, root, LAYOUT_V1)) == model
    assert all(LAYOUT_V1.digest(item) == hash_ for hash_, item in new.items())


@given(model=entries, start=keys, prefix=keys)
def test_reading_in_order(model: dict[bytes, bytes], start: bytes, prefix: bytes) -> None:
    store: dict[bytes, bytes] = {}
    root = trie_root(model, LAYOUT_V1, store)
    ordered = sorted(model.items())
    assert list(iterate(store, root, LAYOUT_V1)) == ordered
    below = [(key, value) for key, value in ordered if key.startswith(prefix)]
    assert list(iterate(store, root, LAYOUT_V1, prefix)) == below
    rest = [key for key, _ in below if key > start]
    assert list(iterate_keys(store, root, LAYOUT_V1, prefix, after=start)) == rest
    assert next_key(store, root, LAYOUT_V1, start) == min((key for key in model if key > start), default=None)


@given(model=entries, asked=st.lists(keys, max_size=6))
def test_lookups(model: dict[bytes, bytes], asked: list[bytes]) -> None:
    store: dict[bytes, bytes] = {}
    root = trie_root(model, LAYOUT_V0, store)
    for key in [*model, *asked]:
        for strict in (False, True):
            assert lookup(store, root, key, LAYOUT_V0, strict=strict) == model.get(key)
            assert contains(store, root, key, LAYOUT_V0, strict=strict) == (key in model)


@given(model=entries, key=keys)
def test_asking_for_existence_does_not_read_the_value(model: dict[bytes, bytes], key: bytes) -> None:
    model = {**model, key: b"\x07" * 40}
    store: dict[bytes, bytes] = {}
    root = trie_root(model, LAYOUT_V1, store)
    asked, read = Recorder(store), Recorder(store)
    assert contains(asked, root, key, LAYOUT_V1)
    assert Trie(asked, root, LAYOUT_V1).contains(key)
    assert next(iterate_keys(asked, root, LAYOUT_V1, key)) == key
    assert lookup(read, root, key, LAYOUT_V1) == model[key]
    assert LAYOUT_V1.digest(model[key]) in read
    assert LAYOUT_V1.digest(model[key]) not in asked


@given(items=st.lists(values, max_size=80), layout=st.sampled_from(LAYOUTS))
def test_ordered_root(items: list[bytes], layout: Layout) -> None:
    model = {encode_compact(index): item for index, item in enumerate(items)}
    assert ordered_root(items, layout) == reference_root(written(model, layout), layout)
