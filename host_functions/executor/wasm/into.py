"""Results that go into a buffer the guest passed: one encoder per protocol of `host_functions.abi.Into`.

Each takes the execution, the value and the raw arguments of the call, the last of which are the buffer's. A
buffer outside memory stops the guest only when something is written into it, and a buffer that is too small
only where the protocol requires one that is not [RFC-145].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from host_functions.abi import Into, RemovalCounts
from host_functions.errors import HostError
from host_functions.executor.wasm.execution import Execution
from host_functions.executor.wasm.memory import GuestFault
from runtime.primitives.scale import byte_vec

__all__ = ["Encoder", "into_encoder"]

Encoder = Callable[[Execution, Any, tuple[int, ...]], int | None]

LOW: Final = 0xFFFF_FFFF
ABSENT: Final = 0xFFFF_FFFF_FFFF_FFFF
"""-1 as an ``i64``."""


def into_encoder(into: Into, size: int, name: str) -> Encoder:
    """``size``: bytes of the buffer where the protocol fixes them. ``name``: of the function, for errors."""
    if into is Into.FIXED:
        return _fixed(size, name)
    if into is Into.CHECKED:
        return _checked(_fixed(size, name))
    return _ENCODERS[into]


def _prefix(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    if value is None:
        return ABSENT
    execution.memory.write(raw[-1] & LOW, value[: raw[-1] >> 32])
    return len(value)


def _flag(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    if value is None:
        return 0
    _write_all(execution, value, raw[-1])
    return 1


def _window(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    if value is None:
        return ABSENT
    buffer, offset, partial = raw[-3:]
    rest, room = value[offset:], buffer >> 32
    if len(rest) <= room or partial:
        execution.memory.write(buffer & LOW, rest[:room])
    return len(rest)


def _from_offset(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    if value is None:
        return ABSENT
    buffer, offset = raw[-2:]
    _write_if_it_fits(execution, value[offset:], buffer)
    return len(value)


def _whole(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    if value is None:
        return ABSENT
    return _write_if_it_fits(execution, value, raw[-1])


def _whole_or_empty(execution: Execution, value: bytes | None, raw: tuple[int, ...]) -> int:
    return 0 if value is None else _write_if_it_fits(execution, value, raw[-1])


def _encoded(execution: Execution, value: bytes, raw: tuple[int, ...]) -> None:
    _write_all(execution, byte_vec.encode(value), raw[-1])


def _fixed(size: int, name: str) -> Encoder:
    def encode(execution: Execution, value: bytes, raw: tuple[int, ...]) -> None:
        if len(value) != size:
            raise HostError(f"{name}: the context answered {len(value)} bytes instead of {size}")
        execution.memory.write(raw[-1], value)

    return encode


def _checked(write: Encoder) -> Encoder:
    def encode(execution: Execution, value: bytes | int | None, raw: tuple[int, ...]) -> int:
        if isinstance(value, bytes):
            write(execution, value, raw)
            return 0
        return ABSENT - (value or 0)

    return encode


def _cursor(execution: Execution, removal: RemovalCounts, raw: tuple[int, ...]) -> int:
    buffer, counts = raw[-2:]
    execution.memory.write(counts, b"".join(count.to_bytes(4, "little") for count in removal[1:]))
    if removal.cursor is None:
        return 0
    execution.cursor = removal.cursor
    return _write_if_it_fits(execution, removal.cursor, buffer)


def _status(execution: Execution, success: bool, raw: tuple[int, ...]) -> int:
    return 0 if success else ABSENT


def _write_if_it_fits(execution: Execution, value: bytes, buffer: int) -> int:
    """Length of ``value`` in any case."""
    if len(value) <= buffer >> 32:
        execution.memory.write(buffer & LOW, value)
    return len(value)


def _write_all(execution: Execution, value: bytes, buffer: int) -> None:
    if len(value) > buffer >> 32:
        raise GuestFault(f"the buffer holds {buffer >> 32} bytes, the result has {len(value)}")
    execution.memory.write(buffer & LOW, value)


_ENCODERS: Final[Mapping[Into, Encoder]] = {
    Into.PREFIX: _prefix,
    Into.FLAG: _flag,
    Into.WINDOW: _window,
    Into.FROM_OFFSET: _from_offset,
    Into.WHOLE: _whole,
    Into.WHOLE_OR_EMPTY: _whole_or_empty,
    Into.ENCODED: _encoded,
    Into.CURSOR: _cursor,
    Into.STATUS: _status,
}
