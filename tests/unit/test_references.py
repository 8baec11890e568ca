"""Every source tag in a docstring or comment resolves in ``docs/references.md``, and anchors are
unambiguous.
"""

from __future__ import annotations

import ast
import importlib
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("runtime", "host_functions", "pov_validator", "pileus")


@pytest.fixture(scope="module")
def tag_pattern(repository: Path) -> re.Pattern[str]:
    """The very pattern with which the documentation finds tags."""
    sys.path.insert(0, str(repository / "docs" / "_ext"))
    try:
        from plain_docstrings import TAG
    finally:
        sys.path.pop(0)
    return TAG


@pytest.fixture(scope="module")
def anchors(repository: Path) -> list[str]:
    text = (repository / "docs" / "references.md").read_text(encoding="utf-8")
    return re.findall(r"^\(([^()\s]+)\)=$", text, re.MULTILINE)


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings (of fields too) and comments, with the line where each begins."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_every_tag_resolves(repository: Path, tag_pattern: re.Pattern[str], anchors: list[str]) -> None:
    known = set(anchors)
    unresolved = []
    used = 0
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            for line, text in prose(path.read_text(encoding="utf-8")):
                for found in tag_pattern.finditer(text):
                    used += 1
                    if found[1] not in known:
                        where = line + text.count("\n", 0, found.start())
                        unresolved.append(f"{path.relative_to(repository)}:{where}: [{found[1]}]")
    assert used > 20
    assert not unresolved, "not in docs/references.md:\n" + "\n".join(unresolved)


def test_anchors_are_unambiguous(anchors: list[str]) -> None:
    # Sphinx compares labels without case.
    lowered = [anchor.lower() for anchor in anchors]
    assert len(set(lowered)) == len(lowered)


@pytest.mark.parametrize("tag", ["PS-trie", "sdk-13022", "RFC-145", "sp-state-machine", "cumulus", "trie-db"])
def test_pattern_knows_the_forms_in_use(tag_pattern: re.Pattern[str], tag: str) -> None:
    found = tag_pattern.search(f"Follows `x` [{tag}], mostly.")
    assert found is not None
    assert found[1] == tag


@pytest.mark.parametrize("text", ["list[bytes]", "rows[at]", "[key]", "[sp]", "[trie]", "data[PS]"])
def test_pattern_leaves_code_alone(tag_pattern: re.Pattern[str], text: str) -> None:
    assert tag_pattern.search(text) is None


NAME = re.compile(r"`((?:runtime|host_functions|pov_validator|pileus)(?:\.\w+)+)`")


def test_names_in_the_pages_exist(repository: Path) -> None:
    names = [
        (page.name, name)
        for page in sorted((repository / "docs").glob("*.md"))
        for name in NAME.findall(page.read_text(encoding="utf-8"))
    ]
    assert names
    missing = [f"{page}: {name}" for page, name in names if not exists(name)]
    assert not missing, missing


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or an attribute (of an attribute) of one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
