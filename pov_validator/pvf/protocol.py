"""What the host and its worker processes say to each other: messages, and frames on a socket.

A frame is the length of a message, four bytes little-endian, and the message in SCALE. The host trusts nothing a
worker says: once a guest has broken out, the worker is the guest. So frames have a largest length, messages are
decoded to the last byte, and the host knows at each moment which ones may come.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from host_functions.errors import PileusError
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import H256, U8, U32, U64, Codec, Struct, Variant, enum_codec

__all__ = [
    "FRAME_OVERHEAD",
    "TIMED_OUT",
    "Answer",
    "AnswerFailed",
    "Broken",
    "Channel",
    "Configure",
    "Execute",
    "FromWorker",
    "HostCall",
    "Line",
    "Load",
    "Loaded",
    "NotPrepared",
    "Prepare",
    "Prepared",
    "ProtocolViolation",
    "Ready",
    "Refused",
    "Returned",
    "Started",
    "Stop",
    "Stopped",
    "ToWorker",
    "Value",
    "decoded",
    "from_python",
    "from_worker",
    "to_worker",
]

FRAME_OVERHEAD: Final = 65_536 * 32
"""Bytes of a frame beside what the guest's memory holds: names, lengths, log lines."""
TIMED_OUT: Final = 75
"""Exit status of a process that took too long to compile."""
HEADER: Final = 4
CHUNK: Final = 1 << 20


class ProtocolViolation(PileusError):
    """The other side said what it may not say now, or nothing that can be understood."""


