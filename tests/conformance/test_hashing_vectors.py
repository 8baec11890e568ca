"""Hash functions against digests asserted by other implementations: `relay_keys.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host_functions.interfaces import hashing as host
from runtime.primitives import hashing


def test_hashes(vectors: Callable[[str], Any]) -> None:
    functions = set()
    for case in vectors("relay_keys")["hashes"]:
        name, data = case["function"], bytes.fromhex(case["input"][2:])
        functions.add(name)
        assert getattr(hashing, name)(data).hex() == case["output"][2:], case
        # The guest computes some of them itself; the host functions of the same name must agree.
        if hasattr(host, name):
            assert getattr(host, name)(data).hex() == case["output"][2:], case
    assert functions >= {
        "twox_64",
        "twox_128",
        "twox_256",
        "blake2_128",
        "blake2_256",
        "keccak_256",
        "sha2_256",
    }
