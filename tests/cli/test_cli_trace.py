"""``pileus trace``: rows, the diff, exit statuses, and one line for everything that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pileus.cli.app import main
from pileus.replay import CONTEXTS

Pileus = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def record(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under carried proofs; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "carried"
    topology = repository / "examples" / "two_parachains.toml"
    arguments = ["run", topology, "--blocks", 6, "--relay-state", "carried", "--json", "--out", directory]
    assert main([str(argument) for argument in arguments]) == 0
    return directory


def test_every_pair_of_contexts_agrees(pileus: Pileus, record: Path) -> None:
    for other in CONTEXTS:
        result = pileus("trace", record, "--candidate", "2000-3", "--diff", "author", other)
        assert (result.status, result.err) == (0, "")
        assert f"author and {other} agree on " in result.out


def test_a_trace_shows_the_relay_read_and_its_nodes(pileus: Pileus, record: Path) -> None:
    result = pileus("trace", record, "--candidate", "2000-3", "--json")
    assert (result.status, result.err) == (0, "")
    trace = json.loads(result.out)
    assert (trace["context"], trace["outcome"]) == ("validate-carried", "valid")
    reads = [call for call in trace["calls"] if call["function"].startswith("ext_relay_chain_state_read")]
    assert reads
    assert reads[0]["node_count"] > 3
    assert {call["answered_by"] for call in trace["calls"]} == {"guest", "host"}
    shown = pileus("trace", record, "--candidate", "2000-3")
    assert shown.status == 0
    assert f"validate-carried: {len(trace['calls'])} host calls; valid" in shown.out


def test_the_same_trace_twice(pileus: Pileus, record: Path) -> None:
    first, second = (pileus("trace", record, "--candidate", "1000-3", "--json") for _ in range(2))
    assert first.out == second.out


def test_a_relay_node_that_lost_its_state_is_the_first_difference(
    pileus: Pileus, record: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(record, damaged)
    candidate = json.loads((damaged / "candidates" / "2000-3" / "candidate.json").read_text())
    parent = candidate["relay_parent"]["number"]
    for path in (damaged / "relay" / "nodes").glob(f"{parent:06}-*.scale"):
        path.write_bytes(b"\x00")
    result = pileus("trace", damaged, "--candidate", "2000-3", "--diff", "validate-own", "validate-carried")
    assert result.status == 1
    assert "read_relay_chain_state_into_version_1" in result.err
    assert "gives StateUnavailable" in result.err
    assert result.err.count("\n") == 1
    assert "first differing host call, after " in result.out
    alone = pileus("trace", damaged, "--candidate", "2000-3", "--context", "validate-own")
    assert alone.status == 1
    assert "abstains: RelayStateUnavailable" in alone.err


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (("--candidate", "2000-3", "--context", "x" * 99), ("no context 'xxx", "author, import")),
        (("--candidate", "2000-3", "--diff", "author", "nobody"), ("no context 'nobody'",)),
        (("--candidate", "7-7"), ("no candidate '7-7'", "2000-3")),
        (("--candidate", "2000-3", "--context", "author", "--diff", "author", "import"), ("exclude",)),
        ((), ("--candidate",)),
    ],
)
def test_mistakes_are_one_line(
    pileus: Pileus, record: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    result = pileus("trace", record, *arguments)
    assert result.status == 2
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


def test_a_runtime_that_cannot_be_imported_is_no_agreement(
    pileus: Pileus, record: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(record, copy)
    path = copy / "candidates" / "2000-3" / "candidate.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps({**stated, "runtime": "not_on_the_path"}))
    for arguments in (
        ("trace", copy, "--diff", "author", "validate-carried"),
        ("trace", copy, "--diff", "author", "validate-carried", "--json"),
        ("trace", copy),
        ("pov", "validate", copy),
    ):
        result = pileus(*arguments, "--candidate", "2000-3")
        assert result.status == 1
        assert result.err.count("\n") == 1
        assert "module 'not_on_the_path', cannot be imported: is its folder in PYTHONPATH?" in result.err


def test_no_record(pileus: Pileus, tmp_path: Path) -> None:
    result = pileus("trace", tmp_path, "--candidate", "2000-3")
    assert result.status == 2
    assert "holds no run" in result.err
