"""What every test may use: the conformance vectors and the Hypothesis profiles.

Vectors are data made by others and stay outside this repository: ``PILEUS_VECTORS`` names their folder, else
``../shared/vectors`` beside the checkout is used. A test that needs them is skipped, visibly, without them.

Profiles: ``default``, ``ci`` (no randomness; chosen when ``CI`` is set), ``campaign`` (long searches). Choose
one with ``pytest --hypothesis-profile=campaign``.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Two cores shared by xdist workers: a slow generation is the machine's load, not a fault of the strategy.
LENIENT = [HealthCheck.too_slow]
settings.register_profile("default", max_examples=60, deadline=None, suppress_health_check=LENIENT)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("campaign", settings.get_profile("default"), max_examples=2000)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses `real_chain` needs what only ``make real-chains`` brings."""
    for item in items:
        if "real_chain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real)


@cache
def load_vectors(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture
def pileus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., SimpleNamespace]:
    """Runs one command line in this process: its status, output and error text."""
    from pileus.cli.app import main

    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def children_hear_ctrl_c() -> Iterator[None]:
    """A shell that starts the tests in the background has told us, and so our children, to ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The folder of the conformance vectors; skips the test when there is none."""
    chosen = os.environ.get("PILEUS_VECTORS")
    folder = Path(chosen) if chosen else ROOT.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip(f"conformance vectors not found in {folder} (set PILEUS_VECTORS)")
    return folder


@pytest.fixture(scope="session")
def vectors(vectors_dir: Path) -> Callable[[str], Any]:
    """``vectors("proofs")`` is the parsed ``proofs.json``: shared between tests, so not to be changed."""

    def load(name: str) -> Any:
        if not (vectors_dir / f"{name}.json").is_file():
            pytest.skip(f"conformance vectors have no {name}.json in {vectors_dir}")
        return load_vectors(vectors_dir, name)

    return load


@pytest.fixture(scope="session")
def real_chain() -> Callable[[str], Path]:
    """``real_chain("polkadot.json")``: a file that ``make real-chains`` has fetched; skips the test without it."""
    chosen = os.environ.get("PILEUS_REAL_CHAINS")
    folder = Path(chosen) if chosen else ROOT / ".cache" / "real-chains"

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"no {name} in {folder} (make real-chains)")
        return folder / name

    return find


@pytest.fixture(scope="session")
def more_chain() -> Callable[[str], Path]:
    """``more_chain("nexus.json")``: a chain that no npm package has; skips the test where nobody has put it.

    The folder is ``.cache/more-chains``, or what ``PILEUS_MORE_CHAINS`` names. The tests say where the files come from.
    """
    chosen = os.environ.get("PILEUS_MORE_CHAINS")
    folder = Path(chosen) if chosen else ROOT / ".cache" / "more-chains"

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"no {name} in {folder} (put it there by hand)")
        return folder / name

    return find
