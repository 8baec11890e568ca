"""A node store that remembers what was read through it.

[sp-trie] ``Recorder``, [cumulus] ``storage_proof_size``: the recorded items are the storage proof of an
execution, and their encoded size (each distinct item with its compact length prefix, in bytes) is what weight
reclaim charges. Detached values are items like nodes.

The recorder is a ``dict`` whose misses ask the base store, so an item that was read before costs one C-level
lookup. ``in``, ``get`` and iteration see recorded items only. Transactions are the host's (inherent creation,
a refused extrinsic): a rolled back read was never made. A runtime's storage transactions do not touch the
recorder.
"""

from __future__ import annotations

from runtime.trie.errors import NoTransaction
from runtime.trie.layout import BLAKE2B_256, EMPTY_NODE, Hasher, NodeStore

__all__ = ["Recorder"]


class Recorder(dict[bytes, bytes]):
    """Reads through to `base` and keeps every item handed out, keyed by hash.

    The empty trie's node is always available, as in every store of the reference.
    """

    __slots__ = ("_base", "_empty_root", "_marks", "encoded_size")

    def __init__(self, base: NodeStore, hasher: Hasher = BLAKE2B_256) -> None:
        super().__init__()
        self._base = base
        self._empty_root = hasher.empty_root
        self._marks: list[tuple[int, int]] = []
        self.encoded_size = 0
        """Bytes of all recorded items, each with its compact length prefix."""

    def __missing__(self, node: bytes) -> bytes:
        try:
            item = self._base[node]
        except KeyError:
            if node != self._empty_root:
                raise
            item = EMPTY_NODE
        self[node] = item
        size = len(item)
        self.encoded_size += size + (
            1 if size < 1 << 6 else 2 if size < 1 << 14 else 4 if size < 1 << 30 else 5
        )
        return item

    def start_transaction(self) -> None:
        """Open a transaction inside the current one."""
        # A dict keeps insertion order and recorded items are never overwritten: its length is the mark.
        self._marks.append((len(self), self.encoded_size))

    def commit_transaction(self) -> None:
        """Close the innermost transaction and keep what it recorded."""
        if not self._marks:
            raise NoTransaction
        self._marks.pop()

    def rollback_transaction(self) -> None:
        """Close the innermost transaction and forget what it recorded."""
        if not self._marks:
            raise NoTransaction
        length, self.encoded_size = self._marks.pop()
        while len(self) > length:
            self.popitem()

    def nodes(self) -> tuple[bytes, ...]:
        """The storage proof: all recorded items in byte order."""
        return tuple(sorted(self.values()))
