"""Sequences of host calls on which stores go wrong, tried besides random ones.

A random search finds such a bug only if it draws the calls that meet, and what Hypothesis draws depends on the modules
that happen to be loaded, even without randomness. Each mistake that is known is therefore asked for by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from host_functions.conformance.examples import Call, Example
from host_functions.declare import HostFunction
from host_functions.interfaces import child_storage, storage
from host_functions.state_machine.genesis import Storage

__all__ = ["known_examples"]

ONE: Final = b":child_storage:default:one"
STATE: Final = Storage(
    {b"a": b"1", b"ab": b"v" * 33, b"abc": b"w" * 80, b"b": b"2", b"ba": b"3"},
    {b"one": {b"a": b"first", b"ab": b"v" * 33}},
)

Step = tuple[Any, ...]
"""A host function and its arguments."""

LESSONS: Final[tuple[tuple[Step, ...], ...]] = (
    # What is deleted is gone for every way of looking, and what is set again is back.
    (
        (storage.clear, b"ab"),
        (storage.get, b"ab"),
        (storage.exists, b"ab"),
        (storage.next_key, b"a"),
        (storage.set, b"ab", b"again"),
        (storage.next_key, b"a"),
    ),
    # Iteration goes on behind a key, whether that is there or not.
    ((storage.next_key, b""), (storage.next_key, b"a"), (storage.next_key, b"aa"), (storage.next_key, b"ba")),
    # The rest that `read` tells of begins at the offset.
    (
        (storage.read, b"ab", bytearray(10), 20),
        (storage.read, b"ab", bytearray(40), 0),
        (storage.read, b"ab", bytearray(4), 50),
    ),
    # Where roots of child tries stand nobody writes, deletes or appends.
    (
        (storage.set, ONE, b"forged"),
        (storage.clear, ONE),
        (storage.append, ONE, b"\x04"),
        (storage.clear_prefix_version_1, b":child_storage:"),
        (storage.get, ONE),
    ),
    # Transactions nest: an inner one that is rolled back leaves the outer one alone.
    (
        (storage.start_transaction,),
        (storage.set, b"a", b"outer"),
        (storage.start_transaction,),
        (storage.set, b"a", b"inner"),
        (storage.rollback_transaction,),
        (storage.get, b"a"),
        (storage.set, b"b", b"outer"),
        (storage.commit_transaction,),
        (storage.get, b"a"),
        (storage.get, b"b"),
    ),
    # An inner one that is committed shares the fate of the outer one.
    (
        (storage.start_transaction,),
        (storage.start_transaction,),
        (storage.set, b"a", b"inner"),
        (storage.clear, b"b"),
        (storage.commit_transaction,),
        (storage.get, b"a"),
        (storage.rollback_transaction,),
        (storage.get, b"a"),
        (storage.get, b"b"),
    ),
    # Nothing that is not open is closed.
    (
        (storage.rollback_transaction,),
        (storage.commit_transaction,),
        (storage.start_transaction,),
        (storage.commit_transaction,),
        (storage.commit_transaction,),
    ),
    # Child tries take part in transactions.
    (
        (storage.start_transaction,),
        (child_storage.set, b"one", b"a", b"changed"),
        (child_storage.set, b"two", b"new", b"1"),
        (storage.rollback_transaction,),
        (child_storage.get, b"one", b"a"),
        (child_storage.exists, b"two", b"new"),
        (child_storage.next_key, b"two", b""),
    ),
    # Removal counts what the backend has, up to the limit, and takes the overlay's along.
    (
        (storage.set, b"abx", b"new"),
        (storage.clear_prefix, b"ab", None),
        (storage.next_key, b"a"),
    ),
    ((storage.clear_prefix, b"a", 1), (storage.next_key, b""), (storage.clear_prefix, b"a", 0)),
    (
        (child_storage.clear_prefix, b"one", b"", 1),
        (child_storage.get, b"one", b"a"),
        (child_storage.get, b"one", b"ab"),
        (child_storage.storage_kill, b"one", 1),
    ),
    # Appending counts, and replaces what is no vector.
    (
        (storage.append, b"list", b"x"),
        (storage.append, b"list", b"y"),
        (storage.get, b"list"),
        (storage.start_transaction,),
        (storage.append, b"list", b"z"),
        (storage.rollback_transaction,),
        (storage.append, b"list", b"!"),
        (storage.get, b"list"),
        (storage.append, b"abc", b"x"),
        (storage.get, b"abc"),
    ),
    # Child tries are under the root, and empty ones are not.
    ((child_storage.set, b"two", b"new", b"1"), (storage.get, b":child_storage:default:two")),
    (
        (child_storage.clear, b"one", b"a"),
        (child_storage.clear, b"one", b"ab"),
        (child_storage.root_version_1, b"one"),
        (storage.get, ONE),
    ),
    # To see whether a value is there needs not the value; what was read stays read when changes are undone.
    ((storage.exists, b"abc"),),
    (
        (storage.start_transaction,),
        (storage.get, b"abc"),
        (storage.rollback_transaction,),
        (storage.get, b"b"),
    ),
)


def known_examples(functions: Sequence[HostFunction[..., Any]]) -> list[Example]:
    """The sequences of those functions alone."""
    return [
        Example(STATE, [Call(function, tuple(arguments)) for function, *arguments in steps], b"")
        for steps in LESSONS
        if all(step[0] in functions for step in steps)
    ]
