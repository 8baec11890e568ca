"""The version of a blob without running it: what the ``runtime_version`` section says.

The build tool writes two custom sections into every runtime since 2021: ``runtime_version``, a
`RuntimeVersion` with an empty list of APIs, and ``runtime_apis``, the list. Blobs without them answer
``Core_version`` only.

Follows ``sc_executor::wasm_runtime::read_embedded_version`` [sc-executor] and the version hint of [sp-version]:
the version of the ``Core`` API decides whether the last two fields are there.
"""

from __future__ import annotations

from typing import Final

from host_functions.executor.wasm.blob import WasmBlob
from host_functions.executor.wasm.errors import InvalidCode
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import fixed_bytes, string, tuple_of, u8, u32, vec
from runtime.primitives.version import RuntimeVersion, api_id

__all__ = ["decode_runtime_version", "embedded_version"]

VERSION_SECTION: Final = "runtime_version"
APIS_SECTION: Final = "runtime_apis"
API_SIZE: Final = 12
"""Bytes of one entry: id, then version."""
CORE: Final = api_id("Core")
FIRST_WITH_TRANSACTION_VERSION: Final = 3
FIRST_WITH_SYSTEM_VERSION: Final = 4

_api = tuple_of(fixed_bytes(8), u32)
_names = tuple_of(string, string, u32, u32, u32, vec(_api))


def decode_runtime_version(data: bytes, core_version: int | None = None) -> RuntimeVersion:
    """A `RuntimeVersion` of any age, with the fields it lacks at 1 and 0. Raises `ScaleError`.

    ``core_version``: version of the ``Core`` API, where the list in ``data`` does not say it.
    """
    (spec, implementation, authoring, spec_version, impl_version, apis), offset = _names.decode_prefix(data)
    core = dict(apis).get(CORE, 0) if core_version is None else core_version
    transaction_version, system_version = 1, 0
    if core >= FIRST_WITH_TRANSACTION_VERSION:
        transaction_version, offset = u32.decode_prefix(data, offset)
    if core >= FIRST_WITH_SYSTEM_VERSION:
        system_version, offset = u8.decode_prefix(data, offset)
    return RuntimeVersion(
        spec, implementation, authoring, spec_version, impl_version, apis, transaction_version, system_version
    )


def embedded_version(blob: WasmBlob) -> RuntimeVersion | None:
    """What the custom sections say, ``None`` if there are none. Raises `InvalidCode` if they are damaged."""
    section = blob.custom_sections.get(VERSION_SECTION)
    if section is None:
        return None
    listed = blob.custom_sections.get(APIS_SECTION)
    try:
        if listed is None:
            return decode_runtime_version(section)
        if len(listed) % API_SIZE:
            raise InvalidCode(f"section {APIS_SECTION} has {len(listed)} bytes, not a multiple of {API_SIZE}")
        apis = tuple(_api.decode(listed[at : at + API_SIZE]) for at in range(0, len(listed), API_SIZE))
        version = decode_runtime_version(section, dict(apis).get(CORE, 0))
    except ScaleError as error:
        raise InvalidCode(f"section {VERSION_SECTION} is damaged: {error}") from None
    return RuntimeVersion(
        version.spec_name,
        version.impl_name,
        version.authoring_version,
        version.spec_version,
        version.impl_version,
        apis,
        version.transaction_version,
        version.system_version,
    )
