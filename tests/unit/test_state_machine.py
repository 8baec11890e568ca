"""The state machine piece by piece: what a missing node means, host transactions, the end of an execution."""

from __future__ import annotations

import pytest

from host_functions.abi import MultiRemovalResults
from host_functions.declare import functions_of
from host_functions.errors import StateUnavailable, WitnessMissing
from host_functions.interfaces import child_storage, storage, storage_proof_size
from host_functions.state_machine import (
    STORAGE_TABLE,
    Externalities,
    FullBackend,
    NoOpenTransaction,
    OpenHostTransaction,
    Overlay,
    Storage,
    WitnessBackend,
    build_state,
)
from host_functions.state_machine.externalities import NO_RECORDER
from host_functions.state_machine.overlay import UNCHANGED, ChangeSet
from runtime.primitives.scale import compact_u32
from runtime.trie.build import trie_root
from runtime.trie.errors import BadNode
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1
from runtime.trie.recorder import Recorder

STATE = Storage(
    {bytes([n]): bytes([n]) * 60 for n in range(30)},
    {b"one": {b"a": b"1", b"b": b"2" * 40}, b"two": {b"a": b"x"}},
)
ROOT, NODES = build_state(STATE)


def recording() -> Externalities:
    return Externalities.recording(NODES, ROOT)


def over(initial: Storage) -> Externalities:
    root, nodes = build_state(initial)
    return Externalities.recording(nodes, root)


# Backends.


def test_a_database_without_the_state_makes_it_unavailable() -> None:
    backend = FullBackend({}, ROOT)
    for read in (backend.get, backend.contains, backend.next_key):
        with pytest.raises(StateUnavailable) as caught:
            read(b"\x05")
        assert (caught.value.at, caught.value.node) == (ROOT, ROOT)
    with pytest.raises(StateUnavailable):
        list(backend.top.keys(b""))
    with pytest.raises(StateUnavailable):
        backend.child_get(b"one", b"a")
    with pytest.raises(StateUnavailable):
        backend.delta_root({b"\x05": None}, {}, 1)


def test_a_proof_without_the_node_does_not_cover_the_key() -> None:
    recorder = Recorder(NODES)
    assert FullBackend(recorder, ROOT).get(b"\x05") == b"\x05" * 60
    backend = WitnessBackend(dict(recorder), ROOT)
    assert backend.get(b"\x05") == b"\x05" * 60
    for read in (backend.get, backend.next_key):
        with pytest.raises(WitnessMissing) as caught:
            read(b"\x10")
        assert caught.value.key == b"\x10"
        assert caught.value.node in NODES
    with pytest.raises(WitnessMissing):
        backend.delta_root({b"\x05": b"new", b"\x10": b"new"}, {}, 1)


def test_an_iteration_over_a_clipped_proof_is_an_error_and_not_an_end() -> None:
    recorder = Recorder(NODES)
    first = Externalities(FullBackend(recorder, ROOT), recorder)
    assert first.clear_prefix(b"\x00", None) == (True, 1)
    clipped = Externalities(WitnessBackend(dict(recorder), ROOT))
    assert clipped.clear_prefix(b"\x00", None) == (True, 1)
    with pytest.raises(WitnessMissing):
        clipped.clear_prefix(b"\x10", None)


def test_damage_is_a_condition_of_a_database_and_a_fault_of_a_proof() -> None:
    damaged = {**NODES, ROOT: b"\x41"}
    with pytest.raises(StateUnavailable) as caught:
        FullBackend(damaged, ROOT).get(b"\x05")
    assert isinstance(caught.value.__cause__, BadNode)
    with pytest.raises(BadNode):
        WitnessBackend(damaged, ROOT).get(b"\x05")


def test_a_child_trie_that_does_not_exist_is_empty() -> None:
    backend = FullBackend(NODES, ROOT)
    assert backend.child_root(b"none") == LAYOUT_V1.empty_root
    assert backend.child_get(b"none", b"a") is None
    assert not backend.child_contains(b"none", b"a")
    assert backend.child_next_key(b"none", b"") is None


def test_a_child_root_that_is_no_hash_is_refused() -> None:
    root, nodes = build_state(Storage({b":child_storage:default:bad": b"short"}))
    with pytest.raises(BadNode, match="has 5 bytes"):
        FullBackend(nodes, root).child_get(b"bad", b"")


def test_existence_does_not_load_a_value_stored_apart() -> None:
    state = recording()
    assert state.exists(b"\x05")
    before = state.storage_proof_size()
    assert state.get(b"\x05") == b"\x05" * 60
    assert state.storage_proof_size() == before + 61
    assert state.exists(b"\x05")
    assert state.storage_proof_size() == before + 61


def test_an_emptied_child_trie_leaves_no_root() -> None:
    state = recording()
    state.child_storage_kill(b"two", None)
    assert state.child_root(b"two", 1) == LAYOUT_V1.empty_root
    assert state.get(b":child_storage:default:two") is None
    assert state.root(1) == build_state(Storage(STATE.top, {b"one": STATE.children[b"one"]}))[0]


