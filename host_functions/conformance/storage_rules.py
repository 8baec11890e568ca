"""Rules of storage, tried by random sequences of host calls.

Each example makes a state and a list of calls. The calls go to the context under test and to `ModelState`;
then the same calls are replayed in a second context, and over the recorded nodes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from hypothesis import given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from host_functions.conformance.model import ModelState, NothingOpen
from host_functions.conformance.report import NonConformance
from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction, functions_of
from host_functions.errors import HostError, MissingHostFunction
from host_functions.interfaces import storage, storage_proof_size
from host_functions.state_machine.backend import WitnessBackend
from host_functions.state_machine.externalities import NO_RECORDER, Externalities
from host_functions.state_machine.genesis import Storage, build_state
from host_functions.state_machine.table import STORAGE_TABLE, storage_implementations
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1
from runtime.trie.recorder import Recorder

REFUSED = "refused: no transaction is open"
"""Outcome of closing a transaction that is not open."""

KEYS = (
    *(b"", b"a", b"ab", b"abc", b"a\x00", b"a\xff", b"b", b"\x00", b"\xff", b"\xff\xff", b"k" * 40, b":"),
    *(b":child_storage:", b":child_storage:default:one", b":child_storage:default:two"),
)
"""Keys that are prefixes of each other, at both ends of the order, and of child tries."""

CHILD_NAMES = (b"", b"one", b"two")
VALUES = (b"", b"\x00", b"1", b"\x04x", b"\xfc", b"\x02\x00", b"v" * 32, b"v" * 33, b"w" * 80)
"""Values on both sides of being stored apart, and what `append` makes vectors of or must replace."""


class Call(NamedTuple):
    """One host call."""

    function: HostFunction[..., Any]
    arguments: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.function.name}{self.arguments!r}"

    def of(self, implementation: Callable[..., Any]) -> Any:
        """The outcome of the call: the result, together with the buffer if it takes one."""
        buffers = [argument for argument in self.arguments if isinstance(argument, bytearray)]
        copies = [bytearray(buffer) for buffer in buffers]
        remaining = iter(copies)
        arguments = [next(remaining) if isinstance(a, bytearray) else a for a in self.arguments]
        try:
            result = implementation(*arguments)
        except NothingOpen:
            return REFUSED
        return (result, *map(bytes, copies)) if copies else result


def run(
    make_context: Callable[[Storage], HostContext],
    interfaces: Iterable[ModuleType],
    state_version: int,
    recorded: Callable[[HostContext], Iterable[bytes]] | None,
    settings: hypothesis_settings,
) -> None:
    """Search for a sequence of calls that breaks a rule. Raises `NonConformance` for the shortest one
    found."""
    layout = LAYOUT_V1 if state_version else LAYOUT_V0
    functions = [function for interface in interfaces for function in functions_of(interface)]
    check_provided(make_context(Storage()), functions)
    at_the_end = [Call(storage.root, (state_version,))] if storage.root in functions else []

    @settings
    @given(storages(), st.lists(calls(functions, state_version), max_size=25))
    def conforms(initial: Storage, drawn: Sequence[Call]) -> None:
        note(f"state: {initial}")
        sequence = [*drawn, *at_the_end]
        context = make_context(initial)
        outcomes = play(context, sequence)
        follows_model(outcomes, ModelState(initial, layout), sequence)
        if play(make_context(initial), sequence) != outcomes:
            raise NonConformance("a second context over the same state behaves differently: state is shared")
        if recorded is not None:
            root, _ = build_state(initial, layout)
            witness = {layout.digest(node): bytes(node) for node in recorded(context)}
            recorder = Recorder(witness)
            replay = Externalities(WitnessBackend(recorder, root, layout), recorder)
            replays(context.override(storage_implementations(replay)), sequence, outcomes)

    conforms()


def check_provided(context: HostContext, functions: Iterable[HostFunction[..., Any]]) -> None:
    for function in functions:
        try:
            context.resolve(function)
        except MissingHostFunction as error:
            raise NonConformance(f"{function.name} is not provided") from error


def play(context: HostContext, sequence: Sequence[Call]) -> list[tuple[Any, int]]:
    """Make the calls; the outcome of each and the proof size after it."""
    with context.externalities():
        return [(outcome(call), proof_size()) for call in sequence]


def outcome(call: Call) -> Any:
    """What the current context makes of a call. Closing a transaction may fail in whatever way is the
    host's."""
    try:
        return call.of(call.function)
    except HostError:
        raise
    except Exception:
        if call.function not in (storage.commit_transaction, storage.rollback_transaction):
            raise
        return REFUSED


