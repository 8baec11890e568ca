"""Roots asserted by other implementations and by live networks: whole states, extrinsics, insert and delete steps."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.primitives.hashing import blake2_256
from runtime.trie import BLAKE2B_256, KECCAK_256, Layout, Trie, iterate, ordered_root, trie_root

HASHERS = {"blake2_256": BLAKE2B_256, "keccak_256": KECCAK_256}
STATE_KINDS = ("state_root", "child_root", "trie_root", "genesis_state_root")

Vectors = Callable[[str], Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def layout_of(case: dict[str, Any]) -> Layout:
    return Layout(HASHERS[case["hasher"]], case["state_version"])


def of_kind(vectors: Vectors, *kinds: str) -> list[dict[str, Any]]:
    cases = [case for case in vectors("trie_roots") if case["kind"] in kinds]
    assert cases
    return cases


def entries_of(case: dict[str, Any], vectors_dir: Path) -> dict[bytes, bytes]:
    if "entries" in case:
        return {unhex(key): unhex(value) for key, value in case["entries"]}
    with gzip.open(vectors_dir / case["entries_file"]) as file:
        top = json.load(file)["top"]
    assert len(top) == case["entry_count"], case["id"]
    return {unhex(key): unhex(value) for key, value in top.items()}


@pytest.mark.parametrize("kind", STATE_KINDS)
def test_state_roots(vectors: Vectors, vectors_dir: Path, kind: str) -> None:
    for case in of_kind(vectors, kind):
        entries = entries_of(case, vectors_dir)
        store: dict[bytes, bytes] = {}
        layout = layout_of(case)
        root = trie_root(entries, layout, store)
        assert root == unhex(case["root"]), case["id"]
        if "root_node" in case:
            assert store[root] == unhex(case["root_node"]), case["id"]
        if len(entries) < 5_000:
            assert list(iterate(store, root, layout)) == sorted(entries.items()), case["id"]


def test_one_by_one_gives_the_same_roots(vectors: Vectors) -> None:
    for case in of_kind(vectors, "state_root", "child_root", "trie_root"):
        if "entries" not in case:
            continue
        layout = layout_of(case)
        trie = Trie({}, layout.empty_root, layout)
        for key, value in case["entries"]:
            trie.insert(unhex(key), unhex(value))
        assert trie.commit({}) == unhex(case["root"]), case["id"]


def test_extrinsics_and_ordered_roots(vectors: Vectors) -> None:
    for case in of_kind(vectors, "extrinsics_root", "ordered_root"):
        values = [unhex(value) for value in case["values"]]
        assert ordered_root(values, layout_of(case)) == unhex(case["root"]), case["id"]


def test_insert_and_delete_sequences(vectors: Vectors) -> None:
    for case in of_kind(vectors, "insert_delete_sequence"):
        layout = layout_of(case)
        trie = Trie({}, layout.empty_root, layout)
        roots = []
        for key, value in case["inserts"]:
            trie.insert(unhex(key), unhex(value))
            roots.append(trie.commit({}))
        for key in case["deletes"]:
            trie.remove(unhex(key))
            roots.append(trie.commit({}))
        assert roots == [unhex(root) for root in case["roots"]], case["id"]


def test_genesis_headers_commit_to_the_roots(vectors: Vectors) -> None:
    for case in of_kind(vectors, "genesis_state_root"):
        header = unhex(case["genesis_header"])
        assert blake2_256(header) == unhex(case["genesis_hash"]), case["id"]
        # parent hash, compact number 0, then the state root.
        assert header[33:65] == unhex(case["root"]), case["id"]
