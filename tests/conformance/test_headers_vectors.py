"""Headers and digest items of real chains: `headers.json`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from runtime.primitives.digest import Consensus, Other, PreRuntime, Seal, digest_item
from runtime.primitives.hashing import blake2_256, keccak_256
from runtime.primitives.header import Header

ENGINE_ITEMS = {"Consensus": Consensus, "PreRuntime": PreRuntime, "Seal": Seal}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def item_of(described: dict[str, Any]) -> Any:
    """Our digest item for a description of the vectors."""
    data = unhex(described.get("data", "0x"))
    if described["type"] == "Other":
        return Other(data)
    return ENGINE_ITEMS[described["type"]](described["engine"].encode(), data)


def test_headers(vectors: Callable[[str], Any]) -> None:
    cases = vectors("headers")["headers"]
    for case in cases:
        encoded = unhex(case["scale"])
        header = Header.decode(encoded)
        assert header.encode() == encoded, case["id"]
        assert header.parent_hash == unhex(case["parent_hash"]), case["id"]
        assert header.number == case["number"], case["id"]
        assert header.state_root == unhex(case["state_root"]), case["id"]
        assert header.extrinsics_root == unhex(case["extrinsics_root"]), case["id"]
        assert header.hash() == blake2_256(encoded) == unhex(case["hash"]), case["id"]
        assert header.hash(keccak_256) == keccak_256(encoded), case["id"]
        digest = case["digest"]
        described = ast.literal_eval(digest) if isinstance(digest, str) else digest
        assert header.digest == tuple(map(item_of, described)), case["id"]
    assert len(cases) > 50


def test_digest_items(vectors: Callable[[str], Any]) -> None:
    for case in vectors("headers")["digest_items"]:
        encoded = unhex(case["scale"])
        item = digest_item.decode(encoded)
        assert item == item_of(case), case["id"]
        assert digest_item.encode(item) == encoded, case["id"]
