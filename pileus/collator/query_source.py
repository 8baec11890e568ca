"""Fetching the answers to our runtime's open queries, checked before use.

As with messages, the collator learns the sibling's head from relay state, asks a node of the sibling for evidence, and
runs every answer through the runtime's own check; what is missing, late or wrong is left out with a reason, and the
query stays open for the next block. Answers of the relay chain come from the collator's relay node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pileus.collator.ancestry import head_reference
from pileus.collator.peer import PeerLied, bounded_answer
from pileus.collator.subtree_walk import fetch_subtree
from pileus.relay_chain.interface import RelayChainInterface
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS, QueryLimits
from runtime.pallets.state_query.types import AnswerItem, Keys, Query
from runtime.pallets.state_query.verify import Refused, check_height, check_shape, read_answer
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.support.sibling_state import SiblingHead
from runtime.trie.errors import TrieError
from runtime.trie.layout import LAYOUT_V1, Layout

__all__ = [
    "FetchedAnswer",
    "QueriedNode",
    "SiblingQuerySource",
    "answers_that_fit",
    "fetch_relay_answer",
]


class QueriedNode(Protocol):
    """What a full node of a sibling serves for queries. Nothing it says is trusted."""

    def read_proof(self, keys: Sequence[bytes], at: bytes, /) -> Sequence[bytes]:
        """Trie nodes proving ``keys`` at the block with hash ``at``: ``state_getReadProof``."""

    def header(self, block_hash: bytes, /) -> Header | None:
        """The header of a block: ``chain_getHeader``."""


@dataclass(frozen=True, slots=True)
class FetchedAnswer:
    """What came of one open query."""

    id: int
    item: AnswerItem | None
    """Verified; ``None`` when there is nothing to bring yet."""
    problem: str = ""
    """Why there is nothing."""
    relay_bytes: int = 0
    """Bytes of relay state that the runtime will read for it."""

    def size(self) -> int:
        """Bytes it adds to the PoV, paths in relay state apart."""
        return self.relay_bytes + (0 if self.item is None else self.item.proof_bytes())


class SiblingQuerySource:
    """Answers queries of one sibling from one of its nodes."""

    def __init__(
        self,
        para_id: int,
        node: QueriedNode,
        layout: Layout = LAYOUT_V1,
        limits: QueryLimits = DEFAULT_QUERY_LIMITS,
        *,
        latency: int = 0,
    ) -> None:
        """``latency`` in milliseconds: how long the node takes for each round, on the network's virtual clock."""
        self.para_id = para_id
        self._node = node
        self._layout = layout
        self._limits = limits
        self.latency = latency

    def fetch(self, query_id: int, query: Query, newest: Header, deadline: int) -> FetchedAnswer:
        """Answer at the sibling's head in relay state, within ``deadline`` milliseconds. Never raises for what a peer
        does.
        """
        return self._answer(
            query_id, query, newest, _Rounds(self._node, self._limits, self.latency, deadline)
        )

    def fetch_all(
        self, open_queries: Sequence[tuple[int, Query]], newest: Header, deadline: int
    ) -> list[FetchedAnswer]:
        """As `fetch`, all of them within one deadline. Who comes first changes with the head, so that a query which the
        node never answers in time keeps none of the others waiting for ever.
        """
        turn = newest.number % max(len(open_queries), 1)
        found: list[FetchedAnswer] = []
        for query_id, query in (*open_queries[turn:], *open_queries[:turn]):
            rounds = _Rounds(self._node, self._limits, self.latency, deadline)
            found.append(self._answer(query_id, query, newest, rounds))
            deadline = rounds.left
        return found

    def _answer(self, query_id: int, query: Query, newest: Header, rounds: _Rounds) -> FetchedAnswer:
        if query.at is not None and query.at > newest.number:
            return FetchedAnswer(query_id, None, f"block {query.at} of {self.para_id} is not included yet")
        try:
            item = self._fetch(query_id, query, newest, rounds)
        except Refused as refused:
            return FetchedAnswer(query_id, None, f"answer of {self.para_id} refused: {refused.refusal.name}")
        except (PeerLied, ScaleError, TrieError) as error:
            return FetchedAnswer(query_id, None, f"answer of {self.para_id} refused: {error}")
        return FetchedAnswer(query_id, item)

    def _fetch(self, query_id: int, query: Query, newest: Header, rounds: _Rounds) -> AnswerItem:
        number = newest.number if query.at is None else query.at
        reference, head = head_reference(
            newest, number, rounds.prove, rounds.header, self._layout, self._limits.ancestry
        )
        at = head.hash()
        question = query.question
        if isinstance(question, Keys):
            nodes = rounds.prove(question.keys, at)
        else:
            nodes = fetch_subtree(
                lambda keys: rounds.prove(keys, at),
                head.state_root,
                question.prefix,
                self._layout,
                after=question.after,
                max_entries=question.max_entries,
            )
        item = AnswerItem(query_id, reference, nodes)
        check_shape(item, self._limits)
        check_height(query, SiblingHead.of(head))
        read_answer(query, head.state_root, nodes, self._layout, self._limits)
        return item


