"""Changes on top of a state that is not touched: what a block has written so far.

A `ChangeSet` is one trie's changes: a flat dict ``key -> value``, where ``None`` is a deletion, and one undo
log per open transaction. Reads therefore cost one dict lookup however deeply transactions nest; only a
rollback pays. An `Overlay` is the change set of the top trie and of each child trie, moving through
transactions together.

Transactions come in two levels. The runtime opens and closes its own
(``ext_storage_start_transaction_version_1``); the host wraps whole runtime calls (a refused extrinsic leaves
no trace). A runtime can never close a transaction of the host, and what it leaves open is rolled back when
the host closes its own.

Follows ``sp_state_machine::overlayed_changes`` [sp-state-machine]. Not modelled: offchain changes and the
transaction index, which are no part of the state.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import islice
from typing import Final, Literal, NamedTuple

from host_functions.state_machine.errors import NoOpenTransaction
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import decode_compact, encode_compact

__all__ = ["UNCHANGED", "ChangeSet", "Changes", "Overlay", "Unchanged"]

Changes = dict[bytes, bytes | None]
"""Key -> new value; ``None`` deletes."""

MAX_VECTOR_LENGTH = 2**32 - 1
"""A SCALE vector counts its items in a ``Compact<u32>``."""


class Unchanged(Enum):
    """The type of `UNCHANGED`, so that type checkers see the third answer."""

    UNCHANGED = "the overlay says nothing about this key"


UNCHANGED: Final = Unchanged.UNCHANGED
"""The overlay says nothing about a key: the backend decides. Neither a value nor a deletion."""


class AppendedVector:
    """A SCALE vector that grows at its end: the length prefix is written only when somebody reads the value.

    Events are appended one by one, thousands per block; rewriting the whole vector each time would be
    quadratic.
    """

    __slots__ = ("items", "length")

    def __init__(self, value: bytes) -> None:
        self.length, self.items = _split_vector(value)

    def append(self, item: bytes) -> None:
        self.items += item
        self.length += 1

    def encode(self) -> bytes:
        return encode_compact(self.length) + self.items


class VectorMark(NamedTuple):
    """Where a growing vector stood when a transaction first touched it."""

    vector: AppendedVector
    length: int
    size: int

    def restore(self) -> AppendedVector:
        self.vector.length = self.length
        del self.vector.items[self.size :]
        return self.vector


Stored = bytes | AppendedVector | None
Undo = dict[bytes, bytes | VectorMark | Literal[Unchanged.UNCHANGED] | None]


class ChangeSet:
    """The changes of one trie."""

    __slots__ = ("_frames", "_order", "_undo", "changes")

    def __init__(self, depth: int = 0) -> None:
        """``depth``: number of transactions already open around a child trie that is first touched now."""
        self.changes: dict[bytes, Stored] = {}
        self._frames: list[Undo] = [{} for _ in range(depth)]
        self._undo: Undo | None = self._frames[-1] if self._frames else None
        self._order: list[bytes] = []

    def get(self, key: bytes) -> bytes | Literal[Unchanged.UNCHANGED] | None:
        """The value, ``None`` if deleted, or `UNCHANGED`."""
        value = self.changes.get(key, UNCHANGED)
        if type(value) is AppendedVector:
            return value.encode()
        return value  # type: ignore[return-value]  # mypy does not narrow by `type(...) is`, which is the fast test

    def set(self, key: bytes, value: bytes | None) -> None:
        """Write ``value``, or delete with ``None``."""
        undo = self._undo
        if undo is not None and key not in undo:
            undo[key] = self._before(key)
        self.changes[key] = value

    def append(self, key: bytes, item: bytes, load: Callable[[bytes], bytes | None]) -> None:
        """Append an encoded item to the SCALE vector under ``key``.

        ``load`` gives the backend's value and is called only if the overlay has none. A value that is absent,
        empty or does not begin with a vector's length is replaced by a vector of just this item.
        """
        vector = self.changes.get(key, UNCHANGED)
        if not isinstance(vector, AppendedVector):
            current = load(key) if vector is UNCHANGED else vector
            vector = AppendedVector(current or b"")
        # Logged only now: `load` may fail, and what did not change must not be undone.
        undo = self._undo
        if undo is not None and key not in undo:
            undo[key] = self._before(key)
        self.changes[key] = vector
        vector.append(item)

    def clear_prefix(self, prefix: bytes) -> int:
        """Delete every changed key under ``prefix``; how many had a value.

        Keys of the backend are the caller's to delete.
        """
        with_value = 0
        for key in self._under(prefix):
            with_value += self.changes[key] is not None
            self.set(key, None)
        return with_value

    def after(self, key: bytes) -> Iterator[tuple[bytes, bool]]:
        """Changed keys greater than ``key`` in order, with whether they have a value. Do not write meanwhile."""
        order = self._sorted_keys()
        for index in range(bisect_right(order, key), len(order)):
            found = order[index]
            yield found, self.changes[found] is not None

    def items(self) -> Changes:
        """All changes, keys in order."""
        return {key: self.get(key) for key in self._sorted_keys()}  # type: ignore[misc]  # every key is changed

    def start_transaction(self) -> None:
        self._undo = {}
        self._frames.append(self._undo)

    def commit_transaction(self) -> None:
        """Hand the innermost undo log to the transaction around it."""
        closed = self._frames.pop()
        if not self._frames:
            self._undo = None
            return
        outer = self._undo = self._frames[-1]
        for key, before in closed.items():
            outer.setdefault(key, before)

    def rollback_transaction(self) -> None:
        """Undo the changes of the innermost transaction."""
        changes = self.changes
        for key, before in self._frames.pop().items():
            if before is UNCHANGED:
                del changes[key]
                self._order = []
            else:
                changes[key] = before.restore() if isinstance(before, VectorMark) else before
        self._undo = self._frames[-1] if self._frames else None

    def _before(self, key: bytes) -> bytes | VectorMark | Literal[Unchanged.UNCHANGED] | None:
        value = self.changes.get(key, UNCHANGED)
        if isinstance(value, AppendedVector):
            return VectorMark(value, value.length, len(value.items))
        return value

    def _sorted_keys(self) -> list[bytes]:
        """The changed keys in order.

        Kept between calls: keys leave only by rollback, which drops the list, so the keys missing from it are
        the newest of the dict, and sorting an almost sorted list is linear.
        """
        order = self._order
        new = len(self.changes) - len(order)
        if new:
            order.extend(islice(reversed(self.changes), new))
            order.sort()
        return order

    def _under(self, prefix: bytes) -> list[bytes]:
        order = self._sorted_keys()
        start = bisect_left(order, prefix)
        end = start
        while end < len(order) and order[end].startswith(prefix):
            end += 1
        return order[start:end]


class Overlay:
    """The changes of a block: top trie, child tries, and the transactions open over all of them."""

    __slots__ = ("_depth", "_host_depths", "children", "top")

    def __init__(self) -> None:
        self.top = ChangeSet()
        self.children: dict[bytes, ChangeSet] = {}
        """By storage key, without ``:child_storage:default:``; those that were written to."""
        self._depth = 0
        self._host_depths: list[int] = []

    def child(self, storage_key: bytes) -> ChangeSet:
        """The change set of a child trie, to write to."""
        found = self.children.get(storage_key)
        if found is None:
            found = self.children[storage_key] = ChangeSet(self._depth)
        return found

    @property
    def transaction_depth(self) -> int:
        """Open transactions, of both levels."""
        return self._depth

    def start_transaction(self) -> None:
        """Open a transaction of the runtime."""
        self._start()

    def commit_transaction(self) -> None:
        """Close the innermost transaction of the runtime and keep its changes. Raises `NoOpenTransaction`."""
        if self._depth == self._floor:
            raise NoOpenTransaction("committed")
        self._commit()

    def rollback_transaction(self) -> None:
        """Close the innermost transaction of the runtime and drop its changes. Raises `NoOpenTransaction`."""
        if self._depth == self._floor:
            raise NoOpenTransaction("rolled back")
        self._rollback()

    def begin_host_transaction(self) -> None:
        """Open a transaction of the host, which the runtime cannot close."""
        self._start()
        self._host_depths.append(self._depth)

    def commit_host_transaction(self) -> int:
        """Close the host's innermost transaction and keep its changes.

        What the runtime left open is rolled back first; how many that were. Raises `NoOpenTransaction`.
        """
        left_open = self._close_host_transaction("committed")
        self._commit()
        return left_open

    def rollback_host_transaction(self) -> None:
        """Close the host's innermost transaction and drop its changes. Raises `NoOpenTransaction`."""
        self._close_host_transaction("rolled back")
        self._rollback()

    def exit_runtime(self) -> int:
        """Roll back the transactions the runtime left open; how many there were."""
        left_open = self._depth - self._floor
        for _ in range(left_open):
            self._rollback()
        return left_open

    @property
    def _floor(self) -> int:
        return self._host_depths[-1] if self._host_depths else 0

    def _close_host_transaction(self, attempt: str) -> int:
        if not self._host_depths:
            raise NoOpenTransaction(attempt)
        left_open = self.exit_runtime()
        self._host_depths.pop()
        return left_open

    def _start(self) -> None:
        self._depth += 1
        self.top.start_transaction()
        for child in self.children.values():
            child.start_transaction()

    def _commit(self) -> None:
        self._depth -= 1
        self.top.commit_transaction()
        for child in self.children.values():
            child.commit_transaction()

    def _rollback(self) -> None:
        self._depth -= 1
        self.top.rollback_transaction()
        for child in self.children.values():
            child.rollback_transaction()
        self.children = {key: child for key, child in self.children.items() if child.changes}


def _split_vector(value: bytes) -> tuple[int, bytearray]:
    """Number of items and items of an encoded vector; an empty one if ``value`` is none that can grow."""
    if not value:
        return 0, bytearray()
    try:
        length, start = decode_compact(value, 0)
    except ScaleError:
        return 0, bytearray()
    if length >= MAX_VECTOR_LENGTH:
        return 0, bytearray()
    return length, bytearray(value[start:])
