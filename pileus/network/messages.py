"""Every message of a run, from being sent to being consumed.

The ledger is fed from events of *included* parachain blocks, so a message counts as sent when the relay chain has
included the block that sent it, and as delivered when it has included the block that consumed it. Latencies are in
relay blocks between the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from runtime.pallets.state_messaging.pallet import MessageConsumed, MessageSent, Outcome
from runtime.support.construct import EventRecord

__all__ = ["LedgerEntry", "MessageId", "MessageLedger", "RouteSummary"]


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


@dataclass(frozen=True, slots=True)
class RouteSummary:
    """The messages from one parachain to another."""

    source: int
    dest: int
    sent: int
    proven: int
    delivered: int
    failed: int
    latency: float | None
    """Mean relay blocks from the inclusion of the sending block to that of the delivering one."""


class MessageLedger:
    """All messages so far."""

    def __init__(self) -> None:
        self.entries: dict[MessageId, LedgerEntry] = {}

    def note_proven(self, messages: Iterable[MessageId], relay_block: int) -> None:
        """A candidate that proves these was backed. One that is replaced later does not count twice."""
        for message in messages:
            entry = self.entries.get(message)
            if entry is not None and entry.proven is None:
                entry.proven = relay_block

    def note_events(
        self, para_id: int, events: Iterable[EventRecord], relay_block: int
    ) -> tuple[tuple[MessageId, ...], tuple[MessageId, ...], tuple[MessageId, ...]]:
        """Take in the events of an included block: the messages it sent, delivered, and consumed otherwise."""
        sent: list[MessageId] = []
        delivered: list[MessageId] = []
        failed: list[MessageId] = []
        for record in events:
            event = record.event
            if isinstance(event, MessageSent):
                message = MessageId(para_id, event.dest, event.lane, event.nonce)
                self.entries[message] = LedgerEntry(relay_block)
                sent.append(message)
            elif isinstance(event, MessageConsumed):
                message = MessageId(event.source, para_id, event.lane, event.nonce)
                outcome = Outcome(event.outcome)
                (delivered if outcome is Outcome.DELIVERED else failed).append(message)
                entry = self.entries.setdefault(message, LedgerEntry(relay_block))
                entry.consumed, entry.outcome = relay_block, outcome
        return tuple(sent), tuple(delivered), tuple(failed)

    def routes(self) -> tuple[RouteSummary, ...]:
        """One summary per pair of parachains that has messages, in order of their ids."""
        return tuple(
            self._summary(source, dest)
            for source, dest in sorted({(message.source, message.dest) for message in self.entries})
        )

    def _summary(self, source: int, dest: int) -> RouteSummary:
        entries = [
            entry
            for message, entry in self.entries.items()
            if (message.source, message.dest) == (source, dest)
        ]
        delivered = [entry for entry in entries if entry.outcome is Outcome.DELIVERED]
        latencies = [entry.consumed - entry.sent for entry in delivered if entry.consumed is not None]
        return RouteSummary(
            source,
            dest,
            sent=len(entries),
            proven=sum(entry.proven is not None for entry in entries),
            delivered=len(delivered),
            failed=sum(entry.consumed is not None for entry in entries) - len(delivered),
            latency=sum(latencies) / len(latencies) if latencies else None,
        )
