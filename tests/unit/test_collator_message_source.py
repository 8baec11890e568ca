"""The collator's message source against every kind of sibling node: honest, slow, broken, lying.

The sibling is a demo chain that has sent real messages; the node in front of it tells lies. Whatever it does, `fetch`
returns, and what it returns is either nothing or what the runtime of the receiving chain delivers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.errors import MissingHostFunction, StateUnavailable
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.collator import Collator, ParachainNode
from pileus.collator.message_source import Fetched, FetchRequest, SiblingKeys, SiblingMessageSource
from pileus.collator.query_source import SiblingQuerySource
from pileus.network.run import Network
from pileus.network.topology import Collator as CollatorSpec
from pileus.network.topology import Parachain, RelayChainSection, RelayNode, Topology
from runtime.chains import demo
from runtime.pallets.state_messaging.events import ItemRefused, MessageConsumed
from runtime.pallets.state_messaging.lanes import (
    VERSION,
    InboundLane,
    InboundWindow,
    OutboundLane,
    Outcome,
    chain_step,
)
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
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
from runtime.trie.errors import MissingNode
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, SIBLING = 2001, 2000
messaging = demo.state_messaging
Bodies = dict[tuple[int, int], MessageBody]


def body(nonce: int, payload: bytes = b"payload") -> MessageBody:
    return MessageBody(b"sender", b"mailbox", None, payload + b" %d" % nonce)


@dataclass(frozen=True)
class Sibling:
    """An honest full node of a chain that has sent us messages on some lanes."""

    bodies: Bodies
    """(lane, nonce) -> body."""
    head: Header
    nodes: dict[bytes, bytes]

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> Sequence[bytes]:
        if at != self.head.hash():
            raise StateUnavailable(at)
        return create_proof(self.nodes, self.head.state_root, keys, LAYOUT_V1)

    def message_bodies(
        self, dest: int, lane: int, first_nonce: int, max_count: int, max_bytes: int, at: bytes
    ) -> Sequence[bytes]:
        found = []
        for nonce in range(first_nonce, first_nonce + max_count):
            if (lane, nonce) not in self.bodies:
                break
            encoded = self.bodies[lane, nonce].encode()
            if len(encoded) > max_bytes:
                break
            max_bytes -= len(encoded)
            found.append(encoded)
        return found


def sibling(bodies: Bodies, *, number: int = 8, lanes: dict[int, OutboundLane] | None = None) -> Sibling:
    """``lanes`` replaces what the sibling's state says of a lane."""
    entries = {b"neighbour %d" % index: bytes(40) for index in range(60)}
    states = {lane: OutboundLane() for lane, _ in bodies}
    for (lane, nonce), sent in sorted(bodies.items()):
        commitment = Message(VERSION, SIBLING, ME, lane, nonce, sent).commitment()
        entries[messaging.Outbox.key((ME, lane, nonce))] = commitment
        states[lane] = OutboundLane(nonce + 1, 0, 0, chain_step(states[lane].head, nonce, commitment))
    for lane, state in {**states, **(lanes or {})}.items():
        entries[messaging.OutboundLanes.key((ME, lane))] = state.encode()
    root, nodes = build_state(Storage(entries))
    return Sibling(bodies, Header(bytes(32), number, root, bytes(32)), nodes)


FIVE: Bodies = {(0, nonce): body(nonce) for nonce in range(1, 6)}


@cache
def five() -> Sibling:
    return sibling(FIVE)


KEYS = SiblingKeys(
    lambda lane: messaging.keys.outbound_lane((ME, lane)),
    lambda lane, nonce: messaging.keys.outbox((ME, lane, nonce)),
    lambda lane, nonce: messaging.keys.checkpoint((ME, lane, nonce)),
    lambda lane: messaging.keys.inbound(ME, lane),
    messaging.keys.now(),
)


def request(
    of: Sibling, cursors: dict[int, InboundLane] | None = None, *, deadline: int = 500
) -> FetchRequest:
    return FetchRequest(
        SIBLING,
        ME,
        of.head,
        tuple((cursors or {0: InboundLane()}).items()),
        lambda lane: InboundWindow() if lane >= 128 else InboundLane(),
        (),
        KEYS,
        lambda lane: [],
        lambda lane, now: [],
        deadline,
    )


