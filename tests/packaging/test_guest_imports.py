"""Importing the whole guest loads nothing of the host: the import contracts, checked at run time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOST_SIDE = (
    "asyncio random socket wasmtime xxhash Crypto sr25519 coincurve cryptography zstandard scalecodec typer"
    " rich msgspec hypothesis pileus pov_validator host_functions.contexts host_functions.executor"
    " host_functions.pure host_functions.relay_state host_functions.conformance"
).split()


@pytest.fixture(scope="module")
def guest_modules(repository: Path) -> list[str]:
    files = [
        *(repository / "runtime").rglob("*.py"),
        *(repository / "host_functions" / "interfaces").rglob("*.py"),
        *(repository / "host_functions" / "state_machine").rglob("*.py"),
        *(repository / "host_functions" / f"{name}.py" for name in ("errors", "declare", "abi")),
    ]
    names = [".".join(file.relative_to(repository).with_suffix("").parts) for file in files]
    return sorted(name.removesuffix(".__init__") for name in names)


def test_guest_loads_nothing_of_the_host(guest_modules: list[str], repository: Path) -> None:
    assert "runtime.validate_block" in guest_modules
    program = (
        "import importlib, sys\n"
        f"for name in {guest_modules!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {HOST_SIDE!r} if name in sys.modules])\n"
    )
    # -I: no user site, no environment; -P is implied, so the repository comes from the installation.
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
