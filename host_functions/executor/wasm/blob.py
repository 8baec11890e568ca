"""What a blob says about itself without being compiled: imports, exports, memory, custom sections, style.

Reads the sections of the binary format that decide whether and how a blob can be linked. Everything else,
the function bodies above all, is the engine's to validate. Work is linear in the size of the blob.

A Substrate blob is written in one of two calling styles. In the *legacy* style the host owns the heap: entry
points are ``(i32, i32) -> i64`` and the guest may call ``ext_allocator_malloc``. In the style of [RFC-145] the
guest allocates: entry points are ``(i32) -> i64`` and fetch their argument with ``ext_input_read``. A blob
that mixes them is refused, because host and guest would both believe they own the heap.

Follows ``sc_executor_common::runtime_blob`` [sc-executor]. Not modelled: proposals beyond the first version
of Wasm, which the engine refuses in runtimes anyway. Start functions, which the reference would run, are
refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["CallingStyle", "FunctionImport", "FunctionType", "MemoryType", "Reader", "WasmBlob", "parse_blob"]

HEADER: Final = b"\0asm\1\0\0\0"
VALUE_TYPES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64"}
CUSTOM, TYPE, IMPORT, FUNCTION, MEMORY, EXPORT, START, LAST_SECTION = 0, 1, 2, 3, 5, 7, 8, 12
MAX_ITEMS: Final = 100_000
"""Types, imports, exports and custom sections of one blob. Real ones have some thousands at most; a million of them, as
the engine would take, cost minutes here."""
IMPORTS_FROM: Final = "env"
MEMORY_NAME: Final = "memory"


class CallingStyle(Enum):
    """Who allocates."""

    LEGACY = "legacy"
    """The host: ``ext_allocator_malloc`` and packed results."""
    RFC145 = "RFC-145"
    """The guest: ``ext_input_read`` and out-buffers."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Wasm type of a function."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        results = f" -> {', '.join(self.results)}" if self.results else ""
        return f"({', '.join(self.params)}){results}"


LEGACY_ENTRY: Final = FunctionType(("i32", "i32"), ("i64",))
RFC145_ENTRY: Final = FunctionType(("i32",), ("i64",))
ENTRY_TYPES: Final = {LEGACY_ENTRY: CallingStyle.LEGACY, RFC145_ENTRY: CallingStyle.RFC145}
STYLE_IMPORTS: Final = {"ext_allocator_": CallingStyle.LEGACY, "ext_input_": CallingStyle.RFC145}


@dataclass(frozen=True, slots=True)
class FunctionImport:
    """A host function as the blob expects it."""

    name: str
    type: FunctionType


@dataclass(frozen=True, slots=True)
class MemoryType:
    """Size of a memory, in pages of 64 KiB."""

    minimum: int
    maximum: int | None


@dataclass(frozen=True, slots=True)
class WasmBlob:
    """The outside of a blob. Sizes in bytes unless said otherwise."""

    code: bytes = field(repr=False)
    """The Wasm binary, not compressed."""
    imports: tuple[FunctionImport, ...]
    memory: MemoryType
    memory_is_imported: bool
    function_exports: Mapping[str, FunctionType]
    custom_sections: Mapping[str, bytes] = field(repr=False)
    """By name; of sections with the same name, the first."""

    @property
    def entry_points(self) -> tuple[str, ...]:
        """Names of the exported functions with the type of an entry point, sorted."""
        return tuple(sorted(name for name, kind in self.function_exports.items() if kind in ENTRY_TYPES))

    @property
    def calling_style(self) -> CallingStyle:
        """Raises `InvalidCode` for a blob that mixes styles, or shows none."""
        signs: dict[CallingStyle, str] = {}
        for name in self.entry_points:
            kind = self.function_exports[name]
            signs.setdefault(ENTRY_TYPES[kind], f"exports {name} {kind}")
        for function in self.imports:
            for prefix, style in STYLE_IMPORTS.items():
                if function.name.startswith(prefix):
                    signs.setdefault(style, f"imports {function.name}")
        if not signs:
            raise InvalidCode("the blob has no entry point: no exported function (i32, i32) -> i64")
        if len(signs) > 1:
            raise InvalidCode(f"the blob mixes calling styles: it {' and '.join(signs.values())}")
        return next(iter(signs))


def parse_blob(code: bytes) -> WasmBlob:
    """The outside of the Wasm binary ``code``. Raises `InvalidCode` with the offset of what is wrong."""
    if code[:8] != HEADER:
        raise InvalidCode("not a Wasm module: it does not begin with \\0asm and version 1")
    sections, custom = _sections(Reader(code, 8, len(code)))
    if START in sections:
        # It would run before the host knows the guest's memory and heap. No Rust runtime has one.
        raise InvalidCode("the module has a start function")
    types = _types(sections.get(TYPE))
    imports, imported_memory = _imports(sections.get(IMPORT), types)
    defined = _indices(sections.get(FUNCTION))
    memories = _memories(sections.get(MEMORY))
    if imported_memory is not None:
        memories.append(imported_memory)
    if len(memories) != 1:
        raise InvalidCode(f"the module has {len(memories)} memories, a runtime has exactly one")
    kinds: list[FunctionType | int] = [*(function.type for function in imports), *defined]
    exports, memory_exported = _exports(sections.get(EXPORT), kinds, types)
    if imported_memory is None and not memory_exported:
        raise InvalidCode(f"the module neither imports nor exports its memory as {MEMORY_NAME!r}")
    return WasmBlob(code, tuple(imports), memories[0], imported_memory is not None, exports, custom)


