"""The chain specs that anybody gets with ``make real-chains``: what is promised about them, promise by promise.

Rococo's relay chain of 2021 and its Asset Hub, both running the networks' own code; the other chains of the set make
blocks. ``make test-real`` runs these.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, compress, decompress
from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import CODE, ChainSpec, parse_runtime_file
from pileus.cli.app import main
from pileus.metadata import Event, Metadata
from pileus.real_runtimes import RealParachain, RealRelay, Stage, author_and_validate
from pileus.relay_chain.inclusion import RefusalReason
from pileus.testing.real_pair import RealPair
from pileus.testing.transfers import collate_next
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.digest import RuntimeEnvironmentUpdated
from runtime.primitives.scale import byte_vec

RealChain = Callable[[str], Path]

RELAY = "rococo_v2_1.json"
PARA = "rococo_v2_2_asset_hub.json"


def spec_in(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


@pytest.fixture
def specs(real_chain: RealChain) -> tuple[ChainSpec, ChainSpec]:
    return spec_in(real_chain(RELAY)), spec_in(real_chain(PARA))


def test_everything_fetched_is_compatible(real_chain: RealChain, capsys: pytest.CaptureFixture[str]) -> None:
    folder = real_chain(RELAY).parent
    assert main(["compat", "--json", str(folder)]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [row["runtime"] for row in rows] == [
        "acala-2220", "kusama-1020", "polkadot-0", "rococo-9140", "statemine-900", "westend-1",
    ]  # fmt: skip
    included = {row["runtime"]: row["columns"]["included"] for row in rows}
    assert included["statemine-900"] == included["acala-2220"] == {"passed": True, "count": 3}
    assert included["rococo-9140"] == {"passed": True, "count": 3}
    assert {row["relay"] for row in rows if row["kind"] == "parachain"} == {"rococo_v2_1"}


def test_three_rounds_and_every_flip_refused(specs: tuple[ChainSpec, ChainSpec]) -> None:
    relay, para = specs
    cache = CompileCache.default()
    report = author_and_validate(
        para, relay=lambda one: RealRelay.from_spec(relay, [one], cache=cache), flips=200, cache=cache
    )
    assert report.passed, report.reason
    counts = {result.stage: result.count for result in report.stages}
    assert counts[Stage.INCLUDED] == 3
    assert (
        counts[Stage.FLIPS_REFUSED] >= 195
    )  # the rest is accepted with the same result: bytes that nobody reads


def test_a_forged_candidate_is_filtered_and_reported(specs: tuple[ChainSpec, ChainSpec]) -> None:
    cache = CompileCache.default()
    para = RealParachain.from_spec(specs[1], cache=cache)
    relay = RealRelay.from_spec(specs[0], [para], cache=cache)
    backed = relay.chain.back(collate_next(para, relay), carried=False).backed
    assert backed is not None
    commitments = backed.candidate.commitments
    head = bytes([commitments.head_data[0] ^ 1]) + commitments.head_data[1:]
    forged = replace(
        backed, candidate=replace(backed.candidate, commitments=replace(commitments, head_data=head))
    )
    parent = relay.chain.best.hash
    built = relay.chain.build_block([forged], parent=parent)
    assert built.block.backed == built.block.pending == ()
    assert [refusal.reason for refusal in built.refused] == [RefusalReason.PARA_HEAD_MISMATCH]
    assert relay.chain.build_block([backed], parent=parent).block.backed == (backed,)


def test_side_by_side_with_a_python_parachain(
    real_chain: RealChain,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PILEUS_REAL_CHAINS", str(real_chain(RELAY).parent))
    example = str(repository / "examples" / "real_relay.toml")
    assert main(["run", example]) == 0
    shown = capsys.readouterr().out
    assert "14 candidates, 14 valid for every backer" in shown
    assert shown.count("included  asset-hub #") == shown.count("included  python #") == 7
    assert "is shown 1000 at head 0x" in shown
    assert "ParachainInfo.ParachainId = 1000" in shown
    assert "Paras.Parachains = [1000, 2000]" in shown
    assert main(["run", example, "--relay-state", "carried", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [para["included"] for para in summary["parachains"]] == [7, 7]
    assert summary["candidates"] == {"total": 14, "valid_for_every_backer": 14, "backed": 14}


def relay_events(both: RealPair) -> tuple[Event, ...]:
    key = both.relay_metadata.storage_key("System", "Events")
    stored = both.relay.get_storage_by_key(both.relay.best_block_hash(), key)
    return both.relay_metadata.events(stored or b"\x00")


def test_messages_down_and_up_are_delivered(specs: tuple[ChainSpec, ChainSpec]) -> None:
    """The queues and events of both runtimes; what XCM makes of the messages is another test's subject."""
    both = RealPair(*specs, cache=CompileCache.default())
    para_id = both.para.para_id
    instruction = {"V2": ["ClearOrigin"]}
    both.sudo(
        both.relay_metadata.compose_call("ParasSudoWrapper", "sudo_queue_downward_xcm", para_id, instruction)
    )
    (queued,) = both.relay.retrieve_dmq_contents(para_id, both.relay.best_block_hash())
    assert queued.sent_at == both.relay.chain.best.number
    down = both.step()
    assert down.commitments.processed_downward_messages == 1
    assert both.relay.retrieve_dmq_contents(para_id, both.relay.best_block_hash()) == ()
    assert [event.name for event in both.para.events() if event.pallet == "DmpQueue"] == ["ExecutedDownward"]

    beneficiary = {"AccountId32": {"network": "Any", "id": f"0x{both.signer.account.hex()}"}}
    call = both.para.metadata.compose_call(
        "PolkadotXcm",
        "teleport_assets",
        {"V1": {"parents": 1, "interior": "Here"}},
        {"V1": {"parents": 0, "interior": {"X1": beneficiary}}},
        {"V1": [{"id": {"Concrete": {"parents": 1, "interior": "Here"}}, "fun": {"Fungible": 10**12}}]},
        0,
    )
    up = both.step([both.para.signed(call, both.signer)])
    # The runtime executes upward messages while it includes the candidate.
    events = [event.name for event in relay_events(both) if event.pallet == "Ump"]
    assert events.count("ExecutedUpward") == len(up.commitments.upward_messages) >= 1
    assert "UpwardMessagesReceived" in events


