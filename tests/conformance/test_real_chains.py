"""The chain specs that `make real-chains` fetches: genesis hashes of the networks, and the parachain at work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from host_functions.executor.wasm import CompileCache, WasmRuntime
from pileus.chain_spec import build_genesis, hasher_of, parse_runtime_file, version_of
from pileus.real_runtimes import author_and_validate, bare_spec
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


@pytest.mark.slow
def test_a_bare_runtime_begins_a_chain(real_chain: RealChain) -> None:
    """Without ``:c`` beside ``:code`` in the genesis every PoV would carry the code, of 1.5 MB."""
    code = parse_runtime_file(real_chain("acala-2220.wasm").read_bytes()).code
    assert code is not None
    spec = bare_spec(WasmRuntime(code, cache=CompileCache.default()))
    report = author_and_validate(spec, cache=CompileCache.default())
    assert report.passed, report.reason
    assert all(block.pov_bytes < 6_000 for block in report.blocks)


def test_the_page_runs_as_written(
    real_chain: RealChain,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The Python of the page 'Real runtimes', from top to bottom."""
    folder = real_chain("rococo_v2_2_asset_hub.json").parent
    page = (repository / "docs" / "real-runtimes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    monkeypatch.chdir(repository)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block.replace(".cache/real-chains", str(folder)), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "starts True 1",
        "authored True 3",
        "executed True 3",
        "validated True 3",
        "included True 3",
        "flips refused True 20",
    ]
    assert [line.split()[0] for line in lines[6:9]] == ["1", "2", "3"]
    assert lines[9].split()[0] == "52"


@pytest.mark.slow
def test_the_bare_runtime_tells_its_version(real_chain: RealChain) -> None:
    found = parse_runtime_file(real_chain("acala-2220.wasm").read_bytes())
    assert found.spec is None
    assert found.code is not None
    runtime = WasmRuntime(found.code, cache=CompileCache.default())
    assert (runtime.version.spec_name, runtime.version.spec_version) == ("acala", 2220)
    assert hasher_of(found.code) == BLAKE2B_256
    assert "validate_block" in runtime.blob.entry_points


@pytest.mark.slow
def test_an_author_of_a_moonbeam_network_proves_its_randomness(more_chain: RealChain) -> None:
    """From the second block on the runtime checks a VRF output and its proof. No npm package has such a runtime.

    ``moonbase-runtime-4300.txt`` is in the Chopsticks repository; it is a runtime of 2025 with versioned block data.
    """
    code = parse_runtime_file(more_chain("moonbase-runtime-4300.txt").read_bytes()).code
    assert code is not None
    spec = bare_spec(WasmRuntime(code, cache=CompileCache.default()))
    report = author_and_validate(spec, blocks=3, cache=CompileCache.default())
    assert report.passed, report.reason
