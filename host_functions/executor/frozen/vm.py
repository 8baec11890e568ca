"""Finding the Python VM: beside this package in a wheel, or in the user's cache.

A VM fits exactly one state of the sources it was made of, `vm_key`. One that does not is not used. A file that
does not decompress to such a VM is as good as none; in the cache it is replaced when the VM is built again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import zstandard

from host_functions.errors import PileusError
from host_functions.executor.frozen.guest_modules import PRELOADED
from host_functions.executor.frozen.interface import INTERFACE_VERSION, interface_digest
from host_functions.executor.wasm.blob import parse_blob
from host_functions.executor.wasm.cache import CompileCache
from host_functions.executor.wasm.errors import InvalidCode
from runtime.primitives.hashing import blake2_256

__all__ = [
    "COMPONENTIZE_PY",
    "GLOBAL_EXPORT",
    "GUEST_FILES",
    "MANIFEST_SECTION",
    "PACKAGED_VM",
    "MissingVm",
    "cached_vm_path",
    "find_vm",
    "store_vm",
    "vm_key",
]

COMPONENTIZE_PY: Final = "0.25.1"
"""The one version whose components we know; also pinned in the extra ``build``."""
MANIFEST_SECTION: Final = "pileus_vm"
"""Custom section of the VM: JSON that says what it was made of."""
GLOBAL_EXPORT: Final = "global:"
"""The VM exports each mutable global under this and its index."""
HERE: Final = Path(__file__).resolve().parent
PACKAGED_VM: Final = HERE / "python_vm.wasm.zst"
"""Where a wheel has it."""
GUEST_FILES: Final = tuple(sorted((HERE / "guest").glob("pileus_*.py")))
"""Python files inside the VM."""
BUILD_FILES: Final = tuple(sorted((HERE / "build").glob("*.py")))
SIZE_LIMIT: Final = 64 * 1024 * 1024
LEVEL: Final = 19
"""Of compression; the file is made once."""


class MissingVm(PileusError):
    """There is no Python VM here, so no runtime can be frozen."""


@cache
def vm_key() -> str:
    """Identifies what a VM is made of: sources, tools and the host interface. 16 hex digits."""
    parts = [COMPONENTIZE_PY.encode(), " ".join(PRELOADED).encode()]
    parts += [str(INTERFACE_VERSION).encode(), interface_digest()]
    parts += [blake2_256(file.read_bytes()) for file in (*GUEST_FILES, *BUILD_FILES)]
    return blake2_256(b"\0".join(parts)).hex()[:16]


def cached_vm_path() -> Path:
    """Where the cache has the VM. Raises `UnsafeCache`, `OSError`."""
    return CompileCache.default().directory / f"python-vm-{vm_key()}.wasm.zst"


def find_vm(say: Callable[[str], None] = lambda line: None) -> bytes:
    """The VM module. ``say`` hears of a damaged file. Raises `MissingVm`."""
    for path in (PACKAGED_VM, cached_vm_path()):
        try:
            packed = path.read_bytes()
        except OSError:
            continue
        code = _unpacked(packed)
        if code is None:
            say(f"{path} is damaged or of another version, and is not used")
        else:
            return code
    raise MissingVm(
        "the Python VM is not there: in a source checkout `make vm` builds it once (about half a minute);"
        " elsewhere `pip install 'pileus[build]' && python -m host_functions.executor.frozen.build`"
    )


def store_vm(code: bytes, path: Path) -> None:
    """Write a VM for `find_vm` to find. The file appears complete or not at all."""
    packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=-1).compress(code)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(packed)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def _unpacked(packed: bytes) -> bytes | None:
    """The VM in a file, if it is whole and the one that fits."""
    try:
        code = zstandard.ZstdDecompressor().decompress(packed, max_output_size=SIZE_LIMIT)
        manifest = json.loads(parse_blob(code).custom_sections[MANIFEST_SECTION])
        return code if manifest["key"] == vm_key() else None
    except (zstandard.ZstdError, InvalidCode, KeyError, TypeError, ValueError):
        return None
