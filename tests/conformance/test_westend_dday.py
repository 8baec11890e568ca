"""The main job on real input: from the Westend relay root to an account on Asset Hub.

`CarriedProof` answers ``read_relay_state`` with a real proof of ``Paras::Heads(1000)``; the runtime finds the
sibling's head by itself, and reads real accounts by proof against that head's state root. Every tampered twin
is refused, each with its reason. Vectors: ``westend-dday-*`` in ``proofs.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.contexts import ValidationContext
from host_functions.errors import WitnessMissing
from host_functions.interfaces import relay_chain_state
from host_functions.relay_state import CarriedProof
from runtime.pallets.system import AccountInfo
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.support.sibling_state import read_sibling, sibling_head
from runtime.trie.errors import DuplicateNode, MissingNode, UnusedNode

ASSET_HUB = 1000
Case = dict[str, Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture
def cases(vectors: Callable[[str], Any]) -> dict[str, Case]:
    return {case["id"]: case for case in vectors("proofs") if case["id"].startswith("westend-dday-")}


@pytest.fixture
def relay(cases: dict[str, Case]) -> tuple[bytes, list[bytes]]:
    """Root of Westend #24,915,815 and the proof of ``Paras::Heads(1000)`` at it."""
    case = cases["westend-dday-paras-heads-1000-block-24915815"]
    return unhex(case["root"]), [unhex(node) for node in case["proof"]]


@pytest.fixture
def account(cases: dict[str, Case]) -> Case:
    return cases["westend-dday-assethub-account-block-10990425"]


def head_through_the_host(root: bytes, nodes: list[bytes]) -> Header | None:
    with ValidationContext(CarriedProof(root, nodes)).externalities():
        return sibling_head(ASSET_HUB)


def test_the_runtime_finds_the_head_and_reads_the_account(
    relay: tuple[bytes, list[bytes]], account: Case, cases: dict[str, Case]
) -> None:
    head = head_through_the_host(*relay)
    assert head is not None
    assert head.number == 10_990_425
    assert head.encode() == unhex(account["header"])
    assert head.state_root == unhex(account["root"])
    expected = {unhex(item["key"]): item["value"] and unhex(item["value"]) for item in account["expect"]}
    found = read_sibling(head, list(expected), [unhex(node) for node in account["proof"]])
    assert found == expected
    prefix = relay_keys.storage_prefix("System", "Account")
    accounts = [AccountInfo.decode(value) for key, value in found.items() if key.startswith(prefix) and value]
    assert accounts
    assert all(info.providers and info.data.free > 0 for info in accounts)


def test_all_relay_answers_are_metered(relay: tuple[bytes, list[bytes]]) -> None:
    root, nodes = relay
    reader = CarriedProof(root, nodes)
    with ValidationContext(reader, commit_relay_reads=True).externalities():
        relay_chain_state.read_relay_state(relay_keys.para_head(ASSET_HUB))
    assert reader.nodes() == tuple(sorted(nodes))
    assert not reader.unused_nodes()
    assert reader.proof_size() == sum(len(node) + (1 if len(node) < 64 else 2) for node in nodes)


def test_a_relay_key_the_proof_does_not_cover_is_not_absent(relay: tuple[bytes, list[bytes]]) -> None:
    with ValidationContext(CarriedProof(*relay)).externalities(), pytest.raises(WitnessMissing):
        for para in range(2000, 2100):
            relay_chain_state.read_relay_state(relay_keys.para_head(para))


def test_each_relay_node_is_needed_and_no_bit_may_change(relay: tuple[bytes, list[bytes]]) -> None:
    root, nodes = relay
    head = head_through_the_host(root, nodes)
    for position, node in enumerate(nodes):
        without = nodes[:position] + nodes[position + 1 :]
        with pytest.raises(WitnessMissing):
            head_through_the_host(root, without)
        for bit in range(0, 8 * len(node), 101):
            flipped = bytearray(node)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(WitnessMissing):
                head_through_the_host(root, [*without, bytes(flipped)])
        with pytest.raises(DuplicateNode):
            head_through_the_host(root, [*nodes, node])
    with pytest.raises(WitnessMissing):
        head_through_the_host(bytes(32), nodes)
    assert head is not None


def test_tampered_twins_of_the_account_proof(
    relay: tuple[bytes, list[bytes]], account: Case, cases: dict[str, Case]
) -> None:
    head = head_through_the_host(*relay)
    assert head is not None
    keys = [unhex(item["key"]) for item in account["expect"]]
    nodes = [unhex(node) for node in account["proof"]]

    twin = cases["westend-dday-assethub-invalid-missing-node"]
    with pytest.raises(MissingNode) as missing:
        read_sibling(head, [unhex(twin["expect"][0]["key"])], [unhex(node) for node in twin["proof"]])
    assert missing.value.key == unhex(twin["expect"][0]["key"])

    twin = cases["westend-dday-assethub-random-account"]
    uncovered = [unhex(item["key"]) for item in twin["expect"] if item["outcome"] == "incomplete"]
    assert uncovered
    for key in uncovered:
        with pytest.raises(MissingNode):
            read_sibling(head, [key], [unhex(node) for node in twin["proof"]])

    with pytest.raises(MissingNode):
        read_sibling(Header(head.parent_hash, head.number, bytes(32), head.extrinsics_root), keys, nodes)
    with pytest.raises(DuplicateNode):
        read_sibling(head, keys, [*nodes, nodes[0]])
    with pytest.raises(UnusedNode):
        read_sibling(head, keys, [*nodes, b"\x42\x01\x04\x01"])
    with pytest.raises(UnusedNode):
        read_sibling(head, keys[:1], nodes)
    for node in nodes:
        flipped = bytearray(node)
        flipped[-1] ^= 1
        with pytest.raises((MissingNode, UnusedNode)):
            read_sibling(head, keys, [other for other in nodes if other != node] + [bytes(flipped)])
