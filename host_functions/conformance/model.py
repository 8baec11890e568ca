"""What storage means, said as simply as possible: whole dictionaries, copied at every transaction.

The yardstick for contexts and for the state machine itself. It shares no code with them but the trie root of
a finished dictionary. Its methods are named as those of
`host_functions.state_machine.externalities.Externalities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from host_functions.abi import MultiRemovalResults, RemovalCounts
from host_functions.state_machine.genesis import Storage
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import compact_u32, encode_compact
from runtime.trie.build import trie_root
from runtime.trie.layout import LAYOUT_V1, Layout

__all__ = ["ModelState", "NothingOpen"]

CHILD_KEYS = b":child_storage:"
DEFAULT_CHILD_KEYS = b":child_storage:default:"

Overlay = dict[bytes, bytes | None]


class NothingOpen(Exception):
    """The model's refusal to close a transaction that is not open."""


@dataclass
class ModelState:
    """One state with changes, over the dictionaries of ``storage``."""

    storage: Storage
    layout: Layout = LAYOUT_V1
    changes: Overlay = field(default_factory=dict)
    child_changes: dict[bytes, Overlay] = field(default_factory=dict)
    saved: list[tuple[Overlay, dict[bytes, Overlay]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        roots = {
            DEFAULT_CHILD_KEYS + name: trie_root(dict(child), self.layout)
            for name, child in self.storage.children.items()
            if child
        }
        self.backend: dict[bytes, bytes] = {**self.storage.top, **roots}

    # The top trie.

    def get(self, key: bytes) -> bytes | None:
        return merged(self.backend, self.changes).get(key)

    def read(self, key: bytes, value_out: bytearray, value_offset: int) -> int | None:
        return copy_out(self.get(key), value_out, value_offset)

    def exists(self, key: bytes) -> bool:
        return self.get(key) is not None

    def set(self, key: bytes, value: bytes) -> None:
        if not key.startswith(CHILD_KEYS):
            self.changes[key] = value

    def clear(self, key: bytes) -> None:
        if not key.startswith(CHILD_KEYS):
            self.changes[key] = None

    def append(self, key: bytes, value: bytes) -> None:
        vector = self.get(key) or b"\x00"
        try:
            length, start = compact_u32.decode_prefix(vector)
            prefix = compact_u32.encode(length + 1)
        except ScaleError:
            self.changes[key] = encode_compact(1) + value
        else:
            self.changes[key] = prefix + vector[start:] + value

    def clear_prefix_version_1(self, prefix: bytes) -> None:
        self.clear_prefix(prefix, None)

    def clear_prefix(self, prefix: bytes, limit: int | None) -> MultiRemovalResults:
        return in_short(self.clear_prefix_from(prefix, limit, None))

    def clear_prefix_from(self, prefix: bytes, limit: int | None, cursor: bytes | None) -> RemovalCounts:
        if prefix.startswith(CHILD_KEYS) or CHILD_KEYS.startswith(prefix):
            return RemovalCounts(None, 0, 0, 0)
        return clear_prefix(self.backend, self.changes, prefix, limit, cursor)

    def next_key(self, key: bytes) -> bytes | None:
        return min((other for other in merged(self.backend, self.changes) if other > key), default=None)

    def root_version_1(self) -> bytes:
        return self.root(0)

    def root(self, state_version: int) -> bytes:
        layout = Layout(self.layout.hasher, state_version)
        top = merged(self.backend, self.changes)
        for name in self.child_changes:
            child = self.child(name)
            top.pop(DEFAULT_CHILD_KEYS + name, None)
            if child:
                top[DEFAULT_CHILD_KEYS + name] = trie_root(child, layout)
        return trie_root(top, layout)

    def changes_root(self, parent_hash: bytes) -> bytes | None:
        return None

    def start_transaction(self) -> None:
        self.saved.append(
            (dict(self.changes), {name: dict(child) for name, child in self.child_changes.items()})
        )

    def rollback_transaction(self) -> None:
        if not self.saved:
            raise NothingOpen
        self.changes, self.child_changes = self.saved.pop()

    def commit_transaction(self) -> None:
        if not self.saved:
            raise NothingOpen
        self.saved.pop()

    # Child tries.

    def child(self, storage_key: bytes) -> dict[bytes, bytes]:
        """The current content of a child trie."""
        return merged(self.storage.children.get(storage_key, {}), self.child_changes.get(storage_key, {}))

    def child_get(self, storage_key: bytes, key: bytes) -> bytes | None:
        return self.child(storage_key).get(key)

    def child_read(
        self, storage_key: bytes, key: bytes, value_out: bytearray, value_offset: int
    ) -> int | None:
        return copy_out(self.child_get(storage_key, key), value_out, value_offset)

    def child_exists(self, storage_key: bytes, key: bytes) -> bool:
        return key in self.child(storage_key)

    def child_set(self, storage_key: bytes, key: bytes, value: bytes) -> None:
        self.child_changes.setdefault(storage_key, {})[key] = value

    def child_clear(self, storage_key: bytes, key: bytes) -> None:
        self.child_changes.setdefault(storage_key, {})[key] = None

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
        return in_short(self.child_clear_prefix_from(storage_key, prefix, limit, None))

    def child_clear_prefix_from(
        self, storage_key: bytes, prefix: bytes, limit: int | None, cursor: bytes | None
    ) -> RemovalCounts:
        backend = self.storage.children.get(storage_key, {})
        return clear_prefix(backend, self.child_changes.setdefault(storage_key, {}), prefix, limit, cursor)

    def child_next_key(self, storage_key: bytes, key: bytes) -> bytes | None:
        return min((other for other in self.child(storage_key) if other > key), default=None)

    def child_root_version_1(self, storage_key: bytes) -> bytes:
        return self.child_root(storage_key, 0)

    def child_root(self, storage_key: bytes, state_version: int) -> bytes:
        child = self.child(storage_key)
        root = trie_root(child, Layout(self.layout.hasher, state_version))
        if storage_key in self.child_changes:
            self.changes[DEFAULT_CHILD_KEYS + storage_key] = root if child else None
        return root


def merged(backend: Mapping[bytes, bytes], changes: Overlay) -> dict[bytes, bytes]:
    """``backend`` with ``changes`` applied."""
    both = {**backend, **changes}
    return {key: value for key, value in both.items() if value is not None}


def copy_out(value: bytes | None, value_out: bytearray, value_offset: int) -> int | None:
    if value is None:
        return None
    rest = value[value_offset:]
    for index, byte in enumerate(rest[: len(value_out)]):
        value_out[index] = byte
    return len(rest)


def clear_prefix(
    backend: Mapping[bytes, bytes],
    changes: Overlay,
    prefix: bytes,
    limit: int | None,
    cursor: bytes | None,
) -> RemovalCounts:
    """All of the overlay under ``prefix``, and the first ``limit`` of the backend from ``cursor`` on, deleted
    before or not."""
    written = {key: value for key, value in changes.items() if key.startswith(prefix)}
    unique = sum(value is not None for value in written.values())
    changes.update(dict.fromkeys(written))
    found = sorted(key for key in backend if key.startswith(prefix) and key >= (cursor or b""))
    removed = found[:limit]
    deleted = sum(changes.get(key, b"") is not None for key in removed)
    changes.update(dict.fromkeys(removed))
    left = found[len(removed)] if len(removed) < len(found) else None
    return RemovalCounts(left, deleted, unique + deleted, len(removed))


def in_short(counts: RemovalCounts) -> MultiRemovalResults:
    return MultiRemovalResults(all_removed=counts.cursor is None, loops=counts.loops)
