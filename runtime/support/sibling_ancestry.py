"""Trusting a sibling's head that is older than the one in relay state.

``Paras::Heads`` holds a parachain's newest included head only. A proof that was made against an earlier head H stays
good when H is shown to be an ancestor of the newest: a block commits to all its ancestors. Three ways, as the
prover states in a `HeadReference`:

* the receiver remembers H (whoever uses this module keeps what it has verified, in a bounded ring);
* ``System::BlockHash`` of the newest head's state holds the hashes of the last 256 blocks: one storage proof of about
  2 kB whatever the distance [frame-system];
* the headers between, each named by its child's parent hash: cheaper than a proof for a handful of blocks, and free
  of any assumption about the sibling's pallets.

Everything in a reference comes from outside: sizes are checked before hashing, and what does not lead to the cited
head is refused with one `HeadRefusal`. Not modelled: siblings whose header hash is not BLAKE2b-256.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.header import Header
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import H256, Variant, u32
from runtime.support.sibling_state import SiblingHead, read_sibling, sibling_head
from runtime.trie.errors import TrieError, fault_of
from runtime.trie.layout import LAYOUT_V1, Layout

__all__ = [
    "DEFAULT_ANCESTRY_LIMITS",
    "MAX_HEAD_BYTES",
    "AncestryLimits",
    "BlockHashWindow",
    "HeadReference",
    "HeadRefusal",
    "HeadRefused",
    "HeaderChain",
    "NewestHead",
    "RememberedHead",
    "SiblingHead",
    "block_hash_key",
    "check_reference",
    "resolve_head",
]


@dataclass(frozen=True, slots=True)
class NewestHead(Variant):
    """The head in relay state itself."""

    index: ClassVar[int] = 0
    hash: H256
    """Stated, so that a proof against another head is recognised before the trie is walked."""

    def head_hash(self) -> bytes:
        """Hash of the cited head."""
        return self.hash

    def proof_bytes(self) -> int:
        """Bytes of evidence the reference carries."""
        return 0


@dataclass(frozen=True, slots=True)
class RememberedHead(Variant):
    """A head that the receiver verified before and still remembers."""

    index: ClassVar[int] = 1
    hash: H256

    def head_hash(self) -> bytes:
        """Hash of the cited head."""
        return self.hash

    def proof_bytes(self) -> int:
        """Bytes of evidence the reference carries."""
        return 0


@dataclass(frozen=True, slots=True)
class BlockHashWindow(Variant):
    """A head whose hash is in ``System::BlockHash`` of the newest head's state."""

    index: ClassVar[int] = 2
    header: bytes
    """SCALE of the cited head, the preimage of that hash. Bytes, so that a bad one refuses the item, not the block."""
    nodes: tuple[bytes, ...]
    """Storage proof of the one key, against the newest head: unique, all used, in ascending order."""

    def head_hash(self) -> bytes:
        """Hash of the cited head."""
        return blake2_256(self.header)

    def proof_bytes(self) -> int:
        """Bytes of evidence the reference carries."""
        return len(self.header) + sum(map(len, self.nodes))


@dataclass(frozen=True, slots=True)
class HeaderChain(Variant):
    """A head that is linked to the newest by parent hashes."""

    index: ClassVar[int] = 3
    headers: tuple[bytes, ...]
    """SCALE headers: the newest head's parent, its parent, and so on to the cited head."""

    def head_hash(self) -> bytes:
        """Hash of the cited head."""
        return blake2_256(self.headers[-1]) if self.headers else bytes(32)

    def proof_bytes(self) -> int:
        """Bytes of evidence the reference carries."""
        return sum(map(len, self.headers))


HeadReference: TypeAlias = NewestHead | RememberedHead | BlockHashWindow | HeaderChain
"""Which head of a sibling a proof is against, with the evidence that it is one."""


class HeadRefusal(enum.IntEnum):
    """Why a reference does not lead to a trusted head."""

    TOO_LARGE = 0
    """More headers, nodes or bytes than the limits allow."""
    NODES_NOT_SORTED = 1
    """Nodes are not in strictly ascending order: unsorted or doubled."""
    UNKNOWN_SIBLING = 2
    """The relay chain has no head for the parachain."""
    BAD_HEAD = 3
    """What the relay chain has is not a header."""
    HEAD_MISMATCH = 4
    """The cited head is not the newest."""
    NOT_REMEMBERED = 5
    """The cited head was never verified here, or is forgotten."""
    BAD_HEADER = 6
    """A header of the evidence does not decode."""
    NOT_AN_ANCESTOR = 7
    """The newest head has another block at that height, or the chain of parent hashes is broken."""
    TOO_OLD = 8
    """Further back than the limits allow."""
    PROOF_INCOMPLETE = 9
    """A node is missing, so the window shows nothing."""
    PROOF_MALFORMED = 10
    UNUSED_NODE = 11
    DUPLICATE_NODE = 12


