"""A limit on the stack that is the same on every machine: the guest itself counts the values it has on it.

Where a machine's stack ends depends on the compiler and the processor, so a guest that recurses could pass here and
fail there. Before it is compiled, a guest is rewritten: a new global holds the height of its stack, and each call of
one of its functions is surrounded by code that adds the callee's *cost*, traps above the limit, and takes the cost off
again. The cost of a function is the number of its local variables plus the largest number of operands it ever has on
the stack. Functions that are entered from outside, exported ones and those in a table, get a *thunk* that does the same
and stands in for them there.

What a function costs decides which blocks are valid, so it follows ``wasm_instrument::stack_limiter`` [sc-executor] to
the digit, including how that counts code that is never reached, and the second arm of an ``if``, which it begins with
the height that the first one ended with. The code must have passed the engine's validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["HEIGHT_EXPORT", "metered"]

HEIGHT_EXPORT: Final = "__pileus_stack_height"
"""Name under which the global is exported, so that the host can tell why a guest trapped."""

TYPE, IMPORT, FUNCTION, GLOBAL, EXPORT, ELEMENT, CODE = 1, 2, 3, 6, 7, 9, 10
ORDER: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11)
"""Sections other than custom ones, as they must follow each other."""

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


class _Call(NamedTuple):
    """A call instruction: ``code[begin:end]``."""

    begin: int
    end: int
    callee: int


class _Body(NamedTuple):
    """A function: ``code[begin:end]`` is its locals and instructions."""

    begin: int
    end: int
    cost: int
    calls: list[_Call]


def metered(code: bytes, limit: int) -> bytes:
    """``code`` with the limit, in values, built in. Raises `InvalidCode` for what the reference cannot rewrite."""
    try:
        return _Module(code).metered(limit)
    except IndexError:
        raise InvalidCode("the code ends where its stack should be measured") from None


class _Module:
    """The parts of a module that matter here. Indices of functions count imports first."""

    def __init__(self, code: bytes) -> None:
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
        self.globals = _leb(code, places[GLOBAL][0])[0] if GLOBAL in places else 0
        self.height = self.globals
        """Index of the new global."""

    def cost(self, function: int) -> int:
        return 0 if function < self.imported else self.bodies[function - self.imported].cost

    def _bodies(self) -> list[_Body]:
        count, position = _leb(self.code, self.places[CODE][0])
        bodies = []
        for number in range(count):
            size, begin = _leb(self.code, position)
            position = begin + size
            bodies.append(self._measured(begin, position, self.arities[self.imported + number][1]))
        return bodies

    def _measured(self, begin: int, end: int, results: int) -> _Body:
        groups, position = _leb(self.code, begin)
        variables = 0
        for _ in range(groups):
            count, position = _leb(self.code, position)
            position += 1  # the type
            variables += count
        if variables >= 1 << 32:
            raise InvalidCode("a function has more local variables than there are numbers")
        highest, calls = self._measure(position, end, results)
        return _Body(begin, end, variables + highest, calls)

    def _measure(self, position: int, end: int, results: int) -> tuple[int, list[_Call]]:
        """Most operands in ``code[position:end]``, and its calls. Long, because it runs once per instruction."""
        code, taken, given, immediates = self.code, TAKEN, GIVEN, IMMEDIATES
        height = highest = 0
        calls: list[_Call] = []
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
                calls.append(_Call(begin, position, callee))
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

    # -- writing -------------------------------------------------------------------------------------------

    def metered(self, limit: int) -> bytes:
        stand_ins = self._stand_ins()
        parts = {
            FUNCTION: self._functions(stand_ins),
            GLOBAL: self._globals(),
            EXPORT: self._exports(stand_ins),
            ELEMENT: self._elements(stand_ins),
            CODE: self._code(stand_ins, limit),
        }
        written = [self.code[:8]]
        pending = [kind for kind in ORDER if kind in parts and (kind in self.places or kind == GLOBAL)]
        for kind, begin, end in self.sections:
            if kind == 0:
                written.append(_section(kind, self.code[begin:end]))
                continue
            # A section that the module did not have goes where it belongs.
            while pending and ORDER.index(pending[0]) < ORDER.index(kind):
                written.append(_section(pending[0], parts[pending.pop(0)]))
            if pending[:1] == [kind]:
                written.append(_section(kind, parts[pending.pop(0)]))
            else:
                written.append(_section(kind, self.code[begin:end]))
        written += [_section(kind, parts[kind]) for kind in pending]
        return b"".join(written)

    def _stand_ins(self) -> dict[int, int]:
        """Function -> its thunk, for functions that are entered from outside and cost something."""
        entered: list[int] = []
        if EXPORT in self.places:
            entered += [index for _, kind, index in _exports(self.code, *self.places[EXPORT]) if kind == 0]
        if ELEMENT in self.places:
            for _, members in _element_segments(self.code, *self.places[ELEMENT]):
                entered += members
        costly = [function for function in dict.fromkeys(entered) if self.cost(function)]
        return {function: len(self.type_of) + number for number, function in enumerate(costly)}

    def _functions(self, stand_ins: Iterable[int]) -> bytes:
        kinds = [*self.type_of[self.imported :], *(self.type_of[function] for function in stand_ins)]
        return _vector([_number(kind) for kind in kinds])

    def _globals(self) -> bytes:
        old = b""
        if GLOBAL in self.places:
            begin, end = self.places[GLOBAL]
            old = self.code[_leb(self.code, begin)[1] : end]
        return _number(self.globals + 1) + old + b"\x7f\x01\x41\x00\x0b"  # mutable i32, 0

    def _exports(self, stand_ins: dict[int, int]) -> bytes:
        exports = _exports(self.code, *self.places[EXPORT]) if EXPORT in self.places else []
        entries = [
            _vector_of_bytes(name)
            + bytes([kind])
            + _number(stand_ins.get(index, index) if kind == 0 else index)
            for name, kind, index in exports
        ]
        if HEIGHT_EXPORT.encode() not in [name for name, _, _ in exports]:
            entries.append(_vector_of_bytes(HEIGHT_EXPORT.encode()) + b"\x03" + _number(self.height))
        return _vector(entries)

    def _elements(self, stand_ins: dict[int, int]) -> bytes:
        segments = _element_segments(self.code, *self.places[ELEMENT]) if ELEMENT in self.places else []
        return _vector(
            [head + _vector([_number(stand_ins.get(m, m)) for m in members]) for head, members in segments]
        )

    def _code(self, stand_ins: Iterable[int], limit: int) -> bytes:
        bodies = [_vector_of_bytes(self._rewritten(body, limit)) for body in self.bodies]
        bodies += [_vector_of_bytes(self._thunk(function, limit)) for function in stand_ins]
        return _vector(bodies)

    def _rewritten(self, body: _Body, limit: int) -> bytes:
        parts = []
        last = body.begin
        for begin, end, callee in body.calls:
            cost = self.cost(callee)
            if cost:
                parts += [self.code[last:begin], self._around(self.code[begin:end], cost, limit)]
                last = end
        parts.append(self.code[last : body.end])
        return b"".join(parts)

    def _thunk(self, function: int, limit: int) -> bytes:
        """No locals; the arguments, the call, the end."""
        arguments, results = self.arities[function]
        own = max(arguments, results) + CALL_OVERHEAD
        pushed = b"".join(b"\x20" + _number(argument) for argument in range(arguments))
        call = self._around(b"\x10" + _number(function), self.cost(function) + own, limit)
        return b"\x00" + pushed + call + b"\x0b"

    def _around(self, call: bytes, cost: int, limit: int) -> bytes:
        get, set_ = b"\x23" + _number(self.height), b"\x24" + _number(self.height)
        amount = b"\x41" + _signed(cost)
        check = get + b"\x41" + _signed(limit) + b"\x4b\x04\x40\x00\x0b"  # i32.gt_u, if, unreachable, end
        return get + amount + b"\x6a" + set_ + check + call + get + amount + b"\x6b" + set_


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


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _signed(value: int) -> bytes:
    """As an ``i32`` constant."""
    value = (value & 0xFFFF_FFFF) - ((value & 0x8000_0000) << 1)
    written = bytearray()
    while not -64 <= value < 64:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value & 0x7F)
    return bytes(written)


def _vector(items: Sequence[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _vector_of_bytes(data: bytes) -> bytes:
    return _number(len(data)) + data


def _section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _vector_of_bytes(content)


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
