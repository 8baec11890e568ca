"""The pallets of a runtime, as `pileus runtime inspect` shows them: asked of the runtime, and not believed."""

from __future__ import annotations

from typing import Any

from host_functions.compressed_blob import BlobError
from host_functions.contexts import OffchainContext
from host_functions.errors import HostError, SandboxError
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmRuntime
from host_functions.state_machine import FullBackend, Storage, build_state
from pileus.chain_spec import RuntimeFile
from pileus.cli.chain_files import VERSION_TIMEOUT
from pileus.cli.inputs import shorten
from pileus.metadata import BadMetadata, Metadata, Pallet
from runtime.primitives.errors import ScaleError
from runtime.trie.layout import LAYOUT_V1

__all__ = ["metadata_report", "pallet_rows"]

METADATA = "Metadata_metadata"
MAX_NAME = 60
"""Letters of a pallet's name that are shown: the runtime chooses it."""


def metadata_report(
    file: RuntimeFile, code: bytes, entry_points: tuple[str, ...], cache: CompileCache | None
) -> dict[str, Any]:
    """Version, signed extensions and pallets, or why they are not known."""
    if METADATA not in entry_points:
        return {"metadata_version": None, "metadata_problem": f"the runtime has no {METADATA}", "pallets": []}
    storage = Storage() if file.spec is None else file.spec.genesis
    try:
        runtime = WasmRuntime(code, cache=cache, timeout=VERSION_TIMEOUT)
        root, nodes = build_state(storage, LAYOUT_V1)
        metadata = Metadata.of(runtime, OffchainContext(FullBackend(nodes, root, LAYOUT_V1)))
    except (BlobError, InvalidCode, SandboxError, HostError, ScaleError, BadMetadata) as error:
        return {"metadata_version": None, "metadata_problem": str(error), "pallets": []}
    return {
        "metadata_version": metadata.version,
        "metadata_problem": None,
        "signed_extensions": [extension.name for extension in metadata.signed_extensions],
        "pallets": [pallet_report(pallet) for pallet in metadata.pallets.values()],
    }


def pallet_report(pallet: Pallet) -> dict[str, Any]:
    """One pallet by what it is called and what it has."""
    return {
        "name": pallet.name,
        "index": pallet.index,
        "calls": list(pallet.calls),
        "events": {event.name: event.index for event in pallet.events.values()},
        "errors": {error.name: error.index for error in pallet.errors.values()},
        "storage": list(pallet.storage),
    }


def pallet_rows(report: dict[str, Any]) -> list[tuple[str, object]]:
    """A line for each pallet, for reading."""
    return [
        (
            f"  {shorten(pallet['name'], MAX_NAME)}",
            ", ".join(
                part
                for part in (
                    None if pallet["index"] is None else f"index {pallet['index']}",
                    _count(len(pallet["calls"]), "call"),
                    _count(len(pallet["events"]), "event"),
                    _count(len(pallet["errors"]), "error"),
                    _count(len(pallet["storage"]), "storage item"),
                )
                if part is not None
            ),
        )
        for pallet in report["pallets"]
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