class Reader:
    """A cursor over ``code[position:end]``; every read is bounds-checked and names its offset on failure."""

    __slots__ = ("code", "end", "position")

    def __init__(self, code: bytes, position: int, end: int) -> None:
        self.code = code
        self.position = position
        self.end = end

    def fail(self, what: str) -> InvalidCode:
        return InvalidCode(f"not a valid Wasm module: {what} at offset {self.position}")

    def byte(self) -> int:
        if self.position >= self.end:
            raise self.fail("unexpected end")
        value = self.code[self.position]
        self.position += 1
        return value

    def u32(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 32:
                    break
                return value
        raise self.fail("a number above 32 bits")

    def count(self) -> int:
        """A number of items; each takes a byte at least, so more than there are bytes left cannot be."""
        count = self.u32()
        if count > self.end - self.position:
            raise self.fail(f"{count} items announced")
        return count

    def few(self) -> int:
        """As `count`, of what there are never many of."""
        count = self.count()
        if count > MAX_ITEMS:
            raise self.fail(f"{count} items announced, more than {MAX_ITEMS}")
        return count

    def bytes(self, length: int) -> bytes:
        if length > self.end - self.position:
            raise self.fail(f"{length} bytes announced")
        self.position += length
        return self.code[self.position - length : self.position]

    def name(self) -> str:
        try:
            return self.bytes(self.u32()).decode()
        except UnicodeDecodeError:
            raise self.fail("a name that is not UTF-8") from None

    def limits(self) -> MemoryType:
        flags = self.byte()
        if flags > 1:
            raise self.fail("limits of a kind that runtimes may not use")
        minimum = self.u32()
        return MemoryType(minimum, self.u32() if flags else None)


def _sections(reader: Reader) -> tuple[dict[int, Reader], dict[str, bytes]]:
    sections: dict[int, Reader] = {}
    custom: dict[str, bytes] = {}
    seen = 0
    while reader.position < reader.end:
        kind = reader.byte()
        size = reader.u32()
        start = reader.position
        if kind > LAST_SECTION:
            raise reader.fail(f"unknown section {kind}")
        if kind in sections:
            raise reader.fail(f"section {kind} a second time")
        if size > reader.end - start:
            raise reader.fail(f"{size} bytes announced")
        section = Reader(reader.code, start, start + size)
        seen += 1
        if seen > MAX_ITEMS:
            raise reader.fail(f"more than {MAX_ITEMS} sections")
        if kind == CUSTOM:
            custom.setdefault(section.name(), section.bytes(section.end - section.position))
        else:
            sections[kind] = section
        reader.position = start + size
    return sections, custom


def _types(reader: Reader | None) -> list[FunctionType]:
    types: list[FunctionType] = []
    if reader is None:
        return types
    for _ in range(reader.few()):
        if reader.byte() != 0x60:
            raise reader.fail("a type that is no function type")
        types.append(FunctionType(_value_types(reader), _value_types(reader)))
    return types


def _value_types(reader: Reader) -> tuple[str, ...]:
    names = []
    for _ in range(reader.count()):
        name = VALUE_TYPES.get(reader.byte())
        if name is None:
            raise reader.fail("a value type that runtimes may not use")
        names.append(name)
    return tuple(names)


def _type_at(types: list[FunctionType], index: int) -> FunctionType:
    if index >= len(types):
        raise InvalidCode(f"not a valid Wasm module: no type {index}")
    return types[index]


def _imports(
    reader: Reader | None, types: list[FunctionType]
) -> tuple[list[FunctionImport], MemoryType | None]:
    functions: list[FunctionImport] = []
    memory: MemoryType | None = None
    if reader is None:
        return functions, memory
    for _ in range(reader.few()):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        if module != IMPORTS_FROM:
            raise InvalidCode(
                f"the blob imports {name!r} from {module!r}: a host offers {IMPORTS_FROM!r} only"
            )
        if kind == 0:
            functions.append(FunctionImport(name, _type_at(types, reader.u32())))
        elif kind == 2 and name == MEMORY_NAME and memory is None:
            memory = reader.limits()
        else:
            raise InvalidCode(f"the blob imports {name!r}, which is neither a function nor its memory")
    return functions, memory


def _indices(reader: Reader | None) -> list[int]:
    """One number per function, tens of thousands of them: hence not `Reader.u32` for each."""
    if reader is None:
        return []
    count = reader.count()
    numbers: list[int] = []
    value = shift = 0
    for byte in reader.bytes(reader.end - reader.position):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
        elif shift > 28:
            raise reader.fail("a number above 32 bits")
    if shift or len(numbers) != count:
        raise reader.fail(f"{count} functions announced")
    return numbers


def _memories(reader: Reader | None) -> list[MemoryType]:
    return [reader.limits() for _ in range(reader.count())] if reader else []


def _exports(
    reader: Reader | None, functions: list[FunctionType | int], types: list[FunctionType]
) -> tuple[dict[str, FunctionType], bool]:
    """``functions``: by index, the type or the index of the type."""
    exports: dict[str, FunctionType] = {}
    memory_exported = False
    if reader is None:
        return exports, memory_exported
    for _ in range(reader.few()):
        name, kind, index = reader.name(), reader.byte(), reader.u32()
        if kind == 0:
            if index >= len(functions):
                raise reader.fail(f"{name!r} is function {index}, of {len(functions)}")
            found = functions[index]
            exports[name] = _type_at(types, found) if isinstance(found, int) else found
        elif kind == 2 and name == MEMORY_NAME:
            memory_exported = True
    return exports, memory_exported
