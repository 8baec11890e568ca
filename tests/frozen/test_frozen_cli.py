"""``pileus runtime build`` and what the other verbs make of its blob."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.cli.app import main
from runtime.chains.demo import ENTRY_POINTS, VERSION
from runtime.primitives.hashing import blake2_256


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_vm: bytes) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_build_then_inspect_then_call(
    here: Path, capsys: pytest.CaptureFixture[str], demo_blob: object
) -> None:
    assert main(["runtime", "build", "runtime.chains.demo"]) == 0
    out = capsys.readouterr().out
    code = (here / "demo.wasm").read_bytes()
    assert f"0x{blake2_256(code).hex()}" in out
    assert "spec          pileus-demo-1" in out
    assert main(["runtime", "inspect", "demo.wasm", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["calling_style"] == "RFC-145"
    assert report["validate_block"]
    assert set(report["entry_points"]) == set(ENTRY_POINTS)
    assert report["version"]["spec_name"] == "pileus-demo"
    assert report["version"]["source"] == "runtime_version section"
    names = {api["name"] for api in report["apis"]}
    assert {"Core", "BlockBuilder", "StateMessagingApi"} <= names
    by = {wanted["name"]: wanted["node"] for wanted in report["imports"]}
    assert by["ext_storage_read_version_2"] == "node"
    assert by["ext_input_read_version_1"] == "executor"
    assert "refused" not in by.values()


def test_what_cannot_be_built_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "helper.py").write_text("import datetime\n")
    (here / "chain.py").write_text("import helper\nENTRY_POINTS = {}\n")
    assert main(["runtime", "build", "chain"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "chain -> helper -> datetime: a frozen runtime may not import datetime" in error
    assert main(["runtime", "build", "nowhere"]) == 2
    assert "there is no module nowhere" in capsys.readouterr().err
    assert main(["runtime", "build", "nowhere.py"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not list(here.glob("*.wasm"))


def test_a_file_is_a_runtime_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / "deep"
    folder.mkdir()
    (folder / "tiny.py").write_text("ENTRY_POINTS = {'Tiny_echo': lambda argument: argument}\n")
    assert main(["runtime", "build", "deep/tiny.py", "-o", "out.wasm", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["runtime"], report["file"], report["entry_points"]) == ("tiny", "out.wasm", ["Tiny_echo"])
    assert report["spec"] is None
    assert "tiny" in report["modules"]
    assert VERSION.spec_name not in report["modules"]


def test_a_package_is_named_by_its_name_or_its_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One name for it, so one blob; its folder is no name."""
    (here / "tiny").mkdir()
    (here / "tiny" / "__init__.py").write_text(
        "from .calls import echo\nENTRY_POINTS = {'Tiny_echo': echo}\n"
    )
    (here / "tiny" / "calls.py").write_text("def echo(argument):\n    return argument\n")
    hashes = []
    for name in ("tiny", "tiny/__init__.py"):
        assert main(["runtime", "build", name, "-o", "out.wasm", "--json"]) == 0
        hashes.append(json.loads(capsys.readouterr().out)["code_hash"])
    assert hashes[0] == hashes[1]
    assert main(["runtime", "build", "tiny/"]) == 2
    assert "tiny/: expected a Python module, or its file" in capsys.readouterr().err
