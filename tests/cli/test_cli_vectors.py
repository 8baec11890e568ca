"""The byte-level verbs on real data: the conformance vectors, and the examples of the README."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.cli.app import main

Vectors = Callable[[str], Any]


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    "case",
    [
        "kilt-polkadot-parahead-2086-block-16363919",
        "westend-dday-paras-heads-1000-block-24915815",
        "westend-dday-assethub-account-block-10990425",
        "smoldot-example-proof",
        "gossamer-parachain-header-state-proof",
    ],
)
def test_real_proofs_hold_and_their_damaged_twins_do_not(
    case: str, vectors: Vectors, vectors_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, error = outcome(["proof", "verify", f"{vectors_dir}/proofs.json", "--case", case], capsys)
    assert (status, error) == (0, "")
    (proof,) = [entry for entry in vectors("proofs") if entry["id"] == case]
    keys = {wish["key"]: wish.get("value") for wish in proof["expect"] if wish["outcome"] != "incomplete"}
    twin = tmp_path / "twin.json"
    refusals = 0
    for at in range(len(proof["proof"])):
        nodes = proof["proof"][:at] + proof["proof"][at + 1 :]
        twin.write_text(json.dumps({"root": proof["root"], "proof": nodes, "keys": keys}))
        status, out, error = outcome(["proof", "verify", str(twin)], capsys)
        refusals += status
        assert status == 0 or re.search(r"nothing: node 0x[0-9a-f]{64} is missing", error), error
        # A missing node is never reported as the key's absence.
        assert out.count("  absence") <= sum(value is None for value in keys.values())
    assert refusals > 0


def test_every_proof_shows_what_its_case_says(
    vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.json"
    for proof in vectors("proofs"):
        file.write_text(json.dumps(proof))
        status, out, error = outcome(["proof", "verify", str(file), "--json"], capsys)
        assert status == (0 if proof["valid"] else 1), (proof["id"], error)
        if not out:
            continue
        assert len(json.loads(out)["duplicates"]) == (proof.get("duplicate_nodes") or 0)


def test_every_root_of_listed_entries(
    vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.json"
    cases = [case for case in vectors("trie_roots") if "entries" in case or "values" in case]
    assert len(cases) > 50
    for case in cases:
        file.write_text(json.dumps(case))
        status, out, error = outcome(["trie", "root", str(file)], capsys)
        assert (status, out.strip()) == (0, case["root"]), (case["id"], error)


def test_every_header(vectors: Vectors, capsys: pytest.CaptureFixture[str]) -> None:
    for case in vectors("headers")["headers"]:
        status, out, error = outcome(["header", "decode", case["scale"], "--json"], capsys)
        assert status == (0 if case["valid"] else 2), (case["id"], error)
        if status == 0:
            document = json.loads(out)
            for name in ("hash", "number", "parent_hash", "state_root", "extrinsics_root"):
                assert document[name] == case[name], (case["id"], name)


def test_every_relay_key(vectors: Vectors, capsys: pytest.CaptureFixture[str]) -> None:
    data = vectors("relay_keys")
    names = json.loads(outcome(["key", "relay", "--list", "--json"], capsys)[1])
    checked = 0
    for case in data["keys"]:
        if case["name"] in names:
            arguments = ["key", "relay", case["name"], *map(str, case["args"])]
            assert outcome(arguments, capsys)[1].strip() == case["key"]
            checked += 1
    assert checked > 5
    for case in data["prefixes"]:
        if case.get("pallet") and case.get("item"):
            assert (
                outcome(["key", "storage", case["pallet"], case["item"]], capsys)[1].strip() == case["prefix"]
            )


README_EXAMPLE = re.compile(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


def test_examples_of_the_readme(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = README_EXAMPLE.findall((repository / "README.md").read_text(encoding="utf-8"))
    assert len(examples) >= 3
    for command, expected in examples:
        if command.startswith("python "):
            continue  # tests/e2e/test_examples.py runs it
        *feeding, verb = command.split(" | ")
        if feeding:
            echo, text = shlex.split(feeding[0])
            assert echo == "echo"
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        program, *arguments = shlex.split(verb)
        assert program == "pileus"
        assert outcome(arguments, capsys) == (0, expected, "")


def test_run_of_the_readme(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (excerpt,) = re.findall(
        r"^```text\n(.*?)^```", (repository / "README.md").read_text("utf-8"), re.M | re.S
    )
    topology = repository / "examples" / "transfers_and_queries.toml"
    status, out, _ = outcome(["run", str(topology), "--relay-state", "carried", "--blocks", "8"], capsys)
    assert status == 0
    # Block hashes change with every change of the runtime's source, which is in the state as `:code`, and with them
    # by some bytes how well a PoV compresses.
    masked = [re.sub(r"0x[0-9a-f]{8}…|PoV [0-9,]+ B", "…", text) for text in (excerpt, out)]
    assert masked[0] in masked[1], "README.md shows other output than `make demo` prints"
