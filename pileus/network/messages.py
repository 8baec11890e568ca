"""Every message of a run, from being sent to being consumed.

The ledger is fed from events of *included* parachain blocks, so a message counts as sent when the relay chain has
included the block that sent it, and as delivered when it has included the block that consumed it. Latencies are in
relay blocks between the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from runtime.pallets.state_messaging.events import MessageConsumed, MessageSent, MessageSettled
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.support.construct import EventRecord

__all__ = ["LedgerEntry", "MessageId", "MessageLedger", "Noted", "RouteTotals"]


class MessageId(NamedTuple):
    """A message by its place."""

    source: int
    dest: int
    lane: int
    nonce: int


@dataclass(slots=True)
class LedgerEntry:
    """The relay blocks at which things happened to a message; ``None`` for what has not."""

    sent: int
    proven: int | None = None
    """Backed, in a candidate of the destination that proves it."""
    consumed: int | None = None
    outcome: Outcome | None = None
    settled: int | None = None
    """The sender was proven the outcome, or that there will be none but expiry."""


class Noted(NamedTuple):
    """The messages in the events of one block."""

    sent: tuple[MessageId, ...]
    delivered: tuple[MessageId, ...]
    failed: tuple[MessageId, ...]
    """Refused by their recipient, or there is none."""
    expired: tuple[MessageId, ...]
    settled: tuple[tuple[MessageId, Outcome], ...]


@dataclass(slots=True)
class RouteTotals:
    """The messages from one parachain to another, counted as things happen."""

    sent: int = 0
    proven: int = 0
    delivered: int = 0
    settled: int = 0
    """Acknowledged to the sender, with whatever outcome, or timed out."""
    failed: int = 0
    """Consumed without being delivered: expired, or refused by the recipient."""
    waited: int = 0
    """Relay blocks from the inclusion of the sending block to that of the delivering one, over all delivered."""

    @property
    def latency(self) -> float | None:
        """Mean of `waited`; ``None`` before the first delivery."""
        return self.waited / self.delivered if self.delivered else None


class MessageLedger:
    """All messages so far."""

    def __init__(self) -> None:
        self.entries: dict[MessageId, LedgerEntry] = {}
        self._routes: dict[tuple[int, int], RouteTotals] = {}

    def routes(self) -> tuple[tuple[int, int, RouteTotals], ...]:
        """Source, destination and totals of every pair of parachains that has messages, in order of their ids."""
        return tuple((source, dest, self._routes[source, dest]) for source, dest in sorted(self._routes))

    def note_proven(self, messages: Iterable[MessageId], relay_block: int) -> None:
        """A candidate that proves these was backed. A message proven again does not count twice."""
        for message in messages:
            entry = self.entries.get(message)
            if entry is not None and entry.proven is None:
                entry.proven = relay_block
                self._route(message).proven += 1

    def note_events(self, para_id: int, events: Iterable[EventRecord], relay_block: int) -> Noted:
        """Take in the events of an included block."""
        sent: list[MessageId] = []
        delivered: list[MessageId] = []
        failed: list[MessageId] = []
        expired: list[MessageId] = []
        settled: list[tuple[MessageId, Outcome]] = []
        for record in events:
            event = record.event
            if isinstance(event, MessageSent):
                message = MessageId(para_id, event.dest, event.lane, event.nonce)
                self.entries[message] = LedgerEntry(relay_block)
                self._route(message).sent += 1
                sent.append(message)
            elif isinstance(event, MessageConsumed):
                message = MessageId(event.source, para_id, event.lane, event.nonce)
                outcome = Outcome(event.outcome)
                self._consume(message, outcome, relay_block)
                lists = {Outcome.DELIVERED: delivered, Outcome.EXPIRED: expired}
                lists.get(outcome, failed).append(message)
            elif isinstance(event, MessageSettled):
                message = MessageId(para_id, event.dest, event.lane, event.nonce)
                self.entries[message].settled = relay_block
                self._route(message).settled += 1
                settled.append((message, Outcome(event.outcome)))
        return Noted(tuple(sent), tuple(delivered), tuple(failed), tuple(expired), tuple(settled))

    def _consume(self, message: MessageId, outcome: Outcome, relay_block: int) -> None:
        entry = self.entries[message]
        entry.consumed, entry.outcome = relay_block, outcome
        route = self._route(message)
        if outcome is not Outcome.DELIVERED:
            route.failed += 1
            return
        route.delivered += 1
        route.waited += relay_block - entry.sent

    def _route(self, message: MessageId) -> RouteTotals:
        return self._routes.setdefault((message.source, message.dest), RouteTotals())
