"""Metadata of real runtimes, as npm has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pileus.metadata import Metadata


@pytest.fixture(scope="session")
def published(real_chain: Callable[[str], Path]) -> Callable[[str], Metadata]:
    """``published("polkadot-2000000")``: of this runtime; skips the test before ``make real-chains``."""

    @cache
    def read(name: str) -> Metadata:
        found = re.search("'0x([0-9a-f]+)'", real_chain(f"{name}-metadata.js").read_text(encoding="utf-8"))
        assert found is not None
        encoded = bytes.fromhex(found[1])
        return Metadata(encoded[encoded.index(b"meta") :])  # ``Option<OpaqueMetadata>``

    return read
