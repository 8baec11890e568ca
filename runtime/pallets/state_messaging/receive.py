"""Checking one inbound item, cheapest checks first.

Given an item of a collator's inherent or of a relayer's extrinsic, either everything it claims is proven against a
head of the sibling that the relay parent's state vouches for, or it is refused with one `Refusal`. Nothing is written
here. The order: what the item alone shows (`check_shape`), our own cursors (`check_cursor`, `check_ack`), the head,
and only then hashing and the trie (`prove_item`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runtime.pallets.state_messaging.lanes import (
    CHECKPOINT_INTERVAL,
    MAX_NONCE,
    OUTCOME_WINDOW,
    VERSION,
    Inbound,
    InboundLane,
    InboundWindow,
    OutboundLane,
    chain_step,
    is_unordered,
)
from runtime.pallets.state_messaging.limits import Limits
from runtime.pallets.state_messaging.types import Ack, InboundItem, LaneBatch, Message
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import u64
from runtime.support.sibling_ancestry import HeadRefused, SiblingHead, check_reference
from runtime.support.sibling_state import read_sibling
from runtime.trie.errors import DuplicateNode, MissingNode, TrieError, UnusedNode
from runtime.trie.layout import Layout


class Refusal(enum.IntEnum):
    """Why an item was refused; the index is what the event carries."""

    WRONG_VERSION = 0
    """The item is of another version of the protocol."""
    SOURCE_IS_SELF = 1
    EMPTY_ITEM = 2
    """No batch, no acknowledgement and no claim."""
    EMPTY_BATCH = 3
    """A batch without bodies, an acknowledgement of no message, or a claim without nonces."""
    TOO_MANY_MESSAGES = 4
    """More bodies, runs, tail commitments or claimed nonces than the limits allow."""
    TOO_MANY_NODES = 5
    PROOF_TOO_LARGE = 6
    """Trie nodes, tails and evidence for the head have too many bytes together."""
    NODE_TOO_LARGE = 7
    MESSAGE_TOO_LARGE = 8
    NODES_NOT_SORTED = 9
    """Nodes are not in ascending order of their bytes."""
    DUPLICATE_NODE = 10
    """A node is there twice."""
    LANES_NOT_SORTED = 11
    """Batches, acknowledgements or claims are not in ascending order, or an ordered lane is there twice."""
    RANGES_OVERLAP = 12
    """Two batches of an unordered lane share a nonce, or the nonces of a claim do not increase."""
    NONCE_OUT_OF_RANGE = 13
    """A nonce is 0 or beyond 64 bits."""
    TAIL_ON_UNORDERED_LANE = 14
    """Only an ordered lane has a chain that a batch can be recomputed into."""
    SOURCE_BLOCKED = 15
    LANE_SUSPENDED = 16
    STALE = 17
    """A message is consumed already."""
    GAP = 18
    """A batch does not start at the receiver's next nonce."""
    BEYOND_WINDOW = 19
    """A message of an unordered lane is too far ahead of the oldest one missing."""
    ACK_STALE = 20
    """An acknowledgement begins with a message that is settled already."""
    ACK_GAP = 21
    """An acknowledgement of an ordered lane does not begin at the oldest message in flight."""
    PRUNE_BUDGET = 22
    """More messages would be released than one block may."""
    CLAIM_NOT_SENT = 23
    CLAIM_WITHOUT_TIMEOUT = 24
    """The message has no timeout."""
    HEAD_REGRESSED = 25
    """The newest head is older than one we relied on: the sibling's chain was set back."""
    PROOF_INCOMPLETE = 26
    """A node is missing, so neither presence nor absence is shown."""
    PROOF_MALFORMED = 27
    UNUSED_NODE = 28
    NOT_SENT = 29
    """The sibling's state provably has no such message."""
    WRONG_COMMITMENT = 30
    """The sibling committed to another message under this nonce."""
    WRONG_CHAIN = 31
    """The bodies and the tail do not lead to the chain head that the sibling's state has."""
    VALUE_MALFORMED = 32
    """A proven value of the sibling is not what this protocol stores there."""
    ACK_REGRESSED = 33
    """The sibling has consumed less than it had acknowledged before."""
    ACK_BEYOND_SENT = 34
    """The sibling claims to have consumed messages that were never sent."""
    NO_TIMESTAMP = 35
    """The sibling's state provably has no clock."""
    TIMEOUT_NOT_REACHED = 36
    """The sibling's clock is still before the timeout."""
    ALREADY_CONSUMED = 37
    """The message that is claimed to have timed out was consumed."""

    # The head, as `HeadRefusal` in the same order.
    HEAD_EVIDENCE_TOO_LARGE = 64
    HEAD_NODES_NOT_SORTED = 65
    UNKNOWN_SIBLING = 66
    BAD_HEAD = 67
    HEAD_MISMATCH = 68
    HEAD_NOT_REMEMBERED = 69
    BAD_HEADER = 70
    NOT_AN_ANCESTOR = 71
    HEAD_TOO_OLD = 72
    HEAD_PROOF_INCOMPLETE = 73
    HEAD_PROOF_MALFORMED = 74
    HEAD_UNUSED_NODE = 75
    HEAD_DUPLICATE_NODE = 76


