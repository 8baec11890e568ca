"""What the relay chain model keeps about code has the keys and the layout that a real relay chain's metadata state.

Rococo's genesis runtime among the vectors is of before ``UpgradeStrategy``, the last field of a vote's cause.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from host_functions.contexts import OffchainContext
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.state_machine import FullBackend
from pileus.chain_spec import build_genesis, parse_runtime_file
from pileus.metadata import Metadata
from pileus.relay_chain import pvf_checks, upgrades
from pileus.testing.upstream import layout_differences
from runtime.primitives.scale import Codec, h256, tuple_of, u32, vec

PARA = 2000
HASH = bytes(range(32))


@pytest.fixture(scope="module")
def rococo(vectors_dir: Path) -> Metadata:
    spec = parse_runtime_file((vectors_dir / "files" / "rococo-genesis.json.gz").read_bytes()).spec
    assert spec is not None
    assert spec.code is not None
    runtime = WasmRuntime(spec.code, cache=CompileCache.default())
    genesis = build_genesis(spec.genesis, runtime.version.state_version)
    backend = FullBackend(genesis.nodes, genesis.header.state_root, genesis.layout)
    return Metadata.of(runtime, OffchainContext(backend))


@pytest.mark.parametrize(
    "item, ours, keys",
    [
        ("PvfActiveVoteMap", pvf_checks.active_vote_key(HASH), [HASH]),
        ("PvfActiveVoteList", pvf_checks.ACTIVE_VOTE_LIST, []),
        ("FutureCodeHash", upgrades.future_code_hash(PARA), [u32.encode(PARA)]),
        ("FutureCodeUpgrades", upgrades.future_code_upgrades(PARA), [u32.encode(PARA)]),
        ("PastCodeMeta", upgrades.past_code_meta(PARA), [u32.encode(PARA)]),
        ("PastCodeHash", upgrades.past_code_hash(PARA, 9), [u32.encode(PARA) + u32.encode(9)]),
        ("CodeByHash", upgrades.code_by_hash(HASH), [HASH]),
        ("UpcomingUpgrades", upgrades.UPCOMING_UPGRADES, []),
        ("UpgradeCooldowns", upgrades.UPGRADE_COOLDOWNS, []),
    ],
)
def test_keys(rococo: Metadata, item: str, ours: bytes, keys: list[bytes]) -> None:
    assert ours == rococo.storage_key("Paras", item, *keys)


@pytest.mark.parametrize(
    "item, ours, later",
    [
        (
            "PvfActiveVoteMap",
            pvf_checks.PvfCheckActiveVoteState.codec(),
            {"vote.causes[].Upgrade: 3 fields, not 2"},
        ),
        ("PvfActiveVoteList", vec(h256), set()),
        ("PastCodeMeta", upgrades.ParaPastCodeMeta.codec(), set()),
        ("UpcomingUpgrades", vec(tuple_of(u32, u32)), set()),
        ("UpgradeCooldowns", vec(tuple_of(u32, u32)), set()),
    ],
)
def test_layouts(rococo: Metadata, item: str, ours: Codec[Any], later: set[str]) -> None:
    found = set(layout_differences(ours, rococo.item("Paras", item).value_type, rococo, "vote"))
    assert found == later
