"""Compact proofs and trie proofs: the reference's own test cases and archives, real proofs in both forms."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.primitives.scale import byte_vec, vec
from runtime.trie import (
    BLAKE2B_256,
    KECCAK_256,
    LAYOUT_V1,
    Layout,
    StorageProof,
    decode_compact,
    encode_compact,
    encode_compact_skip_duplicates,
    lookup,
)
from runtime.trie.compact import SeenHashes
from runtime.trie.errors import (
    BadNode,
    DuplicateKey,
    ExtraneousHash,
    ExtraneousItem,
    IncompleteProof,
    IncompleteTrieProof,
    MissingNode,
    RootMismatch,
    TrieError,
    ValueMismatch,
)
from runtime.trie.trie_proof import verify_trie_proof

HASHERS = {"blake2_256": BLAKE2B_256, "keccak_256": KECCAK_256}
NODES = vec(byte_vec)

TRIE_PROOF_ERRORS: dict[str, type[TrieError]] = {
    "DuplicateKey": DuplicateKey,
    "ExtraneousNode": ExtraneousItem,
    "ExtraneousHashReference": ExtraneousHash,
    "ValueMismatch": ValueMismatch,
    "IncompleteProof": IncompleteTrieProof,
    "RootMismatch": RootMismatch,
    "DecodeError": BadNode,
}

Vectors = Callable[[str], Any]
Case = dict[str, Any]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture
def cases(vectors: Vectors) -> Callable[[str], list[Case]]:
    def of(kind: str) -> list[Case]:
        found = [case for case in vectors("compact_proofs") if case["kind"] == kind]
        assert found
        return found

    return of


def test_reference_cases(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("compact_proof"):
        layout = Layout(BLAKE2B_256, case["state_version"])
        items = [unhex(item) for item in case["encoded"]]
        assert NODES.encode(tuple(items)) == unhex(case["encoded_scale"]), case["id"]
        if case["expect"]["outcome"] == "error":
            assert case["expect"]["error"] == "incomplete", case["id"]
            with pytest.raises(IncompleteProof):
                decode_compact(items, layout)
            continue
        root, store, consumed = decode_compact(items, layout, unhex(case["root"]))
        assert (root, consumed) == (unhex(case["expect"]["root"]), case["expect"]["consumed"]), case["id"]
        for key, value in case["items"]:
            want = None if value is None else unhex(value)
            assert lookup(store, root, unhex(key), layout) == want, case["id"]
        if case.get("trie_db_reencode_equal"):
            if "dedup" in case["id"]:
                encoded = encode_compact_skip_duplicates(store, root, layout, SeenHashes())
            else:
                encoded = encode_compact(store, root, layout)
            assert encoded == items[:consumed], case["id"]


def test_one_seen_set_through_two_encodings(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("compact_proof_pair"):
        first = [unhex(item) for item in case["first"]]
        root, store, _ = decode_compact(first, LAYOUT_V1, unhex(case["root"]))
        seen = SeenHashes()
        assert encode_compact_skip_duplicates(store, root, LAYOUT_V1, seen) == first
        second = encode_compact_skip_duplicates(store, root, LAYOUT_V1, seen)
        assert second == [unhex(item) for item in case["second"]]


def test_real_proofs_in_compact_form(vectors: Vectors, cases: Callable[[str], list[Case]]) -> None:
    plain = {case["id"]: case for case in vectors("proofs")}
    compared = 0
    for case in cases("compact_from_real_proof"):
        items = list(NODES.decode(unhex(case["encoded_scale"])))
        root, store, consumed = decode_compact(items, LAYOUT_V1, unhex(case["root"]))
        assert consumed == case["expect"]["consumed"] == case["items_count"], case["id"]
        assert encode_compact(store, root, LAYOUT_V1) == items, case["id"]
        without_duplicates = encode_compact_skip_duplicates(store, root, LAYOUT_V1, SeenHashes())
        duplicate_free = case.get("encoded_skip_duplicates_items")
        want = items if duplicate_free is None else [unhex(item) for item in duplicate_free]
        assert without_duplicates == want, case["id"]
        assert decode_compact(without_duplicates, LAYOUT_V1, root)[1] == store, case["id"]
        for query in case["queries"]:
            check_query(store, root, query, case["id"])
        source = plain.get(case["id"].removeprefix("compact-of-"))
        if source is not None:
            compared += 1
            proof = StorageProof(unhex(node) for node in source["proof"])
            assert encode_compact(proof.items, root, LAYOUT_V1) == items, case["id"]
    assert compared > 20


def check_query(store: dict[bytes, bytes], root: bytes, query: dict[str, Any], name: str) -> None:
    key = unhex(query["key"])
    if query["outcome"] == "incomplete":
        with pytest.raises(MissingNode):
            lookup(store, root, key, LAYOUT_V1)
        return
    want = unhex(query["value"]) if query["outcome"] == "value" else None
    assert lookup(store, root, key, LAYOUT_V1) == want, name


def test_trie_proofs(cases: Callable[[str], list[Case]]) -> None:
    for case in cases("trie_proof"):
        layout = Layout(HASHERS[case["hasher"]], case["state_version"])
        proof = [unhex(node) for node in case["proof"]]
        statement = [(unhex(key), None if value is None else unhex(value)) for key, value in case["items"]]
        if case["expect"] == "ok":
            verify_trie_proof(unhex(case["root"]), proof, statement, layout)
            continue
        with pytest.raises(TRIE_PROOF_ERRORS[case["expect"]]):
            verify_trie_proof(unhex(case["root"]), proof, statement, layout)


def archive(vectors_dir: Path, case: Case) -> Sequence[bytes]:
    with tarfile.open(vectors_dir / case["file"]) as packed:
        member = next(member for member in packed if member.isfile())
        file = packed.extractfile(member)
        assert file is not None
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    return NODES.decode(data)


def test_archives(vectors_dir: Path, cases: Callable[[str], list[Case]]) -> None:
    for case in cases("compact_proof_file"):
        items = archive(vectors_dir, case)
        assert len(items) == case["items"]
        root, store, consumed = decode_compact(items, LAYOUT_V1)
        expect = case["expect"]
        assert (root, consumed) == (unhex(expect["root"]), expect["consumed"])
        assert len(store) == expect["db_entries"]
        plain = encode_compact(store, root, LAYOUT_V1)
        assert len(plain) == case["trie_db_plain_items"]
        deduplicated = encode_compact_skip_duplicates(store, root, LAYOUT_V1, SeenHashes())
        assert len(deduplicated) == case["trie_db_skip_duplicates_items"]
        assert tuple(items) == tuple(deduplicated if case["equals_deduplicated_encoding"] else plain)
