"""Checking one inbound item, cheapest checks first.

Given an item of a collator's inherent, either everything it claims is proven against the sibling head that
the relay parent's state holds, or it is refused with one `Refusal`. Nothing is written here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from runtime.pallets.state_messaging.limits import Limits
from runtime.pallets.state_messaging.types import VERSION, InboundItem, InboundLane, LaneBatch, Message
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.support.sibling_state import read_sibling, sibling_head
from runtime.trie.errors import DuplicateNode, MissingNode, TrieError, UnusedNode
from runtime.trie.layout import Layout


class Refusal(enum.IntEnum):
    """Why an item was refused; the index is what the event carries."""

    TOO_LARGE = 0
    """More messages, nodes or bytes than the limits allow."""
    NODES_NOT_SORTED = 1
    """Nodes are not in strictly ascending order: unsorted or doubled."""
    LANES_NOT_SORTED = 2
    """Batches are not in strictly ascending order of their lane, or one is empty."""
    SOURCE_IS_SELF = 3
    LANE_SUSPENDED = 4
    STALE_OR_GAP = 5
    """A batch does not start at the receiver's next nonce."""
    UNKNOWN_SIBLING = 6
    """The relay chain has no head for the source."""
    HEAD_MISMATCH = 7
    """The proof is against another head than the one in relay state."""
    BAD_HEAD = 8
    """The sibling's head is not a header of a chain with this layout."""
    MESSAGE_TOO_LARGE = 9
    PROOF_INCOMPLETE = 10
    """A node is missing, so neither presence nor absence is shown."""
    PROOF_MALFORMED = 11
    UNUSED_NODE = 12
    DUPLICATE_NODE = 13
    NOT_SENT = 14
    """The sibling's state provably has no such message."""
    WRONG_COMMITMENT = 15
    """The sibling committed to another message under this nonce."""


class Refused(Exception):
    """The item is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class ProvenBatch:
    """Messages of one lane, each shown to be in the sibling's outbox."""

    lane: int
    messages: tuple[tuple[Message, bytes], ...]
    """Message and its commitment, by nonce."""


def check_shape(item: InboundItem, limits: Limits, own_para: int) -> None:
    """Sizes, counts and order: decided by the item alone. Raises `Refused`."""
    too_large = (
        item.message_count > limits.max_messages_per_item
        or len(item.nodes) > limits.max_proof_nodes
        or item.proof_bytes() > limits.max_proof_bytes
    )
    if too_large:
        raise Refused(Refusal.TOO_LARGE)
    if any(first >= second for first, second in pairwise(item.nodes)):
        raise Refused(Refusal.NODES_NOT_SORTED)
    lanes = [batch.lane for batch in item.batches]
    if not lanes or any(first >= second for first, second in pairwise(lanes)):
        raise Refused(Refusal.LANES_NOT_SORTED)
    if any(not batch.bodies for batch in item.batches):
        raise Refused(Refusal.LANES_NOT_SORTED)
    if item.source == own_para:
        raise Refused(Refusal.SOURCE_IS_SELF)
    if any(len(body.payload) > limits.max_message_size for batch in item.batches for body in batch.bodies):
        raise Refused(Refusal.MESSAGE_TOO_LARGE)


def check_cursor(batch: LaneBatch, lane: InboundLane) -> None:
    """The batch continues the lane exactly. Raises `Refused`."""
    if lane.suspended:
        raise Refused(Refusal.LANE_SUSPENDED)
    if batch.first_nonce != lane.last_delivered + 1 or lane.last_delivered + len(batch.bodies) >= 2**64:
        raise Refused(Refusal.STALE_OR_GAP)


def resolve_head(item: InboundItem) -> Header:
    """The sibling's head, as relay state has it, if it is the one the item cites. Raises `Refused`,
    `HostError`.
    """
    try:
        head = sibling_head(item.source)
    except ScaleError:
        raise Refused(Refusal.BAD_HEAD) from None
    if head is None:
        raise Refused(Refusal.UNKNOWN_SIBLING)
    if head.hash() != item.head_hash:
        raise Refused(Refusal.HEAD_MISMATCH)
    return head


def prove_messages(
    item: InboundItem,
    head: Header,
    own_para: int,
    outbox_key: Callable[[int, int, int], bytes],
    layout: Layout,
) -> tuple[ProvenBatch, ...]:
    """Recompute every commitment and find it in the sibling's state. Raises `Refused`."""
    proven: list[ProvenBatch] = []
    expected: dict[bytes, bytes] = {}
    for batch in item.batches:
        messages: list[tuple[Message, bytes]] = []
        for position, body in enumerate(batch.bodies):
            nonce = batch.first_nonce + position
            message = Message(VERSION, item.source, own_para, batch.lane, nonce, body)
            commitment = message.commitment()
            messages.append((message, commitment))
            expected[outbox_key(own_para, batch.lane, nonce)] = commitment
        proven.append(ProvenBatch(batch.lane, tuple(messages)))
    try:
        found = read_sibling(head, list(expected), item.nodes, layout)
    except MissingNode:
        raise Refused(Refusal.PROOF_INCOMPLETE) from None
    except UnusedNode:
        raise Refused(Refusal.UNUSED_NODE) from None
    except DuplicateNode:
        raise Refused(Refusal.DUPLICATE_NODE) from None
    except TrieError:
        raise Refused(Refusal.PROOF_MALFORMED) from None
    for key, commitment in expected.items():
        if found[key] is None:
            raise Refused(Refusal.NOT_SENT)
        if found[key] != commitment:
            raise Refused(Refusal.WRONG_COMMITMENT)
    return tuple(proven)
