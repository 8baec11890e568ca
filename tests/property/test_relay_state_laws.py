"""Laws of `read_relay_state`: the answer depends on nothing but the relay parent and the key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext, ImportContext, ValidationContext
from host_functions.errors import HostError, StateUnavailable, WitnessMissing
from host_functions.interfaces import additional_data, relay_chain_state, storage, storage_proof_size
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayOwnState, RelayReads
from host_functions.state_machine import Externalities, Storage, build_state
from runtime.primitives.additional_data import RELAY_PROOF_KEY, hash_commitments, relay_proof_entry
from runtime.trie.layout import BLAKE2B_256, LAYOUT_V0, LAYOUT_V1, NodeStore

KEYS = st.binary(max_size=2) | st.sampled_from([b"k" * 20, b"k" * 20 + b"\x00"])
STATES = st.dictionaries(KEYS, st.binary(max_size=50), min_size=1, max_size=15)
READS = st.lists(KEYS, min_size=1, max_size=6)
LAYOUTS = st.sampled_from([LAYOUT_V0, LAYOUT_V1])


@dataclass
class RelayNode:
    """A relay node with the states of several blocks, as its newest block moves on."""

    states: dict[bytes, NodeStore] = field(default_factory=dict)

    def state_at(self, root: bytes) -> NodeStore:
        if root not in self.states:
            raise StateUnavailable(root)
        return self.states[root]


def observed(reader: RelayReads, keys: list[bytes]) -> tuple[Any, ...]:
    """Everything an execution can learn from a reader."""
    values = [reader.read(key) for key in keys]
    return values, reader.proof_size(), reader.nodes(), reader.additional_data(), reader.commitment()


@given(STATES, READS, LAYOUTS)
def test_all_answerers_agree(state: dict[bytes, bytes], keys: list[bytes], layout: Any) -> None:
    root, nodes = build_state(Storage(state), layout)
    relay_node = RelayNode({root: nodes})
    author = EmbeddedRelayNode(relay_node, root)
    outcome = observed(author, keys)
    assert outcome[0] == [state.get(key) for key in keys]
    assert observed(RelayOwnState(relay_node, root), keys) == outcome
    carried = CarriedProof(root, author.nodes())
    assert observed(carried, keys) == outcome
    assert carried.unused_nodes() == ()
    assert observed(CarriedProof(root, nodes.values()), keys) == outcome


@given(STATES, STATES, READS, READS)
def test_the_answer_depends_on_the_relay_parent_and_the_key_alone(
    at_parent: dict[bytes, bytes], newest: dict[bytes, bytes], keys: list[bytes], others: list[bytes]
) -> None:
    parent_root, parent_nodes = build_state(Storage(at_parent))
    newest_root, newest_nodes = build_state(Storage(newest))
    relay_node = RelayNode({parent_root: parent_nodes})
    before = RelayOwnState(relay_node, parent_root)
    values = [before.read(key) for key in keys]
    # The relay chain grows, other keys are read, and another block reads at another relay parent.
    relay_node.states[newest_root] = {**newest_nodes, **parent_nodes}
    elsewhere = RelayOwnState(relay_node, newest_root)
    for key in (*others, *keys):
        assert elsewhere.read(key) == newest.get(key)
        before.read(key)
    assert [before.read(key) for key in keys] == values == [at_parent.get(key) for key in keys]
    again = RelayOwnState(relay_node, parent_root)
    assert [again.read(key) for key in reversed(keys)] == values[::-1]


@given(STATES, READS, st.data())
def test_a_carried_proof_is_minimal(
    state: dict[bytes, bytes], keys: list[bytes], data: st.DataObject
) -> None:
    """One node fewer and some read is not covered; one node more and the commitment is another."""
    root, nodes = build_state(Storage(state))
    author = EmbeddedRelayNode(RelayNode({root: nodes}), root)
    for key in keys:
        author.read(key)
    carried = author.nodes()

    dropped = data.draw(st.sampled_from(carried))
    with pytest.raises(WitnessMissing) as caught:
        read_all(root, [node for node in carried if node != dropped], keys)
    assert caught.value.node == BLAKE2B_256.digest(dropped)

    added = data.draw(st.sampled_from(sorted({*nodes.values(), b"\x01"} - {*carried})))
    padded = read_all(root, [*carried, added], keys)
    assert padded.unused_nodes() == (added,)
    assert padded.commitment() == author.commitment()
    entry = relay_proof_entry(root, [*carried, added])
    assert hash_commitments({RELAY_PROOF_KEY: entry}) != author.commitment()


def read_all(root: bytes, nodes: list[bytes], keys: list[bytes]) -> CarriedProof:
    reader = CarriedProof(root, nodes)
    for key in keys:
        reader.read(key)
    return reader


@given(STATES, READS, st.data())
def test_no_data_is_never_absence(state: dict[bytes, bytes], keys: list[bytes], data: st.DataObject) -> None:
    root, nodes = build_state(Storage(state))
    kept = data.draw(st.sets(st.sampled_from(sorted(nodes))))
    left = {digest: node for digest, node in nodes.items() if digest in kept}
    for make in (
        lambda: EmbeddedRelayNode(RelayNode({root: left}), root),
        lambda: RelayOwnState(RelayNode({root: left}), root),
        lambda: CarriedProof(root, left.values()),
    ):
        try:
            reader: RelayReads = make()
        except HostError:
            continue
        for key in keys:
            try:
                value = reader.read(key)
            except HostError as error:
                refusal = WitnessMissing if isinstance(reader, CarriedProof) else StateUnavailable
                assert type(error) is refusal  # it may also answer
            else:
                assert value == state.get(key)


@given(STATES, READS, STATES)
def test_all_contexts_meter_the_same(
    state: dict[bytes, bytes], keys: list[bytes], own: dict[bytes, bytes]
) -> None:
    """Authoring, import and validation: same values, same commitment, same bytes."""
    relay_root, relay_nodes = build_state(Storage(state))
    root, nodes = build_state(Storage(own))
    relay_node = RelayNode({relay_root: relay_nodes})
    author = EmbeddedRelayNode(relay_node, relay_root)
    for key in keys:
        author.read(key)

    readers = [EmbeddedRelayNode(relay_node, relay_root), CarriedProof(relay_root, author.nodes())]
    contexts = [
        AuthoringContext(Externalities.recording(nodes, root), readers[0], commit_relay_reads=True),
        ImportContext(Externalities.recording(nodes, root), readers[1], commit_relay_reads=True),
        ValidationContext(RelayOwnState(relay_node, relay_root), commit_relay_reads=True),
        ValidationContext(CarriedProof(relay_root, author.nodes()), commit_relay_reads=True),
    ]
    outcomes = []
    for context in contexts:
        with context.externalities():
            outcome: list[Any] = []
            size = storage_proof_size.storage_proof_size()
            for key in keys:
                outcome.append(relay_chain_state.read_relay_state(key))
                outcome.append(storage_proof_size.storage_proof_size() - size)
            outcomes.append([*outcome, additional_data.finalize()])
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0][-1] == author.commitment() is not None


@given(STATES, READS, READS)
def test_a_refused_extrinsic_leaves_no_relay_read(
    state: dict[bytes, bytes], keys: list[bytes], refused: list[bytes]
) -> None:
    root, nodes = build_state(Storage(state))
    relay_node = RelayNode({root: nodes})
    expected = observed(EmbeddedRelayNode(relay_node, root), keys)
    reader = EmbeddedRelayNode(relay_node, root)
    context = AuthoringContext(Externalities.recording(nodes, root), reader, commit_relay_reads=True)
    with context.externalities():
        context.state.begin_host_transaction()
        for key in refused:
            relay_chain_state.read_relay_state(key)
            storage.get(key)
        context.state.rollback_host_transaction()
        assert storage_proof_size.storage_proof_size() == 0
        context.state.begin_host_transaction()
        for key in keys:
            relay_chain_state.read_relay_state(key)
        context.state.commit_host_transaction()
    assert observed(reader, keys) == expected
