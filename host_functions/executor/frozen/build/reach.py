"""Cutting out of the joined module what no guest can reach: most of a general-purpose Python's C code.

CPython comes with modules that no guest can have (a database, an XML parser, sockets), and what the loader of
shared libraries and the start of the interpreter needed has run before the snapshot. A function stays if it is
called from an entry point of the VM, or can be called through the table. For the latter this follows, as a
linker does that drops unused sections, what refers to what:

* a function refers to what it calls, and to the table entries and data addresses in it: `references`;
* data refers to what its relocations say, read from the functions that applied them at the start. A piece of
  data goes from one address that anything refers to up to the next one.

Everything is taken to be in use that the start functions of the `UNWANTED` modules do not lead to, and all that
the parts export, since it may have run before the snapshot and left addresses anywhere in memory; and whatever
that leads to. Just the table of builtin modules is read without its unwanted entries. An unwanted module that was
imported would be cut from under itself, so the VM refuses to be built with one
(`host_functions.executor.frozen.guest`).

Data goes too, with less confidence in where it ends, since a compiler may refer to a table by an address before or
behind it. So only from the middle of large stretches (`STRETCH`) that nothing in use refers to: the tables of one
C file lie together, and those are of files of which nothing is left. The byte code of CPython's frozen modules goes by
its exact extent: the guest has imported what it wants, and its only finder finds nothing.

A cut function becomes ``unreachable``. Should one be called after all, the guest traps: it never goes on
differently from a guest with all of CPython. That data is not missed either is shown by comparison with a VM from
which nothing is cut (``tests/frozen/test_frozen_vms.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from host_functions.executor.frozen.build.instructions import CALL, REFERENCE_WIDTH, references
from host_functions.executor.frozen.build.join import Joined, Placed
from host_functions.executor.frozen.module import (
    END,
    GLOBAL_GET,
    I32_ADD,
    I32_CONST,
    DataSegment,
    Kind,
    read_signed,
    value_i32,
)
from host_functions.executor.wasm.blob import Reader

__all__ = ["UNWANTED", "cut_unreachable"]

UNWANTED: Final = tuple(
    "_asyncio _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _csv _datetime _elementtree"
    " _hmac _lsprof _multibytecodec _pickle _queue _socket _sqlite3 _statistics _symtable _sysconfig _tracemalloc"
    " _zoneinfo cmath faulthandler pyexpat select".split()
)
"""Builtin modules of CPython that neither a guest nor the interpreter needs."""
INIT: Final = "PyInit_"
RELOCATIONS: Final = "__wasm_apply_data_relocs"
I32_STORE: Final = 0x36
STRETCH: Final = 16384
"""Bytes of unused data in a row that are worth taking."""
MARGIN: Final = 4096
"""Bytes left at both ends of a stretch."""
FROZEN: Final = ("_PyImport_FrozenBootstrap", "_PyImport_FrozenStdlib", "_PyImport_FrozenTest")
"""Pointers to arrays of ``struct _frozen``: name, code, size, is_package; a null name ends one."""
CUT: Final = bytes([0, 0, END])
"""No locals, ``unreachable``."""


def cut_unreachable(joined: Joined) -> int:
    """Cut functions out of ``joined.module``; how many. Raises `InvalidCode` if it is not as expected."""
    graph = _Graph(joined)
    doubtful = _closure(graph.unwanted, graph.leads_to)
    everything = {*map(_data, range(len(graph.pieces))), *graph.table.values()}
    used = _closure((everything - doubtful) | (graph.exported - graph.unwanted), graph.leads_to)
    entries = [export.number for export in joined.module.exports if export.kind is Kind.FUNCTION]
    kept = _closure([*entries, *(used & set(graph.table.values()))], graph.calls.__getitem__)
    imported = len(joined.module.imported(Kind.FUNCTION))
    dead = [index for index in range(len(joined.module.code)) if imported + index not in kept]
    for index in dead:
        joined.module.code[index] = CUT
    graph.clear([*graph.stretches(used), *graph.frozen_modules(joined)])
    return len(dead)


def _data(piece: int) -> int:
    """The node of a piece of data; that of a function is its number."""
    return -1 - piece


def _closure(roots: Iterable[int], leads_to: Callable[[int], Iterable[int]]) -> set[int]:
    reached = set(roots)
    pending = list(reached)
    while pending:
        for found in leads_to(pending.pop()):
            if found not in reached:
                reached.add(found)
                pending.append(found)
    return reached


class _Graph:
    """What refers to what. Functions have their numbers in the joined module, imports included."""

    def __init__(self, joined: Joined) -> None:
        self._module = joined.module
        self._imported = len(joined.module.imported(Kind.FUNCTION))
        self._values = [
            value_i32(one.init) if one.init[0] == I32_CONST else None for one in joined.module.globals
        ]
        self.table: dict[int, int] = {}
        """Function by table index."""
        for segment in joined.module.elements:
            first = value_i32(segment.offset)
            self.table.update(enumerate(segment.functions, first))
        self.exported: set[int] = set()
        self._relocated: dict[int, int] = {}
        """Address by the location it was put to."""
        self.unwanted: set[int] = set()
        """Start functions."""
        for placed in joined.placed.values():
            self._read_exports(placed)
        self.calls: dict[int, list[int]] = {number: [] for number in range(self._imported)}
        self._addresses: dict[int, list[int]] = {number: [] for number in range(self._imported)}
        """Table indices and data addresses, by function."""
        for placed in joined.placed.values():
            for number in placed.functions:
                self._read_body(placed, number)
        found = [address for addresses in self._addresses.values() for address in addresses]
        self.pieces = sorted(
            {address for address in (*found, *self._relocated.values()) if self._is_data(address)}
        )
        """Where each begins."""
        self._within: dict[int, list[int]] = {}
        """Addresses in a piece of data."""
        for location, address in self._relocated.items():
            if self.table.get(address) not in self.unwanted:
                self._within.setdefault(self._piece(location), []).append(address)

    def leads_to(self, node: int) -> Iterator[int]:
        """The nodes that a function or a piece of data refers to."""
        if node >= 0:
            yield from self.calls[node]
        for address in self._addresses[node] if node >= 0 else self._within.get(-1 - node, ()):
            if self._is_data(address):
                yield _data(self._piece(address))
            elif address in self.table:
                yield self.table[address]

    def stretches(self, used: Container[int]) -> Iterator[range]:
        """Stretches of data that nothing in use refers to, without their margins."""
        start: int | None = None
        end = max(self._relocated, default=0)  # behind it is the heap
        for piece, address in enumerate(self.pieces):
            if address > end:
                return
            if _data(piece) not in used:
                start = address if start is None else start
            elif start is not None:
                if address - start >= STRETCH:
                    yield range(start + MARGIN, address - MARGIN)
                start = None

    def frozen_modules(self, joined: Joined) -> Iterator[range]:
        """Where CPython has byte code of its own modules."""
        for placed in joined.placed.values():
            for name in FROZEN:
                if name in placed.data:
                    entry = self._relocated[placed.data[name]]
                    while self._relocated.get(entry):
                        code = self._relocated[entry + 4]
                        yield range(code, code + self._word(entry + 8))
                        entry += 16

    def _word(self, address: int) -> int:
        for segment in self._module.data:
            at = address - value_i32(segment.offset)
            if 0 <= at <= len(segment.content) - 4:
                return int.from_bytes(segment.content[at : at + 4], "little")
        return 0

    def clear(self, ranges: Sequence[range]) -> None:
        """Write zeros."""
        for number, segment in enumerate(self._module.data):
            first = value_i32(segment.offset)
            content = bytearray(segment.content)
            for one in ranges:
                start, stop = max(one.start - first, 0), min(one.stop - first, len(content))
                if start < stop:
                    content[start:stop] = bytes(stop - start)
            self._module.data[number] = DataSegment(segment.offset, bytes(content))

    def _is_data(self, address: int) -> bool:
        """Data lies above the stack, and the table is far smaller than that."""
        return address >= len(self.table) + 2

    def _piece(self, address: int) -> int:
        return bisect_right(self.pieces, address) - 1

    def _read_exports(self, placed: Placed) -> None:
        for name, number in placed.exports.items():
            if name == RELOCATIONS:
                self._relocated.update(self._relocations(self._module.code[number - self._imported]))
                continue
            self.exported.add(number)
            if name.removeprefix(INIT) in UNWANTED and name.startswith(INIT):
                self.unwanted.add(number)

    def _relocations(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Location and what is put there, of a function that does nothing else."""
        reader = Reader(body, 1, len(body))
        stack: list[int] = []
        if body[0]:
            raise reader.fail("relocations with locals, which are not handled")
        while (opcode := reader.byte()) != END:
            if opcode == I32_CONST:
                stack.append(read_signed(reader))
            elif opcode == GLOBAL_GET:
                stack.append(self._values[reader.u32()] or 0)
            elif opcode == I32_ADD:
                stack.append(stack.pop() + stack.pop())
            elif opcode == I32_STORE:
                reader.u32()
                value, offset = stack.pop(), reader.u32()
                yield stack.pop() + offset, value
            else:
                raise reader.fail(f"relocations with opcode {opcode:#x}, which is not handled")

    def _read_body(self, placed: Placed, number: int) -> None:
        calls, addresses = self.calls.setdefault(number, []), self._addresses.setdefault(number, [])
        literals: list[tuple[int, int]] = []
        bases: set[int] = set()
        for opcode, operand, width in references(self._module.code[number - self._imported]):
            if opcode == CALL:
                calls.append(operand)
            elif opcode == I32_CONST:
                literals.append((operand, width))
            elif operand in placed.bases:
                bases.add(operand)
            elif (value := self._values[operand]) is not None:
                addresses.append(value)
        for base in bases:
            # The linker writes an address, relative to the base, with the width of the largest.
            first, size = placed.bases[base]
            addresses += [
                first + literal
                for literal, width in literals
                if width == REFERENCE_WIDTH and (size is None or 0 <= literal < size)
            ]
        if not placed.bases:
            addresses += [literal for literal, _ in literals]
