"""Fetching what a sibling has for us: bodies and a proof from one of its full nodes, checked before use.

The collator first learns the sibling's head *from relay state*, because only an included head can be proven
on our chain; then it asks a node of the sibling for proofs at exactly that head: how far its lanes to us have come,
and what it has done with our messages. Every answer is hostile until checked: bounded, decoded, and every commitment
recomputed and found under the head's state root. What is missing, late or wrong is left out, with a reason; an inherent
without it is still valid, and the cursor (which lives in our chain's state) does not move.

`SiblingNode` is the seam for transports: in-process here, websockets elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Literal, Protocol

from pileus.collator.peer import PeerLied, bounded_answer
from runtime.pallets.state_messaging.lanes import (
    CHECKPOINT_INTERVAL,
    OUTCOME_WINDOW,
    VERSION,
    Inbound,
    InboundLane,
    InboundWindow,
    OutboundLane,
    chain_step,
    is_unordered,
)
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_messaging.receive import Refused, check_end
from runtime.pallets.state_messaging.types import (
    Ack,
    InboundItem,
    LaneBatch,
    Message,
    MessageBody,
    TimeoutClaim,
)
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import u64
from runtime.support.sibling_ancestry import NewestHead
from runtime.trie.errors import TrieError
from runtime.trie.layout import Layout
from runtime.trie.proof import verify_proof

__all__ = [
    "FetchRequest",
    "Fetched",
    "MessageSource",
    "ProofForm",
    "SiblingKeys",
    "SiblingMessageSource",
    "SiblingNode",
]

ProofForm = Literal["flat", "head"]
"""Whether each commitment of an ordered lane is proven, or the head of its chain only."""

MAX_LANES = 256
MAX_ATTEMPTS = 8
"""Runs of an unordered lane that are asked for at once, and messages at the start of each that a node may lack."""


class SiblingNode(Protocol):
    """What a full node of a sibling serves. Nothing it says is trusted."""

    def read_proof(self, keys: Sequence[bytes], at: bytes, /) -> Sequence[bytes]:
        """Trie nodes proving ``keys`` at the block with hash ``at``."""

    def message_bodies(
        self, dest: int, lane: int, first_nonce: int, max_count: int, max_bytes: int, at: bytes, /
    ) -> Sequence[bytes]:
        """SCALE-encoded `MessageBody` of consecutive nonces, as sent by the block with hash ``at``."""

    def message_lanes(self, dest: int, at: bytes, /) -> Sequence[bytes]:
        """The lanes to ``dest`` that are in use at a block, one byte each. A hint: what they hold is proven."""


@dataclass(frozen=True, slots=True)
class SiblingKeys:
    """Where the sibling's state holds what concerns us, by our own runtime's account."""

    outbound_lane: Callable[[int], bytes]
    """Lane -> ``OutboundLanes(dest, lane)``."""
    outbox: Callable[[int, int], bytes]
    """(lane, nonce) -> ``Outbox(dest, lane, nonce)``."""
    checkpoint: Callable[[int, int], bytes]
    """(lane, nonce) -> ``Checkpoints(dest, lane, nonce)``."""
    inbound: Callable[[int], bytes]
    """Lane -> the sibling's end of our lane to it."""
    timestamp: bytes
    """``Timestamp::Now``."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What the collator of ``dest`` needs from ``source`` for the block it is building."""

    source: int
    dest: int
    head: Header
    """The sibling's head as the relay parent's state has it."""
    inbound: tuple[tuple[int, Inbound], ...]
    """Lane -> our end of it, at the block we build on; of every lane to look at in any case."""
    end: Callable[[int], Inbound]
    """The same of any other lane."""
    outbound: tuple[tuple[int, OutboundLane], ...]
    """Lane -> our end of it; of every lane that waits for word from the sibling."""
    keys: SiblingKeys
    unsettled: Callable[[int], Sequence[int]]
    """Lane -> nonces of our messages that are not settled."""
    due: Callable[[int, int], Sequence[int]]
    """(lane, the sibling's clock) -> nonces of our messages whose timeout it has reached."""
    deadline: int
    """Milliseconds the answer may take. Authoring never waits longer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a request."""

    item: InboundItem | None
    """Verified; ``None`` when there is nothing to deliver."""
    problem: str = ""
    """Why there is nothing, or less, although there might have been more."""


