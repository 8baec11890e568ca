"""Proofs show what the state holds, and nothing else: tampering is noticed, missing items are never absence."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from runtime.trie import (
    LAYOUT_V0,
    LAYOUT_V1,
    Layout,
    Recorder,
    StorageProof,
    Trie,
    create_proof,
    decode_compact,
    decode_compact_proof,
    encode_compact,
    encode_compact_skip_duplicates,
    encode_compact_with_children,
    lookup,
    trie_root,
    verify_proof,
)
from runtime.trie.child import child_storage_key
from runtime.trie.compact import SeenHashes
from runtime.trie.errors import (
    BadNode,
    CompactProofError,
    DuplicateNode,
    MissingNode,
    ProofError,
    RootMismatch,
    TrieError,
    TrieProofError,
    UnusedNode,
)
from runtime.trie.layout import EMPTY_NODE
from runtime.trie.node import BIT, decode_node, digits_of
from runtime.trie.trie_proof import create_trie_proof, verify_trie_proof

short_keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
keys = short_keys | short_keys.map(lambda key: b"\x5a" * 33 + key)
values = st.tuples(st.sampled_from([0, 1, 20, 31, 32, 33, 64, 90]), st.integers(0, 255)).map(
    lambda part: bytes((part[1],)) * part[0]
)
entries = st.dictionaries(keys, values, min_size=1, max_size=24)
layouts = st.sampled_from([LAYOUT_V0, LAYOUT_V1])
positions = st.integers(0, 1 << 30)

State = tuple[dict[bytes, bytes], dict[bytes, bytes], bytes, Layout]
"""Entries, node store, root, layout."""


@st.composite
def states(draw: st.DrawFn) -> State:
    model, layout = draw(entries), draw(layouts)
    store: dict[bytes, bytes] = {}
    return model, store, trie_root(model, layout, store), layout


@st.composite
def questions(draw: st.DrawFn) -> tuple[State, list[bytes]]:
    """A state and keys to ask for, some present and some not."""
    state = draw(states())
    present = draw(st.lists(st.sampled_from(sorted(state[0])), max_size=5))
    return state, present + draw(st.lists(keys, min_size=1, max_size=4))


@given(questions())
def test_presence_and_absence(question: tuple[State, list[bytes]]) -> None:
    (model, store, root, layout), asked = question
    proof = create_proof(store, root, asked, layout)
    assert verify_proof(root, proof, asked, layout) == {key: model.get(key) for key in asked}
    assert list(proof) == sorted(set(proof))
    assert StorageProof.decode(StorageProof(proof).encode()).nodes() == proof


@given(questions(), positions)
def test_a_dropped_item_is_missed(question: tuple[State, list[bytes]], position: int) -> None:
    (_, store, root, layout), asked = question
    proof = list(create_proof(store, root, asked, layout))
    dropped = proof.pop(position % len(proof))
    with pytest.raises(MissingNode) as caught:
        verify_proof(root, proof, asked, layout)
    assert caught.value.node == layout.digest(dropped)


@given(questions(), positions, st.integers(0, 7))
def test_a_flipped_bit_is_noticed(question: tuple[State, list[bytes]], position: int, bit: int) -> None:
    (_, store, root, layout), asked = question
    proof = list(create_proof(store, root, asked, layout))
    index = position % len(proof)
    assume(proof[index])
    changed = bytearray(proof[index])
    changed[position % len(changed)] ^= 1 << bit
    proof[index] = bytes(changed)
    with pytest.raises((MissingNode, DuplicateNode)):
        verify_proof(root, proof, asked, layout)


@given(questions(), positions, st.binary(max_size=40))
def test_duplicates_and_strangers(
    question: tuple[State, list[bytes]], position: int, stranger: bytes
) -> None:
    (model, store, root, layout), asked = question
    proof = create_proof(store, root, asked, layout)
    want = {key: model.get(key) for key in asked}
    duplicate = proof[position % len(proof)]
    with pytest.raises(DuplicateNode) as caught:
        verify_proof(root, [*proof, duplicate], asked, layout)
    assert caught.value.node == layout.digest(duplicate)
    assert verify_proof(root, [*proof, duplicate], asked, layout, allow_duplicates=True) == want
    assume(stranger not in proof)
    with pytest.raises(UnusedNode) as unused:
        verify_proof(root, [*proof, stranger], asked, layout)
    assert unused.value.node == layout.digest(stranger)
    assert verify_proof(root, [*proof, stranger], asked, layout, allow_unused=True) == want


@given(questions(), keys)
def test_a_proof_answers_other_keys_rightly_or_not_at_all(
    question: tuple[State, list[bytes]], other: bytes
) -> None:
    (model, store, root, layout), asked = question
    proof = StorageProof(create_proof(store, root, asked, layout))
    try:
        assert lookup(proof, root, other, layout, strict=True) == model.get(other)
    except MissingNode:
        assert other not in asked


# ---------------------------------------------------------------- roots chosen by an attacker


def slow_lookup(store: dict[bytes, bytes], root: bytes, key: bytes) -> bytes | None:
    """Lookup as the reference does it: decode every visited node completely, then look at it."""
    path = key.hex()
    reference = root
    while True:
        node = store[reference] if len(reference) == 32 else reference
        partial, value, value_hash, bitmap, children, _, _ = decode_node(node)
        if not path.startswith(partial):
            return None
        path = path[len(partial) :]
        if not path:
            return store[value_hash] if value_hash is not None else value
        if not bitmap & BIT[path[0]]:
            return None
        reference = children[digits_of(bitmap).index(path[0])]
        path = path[1:]


@st.composite
def hostile_nodes(draw: st.DrawFn) -> bytes:
    """Bytes near a trie node: an honest one changed, or its parts with lengths of the attacker's choice."""
    _, store, _, _ = draw(states())
    node = bytearray(draw(st.sampled_from(sorted(store.values()) or [EMPTY_NODE])))
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(node)))
        change = draw(st.sampled_from(["flip", "insert", "cut", "append"]))
        if change == "flip" and where < len(node):
            node[where] ^= draw(st.integers(1, 255))
        elif change == "insert":
            node[where:where] = draw(st.binary(max_size=4))
        elif change == "cut":
            del node[where : where + draw(st.integers(1, 33))]
        else:
            node += draw(st.binary(max_size=34))
    return bytes(node)