# -- values of host calls ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nothing(Variant):
    """``None``."""

    index: ClassVar[int] = 0

    @property
    def python(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Number(Variant):
    """Any Wasm integer."""

    index: ClassVar[int] = 1
    python: U64


@dataclass(frozen=True, slots=True)
class Data(Variant):
    """Bytes."""

    index: ClassVar[int] = 2
    python: bytes


@dataclass(frozen=True, slots=True)
class Truth(Variant):
    """A boolean."""

    index: ClassVar[int] = 3
    python: bool


Value: TypeAlias = Nothing | Number | Data | Truth


def from_python(value: Any) -> Value:
    """``value`` as it crosses. Raises `TypeError` for what no host function served from outside takes or gives."""
    if value is None:
        return Nothing()
    if isinstance(value, bool):
        return Truth(value)
    if isinstance(value, int):
        return Number(value)
    if isinstance(value, bytes):
        return Data(value)
    raise TypeError(f"a {type(value).__name__} does not cross to a worker process")


# -- host to worker ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configure(Variant):
    """First message: what holds for every job of this process."""

    index: ClassVar[int] = 0
    cache: str
    """Directory of compiled code."""
    memory_pages: U32
    stack_values: U32
    stack: U64
    bulk_memory: bool
    code_bomb_limit: U64
    data_limit: U64
    """Bytes of memory the process may have written to."""
    may_write: bool
    """Whether it may write files: only who compiles must."""


@dataclass(frozen=True, slots=True)
class Prepare(Variant):
    """Compile ``code`` and keep the result in the cache. Answer: `Prepared`, `Refused`."""

    index: ClassVar[int] = 1
    code: bytes
    timeout: U32
    """Milliseconds of CPU time, after which the process ends itself."""
    refuse_unknown_imports: bool


@dataclass(frozen=True, slots=True)
class Load(Variant):
    """Load compiled code into ``slot``, in place of what was there. Answer: `Loaded`, `NotPrepared`."""

    index: ClassVar[int] = 2
    slot: U8
    code: bytes


@dataclass(frozen=True, slots=True)
class Execute(Variant):
    """Enter the code in ``slot``. Answer: `Started`, any number of `HostCall`, then `Returned` or `Stopped`."""

    index: ClassVar[int] = 3
    slot: U8
    code_hash: H256
    """Of what must be in the slot."""
    entry_point: str
    argument: bytes
    timeout: U32
    """Milliseconds of CPU time."""
    remote: tuple[str, ...]
    """Import names of the functions that the host answers."""
    withheld: tuple[str, ...]
    """Import names of functions that are not provided at all."""
    max_level: U8


@dataclass(frozen=True, slots=True)
class Answer(Variant):
    """What the called host function returned."""

    index: ClassVar[int] = 4
    value: Value


@dataclass(frozen=True, slots=True)
class AnswerFailed(Variant):
    """The called host function raised. The host keeps the error; the guest must be stopped."""

    index: ClassVar[int] = 5


ToWorker: TypeAlias = Configure | Prepare | Load | Execute | Answer | AnswerFailed

# -- worker to host ----------------------------------------------------------------------------------------


class Stop:
    """Why a guest was stopped: values of `Stopped.kind`."""

    PANIC: Final = 0
    TRAP: Final = 1
    OUT_OF_MEMORY: Final = 2
    ALLOCATOR: Final = 3
    DEADLINE: Final = 4
    MISSING_FUNCTION: Final = 5
    HOST_CALL: Final = 6
    """The host itself answered `AnswerFailed`."""
    CONSTRUCTION: Final = 7
    """No instance could be made of the code."""
    OTHER: Final = 8
    """A host function refused, with an error of its own."""


@dataclass(frozen=True, slots=True)
class Ready(Variant):
    """The process has started and configured itself."""

    index: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Prepared(Variant):
    """The code is compiled and kept."""

    index: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Refused(Variant):
    """The code cannot be compiled."""

    index: ClassVar[int] = 2
    failure: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loaded(Variant):
    """The code stands in its slot."""

    index: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class NotPrepared(Variant):
    """No sound compiled form of the code is in the cache."""

    index: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class HostCall(Variant):
    """The guest calls a function that the host answers. Reply: `Answer`, `AnswerFailed`."""

    index: ClassVar[int] = 5
    function: str
    arguments: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Line(Struct):
    """One line that the guest logged."""

    level: U32
    target: str
    message: str


@dataclass(frozen=True, slots=True)
class Returned(Variant):
    """What the entry point returned."""

    index: ClassVar[int] = 6
    result: bytes
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Stopped(Variant):
    """The guest did not return."""

    index: ClassVar[int] = 7
    kind: U8
    """See `Stop`."""
    detail: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Broken(Variant):
    """The worker failed, not the guest: no memory, an error it does not know."""

    index: ClassVar[int] = 8
    detail: str


@dataclass(frozen=True, slots=True)
class Started(Variant):
    """The guest is entered next. A process that dies before it has said so never ran the candidate."""

    index: ClassVar[int] = 9


FromWorker: TypeAlias = (
    Ready | Prepared | Refused | Loaded | NotPrepared | HostCall | Returned | Stopped | Broken | Started
)

to_worker: Final[Codec[ToWorker]] = enum_codec(ToWorker)
from_worker: Final[Codec[FromWorker]] = enum_codec(FromWorker)


class Channel:
    """One end of the socket between the host and a worker. All waiting ends at ``deadline`` (`time.monotonic`)."""

    def __init__(self, end: socket.socket, limit: int) -> None:
        """``limit``: bytes of the longest message that is taken from the other side."""
        self._socket = end
        self._limit = limit

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes, deadline: float | None = None) -> None:
        """Raises `TimeoutError`, and `OSError` when the other side is gone."""
        self._wait_until(deadline)
        self._socket.sendall(len(message).to_bytes(HEADER, "little") + message)

    def receive(self, deadline: float | None = None) -> bytes:
        """One message. Raises `TimeoutError`, `EOFError` at the end, `ProtocolViolation` for one that is too long."""
        length = int.from_bytes(self._exactly(HEADER, deadline), "little")
        if length > self._limit:
            raise ProtocolViolation(f"a message of {length} bytes, more than {self._limit}")
        return self._exactly(length, deadline)

    def _exactly(self, length: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        while length:
            self._wait_until(deadline)
            part = self._socket.recv(min(length, CHUNK))
            if not part:
                raise EOFError("the other side closed the connection")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _wait_until(self, deadline: float | None) -> None:
        if deadline is None:
            self._socket.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._socket.settimeout(left)

    def is_quiet(self) -> bool:
        """Whether there is nothing to receive, and the other side is there."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def wait_for_hangup(self) -> None:
        """Return when the other side is gone. Reads nothing, so another thread may."""
        poll = select.poll()
        poll.register(self._socket, 0)  # a hang-up is always reported
        poll.poll()

    def close(self) -> None:
        self._socket.close()


def decoded(codec: Codec[Any], message: bytes) -> Any:
    """Raises `ProtocolViolation`."""
    try:
        return codec.decode(message)
    except ScaleError as error:
        raise ProtocolViolation(f"a message that does not decode: {error}") from None
