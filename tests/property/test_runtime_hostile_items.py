"""Whatever a collator or a sibling makes up, an inbound item is delivered as it was sent or changes nothing.

Items are damaged byte by byte, and the sibling's own state (whose root the sibling chooses) is damaged under a correct
hash. The runtime never fails on them, and never delivers what the sibling did not commit to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from hypothesis import event, example, given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.chains import demo
from runtime.pallets.state_messaging.events import ItemRefused, MessageConsumed
from runtime.pallets.state_messaging.lanes import VERSION
from runtime.pallets.state_messaging.receive import Refusal
from runtime.pallets.state_messaging.types import (
    InboundItem,
    LaneBatch,
    Message,
    MessageBody,
    MessagingInherent,
)
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE
from runtime.support.sibling_ancestry import NewestHead
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, FIRST, SECOND = 2001, 2000, 2002
messaging, system = demo.state_messaging, demo.system


def body(nonce: int) -> MessageBody:
    return MessageBody(b"sender", b"mailbox", None, b"letter %d" % nonce)


@cache
def state_of(para: int) -> tuple[bytes, dict[bytes, bytes]]:
    entries = {b"filler %d" % index: bytes(40) for index in range(40)}
    for nonce in (1, 2, 3):
        message = Message(VERSION, para, ME, 0, nonce, body(nonce))
        entries[messaging.Outbox.key((ME, 0, nonce))] = message.commitment()
    return build_state(Storage(entries))


def head_of(root: bytes) -> Header:
    return Header(bytes(32), 9, root, bytes(32))


@cache
def good_item(para: int) -> InboundItem:
    root, nodes = state_of(para)
    keys = [messaging.Outbox.key((ME, 0, nonce)) for nonce in (1, 2, 3)]
    batch = LaneBatch(0, 1, tuple(body(nonce) for nonce in (1, 2, 3)))
    return InboundItem(
        VERSION,
        para,
        NewestHead(head_of(root).hash()),
        (batch,),
        nodes=create_proof(nodes, root, keys, LAYOUT_V1),
    )


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        return self


@contextmanager
def receiving(heads: dict[int, bytes]) -> Iterator[Externalities]:
    """Inside a block, with these bytes as the siblings' head data in relay state."""
    root, nodes = build_state(
        Storage({relay_keys.para_head(para): byte_vec.encode(head) for para, head in heads.items()})
    )
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, EmbeddedRelayNode(Database(nodes), root)).externalities():
        demo.parachain_info.ParachainId.put(ME)
        system.ExecutionPhase.put(ApplyExtrinsic(0))
        yield state


HEADS = {para: head_of(state_of(para)[0]).encode() for para in (FIRST, SECOND)}


def outcome(inherent: MessagingInherent) -> tuple[list[tuple[int, int, bytes]], list[int]]:
    """(source, nonce, commitment) of what was consumed, and the sources that were refused."""
    messaging.receive(NONE, inherent)
    raw = demo.host.get(system.Events.key())
    events = [record.event for record in demo.pallets.decode_events(raw or b"\x00")]
    consumed = [
        (event.source, event.nonce, event.commitment)
        for event in events
        if isinstance(event, MessageConsumed)
    ]
    refused = [event for event in events if isinstance(event, ItemRefused)]
    for refusal in refused:
        event(f"refused: {Refusal(refusal.reason).name}")
    return consumed, [refusal.source for refusal in refused]


def sent(para: int) -> list[tuple[int, int, bytes]]:
    return [
        (para, nonce, Message(VERSION, para, ME, 0, nonce, body(nonce)).commitment()) for nonce in (1, 2, 3)
    ]


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
@example(position=0, flip=1)  # the version
@example(position=2, flip=1)  # its version
@example(position=3, flip=1)  # the source
@example(position=8, flip=1)  # the head
def test_a_damaged_item_is_not_delivered_and_its_neighbour_is(position: int, flip: int) -> None:
    first, second = good_item(FIRST), good_item(SECOND)
    encoded = bytearray(MessagingInherent(VERSION, (first, second)).encode())
    of_first = 2 + len(first.encode())  # behind it, the second item
    position %= of_first
    encoded[position] ^= flip
    try:
        inherent = MessagingInherent.decode(bytes(encoded))
    except ScaleError:
        event("undecodable")
        return
    with receiving(HEADS):
        try:
            consumed, refused = outcome(inherent)
        except InvalidBlock:
            event("invalid block")
            return
    assert consumed == sent(SECOND)
    assert len(refused) == 1


