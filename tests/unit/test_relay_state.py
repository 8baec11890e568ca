"""The answerers of relay reads: what each refuses."""

from __future__ import annotations

import pytest

from host_functions.errors import StateUnavailable, WitnessMissing
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayOwnState
from host_functions.state_machine import Storage, build_state
from runtime.primitives.additional_data import RELAY_PROOF_KEY, hash_commitments, parse_relay_proof_entry
from runtime.trie.errors import DuplicateNode
from runtime.trie.layout import LAYOUT_V1, NodeStore

ENTRIES = {bytes([n]): bytes([n]) * 40 for n in range(40)}
ROOT, NODES = build_state(Storage(ENTRIES))


class Node:
    """A relay node with some trie nodes of one state."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self.nodes = nodes

    def state_at(self, root: bytes) -> NodeStore:
        if root != ROOT:
            raise StateUnavailable(root)
        return self.nodes


@pytest.mark.parametrize("kind", [EmbeddedRelayNode, RelayOwnState])
def test_a_pruned_state_is_unavailable(kind: type[EmbeddedRelayNode | RelayOwnState]) -> None:
    with pytest.raises(StateUnavailable) as caught:
        kind(Node(NODES), bytes(32))
    assert caught.value.at == bytes(32)
    reader = kind(Node({ROOT: NODES[ROOT]}), ROOT)
    with pytest.raises(StateUnavailable) as caught:
        reader.read(b"\x07")
    assert caught.value.at == ROOT
    assert caught.value.node in NODES


@pytest.mark.parametrize("kind", [EmbeddedRelayNode, RelayOwnState])
def test_a_damaged_database_does_not_answer(kind: type[EmbeddedRelayNode | RelayOwnState]) -> None:
    flipped = NODES[ROOT][:1] + bytes([NODES[ROOT][1] ^ 1]) + NODES[ROOT][2:]
    for damaged in (b"", b"\x00", flipped):
        with pytest.raises(StateUnavailable):
            kind(Node({**NODES, ROOT: damaged}), ROOT).read(b"\x07")


def test_a_carried_proof_must_contain_its_trusted_root() -> None:
    for nodes in ([], list(NODES.values())):
        with pytest.raises(WitnessMissing) as caught:
            CarriedProof(bytes(32), nodes)
        assert caught.value.node == bytes(32)


def test_a_carried_proof_is_a_set() -> None:
    with pytest.raises(DuplicateNode) as caught:
        CarriedProof(ROOT, [*NODES.values(), NODES[ROOT]])
    assert caught.value.node == ROOT


def test_a_carried_proof_knows_what_nobody_needed() -> None:
    reader = CarriedProof(ROOT, [*NODES.values(), b"\xff" * 40])
    assert len(reader.unused_nodes()) == len(NODES) + 1
    for key in ENTRIES:
        reader.read(key)
    assert reader.unused_nodes() == (b"\xff" * 40,)


def test_what_is_carried() -> None:
    reader = RelayOwnState(Node(NODES), ROOT)
    assert reader.additional_data() is None
    assert reader.commitment() is None
    assert reader.nodes() == ()
    reader.read(b"\x07")
    data = reader.additional_data()
    assert data is not None
    assert parse_relay_proof_entry(data[RELAY_PROOF_KEY]) == (ROOT, reader.nodes())
    assert reader.commitment() == hash_commitments(data)


def test_reads_count_once_and_can_be_taken_back() -> None:
    reader = RelayOwnState(Node(NODES), ROOT)
    reader.read(b"\x07")
    nodes, size = reader.nodes(), reader.proof_size()
    assert size == sum(len(node) + (1 if len(node) < 64 else 2) for node in nodes)
    reader.read(b"\x07")
    assert (reader.nodes(), reader.proof_size()) == (nodes, size)
    reader.start_transaction()
    reader.read(b"\x17")
    assert reader.proof_size() > size
    reader.rollback_transaction()
    assert (reader.nodes(), reader.proof_size()) == (nodes, size)
    reader.start_transaction()
    reader.read(b"\x17")
    reader.commit_transaction()
    assert reader.proof_size() > size, "a read after a rollback must be recorded again"


def test_an_empty_relay_state_proves_absence() -> None:
    reader = CarriedProof(LAYOUT_V1.empty_root, [b"\x00"])
    assert reader.read(b"any") is None
    assert reader.nodes() == (b"\x00",)
