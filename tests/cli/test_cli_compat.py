"""``pileus compat``: rows for what works and for what does not, and the exit status that follows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from host_functions.executor.wasm import CompileCache
from host_functions.state_machine import Storage
from pileus.chain_spec import CODE, parse_runtime_file
from pileus.cli.app import main
from pileus.compat import Column, Kind, Options, examine, examine_all

SOLO = "local-testnet-genesis.json.gz"
SHELL = "asset-hub-polkadot-genesis.json.gz"
RELAY = "rococo-genesis.json.gz"

SPINNING = """(module
  (import "env" "memory" (memory 20))
  (global (export "__heap_base") i32 (i32.const 8))
  (func (export "Core_version") (param i32 i32) (result i64) (loop (br 0)) (i64.const 0)))"""

Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def compat(capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit status, parsed JSON and standard error of ``pileus compat --json``."""

    def run(*arguments: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        status = main(["compat", "--json", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, json.loads(captured.out) if captured.out else None, captured.err

    return run


def passed(row: dict[str, Any]) -> dict[str, int | None]:
    return {name: cell and cell["count"] for name, cell in row["columns"].items()}


def test_a_relay_chain_among_the_specs_includes_the_parachains(vectors_dir: Path, compat: Command) -> None:
    files = [vectors_dir / "files" / name for name in (SHELL, RELAY, SOLO)]
    status, rows, error = compat(*files, "--blocks", 2, "--flips", 8)
    assert (status, error) == (0, "")
    assert [row["kind"] for row in rows] == ["parachain", "relay chain", "chain"]
    assert all(row["passed"] and row["reason"] is None for row in rows)
    done = {
        "compiles": 1, "metadata": 1, "genesis": 1, "authored": 2, "executed": 2, "validated": 2, "included": 2,
        "flips refused": 8,
    }  # fmt: skip
    assert passed(rows[0]) == done
    assert passed(rows[1]) == {**done, "validated": None}
    assert passed(rows[2]) | {"flips refused": 8} == {**done, "validated": None, "included": None}
    shell, relay, solo = rows
    assert shell["relay"] == "rococo-genesis"
    assert (shell["runtime"], relay["runtime"], solo["runtime"]) == (
        "shell-2",
        "rococo-9190",
        "node-template-100",
    )
    assert shell["genesis_hash"].startswith("0x68d56f15")
    assert relay["genesis_hash"].startswith("0x6408de77")
    assert all(0 < row["seconds"]["author"] < 60 for row in rows)
    assert {row["seconds"]["validate"] is None for row in rows[1:]} == {True}


def test_without_a_relay_chain_it_is_the_model(vectors_dir: Path, compat: Command) -> None:
    status, (row,), _ = compat(vectors_dir / "files" / SHELL, "--blocks", 1, "--flips", 0)
    assert status == 0
    assert row["relay"] == "model"
    assert row["columns"]["flips refused"] == {"passed": True, "count": 0}


def test_everything_of_a_directory_and_broken_files_among_it(
    vectors_dir: Path, tmp_path: Path, compat: Command
) -> None:
    shutil.copy(vectors_dir / "files" / SOLO, tmp_path / "a-solo.json.gz")
    broken = {
        "b-cut.json.gz": ((vectors_dir / "files" / RELAY).read_bytes()[:1000], "the gzip data is incomplete"),
        "c-hex.json": (b'{"genesis": {"raw": {"top": {"0xzz": "0x"}}}}', "a key is not hex"),
        "d-empty.wasm": (b"\0asm\1\0\0\0", "compiles: the module has 0 memories"),
        "e-noise.wasm": (bytes(range(1, 200)), "neither a chain spec (JSON) nor a runtime"),
        "f-no-code.json": (b'{"genesis": {"raw": {"top": {"0x01": "0x00"}}}}', "no runtime under :code"),
        "g-twice.json": (b'{"top": {"0x01": "0x", "0x01": "0x"}}', "appears twice"),
        "h-bad-code.json": (b'{"top": {"0x3a636f6465": "0x52bc537646db8e05ffff"}}', "compiles: "),
    }
    for name, (data, _) in broken.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("not examined")
    status, rows, error = compat(tmp_path, "--blocks", 1, "--flips", 1)
    assert status == 2
    assert error.startswith("pileus: 7 of 8 do not pass, the first is ")
    assert error.count("\n") == 1
    assert rows[0]["passed"]
    assert [Path(row["file"]).name for row in rows[1:]] == list(broken)
    for row, (_, reason) in zip(rows[1:], broken.values(), strict=True):
        assert not row["passed"]
        assert reason in row["reason"]


def test_a_runtime_that_hangs_is_given_up(tmp_path: Path) -> None:
    blob = tmp_path / "spinning.wasm"
    blob.write_bytes(bytes(wasmtime.wat2wasm(SPINNING)))
    (row,) = examine_all([blob], Options(timeout=3, jobs=1))
    assert row.kind is Kind.STOPPED
    assert row.reason == "not finished after 3 seconds"
    assert not row.passed


def test_a_blob_is_compiled_and_described(
    tmp_path: Path, vectors: Callable[[str], Any], compat: Command
) -> None:
    code = vectors("pvf")["code"]["adder"]["compressed"]
    blob = tmp_path / "adder.wasm"
    blob.write_bytes(bytes.fromhex(code.removeprefix("0x")))
    status, (row,), _ = compat(blob)
    assert status == 0
    assert row["kind"] == "blob"
    assert {name for name, cell in row["columns"].items() if cell} == {"compiles", "metadata"}


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"{}", "neither $.genesis nor $.top"),
        (b'{"top": {"0x01": "0x"}}', "no runtime under :code"),
        (b'{"top": {"0x3a636f6465": "0x00"}}', "no ParasShared.ActiveValidatorKeys"),
        (b"\0asm\1\0\0\0", "a runtime blob, which has no genesis"),
    ],
)
def test_a_relay_chain_that_is_none(
    tmp_path: Path, compat: Command, vectors_dir: Path, content: bytes, reason: str
) -> None:
    relay = tmp_path / "relay.json"
    relay.write_bytes(content)
    status, rows, error = compat(vectors_dir / "files" / SHELL, "--relay", relay)
    assert (status, rows) == (2, None)
    assert error.startswith(f"pileus: --relay {relay}: ")
    assert reason in error


