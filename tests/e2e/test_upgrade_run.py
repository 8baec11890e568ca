"""Runs with ``[[upgrades]]``: parachains change their runtimes, step by step, and it is told as it happens."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from host_functions.compressed_blob import WEAK_LEVEL
from host_functions.executor.frozen.vm import MissingVm, find_vm
from pileus.network.record import RunRecorder
from pileus.network.run import Network
from pileus.network.summary import summary_of
from pileus.network.timeline import slot_lines, summary_tables
from pileus.network.topology import TopologyError, parse_topology
from pileus.relay_chain import prechecking
from pileus.relay_chain.backing import Validator
from pileus.relay_chain.genesis import RelayChainConfig
from runtime.pallets.system import LastRuntimeUpgradeInfo
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.hashing import blake2_256

Pileus = Callable[..., SimpleNamespace]

UPGRADE = '[[upgrades]]\nparachain = 2000\nat = {at}\nruntime = "{runtime}"\n'


@pytest.fixture(autouse=True)
def modules(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for more versions; the example's is importable too."""
    monkeypatch.syspath_prepend(repository / "examples")
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def example(repository: Path) -> str:
    return (repository / "examples" / "upgrade.toml").read_text(encoding="utf-8")


@pytest.fixture
def version(repository: Path, modules: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a version of the example's module, changed by replacements; its name."""

    def write(name: str, *changes: tuple[str, str], source: str = "examples/demo_2.py") -> str:
        text = (repository / source).read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (modules / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def network(text: str) -> Network:
    topology = parse_topology(text)
    return Network(topology, seed=topology.settings.seed, relay_state=topology.settings.relay_state)


def steps(reports: list[Any]) -> list[tuple[int, int, str]]:
    return [(report.block.number, step.para_id, step.kind) for report in reports for step in report.upgrades]


def test_the_example(example: str, repository: Path) -> None:
    run = network(example)
    reports = list(run.run(22))
    assert steps(reports) == [
        (7, 2000, "announced"),
        (8, 2000, "accepted"),
        (11, 2000, "go-ahead"),
        (13, 2000, "applied"),
    ]
    page = (repository / "docs" / "command-line.md").read_text(encoding="utf-8")
    lines = [line.plain for report in reports for line in slot_lines(report)]
    assert [re.sub("0x[0-9a-f]{8}", "0x", line) for line in lines if line.startswith("  upgrade ")] == [
        line for line in page.splitlines() if line.startswith("  upgrade ")
    ]
    assert not any(report.problems for report in reports)
    assert all(candidate.all_valid and candidate.backed for r in reports for candidate in r.candidates)

    # The first version refuses the letters, the second takes them.
    taken = [
        (item.number, len(item.failed), len(item.delivered))
        for report in reports
        for item in report.imported
        if item.para_id == 2000 and item.failed + item.delivered
    ]
    assert taken == [(2, 1, 0), (4, 1, 0), (6, 1, 0), (8, 0, 1), (10, 0, 1)]

    # The sibling has it proven which version made the head that it asked about.
    shown = [value.value for r in reports for item in r.imported for a in item.answers for value in a.values]
    assert shown == [LastRuntimeUpgradeInfo(at, "pileus-demo").encode() for at in (1, 1, 2)]

    summary = summary_of(run)
    assert [para["version"]["spec_version"] for para in summary["parachains"]] == [1, 2]
    (told,) = summary["upgrades"]
    assert [told[key] for key in ("announced", "accepted", "go_ahead", "applied")] == [7, 8, 11, 13]
    assert told["refused"] is told["aborted"] is None
    assert told["code_hash"] == summary["parachains"][1]["code_hash"] != summary["parachains"][0]["code_hash"]


def test_what_waits_is_signed_again(example: str) -> None:
    """Each relay block the upgraded chain is given something to send, also while its next version is being applied."""
    text = example.replace("from = 1000\nto = 2000\nevery = 4", "from = 2000\nto = 1000\nevery = 1")
    run = network(text)
    sent: list[int] = []
    for report in run.run(20):
        assert not report.problems
        sent += [message.nonce for item in report.imported for message in item.sent]
    assert summary_of(run)["upgrades"][0]["applied"] == 13
    assert sent == list(range(1, 19))
    assert len(run.parachains[1].mempool) <= 2  # type: ignore[union-attr]


def test_calls_of_another_transaction_version_are_refused_and_told(
    example: str, version: Callable[..., str]
) -> None:
    """The bytes of a call may mean another one by then."""
    version("recoded", ("spec_version=2)", "spec_version=2, transaction_version=2)"))
    text = example.replace("from = 1000\nto = 2000\nevery = 4", "from = 2000\nto = 1000\nevery = 1")
    run = network(text.replace('"demo_2"', '"recoded"'))
    problems = {report.block.number: report.problems for report in run.run(20) if report.problems}
    # What came with relay block 13, in which the version is applied, meets the new version in 14.
    assert problems == {14: ("upgraded refused an extrinsic: InvalidTransaction::BAD_PROOF",)}


def test_two_upgrades_in_sequence_and_one_too_early(example: str, version: Callable[..., str]) -> None:
    """The second comes within the cooldown and is refused, the third after it and is applied."""
    third = version("demo_3", ("spec_version=2", "spec_version=3"))
    fourth = version("demo_4", ("spec_version=2", "spec_version=4"))
    text = example + UPGRADE.format(at=16, runtime=fourth) + UPGRADE.format(at=13, runtime=third)
    run = network(text)
    reports = list(run.run(27))
    assert steps(reports) == [
        (7, 2000, "announced"),
        (8, 2000, "accepted"),
        (11, 2000, "go-ahead"),
        (13, 2000, "applied"),
        (15, 2000, "refused"),
        (17, 2000, "announced"),
        (18, 2000, "accepted"),
        (21, 2000, "go-ahead"),
        (23, 2000, "applied"),
    ]
    summary = summary_of(run)
    assert [upgrade["spec_version"] for upgrade in summary["upgrades"]] == [2, 3, 4]
    assert summary["upgrades"][1]["refused"] == "ParachainSystem.ProhibitedByPolkadot"
    assert summary["parachains"][1]["version"]["spec_version"] == 4
    assert all(candidate.all_valid for r in reports for candidate in r.candidates)


@pytest.mark.parametrize(
    ("votes_at", "then"),
    [
        # A candidate is pending when the signal is given, and its inclusion takes it away: the chain never sees it,
        # and believes for ever that its code is about to be applied.
        (8, [(17, 2000, "refused")]),
        (
            9,
            [
                (17, 2000, "announced"),
                (18, 2000, "accepted"),
                (21, 2000, "go-ahead"),
                (23, 2000, "applied"),
            ],
        ),
    ],
)
def test_code_that_the_validators_vote_down(
    example: str,
    version: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    votes_at: int,
    then: list[tuple[int, int, str]],
) -> None:
    """The chain stays with what it has. Whether it may have another version later depends on its seeing the signal."""
    third = version("demo_3", ("spec_version=2", "spec_version=3"))
    run = network(example + UPGRADE.format(at=16, runtime=third))
    bad = run.upgrades[0].code_hash

    def precheck(validator: Validator, code_hash: bytes) -> bool | None:
        del validator
        return None if run.chain.best.number + 1 < votes_at else code_hash != bad

    monkeypatch.setattr(prechecking, "precheck", precheck)
    reports = list(run.run(24))
    assert steps(reports) == [(7, 2000, "announced"), (votes_at, 2000, "aborted"), *then]
    assert not any(report.problems for report in reports)
    assert all(candidate.all_valid and candidate.backed for r in reports for candidate in r.candidates)
    summary = summary_of(run)
    assert [upgrade["aborted"] for upgrade in summary["upgrades"]] == [votes_at, None]
    assert summary["upgrades"][1]["refused"] == (
        "ParachainSystem.OverlappingUpgrades" if votes_at == 8 else None
    )
    assert summary["parachains"][1]["version"]["spec_version"] == (1 if votes_at == 8 else 3)
    console = Console(width=100, record=True, file=io.StringIO())
    for table in summary_tables(summary):
        console.print(table)
    assert f"aborted at #{votes_at}" in console.export_text()


def test_an_upgrade_that_governance_does_not_want(example: str, version: Callable[..., str]) -> None:
    """The chain runtime.chains.probe is governed by its root, which no account is."""
    probe = version(
        "probe_2", ("    spec_version=1,", "    spec_version=2,"), source="runtime/chains/probe.py"
    )
    text = example.replace("id = 2000", 'id = 2000\nruntime = "runtime.chains.probe"')
    silent = text[: text.index("[[traffic]]")]
    run = network(silent.replace('"demo_2"', f'"{probe}"'))
    reports = list(run.run(8))
    assert steps(reports) == [(7, 2000, "refused")]
    assert summary_of(run)["upgrades"][0]["refused"] == "BadOrigin"


def test_the_record_names_the_runtime_of_each_candidate(
    pileus: Pileus, repository: Path, tmp_path: Path
) -> None:
    """It can be judged, traced and shown again on both sides of the upgrade; and the same run writes the same bytes."""
    example = repository / "examples" / "upgrade.toml"
    record = tmp_path / "record"
    result = pileus("run", example, "--out", record)
    assert (result.status, result.err) == (0, "")
    for line in (
        "  upgrade   upgraded  code 0x",
        "announced: pileus-demo 1 → 2, to be compiled and voted on",
        "accepted, go-ahead due at relay #11",
        "has the relay chain's go-ahead",
        "applied: pileus-demo 1 → 2, from the next block on",
    ):
        assert line in result.out
    runtimes = {
        label: json.loads((record / "candidates" / label / "candidate.json").read_bytes())["runtime"]
        for label in (f"2000-{number}" for number in range(1, 11))
    }
    assert runtimes == {
        f"2000-{number}": "runtime.chains.demo" if number <= 6 else "demo_2" for number in range(1, 11)
    }
    for label in ("2000-3", "2000-6", "2000-7"):
        for mode in ("own", "carried"):
            judged = pileus("pov", "validate", record, "--candidate", label, "--relay-state", mode)
            assert (judged.status, judged.err) == (0, "")
    # Making the block that brings the code asks for its version; every context answers.
    for pair in (("author", "validate-carried"), ("import", "validate-own")):
        traced = pileus("trace", record, "--candidate", "2000-3", "--diff", *pair)
        assert (traced.status, traced.err) == (0, "")
    told = [
        step
        for path in sorted((record / "relay" / "blocks").iterdir())
        for step in json.loads(path.read_bytes()).get("upgrades", ())
    ]
    assert [step["step"] for step in told] == ["announced", "accepted", "go-ahead", "applied"]

    again = tmp_path / "again"
    text = example.read_text(encoding="utf-8")
    run = network(text)
    recorder = RunRecorder(again, run, text)
    for report in run.run(22):
        recorder.record(report)
    recorder.finish()
    files = [path.relative_to(record) for path in sorted(record.rglob("*")) if path.is_file()]
    assert files == [path.relative_to(again) for path in sorted(again.rglob("*")) if path.is_file()]
    assert all((record / path).read_bytes() == (again / path).read_bytes() for path in files)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["wasm", "both"])
def test_a_frozen_blob_is_what_travels(
    pileus: Pileus, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, execution: str
) -> None:
    """Compressed, hastily here: the strongest level takes seconds."""
    if find_vm_or_none() is None:
        pytest.skip("no Python VM: make vm")
    monkeypatch.setattr("host_functions.executor.frozen.freeze.STRONG_LEVEL", WEAK_LEVEL)
    # A slow machine is no reason to abstain.
    params = replace(RelayChainConfig().executor_params, code_bomb_limit=60 << 20, backing_timeout=60.0)
    monkeypatch.setattr(RelayChainConfig, "executor_params", params)
    text = example.replace("id = 2000", f'id = 2000\nexecution = "{execution}"')
    topology = tmp_path / "upgrade.toml"
    topology.write_text(text, encoding="utf-8")
    record = tmp_path / "record"
    result = pileus("run", topology, "--blocks", 16, "--out", record, "--json")
    assert (result.status, result.err) == (0, "")
    summary = json.loads(result.out)
    (told,) = summary["upgrades"]
    assert (told["announced"], told["go_ahead"], told["applied"]) == (7, 11, 13)
    assert summary["problems"] == 0
    assert [para["version"]["spec_version"] for para in summary["parachains"]] == [1, 2]
    before, after = (
        json.loads((record / "candidates" / label / "candidate.json").read_bytes())["runtime"]
        for label in ("2000-6", "2000-7")
    )
    assert before != after == told["code_hash"] == summary["parachains"][1]["code_hash"]
    code = (record / "codes" / after[2:]).read_bytes()
    assert len(code) == told["code_bytes"]
    assert f"0x{blake2_256(code).hex()}" == after
    for label in ("2000-3", "2000-6", "2000-7"):
        judged = pileus("pov", "validate", record, "--candidate", label)
        assert (judged.status, judged.err) == (0, "")
        traced = pileus("trace", record, "--candidate", label, "--diff", "author", "validate-carried")
        assert (traced.status, traced.err) == (0, "")


def find_vm_or_none() -> bytes | None:
    try:
        return find_vm()
    except MissingVm:
        return None


def test_only_chains_that_are_upgraded_are_governed(example: str) -> None:
    """Elsewhere the genesis is what it was without the section."""
    without = network(example[: example.index("[[upgrades]]")])
    run = network(example)
    before, after = ([para.node.genesis_hash for para in one.parachains] for one in (without, run))
    assert before[0] == after[0]
    assert before[1] != after[1]
    for _ in run.run(5):
        pass
    authority, brought = run.parachains[1].governance  # type: ignore[union-attr]
    assert [Extrinsic.decode(one).call[:2] for one in (authority, brought)] == [b"\x00\x09", b"\x00\x0b"]


def refused(text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        network(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "demo_2",
            "demo2",
            "$.upgrades[0].runtime: expected an importable runtime module, No module named 'demo2' "
            "(is its folder in PYTHONPATH?)",
        ),
        ("demo_2", "json", "$.upgrades[0].runtime: expected a runtime module, module json is not a runtime"),
        (
            "demo_2",
            "runtime.chains.demo",
            "$.upgrades[0].runtime: expected a spec_version above 1, which the chain has by then, "
            "runtime.chains.demo has 1",
        ),
        (
            "demo_2",
            "runtime.chains.probe",
            '$.upgrades[0].runtime: expected another version of "pileus-demo", runtime.chains.probe is "pileus-probe"',
        ),
        (
            'runtime = "demo_2"\n',
            'runtime = "demo_2"\n' + UPGRADE.format(at=15, runtime="demo_2"),
            "$.upgrades[1].runtime: expected a spec_version above 2, which the chain has by then, demo_2 has 2",
        ),
        (
            "max_code_size = 8388608",
            "max_code_size = 600000",
            "$.upgrades[0].runtime: expected at most 600000 bytes of code, $.relaychain.genesis.",
        ),
        (
            "validation_upgrade_delay",
            "max_pov_size = 600000\nvalidation_upgrade_delay",
            "$.upgrades[0].runtime: expected at most 493616 bytes of code, what a block may have of its max_pov_size, ",
        ),
    ],
)
def test_versions_that_cannot_follow(example: str, old: str, new: str, expected: str) -> None:
    assert refused(example.replace(old, new)).startswith(expected)


