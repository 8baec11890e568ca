"""How the command ends: one line per error, tracebacks only on request, broken pipes, foreign packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from host_functions.errors import PileusError
from pileus import _selfcheck
from pileus.cli import app


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> None:
        raise error

    monkeypatch.setattr(app, "build_app", build)


@pytest.mark.parametrize(
    "error, status, message",
    [
        (PileusError("the proof lacks\n a node"), 1, "pileus: the proof lacks a node\n"),
        (PileusError(), 1, "pileus: PileusError\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.toml"),
            2,
            "pileus: x.toml: No such file or directory\n",
        ),
        (KeyboardInterrupt(), 130, "pileus: interrupted\n"),
        (KeyError("boom"), 70, "pileus: internal error, please report: KeyError: 'boom'\n"),
    ],
    ids=repr,
)
def test_errors_are_one_line(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_with(error, monkeypatch)
    assert app.main(["trie", "root", "-"]) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("position", [0, 3])
def test_traceback_on_request_anywhere_on_the_line(
    position: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(KeyError("boom"), monkeypatch)
    arguments = ["trie", "root", "-"]
    arguments.insert(position, "--traceback")
    assert app.main(arguments) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["nothing"], "No such command 'nothing'. (try --help)"),
        (["trie", "root"], "FILE"),
        (["trie", "root", "-", "--wrong"], "--wrong"),
        (["header", "decode", "00", "--hasher", "md5"], "md5"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert part in error


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pileus ")
    assert app.main(["--help"]) == 0
    assert "--traceback" in capsys.readouterr().out
    assert app.main(["trie"]) == 2
    assert "root" in capsys.readouterr().err


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    # A verb without its own words would be listed with an empty description.
    commands = {
        f"{group.name} {command.callback.__name__}"
        for group in app.build_app().registered_groups
        for command in group.typer_instance.registered_commands
        if not (command.callback.__doc__ or "").strip()
    }
    assert commands == set()


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    command = [sys.executable, "-m", "pileus", "key", "relay", "--list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141  # not 0: the result was not seen


def test_packages_of_this_checkout_are_ours() -> None:
    assert _selfcheck.shadowed_package() is None


@pytest.mark.parametrize("regular", [True, False], ids=["package", "plain folder"])
def test_foreign_runtime_package_is_named(
    regular: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "runtime"
    foreign.mkdir()
    if regular:
        (foreign / "__init__.py").write_text("")
    for name in [name for name in sys.modules if name == "runtime" or name.startswith("runtime.")]:
        monkeypatch.delitem(sys.modules, name)
    # A plain folder shadows only what no regular package provides, so ours must be off the path too.
    path = [str(tmp_path)] if not regular else [str(tmp_path), *sys.path]
    monkeypatch.setattr(sys, "path", path)
    assert app.main(["--version"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "package 'runtime' of pileus is shadowed by" in error
    assert str(tmp_path) in error
