"""What a node asks the messaging pallet: lanes, pending messages, timeouts that are due. Read only, for runtime APIs.

Everything is bounded by the caller or by the lanes' windows; nothing here runs in a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from host_functions.interfaces import storage as host
from runtime.pallets.state_messaging.keys import lane_key
from runtime.pallets.state_messaging.lanes import OutboundLane
from runtime.primitives import relay_keys
from runtime.primitives.scale import H256, U8, U32, U64, Bool, Struct, Variant

if TYPE_CHECKING:
    from runtime.pallets.state_messaging.pallet import StateMessaging

__all__ = [
    "LaneName",
    "OutboundLaneView",
    "PendingView",
    "RelayProofRequest",
    "Top",
    "due_timeouts",
    "inbound_lanes",
    "keys_to_prove",
    "outbound_lanes",
    "pending_messages",
]

MAX_ANSWER = 1_024
"""Entries in one answer."""


@dataclass(frozen=True, slots=True)
class LaneName(Struct):
    """One lane of one sibling."""

    para: U32
    lane: U8


@dataclass(frozen=True, slots=True)
class OutboundLaneView(Struct):
    """Our end of a lane to a sibling."""

    name: LaneName
    state: OutboundLane


@dataclass(frozen=True, slots=True)
class PendingView(Struct):
    """A message of ours that is not settled."""

    nonce: U64
    commitment: H256
    size: U32
    timeout: U64 | None
    timed_out: Bool


@dataclass(frozen=True, slots=True)
class Top(Variant):
    """``RelayStorageKey::Top``: a key of the relay chain's main trie."""

    index: ClassVar[int] = 0
    key: bytes


@dataclass(frozen=True, slots=True)
class RelayProofRequest(Struct):
    """``cumulus_primitives_core::RelayProofRequest`` [sdk-10678]; child tries are not asked for."""

    keys: tuple[Top, ...]


def outbound_lanes(messaging: StateMessaging) -> tuple[OutboundLaneView, ...]:
    """Every lane that we have sent on, by destination and lane."""
    return tuple(
        OutboundLaneView(name, messaging.OutboundLanes.get((name.para, name.lane)))
        for name in _names(messaging.OutboundLanes.prefix)
    )


def inbound_lanes(messaging: StateMessaging) -> tuple[LaneName, ...]:
    """Every lane that we have consumed from, by source and lane."""
    names = [*_names(messaging.InboundLanes.prefix), *_names(messaging.InboundWindows.prefix)]
    return tuple(sorted(names, key=lambda name: (name.para, name.lane)))


def _names(prefix: bytes) -> list[LaneName]:
    names: list[LaneName] = []
    key = host.next_key(prefix)
    while key is not None and key.startswith(prefix):
        names.append(LaneName(*lane_key.decode(key[len(prefix) :])))
        key = host.next_key(key)
    return names


def pending_messages(
    messaging: StateMessaging, dest: int, lane: int, first: int, count: int
) -> tuple[PendingView, ...]:
    """Our unsettled messages of a lane, from nonce ``first`` on, at most ``count``."""
    state = messaging.OutboundLanes.get((dest, lane))
    found: list[PendingView] = []
    for nonce in range(max(first, state.acked + 1), state.next_nonce):
        if len(found) >= min(count, MAX_ANSWER):
            break
        pending = messaging.Pending.get((dest, lane, nonce))
        commitment = messaging.Outbox.get((dest, lane, nonce))
        if pending is not None and commitment is not None:
            found.append(PendingView(nonce, commitment, pending.size, pending.timeout, pending.timed_out))
    return tuple(found)


def due_timeouts(messaging: StateMessaging, dest: int, lane: int, now: int) -> tuple[int, ...]:
    """Nonces of a lane whose timeout the destination's clock has reached at ``now``, in milliseconds, and that
    have no outcome here; a claim may be made for those that the destination has not consumed.
    """
    return tuple(
        view.nonce
        for view in pending_messages(messaging, dest, lane, 0, MAX_ANSWER)
        if view.timeout is not None and not view.timed_out and view.timeout <= now
    )


def keys_to_prove(messaging: StateMessaging) -> RelayProofRequest:
    """The relay keys that a block with items of our siblings reads: ``KeyToIncludeInRelayProof`` [sdk-10678].

    They need not stand in the validation data's proof, because the runtime reads them by ``read_relay_state``; a
    collator without a relay node of its own fetches them in one request.
    """
    paras = {name.para for name in inbound_lanes(messaging)}
    paras |= {view.name.para for view in outbound_lanes(messaging)}
    return RelayProofRequest(tuple(Top(relay_keys.para_head(para)) for para in sorted(paras)))
