"""Both ends of a lane, as they lie in state: values of constant size, proven to the other side.

An ordered lane is a cursor and a hash chain; an unordered one (`is_unordered`) a base and a window of bits above
it. Either is replay guard, flow control, acknowledgement and timeout evidence in one value. Follows section "Lanes"
of docs "The messaging protocol"; field order is SCALE order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import H256, U32, U64, Bool, Struct, bounded_bytes
from runtime.primitives.scale.integers import FixedInt

VERSION = 1
CHAIN_DOMAIN = b"pileus/chain/v1"
"""Domain tag: a step of a lane's chain can never be taken for a commitment, nor for anything another protocol
hashes.
"""
OUTCOME_WINDOW = 1_024
"""Outcomes a destination remembers, and messages an unordered lane may run ahead of the oldest unconsumed one."""
CHECKPOINT_INTERVAL = 100
"""Every so many messages the sender keeps the lane's chain head under a key of its own (head mode)."""
FIRST_UNORDERED_LANE = 128
"""The lane's number says what kind it is, so there is nothing to negotiate and nothing to disagree about."""
MAX_NONCE = 2**64 - 1
MAX_PARTY_LENGTH = 32
Party = Annotated[bytes, bounded_bytes(MAX_PARTY_LENGTH)]
"""Sender or recipient: an account id or a shorter name, at most 32 bytes."""

_CODE_BITS = 2
Outcomes: TypeAlias = Annotated[int, FixedInt(_CODE_BITS * OUTCOME_WINDOW)]
"""256 bytes, little-endian."""
Window: TypeAlias = Annotated[int, FixedInt(OUTCOME_WINDOW)]
"""128 bytes, little-endian: one bit for each of the nonces behind a base."""
WindowOutcomes: TypeAlias = Annotated[int, FixedInt(2 * _CODE_BITS * OUTCOME_WINDOW)]
"""512 bytes, little-endian."""


class Outcome(enum.IntEnum):
    """What became of a message. The first four consume it at the destination; each is final."""

    DELIVERED = 0
    FAILED = 1
    """The recipient's handler failed, or there is none."""
    EXPIRED = 2
    """Its timeout had passed; it was not dispatched."""
    SKIPPED = 3
    """The destination's governance moved the cursor past it."""
    TIMED_OUT = 4
    """Known at the sender only: not consumed when the destination's clock had reached the timeout, so that it
    can only expire."""


def is_unordered(lane: int) -> bool:
    """Whether messages of the lane may be consumed in any order."""
    return lane >= FIRST_UNORDERED_LANE


def chain_step(head: bytes, nonce: int, commitment: bytes) -> bytes:
    """Next head of a lane: a hash chain over its commitments, so that one value can stand for all of them."""
    return blake2_256(CHAIN_DOMAIN + bytes([VERSION]) + head + nonce.to_bytes(8, "big") + commitment)


@dataclass(frozen=True, slots=True)
class OutboundLane(Struct):
    """The sender's side of a lane."""

    next_nonce: U64 = 1
    """Nonces start at 1, are never reused and never reset."""
    acked: U64 = 0
    """Every nonce up to this one is settled: known to be consumed, and gone from our state."""
    bytes_in_flight: U64 = 0
    """Sum of the encoded bodies that are not settled."""
    head: H256 = bytes(32)
    """`chain_step` over every commitment so far."""
    suspended: Bool = False
    """The destination said that it takes nothing; `send` refuses until it says otherwise."""

    @property
    def in_flight(self) -> int:
        """Messages above `acked`."""
        return self.next_nonce - 1 - self.acked


@dataclass(frozen=True, slots=True)
class PendingMessage(Struct):
    """What the sender remembers of an unsettled message besides its commitment."""

    size: U32
    """Bytes of the encoded body."""
    timeout: U64 | None
    owner: Party
    """The handler that hears of the outcome; empty for none."""
    timed_out: Bool = False
    """The outcome `Outcome.TIMED_OUT` is out; what the destination says later changes nothing."""