def test_state_versions() -> None:
    root, nodes = build_state(STATE, LAYOUT_V0)
    state = Externalities.recording(nodes, root, LAYOUT_V0)
    assert state.root_version_1() == state.root(0) == root
    state.set(b"\x05", b"new" * 20)
    mixed = state.drain(1)
    assert mixed.root != build_state(Storage({**STATE.top, b"\x05": b"new" * 20}, STATE.children))[0]
    after = FullBackend({**nodes, **mixed.nodes}, mixed.root)
    assert after.get(b"\x05") == b"new" * 20
    assert after.get(b"\x06") == b"\x06" * 60
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        state.root(2)


# The overlay.


def test_the_overlay_knows_three_answers() -> None:
    changes = ChangeSet()
    assert changes.get(b"key") is UNCHANGED
    changes.set(b"key", None)
    assert changes.get(b"key") is None
    changes.set(b"key", b"")
    assert changes.get(b"key") == b""


def test_transactions_that_are_not_open_cannot_be_closed() -> None:
    overlay = Overlay()
    for close in (overlay.commit_transaction, overlay.commit_host_transaction):
        with pytest.raises(NoOpenTransaction, match="committed"):
            close()
    for close in (overlay.rollback_transaction, overlay.rollback_host_transaction):
        with pytest.raises(NoOpenTransaction, match="rolled back"):
            close()
    overlay.begin_host_transaction()
    with pytest.raises(NoOpenTransaction):
        overlay.rollback_transaction()
    with pytest.raises(NoOpenTransaction):
        overlay.commit_transaction()
    overlay.start_transaction()
    overlay.commit_transaction()
    assert overlay.transaction_depth == 1


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, b"\x04item"),
        (b"", b"\x04item"),
        (b"\x00", b"\x04item"),
        (b"\x04one", b"\x08oneitem"),
        (b"\xfc" + b"o" * 63, b"\x01\x01" + b"o" * 63 + b"item"),
        (b"\x01\x00", b"\x04item"),  # not the shortest form of 0
        (b"\x02", b"\x04item"),  # the length's four bytes are not there
        (compact_u32.encode(2**32 - 1), b"\x04item"),  # no room for one more
        (b"\x13\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x04item"),  # a length beyond u32
    ],
)
def test_append(value: bytes | None, expected: bytes) -> None:
    state = over(Storage({} if value is None else {b"key": value}))
    state.append(b"key", b"item")
    assert state.get(b"key") == expected
    state.set(b"key", b"" if value is None else value)
    state.append(b"key", b"item")
    assert state.get(b"key") == expected


def test_append_asks_the_backend_only_once() -> None:
    state = over(Storage({b"key": b"\x04a"}))
    state.append(b"key", b"b")
    size = state.storage_proof_size()
    state.append(b"key", b"c")
    assert state.get(b"key") == b"\x0cabc"
    assert state.storage_proof_size() == size > 0


def test_append_to_a_deleted_key_starts_anew() -> None:
    state = over(Storage({b"key": b"\x04a"}))
    state.clear(b"key")
    state.append(b"key", b"b")
    assert state.get(b"key") == b"\x04b"
    assert state.storage_proof_size() == 0


def test_an_append_that_could_not_load_changes_nothing() -> None:
    state = Externalities(FullBackend({ROOT: NODES[ROOT]}, ROOT))
    state.begin_host_transaction()
    with pytest.raises(StateUnavailable):
        state.append(b"\x05", b"item")
    state.rollback_host_transaction()
    assert state.drain(1).changes == ({}, {})


# Externalities.


def test_limits_count_the_keys_of_the_backend() -> None:
    state = recording()
    state.set(b"\x00overlay", b"")
    assert state.clear_prefix(b"\x00", 0) == MultiRemovalResults(all_removed=False, loops=0)
    assert not state.exists(b"\x00overlay")
    assert state.exists(b"\x00")
    assert state.clear_prefix(b"\x00", 1) == MultiRemovalResults(all_removed=True, loops=1)
    assert not state.exists(b"\x00")
    # The backend still has the key, so the same call loops over it again.
    assert state.clear_prefix(b"\x00", 1) == MultiRemovalResults(all_removed=True, loops=1)


def test_limits_in_a_child_trie() -> None:
    state = recording()
    state.child_set(b"one", b"c", b"overlay")
    assert state.child_storage_kill(b"one", 1) == (False, 1)
    assert [state.child_exists(b"one", key) for key in (b"a", b"b", b"c")] == [False, True, False]
    assert not state.child_storage_kill_version_2(b"one", 1)
    assert state.child_storage_kill_version_2(b"one", 2)
    assert state.child_next_key(b"one", b"") is None


@pytest.mark.parametrize("prefix", [b"", b":", b":child_storage:", b":child_storage:default:one"])
def test_keys_of_child_tries_are_out_of_reach(prefix: bytes) -> None:
    state = recording()
    key = b":child_storage:default:one"
    before = state.get(key)
    state.set(key, b"forged")
    state.clear(key)
    assert state.clear_prefix(prefix, None) == (True, 0)
    assert state.get(key) == before
    assert state.root(1) == ROOT


