"""``pileus run`` and ``pileus pov``: what they print, exit statuses, and one line for everything that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from host_functions.executor.wasm.blob import CallingStyle
from pileus.cli.app import main
from pileus.relay_chain.backing import Validator
from pileus.testing.guests import storage_echo
from pov_validator import Abstain, AbstainReason, Verdict
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import PoV

Pileus = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def example(repository: Path) -> Path:
    return repository / "examples" / "two_parachains.toml"


@pytest.fixture(scope="module")
def record(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run under carried proofs; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "carried"
    arguments = [
        "run",
        str(example),
        "--blocks",
        "6",
        "--relay-state",
        "carried",
        "--json",
        "--out",
        str(directory),
    ]
    assert main(arguments) == 0
    return directory


def one_line(result: SimpleNamespace, status: int, *parts: str) -> None:
    assert result.status == status, result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("pileus: ")
    assert "Traceback" not in result.err + result.out
    for part in parts:
        assert part in result.err


class TestRun:
    @pytest.mark.parametrize("mode", ["own", "carried", "fallback"])
    def test_messages_are_delivered_both_ways(self, pileus: Pileus, example: Path, mode: str) -> None:
        result = pileus("run", example, "--blocks", 8, "--relay-state", mode)
        assert (result.status, result.err) == (0, "")
        assert "delivered 1000→2000 #1-2" in result.out
        assert "delivered 2000→1000 #1" in result.out
        assert f"8 candidates, 8 valid for every backer; relay state: {mode}; seed 1" in result.out

    def test_json_is_json_and_nothing_else(self, pileus: Pileus, example: Path) -> None:
        result = pileus("run", example, "--blocks", 4, "--seed", 7, "--json")
        assert (result.status, result.err) == (0, "")
        summary = json.loads(result.out)
        assert summary["seed"] == 7
        assert summary["relay_chain"]["blocks"] == 4
        assert summary["candidates"] == {"total": 4, "valid_for_every_backer": 4, "backed": 4}

    def test_the_same_run_prints_the_same(self, pileus: Pileus, example: Path) -> None:
        first, second = (pileus("run", example, "--blocks", 4, "--json") for _ in range(2))
        assert first.out == second.out

    def test_settings_of_the_file_are_the_defaults(
        self, pileus: Pileus, example: Path, tmp_path: Path
    ) -> None:
        changed = tmp_path / "changed.toml"
        text = example.read_text(encoding="utf-8")
        changed.write_text(
            text.replace("seed = 1 ", "seed = 9 ").replace("seed = 1\n", "seed = 9\n"), encoding="utf-8"
        )
        changed.write_text(
            changed.read_text(encoding="utf-8").replace("blocks = 14", "blocks = 2"), encoding="utf-8"
        )
        summary = json.loads(pileus("run", changed, "--json").out)
        assert (summary["seed"], summary["relay_chain"]["blocks"], summary["relay_state"]) == (9, 2, "own")

    def test_exit_1_if_a_backer_could_not_say_valid(
        self, pileus: Pileus, example: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of three abstains: everything is still backed, delivered and shown, and the exit status tells."""

        def one_abstains(self: Validator, *arguments: Any, **options: Any) -> Verdict:
            if self.name == "bob":
                return Abstain(AbstainReason.HOST_FAILURE, "the disk is full")
            return judge(self, *arguments, **options)

        judge = Validator.validate
        monkeypatch.setattr(Validator, "validate", one_abstains)
        result = pileus("run", example, "--blocks", 4)
        one_line(result, 1, "2 of 4 candidates were not valid for every backer")
        assert "backed 2/3" in result.out
        assert "alice valid  bob abstains  charlie valid" in result.out
        assert "bob: HostFailure: the disk is full" in result.out

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (("id = 1000", 'id = "left"'), "$.parachains[0].id: expected `int`, got `str`"),
            (("id = 1000", "idd = 1000"), "$.parachains[0].idd: unknown key"),
            (
                ('runtime = "runtime.chains.demo"', 'runtime = "no.such"'),
                "$.parachains[0].runtime: expected an import",
            ),
            (('execution = "native"', 'execution = "jit"'), "$.parachains[0].execution"),
        ],
    )
    def test_a_bad_topology(
        self, pileus: Pileus, example: Path, tmp_path: Path, change: tuple[str, str], expected: str
    ) -> None:
        bad = tmp_path / "bad.toml"
        bad.write_text(example.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
        one_line(pileus("run", bad), 2, "bad.toml: " + expected)

    def test_bad_arguments(self, pileus: Pileus, example: Path, record: Path) -> None:
        one_line(pileus("run", "missing.toml"), 2, "missing.toml", "No such file")
        one_line(pileus("run", example, "--relay-state", "trust"), 2, "own", "carried")
        one_line(pileus("run", example, "--blocks", 0), 2, "--blocks")
        one_line(pileus("run", example, "--out", record), 2, "not an empty directory: name another one")


class TestValidate:
    def test_what_a_candidate_in_wasm_needs_of_its_record(
        self, pileus: Pileus, record: Path, tmp_path: Path
    ) -> None:
        """Its code, and the topology, which says how large code may be."""
        damaged = tmp_path / "damaged"
        shutil.copytree(record, damaged)
        code = storage_echo(CallingStyle.RFC145)
        name = blake2_256(code).hex()
        path = damaged / "candidates" / "2000-2" / "candidate.json"
        stated = json.loads(path.read_bytes())
        path.write_text(json.dumps({**stated, "runtime": f"0x{name}"}))
        arguments = "pov", "validate", damaged, "--candidate", "2000-2"
        one_line(pileus(*arguments), 2, "cannot read", f"codes/{name}")
        (damaged / "codes" / name).write_bytes(code)
        one_line(pileus(*arguments), 1, "ValidationCodeUnavailable", f"has 0x{name}")
        (damaged / "topology.toml").write_text("[relaychain")
        one_line(pileus(*arguments), 2, "topology.toml: not TOML")

    @pytest.mark.parametrize("mode", ["own", "carried", "fallback"])
    def test_a_candidate_is_judged_again(self, pileus: Pileus, record: Path, mode: str) -> None:
        result = pileus("pov", "validate", record, "--candidate", "2000-2", "--relay-state", mode)
        assert (result.status, result.err) == (0, "")
        assert "verdict                      Valid" in result.out

    def test_json(self, pileus: Pileus, record: Path) -> None:
        result = pileus("pov", "validate", record, "--candidate", "2000-2", "--json")
        verdict = json.loads(result.out)
        assert verdict["verdict"] == "Valid"
        assert verdict["relay_state"] == "carried"
        assert [entry["verdict"] for entry in verdict["recorded"]["verdicts"]] == ["Valid"] * 3

    def test_a_damaged_pov_is_invalid_with_the_reason(
        self, pileus: Pileus, record: Path, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(record, tmp_path / "copy")
        path = copy / "candidates" / "2000-2" / "pov.bin"
        pov = PoV.decode(path.read_bytes())
        path.write_bytes(PoV(pov.block_data[:-1] + bytes([pov.block_data[-1] ^ 1])).encode())
        one_line(pileus("pov", "validate", copy, "--candidate", "2000-2"), 1, "invalid: PoVHashMismatch")

    def test_without_relay_states_own_abstains_and_carried_does_not_care(
        self, pileus: Pileus, record: Path, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(record, tmp_path / "copy")
        shutil.rmtree(copy / "relay")
        validate = ("pov", "validate", copy, "--candidate", "2000-2", "--relay-state")
        one_line(pileus(*validate, "own"), 1, "abstains: RelayStateUnavailable")
        assert pileus(*validate, "carried").status == 0
        assert pileus(*validate, "fallback").status == 0

    def test_another_runtime_is_missing_code_and_not_a_wrong_candidate(
        self, pileus: Pileus, record: Path, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(record, tmp_path / "copy")
        path = copy / "candidates" / "2000-2" / "candidate.json"
        path.write_text(path.read_text().replace("runtime.chains.demo", "runtime.chains.gone"))
        one_line(
            pileus("pov", "validate", copy, "--candidate", "2000-2"), 1, "abstains: ValidationCodeUnavailable"
        )
        assert pileus("pov", "inspect", copy, "--candidate", "2000-2").status == 0


class TestInspect:
    def test_it_explains(self, pileus: Pileus, record: Path) -> None:
        result = pileus("pov", "inspect", record, "--candidate", "2000-2")
        assert (result.status, result.err) == (0, "")
        for expected in (
            "ParachainBlockData         version 3",
            "block #2",
            "AdditionalData  hash 0x",
            "bare   ParachainSystem.set_validation_data",
            "bare   StateMessaging.receive",
            "relay proof: ",
            "compressed PoV",
        ):
            assert expected in result.out

    def test_json_parts_add_up(self, pileus: Pileus, record: Path) -> None:
        inspection = json.loads(pileus("pov", "inspect", record, "--candidate", "2000-2", "--json").out)
        sizes = inspection["bytes"]
        parts = ("headers", "extrinsics", "compact_proof", "additional_data", "framing")
        assert sum(sizes[part] for part in parts) == sizes["payload"]
        assert inspection["version"] == 3
        assert len(inspection["relay_proofs"][0]["nodes"]) > 1
        stored = json.loads((record / "candidates" / "2000-2" / "candidate.json").read_text())
        assert stored["candidate_hash"] == inspection["candidate_hash"]
        assert stored["pov_bytes"]["payload"] == sizes["payload"]


@pytest.mark.parametrize("verb", ["validate", "inspect"])
class TestBadRecords:
    def test_what_does_not_exist(self, pileus: Pileus, record: Path, tmp_path: Path, verb: str) -> None:
        one_line(pileus("pov", verb, tmp_path / "no", "--candidate", "1000-1"), 2, "is not a directory")
        one_line(pileus("pov", verb, tmp_path, "--candidate", "1000-1"), 2, "no summary.json")
        one_line(
            pileus("pov", verb, record, "--candidate", "3000-1"),
            2,
            "'3000-1'",
            "it has 1000-1, 1000-2, 1000-3",
        )
        one_line(pileus("pov", verb, record, "--candidate", "../../etc"), 2, "has no candidate")
        one_line(pileus("pov", verb, record), 2, "--candidate")

    @pytest.mark.parametrize(
        ("file", "content", "expected"),
        [
            ("summary.json", b"{", "summary.json"),
            ("summary.json", b"[]", "expected `object`"),
            ("summary.json", b'{"format": 99, "relay_state": "own", "complete": true}', "format 99"),
            ("candidates/2000-2/candidate.json", b"{}", "candidate.json"),
            ("candidates/2000-2/candidate.json", b"\xff", "candidate.json"),
            ("candidates/2000-2/pov.bin", b"", "pov.bin"),
            ("candidates/2000-2/pov.bin", b"\xff\xff\xff\xff", "pov.bin"),
        ],
    )
    def test_damaged_files(
        self,
        pileus: Pileus,
        record: Path,
        tmp_path: Path,
        verb: str,
        file: str,
        content: bytes,
        expected: str,
    ) -> None:
        copy = shutil.copytree(record, tmp_path / "copy")
        (copy / file).write_bytes(content)
        one_line(pileus("pov", verb, copy, "--candidate", "2000-2"), 2, expected)

    @pytest.mark.parametrize("field", ["receipt", "persisted_validation_data"])
    @pytest.mark.parametrize("value", ["0xzz", "0x00", ""])
    def test_damaged_fields(
        self, pileus: Pileus, record: Path, tmp_path: Path, verb: str, field: str, value: str
    ) -> None:
        copy = shutil.copytree(record, tmp_path / "copy")
        path = copy / "candidates" / "2000-2" / "candidate.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        one_line(pileus("pov", verb, copy, "--candidate", "2000-2"), 2, "candidate.json", f"$.{field}")


def test_damaged_relay_nodes(pileus: Pileus, record: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(record, tmp_path / "copy")
    path = next((copy / "relay" / "nodes").iterdir())
    path.write_bytes(b"\xff")
    one_line(pileus("pov", "validate", copy, "--candidate", "2000-2", "--relay-state", "own"), 2, path.name)
