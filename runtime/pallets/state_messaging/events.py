"""Events of the messaging pallet. The index of each is what a node sees; docs "The messaging protocol" lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from runtime.primitives.scale import H256, U8, U32, U64, Bool, Variant


@dataclass(frozen=True, slots=True)
class MessageSent(Variant):
    """We committed to a message."""

    index: ClassVar[int] = 0
    dest: U32
    lane: U8
    nonce: U64
    commitment: H256


@dataclass(frozen=True, slots=True)
class MessageConsumed(Variant):
    """A sibling's message was proven and consumed. ``outcome`` is an `Outcome`."""

    index: ClassVar[int] = 1
    source: U32
    lane: U8
    nonce: U64
    commitment: H256
    outcome: U8


@dataclass(frozen=True, slots=True)
class ItemRefused(Variant):
    """An item was refused and changed nothing. ``reason`` is a `receive.Refusal`."""

    index: ClassVar[int] = 2
    source: U32
    reason: U8


@dataclass(frozen=True, slots=True)
class MessageSettled(Variant):
    """What became of one of our messages is known for good. ``outcome`` is an `Outcome`."""

    index: ClassVar[int] = 3
    dest: U32
    lane: U8
    nonce: U64
    commitment: H256
    outcome: U8


@dataclass(frozen=True, slots=True)
class LaneAcknowledged(Variant):
    """Messages of ours were released: every nonce up to ``acked`` is settled."""

    index: ClassVar[int] = 4
    dest: U32
    lane: U8
    acked: U64


@dataclass(frozen=True, slots=True)
class PeerSuspension(Variant):
    """A destination takes no more messages on a lane, or takes them again."""

    index: ClassVar[int] = 5
    dest: U32
    lane: U8
    suspended: Bool


@dataclass(frozen=True, slots=True)
class LaneSuspension(Variant):
    """Our governance suspended a lane of a sibling, or resumed it."""

    index: ClassVar[int] = 6
    source: U32
    lane: U8
    suspended: Bool


@dataclass(frozen=True, slots=True)
class MessagesSkipped(Variant):
    """Our governance moved a lane's cursor: messages ``first`` to ``last`` are consumed without having been
    seen.
    """

    index: ClassVar[int] = 7
    source: U32
    lane: U8
    first: U64
    last: U64


@dataclass(frozen=True, slots=True)
class SourceBlocked(Variant):
    """Our governance decided whether a sibling's items are looked at."""

    index: ClassVar[int] = 8
    source: U32
    blocked: Bool


@dataclass(frozen=True, slots=True)
class OutcomeHandlerFailed(Variant):
    """The sender of a message failed to take note of its outcome, which is final all the same."""

    index: ClassVar[int] = 9
    dest: U32
    lane: U8
    nonce: U64


MessagingEvent: TypeAlias = (
    MessageSent
    | MessageConsumed
    | ItemRefused
    | MessageSettled
    | LaneAcknowledged
    | PeerSuspension
    | LaneSuspension
    | MessagesSkipped
    | SourceBlocked
    | OutcomeHandlerFailed
)
