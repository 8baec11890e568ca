"""Joining modules that import from each other into one module without loss of meaning.

Every module of a component is instantiated exactly once, so its functions, tables, memories and globals can
stand side by side in one module, and imports become plain indices. Sound because nothing observes instances:

* active segments keep the order of instantiation, and no module has a start function (`read_module` refuses
  one), so memory and tables begin as they did;
* the tables become one table, each at an offset that is added where it is called through;
* initializers are folded to constants: they refer to immutable globals only, whose values are known;
* what is imported from nowhere must be a host function, and is imported once.

What could tell the difference, instructions on tables and passive segments, is refused
(`host_functions.executor.frozen.build.instructions`). Only a call through an index beyond the end of its own
table differs: it trapped, and now reaches the next table. Such indices do not come from compiled C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from host_functions.executor.frozen.build.instructions import Renumbering, rewrite_body
from host_functions.executor.frozen.module import (
    END,
    GLOBAL_GET,
    I32_ADD,
    I32_CONST,
    DataSegment,
    ElementSegment,
    Export,
    Global,
    Import,
    Kind,
    Module,
    const_i32,
    leb,
    read_signed,
)
from host_functions.executor.wasm.blob import Reader
from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["Joined", "Part", "Placed", "join"]

FUNCTIONS: Final = 0x70
"""What tables hold."""
HOST: Final = "env"
"""Module from which the joined module imports."""
MEMORY_BASE, TABLE_BASE = "__memory_base", "__table_base"
"""Where a shared library finds its data and its table entries."""


@dataclass(frozen=True, slots=True)
class Part:
    """A module to join, and from which part each import comes; those from nowhere are the host's."""

    module: Module
    sources: Mapping[tuple[str, str], tuple[str, str]]
    """Import module and name -> name of the part that exports it, and the export's name."""


class Placed(NamedTuple):
    """Where a part is in the joined module."""

    functions: range
    """Numbers of its functions."""
    exports: Mapping[str, int]
    """Numbers of the functions it exported, by name."""
    bases: Mapping[int, tuple[int, int | None]]
    """Of a shared library: number of the global that holds a base -> the base, and of how many table entries."""
    data: Mapping[str, int]
    """Addresses of the data that a shared library exported, by name."""


class Joined(NamedTuple):
    """The joined module, and what became of its parts."""

    module: Module
    placed: Mapping[str, Placed]


def join(parts: Mapping[str, Part], exports: Mapping[str, tuple[str, str]], stand_ins: str) -> Joined:
    """One module of all ``parts``, instantiated in order, which exports just ``exports``.

    ``stand_ins``: the part made of `instructions.STAND_INS`. Raises `InvalidCode`.
    """
    return _Joiner(parts, stand_ins).join(exports)


