"""What an item costs, charged before it is looked at.

Proof size is in bytes of the PoV: those of the item itself, and of our own state that applying it touches, at most. It
is never less than what is measured afterwards (a property test holds it to that; ``benchmarks/messaging.py`` prints
both), and what was too much is given back by the executive's reclaim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.pallets.state_messaging.handler import MessageHandler
from runtime.pallets.state_messaging.types import InboundItem
from runtime.support.sibling_ancestry import MAX_HEAD_BYTES
from runtime.support.weights import Weight

PATH = 4_000
"""Bytes of the nodes from the root to one entry of a state with a few million keys: ``pallet_balances`` counts
3 593.
"""
NEIGHBOUR = 160
"""Bytes of one more entry beside others of consecutive nonces: its leaf, and its share of their branches."""
SPARSE_NEIGHBOUR = 800
"""The same when nonces are apart: a leaf and a branch of 16."""
WINDOW_VALUE = 720
"""Bytes of the larger kind of lane end."""
ITEM = Weight(40_000_000, 6 * PATH + MAX_HEAD_BYTES + 200)
"""The relay chain's head of the sibling, as long as it may be; our id and clock, the block list, the ring of heads."""


@dataclass(frozen=True, slots=True)
class ItemFees:
    """What handing in an item costs, in the native token's smallest unit."""

    base: int = 100_000_000
    per_microsecond: int = 10_000
    """Of the reference machine; ``ref_time`` is in picoseconds."""
    per_proof_byte: int = 1_000

    def of(self, weight: Weight) -> int:
        """The fee for a weight."""
        return (
            self.base
            + weight.ref_time * self.per_microsecond // 1_000_000
            + weight.proof_size * self.per_proof_byte
        )


DEFAULT_FEES = ItemFees()


def item_weight(item: InboundItem, handlers: Mapping[bytes, MessageHandler]) -> Weight:
    """At most, of everything that applying the item may do."""
    total = ITEM + Weight(2_000_000 * len(item.nodes) + 1_000 * item.proof_bytes(), _encoded_bytes(item))
    for batch in item.batches:
        count = len(batch.bodies)
        total += Weight(10_000_000 + 30_000_000 * count, PATH + WINDOW_VALUE)
        for body in batch.bodies:
            handler = handlers.get(body.recipient)
            if handler is not None:
                total += handler.message_weight(len(body.payload))
    outcome = _dearest_outcome(handlers)
    for ack in item.acks:
        total += Weight(20_000_000, 5 * PATH)
        total += _times(Weight(40_000_000, 2 * NEIGHBOUR) + outcome, ack.limit)
    for claim in item.timeouts:
        total += Weight(20_000_000, 3 * PATH)
        total += _times(Weight(40_000_000, 2 * SPARSE_NEIGHBOUR) + outcome, len(claim.nonces))
    return total


def _encoded_bytes(item: InboundItem) -> int:
    """At least the length of the item's encoding, without encoding it."""
    of_bodies = 90 * item.message_count  # sender, recipient, timeout and the payload's length
    of_lists = 4 * len(item.nodes) + 24 * len(item.batches) + 13 * len(item.acks) + 8 * item.claim_count
    return (
        item.proof_bytes()
        + item.payload_bytes()
        + of_bodies
        + of_lists
        + 8 * len(item.timeouts)
        + 4 * 64
        + 128
    )


def _dearest_outcome(handlers: Mapping[bytes, MessageHandler]) -> Weight:
    """Whose messages an acknowledgement releases is not known before it is looked at."""
    weights = [handler.outcome_weight() for handler in handlers.values()]
    return Weight(
        max((weight.ref_time for weight in weights), default=0),
        max((weight.proof_size for weight in weights), default=0),
    )


def _times(weight: Weight, count: int) -> Weight:
    return Weight(min(weight.ref_time * count, 2**64 - 1), min(weight.proof_size * count, 2**64 - 1))
