"""The shared node store of relay states against a model: dicts by root, however states branch and are released."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from host_functions.errors import StateUnavailable
from pileus.relay_chain.state import StateDatabase
from runtime.primitives.hashing import blake2_256
from runtime.trie.build import trie_root
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.node import decode_node
from runtime.trie.proof import verify_proof

KEYS = st.binary(min_size=1, max_size=3) | st.sampled_from([b"shared/a", b"shared/b", b"shared/ab"])
VALUES = st.binary(max_size=4) | st.binary(min_size=30, max_size=40)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=8)

State = tuple[tuple[bytes, bytes], ...]


class Branching(RuleBasedStateMachine):
    """States are committed on nothing or on any held state, and released in any order."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.database = StateDatabase()
        self.roots: list[bytes] = []

    @rule(target=held, entries=st.dictionaries(KEYS, VALUES, max_size=12))
    def genesis(self, entries: dict[bytes, bytes]) -> tuple[bytes, State]:
        return self._commit(LAYOUT_V1.empty_root, (), entries)

    @rule(target=held, parent=held, changes=CHANGES)
    def commit(self, parent: tuple[bytes, State], changes: dict[bytes, bytes | None]) -> tuple[bytes, State]:
        return self._commit(*parent, changes)

    @rule(target=held, state=held)
    def retain(self, state: tuple[bytes, State]) -> tuple[bytes, State]:
        self.database.retain(state[0])
        self.roots.append(state[0])
        return state

    @rule(target=held, state=consumes(held))
    def release(self, state: tuple[bytes, State]) -> object:
        root, _ = state
        self.database.release(root)
        self.roots.remove(root)
        assert self.database.has_state(root) == (root in self.roots or root == LAYOUT_V1.empty_root)
        return multiple()

    @rule(state=held, key=KEYS)
    def read(self, state: tuple[bytes, State], key: bytes) -> None:
        root, entries = state
        value = dict(entries).get(key)
        assert self.database.get(root, key) == value
        assert verify_proof(root, self.database.prove(root, [key]), [key], LAYOUT_V1) == {key: value}

    def _commit(
        self, parent: bytes, entries: State, changes: dict[bytes, bytes | None] | dict[bytes, bytes]
    ) -> tuple[bytes, State]:
        expected = {key: value for key, value in (dict(entries) | changes).items() if value is not None}
        root = self.database.commit(parent, changes)
        self.roots.append(root)
        assert root == trie_root(expected, LAYOUT_V1)
        return root, tuple(expected.items())

    def teardown(self) -> None:
        """Exactly what the held roots reach is stored; with the last of them, nothing."""
        reached = {hash_ for root in self.roots for hash_, _ in self.database.items_of(root)}
        assert len(self.database) == len(reached)
        for root in self.roots:
            self.database.release(root)
        assert len(self.database) == 0


TestBranching = Branching.TestCase


def test_released_states_are_unavailable_in_every_way() -> None:
    database = StateDatabase()
    root = database.commit(LAYOUT_V1.empty_root, {b"key": b"value"})
    database.release(root)
    for attempt in (
        lambda: database.get(root, b"key"),
        lambda: database.prove(root, [b"key"]),
        lambda: database.state_at(root),
        lambda: database.commit(root, {b"key": b"other"}),
        lambda: database.retain(root),
        lambda: database.release(root),
        lambda: list(database.items_of(root)),
    ):
        with pytest.raises(StateUnavailable) as caught:
            attempt()
        assert caught.value.at == root


@given(st.binary(min_size=33, max_size=60))
def test_a_value_that_looks_like_a_node_is_freed_as_a_value(filler: bytes) -> None:
    """The same bytes can be a trie node of one state and a value in another; each keeps its own count."""
    database = StateDatabase()
    first = database.commit(LAYOUT_V1.empty_root, {b"a": filler, b"b": filler + b"x"})
    node = database[first]
    assert decode_node(node)
    second = database.commit(LAYOUT_V1.empty_root, {b"a value": node})
    database.release(first)
    assert database.get(second, b"a value") == node
    database.release(second)
    assert len(database) == 0


def test_a_fork_costs_what_it_changes() -> None:
    database = StateDatabase()
    root = database.commit(
        LAYOUT_V1.empty_root, {n.to_bytes(2, "big"): bytes(40) + bytes([n % 256]) for n in range(2000)}
    )
    before = len(database)
    forks = [database.commit(root, {b"\x00\x01": bytes([n]) * 50}) for n in range(10)]
    assert len(database) - before <= 10 * 6
    for fork in forks:
        database.release(fork)
    assert len(database) == before


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(2, 4))
def test_the_memory_of_a_fork_is_proportional_to_what_it_changes(changed: int, forks: int) -> None:
    """Of 4096 entries, whose paths are four nodes long: at most those and the value, for each entry that changes."""
    database = StateDatabase()
    entries = {blake2_256(n.to_bytes(2, "big")): n.to_bytes(40, "big") for n in range(4096)}
    root = database.commit(LAYOUT_V1.empty_root, entries)
    before = len(database)
    keys = sorted(entries)
    for fork in range(forks):
        changes = {key: bytes([fork + 1]) * 8 + key for key in keys[:: len(keys) // changed][:changed]}
        database.commit(root, changes)
        assert len(database) - before <= (fork + 1) * 6 * changed