def test_nothing_to_examine(tmp_path: Path, compat: Command) -> None:
    status, _, error = compat(tmp_path)
    assert status == 2
    assert "no chain spec and no runtime in this directory" in error
    status, (row,), error = compat(tmp_path / "absent.json")
    assert status == 2
    assert row["reason"] == "cannot be read: No such file or directory"


def test_the_table_says_what_json_says(
    vectors_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "[red]odd\x1b.json").write_bytes(b"{}")
    arguments = [str(vectors_dir / "files" / SOLO), str(tmp_path), "--blocks", "1", "--flips", "1"]
    assert main(["compat", *arguments]) == 2
    out = capsys.readouterr().out
    assert "1 of 2 pass" in out
    assert all(column.value.split()[0] in out for column in Column)
    assert "node-template-100" in out
    assert "[red]odd\\x1b" in out
    assert "\x1b" not in out


DAMAGE = st.sampled_from(["flip", "cut", "grow", "drop", "fill"])


@pytest.mark.slow
@given(st.data())
@settings(max_examples=12)
def test_a_damaged_genesis_is_a_row_and_never_an_error(vectors_dir: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([SOLO, SHELL, RELAY]))
    spec = parse_runtime_file((vectors_dir / "files" / name).read_bytes()).spec
    assert spec is not None
    top = dict(spec.genesis.top)
    for key in data.draw(
        st.lists(st.sampled_from(sorted(set(top) - {CODE})), min_size=1, max_size=6, unique=True)
    ):
        value = top[key]
        match data.draw(DAMAGE):
            case "flip" if value:
                at = data.draw(st.integers(0, 8 * len(value) - 1))
                top[key] = value[: at >> 3] + bytes([value[at >> 3] ^ 1 << (at & 7)]) + value[(at >> 3) + 1 :]
            case "cut":
                top[key] = value[: data.draw(st.integers(0, len(value)))]
            case "drop":
                del top[key]
            case "fill":
                top[key] = b"\xff" * len(value)
            case _:
                top[key] = value + data.draw(st.binary(max_size=40))
    row = examine(
        name, replace(spec, genesis=Storage(top)), spec.code, blocks=1, flips=1, cache=CompileCache.default()
    )
    assert row.passed == (row.reason is None)
    assert row.reason is None or row.reason.strip()
    json.dumps(row.to_json())


@pytest.mark.slow
def test_every_genesis_of_the_vectors_passes(vectors_dir: Path, compat: Command) -> None:
    status, rows, error = compat(vectors_dir / "files")
    assert (status, error) == (0, "")
    assert len(rows) == 18
    assert {row["relay"] for row in rows if row["kind"] == "parachain"} == {"development-genesis"}