def test_read_copies_what_fits_and_counts_what_is_there() -> None:
    state = recording()
    state.set(b"key", b"abcdef")
    buffer = bytearray(b"....")
    assert state.read(b"key", buffer, 1) == 5
    assert buffer == b"bcde"
    assert state.read(b"key", buffer, 5) == 1
    assert buffer == b"fcde"
    assert state.read(b"key", buffer, 9) == 0
    assert state.read(b"none", buffer, 0) is None
    assert buffer == b"fcde"
    assert state.child_read(b"one", b"a", buffer, 0) == 1
    assert buffer == b"1cde"


def test_changes_root_is_retired() -> None:
    assert recording().changes_root(bytes(32)) is None


def test_without_a_recorder_nothing_is_counted() -> None:
    state = Externalities(FullBackend(NODES, ROOT))
    state.get(b"\x05")
    assert state.storage_proof_size() == NO_RECORDER


# Host transactions.


def test_a_host_rollback_takes_back_changes_and_records() -> None:
    state = recording()
    state.get(b"\x01")
    size = state.storage_proof_size()
    state.begin_host_transaction()
    state.get(b"\x15")
    state.set(b"key", b"value")
    state.child_set(b"new", b"key", b"value")
    state.start_transaction()
    state.set(b"key", b"left open by the runtime")
    state.rollback_host_transaction()
    assert state.storage_proof_size() == size
    assert state.get(b"key") is None
    assert state.root(1) == ROOT
    before = state.storage_proof_size()
    state.get(b"\x15")
    assert state.storage_proof_size() > before, "a read after a rollback must be recorded again"


def test_a_host_commit_keeps_both_but_not_what_the_runtime_left_open() -> None:
    state = recording()
    state.begin_host_transaction()
    state.get(b"\x15")
    state.set(b"key", b"value")
    state.start_transaction()
    state.set(b"key", b"left open by the runtime")
    size = state.storage_proof_size()
    state.commit_host_transaction()
    assert state.get(b"key") == b"value"
    assert state.storage_proof_size() == size
    with pytest.raises(NoOpenTransaction):
        state.rollback_transaction()


def test_a_runtime_rollback_does_not_unread() -> None:
    state = recording()
    state.start_transaction()
    state.get(b"\x15")
    size = state.storage_proof_size()
    state.rollback_transaction()
    assert state.storage_proof_size() == size > 0


def test_the_root_follows_rollbacks() -> None:
    state = recording()
    state.start_transaction()
    state.set(b"key", b"value")
    changed = state.root(1)
    assert changed == build_state(Storage({**STATE.top, b"key": b"value"}, STATE.children))[0]
    state.rollback_transaction()
    assert state.root(1) == ROOT != changed


def test_the_root_follows_what_the_runtime_left_open() -> None:
    for leave in ("commit_host_transaction", "exit_runtime"):
        state = recording()
        state.begin_host_transaction()
        state.start_transaction()
        state.set(b"key", b"value")
        assert state.root(1) != ROOT
        getattr(state, leave)()
        assert state.root(1) == ROOT


def test_the_end_of_an_execution() -> None:
    state = recording()
    state.set(b"b", b"2" * 40)
    state.set(b"a", b"1")
    state.append(b"events", b"e")
    state.child_set(b"new", b"key", b"value")
    state.start_transaction()
    state.set(b"a", b"left open by the runtime")
    root, nodes, changes = state.drain(1)
    assert list(changes.top.items()) == [(b"a", b"1"), (b"b", b"2" * 40), (b"events", b"\x04e")]
    assert changes.children == {b"new": {b"key": b"value"}}
    after = FullBackend({**NODES, **nodes}, root)
    assert after.get(b"b") == b"2" * 40
    assert after.child_get(b"new", b"key") == b"value"
    assert all(LAYOUT_V1.digest(node) == digest for digest, node in nodes.items())
    assert state.drain(1) == (ROOT, {}, ({}, {}))


def test_an_execution_does_not_end_inside_a_host_transaction() -> None:
    state = recording()
    state.begin_host_transaction()
    state.set(b"key", b"value")
    with pytest.raises(OpenHostTransaction):
        state.drain(1)
    state.commit_host_transaction()
    assert state.drain(1).changes.top == {b"key": b"value"}


def test_leftover_runtime_transactions_can_be_counted() -> None:
    state = recording()
    state.start_transaction()
    state.start_transaction()
    assert state.exit_runtime() == 2
    assert state.exit_runtime() == 0


# The table and genesis.


def test_the_table_answers_the_storage_interfaces() -> None:
    functions = [f for i in (storage, child_storage, storage_proof_size) for f in functions_of(i)]
    assert list(STORAGE_TABLE) == functions
    assert STORAGE_TABLE[child_storage.get] == "child_get"


def test_genesis() -> None:
    assert build_state(Storage())[0] == LAYOUT_V1.empty_root
    children = {
        b":child_storage:default:" + name: trie_root(dict(child), LAYOUT_V1)
        for name, child in STATE.children.items()
    }
    assert trie_root({**STATE.top, **children}, LAYOUT_V1) == ROOT
    assert build_state(Storage({}, {b"empty": {}}))[0] == LAYOUT_V1.empty_root
