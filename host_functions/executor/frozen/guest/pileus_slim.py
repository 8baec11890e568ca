"""What a runtime needs while it is imported and not afterwards, taken out before the state is kept.

A frozen guest only answers calls. Nothing reads docstrings, unless the runtime does; its source is read for
tracebacks, and only the lines on which a function has code; and line numbers serve nobody without the lines.
"""

import gc
import itertools
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import _opcode_metadata  # type: ignore[import-not-found]

CO_HAS_DOCSTRING = 0x4000000
LOAD_CONST, STORE_NAME, EXTENDED_ARG = (
    _opcode_metadata.opmap[name] for name in ("LOAD_CONST", "STORE_NAME", "EXTENDED_ARG")
)


def bare(code: CodeType, *, lines: bool = True, docstrings: bool = False) -> CodeType:
    """The code without docstrings, those of classes and modules shortened, or line numbers, unless they are wanted.

    A dataclass without any docstring would make itself one.
    """
    constants = [
        bare(one, lines=lines, docstrings=docstrings) if isinstance(one, CodeType) else one
        for one in code.co_consts
    ]
    flags = code.co_flags
    if not docstrings:
        instructions = pairs(code.co_code)
        if flags & CO_HAS_DOCSTRING and (LOAD_CONST, 0) not in instructions:
            constants[0] = None
            flags &= ~CO_HAS_DOCSTRING
        for (load, constant), (store, name) in itertools.pairwise(instructions):
            if (load, store) == (LOAD_CONST, STORE_NAME) and code.co_names[name] == "__doc__":
                if instructions.count((load, constant)) == 1 and isinstance(constants[constant], str):
                    constants[constant] = "-"
    table = table_of_lines(code) if lines else b""
    return code.replace(co_consts=tuple(constants), co_flags=flags, co_linetable=table)


def table_of_lines(code: CodeType) -> bytes:
    """The code's table of lines without its columns, in CPython's own form.

    An entry is a byte for its kind and up to eight code units, and the distance from the line before.
    """
    table, line = bytearray(), code.co_firstlineno
    for start, end, number in code.co_lines():
        for units in range((end - start) // 2, 0, -8):
            kind = 15 if number is None else 13
            table.append(0x80 | kind << 3 | min(units, 8) - 1)
            if number is not None:
                distance, line = number - line, number
                rest = -distance << 1 | 1 if distance < 0 else distance << 1
                while rest >= 64:
                    table.append(rest & 63 | 64)
                    rest >>= 6
                table.append(rest)
    return bytes(table)


def pairs(instructions: bytes) -> list[tuple[int, int]]:
    """Opcode and argument; of a large argument only its last byte, behind which nothing is taken."""
    found = list(zip(instructions[::2], instructions[1::2], strict=True))
    return [
        (-1, 0) if before[0] == EXTENDED_ARG else pair
        for before, pair in zip([(0, 0), *found], found, strict=False)
    ]


def lines_with_code(source: bytes, used: set[int | None]) -> bytes:
    """The source with only the lines that are ``used``; the others are empty."""
    lines = source.decode().splitlines()
    return "\n".join(line.strip() if number in used else "" for number, line in enumerate(lines, 1)).encode()


def codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def strip(files: dict[str, bytes], *, documented: bool) -> None:
    """Take docstrings, line numbers of all but ``files``, and of these the lines on which no function has code.

    Code that was written out many times is kept once. ``documented``: the runtime reads docstrings.
    """
    used: dict[str, set[int | None]] = {name: set() for name in files}
    shared: dict[Any, CodeType] = {}
    stripped: dict[int, CodeType] = {}
    for found in gc.get_objects():
        if isinstance(found, ModuleType) and not documented:
            found.__doc__ = None
        elif isinstance(found, FunctionType) and found.__code__.co_filename in files:
            for one in codes_in(found.__code__):
                used[one.co_filename].update(line for _, _, line in one.co_lines())
        elif isinstance(found, FunctionType):
            code = found.__code__
            if id(code) not in stripped:
                short = bare(code, lines=False, docstrings=documented)
                if code.co_filename.startswith("<s"):  # written out: <string>, <scale ...>
                    short = short.replace(co_filename="<generated>", co_firstlineno=1)
                stripped[id(code)] = shared.setdefault((short, short.co_qualname), short)
            found.__code__ = stripped[id(code)]
            if not documented:
                found.__doc__ = None
    for name, source in files.items():
        files[name] = lines_with_code(source, used[name])
