"""Messages and lanes on the wire and in state.

The bytes of the protocol: what a commitment commits to, what lies in the sender's state, what the receiver
keeps, and what a collator puts into the inherent. Version 1; field order is SCALE order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import H256, U8, U32, U64, Bool, Struct, bounded_bytes

VERSION = 1
COMMITMENT_DOMAIN = b"pileus/msg/v1"
CHAIN_DOMAIN = b"pileus/chain/v1"
"""Domain tags: a leaf can never be taken for a chain step, nor for anything another protocol hashes."""

MAX_PARTY_LENGTH = 32
Party = Annotated[bytes, bounded_bytes(MAX_PARTY_LENGTH)]
"""Sender or recipient: an account id or a shorter name, at most 32 bytes."""


@dataclass(frozen=True, slots=True)
class MessageBody(Struct):
    """What the sender chose. Travels off chain; only its commitment is in the sender's state."""

    sender: Party
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


def chain_step(head: bytes, nonce: int, commitment: bytes) -> bytes:
    """Next head of a lane: a hash chain over its commitments, so that one value can stand for all of them."""
    return blake2_256(CHAIN_DOMAIN + bytes([VERSION]) + head + nonce.to_bytes(8, "big") + commitment)


@dataclass(frozen=True, slots=True)
class OutboundLane(Struct):
    """The sender's side of a lane."""

    next_nonce: U64 = 1
    """Nonces start at 1, are never reused and never reset."""
    acked: U64 = 0
    """Highest nonce the destination is known to have consumed."""
    bytes_in_flight: U64 = 0
    """Sum of the encoded bodies above `acked`."""
    head: H256 = bytes(32)
    """`chain_step` over every commitment so far."""

    @property
    def in_flight(self) -> int:
        """Messages above `acked`."""
        return self.next_nonce - 1 - self.acked


@dataclass(frozen=True, slots=True)
class InboundLane(Struct):
    """The receiver's side of a lane: replay guard, flow control and evidence in one value of constant
    size.
    """

    last_delivered: U64 = 0
    """Every nonce up to this one is consumed, whatever its outcome."""
    outcomes: U64 = 0
    """Bit i: whether message ``last_delivered - i`` was delivered; 0 also for failed and expired."""
    suspended: Bool = False
    head: H256 = bytes(32)
    """`chain_step` over every commitment consumed; equals the sender's head at that nonce."""


@dataclass(frozen=True, slots=True)
class LaneBatch(Struct):
    """Messages of one lane, with consecutive nonces."""

    lane: U8
    first_nonce: U64
    """Must be the receiver's ``last_delivered + 1``; stated so that a stale batch is recognised before any
    hashing.
    """
    bodies: tuple[MessageBody, ...]


@dataclass(frozen=True, slots=True)
class InboundItem(Struct):
    """What one sibling has for us, proven at one of its heads."""

    source: U32
    head_hash: H256
    """BLAKE2b-256 of the head the proof is against; must be the one the relay parent's state holds."""
    batches: tuple[LaneBatch, ...]
    """By strictly increasing lane."""
    nodes: tuple[bytes, ...]
    """Trie nodes of the sibling's state: unique, all used, in ascending order of their bytes."""

    @property
    def message_count(self) -> int:
        """Messages in all batches."""
        return sum(len(batch.bodies) for batch in self.batches)

    def proof_bytes(self) -> int:
        """Bytes of all trie nodes."""
        return sum(len(node) for node in self.nodes)

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


def offchain_body_key(dest: int, lane: int, nonce: int) -> bytes:
    """Key under which a node's offchain database keeps a body for the destination's collators to fetch."""
    return b"pileus/body/v1" + outbox_tail(dest, lane, nonce)
