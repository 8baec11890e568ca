"""What `make` says where it cannot begin."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("python", ["/nope", "", "false"])
@pytest.mark.parametrize("target", ["test", "demo", "check", "real-chains"])
def test_a_python_that_is_none_is_named(repository: Path, tmp_path: Path, target: str, python: str) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path)
    done = subprocess.run(
        ["make", f"PYTHON={python}", target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, *others = done.stderr.splitlines()
    assert first.startswith(f"Pileus needs Python 3.11 or newer, and '{python}' is none (")
    assert len(others) == 1  # make's own
    assert done.returncode == 2
    assert not (tmp_path / ".venv").exists()
