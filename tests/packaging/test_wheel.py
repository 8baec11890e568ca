"""The wheel: what is in it, and that a user's own ``runtime`` folder does not get in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

PACKAGES = {"runtime", "host_functions", "pov_validator", "pileus"}

HEADS_2000 = "0xcd710b30bd2eab0352ddcc26417aa1941b3c252fcb29d88eff4f3de5de4476c363f5a4efb16ffa83d0070000"


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend itself: no network, no isolated environment."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=repository,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer would."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_four_packages_and_no_fifth(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
        assert f"{package}/__init__.py" in names
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyc", ".toml", ".md"))]


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(path).decode())
        (scripts,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "pileus = pileus.cli.app:main" in archive.read(scripts).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def run(arguments: list[str], site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python with the unpacked wheel first on the path, after the script's own folder."""
    # The checkout is on the path of this interpreter through its .pth file; the wheel must come before it.
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """A folder with a user's own ``runtime`` package."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "__init__.py").write_text("raise SystemExit('the decoy was imported')\n")
    return tmp_path


def test_console_script_ignores_a_decoy(site: Path, decoy: Path, tmp_path: Path) -> None:
    # What an installer writes into bin/: its folder, not the current one, is the first entry of sys.path.
    script = tmp_path / "bin" / "pileus"
    script.parent.mkdir()
    script.write_text("import sys\nfrom pileus.cli.app import main\nsys.exit(main())\n")
    done = run([str(script), "key", "relay", "heads", "2000"], site, decoy)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, HEADS_2000, "")


def test_python_m_names_the_decoy(site: Path, decoy: Path) -> None:
    done = run(["-m", "pileus", "key", "relay", "heads", "2000"], site, decoy)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"package 'runtime' of pileus is shadowed by {decoy.resolve()}" in done.stderr


def test_every_module_of_the_wheel_imports(site: Path, tmp_path: Path) -> None:
    program = (
        "import importlib, pathlib, sys\n"
        f"site = pathlib.Path({str(site)!r})\n"
        f"for package in {sorted(PACKAGES)!r}:\n"
        "    for path in sorted((site / package).rglob('*.py')):\n"
        "        if 'frozen/guest' in path.as_posix():\n"
        "            continue  # modules of the Python VM: what they import is only there\n"
        "        name = '.'.join(path.relative_to(site).with_suffix('').parts).removesuffix('.__init__')\n"
        "        if not name.endswith('.__main__'):\n"
        "            module = importlib.import_module(name)\n"
        "            assert pathlib.Path(module.__file__).is_relative_to(site), module\n"
    )
    done = run(["-c", program], site, tmp_path)
    assert done.returncode == 0, done.stderr
