"""Fetching a page of another chain's map with nothing but read proofs.

Full nodes prove keys (``state_getReadProof``), not ranges. The walk asks for keys that lead into the parts of the
subtree whose nodes are not known yet; each answer shows more branches, and with them the next keys to ask for, until
the page is covered. What the peer says is never a list of keys to believe: the nodes themselves, each under the hash
that its parent names, say where there is more.

py-trie's `HexaryTrieFog` keeps the same book of unexplored prefixes and judges ours in the tests. It is not used
here: it copies its sorted set for every node explored, and a page needs its left-most unexplored prefixes only, which
a stack gives (docs: "State queries" has the measurement).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pileus.collator.peer import PeerLied
from runtime.trie.iterate import load
from runtime.trie.layout import Layout
from runtime.trie.node import digits_of
from runtime.trie.subtree import create_subtree_proof

__all__ = ["fetch_subtree"]

MAX_ROUNDS = 64
"""Rounds of asking: one per level of the subtree for an honest peer, and a map has a handful of levels."""
MAX_KEY_DIGITS = 2 * 1_024
"""Hex digits of a path. Longer keys are a hostile sibling's."""
STEPS_PER_ENTRY = 64
"""Nodes looked at per entry of the page; an honest trie needs two, and the path to the first."""


def fetch_subtree(
    ask: Callable[[Sequence[bytes]], Sequence[bytes]],
    root: bytes,
    prefix: bytes,
    layout: Layout,
    *,
    after: bytes | None,
    max_entries: int,
) -> tuple[bytes, ...]:
    """The proof that `verify_subtree` takes for this range, in byte order.

    ``ask`` gives trie nodes and detached values on the paths of the keys it is given. Raises `PeerLied` when the peer
    does not get us on, and `TrieError` for nodes that are none.
    """
    known: dict[bytes, bytes] = {}
    for _ in range(MAX_ROUNDS):
        keys = _unexplored(known, root, prefix.hex(), layout, after, max_entries)
        if not keys:
            return create_subtree_proof(known, root, prefix, layout, after=after, max_entries=max_entries)
        fresh = {layout.digest(item): item for item in ask(keys)}
        if fresh.keys() <= known.keys():
            raise PeerLied(f"gives no node on the way to 0x{keys[0][:40].hex()}")
        known.update(fresh)
    raise PeerLied(f"the subtree is not explored after {MAX_ROUNDS} rounds")


def _unexplored(
    known: dict[bytes, bytes], root: bytes, prefix: str, layout: Layout, after: bytes | None, max_entries: int
) -> list[bytes]:
    """Keys into the left-most parts of the range that are not known, as many as the page can need."""
    start = "" if after is None else after.hex() + "00"
    wanted: list[bytes] = []
    entries = 0
    stack: list[tuple[str, bytes]] = [("", root)]
    steps = STEPS_PER_ENTRY * (max_entries + MAX_KEY_DIGITS)
    # Every unexplored part holds at least one entry. One entry beyond the page shows that there is more.
    while stack and entries + len(wanted) <= max_entries:
        steps -= 1
        path, reference = stack.pop()
        if len(path) > MAX_KEY_DIGITS or not steps:
            raise PeerLied("a subtree that no honest chain has")
        if len(reference) == 32 and reference not in known and reference != layout.empty_root:
            # The whole way to the beginning of the range at once; elsewhere the first key that leads into the part.
            key = start if start.startswith(path) else prefix if prefix.startswith(path) else path
            wanted.append(bytes.fromhex(key + "0" * (len(key) & 1)))
            continue
        partial, value, value_hash, bitmap, children, _, _ = load(known, reference, root, layout)
        path += partial
        if not _overlap(path, prefix) or (path < start and not start.startswith(path)):
            continue
        if (value is not None or value_hash is not None) and path.startswith(prefix) and path >= start:
            entries += 1
            if value_hash is not None and value_hash not in known and entries <= max_entries:
                wanted.append(bytes.fromhex(path + "0" * (len(path) & 1)))
                entries -= 1
        for digit, child in zip(reversed(digits_of(bitmap)), reversed(children), strict=True):
            below = path + digit
            if _overlap(below, prefix) and (below >= start or start.startswith(below)):
                stack.append((below, child))
    return wanted


def _overlap(path: str, prefix: str) -> bool:
    """Whether one of two paths leads through the other."""
    return path.startswith(prefix) if len(path) >= len(prefix) else prefix.startswith(path)
