"""Fetch the chain specs and metadata of real networks that npm packages contain: `make real-chains`.

They are data of their publishers and no part of this repository, so they go to `.cache/real-chains`
(`PILEUS_REAL_CHAINS` names another folder). Packages are pinned, and so is every file, by its SHA-256. What is there
already is not fetched again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE = 64 * 1024 * 1024
"""Bytes of one file in a package."""
TIMEOUT = 600
"""Seconds for npm to fetch the packages."""
CODE_IN_SNAPSHOT = re.compile(rb'"key": "0x3a636f6465",\s*"value": "(0x[0-9a-f]+)"')
"""The runtime among the storage changes of a test snapshot."""


class Failed(Exception):
    """One line that says what went wrong."""


@dataclass(frozen=True)
class Wanted:
    """One file: where it is in which package, what it is called here, and its hash."""

    package: str
    member: str
    name: str
    sha256: str
    """Of the file as it is kept."""
    holds_code: bool = False
    """Whether only the runtime in it is kept, as a blob."""


CONNECT_OLD = "@substrate/connect@0.3.18"
CONNECT = "@substrate/connect@0.6.5"
TYPES = "@polkadot/types-support@16.5.6"
WANTED = (
    Wanted(
        CONNECT_OLD,
        "package/dist/specs/polkadot.json",
        "polkadot.json",
        "668764015bd6486fc43a1a80b420012ebc5839ca9ab43dbf6d71827aad3b19ea",
    ),
    Wanted(
        CONNECT_OLD,
        "package/dist/specs/kusama.json",
        "kusama.json",
        "b495e9ccd096e0ea26446408653fcabbe7dd985edb0320e13f561865f75e7361",
    ),
    Wanted(
        CONNECT_OLD,
        "package/dist/specs/westend.json",
        "westend.json",
        "cb74532febba9ded7a495973b85f169474f2d05b84512f9e33cc725e9a3b823e",
    ),
    Wanted(
        CONNECT,
        "package/dist/connector/specs/rococo_v2_1.json",
        "rococo_v2_1.json",
        "b314fb7613bba9799776648fe3942c3974281374d8293bb9959aa7315afad361",
    ),
    Wanted(
        "@substrate/connect-known-chains@1.1.0",
        "package/specs/rococo_v2_2_asset_hub.json",
        "rococo_v2_2_asset_hub.json",
        "5c6d989f213f95512df4a5233fa22abaad99b43716c6dcbd659e6f2634b0d895",
    ),
    Wanted(
        "@acala-network/chopsticks@1.5.1",
        "package/dist/cjs/plugins/run-block/__snapshots__/index.test.ts.snap",
        "acala-2220.wasm",
        "203763e3feb89d1bc29b9ffa7e7eb0776ef49a8ec6045976ef8493109eff76c4",
        holds_code=True,
    ),
    Wanted(
        TYPES,
        "package/metadata/v15/asset-hub-polkadot-hex.js",
        "asset-hub-polkadot-2000000-metadata.js",
        "d315bc999b29b85da488360b596f358a2549597fa970384435ccee676167f594",
    ),
    Wanted(
        TYPES,
        "package/metadata/v15/asset-hub-polkadot-ver.js",
        "asset-hub-polkadot-2000000-version.js",
        "a11b2078e11cb76df6012cbe900479f2c430bc041c92851b6d5c6462699b9328",
    ),
    Wanted(
        TYPES,
        "package/metadata/v15/polkadot-hex.js",
        "polkadot-2000000-metadata.js",
        "d1eeec38d594833a0af7c5e93d54bdbdeaa9027e4346f53dd3eb75c217fa3bb9",
    ),
    Wanted(
        TYPES,
        "package/metadata/v15/substrate-hex.js",
        "substrate-node-268-metadata.js",
        "a2024d50264850ecf4a27035cd44192309e5d4fab8c6c0f99ef524025080a354",
    ),
)


def folder() -> Path:
    """Where the files are kept."""
    return Path(os.environ.get("PILEUS_REAL_CHAINS") or ROOT / ".cache" / "real-chains")


def fetch(wanted: tuple[Wanted, ...], kept: Path) -> list[str]:
    """Make `kept` complete; the names of what was fetched. Raises `Failed`."""
    missing = [one for one in wanted if not _is_there(kept / one.name, one)]
    if not missing:
        return []
    npm = shutil.which("npm")
    if npm is None:
        raise Failed(
            "npm is not installed, and the chain specs are in npm packages (Debian: apt-get install npm)"
        )
    kept.mkdir(parents=True, exist_ok=True)
    for package in dict.fromkeys(one.package for one in missing):
        with tempfile.TemporaryDirectory(prefix="pileus-real-chains-") as temporary:
            archive = _pack(npm, package, Path(temporary))
            for one in missing:
                if one.package == package:
                    _keep(archive, one, kept)
    return [one.name for one in missing]


def _is_there(path: Path, wanted: Wanted) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256


def _pack(npm: str, package: str, into: Path) -> Path:
    """Download a package, without running anything of it."""
    command = [npm, "pack", "--silent", "--ignore-scripts", package]
    try:
        done = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"npm did not fetch {package} within {TIMEOUT} s") from None
    archives = list(into.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = f": {lines[0][:200]}" if lines else ""
        raise Failed(f"npm pack {package} failed with status {done.returncode}{reason}")
    return archives[0]


def _keep(archive: Path, wanted: Wanted, kept: Path) -> None:
    content = _member(archive, wanted)
    if wanted.holds_code:
        found = CODE_IN_SNAPSHOT.search(content)
        if found is None:
            raise Failed(f"{wanted.package}: {wanted.member} holds no runtime")
        content = bytes.fromhex(found[1][2:].decode())
    digest = hashlib.sha256(content).hexdigest()
    if digest != wanted.sha256:
        raise Failed(f"{wanted.package}: {wanted.member} has SHA-256 {digest}, not {wanted.sha256}")
    partial = kept / f".{wanted.name}.partial"
    partial.write_bytes(content)
    partial.replace(kept / wanted.name)


def _member(archive: Path, wanted: Wanted) -> bytes:
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                if member.name != wanted.member:
                    continue
                opened = packed.extractfile(member) if member.isfile() and member.size <= MAX_FILE else None
                if opened is None:
                    break
                return opened.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Failed(f"{wanted.package}: the package cannot be read: {error}") from None
    raise Failed(f"{wanted.package} has no file {wanted.member}")


def main() -> int:
    kept = folder()
    try:
        fetched = fetch(WANTED, kept)
    except Failed as error:
        print(f"real-chains: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"real-chains: {error.filename or kept}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"{kept}: {len(WANTED)} files, {len(fetched)} fetched now")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