def proof_size() -> int:
    try:
        return storage_proof_size.storage_proof_size()
    except MissingHostFunction:
        return NO_RECORDER


def follows_model(outcomes: Sequence[tuple[Any, int]], model: ModelState, sequence: Sequence[Call]) -> None:
    """Each outcome must be the model's, and the proof may only grow."""
    before = 0
    for call, (found, size) in zip(sequence, outcomes, strict=True):
        pure = call.function.pure
        expected = call.of(
            call.function.pure_implementation if pure else getattr(model, STORAGE_TABLE[call.function])
        )
        if found != expected:
            raise NonConformance(f"{call} gives {found!r} where {expected!r} is right")
        if size < before:
            raise NonConformance(f"{call} makes the proof smaller: {before} bytes before, {size} after")
        before = size


def replays(context: HostContext, sequence: Sequence[Call], outcomes: Sequence[tuple[Any, int]]) -> None:
    """The recorded nodes must be enough to give every outcome again, and count the same."""
    try:
        replayed = play(context, sequence)
    except HostError as error:
        raise NonConformance(f"the recorded nodes are not enough to replay the calls: {error}") from error
    for call, (expected, size), (found, again) in zip(sequence, outcomes, replayed, strict=True):
        if found != expected:
            raise NonConformance(f"{call} gives {found!r} over the recorded nodes, {expected!r} before")
        if size not in (again, NO_RECORDER):
            raise NonConformance(f"after {call} the proof counts {size} bytes, over its own nodes {again}")


def storages() -> st.SearchStrategy[Storage]:
    """Small states with child tries."""
    plain = keys().filter(lambda key: not key.startswith(b":child_storage:"))
    top = st.dictionaries(plain, values(), max_size=8)
    child = st.dictionaries(keys(), values(), min_size=1, max_size=5)
    return st.builds(Storage, top, st.dictionaries(st.sampled_from(CHILD_NAMES), child, max_size=2))


def keys() -> st.SearchStrategy[bytes]:
    return st.sampled_from(KEYS) | st.binary(max_size=3)


def values() -> st.SearchStrategy[bytes]:
    return st.sampled_from(VALUES) | st.binary(max_size=40)


def calls(functions: Sequence[HostFunction[..., Any]], state_version: int) -> st.SearchStrategy[Call]:
    """Calls of the functions, with arguments by the name and wire form of each parameter."""
    usable = [
        function
        for function in functions
        if function in STORAGE_TABLE or function.interface == "hashing"
        # The proof size is looked at after every call; version 1 of a root is for state version 0 alone.
        if function is not storage_proof_size.storage_proof_size
        if state_version == 0 or not (function.method == "root" and function.version == 1)
    ]

    def argument(name: str, annotation: Any) -> st.SearchStrategy[Any]:
        match name:
            case "storage_key":
                return st.sampled_from(CHILD_NAMES)
            case "state_version":
                return st.just(state_version)
            case "value" | "data":
                return values()
            case "value_out":
                return st.integers(0, 40).map(lambda size: bytearray(b"\xee" * size))
            case "value_offset":
                return st.integers(0, 40)
            case "limit":
                return st.none() | st.integers(0, 4)
            case _:
                return keys()

    def of(function: HostFunction[..., Any]) -> st.SearchStrategy[Call]:
        arguments = [argument(name, annotation) for name, annotation in function.parameters.items()]
        return st.builds(Call, st.just(function), st.tuples(*arguments))

    return st.sampled_from(usable).flatmap(of)
