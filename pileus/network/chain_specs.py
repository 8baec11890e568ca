"""The chain specs that a topology names: found, read, and refused with the path of the key that names them.

A name with a slash or with a suffix is a path, relative to the topology file. Any other is looked up among the chains
that ``make real-chains`` fetches: in the folder that ``PILEUS_REAL_CHAINS`` names, else in ``.cache/real-chains`` of
the topology's folder or of one above it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pileus.chain_spec import MAX_SPEC_BYTES, BadChainSpec, ChainSpec, parse_runtime_file
from pileus.network.topology import TopologyError

__all__ = ["load_chain_spec"]

FETCHED: Final = Path(".cache") / "real-chains"


def load_chain_spec(name: str, directory: Path, where: str) -> ChainSpec:
    """The chain spec with this name or path. Raises `TopologyError`; `where` is the path of the key."""
    path = _find(name, directory, where)
    try:
        with path.open("rb") as file:
            content = parse_runtime_file(file.read(MAX_SPEC_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TopologyError(f"{where}: cannot read {path}: {reason}") from error
    except BadChainSpec as error:
        raise TopologyError(f"{where}: {path}: {error}") from error
    if content.spec is None:
        raise TopologyError(f"{where}: {path}: expected a raw chain spec, found a runtime blob")
    if content.code is None:
        raise TopologyError(f"{where}: {path}: the state has no runtime under :code")
    return content.spec


def _find(name: str, directory: Path, where: str) -> Path:
    if "/" in name or Path(name).suffix:
        return directory / name
    chosen = os.environ.get("PILEUS_REAL_CHAINS")
    here = directory.resolve()
    folders = [Path(chosen)] if chosen else [folder / FETCHED for folder in (here, *here.parents)]
    for folder in folders:
        if (folder / f"{name}.json").is_file():
            return folder / f"{name}.json"
    known = sorted(path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.json"))
    searched = f"{chosen} (PILEUS_REAL_CHAINS)" if chosen else f"{FETCHED} of {here} or of a folder above it"
    raise TopologyError(
        f"{where}: there is no chain spec {name!r} in {searched}, which has {', '.join(known) or 'none'}: "
        "'make real-chains' in a checkout of Pileus fetches those of the examples; a path names any other"
    )