@dataclass(frozen=True, slots=True)
class InboundLane(Struct):
    """The receiver's side of an ordered lane."""

    last_delivered: U64 = 0
    """Every nonce up to this one is consumed, whatever its outcome."""
    outcomes: Outcomes = 0
    """Bits 2i and 2i+1: the `Outcome` of message ``last_delivered - i``."""
    suspended: Bool = False
    head: H256 = bytes(32)
    """`chain_step` over every commitment consumed; equals the sender's head at that nonce."""

    def is_consumed(self, nonce: int) -> bool:
        """Whether the message is consumed."""
        return nonce <= self.last_delivered

    def outcome_of(self, nonce: int) -> Outcome:
        """Of a consumed message that is not older than the window."""
        return Outcome(self.outcomes >> _CODE_BITS * (self.last_delivered - nonce) & 3)

    def consume(self, nonce: int, outcome: Outcome, commitment: bytes) -> InboundLane:
        """The lane after the next message, which is ``nonce``."""
        outcomes = (self.outcomes << _CODE_BITS | outcome) & (1 << _CODE_BITS * OUTCOME_WINDOW) - 1
        return InboundLane(nonce, outcomes, self.suspended, chain_step(self.head, nonce, commitment))

    def with_outcomes(self, outcomes: dict[int, Outcome]) -> InboundLane:
        """With the outcomes of consumed messages replaced; those older than the window are forgotten."""
        changed = self.outcomes
        for nonce, outcome in outcomes.items():
            changed = _with_code(changed, self.last_delivered - nonce, OUTCOME_WINDOW, outcome)
        return replace(self, outcomes=changed)

    def skip_to(self, nonce: int, head: bytes) -> InboundLane:
        """Everything up to ``nonce``, at most a window ahead, consumed as `Outcome.SKIPPED`; the chain goes on
        from ``head``.
        """
        shift = _CODE_BITS * (nonce - self.last_delivered)
        outcomes = (self.outcomes << shift | (1 << shift) - 1) & (1 << _CODE_BITS * OUTCOME_WINDOW) - 1
        return InboundLane(nonce, outcomes, self.suspended, head)


@dataclass(frozen=True, slots=True)
class InboundWindow(Struct):
    """The receiver's side of an unordered lane."""

    base: U64 = 0
    """Every nonce up to this one is consumed."""
    consumed: Window = 0
    """Bit i: whether ``base + 1 + i`` is consumed. Bit 0 never is: the base would be higher."""
    outcomes: WindowOutcomes = 0
    """Bits 2i and 2i+1: the `Outcome` of message ``base + OUTCOME_WINDOW - i``, if it is consumed."""
    suspended: Bool = False

    def is_consumed(self, nonce: int) -> bool:
        """Whether the message is consumed."""
        return nonce <= self.base or bool(self.consumed >> (nonce - self.base - 1) & 1)

    def outcome_of(self, nonce: int) -> Outcome:
        """Of a consumed message that is not older than the window."""
        return Outcome(self.outcomes >> _CODE_BITS * (self.base + OUTCOME_WINDOW - nonce) & 3)

    def consume(self, nonce: int, outcome: Outcome, commitment: bytes = b"") -> InboundWindow:
        """The lane after message ``nonce``, which lies in the window and is not consumed."""
        consumed = self.consumed | 1 << (nonce - self.base - 1)
        outcomes = _with_code(self.outcomes, self.base + OUTCOME_WINDOW - nonce, 2 * OUTCOME_WINDOW, outcome)
        shift = (~consumed & consumed + 1).bit_length() - 1  # how many of the lowest bits are set
        mask = (1 << 2 * _CODE_BITS * OUTCOME_WINDOW) - 1
        return InboundWindow(
            self.base + shift, consumed >> shift, outcomes << _CODE_BITS * shift & mask, self.suspended
        )

    def with_outcomes(self, outcomes: dict[int, Outcome]) -> InboundWindow:
        """With the outcomes of consumed messages replaced; those older than the window are forgotten."""
        changed = self.outcomes
        for nonce, outcome in outcomes.items():
            changed = _with_code(changed, self.base + OUTCOME_WINDOW - nonce, 2 * OUTCOME_WINDOW, outcome)
        return replace(self, outcomes=changed)

    def skip_to(self, nonce: int) -> InboundWindow:
        """Everything up to ``nonce``, at most a window ahead, that is not consumed is consumed as
        `Outcome.SKIPPED`.
        """
        window = self
        for skipped in range(self.base + 1, nonce + 1):
            if not window.is_consumed(skipped):
                window = window.consume(skipped, Outcome.SKIPPED)
        return window


Inbound: TypeAlias = InboundLane | InboundWindow
"""Either kind of receiving end."""


def _with_code(outcomes: int, position: int, size: int, outcome: Outcome) -> int:
    if position >= size:
        return outcomes
    shift = _CODE_BITS * position
    return outcomes & ~(3 << shift) | outcome << shift


def settle_window(acked: int, settled: int, nonces: tuple[int, ...]) -> tuple[int, int]:
    """(acked, settled) of an unordered lane's sender once ``nonces`` are settled too.

    Bit i of ``settled`` stands for ``acked + 1 + i``; the lowest bits that are set move into ``acked``.
    """
    for nonce in nonces:
        settled |= 1 << (nonce - acked - 1)
    shift = (~settled & settled + 1).bit_length() - 1
    return acked + shift, settled >> shift
