"""What a frozen blob says of itself, in a custom section: the host interface it was frozen for, and by which VM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from host_functions.executor.wasm.blob import WasmBlob
from host_functions.executor.wasm.errors import InvalidCode
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import H256, U32, Struct

__all__ = ["FROZEN_SECTION", "INTERFACE_VERSION", "Manifest", "check_interface", "manifest_of"]

FROZEN_SECTION: Final = "pileus_frozen"
INTERFACE_VERSION: Final = 1
"""Version of the host interface of `host_functions.executor.frozen.interface`. Raised whenever its digest changes
(a test holds the digest of each version)."""


@dataclass(frozen=True, slots=True)
class Manifest(Struct):
    """Content of the section."""

    interface_version: U32
    """The `INTERFACE_VERSION` it was frozen for."""
    vm_hash: H256
    """BLAKE2b-256 of the VM module."""
    runtime: str
    """Module that was frozen."""


def manifest_of(blob: WasmBlob) -> Manifest | None:
    """``None`` for a blob that is no frozen Python runtime. Raises `InvalidCode` for a damaged section."""
    section = blob.custom_sections.get(FROZEN_SECTION)
    if section is None:
        return None
    try:
        return Manifest.decode(section)
    except ScaleError as error:
        raise InvalidCode(f"section {FROZEN_SECTION} is damaged: {error}") from None


def check_interface(blob: WasmBlob) -> None:
    """Raises `InvalidCode` for a blob that was frozen for another host interface."""
    manifest = manifest_of(blob)
    if manifest is not None and manifest.interface_version != INTERFACE_VERSION:
        raise InvalidCode(
            f"the blob was frozen for version {manifest.interface_version} of the host interface, this host offers"
            f" version {INTERFACE_VERSION}: freeze {manifest.runtime} again"
        )
