"""A canonical archive of a Python runtime's source: what stands under ``:code`` of a chain that runs
natively.

Real clients read the hash of ``:code`` to learn which runtime a block has, so there must be something, and it
must change exactly when the runtime does. The archive is `MAGIC`, the name of the runtime's module, its version
(which a Wasm blob has in a custom section), and every source file of the packages it is made of, in order of their
path; its BLAKE2b-256 is the code hash. It is not executed from here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import byte_vec, string, tuple_of, vec

__all__ = ["MAGIC", "archived_version", "source_archive"]

MAGIC = b"\x00pileus\x02"
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


def source_archive(module_name: str, version: bytes) -> bytes:
    """Archive of the runtime in the importable module ``module_name``. Raises `ModuleNotFoundError`.

    ``version`` is SCALE of its `RuntimeVersion`, or empty for a runtime that does not say.
    """
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
    return MAGIC + string.encode(module_name) + byte_vec.encode(version) + _files.encode(entries)


def archived_version(code: bytes) -> bytes | None:
    """The version in an archive; ``None`` for other code, and for one that does not say."""
    if not code.startswith(MAGIC):
        return None
    try:
        _, offset = string.decode_prefix(code, len(MAGIC))
        version, _ = byte_vec.decode_prefix(code, offset)
    except ScaleError:
        return None
    return version or None


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))
