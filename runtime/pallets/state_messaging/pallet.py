"""State messaging: messages committed to our state, and messages of siblings proven against theirs.

Outgoing: `StateMessaging.send` writes one 32-byte commitment under ``Outbox(dest, lane, nonce)``; the block's
state root commits to it, and the relay chain learns that root with our head. Incoming: a collator's inherent
brings bodies and a proof; the pallet reads the sibling's head itself through ``read_relay_state``, checks the
proof against that head's state root, and delivers in order.

A bad item is a no-op with an event that says why, never an invalid block; only an inherent that breaks the
outer rules (undecodable, sources out of order, over the total size) invalidates its block. Not modelled yet:
acknowledgements and with them pruning, timeouts for the sender, unordered lanes, heads older than the newest.

Source: the proposal; the protocol is Pileus's own (docs: "How a message crosses").
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from host_functions.interfaces import offchain_index
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.state_messaging import receive
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_messaging.receive import ProvenBatch, Refused
from runtime.pallets.state_messaging.types import (
    EMPTY_INHERENT,
    MAX_PARTY_LENGTH,
    VERSION,
    InboundItem,
    InboundLane,
    Message,
    MessageBody,
    MessagingInherent,
    OutboundLane,
    chain_step,
    offchain_body_key,
)
from runtime.pallets.timestamp import Timestamp
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.inherent import STATE_MESSAGING, InherentData
from runtime.primitives.scale import H256, U8, U32, U64, Codec, Variant, boolean, h256, tuple_of
from runtime.support.dispatch import (
    DispatchError,
    Origin,
    call,
    ensure_none,
    ensure_signed,
    with_storage_layer,
)
from runtime.support.pallet import Call, Pallet
from runtime.support.storage import StorageMap, StorageValue, identity
from runtime.support.weights import DispatchClass, Weight
from runtime.trie.layout import LAYOUT_V1, Layout

MessageHandler = Callable[[Message], None]
"""Receives a message addressed to it. A `DispatchError` makes the outcome `Outcome.FAILED`; the message is
consumed.
"""


class _BigEndian(Codec[int]):
    """Unsigned integer, big-endian: the order of the numbers is the order of the keys."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__(f"u{8 * size} big-endian", size)
        self.size = size

    def encode(self, value: int) -> bytes:
        if not 0 <= value < 1 << (8 * self.size):
            raise ScaleError("out of range", what=self.name)
        return value.to_bytes(self.size, "big")

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[int, int]:
        end = offset + self.size
        if end > len(data):
            raise ScaleError("input ended", what=self.name, offset=offset)
        return int.from_bytes(data[offset:end], "big"), end


_lane: Codec[tuple[int, int]] = tuple_of(_BigEndian(4), _BigEndian(1))
_position: Codec[tuple[int, int, int]] = tuple_of(_BigEndian(4), _BigEndian(1), _BigEndian(8))


class Outcome(enum.IntEnum):
    """What became of a message. Every outcome consumes it."""

    DELIVERED = 0
    FAILED = 1
    """The recipient's handler failed, or there is none."""
    EXPIRED = 2
    """Its timeout had passed; it was not dispatched."""


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
    """An item of the inherent was refused and changed nothing. ``reason`` is a `receive.Refusal`."""

    index: ClassVar[int] = 2
    source: U32
    reason: U8


def _inherent_weight(inherent: MessagingInherent) -> Weight:
    """Proof bytes are charged before the proof is looked at."""
    proof = sum(item.proof_bytes() + item.payload_bytes() for item in inherent.items)
    messages = sum(item.message_count for item in inherent.items)
    return Weight(20_000_000 * len(inherent.items) + 30_000_000 * messages, proof)