def mostly(usual: object, unusual: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """One thing in seven is wrong, so that most items are wrong in one or two ways."""
    return st.integers(0, 6).flatmap(lambda die: unusual if die == 6 else st.just(usual))


@given(
    nodes=mostly([], st.lists(st.integers(0, 12), min_size=1, max_size=6)),
    bodies=mostly([1, 2, 3], st.lists(st.integers(1, 4), max_size=5)),
    first=mostly(1, st.sampled_from((0, 2, 4, 2**64 - 1))),
    lane=mostly(0, st.just(1)),
    claimed=mostly(FIRST, st.sampled_from((SECOND, ME, 2999))),
    stray=mostly([], st.lists(st.binary(max_size=40), min_size=1, max_size=2)),
)
@example(nodes=[], bodies=[1, 2, 3], first=1, lane=0, claimed=FIRST, stray=[])
@example(nodes=[], bodies=[1, 2, 3], first=1, lane=0, claimed=SECOND, stray=[])
@example(nodes=[], bodies=[1, 2, 3], first=1, lane=0, claimed=FIRST, stray=[b""])
def test_a_made_up_item_is_delivered_only_as_it_was_sent(
    nodes: list[int], bodies: list[int], first: int, lane: int, claimed: int, stray: list[bytes]
) -> None:
    """``nodes`` are left out of an honest proof, ``bodies`` chosen by nonce (4 was never sent)."""
    honest = good_item(FIRST)
    kept = [node for index, node in enumerate(honest.nodes) if index not in nodes]
    batch = LaneBatch(lane, first, tuple(body(nonce) for nonce in bodies))
    item = replace(honest, source=claimed, batches=(batch,), nodes=tuple(sorted([*kept, *stray])))
    with receiving(HEADS) as state:
        before = state.root(1)
        consumed, refused = outcome(MessagingInherent(VERSION, (item,)))
        if consumed:
            event("delivered")
            assert consumed == sent(FIRST)[: len(bodies)]
            assert (bodies, first, lane, claimed, refused) == ([1, 2, 3][: len(bodies)], 1, 0, FIRST, [])
        else:
            assert refused == [claimed]
            for entry in (system.Events, system.EventCount, messaging.DidReceive):
                entry.kill()
            assert state.root(1) == before


@given(which=st.integers(0, 10**6), position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_sibling_with_a_malformed_state(which: int, position: int, flip: int) -> None:
    """One node of the sibling's state is damaged, and every hash above it made good again, as a sibling could."""
    root, _ = state_of(FIRST)
    proof = list(good_item(FIRST).nodes)
    victim = proof[which % len(proof)]
    damaged = bytearray(victim)
    damaged[position % len(damaged)] ^= flip
    changed = {victim: bytes(damaged)}
    old, new = LAYOUT_V1.digest(victim), LAYOUT_V1.digest(bytes(damaged))
    while old != root:
        parent = next((node for node in proof if old in node), None)
        if parent is None:
            return  # inline, or a detached value: nothing refers to it by hash
        assert parent not in changed
        changed[parent] = parent.replace(old, new)
        old, new = LAYOUT_V1.digest(parent), LAYOUT_V1.digest(changed[parent])
    head = head_of(new)
    nodes_sent = tuple(sorted(changed.get(node, node) for node in proof))
    item = replace(good_item(FIRST), head=NewestHead(head.hash()), nodes=nodes_sent)
    with receiving({FIRST: head.encode()}):
        consumed, refused = outcome(MessagingInherent(VERSION, (item,)))
    # Damage beside the paths to the messages does not touch them; anything else is refused.
    assert consumed in ([], sent(FIRST))
    assert bool(consumed) != bool(refused)


@given(root=st.binary(max_size=80), others=st.lists(st.binary(max_size=80), max_size=3))
@example(root=b"\x00", others=[])  # the empty trie
@example(root=b"", others=[])
@example(root=b"\x80\x00\x00", others=[])  # a branch without children
@example(root=b"\x80\x01\x00\x80" + bytes(32), others=[])
@example(root=b"\x7f\xff\xff\xff\xff\xff\xff\xff", others=[])  # a partial key beyond all bounds
def test_a_sibling_that_makes_up_its_state(root: bytes, others: list[bytes]) -> None:
    head = head_of(LAYOUT_V1.digest(root))
    nodes = tuple(sorted({root, *others}))
    item = replace(good_item(FIRST), head=NewestHead(head.hash()), nodes=nodes)
    with receiving({FIRST: head.encode()}):
        assert outcome(MessagingInherent(VERSION, (item,))) == ([], [FIRST])


@given(head=st.one_of(st.binary(max_size=150), st.binary(max_size=40).map(lambda tail: HEADS[FIRST] + tail)))
@example(head=b"")
def test_head_data_of_any_kind(head: bytes) -> None:
    """A para's head data is what its validation function says: not every para is a chain with headers."""
    with receiving({FIRST: head}):
        consumed, refused = outcome(MessagingInherent(VERSION, (good_item(FIRST),)))
    assert (consumed, refused) == ((sent(FIRST), []) if head == HEADS[FIRST] else ([], [FIRST]))