HEAD_REFUSALS = 64
"""`Refusal` of a `HeadRefusal`: its index above this."""


class Refused(Exception):
    """The item is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class ProtocolKeys:
    """Where the protocol's values lie: the same keys on every chain that has this pallet."""

    outbox: Callable[[tuple[int, int, int]], bytes]
    checkpoint: Callable[[tuple[int, int, int]], bytes]
    outbound_lane: Callable[[tuple[int, int]], bytes]
    inbound_lane: Callable[[tuple[int, int]], bytes]
    inbound_window: Callable[[tuple[int, int]], bytes]
    now: Callable[[], bytes]
    """``Timestamp::Now``."""

    def inbound(self, para: int, lane: int) -> bytes:
        """Key of either kind of receiving end."""
        return (self.inbound_window if is_unordered(lane) else self.inbound_lane)((para, lane))


@dataclass(frozen=True, slots=True)
class ProvenBatch:
    """Messages of one lane, each shown to be committed to by the sibling."""

    lane: int
    messages: tuple[tuple[Message, bytes], ...]
    """Message and its commitment, by nonce."""


@dataclass(frozen=True, slots=True)
class ProvenItem:
    """All that an item shows."""

    head: SiblingHead
    batches: tuple[ProvenBatch, ...]
    ends: dict[int, Inbound]
    """Lane -> the sibling's end of it, of every lane that is acknowledged or has a claim."""
    now: int | None
    """The sibling's clock in milliseconds, if there are claims."""


def check_shape(item: InboundItem, limits: Limits, own_para: int) -> None:
    """Sizes, counts and order: decided by the item alone. Raises `Refused`."""
    if item.version != VERSION:
        raise Refused(Refusal.WRONG_VERSION)
    if item.source == own_para:
        raise Refused(Refusal.SOURCE_IS_SELF)
    _check_sizes(item, limits)
    _check_nodes(item.nodes, limits)
    if not item.batches and not item.acks and not item.timeouts:
        raise Refused(Refusal.EMPTY_ITEM)
    _check_batches(item.batches)
    _check_claims(item)
    try:
        check_reference(item.head)
    except HeadRefused as refused:
        raise Refused(Refusal(HEAD_REFUSALS + refused.refusal)) from None


def _check_sizes(item: InboundItem, limits: Limits) -> None:
    most = limits.max_messages_per_item
    if (
        len(item.batches) > most
        or item.message_count > most
        or item.claim_count > most
        or item.tail_count > limits.max_tail
    ):
        raise Refused(Refusal.TOO_MANY_MESSAGES)
    if len(item.nodes) > limits.max_proof_nodes:
        raise Refused(Refusal.TOO_MANY_NODES)
    if item.proof_bytes() > limits.max_proof_bytes:
        raise Refused(Refusal.PROOF_TOO_LARGE)
    if sum(ack.limit for ack in item.acks) > limits.max_prune_per_block:
        raise Refused(Refusal.PRUNE_BUDGET)
    if any(len(body.payload) > limits.max_message_size for batch in item.batches for body in batch.bodies):
        raise Refused(Refusal.MESSAGE_TOO_LARGE)


