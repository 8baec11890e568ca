"""A state at one root, read from a node store, and the root that changes to it give.

`TrieBackend` reads the top trie and, by their roots under ``:child_storage:default:``, the child tries. It
never writes: `TrieBackend.delta_root` returns the new nodes. Two subclasses say what a missing node means,
which is all that distinguishes a node's database from a proof:

* `FullBackend`: the store is a node's own database, so its state is not there: `StateUnavailable`;
* `WitnessBackend`: the store is a proof, which does not cover the key: `WitnessMissing`.

To record what an execution touches, put a `runtime.trie.recorder.Recorder` between backend and store. Values
read once are kept, because reading them again records nothing new; a caller that rolls the recorder back must
therefore call `TrieBackend.forget`, or the next read would go unrecorded.

Follows ``sp_state_machine::{TrieBackend, TrieBackendEssence}`` [sp-state-machine]. Deviation: the reference
ends an iteration silently at a missing node, so that a clipped proof clears fewer keys; here it is an error
like every read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Final

from host_functions.errors import PileusError, StateUnavailable, WitnessMissing
from runtime.trie.child import child_storage_key
from runtime.trie.errors import BadNode, MissingNode, TrieError
from runtime.trie.iterate import iterate_keys, next_key
from runtime.trie.layout import HASH_LENGTH, LAYOUT_V1, Layout, NodeStore
from runtime.trie.lookup import contains, lookup
from runtime.trie.trie import Trie

__all__ = ["FullBackend", "TrieBackend", "TrieReader", "WitnessBackend"]

_NOT_READ: Final = object()


class TrieReader:
    """Reads one trie. Errors of the trie become what the backend makes of them."""

    __slots__ = ("_layout", "_present", "_refuse", "_store", "_values", "root")

    def __init__(
        self, store: NodeStore, root: bytes, layout: Layout, refuse: Callable[[TrieError, bytes], PileusError]
    ) -> None:
        self.root = root
        self._store = store
        self._layout = layout
        self._refuse = refuse
        self._values: dict[bytes, bytes | None] = {}
        self._present: dict[bytes, bool] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value under ``key``; ``None`` is proven absence."""
        value = self._values.get(key, _NOT_READ)
        if value is _NOT_READ:
            try:
                value = self._values[key] = lookup(self._store, self.root, key, self._layout)
            except TrieError as error:
                raise self._refuse(error, key) from error
        return value  # type: ignore[return-value]  # no longer the marker

    def contains(self, key: bytes) -> bool:
        """Whether ``key`` has a value. One that is stored apart from its node is not loaded."""
        if key in self._values:
            return self._values[key] is not None
        found = self._present.get(key)
        if found is None:
            try:
                found = self._present[key] = contains(self._store, self.root, key, self._layout)
            except TrieError as error:
                raise self._refuse(error, key) from error
        return found

    def next_key(self, key: bytes) -> bytes | None:
        """The smallest key greater than ``key``."""
        try:
            return next_key(self._store, self.root, self._layout, key)
        except TrieError as error:
            raise self._refuse(error, key) from error

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """The keys under ``prefix``, from ``start`` on, in order. Loads nodes as it goes, and no values."""
        try:
            yield from iterate_keys(self._store, self.root, self._layout, prefix, start=start)
        except TrieError as error:
            raise self._refuse(error, prefix) from error


