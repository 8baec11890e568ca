"""Whatever is brought as an answer, the asker hears the truth about the sibling's state or nothing at all.

Answers are damaged byte by byte and made up; questions are arbitrary. The truth is a dictionary. And whatever was
brought, asking and answering cost no more proof than was charged before.
"""

from __future__ import annotations

from collections import ChainMap
from functools import cache

from hypothesis import event, example, given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.errors import StateUnavailable
from host_functions.interfaces import storage
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.chains import demo
from runtime.pallets.lookout import NAME, Seen
from runtime.pallets.state_query.events import AnswerRefused
from runtime.pallets.state_query.pallet import ASK_WEIGHT
from runtime.pallets.state_query.types import VERSION, AnswerItem, Keys, Page, Query, QueryInherent, Question
from runtime.pallets.state_query.verify import Refusal
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE, ModuleError
from runtime.support.sibling_ancestry import (
    BlockHashWindow,
    HeaderChain,
    HeadReference,
    NewestHead,
    SiblingHead,
    block_hash_key,
)
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof
from runtime.trie.subtree import create_subtree_proof

ME, SIBLING, AT = 2001, 2000, 5
ALICE = bytes(range(32))
queries, system = demo.state_query, demo.system

TRUTH = {
    **{b"a%c" % index: b"%d" % index * 30 for index in range(12)},
    **{b"b" + bytes([index, index]): b"x" for index in range(12)},
    b"": b"empty key",
}


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        if root not in self:
            raise StateUnavailable(root)
        return self


@cache
def world() -> tuple[Header, Header, dict[bytes, bytes], EmbeddedRelayNode]:
    """Block `AT` with the state `TRUTH`, the newest head, all nodes, the relay node."""
    root, nodes = build_state(Storage(TRUTH))
    old = Header(bytes(32), AT, root, bytes(32))
    newest_root, new_nodes = build_state(
        Storage({**TRUTH, block_hash_key(AT): old.hash(), b"a\x00": b"changed"})
    )
    newest = Header(old.hash(), AT + 1, newest_root, bytes(32))
    relay_root, relay_nodes = build_state(
        Storage({relay_keys.para_head(SIBLING): byte_vec.encode(newest.encode()), b"other": bytes(40)})
    )
    return old, newest, {**nodes, **new_nodes}, EmbeddedRelayNode(Database(relay_nodes), relay_root)


def reference(kind: str) -> HeadReference:
    old, newest, nodes, _ = world()
    if kind == "window":
        proof = create_proof(nodes, newest.state_root, [block_hash_key(AT)], LAYOUT_V1)
        return BlockHashWindow(old.encode(), proof)
    return HeaderChain((old.encode(),)) if kind == "chain" else NewestHead(newest.hash())


keys = st.sampled_from(sorted(TRUTH)) | st.binary(max_size=3)
key_questions = st.lists(keys, min_size=1, max_size=6, unique=True).map(
    lambda some: Keys(tuple(sorted(some)))
)
page_questions = st.builds(
    lambda prefix, tail, size: Page(prefix, None if tail is None else prefix + tail, size),
    keys,
    st.none() | st.binary(max_size=2),
    st.integers(1, 20),
)
kinds = st.sampled_from(["window", "chain"])


def truth(question: Question) -> tuple[tuple[bytes, bytes | None], ...]:
    if isinstance(question, Keys):
        return tuple((key, TRUTH.get(key)) for key in question.keys)
    below = [k for k in sorted(TRUTH) if k.startswith(question.prefix) and k > (question.after or b"")]
    if question.after is None and question.prefix == b"":
        below = sorted(TRUTH)
    return tuple((key, TRUTH[key]) for key in below[: question.max_entries])


def honest(question: Question, kind: str) -> AnswerItem:
    old, _, nodes, _ = world()
    if isinstance(question, Keys):
        proof = create_proof(nodes, old.state_root, question.keys, LAYOUT_V1)
    else:
        proof = create_subtree_proof(
            nodes,
            old.state_root,
            question.prefix,
            LAYOUT_V1,
            after=question.after,
            max_entries=question.max_entries,
        )
    return AnswerItem(1, reference(kind), proof)