def _check_nodes(nodes: Sequence[bytes], limits: Limits) -> None:
    if any(len(node) > limits.max_node_size for node in nodes):
        raise Refused(Refusal.NODE_TOO_LARGE)
    for first, second in pairwise(nodes):
        if first == second:
            raise Refused(Refusal.DUPLICATE_NODE)
        if first > second:
            raise Refused(Refusal.NODES_NOT_SORTED)


def _check_batches(batches: Sequence[LaneBatch]) -> None:
    for batch in batches:
        if not batch.bodies:
            raise Refused(Refusal.EMPTY_BATCH)
        if batch.first_nonce == 0 or batch.proven_nonce > MAX_NONCE:
            raise Refused(Refusal.NONCE_OUT_OF_RANGE)
        if batch.tail is not None and is_unordered(batch.lane):
            raise Refused(Refusal.TAIL_ON_UNORDERED_LANE)
    for before, batch in pairwise(batches):
        if before.lane > batch.lane or (before.lane == batch.lane and not is_unordered(batch.lane)):
            raise Refused(Refusal.LANES_NOT_SORTED)
        if before.lane == batch.lane and before.last_nonce >= batch.first_nonce:
            raise Refused(Refusal.RANGES_OVERLAP)


def _check_claims(item: InboundItem) -> None:
    for lanes in ([ack.lane for ack in item.acks], [claim.lane for claim in item.timeouts]):
        if any(first >= second for first, second in pairwise(lanes)):
            raise Refused(Refusal.LANES_NOT_SORTED)
    if not all(ack.limit for ack in item.acks) or not all(claim.nonces for claim in item.timeouts):
        raise Refused(Refusal.EMPTY_BATCH)
    firsts = [*(ack.first_nonce for ack in item.acks), *(claim.nonces[0] for claim in item.timeouts)]
    if not all(firsts):
        raise Refused(Refusal.NONCE_OUT_OF_RANGE)
    for claim in item.timeouts:
        if any(first >= second for first, second in pairwise(claim.nonces)):
            raise Refused(Refusal.RANGES_OVERLAP)


def check_cursor(batch: LaneBatch, end: Inbound) -> None:
    """The batch is what our end of the lane can consume next. Raises `Refused`."""
    if end.suspended:
        raise Refused(Refusal.LANE_SUSPENDED)
    if isinstance(end, InboundWindow):
        if batch.last_nonce > end.base + OUTCOME_WINDOW:
            raise Refused(Refusal.BEYOND_WINDOW)
        if any(end.is_consumed(nonce) for nonce in range(batch.first_nonce, batch.last_nonce + 1)):
            raise Refused(Refusal.STALE)
        return
    if batch.first_nonce <= end.last_delivered:
        raise Refused(Refusal.STALE)
    if batch.first_nonce > end.last_delivered + 1:
        raise Refused(Refusal.GAP)


def check_ack(ack: Ack, lane: OutboundLane) -> None:
    """The acknowledgement continues where the last one ended. Raises `Refused`."""
    if ack.first_nonce <= lane.acked:
        raise Refused(Refusal.ACK_STALE)
    if ack.first_nonce > lane.acked + 1 and not is_unordered(ack.lane):
        raise Refused(Refusal.ACK_GAP)


