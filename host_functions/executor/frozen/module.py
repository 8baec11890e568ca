"""A Wasm module taken apart into its sections, and put together again.

For modules of our own making: the parts of the Python VM, which `host_functions.executor.frozen.build` joins, and
the VM, into which a runtime is frozen. Function bodies, initializers and segments stay encoded; what is inside
them is the business of `host_functions.executor.frozen.build.instructions`. Knows the first version of the
binary format, and refuses what it does not know. Strangers' blobs are read by `executor.wasm.blob`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from host_functions.executor.wasm.blob import Reader
from host_functions.executor.wasm.errors import InvalidCode

__all__ = [
    "DataSegment",
    "ElementSegment",
    "Export",
    "Global",
    "Import",
    "Kind",
    "Module",
    "const_i32",
    "leb",
    "name_of",
    "read_module",
    "read_signed",
    "signed_leb",
    "value_i32",
    "write_module",
]

HEADER: Final = b"\0asm\1\0\0\0"
I32_CONST: Final = 0x41
I64_CONST: Final = 0x42
I32_ADD: Final = 0x6A
GLOBAL_GET: Final = 0x23
END: Final = 0x0B
CONST_SIZES: Final = {0x43: 4, 0x44: 8}
"""Bytes of floating-point constants by opcode."""


class Kind(IntEnum):
    """What is imported or exported."""

    FUNCTION = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3


class Import(NamedTuple):
    """One import."""

    module: str
    name: str
    kind: Kind
    type: bytes
    """Encoded: the index of a function's type, limits, or a global's value type and mutability."""


class Export(NamedTuple):
    """One export."""

    name: str
    kind: Kind
    number: int
    """Index in the space of its kind."""


class Global(NamedTuple):
    """A global variable of the module's own."""

    type: bytes
    """Value type, then 1 if it is mutable."""
    init: bytes
    """Constant expression, with its end."""


class ElementSegment(NamedTuple):
    """Functions to be put into a table at instantiation."""

    table: int
    offset: bytes
    """Constant expression, with its end."""
    functions: tuple[int, ...]


class DataSegment(NamedTuple):
    """Bytes to be put into the memory at instantiation."""

    offset: bytes
    """Constant expression, with its end."""
    content: bytes