def another(code: bytes) -> bytes:
    """The same runtime with another hash: a custom section more."""
    wasm = decompress(code, CODE_BLOB_BOMB_LIMIT) + b"\x00\x08\x03foobar!"
    packed = compress(wasm, BlobKind.LEGACY, CODE_BLOB_BOMB_LIMIT)
    assert packed is not None
    return packed


def set_code(both: RealPair, call: str, code: bytes) -> str:
    """What became of ``System.<call>`` by root, as ``Sudo.Sudid`` says."""
    metadata = both.relay_metadata
    weight = 1_000
    both.submit(
        metadata.compose_call(
            "Sudo",
            "sudo_unchecked_weight",
            metadata.compose_call("System", call, byte_vec.encode(code)),
            weight,
        )
    )
    (outcome,) = [event for event in relay_events(both) if event.name == "Sudid"]
    return str(outcome.fields)


def test_the_relay_runtime_is_replaced_by_root(specs: tuple[ChainSpec, ChainSpec]) -> None:
    both = RealPair(*specs, cache=CompileCache.default())
    chain = both.relay.chain
    old = chain.state(chain.best).get(CODE)
    assert old is not None
    for refused in (old, old[:1000], b"no code"):
        assert "Err" in set_code(both, "set_code", refused)
        assert chain.state(chain.best).get(CODE) == old
    new = another(old)
    assert "Ok" in set_code(both, "set_code_without_checks", new)
    applied = next(
        block
        for block in (chain.best, chain.block(chain.best.parent_hash))
        if any(isinstance(item, RuntimeEnvironmentUpdated) for item in block.header.digest)
    )
    assert chain.state(applied).get(CODE) == new
    assert chain.runtime(applied).code == new
    assert chain.runtime(chain.block(applied.parent_hash)).code == old
    number = both.para.node.best_header.number
    both.step()
    assert both.para.node.best_header.number == number + 1
    assert chain.runtime(chain.best).code == new


@pytest.mark.slow
def test_the_relay_runtime_is_upgraded_to_the_next_version(
    specs: tuple[ChainSpec, ChainSpec], vectors_dir: Path
) -> None:
    """9140 to 9190: checked by the old runtime, migrated by the new one, and parachains go on."""
    new = spec_in(vectors_dir / "files" / "rococo-genesis.json.gz").code
    assert new is not None
    both = RealPair(*specs, cache=CompileCache.default())
    chain = both.relay.chain
    both.step()
    assert "Ok" in set_code(both, "set_code", new)
    assert chain.state(chain.best).get(CODE) == new
    chain.build_block()
    version = chain.runtime(chain.best).version
    assert (version.spec_name, version.spec_version) == ("rococo", 9190)
    both.relay_metadata = Metadata(byte_vec.decode(chain.call("Metadata_metadata", b"", chain.best)))
    upgrade = both.relay_value("System", "LastRuntimeUpgrade")
    assert upgrade["spec_version"] == 9190
    for _ in range(2):
        both.step()
    assert both.para.node.best_header.number == 3
