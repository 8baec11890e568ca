"""State messaging: messages committed to our state, and messages of siblings proven against theirs.

Outgoing: `StateMessaging.send` writes one 32-byte commitment under ``Outbox(dest, lane, nonce)`` and takes the lane's
hash chain one step further; the block's state root commits to both, and the relay chain learns that root with our
head. Incoming: an item brings bodies and a proof; the pallet reads the sibling's head itself through
``read_relay_state``, checks the proof against that head's state root, and consumes. What the sibling says of *its* end
of our lanes comes back the same way: acknowledgements, outcomes, timeouts.

An item comes in a collator's inherent (`StateMessaging.receive`), which is optional, or from anybody in a signed
extrinsic that pays for the work beforehand (`StateMessaging.submit`). A bad item is a no-op with an event that says
why, never an invalid block; only an inherent that breaks the outer rules (undecodable, sources out of order, over the
total size) invalidates its block.

Source: the proposal; the protocol is Pileus's own (docs: "The messaging protocol").
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from host_functions.interfaces import offchain_index
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.state_messaging import receive, settle
from runtime.pallets.state_messaging.events import (
    ItemRefused,
    LaneSuspension,
    MessageConsumed,
    MessageSent,
    MessagesSkipped,
    MessagingEvent,
    SourceBlocked,
)
from runtime.pallets.state_messaging.handler import MessageHandler
from runtime.pallets.state_messaging.keys import head_key, lane_key, para_key, position_key, slot_key
from runtime.pallets.state_messaging.lanes import (
    CHECKPOINT_INTERVAL,
    MAX_NONCE,
    MAX_PARTY_LENGTH,
    OUTCOME_WINDOW,
    VERSION,
    Inbound,
    InboundLane,
    InboundWindow,
    OutboundLane,
    Outcome,
    PendingMessage,
    Window,
    chain_step,
    is_unordered,
)
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_messaging.receive import ProtocolKeys, ProvenBatch, ProvenItem, Refusal, Refused
from runtime.pallets.state_messaging.types import (
    EMPTY_INHERENT,
    InboundItem,
    Message,
    MessageBody,
    MessagingInherent,
    offchain_body_key,
)
from runtime.pallets.state_messaging.weights import DEFAULT_FEES, ItemFees, item_weight
from runtime.pallets.timestamp import Timestamp
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.inherent import STATE_MESSAGING, InherentData
from runtime.primitives.scale import H256, U8, U32, U64, Bool, Struct, boolean, codec_of, h256, u32
from runtime.support.dispatch import (
    DispatchError,
    Origin,
    call,
    ensure_none,
    ensure_root,
    ensure_signed,
    with_storage_layer,
)
from runtime.support.pallet import Call, Pallet
from runtime.support.sibling_ancestry import HeadRefused, NewestHead, SiblingHead, resolve_head
from runtime.support.storage import StorageMap, StorageValue, identity
from runtime.support.weights import DispatchClass, Weight
from runtime.trie.layout import LAYOUT_V1, Layout

GOVERNANCE_WEIGHT = Weight(50_000_000, 12_000)


@dataclass(frozen=True, slots=True)
class HeadRing(Struct):
    """Which heads of one sibling are remembered."""

    following: U8 = 0
    """Slot that the next head takes; whatever was there is forgotten."""
    newest: U32 = 0
    """Highest block number relied on."""


class StateMessaging(Pallet):
    """State-proof messaging between parachains."""

    Outbox: StorageMap[tuple[int, int, int], bytes, bytes | None] = StorageMap(identity, position_key, h256)
    """(dest, lane, nonce) -> commitment, until the message is settled."""
    Pending: StorageMap[tuple[int, int, int], PendingMessage, PendingMessage | None] = StorageMap(
        identity, position_key, PendingMessage.codec()
    )
    """(dest, lane, nonce), as long as `Outbox` has it."""
    Checkpoints: StorageMap[tuple[int, int, int], bytes, bytes | None] = StorageMap(
        identity, position_key, h256
    )
    """(dest, lane, nonce) -> chain head at that nonce, a multiple of `CHECKPOINT_INTERVAL`; ordered lanes only."""
    OutboundLanes: StorageMap[tuple[int, int], OutboundLane, OutboundLane] = StorageMap(
        identity, lane_key, OutboundLane.codec(), default=OutboundLane()
    )
    """(dest, lane)."""
    Settled: StorageMap[tuple[int, int], int, int] = StorageMap(
        identity, lane_key, codec_of(Window), default=0
    )
    """(dest, unordered lane) -> bit i: whether message ``acked + 1 + i`` is settled."""
    InboundLanes: StorageMap[tuple[int, int], InboundLane, InboundLane] = StorageMap(
        identity, lane_key, InboundLane.codec(), default=InboundLane()
    )
    """(source, ordered lane)."""
    InboundWindows: StorageMap[tuple[int, int], InboundWindow, InboundWindow] = StorageMap(
        identity, lane_key, InboundWindow.codec(), default=InboundWindow()
    )
    """(source, unordered lane)."""
    RememberedHeads: StorageMap[tuple[int, bytes], SiblingHead, SiblingHead | None] = StorageMap(
        identity, head_key, SiblingHead.codec()
    )
    """(source, hash)."""
    RememberedHashes: StorageMap[tuple[int, int], bytes, bytes | None] = StorageMap(identity, slot_key, h256)
    """(source, slot) -> hash of the head in that slot of the ring."""
    HeadRings: StorageMap[int, HeadRing, HeadRing] = StorageMap(
        identity, para_key, HeadRing.codec(), default=HeadRing()
    )
    BlockedSources: StorageMap[int, bool, bool] = StorageMap(identity, para_key, boolean, default=False)
    DidReceive = StorageValue(boolean)
    Released = StorageValue(u32, default=0)
    """Messages that acknowledgements released in this block."""

    Event = MessagingEvent

    class Error(enum.IntEnum):
        """Why a call fails."""

        DestinationIsSelf = 0
        MessageTooLarge = 1
        LaneFull = 2
        TimeoutOutOfRange = 3
        RecipientTooLong = 4
        LaneSuspended = 5
        """The destination takes nothing on this lane at the moment."""
        SkipOutOfRange = 6

    def __init__(
        self,
        parachain_info: ParachainInfo,
        timestamp: Timestamp,
        *,
        handlers: Mapping[bytes, MessageHandler],
        limits: Limits = DEFAULT_LIMITS,
        sibling_layout: Layout = LAYOUT_V1,
        governance: Callable[[Origin], None] = ensure_root,
        fees: ItemFees = DEFAULT_FEES,
    ) -> None:
        """``handlers`` by recipient; ``sibling_layout`` is how siblings hash and lay out their state;
        ``governance`` raises `BadOrigin` for who may not suspend, skip and block; ``fees`` are those of `submit`.
        """
        self.parachain_info = parachain_info
        self.timestamp = timestamp
        self.handlers: dict[bytes, MessageHandler] = {}
        for name, handler in handlers.items():
            self.register(name, handler)
        self.limits = limits
        self.sibling_layout = sibling_layout
        self.governance = governance
        self.fees = fees
        self.keys = ProtocolKeys(
            self.Outbox.key,
            self.Checkpoints.key,
            self.OutboundLanes.key,
            self.InboundLanes.key,
            self.InboundWindows.key,
            timestamp.Now.key,
        )

    def register(self, name: bytes, handler: MessageHandler) -> None:
        """Give ``handler`` the messages to ``name``, and the outcomes of messages from it.

        A name has less than 32 bytes, so that it is no account. Raises `ValueError`.
        """
        if not 0 < len(name) < MAX_PARTY_LENGTH or name in self.handlers:
            raise ValueError(f"{name!r} is no free name of a message handler")
        self.handlers[name] = handler

    # Sending.

    @call(
        0,
        weight=lambda dest, lane, recipient, timeout, payload: Weight(
            60_000_000 + 1_000 * len(payload), 14_000
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
        if state.suspended:
            raise self.fail(self.Error.LaneSuspended)
        encoded = body.encode()
        in_flight_bytes = state.bytes_in_flight + len(encoded)
        nonce = state.next_nonce
        if (
            state.in_flight >= self.limits.max_in_flight_messages
            or in_flight_bytes > self.limits.max_in_flight_bytes
            or nonce == MAX_NONCE
        ):
            raise self.fail(self.Error.LaneFull)
        message = Message(VERSION, me, dest, lane, nonce, body)
        commitment = message.commitment()
        owner = body.sender if body.sender in self.handlers else b""
        head = chain_step(state.head, nonce, commitment)
        self.Outbox.insert((dest, lane, nonce), commitment)
        self.Pending.insert((dest, lane, nonce), PendingMessage(len(encoded), body.timeout, owner))
        if nonce % CHECKPOINT_INTERVAL == 0 and not is_unordered(lane):
            self.Checkpoints.insert((dest, lane, nonce), head)
        self.OutboundLanes.insert(
            (dest, lane),
            replace(state, next_nonce=nonce + 1, bytes_in_flight=in_flight_bytes, head=head),
        )
        offchain_index.set(offchain_body_key(commitment), encoded)
        self.deposit_event(MessageSent(dest, lane, nonce, commitment))
        return message

    # Receiving.

    @call(1, weight="inherent_weight", dispatch_class=DispatchClass.MANDATORY)
    def receive(self, origin: Origin, inherent: MessagingInherent) -> None:
        """Take in what siblings have for us. Inherent; at most one in a block."""
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
            self.apply_item(item)

    @call(2, weight="item_weight", fee="item_fee")
    def submit(self, origin: Origin, item: InboundItem) -> None:
        """Hand in one item, as anybody may: the same as in the inherent, paid for beforehand. It succeeds also
        when the item is refused (the event says why), so that the work is paid either way.
        """
        ensure_signed(origin)
        self.apply_item(item)

    def item_weight(self, item: InboundItem) -> Weight:
        """Of one item, at most; from the item alone, so that it is charged before anything is looked at."""
        return item_weight(item, self.handlers)

    def item_fee(self, item: InboundItem) -> int:
        """What `submit` costs, in the native token's smallest unit."""
        return self.fees.of(self.item_weight(item))

    def inherent_weight(self, inherent: MessagingInherent) -> Weight:
        """Of all items."""
        return sum((self.item_weight(item) for item in inherent.items), Weight(20_000_000, 8_000))

    def apply_item(self, item: InboundItem) -> Refusal | None:
        """Check an item and do what it shows, or deposit the event that says why not."""
        try:
            proven = self._check(item)
        except Refused as refused:
            self.deposit_event(ItemRefused(item.source, refused.refusal))
            return refused.refusal
        used = bool(proven.batches)
        for batch in proven.batches:
            self.consume_proven(item.source, batch)
        newest = isinstance(item.head, NewestHead)
        for ack in item.acks:
            used |= settle.acknowledge(self, item.source, ack, proven.ends[ack.lane], is_newest=newest)
        for claim in item.timeouts:
            used |= settle.time_out(self, item.source, claim)
        if used:
            self.note_head_used(item.source, proven.head)
        return None

    def _check(self, item: InboundItem) -> ProvenItem:
        """The protocol's checks, in its order. Raises `Refused`."""
        # WHAT THE ITEM ALONE SHOWS
        me = self.parachain_info.ParachainId.get()
        receive.check_shape(item, self.limits, me)

        # OUR OWN STATE
        if self.BlockedSources.get(item.source):
            raise Refused(Refusal.SOURCE_BLOCKED)
        for batch in item.batches:
            receive.check_cursor(batch, self.inbound(item.source, batch.lane))
        settle.check_acks(self, item)
        due = settle.check_claims(self, item)

        # THE HEAD
        head = self._resolve_head(item)

        # THE PROOF
        proven = receive.prove_item(
            item,
            head,
            me,
            self.keys,
            lambda lane: self.InboundLanes.get((item.source, lane)),
            self.sibling_layout,
        )
        settle.check_proven(self, item, due, proven)
        return proven

    def _resolve_head(self, item: InboundItem) -> SiblingHead:
        try:
            head = resolve_head(
                item.source,
                item.head,
                remembered=lambda hash_: self.remembered_head(item.source, hash_),
                layout=self.sibling_layout,
            )
        except HeadRefused as refused:
            raise Refused(Refusal(receive.HEAD_REFUSALS + refused.refusal)) from None
        if isinstance(item.head, NewestHead) and head.number < self.HeadRings.get(item.source).newest:
            raise Refused(Refusal.HEAD_REGRESSED)
        return head

    def inbound(self, source: int, lane: int) -> Inbound:
        """Our end of a sibling's lane."""
        return (self.InboundWindows if is_unordered(lane) else self.InboundLanes).get((source, lane))

    def _put_inbound(self, source: int, lane: int, end: Inbound) -> None:
        if isinstance(end, InboundWindow):
            self.InboundWindows.insert((source, lane), end)
        else:
            self.InboundLanes.insert((source, lane), end)

    def consume_proven(self, source: int, batch: ProvenBatch) -> None:
        """Advance the lane over a proven batch and dispatch each message in its own storage layer.

        The lane is written before the first message is dispatched, so that a handler that hands in the same message
        again finds it consumed.
        """
        end = self.inbound(source, batch.lane)
        for message, commitment in batch.messages:
            end = end.consume(message.nonce, Outcome.FAILED, commitment)
        self._put_inbound(source, batch.lane, end)
        now = self.timestamp.Now.get()
        outcomes: dict[int, Outcome] = {}
        for message, commitment in batch.messages:
            outcome = outcomes[message.nonce] = self._dispatch(message, now)
            self.deposit_event(MessageConsumed(source, batch.lane, message.nonce, commitment, outcome))
        self._put_inbound(source, batch.lane, self.inbound(source, batch.lane).with_outcomes(outcomes))

    def _dispatch(self, message: Message, now: int) -> Outcome:
        timeout = message.body.timeout
        if timeout is not None and now >= timeout:
            return Outcome.EXPIRED
        handler = self.handlers.get(message.body.recipient)
        if handler is None:
            return Outcome.FAILED
        error: DispatchError | None = with_storage_layer(lambda: handler.on_message(message))
        return Outcome.DELIVERED if error is None else Outcome.FAILED

    # Heads.

    def remembered_head(self, source: int, hash_: bytes) -> SiblingHead | None:
        """A head of a sibling that something was consumed under, if it is not forgotten."""
        return self.RememberedHeads.get((source, hash_))

    def note_head_used(self, source: int, head: SiblingHead) -> None:
        """Remember a head that something was proven against. Only then, and only so many: the reference design
        kept one for every sibling block, which became most of its state.
        """
        if self.RememberedHeads.contains_key((source, head.hash)):
            return
        ring = self.HeadRings.get(source)
        forgotten = self.RememberedHashes.get((source, ring.following))
        if forgotten is not None:
            self.RememberedHeads.remove((source, forgotten))
        self.RememberedHashes.insert((source, ring.following), head.hash)
        self.RememberedHeads.insert((source, head.hash), head)
        following = (ring.following + 1) % self.limits.remembered_heads
        self.HeadRings.insert(source, HeadRing(following, max(ring.newest, head.number)))

    # Governance.

    @call(3, weight=GOVERNANCE_WEIGHT)
    def set_lane_suspended(self, origin: Origin, source: U32, lane: U8, suspended: Bool) -> None:
        """Take nothing more from a lane, or take it again. The sibling learns of it with its next
        acknowledgement; nonces go on where they were.
        """
        self.governance(origin)
        self._put_inbound(source, lane, replace(self.inbound(source, lane), suspended=suspended))
        self.deposit_event(LaneSuspension(source, lane, suspended))

    @call(4, weight=GOVERNANCE_WEIGHT)
    def skip_ahead(self, origin: Origin, source: U32, lane: U8, last: U64, head: H256) -> None:
        """Consume messages up to ``last`` unseen, at most a window of them: the way out of a lane whose bodies
        are lost. ``head`` is the chain head at ``last``, read at the sibling; with a wrong one, batches in head
        mode are refused and flat ones are not. Unordered lanes have none.
        """
        self.governance(origin)
        end = self.inbound(source, lane)
        before = end.base if isinstance(end, InboundWindow) else end.last_delivered
        if not before < last <= min(before + OUTCOME_WINDOW, MAX_NONCE):
            raise self.fail(self.Error.SkipOutOfRange)
        self._put_inbound(
            source, lane, end.skip_to(last) if isinstance(end, InboundWindow) else end.skip_to(last, head)
        )
        self.deposit_event(MessagesSkipped(source, lane, before + 1, last))

    @call(5, weight=GOVERNANCE_WEIGHT)
    def set_source_blocked(self, origin: Origin, source: U32, blocked: Bool) -> None:
        """Refuse every item of a sibling, or look at them again. By default nobody is blocked."""
        self.governance(origin)
        if blocked:
            self.BlockedSources.insert(source, True)
        else:
            self.BlockedSources.remove(source)
        self.deposit_event(SourceBlocked(source, blocked))

    # Hooks and inherent.

    def on_finalize(self, number: int) -> None:
        self.DidReceive.kill()
        self.Released.kill()

    def create_inherent(self, data: InherentData) -> Call | None:
        inherent = data.get_data(STATE_MESSAGING, MessagingInherent.codec())
        return None if inherent in (None, EMPTY_INHERENT) else self.call_of(self.receive, inherent)

    def is_inherent(self, call: Call) -> bool:
        return call.function.spec.name == "receive"
