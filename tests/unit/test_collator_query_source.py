"""Answers fetched from a sibling's node: honest ones pass; what a node does otherwise is left out with a reason.

The node serves real states of a hand-made chain through the two methods every full node has. Lies are made by
wrapping it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.state_machine.genesis import Storage, build_state
from pileus.collator.ancestry import head_reference
from pileus.collator.peer import PeerLied
from pileus.collator.query_source import (
    FetchedAnswer,
    SiblingQuerySource,
    answers_that_fit,
    fetch_relay_answer,
)
from pileus.collator.subtree_walk import fetch_subtree
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS
from runtime.pallets.state_query.types import AnswerItem, Keys, Page, Query, Question
from runtime.primitives.header import Header
from runtime.support.sibling_ancestry import BlockHashWindow, HeaderChain, NewestHead, block_hash_key
from runtime.trie import LAYOUT_V0, LAYOUT_V1, Layout, create_proof, trie_root, verify_subtree
from runtime.trie.node import encode_node

SIBLING, LENGTH = 2000, 40


class Node:
    """A full node of the sibling, as it serves others."""

    def __init__(self, headers: Sequence[Header], nodes: dict[bytes, bytes]) -> None:
        self.headers = {header.hash(): header for header in headers}
        self.nodes = nodes
        self.asked = 0

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> Sequence[bytes]:
        self.asked += 1
        return create_proof(self.nodes, self.headers[at].state_root, keys, LAYOUT_V1)

    def header(self, block_hash: bytes) -> Header | None:
        self.asked += 1
        return self.headers.get(block_hash)


@cache
def built() -> tuple[tuple[Header, ...], dict[bytes, bytes]]:
    headers: list[Header] = []
    nodes: dict[bytes, bytes] = {}
    entries = {b"map/" + bytes([a, b]): bytes([a]) * 40 for a in range(6) for b in range(6)}
    for number in range(LENGTH):
        if headers:
            entries[block_hash_key(number - 1)] = headers[-1].hash()
        entries[b"counter"] = b"%d" % number
        root, new = build_state(Storage(dict(entries)))
        nodes.update(new)
        headers.append(Header(headers[-1].hash() if headers else bytes(32), number, root, bytes(32)))
    return tuple(headers), nodes


def query(question: Question, at: int | None = None, not_before: int = 0) -> Query:
    return Query(b"asker", SIBLING, at, question, b"", not_before, 100, None, 0)


NEWEST = built()[0][-1]
COUNTER = query(Keys((b"absent", b"counter")))
MAP = query(Page(b"map/", None, 100))


def fetch(of: Query, node: Node | None = None, *, latency: int = 0, deadline: int = 500) -> FetchedAnswer:
    source = SiblingQuerySource(SIBLING, node or Node(*built()), latency=latency)
    return source.fetch(7, of, NEWEST, deadline)


@pytest.mark.parametrize("at", [None, 0, 5, 38, 39])
@pytest.mark.parametrize("question", [COUNTER.question, MAP.question])
def test_an_honest_node_gives_an_answer_that_the_runtime_takes(question: Question, at: int | None) -> None:
    answer = fetch(query(question, at))
    assert answer.problem == ""
    assert answer.item is not None
    assert answer.item.id == 7


def test_the_smaller_evidence_is_chosen_for_an_older_head() -> None:
    kinds = {}
    for at in (0, 5, 37, 38, 39):
        item = fetch(query(COUNTER.question, at)).item
        assert item is not None
        kinds[at] = type(item.head)
    assert kinds == {0: BlockHashWindow, 5: BlockHashWindow, 37: HeaderChain, 38: HeaderChain, 39: NewestHead}


def test_a_block_that_is_not_included_yet_is_waited_for() -> None:
    node = Node(*built())
    assert fetch(query(COUNTER.question, LENGTH), node).problem == "block 40 of 2000 is not included yet"
    assert node.asked == 0


def test_a_slow_node_is_given_up_in_time() -> None:
    assert fetch(MAP, latency=501).item is None
    assert "deadline" in fetch(MAP, latency=200).problem
    assert fetch(MAP, latency=50).item is not None
    assert fetch(COUNTER, latency=500).item is not None


def test_all_queries_of_a_sibling_share_its_deadline_and_take_turns() -> None:
    """Four queries of one round each at 200 ms: two of them are answered in 500 ms, others at the next head."""
    open_queries = [(number, COUNTER) for number in range(4)]
    served = []
    for newest in built()[0][-2:]:
        source = SiblingQuerySource(SIBLING, Node(*built()), latency=200)
        fetched = source.fetch_all(open_queries, newest, 500)
        assert sorted(answer.id for answer in fetched) == [0, 1, 2, 3]
        assert [answer.problem for answer in fetched if answer.item is None] == [
            "answer of 2000 refused: no answer within the deadline"
        ] * 2
        served.append([answer.id for answer in fetched if answer.item is not None])
    assert served == [[2, 3], [3, 0]]
    assert SiblingQuerySource(SIBLING, Node(*built())).fetch_all([], NEWEST, 500) == []


Lie = Callable[[Node], object]


class Wrapped(Node):
    """A node with one method replaced."""

    def __init__(self, **methods: Callable[..., object]) -> None:
        super().__init__(*built())
        for name, method in methods.items():
            setattr(self, name, method)


def flipped(keys: Sequence[bytes], at: bytes) -> list[bytes]:
    honest = list(Node(*built()).read_proof(keys, at))
    return [bytes([honest[0][0] ^ 1]) + honest[0][1:], *honest[1:]]


def fails(*_: object) -> object:
    raise ConnectionResetError("gone")


LIES: dict[str, dict[str, Callable[..., object]]] = {
    "nothing": {"read_proof": lambda keys, at: []},
    "none": {"read_proof": lambda keys, at: None},
    "text": {"read_proof": lambda keys, at: ["node"]},
    "flood of nodes": {"read_proof": lambda keys, at: (b"%d" % i for i in range(10**9))},
    "flood of bytes": {"read_proof": lambda keys, at: [bytes(10**6)]},
    "raises": {"read_proof": fails},
    "flipped byte": {"read_proof": flipped},
    "node too few": {"read_proof": lambda keys, at: Node(*built()).read_proof(keys, at)[1:]},
    "junk": {"read_proof": lambda keys, at: [b"junk"]},
    "another block": {"read_proof": lambda keys, at: Node(*built()).read_proof(keys, built()[0][3].hash())},
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("asked", [COUNTER, MAP, query(COUNTER.question, 4)], ids=["keys", "page", "named"])
def test_no_lie_raises_or_passes(lie: str, asked: Query) -> None:
    answer = fetch(asked, Wrapped(**LIES[lie]))
    assert answer.item is None
    assert answer.problem.startswith("answer of 2000 refused: ")
    assert len(answer.problem) < 300


@pytest.mark.parametrize(
    "header",
    [
        lambda block_hash: None,
        lambda block_hash: built()[0][3],
        fails,
        lambda block_hash: replace(built()[0][4], digest=()),
    ],
)
def test_headers_of_a_lying_node_are_checked(header: Callable[[bytes], object]) -> None:
    answer = fetch(query(COUNTER.question, 5), Wrapped(header=header))
    assert answer.item is None


def test_junk_beside_an_honest_page_does_not_reach_the_runtime() -> None:
    node = Wrapped(read_proof=lambda keys, at: [*Node(*built()).read_proof(keys, at), b"junk"])
    item = fetch(MAP, node).item
    assert item is not None
    assert b"junk" not in item.nodes
    assert fetch(COUNTER, node).problem.endswith("UNUSED_NODE")


def test_a_chain_that_keeps_no_hash_of_the_block_cannot_answer_for_it() -> None:
    root, nodes = build_state(Storage({b"counter": b"1"}))
    newest = Header(bytes(32), 9, root, bytes(32))
    with pytest.raises(PeerLied, match="does not keep the hash of block 3"):
        head_reference(
            newest,
            3,
            lambda keys, at: create_proof(nodes, root, keys, LAYOUT_V1),
            lambda block_hash: b"",
            LAYOUT_V1,
        )
    with pytest.raises(PeerLied, match="out of reach"):
        head_reference(newest, 10, lambda keys, at: (), lambda block_hash: b"", LAYOUT_V1)


def test_a_block_takes_what_fits_and_the_oldest_first() -> None:
    def answer(query_id: int, size: int) -> FetchedAnswer:
        return FetchedAnswer(query_id, AnswerItem(query_id, None, (bytes(size),)))

    fetched = [answer(1, 60), FetchedAnswer(2, None, "late"), answer(3, 60), answer(4, 40)]
    taken = answers_that_fit(fetched, 100, DEFAULT_QUERY_LIMITS)
    assert [(one.id, one.item is not None) for one in taken] == [(1, True), (2, False), (3, False), (4, True)]
    assert taken[1].problem == "late"
    assert taken[2].problem == "waits: the block is full"
    many = [answer(index, 1) for index in range(40)]
    taken = answers_that_fit(many, 10**6, DEFAULT_QUERY_LIMITS)
    assert sum(one.item is not None for one in taken) == DEFAULT_QUERY_LIMITS.max_answers_per_block


class Relay:
    """What is asked of a relay node for keys."""

    def __init__(self, size: int) -> None:
        self.size = size

    def get_storage_by_key(self, relay_parent: bytes, key: bytes) -> bytes | None:
        return None if key == b"absent" else bytes(self.size)


def test_relay_values_are_weighed_before_the_runtime_is_made_to_read_them() -> None:
    asked = replace(COUNTER, source=None)
    small = fetch_relay_answer(1, asked, Relay(1_000), bytes(32), bytes(32))  # type: ignore[arg-type]
    assert small.item == AnswerItem(1, None, ())
    assert small.size() == 1_000 + len(b"absent") + len(b"counter")
    large = fetch_relay_answer(2, asked, Relay(70_000), bytes(32), bytes(32))  # type: ignore[arg-type]
    assert large.item is None
    assert large.problem == "answer of the relay chain has 70013 bytes"
    taken = answers_that_fit([small, replace(small, id=2)], 1_500, DEFAULT_QUERY_LIMITS)
    assert [answer.item is not None for answer in taken] == [True, False]


# The walk.

keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
values = st.tuples(st.sampled_from([0, 1, 31, 32, 33, 90]), st.integers(0, 255)).map(
    lambda part: bytes((part[1],)) * part[0]
)


@given(
    st.dictionaries(keys, values, max_size=30),
    keys,
    st.none() | keys,
    st.integers(1, 12),
    st.sampled_from([LAYOUT_V0, LAYOUT_V1]),
)
def test_the_walk_finds_every_page_by_read_proofs_alone(
    model: dict[bytes, bytes], prefix: bytes, tail: bytes | None, page: int, layout: Layout
) -> None:
    store: dict[bytes, bytes] = {}
    root = trie_root(model, layout, store)
    after = None if tail is None else prefix + tail
    rounds = 0

    def ask(asked: Sequence[bytes]) -> Sequence[bytes]:
        nonlocal rounds
        rounds += 1
        assert len(asked) <= page + 1
        return create_proof(store, root, asked, layout)

    nodes = fetch_subtree(ask, root, prefix, layout, after=after, max_entries=page)
    found = verify_subtree(root, nodes, prefix, layout, after=after, max_entries=page, max_bytes=1 << 20)
    wanted = sorted(key for key in model if key.startswith(prefix) and (after is None or key > after))
    assert [key for key, _ in found.entries] == wanted[:page]
    assert found.next_key == (wanted[page] if len(wanted) > page else None)
    assert rounds <= 2 + 2 * max((len(key) for key in model), default=0)


def test_a_bomb_of_a_hostile_sibling_ends_the_walk() -> None:
    digest = LAYOUT_V1.digest
    store = {digest(b"\x00"): b"\x00"}
    last = digest(b"\x00")
    for _ in range(60):
        node = encode_node("", None, None, 0xFFFF, [last] * 16)
        last = digest(node)
        store[last] = node
    with pytest.raises(PeerLied):
        fetch_subtree(lambda asked: list(store.values()), last, b"", LAYOUT_V1, after=None, max_entries=4)