def fetch(
    of: Sibling,
    node: object = None,
    *,
    cursors: dict[int, InboundLane] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Fetched:
    source = SiblingMessageSource(
        SIBLING,
        of if node is None else node,
        LAYOUT_V1,
        limits,
        form="flat",  # type: ignore[arg-type]
    )
    return source.fetch(request(of, cursors))


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        return self


def delivered(of: Sibling, item: InboundItem) -> list[int]:
    """The nonces that the receiving runtime delivers of an item; fails if it refuses it."""
    relay_root, relay_nodes = build_state(
        Storage({relay_keys.para_head(SIBLING): byte_vec.encode(of.head.encode())})
    )
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, EmbeddedRelayNode(Database(relay_nodes), relay_root)).externalities():
        demo.parachain_info.ParachainId.put(ME)
        demo.system.ExecutionPhase.put(ApplyExtrinsic(0))
        messaging.receive(NONE, MessagingInherent(VERSION, (item,)))
        raw = state.get(demo.system.Events.key())
        events = [record.event for record in demo.pallets.decode_events(raw or b"\x00")]
    assert not [event for event in events if isinstance(event, ItemRefused)]
    consumed = [event for event in events if isinstance(event, MessageConsumed)]
    assert all(event.outcome == Outcome.DELIVERED for event in consumed)
    return [event.nonce for event in consumed]


# An honest node.


def test_what_is_fetched_is_delivered() -> None:
    answer = fetch(five())
    assert answer.problem == ""
    assert answer.item is not None
    assert answer.item.batches == (LaneBatch(0, 1, tuple(FIVE.values())),)
    assert delivered(five(), answer.item) == [1, 2, 3, 4, 5]


def test_only_what_is_new_is_fetched() -> None:
    answer = fetch(five(), cursors={0: InboundLane(last_delivered=3)})
    assert answer.item is not None
    assert answer.item.batches == (LaneBatch(0, 4, (body(4), body(5))),)
    for cursor in (
        InboundLane(last_delivered=5),
        InboundLane(last_delivered=99),
        InboundLane(suspended=True),
    ):
        assert fetch(five(), cursors={0: cursor}) == Fetched(None)
    assert fetch(five(), cursors={1: InboundLane()}) == Fetched(None)  # a lane nobody has used


def test_several_lanes_make_one_item() -> None:
    bodies = {(lane, nonce): body(nonce) for lane in (0, 3, 7) for nonce in (1, 2)}
    cursors = {lane: InboundLane() for lane in (0, 3, 7)}
    for number in range(3):  # whichever lane comes first
        of = sibling(bodies, number=number)
        answer = fetch(of, cursors=cursors)
        assert answer.item is not None
        assert [batch.lane for batch in answer.item.batches] == [0, 3, 7]
        assert delivered(of, answer.item) == [1, 2, 1, 2, 1, 2]


def test_as_many_messages_as_one_item_may_have() -> None:
    limits = replace(DEFAULT_LIMITS, max_messages_per_item=3)
    answer = fetch(five(), limits=limits)
    assert answer.item is not None
    assert answer.item.message_count == 3


def test_as_many_bytes_as_one_item_may_have() -> None:
    bodies = {(lane, nonce): body(nonce, bytes(100)) for lane in (0, 1) for nonce in range(1, 4)}
    limits = replace(DEFAULT_LIMITS, max_in_flight_bytes=4 * len(bodies[0, 1].encode()))
    cursors = {0: InboundLane(), 1: InboundLane()}
    counts = []
    for number in range(2):
        answer = fetch(sibling(bodies, number=number), cursors=cursors, limits=limits)
        assert answer.item is not None
        counts.append([len(batch.bodies) for batch in answer.item.batches])
    # The lane that came first got what it has; the other one the rest; next time it is the other way round.
    assert counts == [[3, 1], [1, 3]]


def test_bodies_that_the_node_does_not_have_yet() -> None:
    of = replace(five(), bodies={(0, nonce): FIVE[0, nonce] for nonce in (1, 2, 4)})
    answer = fetch(of)
    assert answer.item is not None
    assert delivered(of, answer.item) == [1, 2]
    answer = fetch(of, cursors={0: InboundLane(last_delivered=2)})
    assert answer.item is None
    assert "has sent message 3 of lane 0, which its node does not give" in answer.problem