@dataclass(slots=True)
class Module:
    """Sections in the order of the format; indices as the format counts them, imports first."""

    types: list[bytes] = field(default_factory=list)
    """Encoded function types."""
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Index of the type, by function."""
    tables: list[bytes] = field(default_factory=list)
    memories: list[bytes] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    elements: list[ElementSegment] = field(default_factory=list)
    code: list[bytes] = field(default_factory=list)
    """Bodies, without their length."""
    data: list[DataSegment] = field(default_factory=list)
    custom: list[tuple[str, bytes]] = field(default_factory=list)

    def imported(self, kind: Kind) -> list[Import]:
        """The imports of one kind: the first entries of its index space."""
        return [one for one in self.imports if one.kind is kind]


def read_module(code: bytes, *, keep_custom: bool = False) -> Module:
    """Take a module apart; custom sections (names, producers) only on request. Raises `InvalidCode`."""
    if code[:8] != HEADER:
        raise InvalidCode("not a core Wasm module")
    module, reader = Module(), Reader(code, 8, len(code))
    while reader.position < reader.end:
        number, size = reader.byte(), reader.u32()
        section = Reader(code, reader.position, reader.position + size)
        reader.bytes(size)
        if number == 0:
            if keep_custom:
                module.custom.append((section.name(), section.bytes(section.end - section.position)))
            continue
        read = _READERS.get(number)
        if read is None:
            raise section.fail(f"section {number}, which is not handled")
        read(module, section)
        if section.position != section.end:
            raise section.fail(f"{section.end - section.position} bytes left over in section {number}")
    return module


def write_module(module: Module) -> bytes:
    """The binary form; sections that would be empty are left out."""
    code = (leb(len(body)) + body for body in module.code)
    sections = (
        (1, module.types),
        (2, map(_import, module.imports)),
        (3, map(leb, module.functions)),
        (4, module.tables),
        (5, module.memories),
        (6, (one.type + one.init for one in module.globals)),
        (7, (name_of(one.name) + bytes([one.kind]) + leb(one.number) for one in module.exports)),
        (9, map(_element, module.elements)),
        (10, code),
        (11, (b"\0" + one.offset + leb(len(one.content)) + one.content for one in module.data)),
    )
    parts = [HEADER]
    for number, items in sections:
        content = list(items)
        if content:
            parts.append(_section(number, leb(len(content)) + b"".join(content)))
    parts += [_section(0, name_of(name) + content) for name, content in module.custom]
    return b"".join(parts)


def leb(number: int) -> bytes:
    """Unsigned LEB128."""
    if number < 0x80:
        return bytes([number])
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed_leb(number: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def name_of(text: str) -> bytes:
    """A name as the format writes it."""
    encoded = text.encode()
    return leb(len(encoded)) + encoded


def const_i32(number: int) -> bytes:
    """The constant expression of an ``i32``, given with sign or without."""
    number &= 0xFFFF_FFFF
    return bytes([I32_CONST]) + signed_leb(number - ((number & 1 << 31) << 1)) + bytes([END])


def read_signed(reader: Reader) -> int:
    """A signed number."""
    value = shift = 0
    while True:
        byte = reader.byte()
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value - (1 << shift) if byte & 0x40 else value


def value_i32(constant: bytes) -> int:
    """The number, without sign, in the constant expression of an ``i32``. The inverse of `const_i32`."""
    reader = Reader(constant, 0, len(constant))
    if reader.byte() != I32_CONST:
        raise reader.fail("no constant of type i32")
    return read_signed(reader) & 0xFFFF_FFFF


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def _import(one: Import) -> bytes:
    return name_of(one.module) + name_of(one.name) + bytes([one.kind]) + one.type


def _element(one: ElementSegment) -> bytes:
    head = b"\0" if one.table == 0 else b"\2" + leb(one.table)
    functions = leb(len(one.functions)) + b"".join(map(leb, one.functions))
    return head + one.offset + (b"\0" if one.table else b"") + functions


def _taken(reader: Reader, read: Callable[[], object]) -> bytes:
    """The bytes that ``read`` moves over."""
    start = reader.position
    read()
    return reader.code[start : reader.position]


def _value_types(reader: Reader) -> None:
    reader.bytes(reader.u32())


def _type(reader: Reader) -> bytes:
    def read() -> None:
        if reader.byte() != 0x60:
            raise reader.fail("a type that is no function type")
        _value_types(reader)
        _value_types(reader)

    return _taken(reader, read)


def _table_type(reader: Reader) -> None:
    if reader.byte() != 0x70:
        raise reader.fail("a table of something else than functions")
    reader.limits()


def _global_type(reader: Reader) -> None:
    reader.bytes(2)


_IMPORT_TYPES: Final[dict[Kind, Callable[[Reader], object]]] = {
    Kind.FUNCTION: Reader.u32,
    Kind.TABLE: _table_type,
    Kind.MEMORY: Reader.limits,
    Kind.GLOBAL: _global_type,
}


def _read_import(reader: Reader) -> Import:
    module, name, kind = reader.name(), reader.name(), Kind(reader.byte())
    return Import(module, name, kind, _taken(reader, lambda: _IMPORT_TYPES[kind](reader)))


def _constant(reader: Reader) -> bytes:
    def read() -> None:
        while (opcode := reader.byte()) != END:
            if opcode in CONST_SIZES:
                reader.bytes(CONST_SIZES[opcode])
            elif opcode in (I32_CONST, I64_CONST, GLOBAL_GET):
                while reader.byte() >= 0x80:
                    pass
            elif opcode != I32_ADD:
                raise reader.fail(f"constant expression with opcode {opcode:#x}, which is not handled")

    return _taken(reader, read)


def _read_global(reader: Reader) -> Global:
    return Global(_taken(reader, lambda: _global_type(reader)), _constant(reader))


def _read_export(reader: Reader) -> Export:
    return Export(reader.name(), Kind(reader.byte()), reader.u32())


def _read_element(reader: Reader) -> ElementSegment:
    flags = reader.u32()
    if flags not in (0, 2):
        raise reader.fail(f"element segment of kind {flags}, which is not handled")
    table = reader.u32() if flags else 0
    offset = _constant(reader)
    if flags and reader.byte() != 0:
        raise reader.fail("element segment of something else than functions")
    return ElementSegment(table, offset, tuple(reader.u32() for _ in range(reader.count())))


def _read_data(reader: Reader) -> DataSegment:
    if (flags := reader.u32()) != 0:
        raise reader.fail(f"data segment of kind {flags}, which is not handled")
    return DataSegment(_constant(reader), reader.bytes(reader.u32()))


def _vector(reader: Reader, read: Callable[[Reader], object]) -> Iterable[object]:
    return [read(reader) for _ in range(reader.u32())]


def _filling(attribute: str, read: Callable[[Reader], object]) -> Callable[[Module, Reader], None]:
    return lambda module, reader: getattr(module, attribute).extend(_vector(reader, read))


_READERS: Final[dict[int, Callable[[Module, Reader], None]]] = {
    1: _filling("types", _type),
    2: _filling("imports", _read_import),
    3: _filling("functions", Reader.u32),
    4: _filling("tables", lambda reader: _taken(reader, lambda: _table_type(reader))),
    5: _filling("memories", lambda reader: _taken(reader, reader.limits)),
    6: _filling("globals", _read_global),
    7: _filling("exports", _read_export),
    9: _filling("elements", _read_element),
    10: _filling("code", lambda reader: reader.bytes(reader.u32())),
    11: _filling("data", _read_data),
}
"""By number of the section. Neither a start function (8) nor a count of data segments (12)."""