class _Joiner:
    def __init__(self, parts: Mapping[str, Part], stand_ins: str) -> None:
        self._parts = parts
        self._stand_ins = stand_ins
        self._exports = {
            name: {export.name: export for export in part.module.exports} for name, part in parts.items()
        }
        self._joined = Module()
        self._types: dict[bytes, int] = {}
        self._host: dict[tuple[str, bytes], int] = {}
        self._first: dict[tuple[str, Kind], int] = {}
        """Number, in the joined module, of the first definition of a part."""

    def join(self, exports: Mapping[str, tuple[str, str]]) -> Joined:
        self._import_from_host()
        self._number()
        self._lay_out_tables()
        numbers = {name: self._renumbering(name) for name in self._parts}
        for name, part in self._parts.items():
            self._add(name, part.module, numbers[name])
        for name, (exporter, exported) in exports.items():
            self._joined.exports.append(Export(name, *self._resolve(exporter, exported)))
        return Joined(self._joined, {name: self._placed(name) for name in self._parts})

    def _placed(self, name: str) -> Placed:
        module = self._parts[name].module
        first = self._first[name, Kind.FUNCTION]
        bases: dict[int, tuple[int, int | None]] = {}
        for place, wanted in enumerate(module.imported(Kind.GLOBAL)):
            if wanted.name in (MEMORY_BASE, TABLE_BASE):
                entries = sum(len(segment.functions) for segment in module.elements)
                bases[self._index(name, Kind.GLOBAL, place)] = (
                    self._global_value(name, place),
                    entries if wanted.name == TABLE_BASE else None,
                )
        return Placed(
            range(first, first + len(module.functions)),
            {
                export.name: self._index(name, export.kind, export.number)
                for export in module.exports
                if export.kind is Kind.FUNCTION
            },
            bases,
            {
                export.name: self._global_value(name, export.number) + base
                for export in module.exports
                for base, entries in bases.values()
                if export.kind is Kind.GLOBAL and entries is None
            },
        )

    def _import_from_host(self) -> None:
        for name, part in self._parts.items():
            for wanted in part.module.imports:
                if (wanted.module, wanted.name) in part.sources:
                    continue
                if wanted.kind is not Kind.FUNCTION or wanted.module != HOST:
                    raise InvalidCode(f"{name} imports {wanted.name} of {wanted.module}, which nobody gives")
                self._host_function(part.module, wanted)

    def _host_function(self, module: Module, wanted: Import) -> int:
        kind = module.types[Reader(wanted.type, 0, len(wanted.type)).u32()]
        key = (wanted.name, kind)
        if key not in self._host:
            self._host[key] = len(self._host)
            self._joined.imports.append(Import(HOST, wanted.name, Kind.FUNCTION, leb(self._type(kind))))
        return self._host[key]

    def _type(self, encoded: bytes) -> int:
        if encoded not in self._types:
            self._types[encoded] = len(self._types)
            self._joined.types.append(encoded)
        return self._types[encoded]

    def _number(self) -> None:
        counts = dict.fromkeys(Kind, 0)
        counts[Kind.FUNCTION] = len(self._host)
        for name, part in self._parts.items():
            for kind, items in _definitions(part.module).items():
                self._first[name, kind] = counts[kind]
                counts[kind] += len(items)

    def _lay_out_tables(self) -> None:
        tables = [table for part in self._parts.values() for table in part.module.tables]
        sizes = [Reader(table, 1, len(table)).limits().minimum for table in tables]
        self._table_bases = [0] * len(tables)
        size = 0
        # CPython's table, by far the largest, comes first: calls through it need no addition.
        for index in sorted(range(len(tables)), key=sizes.__getitem__, reverse=True):
            self._table_bases[index] = size
            size += sizes[index]
        self._joined.tables.append(bytes([FUNCTIONS, 1]) + leb(size) * 2)

    def _resolve(self, part: str, exported: str) -> tuple[Kind, int]:
        """Kind and number in the joined module of an export of a part."""
        export = self._exports[part].get(exported)
        if export is None:
            raise InvalidCode(f"{part} exports no {exported!r}")
        return export.kind, self._index(part, export.kind, export.number)

    def _index(self, name: str, kind: Kind, index: int) -> int:
        part = self._parts[name]
        imported = part.module.imported(kind)
        if index >= len(imported):
            return self._first[name, kind] + index - len(imported)
        wanted = imported[index]
        source = part.sources.get((wanted.module, wanted.name))
        if source is None:
            return self._host_function(part.module, wanted)
        found, number = self._resolve(*source)
        if found is not kind:
            raise InvalidCode(f"{name} imports {wanted.name} as {kind.name}, but it is {found.name}")
        return number

    def _renumbering(self, name: str) -> Renumbering:
        module = self._parts[name].module
        definitions = _definitions(module)

        def all_of(kind: Kind) -> Sequence[int]:
            count = len(module.imported(kind))
            first = self._first[name, kind]
            imported = [self._index(name, kind, index) for index in range(count)]
            return imported + [first + number for number in range(len(definitions[kind]))]

        return Renumbering(
            types=[self._type(encoded) for encoded in module.types],
            functions=all_of(Kind.FUNCTION),
            tables=[self._table_bases[table] for table in all_of(Kind.TABLE)],
            globals=all_of(Kind.GLOBAL),
            copy=self._resolve(self._stand_ins, "copy")[1],
            fill=self._resolve(self._stand_ins, "fill")[1],
            grow=None if name == self._stand_ins else self._resolve(self._stand_ins, "grow")[1],
        )

    def _add(self, name: str, module: Module, to: Renumbering) -> None:
        joined = self._joined
        joined.functions += [to.types[kind] for kind in module.functions]
        joined.memories += module.memories
        joined.globals += [Global(one.type, self._folded(name, one.init)) for one in module.globals]
        joined.elements += [
            ElementSegment(
                0,
                const_i32(to.tables[one.table] + self._value(name, one.offset)),
                tuple(to.functions[function] for function in one.functions),
            )
            for one in module.elements
        ]
        joined.code += [rewrite_body(body, to) for body in module.code]
        joined.data += [DataSegment(self._folded(name, one.offset), one.content) for one in module.data]

    def _folded(self, name: str, expression: bytes) -> bytes:
        """A constant expression of a part, without references to globals."""
        if expression[0] not in (GLOBAL_GET, I32_CONST):
            return expression  # a constant of another type
        return const_i32(self._value(name, expression))

    def _value(self, name: str, expression: bytes) -> int:
        reader, stack = Reader(expression, 0, len(expression)), [0]
        while (opcode := reader.byte()) != END:
            if opcode == I32_CONST:
                stack.append(read_signed(reader))
            elif opcode == GLOBAL_GET:
                stack.append(self._global_value(name, reader.u32()))
            elif opcode == I32_ADD:
                stack.append(stack.pop() + stack.pop())
            else:
                raise reader.fail(f"initializer with opcode {opcode:#x}, which is not handled")
        return stack.pop() & 0xFFFF_FFFF

    def _global_value(self, name: str, index: int) -> int:
        part = self._parts[name]
        imported = part.module.imported(Kind.GLOBAL)
        if index < len(imported):
            wanted = imported[index]
            name, exported = part.sources[wanted.module, wanted.name]
            return self._global_value(name, self._exports[name][exported].number)
        found = part.module.globals[index - len(imported)]
        if found.type[1]:
            raise InvalidCode(f"an initializer of {name} refers to a global that may change")
        return self._value(name, found.init)


def _definitions(module: Module) -> dict[Kind, Sequence[object]]:
    return {
        Kind.FUNCTION: module.functions,
        Kind.TABLE: module.tables,
        Kind.MEMORY: module.memories,
        Kind.GLOBAL: module.globals,
    }