def test_a_lane_without_bodies_does_not_hold_up_the_others() -> None:
    bodies = {(lane, nonce): body(nonce) for lane in (0, 1) for nonce in (1, 2)}
    of = sibling(bodies)
    missing = replace(of, bodies={key: value for key, value in bodies.items() if key[0] == 1})
    answer = fetch(missing, cursors={0: InboundLane(), 1: InboundLane()})
    assert answer.item is not None
    assert [batch.lane for batch in answer.item.batches] == [1]
    assert "message 1 of lane 0" in answer.problem


def test_a_message_that_our_chain_would_refuse_ends_the_batch() -> None:
    """The sibling may have other limits than we; an item that is refused would be refused again in each block."""
    large = body(3, bytes(DEFAULT_LIMITS.max_message_size))
    of = sibling({**FIVE, (0, 3): large})
    answer = fetch(of)
    assert answer.item is not None
    assert delivered(of, answer.item) == [1, 2]
    answer = fetch(of, cursors={0: InboundLane(last_delivered=2)})
    assert answer.item is None
    assert "message 3 of lane 0" in answer.problem


# A late one.


@pytest.mark.parametrize("latency, in_time", [(0, True), (500, True), (501, False)])
def test_authoring_does_not_wait(latency: int, in_time: bool) -> None:
    source = SiblingMessageSource(SIBLING, five(), LAYOUT_V1, latency=latency)
    answer = source.fetch(request(five()))
    assert (answer.item is not None) is in_time
    assert in_time or answer.problem == "no answer from 2000 within 500 ms"


# Liars.


@dataclass(frozen=True)
class Liar:
    """An honest node whose answers are changed. ``proofs`` sees the keys too."""

    honest: Sibling
    proofs: Callable[[Sequence[bytes], Sequence[bytes]], Any] = lambda keys, answer: answer
    bodies: Callable[[Sequence[bytes]], Any] = lambda answer: answer

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> Any:
        return self.proofs(keys, self.honest.read_proof(keys, at))

    def message_bodies(self, *arguments: Any) -> Any:
        return self.bodies(self.honest.message_bodies(*arguments))


def of_lane(change: Callable[[Sequence[bytes]], Any]) -> Callable[[Sequence[bytes], Sequence[bytes]], Any]:
    """Lie about the first proof only: that of the lane's state."""
    return lambda keys, answer: change(answer) if len(keys) == 1 else answer


def of_outbox(change: Callable[[Sequence[bytes]], Any]) -> Callable[[Sequence[bytes], Sequence[bytes]], Any]:
    return lambda keys, answer: change(answer) if len(keys) > 1 else answer