class TrieBackend(ABC):
    """The state at ``root``. ``layout`` gives the hash function; both state versions are read."""

    def __init__(self, store: NodeStore, root: bytes, layout: Layout = LAYOUT_V1) -> None:
        self.store = store
        self.root = root
        """State root, 32 bytes."""
        self.layout = layout
        self.top = TrieReader(store, root, layout, self.refusal)
        self._children: dict[bytes, TrieReader] = {}

    @abstractmethod
    def refusal(self, error: TrieError, key: bytes) -> PileusError:
        """What an error of the trie means here; ``key`` is the one under consideration."""

    def get(self, key: bytes) -> bytes | None:
        """Value in the top trie; ``None`` is proven absence."""
        return self.top.get(key)

    def contains(self, key: bytes) -> bool:
        """Whether the top trie has ``key``, without loading a value stored apart from its node."""
        return self.top.contains(key)

    def next_key(self, key: bytes) -> bytes | None:
        """The smallest key of the top trie greater than ``key``."""
        return self.top.next_key(key)

    def child(self, storage_key: bytes) -> TrieReader:
        """The child trie under ``storage_key`` (without the prefix); one that does not exist is empty."""
        reader = self._children.get(storage_key)
        if reader is None:
            root = self.child_root(storage_key)
            reader = self._children[storage_key] = TrieReader(self.store, root, self.layout, self.refusal)
        return reader

    def child_root(self, storage_key: bytes) -> bytes:
        """Root of a child trie, 32 bytes; the empty root if there is none."""
        root = self.top.get(child_storage_key(storage_key))
        if root is None:
            return self.layout.empty_root
        if len(root) != HASH_LENGTH:
            raise BadNode(None, f"the root of child trie 0x{storage_key[:64].hex()} has {len(root)} bytes")
        return root

    def child_get(self, storage_key: bytes, key: bytes) -> bytes | None:
        """Value in a child trie; ``None`` is proven absence."""
        return self.child(storage_key).get(key)

    def child_contains(self, storage_key: bytes, key: bytes) -> bool:
        """As `contains`, in a child trie."""
        return self.child(storage_key).contains(key)

    def child_next_key(self, storage_key: bytes, key: bytes) -> bytes | None:
        """As `next_key`, in a child trie."""
        return self.child(storage_key).next_key(key)

    def delta_root(
        self,
        top: Mapping[bytes, bytes | None],
        children: Mapping[bytes, Mapping[bytes, bytes | None]],
        state_version: int,
    ) -> tuple[bytes, dict[bytes, bytes]]:
        """Root of this state with the changes applied, and the nodes that are new in it by hash.

        Child tries first, in the order of their storage keys; an emptied one leaves no root behind.
        ``state_version`` decides how values are written, 0 or 1; `ValueError` otherwise.
        """
        layout = Layout(self.layout.hasher, state_version)
        nodes: dict[bytes, bytes] = {}
        changes = dict(top)
        for storage_key in sorted(children):
            root = self._write(self.child_root(storage_key), children[storage_key], layout, nodes)
            changes[child_storage_key(storage_key)] = None if root == layout.empty_root else root
        return self._write(self.root, changes, layout, nodes), nodes

    def child_delta_root(
        self, storage_key: bytes, changes: Mapping[bytes, bytes | None], state_version: int
    ) -> bytes:
        """Root of one child trie with the changes applied."""
        layout = Layout(self.layout.hasher, state_version)
        return self._write(self.child_root(storage_key), changes, layout, {})

    def forget(self) -> None:
        """Drop the values read so far. Must follow every rollback of a recorder below this backend."""
        self.top = TrieReader(self.store, self.root, self.layout, self.refusal)
        self._children = {}

    def _write(
        self,
        root: bytes,
        changes: Mapping[bytes, bytes | None],
        layout: Layout,
        sink: MutableMapping[bytes, bytes],
    ) -> bytes:
        """Apply changes in key order, the order in which the reference touches (and records) nodes."""
        trie = Trie(self.store, root, layout)
        key = b""
        try:
            for key in sorted(changes):
                value = changes[key]
                if value is None:
                    trie.remove(key)
                else:
                    trie.insert(key, value)
            return trie.commit(sink)
        except TrieError as error:
            raise self.refusal(error, key) from error


class FullBackend(TrieBackend):
    """Over a node's own database: what it lacks, or has in pieces, makes the state unavailable."""

    def refusal(self, error: TrieError, key: bytes) -> PileusError:
        node = error.node if isinstance(error, MissingNode | BadNode) else None
        return StateUnavailable(self.root, node)


class WitnessBackend(TrieBackend):
    """Over the nodes of a proof about a trusted root: what they lack is not covered by the proof."""

    def refusal(self, error: TrieError, key: bytes) -> PileusError:
        return WitnessMissing(key, error.node) if isinstance(error, MissingNode) else error
