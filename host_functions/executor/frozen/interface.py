"""What a frozen guest can ask of its host: the functions it calls, by the imports that carry them.

Derived from the declarations. A function that allocates nowhere is imported as it is; one for which a legacy
host allocates is imported in its form of [RFC-145]; `BY_OTHERS` are answered inside the guest by means of
others. What remains, old versions that only legacy hosts serve, a frozen guest cannot call.

The list, with its Wasm types, is the *host interface* a blob is frozen for. `INTERFACE_VERSION` counts its
versions and `interface_digest` identifies it.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from host_functions.abi import WireForm, wasm_signature
from host_functions.declare import HostFunction, functions_of
from host_functions.executor.wasm.blob import CallingStyle
from host_functions.executor.wasm.manifest import INTERFACE_VERSION
from host_functions.executor.wasm.style import style_of
from host_functions.interfaces import (
    additional_data,
    child_storage,
    crypto,
    guest_allocates,
    hashing,
    logging,
    misc,
    offchain_index,
    panic_handler,
    relay_chain_state,
    storage,
    storage_proof_size,
    transaction_index,
    trie,
)
from runtime.primitives.hashing import blake2_256

__all__ = ["BY_OTHERS", "INTERFACE_VERSION", "Imported", "imported_functions", "interface_digest"]

INTERFACES: Final[tuple[ModuleType, ...]] = (
    storage,
    child_storage,
    trie,
    hashing,
    crypto,
    misc,
    logging,
    relay_chain_state,
    additional_data,
    storage_proof_size,
    offchain_index,
    transaction_index,
    panic_handler,
)
"""Whose functions a block may need. Not those of offchain workers and keystores."""

BY_OTHERS: Final[tuple[HostFunction[..., Any], ...]] = (
    storage.read,
    storage.clear_prefix,
    child_storage.read,
    child_storage.clear_prefix,
    child_storage.storage_kill,
)
"""Answered in the guest from `storage.get`, `storage.clear_prefix_from` and their like."""


class Imported(NamedTuple):
    """One function a guest can call."""

    function: HostFunction[..., Any]
    """As guest code knows it."""
    wire: HostFunction[..., Any]
    """As the blob imports it."""


@cache
def imported_functions() -> tuple[Imported, ...]:
    """In the order of the interfaces."""
    forms = {
        form.answered_by: form
        for form in functions_of(guest_allocates)
        if isinstance(form, WireForm) and form.select is None
    }
    found = []
    for interface in INTERFACES:
        for function in functions_of(interface):
            wire = forms.get(function, function)
            if function not in BY_OTHERS and style_of(wire) is not CallingStyle.LEGACY:
                found.append(Imported(function, wire))
    return tuple(found)


@cache
def interface_digest() -> bytes:
    """BLAKE2b-256 of the imports' names and Wasm types, in their order."""
    lines = []
    for _, wire in imported_functions():
        parameters, results = wasm_signature(wire)
        lines.append(f"{wire.name}({','.join(parameters)}){','.join(results)}")
    return blake2_256("\n".join(lines).encode())
