"""Freezing: a runtime's sources are run once in the Python VM, and what the VM has become is the blob.

The VM imports the runtime as Python does. Afterwards its memory and its mutable globals are written back into
the module as the state it begins with, and each entry point becomes an exported function of the calling style
of [RFC-145]. That is all of an instance that can change: the VM has no instruction that changes a table, so a
fresh instance of the blob is in exactly the state after the imports. Its objects are immortal, so that calls write
less (`host_functions.executor.frozen.immortal`).

The VM has no clock and no randomness, so the same sources and the same VM give the same bytes, everywhere and
every time. The blob's hash is the code hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, STRONG_LEVEL, compress
from host_functions.contexts.base import HostContext
from host_functions.errors import GuestPanic, PileusError
from host_functions.executor.frozen.immortal import UnexpectedLayout, made_immortal
from host_functions.executor.frozen.interface import INTERFACE_VERSION
from host_functions.executor.frozen.module import (
    DataSegment,
    Export,
    Global,
    Kind,
    Module,
    const_i32,
    leb,
    read_module,
    signed_leb,
    write_module,
)
from host_functions.executor.frozen.sources import GuestModule, collect_sources
from host_functions.executor.frozen.vm import GLOBAL_EXPORT, find_vm
from host_functions.executor.wasm.cache import CompileCache
from host_functions.executor.wasm.errors import DeadlineExceeded
from host_functions.executor.wasm.heap import PAGE, Dynamic
from host_functions.executor.wasm.manifest import FROZEN_SECTION, Manifest
from host_functions.executor.wasm.runtime import Snapshot, WasmRuntime
from host_functions.executor.wasm.version import APIS_SECTION, VERSION_SECTION
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import ScaleError
from runtime.primitives.version import RuntimeVersion

__all__ = ["FreezeError", "FrozenBlob", "freeze"]

HEAP: Final = Dynamic(2048)
"""Pages the VM may have while it imports a runtime: 128 MiB."""
IMPORT_TIME: Final = 120.0
"""Seconds the import of a runtime may take; it needs about one. No signal reaches code that runs in the VM."""
OBJECTS: Final = -1
"""In place of an entry point's index: the VM tells where its objects are."""
ENTRY_POINT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
"""Name of an entry point, which becomes the name of an export."""
RESERVED: Final = ("memory", "__heap_base")
"""Names that mean something else to a host."""
BLOCK: Final = 4096
"""Memory is written in blocks of this size, without those that are zero."""
I32, I64 = 0x7F, 0x7E
I64_CONST, LOCAL_GET, EXTEND, CALL, END = 0x42, 0x20, 0xAD, 0x10, 0x0B
ENTRY_TYPE: Final = bytes([0x60, 1, I32, 1, I64])


class FreezeError(PileusError):
    """A runtime cannot be frozen: it fails at import, or is no runtime."""


@dataclass(frozen=True, slots=True)
class FrozenBlob:
    """A runtime as Wasm."""

    code: bytes = field(repr=False)
    """The module, not compressed."""
    entry_points: tuple[str, ...]
    modules: tuple[str, ...]
    """Names of the modules it is made of."""
    version: RuntimeVersion | None

    def compressed(self, cache: CompileCache | None = None) -> bytes:
        """As it may stand on chain. Takes seconds, unless ``cache`` has it. Raises `FreezeError` if it is larger than
        any runtime may be."""
        if cache is None:
            return self._compressed()
        zstd = ".".join(map(str, zstandard.ZSTD_VERSION))
        return cache.kept(f"{blake2_256(self.code).hex()}-zstd-{zstd}-{STRONG_LEVEL}", self._compressed)

    def _compressed(self) -> bytes:
        packed = compress(self.code, BlobKind.LEGACY, CODE_BLOB_BOMB_LIMIT, level=STRONG_LEVEL)
        if packed is None:
            raise FreezeError(f"the blob has {len(self.code)} bytes, more than a runtime may have")
        return packed


def freeze(
    runtime: str,
    *,
    paths: Sequence[Path] | None = None,
    vm: bytes | None = None,
    cache: CompileCache | None = None,
) -> FrozenBlob:
    """The runtime in module ``runtime`` as one blob.

    ``paths``: see `collect_sources`. ``vm``: the Python VM, else that of `find_vm`. ``cache``: for its compiled
    code. Raises `ImportRefused`, `FreezeError`, `MissingVm`.
    """
    modules = collect_sources(runtime, paths)
    vm = find_vm() if vm is None else vm
    machine = WasmRuntime(vm, heap=HEAP, timeout=IMPORT_TIME, cache=cache)
    try:
        answer, state, objects = machine.snapshot(
            "load", _archive(runtime, modules), _AtImport(), then=("enter", OBJECTS, 0)
        )
    except DeadlineExceeded:
        raise FreezeError(f"{runtime} is still being imported after {IMPORT_TIME:g} s") from None
    except GuestPanic as error:
        raise FreezeError(f"{runtime} fails when it is imported: {error.message}") from None
    except PileusError as error:
        raise FreezeError(f"{runtime} fails when it is imported: {error}") from None
    entry_points, encoded = _loaded(runtime, answer)
    version = _version(encoded)
    try:
        state = state._replace(memory=made_immortal(state.memory, objects))
    except UnexpectedLayout as error:
        raise FreezeError(f"{runtime}: {error}") from None
    module = _frozen(read_module(vm), state, entry_points)
    manifest = Manifest(INTERFACE_VERSION, blake2_256(vm), runtime)
    module.custom = [*_sections(version), (FROZEN_SECTION, manifest.encode())]
    return FrozenBlob(write_module(module), entry_points, tuple(one.name for one in modules), version)


