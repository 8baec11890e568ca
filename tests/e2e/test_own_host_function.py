"""The tutorial 'Your own host function' does what it says: its files, its snippets, its output.

Each in a process of its own, because a declared host function is there for good.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

RUN_TESTS = """
import sys
import pytest
from hypothesis import settings
settings.register_profile("few", max_examples=10, deadline=None, derandomize=True, database=None)
settings.load_profile("few")
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning",
                      "examples/test_sibling_head.py"]))
"""


def python(repository: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(repository / "examples"), "COLUMNS": "200"}
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
        cwd=repository,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


def code_lines(path: Path) -> int:
    """Lines with code: no blank ones, no comments, no docstrings."""
    source = path.read_text(encoding="utf-8")
    prose = {
        number
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in prose
        for number, line in enumerate(source.splitlines(), 1)
    )


def test_the_users_code_is_twenty_lines(repository: Path) -> None:
    names = ("sibling_head.py", "test_sibling_head.py")
    assert sum(code_lines(repository / "examples" / name) for name in names) <= 20


def test_the_users_tests_pass(repository: Path) -> None:
    assert "2 passed" in python(repository, "-c", RUN_TESTS).stdout


def test_the_snippets_of_the_page(repository: Path) -> None:
    page = (repository / "docs" / "your-own-host-function.md").read_text(encoding="utf-8")
    differing, guest = (block.split("```")[0] for block in page.split("```python\n")[1:])
    expected = page.split("```text\n")[1].split("```")[0]
    shown = python(repository, "-c", differing, code=1).stderr
    assert shown[shown.index("host_functions.errors.ContextDivergence") :] == expected
    imports = differing.split("contexts = ")[0]
    python(repository, "-c", imports + guest)


def test_a_network_runs_with_it(repository: Path, tmp_path: Path) -> None:
    record = str(tmp_path / "record")
    ran = python(
        repository, "-m", "pileus", "run", "examples/sibling_watch.toml", "--blocks", "4", "--out", record
    )
    assert "4 candidates, 4 valid for every backer" in ran.stdout
    traced = python(
        repository,
        "-m",
        "pileus",
        "trace",
        record,
        "--candidate",
        "1000-2",
        "--diff",
        "author",
        "validate-carried",
    )
    assert "both              ext_sibling_head_version_1(2000) -> 0x" in traced.stdout
    assert "author and validate-carried agree on " in traced.stdout
