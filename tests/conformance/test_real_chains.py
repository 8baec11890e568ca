"""The chain specs that `make real-chains` fetches: genesis hashes of the networks, and the parachain at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from host_functions.executor.wasm import CompileCache, WasmRuntime
from pileus.chain_spec import build_genesis, hasher_of, parse_runtime_file, version_of
from pileus.real_runtimes import author_and_validate
from runtime.trie.layout import BLAKE2B_256

RealChain = Callable[[str], Path]

HASHES = {
    "polkadot.json": "91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3",
    "kusama.json": "b0a8d493285c2df73290dfb7e61f870f17b41801197a149ca93654499ea3dafe",
    "westend.json": "e143f23803ac50e8f6f8e62695d1ce9e4e1d68aa36c1cd2cfd15340213f3423e",
}
"""As every explorer shows them."""


@pytest.mark.parametrize("name", HASHES)
def test_genesis_hashes(real_chain: RealChain, name: str) -> None:
    spec = parse_runtime_file(real_chain(name).read_bytes()).spec
    assert spec is not None
    assert spec.code is not None
    version, _ = version_of(spec.code, cache=CompileCache.default())
    genesis = build_genesis(spec.genesis, version.state_version, hasher_of(spec.code))
    assert genesis.hash.hex() == HASHES[name]


def test_the_parachain_authors_and_validates(real_chain: RealChain) -> None:
    spec = parse_runtime_file(real_chain("rococo_v2_2_asset_hub.json").read_bytes()).spec
    assert spec is not None
    assert (spec.id, spec.para_id) == ("asset-hub-rococo", 1000)
    report = author_and_validate(spec, cache=CompileCache.default())
    assert report.passed, report.reason
    assert report.para is not None
    assert report.para.para_id == 1000


def test_the_bare_runtime_tells_its_version(real_chain: RealChain) -> None:
    found = parse_runtime_file(real_chain("acala-2220.wasm").read_bytes())
    assert found.spec is None
    assert found.code is not None
    runtime = WasmRuntime(found.code, cache=CompileCache.default())
    assert (runtime.version.spec_name, runtime.version.spec_version) == ("acala", 2220)
    assert hasher_of(found.code) == BLAKE2B_256
    assert "validate_block" in runtime.blob.entry_points
