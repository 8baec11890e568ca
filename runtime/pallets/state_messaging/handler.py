"""What a pallet implements to receive messages, and to hear what became of its own."""

from __future__ import annotations

from typing import Protocol

from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_messaging.types import Message, SentMessage
from runtime.support.weights import Weight


class MessageHandler(Protocol):
    """Registered with the messaging pallet under a name of less than 32 bytes.

    Messages whose ``recipient`` is that name are given to `on_message`. A pallet that sends messages under its own
    name as ``sender`` hears of each outcome through `on_outcome`, exactly once; no account can send under it,
    because accounts have 32 bytes.
    """

    def on_message(self, message: Message, /) -> None:
        """Take a message of a sibling. A `DispatchError` undoes what was done and makes the outcome
        `Outcome.FAILED`; the message is consumed either way. ``message.body.sender`` is as trustworthy as the
        sibling's runtime.
        """

    def on_outcome(self, sent: SentMessage, outcome: Outcome, /) -> None:
        """The outcome of a message sent under this handler's name, which is final. A `DispatchError` undoes
        what was done, and nothing else.
        """

    def message_weight(self, payload_length: int, /) -> Weight:
        """Of `on_message` with a payload of so many bytes, at most; charged before the message is looked at."""

    def outcome_weight(self) -> Weight:
        """Of `on_outcome`, at most."""