class _AtImport(HostContext):
    """What a runtime can ask for while it is imported: pure functions alone, since there is no block."""

    def __str__(self) -> str:
        return "the import of a runtime"


def _archive(runtime: str, modules: Sequence[GuestModule]) -> bytes:
    return json.dumps({"runtime": runtime, "modules": modules}, ensure_ascii=False).encode()


def _loaded(runtime: str, answer: bytes) -> tuple[tuple[str, ...], bytes]:
    """Entry points, and the encoded version. The VM ran the runtime's code, so nothing it says is believed."""
    try:
        told = json.loads(answer)
        entry_points, version = tuple(told["entry_points"]), bytes.fromhex(told["version"])
    except (ValueError, TypeError, LookupError):
        raise FreezeError(f"{runtime} changes what the Python VM itself is made of") from None
    if not entry_points:
        raise FreezeError(f"{runtime} has no entry point: its table ENTRY_POINTS is empty")
    for name in entry_points:
        if not isinstance(name, str) or not ENTRY_POINT.fullmatch(name) or name in RESERVED:
            raise FreezeError(f"{runtime}: {name!r:.80} cannot be the name of an entry point")
    if len(set(entry_points)) < len(entry_points):
        raise FreezeError(f"{runtime} has two entry points of one name")
    return entry_points, version


def _version(encoded: bytes) -> RuntimeVersion | None:
    if not encoded:
        return None
    try:
        return RuntimeVersion.decode(encoded)
    except ScaleError as error:
        raise FreezeError(f"Core_version gives no RuntimeVersion: {error}") from None


def _sections(version: RuntimeVersion | None) -> Iterator[tuple[str, bytes]]:
    """As the build tool of Substrate runtimes writes them: the version without its APIs, and the APIs."""
    if version is None:
        return
    bare = RuntimeVersion(**{**{name: getattr(version, name) for name in version.__slots__}, "apis": ()})
    yield VERSION_SECTION, bare.encode()
    yield (
        APIS_SECTION,
        b"".join(identifier + number.to_bytes(4, "little") for identifier, number in version.apis),
    )


def _frozen(module: Module, state: Snapshot, entry_points: Sequence[str]) -> Module:
    """The VM with another beginning and other exports."""
    for export in module.exports:
        if export.name.startswith(GLOBAL_EXPORT):
            kind = module.globals[export.number].type
            init = _constant(kind[0], state.globals[export.name])
            module.globals[export.number] = Global(kind, init)
    module.memories = [b"\0" + leb(len(state.memory) // PAGE)]
    module.data = list(_segments(state.memory))
    enter = next(export.number for export in module.exports if export.name == "enter")
    memory = next(export for export in module.exports if export.name == "memory")
    module.exports = [memory]
    if ENTRY_TYPE not in module.types:
        module.types.append(ENTRY_TYPE)
    first = len(module.imported(Kind.FUNCTION)) + len(module.functions)
    for index, name in enumerate(entry_points):
        module.functions.append(module.types.index(ENTRY_TYPE))
        module.code.append(_thunk(index, enter))
        module.exports.append(Export(name, Kind.FUNCTION, first + index))
    return module


def _thunk(index: int, enter: int) -> bytes:
    """``(length) -> packed``: enter with the index of the entry point and the length."""
    return b"\0" + const_i32(index)[:-1] + bytes([LOCAL_GET, 0, EXTEND, CALL]) + leb(enter) + bytes([END])


def _constant(kind: int, value: Any) -> bytes:
    if kind == I32:
        return const_i32(value)
    if kind == I64:
        return bytes([I64_CONST]) + signed_leb(value) + bytes([END])
    raise FreezeError(f"the VM has a mutable global of type {kind:#x}, which is not handled")


def _segments(memory: bytes) -> Iterator[DataSegment]:
    """The memory without its zeros: neighbouring blocks that hold something, zeros at both ends left out."""
    zeros = bytes(BLOCK)
    start: int | None = None
    for at in range(0, len(memory) + BLOCK, BLOCK):
        block = memory[at : at + BLOCK]
        if block and block != zeros[: len(block)]:
            start = at if start is None else start
        elif start is not None:
            content = memory[start:at].rstrip(b"\0")
            trimmed = content.lstrip(b"\0")
            yield DataSegment(const_i32(start + len(content) - len(trimmed)), trimmed)
            start = None