class MessageSource(Protocol):
    """Where a collator gets one sibling's messages from."""

    @property
    def para_id(self) -> int: ...

    @property
    def latency(self) -> int:
        """Milliseconds it takes to answer, on the network's virtual clock."""

    def fetch(self, request: FetchRequest, /) -> Fetched:
        """Answer within the request's deadline. Never raises for what a peer does."""


@dataclass(slots=True)
class _Draft:
    """An item in the making, with what its proof must show."""

    batches: list[LaneBatch]
    expected: dict[bytes, bytes]
    """Key -> value that a good proof has there."""
    form: ProofForm
    problem: str = ""


class _WrongChain(PeerLied):
    """Bodies do not lead to the proven chain head."""


class SiblingMessageSource:
    """Fetches from one node of a sibling."""

    def __init__(
        self,
        para_id: int,
        node: SiblingNode,
        layout: Layout,
        limits: Limits = DEFAULT_LIMITS,
        *,
        latency: int = 0,
        form: ProofForm = "head",
    ) -> None:
        """``latency`` in milliseconds: how long the node takes to answer, on the network's virtual clock.
        ``form`` is used where it can be: batches that end at no proven chain head are flat.
        """
        self.para_id = para_id
        self._node = node
        self._layout = layout
        self._limits = limits
        self.latency = latency
        self.form: ProofForm = form

    def fetch(self, request: FetchRequest) -> Fetched:
        """See `MessageSource.fetch`."""
        if self.latency > request.deadline:
            return Fetched(None, f"no answer from {self.para_id} within {request.deadline} ms")
        try:
            try:
                return self._fetch(request, self.form)
            except _WrongChain:
                # A body is wrong, or the chain head that we continue is: governance may have skipped to a wrong one.
                return self._fetch(request, "flat")
        except (ScaleError, TrieError, PeerLied) as error:
            return Fetched(None, f"answer of {self.para_id} refused: {error}")

    def _fetch(self, request: FetchRequest, form: ProofForm) -> Fetched:
        # HOW FAR THE SIBLING HAS COME
        inbound = self._inbound(request)
        lanes = self._lanes(request, inbound)
        ends, now = self._ends(request)

        # MESSAGES FOR US
        draft = _Draft([], {}, form)
        self._draft_batches(request, inbound, lanes, draft)

        # WORD OF OURS
        ends = self._possible(request, ends, draft)
        acks = tuple(self._acks(request, ends))
        timeouts = tuple(self._timeouts(request, ends, now)) if now is not None else ()
        if not draft.batches and not acks and not timeouts:
            return Fetched(None, draft.problem)

        # ONE PROOF OF IT ALL
        expected = draft.expected
        keys = list(expected)
        keys += [
            request.keys.inbound(lane)
            for lane in sorted({ack.lane for ack in acks} | {claim.lane for claim in timeouts})
        ]
        if timeouts:
            keys.append(request.keys.timestamp)
        nodes = self._proof(keys, request.head.hash())
        found = verify_proof(request.head.state_root, nodes, keys, self._layout)
        for key, value in expected.items():
            if found[key] != value:
                chained = any(batch.tail is not None for batch in draft.batches)
                raise (_WrongChain if chained else PeerLied)(
                    "a body does not match the commitment in its chain's state"
                )
        draft.batches.sort(key=lambda batch: (batch.lane, batch.first_nonce))
        head = NewestHead(request.head.hash())
        item = InboundItem(VERSION, request.source, head, tuple(draft.batches), acks, timeouts, nodes)
        return Fetched(item, draft.problem)

    # What the sibling's state says.

    def _values(self, request: FetchRequest, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        if not keys:
            return {}
        nodes = self._proof(keys, request.head.hash())
        return verify_proof(request.head.state_root, nodes, keys, self._layout)

    def _inbound(self, request: FetchRequest) -> tuple[tuple[int, Inbound], ...]:
        """Our end of every lane to look at: those we know of, and those that the node says are in use."""
        ends = dict(request.inbound)
        try:
            named = bounded_answer(
                lambda: self._node.message_lanes(request.dest, request.head.hash()), MAX_LANES, MAX_LANES
            )
        except PeerLied:
            named = ()  # without the hint, the lanes we know of
        for lane in {name[0] for name in named if name} - ends.keys():
            ends[lane] = request.end(lane)
        return tuple(sorted(ends.items()))

    def _lanes(
        self, request: FetchRequest, inbound: tuple[tuple[int, Inbound], ...]
    ) -> dict[int, OutboundLane]:
        """The sibling's end of every lane to us."""
        keys = {request.keys.outbound_lane(lane): lane for lane, _ in inbound}
        found = self._values(request, list(keys))
        return {
            keys[key]: OutboundLane() if value is None else OutboundLane.decode(value)
            for key, value in found.items()
        }

    def _ends(self, request: FetchRequest) -> tuple[dict[int, Inbound], int | None]:
        """The sibling's end of our lanes to it, and its clock."""
        if not request.outbound:
            return {}, None
        keys = {request.keys.inbound(lane): lane for lane, _ in request.outbound}
        found = self._values(request, [*keys, request.keys.timestamp])
        ends: dict[int, Inbound] = {}
        for key, lane in keys.items():
            kind: type[InboundLane | InboundWindow] = InboundWindow if is_unordered(lane) else InboundLane
            value = found[key]
            ends[lane] = kind() if value is None else kind.decode(value)
        clock = found[request.keys.timestamp]
        return ends, None if clock is None else u64.decode(clock)

    # Messages for us.

    def _draft_batches(
        self,
        request: FetchRequest,
        inbound: tuple[tuple[int, Inbound], ...],
        lanes: dict[int, OutboundLane],
        draft: _Draft,
    ) -> None:
        room = self._limits.max_messages_per_item
        budget = self._limits.max_in_flight_bytes
        # The lanes share one item. Who comes first changes with the head, so that none waits for ever.
        turn = request.head.number % max(len(inbound), 1)
        for lane, end in (*inbound[turn:], *inbound[:turn]):
            if end.suspended or not room:
                continue
            state = lanes[lane]
            attempts = MAX_ATTEMPTS if is_unordered(lane) else 1
            for first, count in islice(_runs(end, state.next_nonce - 1), MAX_ATTEMPTS):
                for at in range(first, first + min(count, attempts)):
                    bodies, size = self._bodies(request, lane, at, min(first + count - at, room), budget)
                    if bodies:
                        room -= self._draft_batch(request, LaneBatch(lane, at, bodies), end, state, draft)
                        budget -= size
                        break
                    draft.problem = (
                        f"{self.para_id} has sent message {at} of lane {lane}, which its node does not give"
                    )

    def _draft_batch(
        self, request: FetchRequest, batch: LaneBatch, end: Inbound, state: OutboundLane, draft: _Draft
    ) -> int:
        """Add a batch in the form that suits it; how many messages it has."""
        commitments = [
            Message(VERSION, request.source, request.dest, batch.lane, nonce, body).commitment()
            for nonce, body in enumerate(batch.bodies, batch.first_nonce)
        ]
        if draft.form == "head" and isinstance(end, InboundLane):
            last = batch.last_nonce
            if last != state.next_nonce - 1:
                last -= last % CHECKPOINT_INTERVAL
            count = last - batch.first_nonce + 1
            if count > 0:
                chain = end.head
                for nonce, commitment in enumerate(commitments[:count], batch.first_nonce):
                    chain = chain_step(chain, nonce, commitment)
                if last % CHECKPOINT_INTERVAL == 0:
                    draft.expected[request.keys.checkpoint(batch.lane, last)] = chain
                elif state.head == chain:
                    draft.expected[request.keys.outbound_lane(batch.lane)] = state.encode()
                else:
                    raise _WrongChain("the bodies do not lead to the chain head in their chain's state")
                draft.batches.append(LaneBatch(batch.lane, batch.first_nonce, batch.bodies[:count], ()))
                return count
        for nonce, commitment in enumerate(commitments, batch.first_nonce):
            draft.expected[request.keys.outbox(batch.lane, nonce)] = commitment
        draft.batches.append(batch)
        return len(batch.bodies)

    def _bodies(
        self, request: FetchRequest, lane: int, first: int, count: int, budget: int
    ) -> tuple[tuple[MessageBody, ...], int]:
        """Bodies from nonce ``first`` on, up to one that our chain would refuse, and the bytes that came."""
        encoded = bounded_answer(
            lambda: self._node.message_bodies(request.dest, lane, first, count, budget, request.head.hash()),
            count,
            budget,
        )
        bodies = [MessageBody.decode(body) for body in encoded]
        limit = self._limits.max_message_size
        return tuple(takewhile(lambda body: len(body.payload) <= limit, bodies)), sum(map(len, encoded))

    # Word of ours.

    def _possible(self, request: FetchRequest, ends: dict[int, Inbound], draft: _Draft) -> dict[int, Inbound]:
        """The ends that can be: what else the sibling says is left out, and its messages are not held up by it."""
        possible: dict[int, Inbound] = {}
        for lane, state in request.outbound:
            try:
                check_end(state, ends[lane])
            except Refused as refused:
                draft.problem = f"{self.para_id} says of lane {lane} what cannot be: {refused.refusal.name}"
            else:
                possible[lane] = ends[lane]
        return possible

    def _acks(self, request: FetchRequest, ends: dict[int, Inbound]) -> Iterable[Ack]:
        """Acknowledgements that have something to say."""
        room = self._limits.max_prune_per_block
        for lane, state in request.outbound:
            if lane not in ends:
                continue
            end = ends[lane]
            if isinstance(end, InboundLane):
                first, last = state.acked + 1, min(end.last_delivered, state.next_nonce - 1)
            else:
                consumed = [nonce for nonce in request.unsettled(lane) if end.is_consumed(nonce)]
                first, last = (consumed[0], consumed[-1]) if consumed else (state.acked + 1, state.acked)
            count = min(last - first + 1, room)
            if count > 0:
                room -= count
                yield Ack(lane, first, count)
            elif end.suspended != state.suspended and room:
                room -= 1
                yield Ack(lane, state.acked + 1, 1)

    def _timeouts(self, request: FetchRequest, ends: dict[int, Inbound], now: int) -> Iterable[TimeoutClaim]:
        """Claims for what the sibling can only let expire."""
        room = self._limits.max_messages_per_item
        for lane in sorted(ends):
            due = [nonce for nonce in request.due(lane, now) if not ends[lane].is_consumed(nonce)][:room]
            if due:
                room -= len(due)
                yield TimeoutClaim(lane, tuple(due))

    def _proof(self, keys: Sequence[bytes], at: bytes) -> tuple[bytes, ...]:
        limits = self._limits
        nodes = bounded_answer(
            lambda: self._node.read_proof(keys, at), limits.max_proof_nodes, limits.max_proof_bytes
        )
        return tuple(sorted(nodes))


def _runs(end: Inbound, newest: int) -> Iterator[tuple[int, int]]:
    """First nonce and length of every run of messages sent that our end of a lane can take."""
    if isinstance(end, InboundLane):
        yield end.last_delivered + 1, newest - end.last_delivered
        return
    first, limit = end.base + 1, min(newest, end.base + OUTCOME_WINDOW)
    while first <= limit:
        last = first
        while last <= limit and not end.is_consumed(last):
            last += 1
        if last > first:
            yield first, last - first
        first = last + 1
