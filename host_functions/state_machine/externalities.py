"""The storage host functions over one backend: reads through the overlay, writes into it, roots of both.

The methods are named as the host functions, those of child tries with ``child_`` in front;
`host_functions.state_machine.table` connects them. A host delegates to an `Externalities`, and so does the
guest's own ``validate_block`` over its witness, as Cumulus links ``sp-state-machine`` into the blob
[cumulus-vb].

Host-level transactions (`Externalities.begin_host_transaction` …) wrap whole runtime calls and take back the
changes *and* what was recorded: a refused extrinsic must leave neither in the proof. The runtime's own
transactions take back changes only, because what it has read it has read.

Follows ``sp_state_machine::Ext`` [sp-state-machine]. Deviation: the child root is always computed from the
current changes, where the reference may answer from a stale cache after `Externalities.root`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from host_functions.abi import MultiRemovalResults, RemovalCounts
from host_functions.state_machine.backend import FullBackend, TrieBackend, TrieReader
from host_functions.state_machine.errors import OpenHostTransaction
from host_functions.state_machine.overlay import UNCHANGED, Changes, ChangeSet, Overlay, Unchanged
from host_functions.state_machine.relay_reader import RelayStateReader
from runtime.trie.child import CHILD_PREFIX, child_storage_key, is_child_storage_key
from runtime.trie.layout import LAYOUT_V1, Layout, NodeStore
from runtime.trie.recorder import Recorder

__all__ = ["NO_RECORDER", "Externalities", "StateChanges", "StorageChanges"]

NO_RECORDER = 2**64 - 1
"""`Externalities.storage_proof_size` where nothing is recorded [RFC-43]."""


class StateChanges(NamedTuple):
    """What a block writes, keys in order."""

    top: Changes
    children: dict[bytes, Changes]
    """By storage key, without the prefix."""


class StorageChanges(NamedTuple):
    """The outcome of an execution."""

    root: bytes
    """State root after the changes, 32 bytes."""
    nodes: dict[bytes, bytes]
    """Nodes and detached values that are new at `root`, by hash."""
    changes: StateChanges


class Externalities:
    """Storage as the runtime sees it. One per execution."""

    def __init__(
        self,
        backend: TrieBackend,
        recorder: Recorder | None = None,
        relay_reader: RelayStateReader | None = None,
    ) -> None:
        """``recorder`` is the one that stands between ``backend`` and its store; ``relay_reader`` answers the
        relay reads of the same execution, which count towards the proof size."""
        self.backend = backend
        self.recorder = recorder
        self.relay_reader = relay_reader
        self._overlay = Overlay()
        self._top = self._overlay.top
        self._computed: dict[int, tuple[bytes, dict[bytes, bytes]]] = {}

    @classmethod
    def recording(
        cls,
        store: NodeStore,
        root: bytes,
        layout: Layout = LAYOUT_V1,
        relay_reader: RelayStateReader | None = None,
    ) -> Externalities:
        """Over a node's own database, recording every node it touches."""
        recorder = Recorder(store, layout.hasher)
        return cls(FullBackend(recorder, root, layout), recorder, relay_reader)

    # The top trie.

    def get(self, key: bytes) -> bytes | None:
        value = self._top.get(key)
        return self.backend.top.get(key) if value is UNCHANGED else value

    def read(self, key: bytes, value_out: bytearray, value_offset: int) -> int | None:
        return _copy_out(self.get(key), value_out, value_offset)

    def exists(self, key: bytes) -> bool:
        value = self._top.changes.get(key, UNCHANGED)
        return self.backend.top.contains(key) if value is UNCHANGED else value is not None

    def set(self, key: bytes, value: bytes) -> None:
        """Writes; a key of child roots is left alone, silently as in the reference."""
        if not is_child_storage_key(key):
            self._computed = {}
            self._top.set(key, value)

    def clear(self, key: bytes) -> None:
        """Deletes; a key of child roots is left alone, silently as in the reference."""
        if not is_child_storage_key(key):
            self._computed = {}
            self._top.set(key, None)

    def append(self, key: bytes, value: bytes) -> None:
        self._computed = {}
        self._top.append(key, value, self.backend.top.get)

    def clear_prefix_version_1(self, prefix: bytes) -> None:
        self.clear_prefix(prefix, None)

    def clear_prefix(self, prefix: bytes, limit: int | None) -> MultiRemovalResults:
        """Deletes; a prefix that covers keys of child roots (so also the empty one) removes nothing."""
        return _in_short(self.clear_prefix_from(prefix, limit, None))

    def clear_prefix_from(self, prefix: bytes, limit: int | None, cursor: bytes | None) -> RemovalCounts:
        if is_child_storage_key(prefix) or CHILD_PREFIX.startswith(prefix):
            return RemovalCounts(cursor=None, backend=0, unique=0, loops=0)
        self._computed = {}
        return _clear_prefix(self._top, self.backend.top, prefix, limit, cursor)

    def next_key(self, key: bytes) -> bytes | None:
        return _next_key(self._top, self.backend.top, key)

    def root_version_1(self) -> bytes:
        return self.root(0)

    def root(self, state_version: int) -> bytes:
        return self._compute(state_version)[0]

    def changes_root(self, parent_hash: bytes) -> bytes | None:
        return None

    def start_transaction(self) -> None:
        self._overlay.start_transaction()

    def rollback_transaction(self) -> None:
        self._computed = {}
        self._overlay.rollback_transaction()

    def commit_transaction(self) -> None:
        self._overlay.commit_transaction()

    # Child tries.

    def child_get(self, storage_key: bytes, key: bytes) -> bytes | None:
        value = self._child_change(storage_key, key)
        return self.backend.child(storage_key).get(key) if value is UNCHANGED else value

    def child_read(
        self, storage_key: bytes, key: bytes, value_out: bytearray, value_offset: int
    ) -> int | None:
        return _copy_out(self.child_get(storage_key, key), value_out, value_offset)

    def child_exists(self, storage_key: bytes, key: bytes) -> bool:
        value = self._child_change(storage_key, key)
        return self.backend.child(storage_key).contains(key) if value is UNCHANGED else value is not None

    def child_set(self, storage_key: bytes, key: bytes, value: bytes) -> None:
        self._computed = {}
        self._overlay.child(storage_key).set(key, value)

    def child_clear(self, storage_key: bytes, key: bytes) -> None:
        self._computed = {}
        self._overlay.child(storage_key).set(key, None)

    def child_storage_kill_version_1(self, storage_key: bytes) -> None:
        self.child_storage_kill(storage_key, None)

    def child_storage_kill_version_2(self, storage_key: bytes, limit: int | None) -> bool:
        return self.child_storage_kill(storage_key, limit).all_removed

    def child_storage_kill(self, storage_key: bytes, limit: int | None) -> MultiRemovalResults:
        return self.child_clear_prefix(storage_key, b"", limit)

    def child_storage_kill_from(
        self, storage_key: bytes, limit: int | None, cursor: bytes | None
    ) -> RemovalCounts:
        return self.child_clear_prefix_from(storage_key, b"", limit, cursor)

    def child_clear_prefix_version_1(self, storage_key: bytes, prefix: bytes) -> None:
        self.child_clear_prefix(storage_key, prefix, None)

    def child_clear_prefix(self, storage_key: bytes, prefix: bytes, limit: int | None) -> MultiRemovalResults:
        return _in_short(self.child_clear_prefix_from(storage_key, prefix, limit, None))

    def child_clear_prefix_from(
        self, storage_key: bytes, prefix: bytes, limit: int | None, cursor: bytes | None
    ) -> RemovalCounts:
        self._computed = {}
        changed, backend = self._overlay.child(storage_key), self.backend.child(storage_key)
        return _clear_prefix(changed, backend, prefix, limit, cursor)

    def child_next_key(self, storage_key: bytes, key: bytes) -> bytes | None:
        return _next_key(self._overlay.children.get(storage_key), self.backend.child(storage_key), key)

    def child_root_version_1(self, storage_key: bytes) -> bytes:
        return self.child_root(storage_key, 0)

    def child_root(self, storage_key: bytes, state_version: int) -> bytes:
        """Root of the child trie; also shows in the top trie from now on, as in the reference."""
        child = self._overlay.children.get(storage_key)
        if child is None:
            return self.backend.child_root(storage_key)
        root = self.backend.child_delta_root(storage_key, child.items(), state_version)
        shown = None if root == self.backend.layout.empty_root else root
        self._top.set(child_storage_key(storage_key), shown)
        return root

    # The proof.

    def storage_proof_size(self) -> int:
        """Bytes recorded so far, relay reads included; `NO_RECORDER` without a recorder."""
        if self.recorder is None:
            return NO_RECORDER
        relay = 0 if self.relay_reader is None else self.relay_reader.proof_size()
        return self.recorder.encoded_size + relay

    # For the host.

    def begin_host_transaction(self) -> None:
        """Open a transaction over changes, recorder and relay reads. The runtime cannot close it. Nests."""
        self._overlay.begin_host_transaction()
        for recording in self._recordings():
            recording.start_transaction()

    def commit_host_transaction(self) -> None:
        """Keep what happened since `begin_host_transaction`, except in what the runtime left open.

        Raises `NoOpenTransaction`.
        """
        if self._overlay.commit_host_transaction():
            self._computed = {}
        for recording in self._recordings():
            recording.commit_transaction()

    def rollback_host_transaction(self) -> None:
        """Take back what was changed and recorded meanwhile. Raises `NoOpenTransaction`."""
        self._computed = {}
        self._overlay.rollback_host_transaction()
        for recording in self._recordings():
            recording.rollback_transaction()
        if self.recorder is not None:
            self.backend.forget()

    def exit_runtime(self) -> int:
        """Roll back the transactions that a runtime call left open; how many there were."""
        left_open = self._overlay.exit_runtime()
        if left_open:
            self._computed = {}
        return left_open

    def drain(self, state_version: int) -> StorageChanges:
        """End the execution: the root, the new nodes and the changes. The overlay is empty afterwards.

        Transactions the runtime left open are rolled back. Raises `OpenHostTransaction`.
        """
        self.exit_runtime()
        if self._overlay.transaction_depth:
            raise OpenHostTransaction(self._overlay.transaction_depth)
        root, nodes = self._compute(state_version)
        changes = StateChanges(*self._changes())
        self._overlay = Overlay()
        self._top = self._overlay.top
        self._computed = {}
        return StorageChanges(root, nodes, changes)

    def _recordings(self) -> list[Recorder | RelayStateReader]:
        return [recording for recording in (self.recorder, self.relay_reader) if recording is not None]

    def _changes(self) -> tuple[Changes, dict[bytes, Changes]]:
        children = self._overlay.children
        return self._top.items(), {key: children[key].items() for key in sorted(children)}

    def _compute(self, state_version: int) -> tuple[bytes, dict[bytes, bytes]]:
        """Root and new nodes of the current changes; kept until something is written."""
        computed = self._computed.get(state_version)
        if computed is None:
            computed = self.backend.delta_root(*self._changes(), state_version)
            self._computed[state_version] = computed
        return computed

    def _child_change(self, storage_key: bytes, key: bytes) -> bytes | Literal[Unchanged.UNCHANGED] | None:
        child = self._overlay.children.get(storage_key)
        return UNCHANGED if child is None else child.get(key)


