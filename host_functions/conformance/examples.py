"""Random examples for the rules of storage: a small state, and a sequence of host calls.

Bugs of a store show where calls meet: on one key, under one prefix, across one transaction. So each example
takes a few keys, a few child tries and about half of the functions, and makes many calls with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from hypothesis import strategies as st

from host_functions.conformance.model import NothingOpen
from host_functions.declare import HostFunction
from host_functions.interfaces import storage, storage_proof_size
from host_functions.state_machine.genesis import Storage
from host_functions.state_machine.table import STORAGE_TABLE

__all__ = ["REFUSED", "Call", "Example", "examples"]

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

TRANSACTIONS = (storage.start_transaction, storage.commit_transaction, storage.rollback_transaction)


class Call(NamedTuple):
    """One host call."""

    function: HostFunction[..., Any]
    arguments: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.function.name}({', '.join(map(repr, self.arguments))})"

    def of(self, implementation: Callable[..., Any]) -> Any:
        """The outcome of the call: the result, together with the buffer if it takes one."""
        buffers: list[bytearray] = []
        arguments: list[Any] = []
        for argument in self.arguments:
            if isinstance(argument, bytearray):
                argument = bytearray(argument)
                buffers.append(argument)
            arguments.append(argument)
        try:
            result = implementation(*arguments)
        except NothingOpen:
            return REFUSED
        return (result, *map(bytes, buffers)) if buffers else result


class Pick(NamedTuple):
    """An argument to be taken from the few keys or child tries of the example, or the beginning of one."""

    children: bool
    position: int
    length: int | None = None

    def from_pool(self, keys: Sequence[bytes], children: Sequence[bytes]) -> bytes:
        pool = children if self.children else keys
        return pool[self.position % len(pool)][: self.length]


class Example(NamedTuple):
    """A state, what to call on it, and something to hash."""

    state: Storage
    calls: list[Call]
    data: bytes


def examples(functions: Sequence[HostFunction[..., Any]], state_version: int) -> st.SearchStrategy[Example]:
    """Examples that call those of the functions that are about storage."""
    usable = [function for function in functions if is_usable(function, state_version)]
    keys = st.lists(any_key(), min_size=1, max_size=5, unique=True)
    children = st.lists(st.sampled_from(CHILD_NAMES), min_size=1, max_size=2, unique=True)
    kept = st.lists(st.booleans(), min_size=len(usable), max_size=len(usable))
    # In pieces, because long flat lists are drawn rarely.
    call = st.one_of([calls_of(function, state_version) for function in usable])
    pieces = st.lists(st.lists(call, max_size=10), max_size=10) if usable else st.just([])
    return st.builds(example, states(), keys, children, kept.map(partial(chosen, usable)), pieces, values())


def chosen(usable: Sequence[HostFunction[..., Any]], kept: Sequence[bool]) -> list[HostFunction[..., Any]]:
    return [function for function, keep in zip(usable, kept, strict=True) if keep or function in TRANSACTIONS]


def example(
    drawn: Storage,
    keys: Sequence[bytes],
    children: Sequence[bytes],
    functions: Sequence[HostFunction[..., Any]],
    pieces: Sequence[Sequence[Call]],
    data: bytes,
) -> Example:
    """The drawn parts put together: about half of the calls fall away, the others get their keys."""

    def place(argument: Any) -> Any:
        return argument.from_pool(keys, children) if isinstance(argument, Pick) else argument

    calls = [
        Call(call.function, tuple(map(place, call.arguments)))
        for call in chain.from_iterable(pieces)
        if call.function in functions
    ]
    plain = [key for key in keys if not key.startswith(b":child_storage:")]
    top = {**drawn.top, **dict.fromkeys(plain[::2], b"v" * 40)}
    named = {
        name: {**child, keys[0]: b"first"}
        for name, child in zip(children, drawn.children.values(), strict=False)
    }
    return Example(Storage(top, named), calls, data)


def is_usable(function: HostFunction[..., Any], state_version: int) -> bool:
    if function not in STORAGE_TABLE or function is storage_proof_size.storage_proof_size:
        return False  # The proof size is looked at after every call.
    # Version 1 of a root is for state version 0 alone.
    return state_version == 0 or not (function.method == "root" and function.version == 1)


def states() -> st.SearchStrategy[Storage]:
    """States; `example` adds some of its keys and gives the child tries its names."""
    plain = any_key().filter(lambda key: not key.startswith(b":child_storage:"))
    child = st.dictionaries(any_key(), values(), max_size=4)
    return st.builds(
        Storage,
        st.dictionaries(plain, values(), max_size=6),
        st.lists(child, max_size=2).map(lambda found: {b"%d" % n: child for n, child in enumerate(found)}),
    )


def any_key() -> st.SearchStrategy[bytes]:
    return st.sampled_from(KEYS) | st.binary(max_size=3)


def values() -> st.SearchStrategy[bytes]:
    return st.sampled_from(VALUES) | st.binary(max_size=40)


def calls_of(function: HostFunction[..., Any], state_version: int) -> st.SearchStrategy[Call]:
    """Calls of one function, with arguments chosen by the names of its parameters."""
    key = st.builds(Pick, st.just(value=False), st.integers(0, 4))
    by_name: dict[str, st.SearchStrategy[Any]] = {
        "storage_key": st.builds(Pick, st.just(value=True), st.integers(0, 1)),
        "prefix": st.builds(Pick, st.just(value=False), st.integers(0, 4), st.none() | st.integers(0, 2)),
        "state_version": st.just(state_version),
        "value": values(),
        "value_out": st.integers(0, 40).map(lambda size: bytearray(b"\xee" * size)),
        "value_offset": st.integers(0, 40),
        "limit": st.none() | st.integers(0, 4),
        "cursor": st.none() | key,
    }
    arguments = [by_name.get(name, key) for name in function.parameters]
    return st.tuples(*arguments).map(lambda drawn: Call(function, drawn))
