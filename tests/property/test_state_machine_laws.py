"""Laws of the state machine: what is recorded, what it costs, and what a witness can do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.errors import StateUnavailable, WitnessMissing
from host_functions.state_machine import Externalities, FullBackend, Storage, WitnessBackend, build_state
from host_functions.state_machine.backend import TrieBackend
from runtime.trie.build import trie_root
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1, Layout
from runtime.trie.recorder import Recorder

KEYS = st.binary(max_size=3) | st.sampled_from([b"k" * 33, b"k" * 33 + b"\x00", b"l" * 33])
ENTRIES = st.dictionaries(KEYS, st.binary(max_size=40), max_size=12)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=8)
ACCESSES = st.lists(st.tuples(st.booleans(), KEYS), max_size=6)
"""Keys, each with whether it is appended to or only read."""
LAYOUTS = st.sampled_from([LAYOUT_V0, LAYOUT_V1])


def applied(entries: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {key: value for key, value in {**entries, **changes}.items() if value is not None}


@given(ENTRIES, ENTRIES, CHANGES, CHANGES, LAYOUTS)
def test_a_delta_gives_the_root_of_the_resulting_map(
    entries: dict[bytes, bytes],
    child: dict[bytes, bytes],
    changes: dict[bytes, bytes | None],
    child_changes: dict[bytes, bytes | None],
    layout: Layout,
) -> None:
    root, nodes = build_state(Storage(entries, {b"child": child}), layout)
    backend = FullBackend(nodes, root, layout)
    found, new = backend.delta_root(changes, {b"child": child_changes}, layout.state_version)
    after = Storage(applied(entries, changes), {b"child": applied(child, child_changes)})
    assert found == build_state(after, layout)[0]
    read = FullBackend({**nodes, **new}, found, layout)
    for key in {**entries, **changes}:
        assert read.get(key) == after.top.get(key)
    for key in {**child, **child_changes}:
        assert read.child_get(b"child", key) == after.children[b"child"].get(key)
    assert list(read.child(b"child").keys(b"")) == sorted(after.children[b"child"])


@given(ENTRIES, CHANGES, st.permutations(range(8)))
def test_the_root_does_not_depend_on_the_order_of_writes(
    entries: dict[bytes, bytes], changes: dict[bytes, bytes | None], order: list[int]
) -> None:
    root, nodes = build_state(Storage(entries))
    found = []
    for keys in (list(changes), [list(changes)[n] for n in order if n < len(changes)]):
        state = Externalities.recording(nodes, root)
        for key in keys:
            value = changes[key]
            state.clear(key) if value is None else state.set(key, value)
        found.append((state.root(1), state.storage_proof_size(), state.drain(1)))
    assert found[0] == found[1]
    assert found[0][0] == trie_root(applied(entries, changes), LAYOUT_V1)


@given(ENTRIES, CHANGES, CHANGES, st.randoms(use_true_random=False))
def test_nothing_depends_on_the_order_in_which_changes_are_given(
    entries: dict[bytes, bytes],
    changes: dict[bytes, bytes | None],
    child: dict[bytes, bytes | None],
    random: Random,
) -> None:
    """Not even which nodes are touched, which depends on the order in which changes are applied."""
    root, nodes = build_state(Storage(entries, {b"one": entries, b"two": entries}))
    outcomes = []
    for shuffled in (False, True):
        order = list(changes.items())
        children = [(b"one", child), (b"two", changes), (b"none", child)]
        if shuffled:
            random.shuffle(order)
            random.shuffle(children)
        recorder = Recorder(nodes)
        found, new = FullBackend(recorder, root).delta_root(dict(order), dict(children), 1)
        outcomes.append((found, list(new.items()), recorder.nodes()))
    assert outcomes[0] == outcomes[1]


def test_changes_are_applied_in_key_order() -> None:
    """A deletion that leaves a branch with one child reads that child, unless an insertion came before it."""
    root, nodes = build_state(Storage({b"\x10": b"a" * 32, b"\x20": b"b" * 32}))
    touched = []
    for inserted in (b"\x00", b"\x30"):
        for changes in ({b"\x10": None, inserted: b"new"}, {inserted: b"new", b"\x10": None}):
            recorder = Recorder(nodes)
            FullBackend(recorder, root).delta_root(changes, {}, 1)
            touched.append(len(recorder))
    assert touched == [2, 2, 3, 3]


@given(ENTRIES, st.lists(KEYS, max_size=6), CHANGES, st.data())
def test_every_recorded_node_is_needed(
    entries: dict[bytes, bytes], keys: list[bytes], changes: dict[bytes, bytes | None], data: st.DataObject
) -> None:
    """An execution over its recorded nodes gives the same; over one node less it says so, whichever it is."""
    root, nodes = build_state(Storage(entries))

    def execute(make: Callable[[Recorder], TrieBackend], store: dict[bytes, bytes]) -> tuple[object, ...]:
        recorder = Recorder(store)
        state = Externalities(make(recorder), recorder)
        values = [state.get(key) for key in keys]
        for key, value in changes.items():
            state.clear(key) if value is None else state.set(key, value)
        return values, state.root(1), state.storage_proof_size(), dict(recorder)

    *outcome, recorded = execute(lambda recorder: FullBackend(recorder, root), nodes)
    assert isinstance(recorded, dict)
    assert [*execute(lambda recorder: WitnessBackend(recorder, root), recorded)][:-1] == outcome
    needed = sorted(recorded.keys() - {LAYOUT_V1.empty_root})
    if needed:
        lost = data.draw(st.sampled_from(needed))
        clipped = {digest: node for digest, node in recorded.items() if digest != lost}
        with pytest.raises(WitnessMissing) as missing:
            execute(lambda recorder: WitnessBackend(recorder, root), clipped)
        assert missing.value.node == lost
        with pytest.raises(StateUnavailable) as unavailable:
            execute(lambda recorder: FullBackend(recorder, root), clipped)
        assert (unavailable.value.at, unavailable.value.node) == (root, lost)


@given(ENTRIES, ACCESSES, ACCESSES)
def test_what_is_rolled_back_was_never_read(
    entries: dict[bytes, bytes], kept: list[tuple[bool, bytes]], refused: list[tuple[bool, bytes]]
) -> None:
    root, nodes = build_state(Storage(entries))

    def touch(state: Externalities, accesses: list[tuple[bool, bytes]]) -> None:
        for write, key in accesses:
            state.append(key, b"\x01") if write else state.get(key)

    states = []
    for with_refused in (False, True):
        state = Externalities.recording(nodes, root)
        for accesses in (kept[:3], kept[3:]):
            touch(state, accesses)
            if with_refused:
                state.begin_host_transaction()
                touch(state, refused)
                state.root(1)
                state.rollback_host_transaction()
        assert isinstance(state.recorder, Recorder)
        states.append((state.root(1), state.storage_proof_size(), state.recorder.nodes(), state.drain(1)))
    assert states[0] == states[1]


@given(ENTRIES, KEYS, CHANGES)
def test_next_key_visits_every_key_once_in_order(
    entries: dict[bytes, bytes], start: bytes, changes: dict[bytes, bytes | None]
) -> None:
    root, nodes = build_state(Storage(entries))
    state = Externalities.recording(nodes, root)
    for key, value in changes.items():
        state.clear(key) if value is None else state.set(key, value)
    visited = []
    key = state.next_key(start)
    while key is not None:
        visited.append(key)
        key = state.next_key(key)
    assert visited == sorted(key for key in applied(entries, changes) if key > start)
