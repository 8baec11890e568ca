"""Rules of storage and hashing, tried by known and random sequences of host calls.

The calls of an example go to the context under test and to `ModelState`; then the same calls are replayed in
a second context, and over the recorded nodes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Flaky

from host_functions.conformance.examples import REFUSED, Call, Example, examples
from host_functions.conformance.known import known_examples
from host_functions.conformance.model import ModelState
from host_functions.conformance.report import NonConformance
from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction, functions_of
from host_functions.errors import HostError, MissingHostFunction
from host_functions.interfaces import hashing, storage, storage_proof_size
from host_functions.state_machine.backend import WitnessBackend
from host_functions.state_machine.externalities import NO_RECORDER, Externalities
from host_functions.state_machine.genesis import Storage, build_state
from host_functions.state_machine.table import STORAGE_TABLE, storage_implementations
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1
from runtime.trie.recorder import Recorder

__all__ = ["run"]


def run(
    make_context: Callable[[Storage], HostContext],
    interfaces: Iterable[ModuleType],
    state_version: int,
    recorded: Callable[[HostContext], Iterable[bytes]] | None,
    settings: hypothesis_settings,
) -> None:
    """Search for calls that break a rule, then try the known sequences. Raises `NonConformance`, for the shortest
    sequence found.
    """
    layout = LAYOUT_V1 if state_version else LAYOUT_V0
    functions = [function for interface in interfaces for function in functions_of(interface)]
    check_provided(make_context(Storage()), functions)
    hashes = [function for function in functions if function in functions_of(hashing)]
    at_the_end = [Call(storage.root, (state_version,))] if storage.root in functions else []

    def conforms(example: Example) -> None:
        sequence = [*example.calls, *at_the_end]
        context = make_context(example.state)
        hashes_alike(context, hashes, example.data)
        outcomes = play(context, sequence)
        follows_model(outcomes, ModelState(example.state, layout), sequence)
        if play(make_context(example.state), sequence) != outcomes:
            raise NonConformance("a second context over the same state behaves differently: state is shared")
        if recorded is not None:
            root, _ = build_state(example.state, layout)
            witness = {layout.digest(node): node for node in recorded(context)}
            recorder = Recorder(witness)
            replay = Externalities(WitnessBackend(recorder, root, layout), recorder)
            replays(context.override(storage_implementations(replay)), sequence, outcomes)

    try:
        settings(given(examples(functions, state_version))(conforms))()
    except Flaky as error:
        raise NonConformance(
            "the same calls give different outcomes: contexts share state, or depend on something else"
        ) from error
    for known in known_examples(functions):
        try:
            conforms(known)
        except NonConformance as error:
            error.add_note(f"The calls: {', '.join(map(repr, known.calls))}")
            raise


def check_provided(context: HostContext, functions: Iterable[HostFunction[..., Any]]) -> None:
    for function in functions:
        try:
            context.resolve(function)
        except MissingHostFunction as error:
            raise NonConformance(f"{function.name} is not provided") from error


def hashes_alike(context: HostContext, functions: Iterable[HostFunction[..., Any]], data: bytes) -> None:
    """Hashing is a function of its input, the same in every context."""
    with context.externalities():
        for function in functions:
            expected = function.pure_implementation(data)
            for found in (function(data), function(data)):
                if found != expected:
                    raise NonConformance(f"{function.name}({data!r}) gives {found!r}, not {expected!r}")


def play(context: HostContext, sequence: Sequence[Call]) -> list[tuple[Any, int]]:
    """Make the calls; the outcome of each and the proof size after it."""
    with context.externalities():
        return [(outcome(call), proof_size()) for call in sequence]


def outcome(call: Call) -> Any:
    """What the current context makes of a call. To close no transaction may fail in any way."""
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
        expected = call.of(getattr(model, STORAGE_TABLE[call.function]))
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