FORGED = body(1, b"forged").encode()
OTHER = sibling({(0, nonce): body(nonce, b"other") for nonce in range(1, 6)})
PROOF_LIES: dict[str, Callable[[Sequence[bytes]], Any]] = {
    "nothing": lambda nodes: (),
    "a node less": lambda nodes: nodes[1:],
    "another node less": lambda nodes: nodes[:-1],
    "a node more": lambda nodes: (*nodes, b"\x42\x01\x04\x01"),
    "a node twice": lambda nodes: (*nodes, nodes[0]),
    "a flipped bit": lambda nodes: (bytes([nodes[0][0] ^ 1]) + nodes[0][1:], *nodes[1:]),
    "an empty node": lambda nodes: (*nodes, b""),
    "a huge node": lambda nodes: (*nodes, bytes(DEFAULT_LIMITS.max_proof_bytes)),
    "many nodes": lambda nodes: [*nodes, *(b"%d" % index for index in range(DEFAULT_LIMITS.max_proof_nodes))],
    "no end": lambda nodes: endless(),
    "the whole state": lambda nodes: tuple(five().nodes.values()),
    "another chain's": lambda nodes: tuple(OTHER.nodes.values()),
    "none": lambda nodes: None,
    "a number": lambda nodes: 7,
    "one byte string": lambda nodes: nodes[0],
    "text": lambda nodes: "nodes",
    "texts": lambda nodes: ["node"],
    "numbers": lambda nodes: [*nodes, 3],
    "lists": lambda nodes: [list(node) for node in nodes],
    "mutable bytes": lambda nodes: [bytearray(node) for node in nodes],
    "objects": lambda nodes: [object()],
}
BODY_LIES: dict[str, Callable[[Sequence[bytes]], Any]] = {
    "another payload": lambda bodies: [FORGED, *bodies[1:]],
    "another order": lambda bodies: bodies[::-1],
    "one twice": lambda bodies: [bodies[0], bodies[0], *bodies[2:]],
    "more than asked for": lambda bodies: [*bodies, bodies[0]],
    "trailing bytes": lambda bodies: [bodies[0] + b"\x00", *bodies[1:]],
    "undecodable": lambda bodies: [b"\xff" * 9],
    "a long sender": lambda bodies: [byte_vec.encode(bytes(33)) + bodies[0][7:]],
    "empty": lambda bodies: [b""],
    "huge": lambda bodies: [bytes(DEFAULT_LIMITS.max_in_flight_bytes + 1)],
    "no end": lambda bodies: endless(),
    "none": lambda bodies: None,
    "text": lambda bodies: ["body"],
    "one byte string": lambda bodies: bodies[0],
    "objects": lambda bodies: [object(), None],
}
ERRORS: tuple[Exception, ...] = (
    StateUnavailable(bytes(32)),
    MissingHostFunction("f", "c"),
    ScaleError("bad", what="body"),
    MissingNode(bytes(32), b""),
    InvalidBlock("bad"),
    ConnectionResetError("peer"),
    TimeoutError(),
    OSError(5, "disk"),
    ValueError("x" * 10_000),
    TypeError(),
    KeyError("result"),
    IndexError(),
    AttributeError("code"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    RecursionError(),
    MemoryError(),
    RuntimeError("loop is closed"),
    NotImplementedError(),
    StopIteration(),
    AssertionError(),
    ZeroDivisionError(),
)


def endless() -> Iterator[bytes]:
    while True:
        yield b"again"


def assert_refused(answer: Fetched, why: str = "") -> None:
    assert answer.item is None
    assert answer.problem.startswith("answer of 2000 refused: " + why)
    assert len(answer.problem) < 600


@pytest.mark.parametrize("name", PROOF_LIES)
@pytest.mark.parametrize("where", [of_lane, of_outbox], ids=["lane", "outbox"])
def test_a_lie_in_a_proof(name: str, where: Callable[..., Any]) -> None:
    assert_refused(fetch(five(), Liar(five(), proofs=where(PROOF_LIES[name]))))


def test_answers_are_bounded_however_good_they_are() -> None:
    """A node that ignores what was asked for: everything is true, and too much."""
    everything = replace(DEFAULT_LIMITS, max_in_flight_bytes=2 * len(FIVE[0, 1].encode()))
    greedy = Liar(five(), bodies=lambda bodies: [sent.encode() for sent in FIVE.values()])
    assert_refused(fetch(five(), greedy, limits=everything), "more than 5 items, or than ")
    proof = five().read_proof(
        [messaging.Outbox.key((ME, 0, nonce)) for nonce in range(1, 6)], five().head.hash()
    )
    for limits in (
        replace(DEFAULT_LIMITS, max_proof_bytes=sum(map(len, proof)) - 1),
        replace(DEFAULT_LIMITS, max_proof_nodes=len(proof) - 1),
    ):
        assert_refused(fetch(five(), limits=limits), "more than ")


@pytest.mark.parametrize("name", BODY_LIES)
def test_a_lie_in_the_bodies(name: str) -> None:
    assert_refused(fetch(five(), Liar(five(), bodies=BODY_LIES[name])))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_node_that_fails_in_any_way(error: Exception) -> None:
    def fail(*arguments: object) -> Any:
        raise error

    def fail_later(*arguments: object) -> Iterator[bytes]:
        yield b""
        raise error

    for how in (fail, fail_later):
        assert_refused(fetch(five(), Liar(five(), proofs=of_lane(how))))
        assert_refused(fetch(five(), Liar(five(), proofs=of_outbox(how))))
        assert_refused(fetch(five(), Liar(five(), bodies=how)))


def test_an_interrupt_is_no_answer() -> None:
    def interrupted(*arguments: object) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(five(), Liar(five(), bodies=interrupted))


def test_our_own_node_is_not_the_peers_fault() -> None:
    """ "Cannot answer" of our own chain must not be shown as a bad answer of the sibling."""

    def pruned(lane: int) -> bytes:
        raise StateUnavailable(bytes(32))

    asked = replace(request(five()), keys=replace(KEYS, outbound_lane=pruned))
    with pytest.raises(StateUnavailable):
        SiblingMessageSource(SIBLING, five(), LAYOUT_V1).fetch(asked)


def test_a_node_at_another_head() -> None:
    assert_refused(fetch(sibling(FIVE, number=9), five()))


LANES: dict[str, tuple[OutboundLane, str]] = {
    "more than it sent": (OutboundLane(next_nonce=9), ""),
    "the last nonce": (OutboundLane(next_nonce=2**64 - 1), ""),
    "nonce zero": (OutboundLane(next_nonce=0), "nothing"),
}


@pytest.mark.parametrize("name", LANES)
def test_a_sibling_whose_own_state_lies(name: str) -> None:
    """The state is proven, so this is the sibling's runtime and not its node; the items are still good."""
    state, expected = LANES[name]
    of = sibling(FIVE, lanes={0: state})
    answer = fetch(of)
    if expected:
        assert answer == Fetched(None)
    else:
        assert answer.item is not None
        assert delivered(of, answer.item) == [1, 2, 3, 4, 5]


def test_bodies_the_sibling_never_committed_to() -> None:
    lying = sibling(FIVE, lanes={0: OutboundLane(next_nonce=9)})
    assert_refused(fetch(lying, replace(lying, bodies={**FIVE, (0, 6): body(6)})))


def test_an_undecodable_lane() -> None:
    entries = {messaging.OutboundLanes.key((ME, 0)): b"\x01", b"a": b"b", b"c": b"d"}
    root, nodes = build_state(Storage(entries))
    assert_refused(fetch(Sibling({}, Header(bytes(32), 1, root, bytes(32)), nodes)))


@given(data=st.data())
def test_no_flipped_byte_gets_through(data: st.DataObject) -> None:
    """Of everything a node sends: change one byte, and nothing comes of it, or the same item."""
    honest = fetch(five()).item
    assert honest is not None
    target = data.draw(st.sampled_from(("lane", "outbox", "bodies")))
    flip = data.draw(st.integers(1, 255))

    def change(answer: Sequence[bytes]) -> list[bytes]:
        which = data.draw(st.integers(0, len(answer) - 1))
        at = data.draw(st.integers(0, len(answer[which]) - 1))
        changed = bytearray(answer[which])
        changed[at] ^= flip
        return [*answer[:which], bytes(changed), *answer[which + 1 :]]

    liars = {
        "lane": Liar(five(), proofs=of_lane(change)),
        "outbox": Liar(five(), proofs=of_outbox(change)),
        "bodies": Liar(five(), bodies=change),
    }
    assert fetch(five(), liars[target]).item is None


# In the collator.

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"), RelayNode("charlie"))),
    parachains=tuple(
        Parachain(id=para, collators=(CollatorSpec(f"c-{para}"),)) for para in (2000, 2001, 2002)
    ),
)


