"""A canonical archive of a Python runtime's source: what stands under ``:code`` of a chain that runs
natively.

Real clients read the hash of ``:code`` to learn which runtime a block has, so there must be something, and it
must change exactly when the runtime does. The archive is `MAGIC`, the name of the runtime's module, and every
source file of the packages it is made of, in order of their path; its BLAKE2b-256 is the code hash. It is not
executed from here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from runtime.primitives.scale import byte_vec, string, tuple_of, vec

__all__ = ["MAGIC", "source_archive"]

MAGIC = b"\x00pileus\x01"
"""Neither Wasm (``\\0asm``) nor a compressed blob (``52bc…``)."""

GUEST_PARTS = (
    "runtime",
    "host_functions/__init__.py",
    "host_functions/abi.py",
    "host_functions/declare.py",
    "host_functions/errors.py",
    "host_functions/interfaces",
    "host_functions/state_machine",
)
"""What every Python runtime is made of, relative to where the packages lie."""

_files = vec(tuple_of(string, byte_vec))


def source_archive(module_name: str) -> bytes:
    """Archive of the runtime in the importable module ``module_name``. Raises `ModuleNotFoundError`."""
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no runtime module {module_name!r}", name=module_name)
    base = Path(__file__).resolve().parents[2]
    sources = {
        path.relative_to(base).as_posix(): path for part in GUEST_PARTS for path in _python_files(base / part)
    }
    own = Path(spec.origin).resolve()
    if not own.is_relative_to(base / "runtime"):
        sources[f"{module_name.replace('.', '/')}.py"] = own
    entries = tuple((name, sources[name].read_bytes()) for name in sorted(sources))
    return MAGIC + string.encode(module_name) + _files.encode(entries)


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))
