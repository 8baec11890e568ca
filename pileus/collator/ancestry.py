"""Evidence that a block of a sibling is an ancestor of its newest included head, fetched from a node of the sibling.

The counterpart of `runtime.support.sibling_ancestry`, and what is fetched is checked here before it is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pileus.collator.peer import PeerLied
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.support.sibling_ancestry import (
    DEFAULT_ANCESTRY_LIMITS,
    AncestryLimits,
    BlockHashWindow,
    HeaderChain,
    HeadReference,
    NewestHead,
    block_hash_key,
)
from runtime.trie.layout import Layout
from runtime.trie.proof import verify_proof

__all__ = ["head_reference"]

ProveKeys = Callable[[Sequence[bytes], bytes], tuple[bytes, ...]]
"""(keys, block hash) -> trie nodes in ascending order, bounded."""
GetHeader = Callable[[bytes], bytes]
"""Block hash -> SCALE header, bounded; empty when the node does not have it."""


def head_reference(
    newest: Header,
    number: int,
    prove: ProveKeys,
    get_header: GetHeader,
    layout: Layout,
    limits: AncestryLimits = DEFAULT_ANCESTRY_LIMITS,
) -> tuple[HeadReference, Header]:
    """Block ``number`` of the chain whose newest included head is ``newest``, and the smaller of the two kinds of
    evidence for it.

    Raises `PeerLied` when the node gives what does not fit or too little, and `TrieError`, `ScaleError` for bytes that
    are no proof or header.
    """
    distance = newest.number - number
    newest_hash = newest.hash()
    if distance == 0:
        return NewestHead(newest_hash), newest
    if not 0 < distance <= limits.max_age:
        raise PeerLied(f"block {number} is out of reach of the included block {newest.number}")
    key = block_hash_key(number)
    nodes = prove([key], newest_hash)
    found = verify_proof(newest.state_root, nodes, [key], layout)[key]
    if found is None:
        raise PeerLied(f"the chain does not keep the hash of block {number}")
    encoded = _header(get_header, found, limits)
    window = BlockHashWindow(encoded, nodes)
    if distance <= limits.max_headers and distance * len(encoded) < window.proof_bytes():
        return HeaderChain(_ancestors(newest, distance, get_header, limits)), Header.decode(encoded)
    return window, Header.decode(encoded)


def _ancestors(
    newest: Header, distance: int, get_header: GetHeader, limits: AncestryLimits
) -> tuple[bytes, ...]:
    headers: list[bytes] = []
    parent_hash = newest.parent_hash
    for _ in range(distance):
        headers.append(_header(get_header, parent_hash, limits))
        parent_hash = Header.decode(headers[-1]).parent_hash
    return tuple(headers)


def _header(get_header: GetHeader, block_hash: bytes, limits: AncestryLimits) -> bytes:
    encoded = get_header(block_hash)
    if len(encoded) > limits.max_header_bytes or blake2_256(encoded) != block_hash:
        raise PeerLied(f"has no header of block 0x{block_hash.hex()}")
    return encoded