@dataclass
class Scripted:
    """A message source that answers what a test says."""

    para_id: int
    answer: Callable[[FetchRequest], Fetched]
    latency: int = 0

    def fetch(self, request: FetchRequest) -> Fetched:
        return self.answer(request)


def with_sources(network: Network, para: int, *sources: object) -> Collator:
    (collator,) = network.parachains[para]._collators
    collator.messages.sources = list(sources)  # type: ignore[arg-type]
    return collator


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_a_liar_costs_nothing_but_its_own_messages(mode: str) -> None:
    """A lying and a slow node beside an honest one: blocks go on, cursors do not move, later all is delivered."""
    network = Network(TOPOLOGY, seed=2, relay_state=mode)  # type: ignore[arg-type]
    first, second, receiver = network.parachains

    def node_of(source: ParachainNode) -> Any:
        return Liar(source, bodies=lambda bodies: [FORGED] * len(bodies))  # type: ignore[arg-type]

    lying = SiblingMessageSource(2000, node_of(first.node), LAYOUT_V1)
    slow = SiblingMessageSource(2001, second.node, LAYOUT_V1, latency=10_000)
    with_sources(network, 2, lying, slow)
    for _ in range(4):
        first.submit_message(2002, b"from the liar's chain")
        second.submit_message(2002, b"from the slow one")
        report = network.step()
        assert all(candidate.backed for candidate in report.candidates)
    problems: set[str] = set()
    for _ in range(4):
        report = network.step()
        assert all(candidate.backed for candidate in report.candidates)
        problems.update(report.problems)
    assert sorted(problem.split(": ", 1)[1][:30] for problem in problems) == [
        "answer of 2000 refused: a body",
        "no answer from 2001 within 500",
    ]

    def cursor(source: int) -> int:
        raw = receiver.node.storage(messaging.InboundLanes.key((source, 0)), receiver.node.best_hash)
        return 0 if raw is None else InboundLane.decode(raw).last_delivered

    assert (cursor(2000), cursor(2001)) == (0, 0)
    assert receiver.node.best_header.number >= 2
    lying._node, slow.latency = first.node, 0
    for _ in range(6):
        network.step()
    assert (cursor(2000), cursor(2001)) == (4, 4)
    for sender, para in ((first, 2000), (second, 2001)):
        outbound = sender.node.storage(messaging.OutboundLanes.key((2002, 0)), sender.node.best_hash)
        inbound = receiver.node.storage(messaging.InboundLanes.key((para, 0)), receiver.node.best_hash)
        assert OutboundLane.decode(outbound or b"").head == InboundLane.decode(inbound or b"").head