def plain_branch(*references: bytes) -> bytes:
    bitmap = (1 << len(references)) - 1
    return b"\x80" + bitmap.to_bytes(2, "little") + b"".join(bytes([len(r) << 2]) + r for r in references)


LEAF = b"\x40\x04\x07"
"""The leaf with nothing left of its key, value 07."""


@given(node=hostile_nodes(), key=keys)
# Lengths that add up to those of two hashes, by an oversized inline child or by trailing bytes.
@example(node=plain_branch(LEAF.ljust(40, b"\x00"), LEAF.ljust(24, b"\x00")), key=b"\x10")
@example(node=plain_branch(LEAF.ljust(24, b"\x00"), bytes(32)) + bytes(8), key=b"\x10")
@example(node=plain_branch(LEAF, LEAF) + b"\x00" * 58, key=b"\x10")
@example(node=b"\x41\x10\x04\x07", key=b"\x00")
@example(node=b"\x80\x00\x00", key=b"")
@example(node=b"\x00\x00", key=b"")
def test_strict_lookup_of_any_bytes_is_the_references(node: bytes, key: bytes) -> None:
    store = {LAYOUT_V1.digest(item): item for item in (node, LEAF)}
    root = LAYOUT_V1.digest(node)
    want: tuple[str, bytes | None]
    try:
        want = "found", slow_lookup(store, root, key)
    except KeyError:
        want = "missing", None
    except BadNode:
        want = "bad", None
    got: tuple[str, bytes | None]
    try:
        got = "found", lookup(store, root, key, LAYOUT_V1, strict=True)
    except MissingNode:
        got = "missing", None
    except BadNode:
        got = "bad", None
    assert got == want


@given(node=hostile_nodes(), key=keys, value=values)
def test_no_bytes_escape_the_typed_errors(node: bytes, key: bytes, value: bytes) -> None:
    """Every operation on a hostile node gives an answer or a TrieError."""
    root = LAYOUT_V1.digest(node)
    store = {root: node}
    trie = Trie(store, root, LAYOUT_V1)
    operations = [
        lambda: lookup(store, root, key, LAYOUT_V1),
        lambda: verify_proof(root, [node], [key], LAYOUT_V1),
        lambda: encode_compact(store, root, LAYOUT_V1),
        lambda: encode_compact_with_children(store, root, LAYOUT_V1),
        lambda: decode_compact_proof([node, value], LAYOUT_V1),
        lambda: create_trie_proof(store, root, [key], LAYOUT_V1),
        lambda: verify_trie_proof(root, [node], [(key, value)], LAYOUT_V1),
        lambda: trie.get(key),
        lambda: trie.insert(key, value),
        lambda: trie.remove(key),
        lambda: trie.commit({}),
    ]
    for operation in operations:
        try:
            operation()
        except TrieError:
            pass


# ---------------------------------------------------------------- compact proofs and trie proofs


