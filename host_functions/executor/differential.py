"""Two engines for one runtime: every call runs in both, and the first difference ends it.

The first engine works on the real context while every host call is written down with its answer. The second engine
is then given those answers, in order, and held to those calls. So both see the same host and the host sees one
execution; effects on state, proofs and logs are equal because the calls that make them are. Pure functions are
computed by both and not compared: a process that lives long asks for fewer of them.

A difference is a `ContextDivergence` that names the entry point and the first host call, result or failure in
which the engines differ. It is also kept in `DifferentialRuntime.divergence`, because a validator turns whatever
an execution raises into a verdict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from host_functions.abi import MultiRemovalResults
from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction
from host_functions.errors import ContextDivergence, GuestPanic, MissingHostFunction, PileusError
from host_functions.executor.runtime import Runtime
from host_functions.interfaces import child_storage, misc, relay_chain_state, storage

__all__ = ["DifferentialRuntime"]

AnyFunction = HostFunction[..., Any]
AnyImplementation = Callable[..., Any]
Resolve = Callable[[AnyFunction], AnyImplementation]
Through = Callable[[Resolve], AnyImplementation]
"""How a function is answered by means of others."""

SHOWN: Final = 48
"""Bytes of a value that a report shows."""


class DifferentialRuntime:
    """A `Runtime` that is two. To callers it is the second, whose code stands under ``:code``."""

    def __init__(
        self, first: Runtime, second: Runtime, *, names: tuple[str, str] = ("native", "wasm")
    ) -> None:
        self.first = first
        self.second = second
        self.names = names
        self.divergence: ContextDivergence | None = None
        """The first difference there was."""

    @property
    def code(self) -> bytes:
        return self.second.code

    @property
    def code_hash(self) -> bytes:
        return self.second.code_hash

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """See `host_functions.executor.Runtime.call`. Raises `ContextDivergence` if the engines differ, else what the
        first raised.
        """
        recording = _Recording(context)
        first = _outcome(lambda: self.first.call(entry_point, argument, recording))
        if isinstance(first.error, MemoryError | RecursionError):
            raise first.error  # this process has a problem, not the runtime
        replay = _Replay(recording, self.names)
        second = _outcome(lambda: self.second.call(entry_point, argument, replay))
        difference = _difference(first, second, replay, self.names)
        if difference is not None:
            error = ContextDivergence(*self.names, f"{entry_point}: {difference}")
            self.divergence = self.divergence or error
            raise error
        if first.error is not None:
            raise first.error
        assert first.result is not None  # noqa: S101  (an outcome is one or the other)
        return first.result

    def __repr__(self) -> str:
        return f"<{self.first!r} and {self.second!r}>"


class _Outcome(NamedTuple):
    result: bytes | None
    error: Exception | None


def _outcome(call: Callable[[], bytes]) -> _Outcome:
    try:
        return _Outcome(call(), None)
    except Exception as error:
        return _Outcome(None, error)


class _Recorded(NamedTuple):
    function: AnyFunction
    arguments: tuple[Any, ...]
    result: Any
    error: Exception | None

    def __str__(self) -> str:
        return f"{self.function.name}({', '.join(map(_shown, self.arguments))})"


class _Recording(HostContext):
    """A context that writes down the calls it answers."""

    def __init__(self, base: HostContext) -> None:
        self.base = base
        self.calls: list[_Recorded] = []

    def _find(self, function: AnyFunction) -> AnyImplementation:
        through = _BY_OTHERS.get(function)
        if through is not None:
            return through(self.resolve)
        if function.pure:
            return self.base.resolve(function)
        try:
            implementation = self.base.resolve(function)
        except MissingHostFunction as error:
            implementation = _raising(error)
        return self._recorded(function, implementation)

    def _recorded(self, function: AnyFunction, implementation: AnyImplementation) -> AnyImplementation:
        calls = self.calls

        def answer(*arguments: Any) -> Any:
            try:
                result = implementation(*arguments)
            except Exception as error:
                calls.append(_Recorded(function, arguments, None, error))
                raise
            calls.append(_Recorded(function, arguments, result, None))
            return result

        return answer

    def scope(self) -> contextlib.AbstractContextManager[None]:
        return self.base.scope()

    def __str__(self) -> str:
        return str(self.base)


class _Replay(HostContext):
    """Answers the calls of a recording, in their order, and no others."""

    def __init__(self, recording: _Recording, names: tuple[str, str]) -> None:
        self.base = recording.base
        self._calls = recording.calls
        self.names = names
        self.made = 0
        self.difference: str | None = None

    @property
    def missing(self) -> _Recorded | None:
        """The first recorded call that was not made."""
        return self._calls[self.made] if self.made < len(self._calls) else None

    def _find(self, function: AnyFunction) -> AnyImplementation:
        through = _BY_OTHERS.get(function)
        if through is not None:
            return through(self.resolve)
        return self.base.resolve(function) if function.pure else self._replayed(function)

    def _replayed(self, function: AnyFunction) -> AnyImplementation:
        def answer(*arguments: Any) -> Any:
            expected = self.missing
            if expected is None or (expected.function, expected.arguments) != (function, arguments):
                if function in _ASKED_AGAIN and self.made:
                    before = self._calls[self.made - 1]
                    if (before.function, before.arguments) == (function, arguments):
                        return before.result
                first, second = self.names
                called = _Recorded(function, arguments, None, None)
                wanted = "makes no further call" if expected is None else f"calls {expected}"
                self.difference = f"host call {self.made + 1}: {first} {wanted}, {second} calls {called}"
                raise ContextDivergence(first, second, self.difference)
            self.made += 1
            if expected.error is not None:
                raise expected.error
            return expected.result

        return answer

    def __str__(self) -> str:
        return str(self.base)


def _difference(first: _Outcome, second: _Outcome, replay: _Replay, names: tuple[str, str]) -> str | None:
    """In what the two executions differ first; ``None`` if they agree."""
    if replay.difference is not None:
        return replay.difference
    if replay.missing is not None:
        return f"host call {replay.made + 1}: {names[0]} calls {replay.missing}, {names[1]} {_ending(second)}"
    if first.error is None and second.error is None:
        return None if first.result == second.result else _unequal(first.result, second.result, names)
    if first.error is None or second.error is None or not _fail_alike(first.error, second.error):
        return f"{names[0]} {_ending(first)}, {names[1]} {_ending(second)}"
    return None


def _unequal(first: bytes | None, second: bytes | None, names: tuple[str, str]) -> str:
    one, other = first or b"", second or b""
    at = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return (
        f"the results differ from byte {at} on: {names[0]} gives {len(one)} bytes, {_shown(one[at:])},"
        f" {names[1]} {len(other)}, {_shown(other[at:])}"
    )


def _fail_alike(first: Exception, second: Exception) -> bool:
    """Whether both engines failed for one reason. What the guest raises has a name, and a message of its own if it
    is one of Pileus's errors; the interpreter's words change from version to version."""
    if first is second:  # raised by the host, through both
        return True
    if not isinstance(second, GuestPanic):
        return False
    raised = first.__cause__ if isinstance(first, GuestPanic) else first
    if raised is None:  # there is no such entry point
        return second.message.endswith("exports no such function")
    head = second.message.partition("\n")[0]
    kind = type(raised).__name__
    if not isinstance(raised, PileusError):
        return head.partition(":")[0] == kind
    message = str(raised).partition("\n")[0].strip()
    return head[:300] == (f"{kind}: {message}" if message else kind)[:300]


def _raising(error: Exception) -> AnyImplementation:
    def answer(*_: Any) -> Any:
        raise error

    return answer


def _ending(outcome: _Outcome) -> str:
    if outcome.error is not None:
        return f"fails with {type(outcome.error).__name__}: {str(outcome.error)[:300]}"
    return f"returns {len(outcome.result or b'')} bytes"


def _shown(value: Any) -> str:
    if not isinstance(value, bytes | bytearray):
        return repr(value)[:200]
    more = "…" if len(value) > SHOWN else ""
    return f"0x{bytes(value[:SHOWN]).hex()}{more}"


_ASKED_AGAIN: Final = (
    *(storage.get, storage.next_key, child_storage.get, child_storage.next_key),
    *(relay_chain_state.read_relay_state, misc.runtime_version),
)
"""A guest asks these a second time when the answer did not fit into the buffer it first passed [RFC-145]."""


def _read(get: AnyFunction) -> Through:
    def through(resolve: Resolve) -> AnyImplementation:
        def read(*arguments: Any) -> int | None:
            *key, value_out, value_offset = arguments
            value = resolve(get)(*key)
            if value is None:
                return None
            rest = value[value_offset:]
            copied = min(len(rest), len(value_out))
            value_out[:copied] = rest[:copied]
            return len(rest)

        return read

    return through


def _remove(remove_from: AnyFunction) -> Through:
    def through(resolve: Resolve) -> AnyImplementation:
        def remove(*arguments: Any) -> MultiRemovalResults:
            counts = resolve(remove_from)(*arguments, None)
            return MultiRemovalResults(all_removed=counts.cursor is None, loops=counts.loops)

        return remove

    return through


_BY_OTHERS: Final[Mapping[AnyFunction, Through]] = {
    storage.read: _read(storage.get),
    storage.clear_prefix: _remove(storage.clear_prefix_from),
    child_storage.read: _read(child_storage.get),
    child_storage.clear_prefix: _remove(child_storage.clear_prefix_from),
    child_storage.storage_kill: _remove(child_storage.storage_kill_from),
}
"""A frozen guest has these from others (`host_functions.executor.frozen.interface.BY_OTHERS`), so they are compared
as those."""