class StateMessaging(Pallet):
    """State-proof messaging between parachains."""

    Outbox: StorageMap[tuple[int, int, int], bytes, bytes | None] = StorageMap(identity, _position, h256)
    """(dest, lane, nonce) -> commitment."""
    OutboundLanes: StorageMap[tuple[int, int], OutboundLane, OutboundLane] = StorageMap(
        identity, _lane, OutboundLane.codec(), default=OutboundLane()
    )
    """(dest, lane)."""
    InboundLanes: StorageMap[tuple[int, int], InboundLane, InboundLane] = StorageMap(
        identity, _lane, InboundLane.codec(), default=InboundLane()
    )
    """(source, lane)."""
    DidReceive = StorageValue(boolean)

    Event = MessageSent | MessageConsumed | ItemRefused

    class Error(enum.IntEnum):
        """Why `send` refuses."""

        DestinationIsSelf = 0
        MessageTooLarge = 1
        LaneFull = 2
        TimeoutOutOfRange = 3
        RecipientTooLong = 4

    def __init__(
        self,
        parachain_info: ParachainInfo,
        timestamp: Timestamp,
        *,
        handlers: Mapping[bytes, MessageHandler],
        limits: Limits = DEFAULT_LIMITS,
        sibling_layout: Layout = LAYOUT_V1,
    ) -> None:
        """``handlers`` by recipient; ``sibling_layout`` is how siblings hash and lay out their state."""
        self.parachain_info = parachain_info
        self.timestamp = timestamp
        self.handlers = dict(handlers)
        self.limits = limits
        self.sibling_layout = sibling_layout

    # Sending.

    @call(
        0,
        weight=lambda dest, lane, recipient, timeout, payload: Weight(
            60_000_000 + 1_000 * len(payload), 7_000
        ),
    )
    def send(
        self, origin: Origin, dest: U32, lane: U8, recipient: bytes, timeout: U64 | None, payload: bytes
    ) -> None:
        """Send ``payload`` to ``recipient`` on parachain ``dest``, from the signing account."""
        sender = ensure_signed(origin)
        self.send_message(dest, lane, MessageBody(sender, recipient, timeout, payload))

    def send_message(self, dest: int, lane: int, body: MessageBody) -> Message:
        """Commit to a message. For other pallets; raises `ModuleError`."""
        me = self.parachain_info.ParachainId.get()
        if dest == me:
            raise self.fail(self.Error.DestinationIsSelf)
        if len(body.recipient) > MAX_PARTY_LENGTH:
            raise self.fail(self.Error.RecipientTooLong)
        if len(body.payload) > self.limits.max_message_size:
            raise self.fail(self.Error.MessageTooLarge)
        if body.timeout is not None:
            now = self.timestamp.Now.get()
            if not now < body.timeout <= now + self.limits.max_timeout:
                raise self.fail(self.Error.TimeoutOutOfRange)
        state = self.OutboundLanes.get((dest, lane))
        encoded = body.encode()
        in_flight_bytes = state.bytes_in_flight + len(encoded)
        if (
            state.in_flight >= self.limits.max_in_flight_messages
            or in_flight_bytes > self.limits.max_in_flight_bytes
        ):
            raise self.fail(self.Error.LaneFull)
        nonce = state.next_nonce
        message = Message(VERSION, me, dest, lane, nonce, body)
        commitment = message.commitment()
        self.Outbox.insert((dest, lane, nonce), commitment)
        head = chain_step(state.head, nonce, commitment)
        self.OutboundLanes.insert((dest, lane), OutboundLane(nonce + 1, state.acked, in_flight_bytes, head))
        offchain_index.set(offchain_body_key(dest, lane, nonce), encoded)
        self.deposit_event(MessageSent(dest, lane, nonce, commitment))
        return message

    # Receiving.

    @call(1, weight=_inherent_weight, dispatch_class=DispatchClass.MANDATORY)
    def receive(self, origin: Origin, inherent: MessagingInherent) -> None:
        """Consume what siblings sent us. Inherent; at most one in a block."""
        ensure_none(origin)
        if self.DidReceive.exists():
            raise InvalidBlock("messaging inherent: more than one in the block")
        self.DidReceive.put(True)
        if inherent.version != VERSION:
            raise InvalidBlock(f"messaging inherent of version {inherent.version}, expected {VERSION}")
        sources = [item.source for item in inherent.items]
        if any(first >= second for first, second in pairwise(sources)):
            raise InvalidBlock("messaging inherent: sources are not strictly increasing")
        if len(sources) > self.limits.max_siblings_per_block:
            raise InvalidBlock(f"messaging inherent: {len(sources)} items")
        if (
            sum(item.proof_bytes() + item.payload_bytes() for item in inherent.items)
            > self.limits.max_inherent_bytes
        ):
            raise InvalidBlock("messaging inherent: larger than its share of the PoV")
        for item in inherent.items:
            try:
                batches = self._check(item)
            except Refused as refused:
                self.deposit_event(ItemRefused(item.source, refused.refusal))
                continue
            for batch in batches:
                self._consume(item.source, batch)

    def _check(self, item: InboundItem) -> tuple[ProvenBatch, ...]:
        """The protocol's checks, in its order. Raises `Refused`."""
        me = self.parachain_info.ParachainId.get()
        receive.check_shape(item, self.limits, me)
        for batch in item.batches:
            receive.check_cursor(batch, self.InboundLanes.get((item.source, batch.lane)))
        head = receive.resolve_head(item)
        return receive.prove_messages(item, head, me, self.outbox_key, self.sibling_layout)

    def outbox_key(self, dest: int, lane: int, nonce: int) -> bytes:
        """Storage key of a commitment: the same on every chain that has this pallet."""
        return self.Outbox.key((dest, lane, nonce))

    def _consume(self, source: int, batch: ProvenBatch) -> None:
        """Advance the lane over a proven batch and dispatch each message in its own storage layer."""
        lane = self.InboundLanes.get((source, batch.lane))
        last, outcomes, head = lane.last_delivered, lane.outcomes, lane.head
        now = self.timestamp.Now.get()
        for message, commitment in batch.messages:
            last = message.nonce
            head = chain_step(head, last, commitment)
            outcome = self._dispatch(message, now)
            outcomes = (outcomes << 1 | (outcome is Outcome.DELIVERED)) & (2**64 - 1)
            self.deposit_event(MessageConsumed(source, batch.lane, last, commitment, outcome))
        self.InboundLanes.insert((source, batch.lane), InboundLane(last, outcomes, lane.suspended, head))

    def _dispatch(self, message: Message, now: int) -> Outcome:
        timeout = message.body.timeout
        if timeout is not None and now >= timeout:
            return Outcome.EXPIRED
        handler = self.handlers.get(message.body.recipient)
        if handler is None:
            return Outcome.FAILED
        error: DispatchError | None = with_storage_layer(lambda: handler(message))
        return Outcome.DELIVERED if error is None else Outcome.FAILED

    # Inherent.

    def on_finalize(self, number: int) -> None:
        self.DidReceive.kill()

    def create_inherent(self, data: InherentData) -> Call | None:
        inherent = data.get_data(STATE_MESSAGING, MessagingInherent.codec())
        return None if inherent in (None, EMPTY_INHERENT) else self.call_of(self.receive, inherent)

    def is_inherent(self, call: Call) -> bool:
        return call.function.spec.name == "receive"
