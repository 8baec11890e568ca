"""How many values each function of a module has on its stack: what a limit of the stack counts.

The *cost* of a function is the number of its local variables plus the largest number of operands it ever has on the
stack. It decides which blocks are valid, so it follows ``wasm_instrument::stack_limiter`` [sc-executor] to the digit,
including how that counts code that is never reached, and the second arm of an ``if``, which it begins with the height
that the first one ended with. The code must have passed the engine's validation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from host_functions.executor.wasm.errors import InvalidCode

__all__ = [
    "CALL_OVERHEAD",
    "CODE",
    "ELEMENT",
    "EXPORT",
    "FUNCTION",
    "GLOBAL",
    "Body",
    "MeasuredModule",
]

TYPE, IMPORT, FUNCTION, GLOBAL, EXPORT, ELEMENT, CODE = 1, 2, 3, 6, 7, 9, 10

UNREACHABLE, BLOCK, LOOP, IF, ELSE, END = 0x00, 0x02, 0x03, 0x04, 0x05, 0x0B
BR, BR_IF, BR_TABLE, RETURN, CALL, CALL_INDIRECT = 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11
CONTROL: Final = frozenset(
    (UNREACHABLE, BLOCK, LOOP, IF, ELSE, END, BR, BR_IF, BR_TABLE, RETURN, CALL, CALL_INDIRECT)
)
NO_RESULT: Final = 0x40
EXTENDED: Final = 0xFC
UNKNOWN: Final = 3
"""As a number of immediates: an instruction of a younger Wasm than is accepted."""
CALL_OVERHEAD: Final = 2
"""Operands that the code around a call needs."""


def _effects() -> tuple[list[int], list[int], list[int]]:
    """By opcode: operands taken, results given, and immediates: n LEB128 numbers, or -n bytes."""
    taken, given, immediates = [0] * 256, [0] * 256, [UNKNOWN] * 256

    def state(opcodes: Iterable[int], takes: int, gives: int, immediate: int = 0) -> None:
        for opcode in opcodes:
            taken[opcode], given[opcode], immediates[opcode] = takes, gives, immediate

    state((0x01,), 0, 0)  # nop
    state((0x1A,), 1, 0)  # drop
    state((0x1B,), 3, 1)  # select
    state((0x20, 0x23), 0, 1, 1)  # local.get, global.get
    state((0x21, 0x24), 1, 0, 1)  # local.set, global.set
    state((0x22,), 1, 1, 1)  # local.tee
    state(range(0x28, 0x36), 1, 1, 2)  # loads
    state(range(0x36, 0x3F), 2, 0, 2)  # stores
    state((0x3F,), 0, 1, 1)  # memory.size
    state((0x40,), 1, 1, 1)  # memory.grow
    state((0x41, 0x42), 0, 1, 1)  # i32.const, i64.const
    state((0x43,), 0, 1, -4)
    state((0x44,), 0, 1, -8)
    state((0x45, 0x50), 1, 1)  # eqz
    state((*range(0x46, 0x50), *range(0x51, 0x67)), 2, 1)  # comparisons
    state((*range(0x67, 0x6A), *range(0x79, 0x7C), *range(0x8B, 0x92), *range(0x99, 0xA0)), 1, 1)  # unary
    state((*range(0x6A, 0x79), *range(0x7C, 0x8B), *range(0x92, 0x99), *range(0xA0, 0xA7)), 2, 1)  # binary
    state(range(0xA7, 0xC5), 1, 1)  # conversions, sign extensions
    return taken, given, immediates


TAKEN, GIVEN, IMMEDIATES = _effects()
EXTENDED_EFFECTS: Final = {
    **dict.fromkeys(range(8), (1, 1, 0)),  # saturating conversions
    8: (3, 0, 2),  # memory.init
    9: (0, 0, 1),  # data.drop
    10: (3, 0, 2),  # memory.copy
    11: (3, 0, 1),  # memory.fill
    12: (3, 0, 2),  # table.init
    13: (0, 0, 1),  # elem.drop
    14: (3, 0, 2),  # table.copy
}


class Call(NamedTuple):
    """A call instruction: ``code[begin:end]``."""

    begin: int
    end: int
    callee: int


class Body(NamedTuple):
    """A function: ``code[begin:end]`` is its locals and instructions."""

    begin: int
    end: int
    cost: int
    calls: list[Call]


class MeasuredModule:
    """The parts of a module that a limit of the stack concerns. Indices of functions count imports first."""

    def __init__(self, code: bytes) -> None:
        """Raises `InvalidCode` for what the reference cannot measure, `IndexError` for code that ends too early."""
        self.code = code
        self.sections = _sections(code)
        places = {kind: (begin, end) for kind, begin, end in self.sections if kind}
        self.places = places
        self.types = _types(code, *places[TYPE]) if TYPE in places else []
        imported = _imported(code, *places[IMPORT]) if IMPORT in places else []
        self.imported = len(imported)
        defined = _numbers(code, places[FUNCTION][0]) if FUNCTION in places else []
        self.type_of = [*imported, *defined]
        """Index of the type, by function."""
        self.arities = [self.types[kind] for kind in self.type_of]
        self.bodies = self._bodies() if CODE in places else []
        self.globals, entries = _leb(code, places[GLOBAL][0]) if GLOBAL in places else (0, 0)
        self.global_entries = code[entries : places[GLOBAL][1]] if GLOBAL in places else b""
        """The globals as they are encoded, without their number in front."""
        self.exports = _exports(code, *places[EXPORT]) if EXPORT in places else []
        """Name, kind and index of each."""
        self.elements = _element_segments(code, *places[ELEMENT]) if ELEMENT in places else []
        """Of each segment what comes before its members, and the members."""

    def cost(self, function: int) -> int:
        """Values; of an imported function none."""
        return 0 if function < self.imported else self.bodies[function - self.imported].cost

    def _bodies(self) -> list[Body]:
        count, position = _leb(self.code, self.places[CODE][0])
        bodies = []
        for number in range(count):
            size, begin = _leb(self.code, position)
            position = begin + size
            bodies.append(self._measured(begin, position, self.arities[self.imported + number][1]))
        return bodies

    def _measured(self, begin: int, end: int, results: int) -> Body:
        groups, position = _leb(self.code, begin)
        variables = 0
        for _ in range(groups):
            count, position = _leb(self.code, position)
            position += 1  # the type
            variables += count
        if variables >= 1 << 32:
            raise InvalidCode("a function has more local variables than there are numbers")
        highest, calls = self._measure(position, end, results)
        return Body(begin, end, variables + highest, calls)

    def _measure(self, position: int, end: int, results: int) -> tuple[int, list[Call]]:
        """Most operands in ``code[position:end]``, and its calls. Long, because it runs once per instruction."""
        code, taken, given, immediates = self.code, TAKEN, GIVEN, IMMEDIATES
        height = highest = 0
        calls: list[Call] = []
        # Of each block: results at its end, operands of a branch to it, the height at its beginning.
        blocks: list[tuple[int, int, int]] = []
        ends, branch, floor = results, results, 0
        dead = False
        dead_below: list[bool] = []

        def pop(count: int) -> int:
            """The height without ``count`` operands."""
            if not count:
                return height
            if height == floor:
                if dead:
                    return height
                raise InvalidCode("more operands are taken from the stack than a block has")
            if height < count:
                raise InvalidCode("more operands are taken from the stack than there are")
            return height - count

        def operands(depth: int) -> int:
            """Of a branch to the block ``depth`` levels up."""
            return branch if not depth else blocks[-depth][1]

        while position < end:
            if height > highest and not dead:
                highest = height
            opcode = code[position]
            begin = position
            position += 1
            if opcode not in CONTROL:
                if opcode == EXTENDED:
                    number, position = _leb(code, position)
                    if number not in EXTENDED_EFFECTS:
                        raise InvalidCode(f"instruction {opcode:#x} {number} cannot be measured")
                    takes, gives, immediate = EXTENDED_EFFECTS[number]
                else:
                    takes, gives, immediate = taken[opcode], given[opcode], immediates[opcode]
                    if immediate == UNKNOWN:
                        raise InvalidCode(f"instruction {opcode:#x} cannot be measured")
                if dead:
                    # Where there are none left, it shows that the third operand is taken apart from the others.
                    height = pop(min(takes, 2))
                    height = pop(takes - 2 if takes > 2 else 0)
                    height += gives
                else:
                    height += gives - takes
                if immediate < 0:
                    position -= immediate
                else:
                    for _ in range(immediate):
                        while code[position] > 0x7F:
                            position += 1
                        position += 1
            elif opcode == CALL:
                callee, position = _leb(code, position)
                calls.append(Call(begin, position, callee))
                if callee >= self.imported:
                    # The check around it is a block, and a block in dead code counts what was there before.
                    highest = max(highest, height if dead else height + CALL_OVERHEAD)
                arguments, returned = self.arities[callee]
                height = pop(arguments)
                height += returned
            elif opcode == END:
                height = floor + ends
                if blocks:
                    ends, branch, floor = blocks.pop()
                    dead = dead_below.pop()
            elif opcode in (BLOCK, LOOP, IF):
                arity = 0 if code[position] == NO_RESULT else 1
                position += 1
                if opcode == IF:
                    height = pop(1)
                blocks.append((ends, branch, floor))
                dead_below.append(dead)
                ends, branch, floor = arity, 0 if opcode == LOOP else arity, height
                dead = False
            elif opcode == BR_IF:
                depth, position = _leb(code, position)
                arity = operands(depth)
                height = pop(arity)
                height = pop(1)
                height += arity
            elif opcode == BR:
                depth, position = _leb(code, position)
                height = pop(operands(depth))
                dead = True
            elif opcode == CALL_INDIRECT:
                kind, position = _leb(code, position)
                position += 1  # the table
                height = pop(1)
                arguments, returned = self.types[kind]
                height = pop(arguments)
                height += returned
            elif opcode == RETURN:
                height = pop(results)
                dead = True
            elif opcode == BR_TABLE:
                count, position = _leb(code, position)
                for _ in range(count + 1):
                    depth, position = _leb(code, position)
                height = pop(operands(depth))
                dead = True
            elif opcode == UNREACHABLE:
                dead = True
        return highest, calls


# -- the binary format, of code that the engine has validated ---------------------------------------------------


def _leb(code: bytes, position: int) -> tuple[int, int]:
    """An unsigned number and where it ends."""
    byte = code[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while True:
        byte = code[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _sections(code: bytes) -> list[tuple[int, int, int]]:
    """Kind, begin and end of each."""
    sections = []
    position = 8
    while position < len(code):
        kind = code[position]
        size, begin = _leb(code, position + 1)
        position = begin + size
        sections.append((kind, begin, position))
    return sections


def _numbers(code: bytes, position: int) -> list[int]:
    count, position = _leb(code, position)
    numbers = []
    for _ in range(count):
        number, position = _leb(code, position)
        numbers.append(number)
    return numbers


def _types(code: bytes, position: int, end: int) -> list[tuple[int, int]]:
    """Numbers of parameters and results of each."""
    count, position = _leb(code, position)
    types = []
    for _ in range(count):
        parameters, position = _leb(code, position + 1)
        results, position = _leb(code, position + parameters)
        position += results
        types.append((parameters, results))
    return types


def _imported(code: bytes, position: int, end: int) -> list[int]:
    """Types of the imported functions. What else a runtime may import is its memory."""
    count, position = _leb(code, position)
    kinds = []
    for _ in range(count):
        for _ in range(2):
            size, position = _leb(code, position)
            position += size
        kind = code[position]
        if kind == 0:
            index, position = _leb(code, position + 1)
            kinds.append(index)
        elif kind == 2:
            flags = code[position + 1]
            _, position = _leb(code, position + 2)
            if flags & 1:
                _, position = _leb(code, position)
        else:
            raise InvalidCode("something other than functions and a memory is imported")
    return kinds


def _exports(code: bytes, position: int, end: int) -> list[tuple[bytes, int, int]]:
    """Name, kind and index of each."""
    count, position = _leb(code, position)
    exports = []
    for _ in range(count):
        size, position = _leb(code, position)
        name = code[position : position + size]
        kind = code[position + size]
        index, position = _leb(code, position + size + 1)
        exports.append((name, kind, index))
    return exports


def _element_segments(code: bytes, position: int, end: int) -> list[tuple[bytes, list[int]]]:
    """What comes before the members of each, and the members."""
    count, position = _leb(code, position)
    segments = []
    for _ in range(count):
        begin = position
        flags, position = _leb(code, position)
        if flags > 3:
            raise InvalidCode("a table is filled in a way that cannot be measured")
        if flags == 2:
            _, position = _leb(code, position)  # the table
        if flags in (0, 2):
            position = _after_constant(code, position)
        if flags:
            position += 1  # the kind: functions
        members = _numbers(code, position)
        head = code[begin:position]
        _, position = _leb(code, position)
        for _ in members:
            _, position = _leb(code, position)
        segments.append((head, members))
    return segments


def _after_constant(code: bytes, position: int) -> int:
    """Where a constant expression ends: constants, globals and, in the extended form, their sums."""
    while code[position] != END:
        immediate = IMMEDIATES[code[position]]
        position += 1
        if immediate < 0:
            position -= immediate
        for _ in range(immediate):
            _, position = _leb(code, position)
    return position + 1