def test_a_module_that_fails_at_import(example: str, version: Callable[..., str]) -> None:
    failing = version("failing", ("VERSION = replace(demo.VERSION, spec_version=2)", "VERSION = 1 / 0"))
    assert refused(example.replace("demo_2", failing)) == (
        "$.upgrades[0].runtime: expected an importable runtime module, "
        "failing raised ZeroDivisionError: division by zero"
    )


def test_a_version_without_a_pallet_that_the_topology_uses(example: str, version: Callable[..., str]) -> None:
    without = version("without", ("lookout = Lookout(state_query)\n", ""), ("        55: lookout,\n", ""))
    text = example.replace("demo_2", without).replace("parachain = 2000", "parachain = 1000")
    assert refused(text) == (
        "$.upgrades[0].runtime: expected a pallet lookout, which $.queries[0].from needs, without has none"
    )


def test_code_that_no_block_has_room_for(example: str, version: Callable[..., str]) -> None:
    """It is the version before that decides how long a block may be."""
    narrow = version(
        "narrow",
        ("spec_version=2", "spec_version=1"),
        ("governance=demo.ensure_authority)", "governance=demo.ensure_authority, limits=LIMITS)"),
        ("import System, phase_codec\n", "import BlockLimits, System, phase_codec\n"),
        ("\n\nclass Mailbox", "\nLIMITS = BlockLimits(max_length=600_000)\n\n\nclass Mailbox"),
    )
    assert refused(example.replace("id = 2000", f'id = 2000\nruntime = "{narrow}"')).startswith(
        "$.upgrades[0].runtime: expected at most 583616 bytes of code, what a block of the version before has room for"
    )