@cache
def own_state() -> tuple[bytes, dict[bytes, bytes]]:
    """The asking chain before it asks: a few thousand entries around those that an answer touches."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, world()[3]).externalities():
        demo.parachain_info.ParachainId.put(ME)
        system.Number.put(1)
        system.ExecutionPhase.put(ApplyExtrinsic(0))
        demo.balances.endow(ALICE, demo.UNIT)
        for index in range(1, 2_000):
            demo.balances.endow(index.to_bytes(32, "big"), demo.UNIT)
            storage.set(b"elsewhere %d" % index, bytes(40))
        for index in range(1, 200):
            demo.state_messaging.RememberedHeads.insert(
                (SIBLING + index, bytes(32)), SiblingHead(1, bytes(32), bytes(32))
            )
            queries.Queries.insert(10**6 + index, Query(NAME, 5, None, Keys((b"k",)), b"", 0, 1, None, 0))
        system.reset_events()
    changes = state.drain(1)
    return changes.root, changes.nodes


def outcome(question: Question, inherent: bytes) -> tuple[tuple[bytes, bytes | None], ...] | str:
    """What the asker hears, or the name of the reason why it hears nothing."""
    root, nodes = own_state()
    asking = Externalities.recording(nodes, root)
    with AuthoringContext(asking, world()[3]).externalities():
        try:
            queries.ask(NAME, SIBLING, question, at=AT, depositor=ALICE)
        except ModuleError as error:
            return error.error.name
        storage.root(1)
    assert asking.storage_proof_size() <= ASK_WEIGHT.proof_size
    changes = asking.drain(1)
    # The answer comes in another block: nothing of what it touches was read before.
    state = Externalities.recording(ChainMap(changes.nodes, nodes), changes.root)
    with AuthoringContext(state, world()[3]).externalities():
        try:
            decoded = QueryInherent.decode(inherent)
        except ScaleError:
            return "undecodable"
        try:
            queries.answer(NONE, decoded)
        except InvalidBlock:
            return "invalid block"
        events = storage.get(system.Events.key()) or b"\x00"
        storage.root(1)
        read = state.storage_proof_size() + len(inherent)
        assert read <= queries.inherent_weight(decoded).proof_size
        for record in demo.pallets.decode_events(events):
            if isinstance(record.event, Seen):
                assert queries.open_queries() == ()
                return record.event.entries
            if isinstance(record.event, AnswerRefused):
                return Refusal(record.event.reason).name
        return "nothing"


def inherent(item: AnswerItem) -> bytes:
    return QueryInherent(VERSION, (item,)).encode()


@given(key_questions | page_questions, kinds)
def test_an_honest_answer_is_the_truth(question: Question, kind: str) -> None:
    heard = outcome(question, inherent(honest(question, kind)))
    assert heard == truth(question)


@given(key_questions | page_questions, kinds, st.data())
def test_a_damaged_answer_is_the_truth_or_nothing(question: Question, kind: str, data: st.DataObject) -> None:
    encoded = bytearray(inherent(honest(question, kind)))
    for _ in range(data.draw(st.integers(1, 2))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    heard = outcome(question, bytes(encoded))
    event(heard if isinstance(heard, str) else "the truth")
    assert isinstance(heard, str) or heard == truth(question)


@example(Keys((b"a\x00",)), b"\x01\x00")
@given(key_questions | page_questions, st.binary(max_size=120))
def test_made_up_bytes_are_no_answer(question: Question, made_up: bytes) -> None:
    assert isinstance(outcome(question, made_up), str)


@given(key_questions | page_questions, key_questions | page_questions, kinds)
def test_the_answer_to_another_question_is_an_answer_only_if_it_shows_the_same(
    asked: Question, answered: Question, kind: str
) -> None:
    heard = outcome(asked, inherent(honest(answered, kind)))
    assert isinstance(heard, str) or heard == truth(asked)