def prove_item(
    item: InboundItem,
    head: SiblingHead,
    own_para: int,
    keys: ProtocolKeys,
    cursors: Callable[[int], InboundLane],
    layout: Layout,
) -> ProvenItem:
    """Recompute every commitment and find all that the item claims in the sibling's state. Raises `Refused`.

    ``cursors`` gives our end of an ordered lane, which a batch in head mode continues.
    """
    batches: list[ProvenBatch] = []
    expected: dict[bytes, bytes] = {}
    chains: list[tuple[bytes, bytes, int]] = []
    """Key, chain head, and the nonce of it where the lane itself is proven (0: a checkpoint)."""
    for batch in item.batches:
        messages = tuple(_messages(item.source, own_para, batch))
        batches.append(ProvenBatch(batch.lane, messages))
        if batch.tail is None:
            for message, commitment in messages:
                expected[keys.outbox((own_para, batch.lane, message.nonce))] = commitment
        else:
            end = batch.proven_nonce
            chain = _chain(cursors(batch.lane).head, batch, messages)
            if end % CHECKPOINT_INTERVAL:
                chains.append((keys.outbound_lane((own_para, batch.lane)), chain, end))
            else:
                chains.append((keys.checkpoint((own_para, batch.lane, end)), chain, 0))
    lanes = sorted({ack.lane for ack in item.acks} | {claim.lane for claim in item.timeouts})
    wanted = [*expected, *(key for key, *_ in chains), *(keys.inbound(own_para, lane) for lane in lanes)]
    if item.timeouts:
        wanted.append(keys.now())
    found = _read(item, head, wanted, layout)
    for key, commitment in expected.items():
        if found[key] is None:
            raise Refused(Refusal.NOT_SENT)
        if found[key] != commitment:
            raise Refused(Refusal.WRONG_COMMITMENT)
    for key, chain, end in chains:
        _check_chain(found[key], chain, end)
    ends = {lane: _end(found[keys.inbound(own_para, lane)], lane) for lane in lanes}
    return ProvenItem(head, tuple(batches), ends, _clock(found[keys.now()]) if item.timeouts else None)


def _messages(source: int, dest: int, batch: LaneBatch) -> list[tuple[Message, bytes]]:
    found = []
    for nonce, body in enumerate(batch.bodies, batch.first_nonce):
        message = Message(VERSION, source, dest, batch.lane, nonce, body)
        found.append((message, message.commitment()))
    return found


def _chain(head: bytes, batch: LaneBatch, messages: Sequence[tuple[Message, bytes]]) -> bytes:
    commitments = [commitment for _, commitment in messages]
    for nonce, commitment in enumerate([*commitments, *(batch.tail or ())], batch.first_nonce):
        head = chain_step(head, nonce, commitment)
    return head


def _read(
    item: InboundItem, head: SiblingHead, keys: Sequence[bytes], layout: Layout
) -> dict[bytes, bytes | None]:
    try:
        return read_sibling(head, keys, item.nodes, layout)
    except MissingNode:
        raise Refused(Refusal.PROOF_INCOMPLETE) from None
    except UnusedNode:
        raise Refused(Refusal.UNUSED_NODE) from None
    except DuplicateNode:
        raise Refused(Refusal.DUPLICATE_NODE) from None
    except TrieError:
        raise Refused(Refusal.PROOF_MALFORMED) from None


def _check_chain(value: bytes | None, chain: bytes, end: int) -> None:
    if value is None:
        raise Refused(Refusal.NOT_SENT)
    if not end:
        if value != chain:
            raise Refused(Refusal.WRONG_CHAIN)
        return
    try:
        lane = OutboundLane.decode(value)
    except ScaleError:
        raise Refused(Refusal.VALUE_MALFORMED) from None
    if lane.next_nonce != end + 1 or lane.head != chain:
        raise Refused(Refusal.WRONG_CHAIN)


def _end(value: bytes | None, lane: int) -> Inbound:
    """The sibling's end of a lane; one it has never touched is at its beginning."""
    kind: type[InboundLane | InboundWindow] = InboundWindow if is_unordered(lane) else InboundLane
    if value is None:
        return kind()
    try:
        return kind.decode(value)
    except ScaleError:
        raise Refused(Refusal.VALUE_MALFORMED) from None


def _clock(value: bytes | None) -> int:
    if value is None:
        raise Refused(Refusal.NO_TIMESTAMP)
    try:
        return u64.decode(value)
    except ScaleError:
        raise Refused(Refusal.VALUE_MALFORMED) from None


def check_end(lane: OutboundLane, end: Inbound) -> None:
    """What the sibling says of a lane is possible: ``acked <= consumed < next_nonce``. Raises `Refused`."""
    if isinstance(end, InboundLane):
        lowest = highest = end.last_delivered
    else:
        lowest, highest = end.base, end.base + end.consumed.bit_length()
    if lowest < lane.acked:
        raise Refused(Refusal.ACK_REGRESSED)
    if highest >= lane.next_nonce:
        raise Refused(Refusal.ACK_BEYOND_SENT)