class _Rounds:
    """The requests of one answer: each bounded in size, all together in time and bytes."""

    def __init__(self, node: QueriedNode, limits: QueryLimits, latency: int, deadline: int) -> None:
        self._node = node
        self._limits = limits
        self._latency = latency
        self.left = deadline
        """Milliseconds."""
        self._bytes_left = 4 * limits.max_proof_bytes

    def prove(self, keys: Sequence[bytes], at: bytes) -> tuple[bytes, ...]:
        self._spend_time()
        limits = self._limits
        nodes = bounded_answer(
            lambda: self._node.read_proof(keys, at), limits.max_proof_nodes, limits.max_proof_bytes
        )
        self._bytes_left -= sum(map(len, nodes))
        if self._bytes_left < 0:
            raise PeerLied("more bytes than an answer can need")
        return tuple(sorted(nodes))

    def header(self, block_hash: bytes) -> bytes:
        self._spend_time()

        def ask() -> Iterable[bytes]:
            header = self._node.header(block_hash)
            return () if header is None else (header.encode(),)

        return b"".join(bounded_answer(ask, 1, self._limits.ancestry.max_header_bytes))

    def _spend_time(self) -> None:
        if self._latency > self.left:
            raise PeerLied("no answer within the deadline")
        self.left -= self._latency


def fetch_relay_answer(
    query_id: int,
    query: Query,
    relay: RelayChainInterface,
    relay_parent: bytes,
    storage_root: bytes,
    limits: QueryLimits = DEFAULT_QUERY_LIMITS,
) -> FetchedAnswer:
    """The answer of the relay chain at the relay parent, whose state has ``storage_root``.

    Keys need no evidence: the runtime reads them itself; here they are only weighed. Raises `HostError` if the relay
    state is gone.
    """
    question = query.question
    if isinstance(question, Keys):
        values = [relay.get_storage_by_key(relay_parent, key) or b"" for key in question.keys]
        size = sum(map(len, (*question.keys, *values)))
        if size > limits.max_answer_bytes:
            return FetchedAnswer(query_id, None, f"answer of the relay chain has {size} bytes")
        return FetchedAnswer(query_id, AnswerItem(query_id, None, ()), relay_bytes=size)
    try:
        nodes = fetch_subtree(
            lambda keys: relay.prove_read(relay_parent, keys),
            storage_root,
            question.prefix,
            LAYOUT_V1,
            after=question.after,
            max_entries=question.max_entries,
        )
        item = AnswerItem(query_id, None, nodes)
        check_shape(item, limits)
        read_answer(query, storage_root, nodes, LAYOUT_V1, limits)
    except Refused as refused:
        return FetchedAnswer(query_id, None, f"answer of the relay chain refused: {refused.refusal.name}")
    except (PeerLied, TrieError) as error:
        return FetchedAnswer(query_id, None, f"answer of the relay chain refused: {error}")
    return FetchedAnswer(query_id, item)


def answers_that_fit(
    fetched: Sequence[FetchedAnswer], max_bytes: int, limits: QueryLimits
) -> tuple[FetchedAnswer, ...]:
    """What one block takes of the answers; the rest waits. The oldest queries come first and so none waits for ever."""
    bytes_left = min(limits.max_inherent_bytes, max_bytes)
    items_left = limits.max_answers_per_block
    taken: list[FetchedAnswer] = []
    for answer in fetched:
        if answer.item is not None:
            size = answer.size()
            if size > bytes_left or not items_left:
                answer = FetchedAnswer(answer.id, None, "waits: the block is full")
            else:
                bytes_left -= size
                items_left -= 1
        taken.append(answer)
    return tuple(taken)
