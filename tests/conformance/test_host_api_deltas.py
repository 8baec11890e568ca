"""Writes over the nodes of a proof, as ``validate_block`` makes them: outcomes of the real trie-db.

The proofs are of genesis states of live chains. Complete ones give the new root; with one node taken away
they give the same root or must say that the proof does not cover the change, never another root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.errors import WitnessMissing
from host_functions.state_machine import WitnessBackend
from runtime.trie.layout import BLAKE2B_256, Layout

Vectors = Callable[[str], Any]


def unhex(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value.removeprefix("0x"))


def new_root(case: dict[str, Any]) -> bytes | None:
    """Root after the changes, or ``None`` if the proof does not cover them."""
    nodes = [bytes.fromhex(node[2:]) for node in case["nodes"]]
    witness = {BLAKE2B_256.digest(node): node for node in nodes}
    version = case["state_version"]
    backend = WitnessBackend(witness, bytes.fromhex(case["root"][2:]), Layout(BLAKE2B_256, version))
    changes = {bytes.fromhex(key[2:]): unhex(value) for key, value in case["changes"]}
    try:
        return backend.delta_root(changes, {}, version)[0]
    except WitnessMissing:
        return None


@pytest.mark.parametrize("kind", ["delta_root_on_proof", "delta_root_on_incomplete_proof"])
def test_delta_root(vectors: Vectors, kind: str) -> None:
    cases = [case for case in vectors("oracle_trie_db") if case["kind"] == kind]
    assert cases, "the vectors no longer have this kind"
    for case in cases:
        assert new_root(case) == unhex(case["new_root"]), case["id"]
