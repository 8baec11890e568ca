"""`make real-chains` takes what it was told to take, unharmed, and says in one line why it cannot."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPEC = b'{"name": "Moon"}'
CODE = b"\0asm and more"
SNAPSHOT = b'"raw": {\n  "key": "0x3a636f6465",\n  "value": "0x' + CODE.hex().encode() + b'",\n}'


@pytest.fixture(scope="module")
def tool(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_chains", repository / "tools" / "real_chains.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_chains"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def archive(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An npm that hands out one package, or fails; the folder it logs its calls to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    package = folder / "package.tgz"

    def install(members: dict[str, bytes] | None, status: int = 0, said: str = "") -> Path:
        if members is not None:
            archive(package, members)
        script = folder / "npm"
        copied = "" if members is None else f'/bin/cp "{package}" ./moon.tgz'
        script.write_text(
            f'#!/bin/sh\necho "$@" >> "{folder}/calls"\n{copied}\necho "{said}" >&2\nexit {status}\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return install


@pytest.fixture
def wanted(tool: ModuleType) -> Any:
    return (
        tool.Wanted("moon@1.0.0", "package/moon.json", "moon.json", hashlib.sha256(SPEC).hexdigest()),
        tool.Wanted("moon@1.0.0", "package/a.snap", "moon.wasm", hashlib.sha256(CODE).hexdigest(), True),
    )


def test_what_is_missing_is_fetched_and_nothing_else(
    tool: ModuleType, wanted: Any, npm: Callable[..., Path], tmp_path: Path
) -> None:
    log = npm({"package/other": b"", "package/moon.json": SPEC, "package/a.snap": SNAPSHOT}) / "calls"
    kept = tmp_path / "kept"
    assert tool.fetch(wanted, kept) == ["moon.json", "moon.wasm"]
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {"moon.json": SPEC, "moon.wasm": CODE}
    assert log.read_text().splitlines() == ["pack --silent --ignore-scripts moon@1.0.0"]
    assert tool.fetch(wanted, kept) == []
    (kept / "moon.json").write_bytes(SPEC[:-1])  # a damaged one counts as missing
    assert tool.fetch(wanted, kept) == ["moon.json"]
    assert (kept / "moon.json").read_bytes() == SPEC
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "members, status, said, message",
    [
        (
            None,
            1,
            "npm error network down",
            "npm pack moon@1.0.0 failed with status 1: npm error network down",
        ),
        (None, 0, "", "npm pack moon@1.0.0 failed with status 0"),
        ({"package/a.snap": SNAPSHOT}, 0, "", "moon@1.0.0 has no file package/moon.json"),
        ({"package/moon.json": b"{}"}, 0, "", "package/moon.json has SHA-256 44136fa355b3678a"),
        ({"package/moon.json": SPEC, "package/a.snap": b"?"}, 0, "", "package/a.snap holds no runtime"),
    ],
)
def test_one_line_says_what_is_wrong(
    tool: ModuleType,
    wanted: Any,
    npm: Callable[..., Path],
    tmp_path: Path,
    members: dict[str, bytes] | None,
    status: int,
    said: str,
    message: str,
) -> None:
    npm(members, status, said)
    with pytest.raises(tool.Failed) as failed:
        tool.fetch(wanted, tmp_path / "kept")
    assert message in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_broken_package_and_no_npm(
    tool: ModuleType,
    wanted: Any,
    npm: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = npm({"package/moon.json": SPEC})
    (folder / "package.tgz").write_bytes((folder / "package.tgz").read_bytes()[:40])
    with pytest.raises(tool.Failed, match="the package cannot be read"):
        tool.fetch(wanted, tmp_path / "kept")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("PILEUS_REAL_CHAINS", str(tmp_path / "kept"))
    assert tool.main() == 1
    said = capsys.readouterr()
    assert said.err.startswith("real-chains: npm is not installed")
    assert (said.err.count("\n"), said.out) == (1, "")
