"""Collecting what siblings have for the block being built: ask each, try each item, take what fits.

Our runtime says what there is to ask for (its lanes, its messages in flight, where a sibling keeps what concerns us);
the relay parent's state says at which head to ask. Every item is then tried on the state the block builds on, alone, so
that one that the runtime refuses or panics on costs the others nothing. Whoever finds nothing leaves nothing: the
messages inherent is optional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from host_functions.contexts import AuthoringContext
from host_functions.errors import SandboxError
from host_functions.state_machine.externalities import Externalities
from pileus.collator.failover import FailoverSource
from pileus.collator.message_source import Fetched, FetchRequest, MessageSource, SiblingKeys
from pileus.collator.node import ParachainNode
from pileus.relay_chain.interface import RelayChainInterface
from runtime.pallets.state_messaging.lanes import (
    Inbound,
    InboundLane,
    InboundWindow,
    OutboundLane,
    is_unordered,
)
from runtime.pallets.state_messaging.limits import Limits
from runtime.pallets.state_messaging.receive import Refusal
from runtime.pallets.state_messaging.types import InboundItem
from runtime.pallets.state_messaging.views import LaneName, OutboundLaneView, PendingView
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import Codec, byte_vec, option, tuple_of, u8, u32, u64, unit, vec

__all__ = ["MessageCollector"]

_lane = tuple_of(u32, u8)
_position = tuple_of(u32, u8, u64)
_range = tuple_of(u32, u8, u64, u32)
_refusal = option(u8)
_lane_names = vec(LaneName.codec())
_lane_views = vec(OutboundLaneView.codec())
_pending = vec(PendingView.codec())
_nonces = vec(u64)


class MessageCollector:
    """What the collators of one parachain need to serve their chain with messages."""

    def __init__(
        self,
        node: ParachainNode,
        relay: RelayChainInterface,
        para_id: int,
        sources: Sequence[MessageSource],
        *,
        lanes: Sequence[int],
        fetch_deadline: int,
        limits: Limits,
    ) -> None:
        """``lanes`` are looked at besides those known to be in use; ``fetch_deadline`` in milliseconds, for each
        sibling. Of several ``sources`` of one sibling the later ones are asked when the first fail.
        """
        by_sibling: dict[int, list[MessageSource]] = {}
        for source in sources:
            by_sibling.setdefault(source.para_id, []).append(source)
        self.sources: list[MessageSource] = [
            of_one[0] if len(of_one) == 1 else FailoverSource(of_one)
            for _, of_one in sorted(by_sibling.items())
        ]
        self.node = node
        self.relay = relay
        self.para_id = para_id
        self.lanes = tuple(lanes)
        self.fetch_deadline = fetch_deadline
        self.limits = limits

    def collect(self, relay_parent: bytes, parent: Header, max_pov_size: int) -> list[tuple[int, Fetched]]:
        """What a block on ``parent`` takes from each sibling. Raises `HostError` if relay or parachain state is
        gone.
        """
        if not self.sources:
            return []
        at = parent.hash(self.node.digest)
        if not self.node.version_at(at).has_api("StateMessagingApi", 2):
            return []
        fetched = [
            (source.para_id, self.try_item(self.fetch(source, relay_parent, at), relay_parent, parent))
            for source in self.sources
        ]
        return self.fitting(fetched, max_pov_size, first=parent.number)

    def fetch(self, source: MessageSource, relay_parent: bytes, at: bytes) -> Fetched:
        """Ask one sibling, at the head that the relay parent's state has of it."""
        raw = self.relay.get_storage_by_key(relay_parent, relay_keys.para_head(source.para_id))
        if raw is None:
            return Fetched(None, f"the relay chain has no head of {source.para_id}")
        try:
            head = Header.decode(byte_vec.decode(raw))
        except ScaleError as error:
            return Fetched(None, f"the head of {source.para_id} is not a header: {error}")
        return source.fetch(self.request(source.para_id, head, at))

    def request(self, sibling: int, head: Header, at: bytes) -> FetchRequest:
        """All that the chain state at block ``at`` says there is to ask of a sibling."""
        me = self.para_id
        known = self._call("inbound_lanes", unit, None, _lane_names, at)
        lanes = {name.lane for name in known if name.para == sibling} | {*self.lanes}
        outbound: tuple[OutboundLaneView, ...] = self._call("outbound_lanes", unit, None, _lane_views, at)

        def key(what: str, codec: Codec[Any], argument: Any) -> bytes:
            return byte_vec.decode(self._raw(f"{what}_key", codec.encode(argument), at))

        def unsettled(lane: int) -> list[int]:
            asked = (sibling, lane, 0, self.limits.max_in_flight_messages)
            views: tuple[PendingView, ...] = self._call("pending_messages", _range, asked, _pending, at)
            return [view.nonce for view in views]

        return FetchRequest(
            source=sibling,
            dest=me,
            head=head,
            inbound=tuple((lane, self._inbound(sibling, lane, at)) for lane in sorted(lanes)),
            end=lambda lane: self._inbound(sibling, lane, at),
            outbound=tuple(
                (view.name.lane, view.state)
                for view in outbound
                if view.name.para == sibling and _waits(view.state)
            ),
            keys=SiblingKeys(
                outbound_lane=lambda lane: key("outbound_lane", _lane, (me, lane)),
                outbox=lambda lane, nonce: key("outbox", _position, (me, lane, nonce)),
                checkpoint=lambda lane, nonce: key("checkpoint", _position, (me, lane, nonce)),
                inbound=lambda lane: key("inbound", _lane, (me, lane)),
                timestamp=key("timestamp", unit, None),
            ),
            unsettled=unsettled,
            due=lambda lane, now: self._call("due_timeouts", _position, (sibling, lane, now), _nonces, at),
            deadline=self.fetch_deadline,
        )

    def try_item(self, answer: Fetched, relay_parent: bytes, parent: Header) -> Fetched:
        """Apply an item to the state that the block builds on, and drop it if that fails."""
        item = answer.item
        if item is None:
            return answer
        try:
            refusal = self._dry_run(item, relay_parent, parent)
        except (InvalidBlock, SandboxError) as error:
            return Fetched(None, f"the messages of {item.source} are left out: {error}")
        if refusal is not None:
            return Fetched(None, f"the messages of {item.source} are left out: {Refusal(refusal).name}")
        return answer

    def _dry_run(self, item: InboundItem, relay_parent: bytes, parent: Header) -> int | None:
        state = Externalities.recording(self.node.nodes, parent.state_root, self.node.layout)
        reader = self.relay.relay_state_prover(relay_parent)
        context = AuthoringContext(state, reader, version_of=self.node.version_of)
        runtime = self.node.runtime_at(parent.hash(self.node.digest))
        return _refusal.decode(runtime.call("StateMessagingApi_dry_run_item", item.encode(), context))

    def fitting(
        self, fetched: list[tuple[int, Fetched]], max_pov_size: int, *, first: int
    ) -> list[tuple[int, Fetched]]:
        """What one block takes of the answers: an inherent beyond the limits would invalidate the block.

        The rest waits. Who comes first changes with every block (`first`), so no sibling is kept waiting for ever
        by the messages of the others.
        """
        bytes_left = min(self.limits.max_inherent_bytes, max_pov_size // 3)
        items_left = self.limits.max_siblings_per_block
        releases_left = self.limits.max_prune_per_block
        taken = list(fetched)
        for turn in range(len(taken)):
            position = (first + turn) % len(taken)
            source, answer = taken[position]
            if answer.item is None:
                continue
            item = _releasing_at_most(answer.item, releases_left)
            if item is None or item.proof_bytes() + item.payload_bytes() > bytes_left or not items_left:
                taken[position] = source, Fetched(None, f"the messages of {source} wait: the block is full")
                continue
            taken[position] = source, Fetched(item, answer.problem)
            bytes_left -= item.proof_bytes() + item.payload_bytes()
            items_left -= 1
            releases_left -= sum(ack.limit for ack in item.acks)
        return taken

    def _inbound(self, source: int, lane: int, at: bytes) -> Inbound:
        argument = _lane.encode((source, lane))
        if is_unordered(lane):
            return InboundWindow.decode(self._raw("inbound_window", argument, at))
        return InboundLane.decode(self._raw("inbound_lane", argument, at))

    def _call(self, what: str, codec: Codec[Any], argument: Any, answer: Codec[Any], at: bytes) -> Any:
        return answer.decode(self._raw(what, codec.encode(argument), at))

    def _raw(self, what: str, argument: bytes, at: bytes) -> bytes:
        return self.node.call(f"StateMessagingApi_{what}", argument, at)


def _waits(lane: OutboundLane) -> bool:
    """Whether the sibling has something to say of our lane: messages to acknowledge, or that it goes on."""
    return bool(lane.in_flight) or lane.suspended


def _releasing_at_most(item: InboundItem, releases: int) -> InboundItem | None:
    """The item with its acknowledgements cut to so many messages; ``None`` if one would be left with none.

    What is proven stays the same, so the proof does.
    """
    acks = []
    for ack in item.acks:
        limit = min(ack.limit, releases)
        if not limit:
            return None
        releases -= limit
        acks.append(replace(ack, limit=limit))
    return replace(item, acks=tuple(acks))
