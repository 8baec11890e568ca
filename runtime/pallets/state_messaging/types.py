"""Messages and items on the wire.

The bytes of the protocol besides the lanes (`runtime.pallets.state_messaging.lanes`): what a commitment commits to,
and what a collator or a relayer hands in. Version 1; field order is SCALE order.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.pallets.state_messaging.lanes import VERSION, Party
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import H256, U8, U32, U64, Struct
from runtime.support.sibling_ancestry import HeadReference

COMMITMENT_DOMAIN = b"pileus/msg/v1"
"""Domain tag of a commitment."""


@dataclass(frozen=True, slots=True)
class MessageBody(Struct):
    """What the sender chose. Travels off chain; only its commitment is in the sender's state."""

    sender: Party
    """The signing account (32 bytes), or the name of the pallet that sent it (shorter)."""
    recipient: Party
    timeout: U64 | None
    """Milliseconds on the *destination's* clock; the message is not dispatched from then on."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message(Struct):
    """A message in its place: the preimage of the commitment.

    The receiver fills in source, destination, lane and nonce from its own expectation and never from the
    wire, so a proof of one message cannot be passed off as another.
    """

    version: U8
    source: U32
    dest: U32
    lane: U8
    nonce: U64
    body: MessageBody

    def commitment(self) -> bytes:
        """``blake2_256(domain ++ SCALE(message))``, 32 bytes: the value in the outbox, inline in a V1 trie
        leaf.
        """
        return blake2_256(COMMITMENT_DOMAIN + self.encode())


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One of our own messages, as its sender is told of the outcome."""

    dest: int
    lane: int
    nonce: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class LaneBatch(Struct):
    """Messages of one lane, with consecutive nonces."""

    lane: U8
    first_nonce: U64
    """Stated, so that a stale batch is recognised before any hashing. Of an ordered lane it must be the
    receiver's ``last_delivered + 1``."""
    bodies: tuple[MessageBody, ...]
    tail: tuple[H256, ...] | None = None
    """``None``: every commitment is proven in the sender's outbox. Else (head mode, ordered lanes only) the
    commitments that follow the bodies up to a nonce whose chain head is proven: a multiple of
    `CHECKPOINT_INTERVAL`, or the last message sent."""

    @property
    def last_nonce(self) -> int:
        """Nonce of the last body."""
        return self.first_nonce + len(self.bodies) - 1

    @property
    def proven_nonce(self) -> int:
        """Nonce up to which the batch is proven in head mode."""
        return self.last_nonce + len(self.tail or ())


@dataclass(frozen=True, slots=True)
class Ack(Struct):
    """Acknowledge our messages of one lane: what the sibling's end of it says is proven."""

    lane: U8
    first_nonce: U64
    """Where to begin. Of an ordered lane it must be ``acked + 1``."""
    limit: U32
    """At most so many messages are looked at and released; their weight is charged beforehand."""


@dataclass(frozen=True, slots=True)
class TimeoutClaim(Struct):
    """Our messages of one lane whose timeout the sibling's clock has reached before it consumed them."""

    lane: U8
    nonces: tuple[U64, ...]
    """Strictly increasing."""


@dataclass(frozen=True, slots=True)
class InboundItem(Struct):
    """What one sibling has for us, and what it has done with ours, proven at one of its heads."""

    version: U8
    source: U32
    head: HeadReference
    """The head that the proof is against, and the evidence that it may be relied on."""
    batches: tuple[LaneBatch, ...] = ()
    """By strictly increasing lane; an unordered lane may have several, disjoint, by increasing nonce."""
    acks: tuple[Ack, ...] = ()
    """By strictly increasing lane."""
    timeouts: tuple[TimeoutClaim, ...] = ()
    """By strictly increasing lane."""
    nodes: tuple[bytes, ...] = ()
    """Trie nodes of the sibling's state: unique, all used, in ascending order of their bytes."""

    @property
    def message_count(self) -> int:
        """Messages in all batches."""
        return sum(len(batch.bodies) for batch in self.batches)

    @property
    def tail_count(self) -> int:
        """Commitments in the tails of all batches."""
        return sum(len(batch.tail or ()) for batch in self.batches)

    @property
    def claim_count(self) -> int:
        """Messages claimed to have timed out."""
        return sum(len(claim.nonces) for claim in self.timeouts)

    def proof_bytes(self) -> int:
        """Bytes of all trie nodes, of the tails, and of the evidence for the head."""
        return sum(len(node) for node in self.nodes) + 32 * self.tail_count + self.head.proof_bytes()

    def payload_bytes(self) -> int:
        """Bytes of all payloads."""
        return sum(len(body.payload) for batch in self.batches for body in batch.bodies)


@dataclass(frozen=True, slots=True)
class MessagingInherent(Struct):
    """The author's messages for this block. Empty is always valid: no sibling can stall us."""

    version: U8
    items: tuple[InboundItem, ...]
    """By strictly increasing source."""


EMPTY_INHERENT = MessagingInherent(VERSION, ())


def lane_key(para: int, lane: int) -> bytes:
    """``para`` (u32) ++ ``lane``, big-endian and unhashed, so that lanes of one sibling are neighbours in the
    trie.
    """
    return para.to_bytes(4, "big") + bytes([lane])


def outbox_tail(dest: int, lane: int, nonce: int) -> bytes:
    """Key of a commitment behind the ``Outbox`` prefix: consecutive nonces share nearly all of their
    proof.
    """
    return lane_key(dest, lane) + nonce.to_bytes(8, "big")


def offchain_body_key(commitment: bytes) -> bytes:
    """Key under which a node's offchain database keeps a body for the destination's collators to fetch.

    By content: on another fork of the chain the same nonce may stand for another message, and both may be needed.
    """
    return b"pileus/body/v1" + commitment