def _copy_out(value: bytes | None, value_out: bytearray, value_offset: int) -> int | None:
    """Copy what fits of the value from the offset on; how many bytes there are, not how many fit."""
    if value is None:
        return None
    rest = value[value_offset:]
    copied = min(len(rest), len(value_out))
    value_out[:copied] = rest[:copied]
    return len(rest)


def _next_key(changed: ChangeSet | None, backend: TrieReader, key: bytes) -> bytes | None:
    """The smallest key greater than ``key`` that has a value after the changes.

    Walks changes and backend in step. The backend is asked for its next key first and again only where the
    overlay hides its answer: the order decides what is recorded.
    """
    candidate = backend.next_key(key)
    if changed is None:
        return candidate
    for changed_key, has_value in changed.after(key):
        if candidate is not None and candidate < changed_key:
            return candidate
        if has_value:
            return changed_key
        if candidate == changed_key:
            candidate = backend.next_key(changed_key)
    return candidate


def _clear_prefix(
    changed: ChangeSet, backend: TrieReader, prefix: bytes, limit: int | None, cursor: bytes | None
) -> RemovalCounts:
    """Delete all changed keys under ``prefix`` and at most ``limit`` of the backend's, from ``cursor`` on.

    The backend does not see deletions, so keys already deleted in the overlay count: with the same limit and
    no cursor a second call in the same block loops over the same keys.
    """
    overlay = changed.clear_prefix(prefix)
    loops = deleted = 0
    for key in backend.keys(prefix, cursor):
        if loops == limit:
            return RemovalCounts(key, deleted, overlay + deleted, loops)
        if changed.changes.get(key, UNCHANGED) is not None:
            changed.set(key, None)
            deleted += 1
        loops += 1
    return RemovalCounts(None, deleted, overlay + deleted, loops)


def _in_short(counts: RemovalCounts) -> MultiRemovalResults:
    return MultiRemovalResults(all_removed=counts.cursor is None, loops=counts.loops)
