"""What a block did with amounts that move between chains: the events of its assets pallet, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.pallets.assets import RefundKept, TransferReceived, TransferSent, TransferSettled
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.support.construct import EventRecord

__all__ = ["Movement", "movements_of"]


@dataclass(frozen=True, slots=True)
class Movement:
    """One event of the assets pallet."""

    kind: str
    """``sent``, ``received``, ``settled`` or ``refunded``."""
    amount: int
    """In the token's smallest unit."""
    text: str
    """For people."""


def movements_of(para_id: int, events: Iterable[EventRecord]) -> tuple[Movement, ...]:
    """The movements of one block of parachain ``para_id``, in the order of its events."""
    found: list[Movement] = []
    for record in events:
        event = record.event
        if isinstance(event, TransferSent):
            how = "locked here" if event.home == para_id else "burnt here"
            text = f"{event.amount:,} of {event.home} leaves for {event.dest} (message #{event.nonce}): {how}"
            found.append(Movement("sent", event.amount, text))
        elif isinstance(event, TransferReceived):
            how = "released" if event.home == para_id else "minted"
            text = f"{event.amount:,} of {event.home} arrives from {event.source} (message #{event.nonce}): {how}"
            found.append(Movement("received", event.amount, text))
        elif isinstance(event, TransferSettled):
            outcome = Outcome(event.outcome)
            word = outcome.name.lower().replace("_", " ")
            where = f"{event.amount:,} to {event.dest} (message #{event.nonce})"
            if outcome is Outcome.DELIVERED:
                found.append(Movement("settled", event.amount, f"{where} has arrived"))
            else:
                found.append(Movement("refunded", event.amount, f"{where} {word}: refunded"))
        elif isinstance(event, RefundKept):
            text = f"a refund of {event.amount:,} waits for 0x{event.account.hex()[:8]}…"
            found.append(Movement("refunded", event.amount, text))
    return tuple(found)
