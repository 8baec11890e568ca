"""A limit on the stack that is the same on every machine: the guest itself counts the values it has on it.

Where a machine's stack ends depends on the compiler and the processor, so a guest that recurses could pass here and
fail there. Before it is compiled, a guest is rewritten: a new global holds the height of its stack, and each call of
one of its functions is surrounded by code that adds the callee's cost (`stack_cost`), traps above the limit, and takes
the cost off again. Functions that are entered from outside, exported ones and those in a table, get a *thunk* that does
the same and stands in for them there. Follows ``wasm_instrument::stack_limiter`` [sc-executor].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from host_functions.executor.wasm.errors import InvalidCode
from host_functions.executor.wasm.stack_cost import (
    CALL_OVERHEAD,
    CODE,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    Body,
    MeasuredModule,
)

__all__ = ["HEIGHT_EXPORT", "metered"]

HEIGHT_EXPORT: Final = "__pileus_stack_height"
"""Name under which the global is exported, so that the host can tell why a guest trapped."""

ORDER: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11)
"""Sections other than custom ones, as they must follow each other."""


def metered(code: bytes, limit: int) -> bytes:
    """``code`` with the limit, in values, built in. Raises `InvalidCode` for what the reference cannot rewrite."""
    try:
        return _Rewriter(MeasuredModule(code), limit).rewritten()
    except IndexError:
        raise InvalidCode("the code ends where its stack should be measured") from None


class _Rewriter:
    """Writes a module anew, with the limit in it."""

    def __init__(self, module: MeasuredModule, limit: int) -> None:
        self.module = module
        self.limit = limit
        self.height = module.globals
        """Index of the new global."""
        self.stand_ins = self._stand_ins()

    def rewritten(self) -> bytes:
        """The whole module."""
        code, places = self.module.code, self.module.places
        parts = {
            FUNCTION: self._functions(),
            GLOBAL: self._globals(),
            EXPORT: self._exports(),
            ELEMENT: self._elements(),
            CODE: self._code(),
        }
        written = [code[:8]]
        pending = [kind for kind in ORDER if kind in parts and (kind in places or kind == GLOBAL)]
        for kind, begin, end in self.module.sections:
            if kind == 0:
                written.append(_section(kind, code[begin:end]))
                continue
            # A section that the module did not have goes where it belongs.
            while pending and ORDER.index(pending[0]) < ORDER.index(kind):
                written.append(_section(pending[0], parts[pending.pop(0)]))
            if pending[:1] == [kind]:
                written.append(_section(kind, parts[pending.pop(0)]))
            else:
                written.append(_section(kind, code[begin:end]))
        written += [_section(kind, parts[kind]) for kind in pending]
        return b"".join(written)

    def _stand_ins(self) -> dict[int, int]:
        """Function -> its thunk, for functions that are entered from outside and cost something."""
        module = self.module
        entered = [index for _, kind, index in module.exports if kind == 0]
        for _, members in module.elements:
            entered += members
        costly = [function for function in dict.fromkeys(entered) if module.cost(function)]
        return {function: len(module.type_of) + number for number, function in enumerate(costly)}

    def _functions(self) -> bytes:
        type_of = self.module.type_of
        kinds = [*type_of[self.module.imported :], *(type_of[function] for function in self.stand_ins)]
        return _vector([_number(kind) for kind in kinds])

    def _globals(self) -> bytes:
        new = b"\x7f\x01\x41\x00\x0b"  # mutable i32, 0
        return _number(self.module.globals + 1) + self.module.global_entries + new

    def _exports(self) -> bytes:
        entries = [
            _vector_of_bytes(name)
            + bytes([kind])
            + _number(self.stand_ins.get(index, index) if kind == 0 else index)
            for name, kind, index in self.module.exports
        ]
        if HEIGHT_EXPORT.encode() not in [name for name, _, _ in self.module.exports]:
            entries.append(_vector_of_bytes(HEIGHT_EXPORT.encode()) + b"\x03" + _number(self.height))
        return _vector(entries)

    def _elements(self) -> bytes:
        return _vector(
            [
                head + _vector([_number(self.stand_ins.get(member, member)) for member in members])
                for head, members in self.module.elements
            ]
        )

    def _code(self) -> bytes:
        bodies = [_vector_of_bytes(self._body(body)) for body in self.module.bodies]
        bodies += [_vector_of_bytes(self._thunk(function)) for function in self.stand_ins]
        return _vector(bodies)

    def _body(self, body: Body) -> bytes:
        code = self.module.code
        parts = []
        last = body.begin
        for begin, end, callee in body.calls:
            cost = self.module.cost(callee)
            if cost:
                parts += [code[last:begin], self._around(code[begin:end], cost)]
                last = end
        parts.append(code[last : body.end])
        return b"".join(parts)

    def _thunk(self, function: int) -> bytes:
        """No locals; the arguments, the call, the end."""
        arguments, results = self.module.arities[function]
        own = max(arguments, results) + CALL_OVERHEAD
        pushed = b"".join(b"\x20" + _number(argument) for argument in range(arguments))
        call = self._around(b"\x10" + _number(function), self.module.cost(function) + own)
        return b"\x00" + pushed + call + b"\x0b"

    def _around(self, call: bytes, cost: int) -> bytes:
        get, set_ = b"\x23" + _number(self.height), b"\x24" + _number(self.height)
        amount = b"\x41" + _signed(cost)
        check = (
            get + b"\x41" + _signed(self.limit) + b"\x4b\x04\x40\x00\x0b"
        )  # i32.gt_u, if, unreachable, end
        return get + amount + b"\x6a" + set_ + check + call + get + amount + b"\x6b" + set_


# -- encoding --------------------------------------------------------------------------------------------------


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
