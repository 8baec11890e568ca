"""Answers of the real trie-db (0.32) on states of known origin: proofs, changes on proofs, and mutations of both."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.trie import (
    BLAKE2B_256,
    LAYOUT_V1,
    Layout,
    Recorder,
    StorageProof,
    Trie,
    create_proof,
    decode_compact,
    encode_compact,
    encode_compact_skip_duplicates,
    lookup,
    trie_root,
    verify_proof,
)
from runtime.trie.compact import SeenHashes
from runtime.trie.errors import BadNode, IncompleteProof, MissingNode
from runtime.trie.node import decode_node
from runtime.trie.trie_proof import create_trie_proof, verify_trie_proof

Vectors = Callable[[str], Any]
Case = dict[str, Any]
State = tuple[bytes, dict[bytes, bytes], Layout]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def optional(text: str | None) -> bytes | None:
    return None if text is None else unhex(text)


@pytest.fixture
def cases(vectors: Vectors) -> Callable[[str], list[Case]]:
    def of(kind: str) -> list[Case]:
        found = [case for case in vectors("oracle_trie_db") if case["kind"] == kind]
        assert found
        return found

    return of


@pytest.fixture(scope="module")
def state(vectors: Vectors, vectors_dir: Path) -> Callable[[Case], State]:
    """Root, nodes and layout of the state that a case is about; each is built once."""
    by_id = {case["id"]: case for case in vectors("trie_roots")}
    built: dict[tuple[str, int], State] = {}

    def of(case: Case) -> State:
        name, version = case["state"], case["state_version"]
        if (name, version) not in built:
            if name.startswith("files/"):
                with gzip.open(vectors_dir / name) as file:
                    pairs = json.load(file)["top"].items()
            else:
                pairs = by_id[name]["entries"]
            entries = {unhex(key): unhex(value) for key, value in pairs}
            # The oracle was built with Blake2b whatever the hasher of the state's source.
            layout = Layout(BLAKE2B_256, version)
            store: dict[bytes, bytes] = {}
            built[name, version] = (trie_root(entries, layout, store), store, layout)
        return built[name, version]

    return of


def test_recorded_reads(cases: Callable[[str], list[Case]], state: Callable[[Case], State]) -> None:
    for case in cases("recorded_read_proof"):
        root, store, layout = state(case)
        assert root == unhex(case["root"]), case["id"]
        keys = [unhex(key) for key in case["keys"]]
        want = {unhex(query["key"]): optional(query.get("value")) for query in case["expect"]}
        proof = create_proof(store, root, keys, layout)
        assert list(proof) == sorted(map(unhex, case["nodes"])), case["id"]
        assert verify_proof(root, proof, keys, layout) == want, case["id"]


def test_trie_proofs(cases: Callable[[str], list[Case]], state: Callable[[Case], State]) -> None:
    for case in cases("recorded_read_proof"):
        root, store, layout = state(case)
        proof = create_trie_proof(store, root, map(unhex, case["keys"]), layout)
        assert list(proof) == [unhex(node) for node in case["trie_proof"]], case["id"]
        statement = [(unhex(query["key"]), optional(query.get("value"))) for query in case["expect"]]
        verify_trie_proof(root, proof, statement, layout)


def test_compact_forms(cases: Callable[[str], list[Case]], state: Callable[[Case], State]) -> None:
    compared = 0
    for case in cases("recorded_read_proof"):
        if "compact" not in case:
            continue
        compared += 1
        root, store, layout = state(case)
        recorder = Recorder(store)
        for key in case["keys"]:
            lookup(recorder, root, unhex(key), layout)
        items = encode_compact(recorder, root, layout)
        assert items == [unhex(item) for item in case["compact"]], case["id"]
        assert decode_compact(items, layout, root) == (root, dict(recorder), len(items)), case["id"]
        if "compact_skip_duplicates" in case:
            fewer = encode_compact_skip_duplicates(recorder, root, layout, SeenHashes())
            assert fewer == [unhex(item) for item in case["compact_skip_duplicates"]], case["id"]
    assert compared > 100


def apply(case: Case, recorder: Recorder) -> bytes:
    trie = Trie(recorder, unhex(case["root"]), Layout(BLAKE2B_256, case["state_version"]))
    for key, value in case["changes"]:
        if value is None:
            trie.remove(unhex(key))
        else:
            trie.insert(unhex(key), unhex(value))
    return trie.commit({})


def test_changes_on_a_proof(cases: Callable[[str], list[Case]], state: Callable[[Case], State]) -> None:
    """The same root as on the full state, and exactly the nodes that trie-db reads."""
    for case in cases("delta_root_on_proof"):
        proof = StorageProof(map(unhex, case["nodes"]))
        recorder = Recorder(proof)
        assert apply(case, recorder) == unhex(case["new_root"]) == unhex(case["full_state_new_root"]), case[
            "id"
        ]
        assert recorder.nodes() == proof.nodes(), case["id"]
        _, store, _ = state(case)
        on_full_state = Recorder(store)
        assert apply(case, on_full_state) == unhex(case["new_root"]), case["id"]
        assert on_full_state.nodes() == proof.nodes(), case["id"]


def test_changes_on_an_incomplete_proof(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("delta_root_on_incomplete_proof"):
        assert case["error"] == "ERR:IncompleteDatabase", case["id"]
        with pytest.raises(MissingNode):
            apply(case, Recorder(StorageProof(map(unhex, case["nodes"]))))


@pytest.mark.parametrize("strict", [False, True])
def test_mutated_proofs(cases: Callable[[str], list[Case]], strict: bool) -> None:
    for case in cases("mutated_proof"):
        store = StorageProof(map(unhex, case["nodes"]))
        root = unhex(case["root"])
        for query in case["expect"]:
            if query["outcome"] == "incomplete":
                with pytest.raises(MissingNode):
                    lookup(store, root, unhex(query["key"]), LAYOUT_V1, strict=strict)
            else:
                want = unhex(query["value"]) if query["outcome"] == "value" else None
                assert lookup(store, root, unhex(query["key"]), LAYOUT_V1, strict=strict) == want, case["id"]


def test_mutated_compact_proofs(cases: Callable[[str], list[Case]]) -> None:
    errors = {"IncompleteDatabase": IncompleteProof, "DecoderError": BadNode}
    for case in cases("mutated_compact_proof"):
        layout = Layout(BLAKE2B_256, case["state_version"])
        items = [unhex(item) for item in case["items"]]
        expect = case["expect"]
        if expect["outcome"] == "error":
            with pytest.raises(errors[expect["trie_db_error"]]):
                decode_compact(items, layout)
            continue
        root, _, consumed = decode_compact(items, layout)
        assert (root, consumed) == (unhex(expect["root"]), expect["consumed"]), case["id"]
        assert (root == unhex(case["original_root"])) == expect["root_matches"], case["id"]


def test_node_decoding(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("node_decode"):
        if case["expect"] == "ok":
            decode_node(unhex(case["node"]))
        else:
            with pytest.raises(BadNode):
                decode_node(unhex(case["node"]))
