"""Observers of host calls: installed for a ``with`` block, wrapped around contexts when an engine enters a runtime.

An `Observation` stands between the runtime and whoever answers. It is told of the context's answers through
`observed`, which engines call once per runtime call, and of the guest's own replacements through
`host_functions.declare.current_watcher`. Nothing of it is in the way of a call that nobody observes.

An observer gets a finished, frozen `HostCall` and runs outside any externalities, so it can neither change the result
nor make host calls of its own; when it raises, it is detached, which `Observation.detached` and the log tell. What
happens in another thread or process (a PVF worker) is not seen.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction, current_watcher, registry, replace_implementations
from host_functions.errors import MissingHostFunction
from host_functions.tracing.call import (
    MAX_NODES,
    SHOWN_TEXT,
    AnsweredBy,
    HostCall,
    canonical,
    outcome_of,
    shown,
)
from runtime.primitives.hashing import blake2_256
from runtime.trie.recorder import Recorder

__all__ = ["Detached", "HostCallObserver", "Observation", "ObservedContext", "observed", "observing"]

AnyFunction = HostFunction[..., Any]
AnyImplementation = Callable[..., Any]

_log: Final = logging.getLogger(__name__)


class HostCallObserver(Protocol):
    """Is told of each host call when it is over; one made within another is over first."""

    def __call__(self, call: HostCall, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Detached:
    """An observer that failed, and sees nothing more."""

    observer: HostCallObserver
    reason: str


class _Frame(NamedTuple):
    """Who is being executed."""

    context: str
    engine: str
    entry_point: str


class Observation:
    """Observers at work. One per `observing` block."""

    def __init__(
        self, observers: tuple[HostCallObserver, ...], outer: Observation | None, *, pure: bool = False
    ) -> None:
        self.pure = pure
        """Whether calls of pure functions are told, too."""
        self.outer = outer
        """The observation around this one, which goes on seeing."""
        self.detached: list[Detached] = []
        """Observers that failed."""
        self._observers = list(observers)
        self._frames = [_Frame("", "direct", "")]
        self._position = 0
        self._depth = 0

    def watch(self, function: AnyFunction, implementation: AnyImplementation, /) -> AnyImplementation:
        """See `host_functions.declare.Watcher`: a replacement of the guest, observed."""
        if self.outer is not None:
            implementation = self.outer.watch(function, implementation)
        return self.wrap(function, implementation, "guest")

    def wrap(
        self, function: AnyFunction, implementation: AnyImplementation, answered_by: AnsweredBy
    ) -> AnyImplementation:
        """An implementation that does what the given one does, and tells of it."""
        parameters = tuple(function.parameters)
        owner = getattr(inspect.unwrap(implementation), "__self__", None)

        @functools.wraps(implementation)  # which is how an observation within this one finds the owner
        def answering(*args: Any, **kwargs: Any) -> Any:
            arguments = (*args, *(kwargs[name] for name in parameters[len(args) :] if name in kwargs))
            position, depth = self._position, self._depth
            self._position += 1
            self._depth += 1
            touched = _Touched(owner)
            try:
                result = implementation(*args, **kwargs)
            except Exception as error:
                self._tell(position, depth, function, answered_by, arguments, None, error, touched)
                raise
            finally:
                self._depth = depth
            self._tell(position, depth, function, answered_by, arguments, result, None, touched)
            return result

        return answering

    def missing(self, function: AnyFunction, error: MissingHostFunction) -> None:
        """A call that nobody answers; its arguments never arrive."""
        position = self._position
        self._position += 1
        self._tell(position, self._depth, function, "host", (), None, error, _Touched(None))

    @contextlib.contextmanager
    def frame(self, context: str, engine: str, entry_point: str) -> Iterator[None]:
        """Calls within the ``with`` block are of this execution. Nests."""
        self._frames.append(_Frame(context, engine, entry_point))
        try:
            yield
        finally:
            self._frames.pop()

    def _tell(
        self,
        position: int,
        depth: int,
        function: AnyFunction,
        answered_by: AnsweredBy,
        arguments: tuple[Any, ...],
        result: Any,
        error: Exception | None,
        touched: _Touched,
    ) -> None:
        if not self._observers:
            return
        try:
            buffers = [argument for argument in arguments if isinstance(argument, bytearray)]
            text, value_hash = ("", None) if error is not None else outcome_of(result, buffers)
            nodes, node_count = touched.since()
            call = HostCall(
                position,
                depth,
                *self._frames[-1],
                answered_by,
                function.name,
                tuple(map(shown, arguments)),
                blake2_256(canonical(arguments)),
                text,
                value_hash,
                nodes,
                node_count,
                None if error is None else f"{type(error).__name__}: {str(error)[:SHOWN_TEXT]}",
            )
        except Exception as problem:  # a value whose text cannot be had: no row is better than another result
            self._detach_all(f"{function.name}: no row could be made: {type(problem).__name__}: {problem}")
            return
        for observer in tuple(self._observers):
            try:
                Context().run(observer, call)
            except Exception as problem:
                self._detach(observer, f"{type(problem).__name__}: {problem}")

    def _detach_all(self, reason: str) -> None:
        for observer in tuple(self._observers):
            self._detach(observer, reason)

    def _detach(self, observer: HostCallObserver, reason: str) -> None:
        self._observers.remove(observer)
        self.detached.append(Detached(observer, reason[:SHOWN_TEXT]))
        _log.error("an observer of host calls failed and is detached: %s", reason[:SHOWN_TEXT])


class _Touched:
    """What the recorders of whoever answers (``None``: unknown) had recorded before a call."""

    def __init__(self, owner: object) -> None:
        recorder = getattr(owner, "recorder", None)
        self._recorder = recorder if isinstance(recorder, Recorder) else None
        self._length = 0 if self._recorder is None else len(self._recorder)
        relay = getattr(owner, "relay", None)
        self._nodes: Callable[[], tuple[bytes, ...]] | None = getattr(relay, "nodes", None)
        self._before = frozenset(() if self._nodes is None else self._nodes())

    def since(self) -> tuple[tuple[bytes, ...], int]:
        """Hashes of what was recorded meanwhile, bounded, and how many there are."""
        fresh: list[bytes] = []
        if self._recorder is not None:
            fresh = list(islice(reversed(self._recorder), max(0, len(self._recorder) - self._length)))[::-1]
        if self._nodes is not None:
            fresh += [blake2_256(node) for node in self._nodes() if node not in self._before]
        return tuple(fresh[:MAX_NODES]), len(fresh)


class ObservedContext(HostContext):
    """A context whose answers are told to an observation."""

    def __init__(self, base: HostContext, observation: Observation, engine: str, entry_point: str) -> None:
        self.base = base
        self._observation = observation
        self._engine = engine
        self._entry_point = entry_point

    def _find(self, function: AnyFunction) -> AnyImplementation:
        try:
            implementation = self.base.resolve(function)
        except MissingHostFunction as error:
            self._observation.missing(function, error)
            raise
        if function.pure and not self._observation.pure and implementation is function.pure_implementation:
            return implementation
        return self._observation.wrap(function, implementation, "host")

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        frame = self._observation.frame(str(self.base), self._engine, self._entry_point)
        with self.base.scope(), frame:
            yield

    def __str__(self) -> str:
        return str(self.base)


def observed(context: HostContext, engine: str = "direct", entry_point: str = "") -> HostContext:
    """``context`` for one execution: as it is, or under the observations in force.

    Engines call it when they enter a runtime; who enters a context without one may call it, too.
    """
    watcher = current_watcher.get()
    observations: list[Observation] = []
    while isinstance(watcher, Observation):
        observations.append(watcher)
        watcher = watcher.outer
    for observation in reversed(observations):
        context = ObservedContext(context, observation, engine, entry_point)
    return context


@contextlib.contextmanager
def observing(*observers: HostCallObserver, pure: bool = False) -> Iterator[Observation]:
    """Tell ``observers`` of the host calls of this thread or task within the ``with`` block. Nests.

    Hashing and signature verification are left out, unless a context answers them in its own way or ``pure`` is true:
    no two contexts can differ in them, and a guest that remembers a hash makes the call only the first time, so with
    them a trace would depend on what ran before.
    """
    outer = current_watcher.get()
    observation = Observation(observers, outer if isinstance(outer, Observation) else None, pure=pure)
    already = {
        function: observation.wrap(function, replacement, "guest")
        for function in registry().values()
        if (replacement := function.current_replacement()) is not None
    }
    token = current_watcher.set(None)  # what is wrapped by hand must not be wrapped again
    try:
        with replace_implementations(already):
            current_watcher.set(observation)
            yield observation
    finally:
        current_watcher.reset(token)
