"""Checking one answer, cheapest checks first.

Given an item and the open query it claims to answer, either the answer is read out of proven state, or the item is
refused with one `Refusal`. Nothing is written here.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from itertools import pairwise

from host_functions.interfaces import relay_chain_state
from runtime.pallets.state_query.limits import QueryLimits
from runtime.pallets.state_query.types import Answer, AnswerItem, Keys, KeysAnswer, Page, PageAnswer, Query
from runtime.support.sibling_ancestry import HeadRefusal, HeadRefused, check_reference
from runtime.support.sibling_state import SiblingHead
from runtime.trie.errors import TrieError, fault_of
from runtime.trie.layout import Layout
from runtime.trie.proof import verify_proof
from runtime.trie.subtree import SubtreeTooLarge, verify_subtree


class Refusal(enum.IntEnum):
    """Why an answer was refused; the index is what the event carries."""

    TOO_LARGE = 0
    """More nodes or bytes than the limits allow."""
    NODES_NOT_SORTED = 1
    """Nodes are not in strictly ascending order: unsorted or doubled."""
    UNKNOWN_QUERY = 2
    """No such query is open: never asked, answered already, or expired."""
    EXPIRED = 3
    """The query's last block is past."""
    WRONG_SOURCE = 4
    """A sibling's head for a query of the relay chain, or none for one of a sibling."""
    WRONG_HEIGHT = 5
    """The query names another block of the sibling."""
    TOO_EARLY = 6
    """The head is older than the newest was when the query was opened."""
    PROOF_INCOMPLETE = 7
    """A node is missing, so neither presence nor absence is shown."""
    PROOF_MALFORMED = 8
    UNUSED_NODE = 9
    DUPLICATE_NODE = 10
    ANSWER_TOO_LARGE = 11
    """What the state holds there exceeds the limits; no other proof will do."""

    # The head that the item cites is not trusted: `HeadRefusal`, one by one.
    HEAD_TOO_LARGE = 32
    HEAD_NODES_NOT_SORTED = 33
    HEAD_UNKNOWN_SIBLING = 34
    HEAD_BAD_HEAD = 35
    HEAD_HEAD_MISMATCH = 36
    HEAD_NOT_REMEMBERED = 37
    HEAD_BAD_HEADER = 38
    HEAD_NOT_AN_ANCESTOR = 39
    HEAD_TOO_OLD = 40
    HEAD_PROOF_INCOMPLETE = 41
    HEAD_PROOF_MALFORMED = 42
    HEAD_UNUSED_NODE = 43
    HEAD_DUPLICATE_NODE = 44


class Refused(Exception):
    """The answer is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


def of_head(refusal: HeadRefusal) -> Refusal:
    """The refusal of an item for that of its head."""
    return Refusal(Refusal.HEAD_TOO_LARGE + refusal)


def check_shape(item: AnswerItem, limits: QueryLimits) -> None:
    """Sizes, counts and order: decided by the item alone. Raises `Refused`."""
    if len(item.nodes) > limits.max_proof_nodes or sum(map(len, item.nodes)) > limits.max_proof_bytes:
        raise Refused(Refusal.TOO_LARGE)
    if any(first >= second for first, second in pairwise(item.nodes)):
        raise Refused(Refusal.NODES_NOT_SORTED)
    if item.head is not None:
        try:
            check_reference(item.head, limits.ancestry)
        except HeadRefused as refused:
            raise Refused(of_head(refused.refusal)) from None


def check_height(query: Query, head: SiblingHead) -> None:
    """The head is the one that the query is about. Raises `Refused`."""
    if query.at is not None and head.number != query.at:
        raise Refused(Refusal.WRONG_HEIGHT)
    if query.at is None and head.number < query.not_before:
        raise Refused(Refusal.TOO_EARLY)


def read_answer(
    query: Query, state_root: bytes, nodes: Sequence[bytes], layout: Layout, limits: QueryLimits
) -> Answer:
    """What the state with this root holds, as far as the proof shows it. Raises `Refused`."""
    question = query.question
    try:
        if isinstance(question, Page):
            page = verify_subtree(
                state_root,
                nodes,
                question.prefix,
                layout,
                after=question.after,
                max_entries=question.max_entries,
                max_bytes=limits.max_answer_bytes,
            )
            return PageAnswer(page.entries, page.next_key)
        values = verify_proof(state_root, nodes, question.keys, layout)
    except SubtreeTooLarge:
        raise Refused(Refusal.ANSWER_TOO_LARGE) from None
    except TrieError as error:
        raise Refused(Refusal(Refusal.PROOF_INCOMPLETE + fault_of(error))) from None
    if sum(len(key) + len(value or b"") for key, value in values.items()) > limits.max_answer_bytes:
        raise Refused(Refusal.ANSWER_TOO_LARGE)
    return KeysAnswer(values)


def read_relay_keys(question: Keys, limits: QueryLimits) -> KeysAnswer:
    """The same of the relay parent's state, through the host. Raises `Refused` and `HostError`."""
    values: dict[bytes, bytes | None] = {}
    room = limits.max_answer_bytes
    for key in question.keys:
        value = relay_chain_state.read_relay_state(key)
        # Checked after each read: at most one value beyond the limit enters the proof.
        room -= len(key) + len(value or b"")
        if room < 0:
            raise Refused(Refusal.ANSWER_TOO_LARGE)
        values[key] = value
    return KeysAnswer(values)