@given(questions())
def test_compact_round_trip(question: tuple[State, list[bytes]]) -> None:
    (_, store, root, layout), asked = question
    recorder = Recorder(store)
    for key in asked:
        lookup(recorder, root, key, layout)
    items = encode_compact(recorder, root, layout)
    assert decode_compact(items, layout, root) == (root, recorder, len(items))
    # More items may follow; they are not touched.
    assert decode_compact([b"\xff", *items, b"\x00"], layout, root, start=1)[2] == len(items)
    fewer = encode_compact_skip_duplicates(recorder, root, layout, SeenHashes())
    assert len(fewer) == len(recorder)
    assert decode_compact(fewer, layout, root)[:2] == (root, recorder)


@given(questions(), st.dictionaries(keys, st.none() | values, max_size=6))
def test_a_witness_replays_the_changes(
    question: tuple[State, list[bytes]], changes: dict[bytes, bytes | None]
) -> None:
    """What a recorder saw of reads and changes suffices to repeat both, and the recorder sees the same again."""
    (model, store, root, layout), asked = question

    def run(recorder: Recorder) -> bytes:
        trie = Trie(recorder, root, layout)
        assert [trie.get(key) for key in asked] == [model.get(key) for key in asked]
        for key, value in sorted(changes.items()):
            if value is None:
                trie.remove(key)
            else:
                trie.insert(key, value)
        return trie.commit({})

    authored = Recorder(store)
    after = run(authored)
    witness = decode_compact(encode_compact(authored, root, layout), layout, root)[1]
    replayed = Recorder(witness)
    assert run(replayed) == after
    assert replayed.nodes() == authored.nodes()
    assert replayed.encoded_size == authored.encoded_size


@given(questions(), positions, st.integers(0, 7))
def test_a_tampered_compact_proof(question: tuple[State, list[bytes]], position: int, bit: int) -> None:
    (_, store, root, layout), asked = question
    items = encode_compact(StorageProof(create_proof(store, root, asked, layout)).items, root, layout)
    index = position % len(items)
    with pytest.raises(TrieError):
        decode_compact(items[:index] + items[index + 1 :], layout, root)
    assume(items[index])
    changed = bytearray(items[index])
    changed[position % len(changed)] ^= 1 << bit
    with pytest.raises((RootMismatch, BadNode, CompactProofError)):
        decode_compact([*items[:index], bytes(changed), *items[index + 1 :]], layout, root)


@given(top=entries, children=st.dictionaries(short_keys, entries, max_size=3), layout=layouts, cut=positions)
def test_child_tries_in_compact_form(
    top: dict[bytes, bytes], children: dict[bytes, dict[bytes, bytes]], layout: Layout, cut: int
) -> None:
    store: dict[bytes, bytes] = {}
    top = dict(top)
    roots = {}
    for identifier, model in children.items():
        roots[identifier] = top[child_storage_key(identifier)] = trie_root(model, layout, store)
    root = trie_root(top, layout, store)
    items = encode_compact_with_children(store, root, layout)
    assert decode_compact_proof(items, layout, root) == (root, store)
    with pytest.raises(CompactProofError):
        decode_compact_proof([*items, items[-1]], layout, root)
    # A child trie that was not read is left out; its root stays readable.
    if roots:
        left_out = sorted(roots)[cut % len(roots)]
        partial = {hash_: item for hash_, item in store.items() if hash_ != roots[left_out]}
        _, decoded = decode_compact_proof(encode_compact_with_children(partial, root, layout), layout, root)
        assert lookup(decoded, root, child_storage_key(left_out), layout) == roots[left_out]
        assert roots[left_out] not in decoded


@given(questions())
def test_trie_proof_round_trip(question: tuple[State, list[bytes]]) -> None:
    (model, store, root, layout), asked = question
    statement = [(key, model.get(key)) for key in sorted(set(asked))]
    verify_trie_proof(root, create_trie_proof(store, root, asked, layout), statement, layout)


@given(questions(), positions, values)
def test_a_false_statement_is_not_proven(
    question: tuple[State, list[bytes]], position: int, other: bytes
) -> None:
    (model, store, root, layout), asked = question
    statement = [(key, model.get(key)) for key in sorted(set(asked))]
    index = position % len(statement)
    key, value = statement[index]
    false = other if value != other else None
    statement[index] = (key, false)
    with pytest.raises((ProofError, BadNode)):
        verify_trie_proof(root, create_trie_proof(store, root, asked, layout), statement, layout)


@given(questions(), positions)
def test_a_shortened_or_extended_trie_proof(question: tuple[State, list[bytes]], position: int) -> None:
    (model, store, root, layout), asked = question
    statement = [(key, model.get(key)) for key in sorted(set(asked))]
    proof = create_trie_proof(store, root, asked, layout)
    index = position % len(proof)
    with pytest.raises((ProofError, BadNode)):
        verify_trie_proof(root, proof[:index] + proof[index + 1 :], statement, layout)
    with pytest.raises(TrieProofError):
        verify_trie_proof(root, [*proof, proof[index]], statement, layout)