class HeadRefused(Exception):
    """The reference is refused."""

    def __init__(self, refusal: HeadRefusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


MAX_HEAD_BYTES = 20_480
"""Of a head in relay state: the relay chain's ``max_head_data_size``. Reading one may add so much proof size to the
path that leads to it.
"""


@dataclass(frozen=True, slots=True)
class AncestryLimits:
    """Bounds of the evidence; configuration of the receiver."""

    max_headers: int = 64
    """From about ten headers on the window's proof is smaller."""
    max_header_bytes: int = MAX_HEAD_BYTES
    """Of one header."""
    max_nodes: int = 64
    max_node_bytes: int = 64 * 1024
    """Of all nodes of a window's proof; an honest one has about 10 nodes and 3 kB."""
    max_age: int = 256
    """Blocks between the cited and the newest head: ``BlockHashCount``."""


DEFAULT_ANCESTRY_LIMITS = AncestryLimits()


def block_hash_key(number: int) -> bytes:
    """Key of ``System::BlockHash(number)``, the same on every FRAME chain with 32-bit block numbers."""
    return storage_prefix("System", "BlockHash") + twox_64_concat(u32.encode(number))


def check_reference(reference: HeadReference, limits: AncestryLimits = DEFAULT_ANCESTRY_LIMITS) -> None:
    """Sizes, counts and order: decided by the reference alone, before any hashing. Raises `HeadRefused`."""
    if isinstance(reference, HeaderChain):
        headers = reference.headers
        if not 0 < len(headers) <= limits.max_headers:
            raise HeadRefused(HeadRefusal.TOO_LARGE)
    elif isinstance(reference, BlockHashWindow):
        headers = (reference.header,)
        if len(reference.nodes) > limits.max_nodes or sum(map(len, reference.nodes)) > limits.max_node_bytes:
            raise HeadRefused(HeadRefusal.TOO_LARGE)
        if any(first >= second for first, second in pairwise(reference.nodes)):
            raise HeadRefused(HeadRefusal.NODES_NOT_SORTED)
    else:
        return
    if any(len(header) > limits.max_header_bytes for header in headers):
        raise HeadRefused(HeadRefusal.TOO_LARGE)


def resolve_head(
    para_id: int,
    reference: HeadReference,
    *,
    remembered: Callable[[bytes], SiblingHead | None],
    layout: Layout = LAYOUT_V1,
    limits: AncestryLimits = DEFAULT_ANCESTRY_LIMITS,
) -> SiblingHead:
    """The cited head of a parachain, once it is shown to be the newest included one or an ancestor of it.

    ``remembered`` gives a head by its hash if the receiver has verified it before. Raises `HeadRefused`, and
    `HostError` when relay state cannot be read.
    """
    check_reference(reference, limits)
    if isinstance(reference, RememberedHead):
        known = remembered(reference.hash)
        if known is None:
            raise HeadRefused(HeadRefusal.NOT_REMEMBERED)
        return known
    newest = _newest(para_id)
    if isinstance(reference, NewestHead):
        if newest.hash() != reference.hash:
            raise HeadRefused(HeadRefusal.HEAD_MISMATCH)
        return SiblingHead(newest.number, reference.hash, newest.state_root)
    if isinstance(reference, HeaderChain):
        return _follow_parents(newest, reference.headers, limits.max_age)
    return _find_in_window(newest, reference, layout, limits.max_age)


def _newest(para_id: int) -> Header:
    try:
        newest = sibling_head(para_id)
    except ScaleError:
        raise HeadRefused(HeadRefusal.BAD_HEAD) from None
    if newest is None:
        raise HeadRefused(HeadRefusal.UNKNOWN_SIBLING)
    return newest


def _follow_parents(newest: Header, headers: tuple[bytes, ...], max_age: int) -> SiblingHead:
    if len(headers) > max_age:
        raise HeadRefused(HeadRefusal.TOO_OLD)
    child = newest
    for encoded in headers:
        # The hash first: what it does not cover is not decoded.
        if blake2_256(encoded) != child.parent_hash:
            raise HeadRefused(HeadRefusal.NOT_AN_ANCESTOR)
        parent = _decode(encoded)
        if parent.number + 1 != child.number:
            raise HeadRefused(HeadRefusal.NOT_AN_ANCESTOR)
        child = parent
    return SiblingHead(child.number, blake2_256(headers[-1]), child.state_root)


def _find_in_window(newest: Header, reference: BlockHashWindow, layout: Layout, max_age: int) -> SiblingHead:
    head = _decode(reference.header)
    if head.number >= newest.number:
        raise HeadRefused(HeadRefusal.NOT_AN_ANCESTOR)
    if newest.number - head.number > max_age:
        raise HeadRefused(HeadRefusal.TOO_OLD)
    key = block_hash_key(head.number)
    try:
        stored = read_sibling(newest, [key], reference.nodes, layout)[key]
    except TrieError as error:
        raise HeadRefused(HeadRefusal(HeadRefusal.PROOF_INCOMPLETE + fault_of(error))) from None
    if stored is None:
        # Provably not kept (any more): the sibling's own window is narrower than ours.
        raise HeadRefused(HeadRefusal.TOO_OLD)
    head_hash = blake2_256(reference.header)
    if stored != head_hash:
        raise HeadRefused(HeadRefusal.NOT_AN_ANCESTOR)
    return SiblingHead(head.number, head_hash, head.state_root)


def _decode(encoded: bytes) -> Header:
    try:
        return Header.decode(encoded)
    except ScaleError:
        raise HeadRefused(HeadRefusal.BAD_HEADER) from None