def fake_item(source: int, size: int) -> InboundItem:
    bodies = tuple(MessageBody(b"", b"mailbox", None, bytes(100_000)) for _ in range(size // 100_000))
    return InboundItem(VERSION, source, NewestHead(bytes(32)), (LaneBatch(0, 1, bodies),))


def test_more_messages_than_a_block_takes_do_not_stop_the_chain() -> None:
    """What does not fit waits, and who waits changes: the messages of all siblings together are no way to stall us."""
    network = Network(TOPOLOGY, seed=2, relay_state="own")
    collator = with_sources(network, 2)
    fetched = [(source, Fetched(fake_item(source, 1_000_000))) for source in range(3000, 3006)]
    taken: dict[int, int] = {}
    for number in range(6):
        answers = collator.messages.fitting(fetched, 10 * 1024 * 1024, first=number)
        assert [source for source, _ in answers] == list(range(3000, 3006))
        items = [answer.item for _, answer in answers if answer.item is not None]
        size = sum(item.proof_bytes() + item.payload_bytes() for item in items)
        assert len(items) == 3
        assert size <= DEFAULT_LIMITS.max_inherent_bytes
        for item in items:
            taken[item.source] = taken.get(item.source, 0) + 1
        waiting = [answer.problem for _, answer in answers if answer.item is None]
        assert all("wait: the block is full" in problem for problem in waiting)
    assert taken == dict.fromkeys(range(3000, 3006), 3)
    small = collator.messages.fitting(fetched, 3 * 1024 * 1024, first=0)
    assert [answer.item is not None for _, answer in small] == [True] + [False] * 5


def test_more_siblings_than_a_block_takes() -> None:
    network = Network(TOPOLOGY, seed=2, relay_state="own")
    collator = with_sources(network, 2)
    fetched = [(source, Fetched(fake_item(source, 0))) for source in range(101)]
    answers = collator.messages.fitting(fetched, 10 * 1024 * 1024, first=100)
    missing = [source for source, answer in answers if answer.item is None]
    assert missing == [99]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nodes_of_one_sibling_stand_in_for_each_other(order: tuple[int, int]) -> None:
    """Whichever is asked first: the message comes, and once."""
    network = Network(TOPOLOGY, seed=2, relay_state="own")
    sender, _, receiver = network.parachains
    (before,) = receiver._collators
    asked: list[FetchRequest] = []

    def hang_up(request: FetchRequest) -> Fetched:
        asked.append(request)
        return Fetched(None, "hung up")

    nodes = Scripted(2000, hang_up), SiblingMessageSource(2000, sender.node, LAYOUT_V1)
    collator = Collator(
        before.node, before.relay, 2002, before.keypair, message_sources=[nodes[at] for at in order]
    )
    receiver._collators = (collator,)
    sender.submit_message(2002, b"hello")
    reports = list(network.run(9))
    consumed = [one.nonce for report in reports for imported in report.imported for one in imported.delivered]
    assert consumed == [1]
    # It failed once, if it came first; from then on the other one is asked first.
    assert len(asked) == (1 if order == (0, 1) else 0)


def test_one_query_source_for_each_sibling() -> None:
    network = Network(TOPOLOGY, seed=2, relay_state="own")
    (collator,) = network.parachains[2]._collators
    sources = [SiblingQuerySource(2000, network.parachains[0].node, LAYOUT_V1) for _ in range(2)]
    with pytest.raises(ValueError, match="two query sources for one sibling"):
        Collator(collator.node, collator.relay, 2002, collator.keypair, query_sources=sources)


def test_the_request_names_the_head_that_relay_state_has() -> None:
    network = Network(TOPOLOGY, seed=2, relay_state="own")
    seen: list[FetchRequest] = []

    def answer(asked: FetchRequest) -> Fetched:
        seen.append(asked)
        return Fetched(None)

    with_sources(network, 2, Scripted(2000, answer), Scripted(2999, answer))
    network.step()
    relay_parent = network.chain.best
    (report,) = [report for report in network.step().candidates if report.collation.para_id == 2002]
    asked = seen[-1]
    assert (asked.source, asked.dest, asked.inbound) == (2000, 2002, ((0, InboundLane()),))
    assert asked.head.encode() == network.chain.state(relay_parent).para_head(2000)
    assert asked.keys.outbound_lane(0) == messaging.OutboundLanes.key((2002, 0))
    assert asked.keys.outbox(0, 1) == messaging.Outbox.key((2002, 0, 1))
    # The other one has no head on the relay chain, and is not even asked.
    assert [entry.source for entry in seen] == [2000] * len(seen)
    assert report.collation.fetched[1][1].problem == "the relay chain has no head of 2999"


# Lanes that we have never heard of.


@dataclass(frozen=True)
class Talkative(Sibling):
    """A node that names lanes."""

    named: Any = ()

    def message_lanes(self, dest: int, at: bytes) -> Any:
        return self.named


def talkative(bodies: Bodies, named: Any) -> Talkative:
    of = sibling(bodies)
    return Talkative(of.bodies, of.head, of.nodes, named)


def test_a_lane_that_only_the_node_names() -> None:
    bodies = {(9, 1): body(1), (200, 1): body(1), (200, 2): body(2)}
    of = talkative(bodies, [b"\x09", b"\xc8", b"\x09"])
    answer = fetch(of)
    assert answer.item is not None
    assert [batch.lane for batch in answer.item.batches] == [9, 200]
    assert delivered(of, answer.item) == [1, 1, 2]


@pytest.mark.parametrize(
    "named",
    [None, 3, [b""], [b"", b"\x00"], [b"\x00\x01\x02"], [object()], ["0"], [b"\x07"] * 257, [bytes(300)]],
)
def test_names_of_lanes_are_a_hint_and_no_more(named: Any) -> None:
    answer = fetch(talkative(FIVE, named))
    assert answer.item is not None
    assert delivered(five(), answer.item) == [1, 2, 3, 4, 5]


# In head mode.


@pytest.mark.parametrize("name", [*PROOF_LIES, *BODY_LIES])
def test_a_lie_in_head_mode(name: str) -> None:
    """The same lies where one value is proven: nothing comes of them, or what was sent."""
    liar = (
        Liar(five(), proofs=of_lane(PROOF_LIES[name]))
        if name in PROOF_LIES
        else Liar(five(), bodies=BODY_LIES[name])
    )
    answer = SiblingMessageSource(SIBLING, liar, LAYOUT_V1).fetch(request(five()))  # type: ignore[arg-type]
    assert_refused(answer)


def test_an_honest_node_in_head_mode() -> None:
    answer = SiblingMessageSource(SIBLING, five(), LAYOUT_V1).fetch(request(five()))
    assert answer.item is not None
    (batch,) = answer.item.batches
    assert batch.tail == ()
    assert delivered(five(), answer.item) == [1, 2, 3, 4, 5]
    flat = fetch(five()).item
    assert flat is not None
    assert answer.item.proof_bytes() < flat.proof_bytes()
