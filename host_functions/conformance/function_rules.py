"""Rules of a host function that reads: tried over any state, and over relay states that lack a node.

A function that answers from state must be a function of its arguments and that state: the same in every context over
it, however often and in whatever order it is asked. And when its state is not all there, it says so: it fails, or gives
the right answer from what is left, and never another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from host_functions.conformance.arguments import arguments_of
from host_functions.conformance.examples import states
from host_functions.conformance.relay_rules import RelayNode, relay_entries
from host_functions.conformance.report import NonConformance
from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction
from host_functions.errors import HostError, MissingHostFunction, PileusError
from host_functions.relay_state.answerers import RelayNodeState
from host_functions.state_machine.genesis import Storage, build_state

__all__ = ["run", "run_over_relay_states"]

AnyFunction = HostFunction[..., Any]
Question = tuple[AnyFunction, tuple[Any, ...]]


def run(
    make_context: Callable[[Storage], HostContext],
    functions: Sequence[AnyFunction],
    settings: hypothesis_settings,
) -> None:
    """Search for answers that depend on more than state and arguments. Raises `NonConformance`."""

    @settings
    @given(states(), _questions(functions))
    def conforms(state: Storage, questions: list[Question]) -> None:
        _constant(lambda: make_context(state), questions)

    conforms()


def run_over_relay_states(
    make_relay_context: Callable[[RelayNodeState, bytes], HostContext],
    functions: Sequence[AnyFunction],
    entries: st.SearchStrategy[Mapping[bytes, bytes]] | None,
    settings: hypothesis_settings,
) -> None:
    """The same over relay states; and over each with one trie node lost. Raises `NonConformance`."""

    @settings
    @given(relay_entries() if entries is None else entries, _questions(functions), st.data())
    def conforms(drawn: Mapping[bytes, bytes], questions: list[Question], data: st.DataObject) -> None:
        root, nodes = build_state(Storage(dict(drawn)))
        right = _constant(lambda: make_relay_context(RelayNode(root, nodes), root), questions)
        if not nodes:
            return
        lost = data.draw(st.sampled_from(sorted(nodes)))
        note(f"lost node: {lost.hex()}")
        left = {digest: node for digest, node in nodes.items() if digest != lost}
        try:
            context = make_relay_context(RelayNode(root, left), root)
        except HostError:
            return
        for question, expected in zip(questions, right, strict=True):
            found = _answer(context, question)
            if found != expected and not isinstance(found, HostError):
                raise NonConformance(
                    f"with a relay trie node missing, {_text(question)} gives {found!r}; right is {expected!r}"
                )

    conforms()


def _questions(functions: Sequence[AnyFunction]) -> st.SearchStrategy[list[Question]]:
    asked = [st.tuples(st.just(function), arguments_of(function)) for function in functions]
    return st.lists(st.one_of(asked), min_size=1, max_size=6)


def _constant(make: Callable[[], HostContext], questions: Sequence[Question]) -> list[Any]:
    """The answers, once it is clear that nothing else decides them."""
    context = make()
    answers = [_answer(context, question) for question in questions]
    for again in (context, make()):
        for question, expected in reversed(list(zip(questions, answers, strict=True))):
            found = _answer(again, question)
            if not _alike(found, expected):
                where = "asked again" if again is context else "in a second context over the same state"
                raise NonConformance(f"{_text(question)} gives {expected!r}, and {found!r} {where}")
    return answers


def _answer(context: HostContext, question: Question) -> Any:
    """What comes back; an error that is raised on purpose is an answer, too."""
    function, arguments = question
    copies = [bytearray(value) if isinstance(value, bytearray) else value for value in arguments]
    try:
        with context.externalities():
            result = function(*copies)
    except MissingHostFunction as error:
        raise NonConformance(f"{function.name} is not provided by {context}") from error
    except PileusError as error:
        return error
    except Exception as error:
        raise NonConformance(f"{_text(question)} raises {type(error).__name__}: {error}") from error
    buffers = [bytes(value) for value in copies if isinstance(value, bytearray)]
    return (result, *buffers) if buffers else result


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) if isinstance(one, PileusError) else bool(one == other)


def _text(question: Question) -> str:
    function, arguments = question
    return f"{function.name}({', '.join(map(repr, arguments))})"
