"""Storage proofs of real chains and of other implementations' tests, with their invalid twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.trie import LAYOUT_V1, Recorder, StorageProof, lookup, verify_proof
from runtime.trie.errors import BadNode, DuplicateNode, MissingNode, UnusedNode
from runtime.trie.iterate import walk_entries

Vectors = Callable[[str], Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def nodes_of(case: dict[str, Any]) -> list[bytes]:
    return [unhex(node) for node in case["proof"]]


def outcome(store: StorageProof, root: bytes, key: bytes, *, strict: bool) -> tuple[str, bytes | None]:
    try:
        value = lookup(store, root, key, LAYOUT_V1, strict=strict)
    except MissingNode:
        return "incomplete", None
    return ("absent", None) if value is None else ("value", value)


def expected(query: dict[str, Any]) -> tuple[str, bytes | None]:
    value = query.get("value")
    return query["outcome"], None if value is None else unhex(value)


@pytest.fixture
def cases(vectors: Vectors) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = vectors("proofs")
    assert found
    return found


@pytest.mark.parametrize("strict", [False, True])
def test_every_query_of_every_proof(cases: list[dict[str, Any]], strict: bool) -> None:
    for case in cases:
        store = StorageProof(nodes_of(case))
        for query in case["expect"]:
            found = outcome(store, unhex(case["root"]), unhex(query["key"]), strict=strict)
            assert found == expected(query), (case["id"], query["key"])


def test_all_shown_keys_at_once(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        shown = {unhex(q["key"]): expected(q)[1] for q in case["expect"] if q["outcome"] != "incomplete"}
        if not case["valid"] or not shown:
            continue
        found = verify_proof(unhex(case["root"]), nodes_of(case), shown, LAYOUT_V1, allow_unused=True)
        assert found == shown, case["id"]


def test_an_uncovered_key_is_never_absent(cases: list[dict[str, Any]]) -> None:
    tried = 0
    for case in cases:
        keys = [unhex(query["key"]) for query in case["expect"]]
        if any(query["outcome"] == "incomplete" for query in case["expect"]):
            tried += 1
            with pytest.raises(MissingNode):
                verify_proof(unhex(case["root"]), nodes_of(case), keys, LAYOUT_V1, allow_unused=True)
    assert tried


def test_duplicates_are_refused(cases: list[dict[str, Any]]) -> None:
    listed_twice = [case for case in cases if case.get("duplicate_nodes")]
    assert listed_twice
    for case in listed_twice:
        with pytest.raises(DuplicateNode):
            verify_proof(unhex(case["root"]), nodes_of(case), [], LAYOUT_V1)


def test_unused_items_are_refused(cases: list[dict[str, Any]]) -> None:
    """A proof is exact for the keys it shows, or it contains what only absence proofs need, or strangers."""
    exact = 0
    for case in cases:
        store, root = StorageProof(nodes_of(case)), unhex(case["root"])
        if root not in store:
            continue
        shown = [
            key
            for key, value, value_hash in walk_entries(store, root, LAYOUT_V1, skip_missing=True)
            if value is not None or value_hash in store
        ]
        touched = Recorder(store)
        for key in shown:
            lookup(touched, root, key, LAYOUT_V1)
        if len(touched) < len(store):
            with pytest.raises(UnusedNode):
                verify_proof(root, store.nodes(), shown, LAYOUT_V1)
            continue
        exact += 1
        assert len(verify_proof(root, store.nodes(), shown, LAYOUT_V1)) == len(shown), case["id"]
        with pytest.raises(UnusedNode):
            verify_proof(root, [*store.nodes(), b"a stranger"], shown, LAYOUT_V1)
    assert exact > 20


def test_scale_form(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        nodes = nodes_of(case)
        proof = StorageProof.decode(unhex(case["proof_scale"]))
        assert proof.nodes() == tuple(sorted(set(nodes))), case["id"]
        assert StorageProof.decode(proof.encode()).items == proof.items, case["id"]


def test_every_flipped_byte_of_a_real_proof_is_noticed(vectors: Vectors) -> None:
    case = next(
        case for case in vectors("proofs") if case["id"] == "westend-dday-paras-heads-1000-block-24915815"
    )
    nodes, root = nodes_of(case), unhex(case["root"])
    key, (_, value) = unhex(case["expect"][0]["key"]), expected(case["expect"][0])
    assert verify_proof(root, nodes, [key], LAYOUT_V1) == {key: value}
    for position, node in enumerate(nodes):
        for byte in range(0, len(node), 7):
            changed = node[:byte] + bytes([node[byte] ^ 1 << byte % 8]) + node[byte + 1 :]
            with pytest.raises((MissingNode, UnusedNode, BadNode)):
                verify_proof(root, [*nodes[:position], changed, *nodes[position + 1 :]], [key], LAYOUT_V1)
