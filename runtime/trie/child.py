"""Child tries: tries of their own whose roots are values of the top trie.

[sp-core] ``ChildInfo`` (the default kind is the only one), [sp-trie]. A child trie's root lies under
``:child_storage:default:`` followed by its identifier; it is 32 bytes, hence always inline. Databases give
each child trie a key space; proofs and the stores here are keyed by hash alone and need none.
"""

from __future__ import annotations

from typing import Final

from runtime.trie.errors import BadNode
from runtime.trie.layout import HASH_LENGTH, Layout, NodeStore
from runtime.trie.lookup import lookup

__all__ = [
    "CHILD_PREFIX",
    "DEFAULT_CHILD_PREFIX",
    "child_id",
    "child_root",
    "child_storage_key",
    "is_child_storage_key",
    "lookup_child",
]

CHILD_PREFIX: Final = b":child_storage:"
"""Keys that start with it belong to the child trie machinery: top-level storage calls leave them alone."""

DEFAULT_CHILD_PREFIX: Final = b":child_storage:default:"


def is_child_storage_key(key: bytes) -> bool:
    """Whether a top-level key is reserved for child tries."""
    return key.startswith(CHILD_PREFIX)


def child_storage_key(identifier: bytes) -> bytes:
    """Where the top trie holds the root of the child trie `identifier`."""
    return DEFAULT_CHILD_PREFIX + identifier


def child_id(key: bytes) -> bytes | None:
    """The inverse of `child_storage_key`; None for any other key."""
    return key[len(DEFAULT_CHILD_PREFIX) :] if key.startswith(DEFAULT_CHILD_PREFIX) else None


def child_root(store: NodeStore, root: bytes, identifier: bytes, layout: Layout) -> bytes | None:
    """The root of a child trie, or None when the top trie has none. Raises BadNode when it is not a hash."""
    found = lookup(store, root, child_storage_key(identifier), layout)
    if found is not None and len(found) != HASH_LENGTH:
        raise BadNode(None, f"the root of child trie 0x{identifier.hex()} has {len(found)} bytes")
    return found


def lookup_child(
    store: NodeStore, root: bytes, identifier: bytes, key: bytes, layout: Layout
) -> bytes | None:
    """The value of `key` in a child trie; None when it, or the whole child trie, does not exist."""
    below = child_root(store, root, identifier, layout)
    return None if below is None else lookup(store, below, key, layout)
