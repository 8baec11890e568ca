"""Every command of the page 'Bring your own runtime', in a shell, with the output that the page shows.

A line ``…`` of the page stands for lines that it leaves out. Milliseconds are whatever they are, and hashes of heads
under a relay chain that also holds the code of our Python runtime change with it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ELISION = "…"
SHELL_PATH = Path(sys.executable).parent


def commands_of(page: str) -> list[tuple[str, str]]:
    """Command and shown output, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def squeezed(text: str) -> list[str]:
    """The lines without what may differ: milliseconds, heads, and the width of a table."""
    lines = (re.sub(r"(?<= )\d+\.\d(?= |$)", "ms", line) for line in text.splitlines())
    lines = (re.sub(r"(?<=at head 0x)[0-9a-f]{8}", "", line) for line in lines)
    return [re.sub(r"[\s─]+", " ", line).strip() for line in lines if line.strip(" ─")]


def missing(shown: str, output: str) -> list[str] | None:
    """The first run of shown lines that the output lacks, or has elsewhere; ``None`` if it is as shown."""
    there = squeezed(output)
    parts: list[list[str]] = [[]]
    for line in squeezed(shown):
        if line == ELISION:
            parts.append([])
        else:
            parts[-1].append(line)
    at = 0
    for number, part in enumerate(parts):
        starts = range(at, len(there) - len(part) + 1) if number else [0]
        found = next((start for start in starts if there[start : start + len(part)] == part), None)
        if found is None:
            return part
        at = found + len(part)
    return None if not parts[-1] or at == len(there) else ["(more output follows)"]


def test_the_comparison_itself() -> None:
    assert missing("a\n…\nd", "a\nb\nc\nd") is None
    assert missing("a 1.5 b", "a 23.7 b") is None
    assert missing("a\n…\nd", "a\nb\nc") == ["d"]
    assert missing("b", "a\nb") == ["b"]
    assert missing("a", "a\nb") == ["(more output follows)"]
    assert missing("…\nb\n…", "a\nb\nc") is None


@pytest.fixture
def workplace(tmp_path: Path, repository: Path, real_chain: Callable[[str], Path]) -> Path:
    """A folder that looks like the checkout, with the page's topology in it."""
    page = (repository / "docs" / "bring-your-own-runtime.md").read_text(encoding="utf-8")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "real-chains").symlink_to(real_chain("rococo_v2_1.json").parent)
    (tmp_path / "examples").symlink_to(repository / "examples")
    (tmp_path / "mine.toml").write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    return tmp_path


def test_the_page(workplace: Path, repository: Path) -> None:
    page = (repository / "docs" / "bring-your-own-runtime.md").read_text(encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{SHELL_PATH}{os.pathsep}{os.environ['PATH']}",
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("PILEUS_REAL_CHAINS", None)
    commands = commands_of(page)
    assert len(commands) == 10
    for command, shown in commands:
        if command == "make real-chains":
            continue  # what this test is skipped without
        done = subprocess.run(
            command,
            shell=True,
            cwd=workplace,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stderr}"
        lacking = missing(shown, done.stdout)
        assert lacking is None, f"$ {command}\n{done.stdout}\nlacks: {lacking}"
