"""Fetching a sibling's messages: bodies and a proof from one of its full nodes, checked before use.

The collator first learns the sibling's head *from relay state*, because only an included head can be proven
on our chain; then it asks a node of the sibling for proofs at exactly that head. Every answer is hostile
until checked: bounded, decoded, and every commitment recomputed and found under the head's state root. What
is missing, late or wrong is left out, with a reason; an inherent without it is still valid, and the cursor
(which lives in our chain's state) does not move.

`SiblingNode` is the seam for transports: in-process here, websockets elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from pileus.collator.peer import PeerLied, bounded_answer
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_messaging.types import (
    VERSION,
    InboundItem,
    InboundLane,
    LaneBatch,
    Message,
    MessageBody,
    OutboundLane,
)
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.trie.errors import TrieError
from runtime.trie.layout import Layout
from runtime.trie.proof import verify_proof

__all__ = ["FetchRequest", "Fetched", "MessageSource", "SiblingMessageSource", "SiblingNode"]


class SiblingNode(Protocol):
    """What a full node of a sibling serves. Nothing it says is trusted."""

    def read_proof(self, keys: Sequence[bytes], at: bytes, /) -> Sequence[bytes]:
        """Trie nodes proving ``keys`` at the block with hash ``at``."""

    def message_bodies(
        self, dest: int, lane: int, first_nonce: int, max_count: int, max_bytes: int, /
    ) -> Sequence[bytes]:
        """SCALE-encoded `MessageBody` of consecutive nonces."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What the collator of ``dest`` needs from ``source`` for the block it is building."""

    source: int
    dest: int
    head: Header
    """The sibling's head as the relay parent's state has it."""
    cursors: tuple[tuple[int, InboundLane], ...]
    """Lane -> our side of it, at the block we build on."""
    lane_key: Callable[[int], bytes]
    """Lane -> key of the sibling's ``OutboundLanes(dest, lane)``."""
    outbox_key: Callable[[int, int], bytes]
    """(lane, nonce) -> key of the sibling's ``Outbox(dest, lane, nonce)``."""
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

    def fetch(self, request: FetchRequest, /) -> Fetched:
        """Answer within the request's deadline. Never raises for what a peer does."""


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
    ) -> None:
        """``latency`` in milliseconds: how long the node takes to answer, on the network's virtual clock."""
        self.para_id = para_id
        self._node = node
        self._layout = layout
        self._limits = limits
        self.latency = latency

    def fetch(self, request: FetchRequest) -> Fetched:
        """See `MessageSource.fetch`."""
        if self.latency > request.deadline:
            return Fetched(None, f"no answer from {self.para_id} within {request.deadline} ms")
        try:
            return self._fetch(request)
        except (ScaleError, TrieError, PeerLied) as error:
            return Fetched(None, f"answer of {self.para_id} refused: {error}")

    def _fetch(self, request: FetchRequest) -> Fetched:
        at = request.head.hash()
        room = self._limits.max_messages_per_item
        budget = self._limits.max_in_flight_bytes
        batches: list[LaneBatch] = []
        expected: dict[bytes, bytes] = {}
        problem = ""
        # The lanes share one item. Who comes first changes with the head, so that none waits for ever.
        turn = request.head.number % max(len(request.cursors), 1)
        for lane, cursor in (*request.cursors[turn:], *request.cursors[:turn]):
            if cursor.suspended or not room:
                continue
            available = self._available(request, at, lane) - cursor.last_delivered
            if available <= 0:
                continue
            first = cursor.last_delivered + 1
            bodies, size = self._bodies(request, lane, first, min(available, room), budget)
            if not bodies:
                problem = (
                    f"{self.para_id} has sent message {first} of lane {lane}, which its node does not give"
                )
                continue
            room -= len(bodies)
            budget -= size
            batch = LaneBatch(lane, first, bodies)
            batches.append(batch)
            for position, body in enumerate(batch.bodies):
                nonce = batch.first_nonce + position
                message = Message(VERSION, request.source, request.dest, lane, nonce, body)
                expected[request.outbox_key(lane, nonce)] = message.commitment()
        if not batches:
            return Fetched(None, problem)
        nodes = self._proof(list(expected), at)
        found = verify_proof(request.head.state_root, nodes, list(expected), self._layout)
        for key, commitment in expected.items():
            if found[key] != commitment:
                raise PeerLied("a body does not match the commitment in its chain's state")
        batches.sort(key=lambda batch: batch.lane)
        return Fetched(InboundItem(request.source, at, tuple(batches), nodes), problem)

    def _available(self, request: FetchRequest, at: bytes, lane: int) -> int:
        """Highest nonce the sibling had committed to at its head."""
        key = request.lane_key(lane)
        nodes = self._proof([key], at)
        raw = verify_proof(request.head.state_root, nodes, [key], self._layout)[key]
        return 0 if raw is None else OutboundLane.decode(raw).next_nonce - 1

    def _bodies(
        self, request: FetchRequest, lane: int, first: int, count: int, budget: int
    ) -> tuple[tuple[MessageBody, ...], int]:
        """Bodies from nonce ``first`` on, up to one that our chain would refuse, and the bytes that came."""
        encoded = bounded_answer(
            lambda: self._node.message_bodies(request.dest, lane, first, count, budget), count, budget
        )
        bodies = [MessageBody.decode(body) for body in encoded]
        limit = self._limits.max_message_size
        return tuple(takewhile(lambda body: len(body.payload) <= limit, bodies)), sum(map(len, encoded))

    def _proof(self, keys: Sequence[bytes], at: bytes) -> tuple[bytes, ...]:
        limits = self._limits
        nodes = bounded_answer(
            lambda: self._node.read_proof(keys, at), limits.max_proof_nodes, limits.max_proof_bytes
        )
        return tuple(sorted(nodes))
