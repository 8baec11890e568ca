"""Settling our own messages: acknowledgements, outcomes and timeouts, from what a sibling's end of a lane says.

The exclusion law: no message is ever both timed out and delivered. The destination refuses to dispatch from its own
clock's timeout on; a timeout is granted only for a message that is not consumed in a state of the destination whose
clock has reached it; clocks do not run backwards, so that such a message can only expire. Each outcome is told once:
what is settled is gone, and what timed out is marked until its nonce is consumed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runtime.pallets.state_messaging.events import (
    LaneAcknowledged,
    MessageSettled,
    OutcomeHandlerFailed,
    PeerSuspension,
)
from runtime.pallets.state_messaging.lanes import (
    CHECKPOINT_INTERVAL,
    Inbound,
    InboundLane,
    Outcome,
    PendingMessage,
    is_unordered,
    settle_window,
)
from runtime.pallets.state_messaging.receive import ProvenItem, Refusal, Refused, check_ack, check_end
from runtime.pallets.state_messaging.types import Ack, InboundItem, SentMessage, TimeoutClaim
from runtime.support.dispatch import with_storage_layer

if TYPE_CHECKING:
    from runtime.pallets.state_messaging.pallet import StateMessaging

Due = dict[tuple[int, int], int]
"""(lane, nonce) -> timeout of messages whose timeout is yet to be decided."""


def check_acks(messaging: StateMessaging, item: InboundItem) -> None:
    """Against our own lanes and the block's budget. Raises `Refused`."""
    budget = messaging.limits.max_prune_per_block - messaging.Released.get()
    if sum(ack.limit for ack in item.acks) > budget:
        raise Refused(Refusal.PRUNE_BUDGET)
    for ack in item.acks:
        check_ack(ack, messaging.OutboundLanes.get((item.source, ack.lane)))


def check_claims(messaging: StateMessaging, item: InboundItem) -> Due:
    """The claims that are to be decided: what has an outcome already is left out, so that claiming twice is
    claiming once. Raises `Refused`.
    """
    due: Due = {}
    for claim in item.timeouts:
        following = messaging.OutboundLanes.get((item.source, claim.lane)).next_nonce
        if claim.nonces[-1] >= following:
            raise Refused(Refusal.CLAIM_NOT_SENT)
        for nonce in claim.nonces:
            pending = messaging.Pending.get((item.source, claim.lane, nonce))
            if pending is None or pending.timed_out:
                continue
            if pending.timeout is None:
                raise Refused(Refusal.CLAIM_WITHOUT_TIMEOUT)
            due[claim.lane, nonce] = pending.timeout
    return due


def check_proven(messaging: StateMessaging, item: InboundItem, due: Due, proven: ProvenItem) -> None:
    """What the sibling's state says is possible, and what is claimed to have timed out has. Raises `Refused`."""
    for lane, end in proven.ends.items():
        check_end(messaging.OutboundLanes.get((item.source, lane)), end)
    for (lane, nonce), timeout in due.items():
        if proven.now is None or proven.now < timeout:
            raise Refused(Refusal.TIMEOUT_NOT_REACHED)
        if proven.ends[lane].is_consumed(nonce):
            raise Refused(Refusal.ALREADY_CONSUMED)


def acknowledge(messaging: StateMessaging, dest: int, ack: Ack, end: Inbound, *, is_newest: bool) -> bool:
    """Release what the destination has consumed, at most `Ack.limit` messages, and tell the senders; whether that
    changed anything.

    Whether it takes more is believed of its newest head only: what is consumed stays so, but a lane that was suspended
    may be open again, and an old head would let anybody close it.
    """
    lane = messaging.OutboundLanes.get((dest, ack.lane))
    last = min(ack.first_nonce + ack.limit, lane.next_nonce) - 1
    if isinstance(end, InboundLane):
        last = min(last, end.last_delivered)
    released: list[tuple[int, bytes, PendingMessage]] = []
    for nonce in range(ack.first_nonce, last + 1):
        if not end.is_consumed(nonce):
            continue
        pending = messaging.Pending.take((dest, ack.lane, nonce))
        commitment = messaging.Outbox.take((dest, ack.lane, nonce))
        if pending is None or commitment is None:
            continue  # settled before: only in an unordered lane
        if nonce % CHECKPOINT_INTERVAL == 0:
            messaging.Checkpoints.remove((dest, ack.lane, nonce))
        released.append((nonce, commitment, pending))

    # The lane is written before the first sender is told: what it does about it may be to send again.
    acked = max(lane.acked, last)
    if is_unordered(ack.lane):
        nonces = tuple(nonce for nonce, *_ in released)
        acked, settled = settle_window(lane.acked, messaging.Settled.get((dest, ack.lane)), nonces)
        if nonces:
            messaging.Settled.insert((dest, ack.lane), settled)
    in_flight = lane.bytes_in_flight - sum(pending.size for *_, pending in released)
    suspended = end.suspended if is_newest else lane.suspended
    changed = replace(lane, acked=acked, bytes_in_flight=in_flight, suspended=suspended)
    if changed != lane:
        messaging.OutboundLanes.insert((dest, ack.lane), changed)
    if lane.suspended != suspended:
        messaging.deposit_event(PeerSuspension(dest, ack.lane, suspended))
    if not released:
        return changed != lane
    messaging.Released.put(messaging.Released.get() + len(released))
    messaging.deposit_event(LaneAcknowledged(dest, ack.lane, acked))
    for nonce, commitment, pending in released:
        if not pending.timed_out:
            sent = SentMessage(dest, ack.lane, nonce, commitment)
            _tell(messaging, sent, end.outcome_of(nonce), pending.owner)
    return True


def time_out(messaging: StateMessaging, dest: int, claim: TimeoutClaim) -> bool:
    """Make the outcome of the claimed messages final; whether any had none before. They stay in the outbox until the
    destination has passed them.
    """
    found = False
    for nonce in claim.nonces:
        position = dest, claim.lane, nonce
        pending = messaging.Pending.get(position)
        commitment = messaging.Outbox.get(position)
        if pending is None or pending.timed_out or commitment is None:
            continue
        found = True
        messaging.Pending.insert(position, replace(pending, timed_out=True))
        _tell(messaging, SentMessage(*position, commitment), Outcome.TIMED_OUT, pending.owner)
    return found


def _tell(messaging: StateMessaging, sent: SentMessage, outcome: Outcome, owner: bytes) -> None:
    messaging.deposit_event(MessageSettled(sent.dest, sent.lane, sent.nonce, sent.commitment, outcome))
    handler = messaging.handlers.get(owner)
    if handler is None:
        return
    if with_storage_layer(lambda: handler.on_outcome(sent, outcome)) is not None:
        messaging.deposit_event(OutcomeHandlerFailed(sent.dest, sent.lane, sent.nonce))
