"""Events of the parachain system, by the indices of ``cumulus_pallet_parachain_system`` [cumulus-parachain-system]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runtime.primitives.scale import H256, U32, Variant
from runtime.support.weights import Weight


@dataclass(frozen=True, slots=True)
class ValidationFunctionStored(Variant):
    """New code waits for the relay chain's word."""

    index: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class ValidationFunctionApplied(Variant):
    """The relay chain gave it, and the next block runs the new code."""

    index: ClassVar[int] = 1
    relay_chain_block_num: U32


@dataclass(frozen=True, slots=True)
class ValidationFunctionDiscarded(Variant):
    """The relay chain's validators do not want the new code; nothing changes."""

    index: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class DownwardMessagesReceived(Variant):
    """Messages from the relay chain were taken from our queue."""

    index: ClassVar[int] = 3
    count: U32


@dataclass(frozen=True, slots=True)
class DownwardMessagesProcessed(Variant):
    """The queue of downward messages now ends in this head."""

    index: ClassVar[int] = 4
    weight_used: Weight
    """Of handing the messages on; zero, because nobody here receives them yet."""
    dmq_head: H256


@dataclass(frozen=True, slots=True)
class UpwardMessageSent(Variant):
    """A message to the relay chain was queued. ``message_hash`` is its BLAKE2b-256."""

    index: ClassVar[int] = 5
    message_hash: H256 | None
