"""Mailbox: the demo's recipient of messages. Keeps the last one of every sender and counts them all.

Pileus's own; it shows how a pallet receives: the mailbox is registered with the messaging pallet under the
recipient ``mailbox``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_messaging.types import Message, SentMessage
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.scale import U32, U64, Struct, Variant, u32, u64
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap, StorageValue
from runtime.support.weights import Weight

RECIPIENT = b"mailbox"
MAX_LETTER = 4_096


@dataclass(frozen=True, slots=True)
class Letter(Struct):
    """A received message."""

    nonce: U64
    sender: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class LetterReceived(Variant):
    """A message came in."""

    index: ClassVar[int] = 0
    source: U32
    nonce: U64


class Mailbox(Pallet):
    """Where messages to ``mailbox`` end up."""

    Received = StorageValue(u64, default=0)
    LastLetter = StorageMap(twox_64_concat, u32, Letter.codec())

    Event = LetterReceived

    class Error(enum.IntEnum):
        """Why a message is not accepted."""

        TooLong = 0

    def on_message(self, message: Message) -> None:
        """Keep the letter. Raises `ModuleError`; the message then counts as failed."""
        if len(message.body.payload) > MAX_LETTER:
            raise self.fail(self.Error.TooLong)
        self.Received.put(self.Received.get() + 1)
        self.LastLetter.insert(
            message.source, Letter(message.nonce, message.body.sender, message.body.payload)
        )
        self.deposit_event(LetterReceived(message.source, message.nonce))

    def on_outcome(self, sent: SentMessage, outcome: Outcome) -> None:
        """The mailbox sends nothing."""

    def message_weight(self, payload_length: int) -> Weight:
        """Two entries of a state with a few million keys, and the letter that is replaced."""
        return Weight(60_000_000 + 1_000 * payload_length, 8_000)

    def outcome_weight(self) -> Weight:
        """Of nothing."""
        return Weight()
