"""The guest lint finds every planted violation, and stays silent on what looks similar and is fine."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def guest_lint(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("guest_lint", repository / "tools" / "guest_lint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def problems(guest_lint: ModuleType) -> Callable[..., list[tuple[int, str]]]:
    def run(source: str, path: str = "runtime/pallets/planted.py") -> list[tuple[int, str]]:
        return guest_lint.lint_source(source, path)

    return run


VIOLATIONS = [
    ("x = 1.5", "float literal 1.5"),
    ("x = 2j", "float literal 2j"),
    ("x = a / b", "true division"),
    ("x /= 2", "true division"),
    ("k = hash(key)", "hash()"),
    ("k = id(key)", "id()"),
    ("k = float(key)", "float()"),
    ("def f():\n    global counter", "`global counter`"),
    ("try: f()\nexcept: pass", "bare `except`"),
    ("try: f()\nexcept Exception: pass", "`except Exception`"),
    ("try: f()\nexcept (ValueError, BaseException): pass", "swallows"),
    ("import time", "must not import time"),
    ("import os.path", "must not import os"),
    ("from random import choice", "must not import random"),
    ("def f():\n    import asyncio", "must not import asyncio"),
    ("from contextvars import ContextVar", "must not import contextvars"),
    ("import xxhash", "only the standard library"),
    ("from pileus.network import topology", "only the standard library"),
    ("from host_functions import contexts", "only the standard library"),
    ("from host_functions.pure import twox_64", "only the standard library"),
    ("for x in {1, 2}: pass", "iteration over a set"),
    ("y = [x for x in set(items)]", "iteration over a set"),
    ("y = [x for x in frozenset(a) | b]", "iteration over a set"),
    ("def f(a):\n    seen = set(a)\n    for x in seen: pass", "iteration over a set"),
    ("def f(a):\n    seen: set[int] = make(a)\n    return [x for x in seen]", "iteration over a set"),
    ("y = list({1, 2})", "list() of a set"),
    ("y = b''.join(set(a))", "join() of a set"),
    ("y = [*{1, 2}]", "unpacking a set"),
]

HARMLESS = [
    "x = a // b",
    "y = sorted({1, 2})",
    "y = len(set(a))",
    "if x in {1, 2}: pass",
    "for x in {1: 2}: pass",
    "for x in sorted(set(a)): pass",
    "try: f()\nexcept (ValueError, KeyError): pass",
    "import hashlib\nimport dataclasses\nfrom typing import Any",
    "from runtime.primitives.scale import u32\nfrom host_functions.interfaces import storage",
    "from host_functions import errors",
    "from . import sibling",
    "def f(seen): \n    for x in seen: pass\ndef g(a):\n    seen = set(a)",
    "class hash: pass",
    "digest.hash()",
]


@pytest.mark.parametrize("source, expected", VIOLATIONS, ids=[source for source, _ in VIOLATIONS])
def test_finds_planted_violation(
    problems: Callable[..., list[tuple[int, str]]], source: str, expected: str
) -> None:
    found = problems(source)
    assert len(found) == 1, found
    line, text = found[0]
    assert expected in text
    assert 1 <= line <= len(source.splitlines())


@pytest.mark.parametrize("source", HARMLESS)
def test_accepts_what_is_fine(problems: Callable[..., list[tuple[int, str]]], source: str) -> None:
    assert problems(source) == []


def test_dispatcher_alone_may_hold_context_state(problems: Callable[..., list[tuple[int, str]]]) -> None:
    source = "import importlib\nfrom contextvars import ContextVar"
    assert problems(source, "host_functions/declare.py") == []
    assert len(problems(source, "host_functions/abi.py")) == 2


def test_reports_path_and_line_and_fails(
    guest_lint: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = tmp_path / "host_functions" / "interfaces" / "storage.py"
    planted.parent.mkdir(parents=True)
    planted.write_text("x = 1\ny = x / 2\n")
    host_side = tmp_path / "host_functions" / "executor.py"
    host_side.write_text("import time\n")
    assert guest_lint.main(tmp_path) == 1
    assert capsys.readouterr().out.startswith("host_functions/interfaces/storage.py:2: true division")
    planted.write_text("x = 1\n")
    assert guest_lint.main(tmp_path) == 0


def test_the_guest_is_clean(
    guest_lint: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guest_lint.main(repository) == 0, capsys.readouterr().out
    assert sum(1 for _ in guest_lint.guest_files(repository)) > 20
    assert "guest_lint" not in sys.modules  # loaded from its file, not from the path
