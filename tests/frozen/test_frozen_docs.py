"""The page 'From Python to a validation function': its files and commands, as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_from_an_empty_file_to_a_validated_block(repository: Path, tmp_path: Path, python_vm: bytes) -> None:
    page = (repository / "docs" / "from-python-to-a-validation-function.md").read_text(encoding="utf-8")
    (tmp_path / "counter.py").write_text(page.split("```python\n")[1].split("```")[0])
    (tmp_path / "counter.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    (tmp_path / "clockwork.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text("import random\n")
    commands = 0
    for console in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for shown in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
            command, _, expected = shown.partition("\n")
            assert matches(run(command, tmp_path), expected), command
            commands += 1
    assert commands == 6, commands


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    environment = dict(os.environ, COLUMNS="200")
    if words[0] == "PYTHONPATH=.":
        environment["PYTHONPATH"] = "."
        words = words[1:]
    assert words[0] == "pileus"
    done = subprocess.run(
        [sys.executable, "-m", "pileus", *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout + done.stderr


def matches(output: str, expected: str) -> bool:
    """The lines in their order; a line ``…`` stands for any number of lines. Spaces are as wide as they are."""
    parts = [part.strip().splitlines() for part in expected.split("…\n")]
    lines = [" ".join(line.split()) for line in output.splitlines()]
    at = 0
    for part in parts:
        for line in part:
            wanted = " ".join(line.split())
            while at < len(lines) and lines[at] != wanted:
                at += 1
            if at == len(lines):
                print(f"not found: {wanted}\n{output}")
                return False
            at += 1
    return True
