"""The node codec against the node tests of gossamer, kagome, smoldot and sp-trie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.trie import LAYOUT_V0, LAYOUT_V1, StorageProof, iterate_keys, next_key
from runtime.trie.descendant import closest_merkle_value
from runtime.trie.errors import BadNode, MissingNode
from runtime.trie.node import (
    BRANCH,
    EMPTY,
    ESCAPE,
    HASHED,
    INLINE,
    decode_header,
    decode_node,
    digits_of,
    encode_header,
    encode_node,
    encode_partial,
)

Vectors = Callable[[str], Any]
Case = dict[str, Any]

KINDS = {
    "empty": EMPTY,
    "leaf": INLINE,
    "leaf_hashed": HASHED,
    "branch": BRANCH,
    "branch_with_value": BRANCH | INLINE,
    "branch_hashed": BRANCH | HASHED,
}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture
def cases(vectors: Vectors) -> Callable[..., list[Case]]:
    def of(*ops: str) -> list[Case]:
        found = [case for case in vectors("trie_nodes") if case["op"] in ops]
        assert found
        return found

    return of


def test_headers_encode(cases: Callable[..., list[Case]]) -> None:
    for case in cases("encode_header"):
        kind, nibbles = KINDS[case["kind"]], case["partial_key_nibbles"]
        encoded = encode_header(kind, nibbles)
        assert encoded == unhex(case["expected"]), case["id"]
        assert decode_header(encoded) == (kind, nibbles, len(encoded)), case["id"]


def test_headers_decode(cases: Callable[..., list[Case]]) -> None:
    for case in cases("decode_header", "decode_header_byte"):
        data = unhex(case["input"])
        if not case["valid"]:
            with pytest.raises(BadNode):
                decode_node(data)
            continue
        want = case["expected"]
        if want["kind"] == "escape_compact":
            assert data == bytes((ESCAPE,)), case["id"]
            with pytest.raises(BadNode):
                decode_header(data)
            continue
        # "bits" of a lone header byte is its length field.
        nibbles = want.get("partial_key_nibbles", want.get("partial_key_length_bits"))
        assert decode_header(data)[:2] == (KINDS[want["kind"]], nibbles), case["id"]


def test_nodes_decode(cases: Callable[..., list[Case]]) -> None:
    for case in cases("decode_node"):
        data = unhex(case["input"])
        if case["valid"] is not True:
            # "gossamer: yes; sp-trie: no" is the branch without children: we are with sp-trie.
            with pytest.raises(BadNode):
                decode_node(data)
            continue
        want = case["expected"]
        partial, value, value_hash, bitmap, children, _, end = decode_node(data)
        assert end == len(data), case["id"]
        if want["kind"] == "empty":
            assert (partial, value, value_hash, bitmap) == ("", None, None, 0), case["id"]
            continue
        assert (want["kind"] == "branch") == bool(bitmap), case["id"]
        assert partial == want["partial_key"], case["id"]
        assert value == (None if want["value"] is None else unhex(want["value"])), case["id"]
        assert value_hash == (None if want["value_hash"] is None else unhex(want["value_hash"])), case["id"]
        shown = {digit: unhex(child) for digit, child in (want["children"] or {}).items()}
        assert dict(zip(digits_of(bitmap), children, strict=True)) == shown, case["id"]
        assert encode_node(partial, value, value_hash, bitmap, children) == data, case["id"]


def test_nodes_encode(cases: Callable[..., list[Case]]) -> None:
    for case in cases("encode_node"):
        node = case["node"]
        layout = LAYOUT_V1 if case.get("state_version") == 1 else LAYOUT_V0
        value = None if node["value"] is None else unhex(node["value"])
        value_hash = None if node["value_hash"] is None else unhex(node["value_hash"])
        if value is not None and layout.hashes_value(value):
            value, value_hash = None, layout.digest(value)
        children = {int(digit, 16): unhex(child) for digit, child in sorted((node["children"] or {}).items())}
        bitmap = sum(1 << index for index in children)
        if not case["valid"]:
            with pytest.raises(BadNode):
                encode_node(node["partial_key"], value, value_hash, bitmap, list(children.values()))
            continue
        encoded = encode_node(node["partial_key"], value, value_hash, bitmap, list(children.values()))
        assert encoded == unhex(case["expected"]), case["id"]


def test_nibbles(cases: Callable[..., list[Case]]) -> None:
    """Paths are hex digits here; the cases have one nibble per byte."""
    for case in cases("nibbles_to_key_le", "key_to_nibbles"):
        given, want = unhex(case["input"]), unhex(case["expected"])
        key, nibbles = (given, want) if case["op"] == "key_to_nibbles" else (want, given)
        path = "".join(f"{nibble:x}" for nibble in nibbles)
        assert key.hex() == path, case["id"]
        assert encode_partial(path) == key, case["id"]


@pytest.fixture
def proof(vectors: Vectors) -> Callable[[Case], StorageProof]:
    by_id = {case["id"]: case for case in vectors("proofs")}
    return lambda case: StorageProof(unhex(node) for node in by_id[case["proof_id"]]["proof"])


def test_next_key_on_a_proof(cases: Callable[..., list[Case]], proof: Callable[[Case], StorageProof]) -> None:
    """The cases with `branch_nodes` ask for trie nodes that are no keys, which is smoldot's interface only."""
    asked = 0
    for case in cases("proof_next_key"):
        if case["branch_nodes"]:
            continue
        asked += 1
        nibbles = case["key_nibbles"]
        # Nothing lies between an odd path and the even path before it in the one case that has an odd one.
        key = bytes.fromhex(nibbles[: len(nibbles) & ~1])
        if case["valid"]:
            assert next_key(proof(case), unhex(case["root"]), LAYOUT_V1, key) == unhex(case["expected"]), (
                case["id"]
            )
        else:
            with pytest.raises(MissingNode):
                next(iterate_keys(proof(case), unhex(case["root"]), LAYOUT_V1, after=key))
    assert asked == 2


def test_closest_descendant_on_a_proof(
    cases: Callable[..., list[Case]], proof: Callable[[Case], StorageProof]
) -> None:
    for case in cases("proof_closest_descendant_merkle_value"):
        root, path = unhex(case["root"]), case["key_nibbles"]
        if not case["valid"]:
            with pytest.raises(MissingNode):
                closest_merkle_value(proof(case), root, path, LAYOUT_V1)
            continue
        want = None if case["expected"] is None else unhex(case["expected"])
        assert closest_merkle_value(proof(case), root, path, LAYOUT_V1) == want, case["id"]
