"""Keys from secrets, as other hosts made them: `host_api.json`, key generation.

The phrases of the w3f cases are given with their mini secret, which is what our keystore takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.contexts import OffchainContext
from host_functions.contexts.keystore import MemoryKeystore
from host_functions.declare import registry
from host_functions.interfaces import keystore
from host_functions.state_machine import FullBackend, Storage, build_state


@pytest.mark.parametrize("scheme", ["ed25519", "sr25519"])
def test_public_keys(vectors: Callable[[str], Any], scheme: str) -> None:
    root, nodes = build_state(Storage())
    generate = registry()[f"ext_crypto_{scheme}_generate_version_1"]
    assert generate in (keystore.ed25519_generate, keystore.sr25519_generate)
    played = 0
    for case in vectors("host_api"):
        inputs = case["inputs"]
        if case["function"] == generate.name:
            secret, key_type = case["mini_secret"], inputs["key_type"].encode()
        elif case["function"] == f"{scheme}_from_seed":
            secret, key_type = inputs["seed"], b"dumy"
        else:
            continue
        with OffchainContext(FullBackend(nodes, root), keystore=MemoryKeystore()).externalities():
            public = generate(key_type, secret.encode())
        assert public.hex() == case["expected"].removeprefix("0x"), case["id"]
        played += 1
    assert played >= 5
