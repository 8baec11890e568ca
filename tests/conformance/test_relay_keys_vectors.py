"""Well-known keys of the relay chain's state: `relay_keys.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.primitives.relay_keys import WELL_KNOWN, storage_prefix


def test_prefixes(vectors: Callable[[str], Any]) -> None:
    named = 0
    for case in vectors("relay_keys")["prefixes"]:
        prefix = bytes.fromhex(case["prefix"][2:])
        assert storage_prefix(case["pallet"], case["item"]) == prefix, case["name"]
        if case["name"] in WELL_KNOWN:
            named += 1
            arguments = () if case["name"].isupper() else (2000,)
            assert WELL_KNOWN[case["name"]](*arguments)[:32] == prefix, case["name"]
    assert named >= 10


def test_keys(vectors: Callable[[str], Any]) -> None:
    cases = vectors("relay_keys")["keys"]
    for case in cases:
        assert WELL_KNOWN[case["name"]](*case["args"]).hex() == case["key"][2:], (case["name"], case["args"])
    assert len(cases) > 40
