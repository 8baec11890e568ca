"""Messaging between two real chains, the bytes others rely on, and attempts to pass one message off as another.

Complements ``test_pallets_messaging.py``, which has each refusal of a single item.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayStateReader
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
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
from runtime.pallets.state_messaging.receive import Refusal
from runtime.pallets.state_messaging.types import (
    Ack,
    InboundItem,
    LaneBatch,
    Message,
    MessageBody,
    MessagingInherent,
    TimeoutClaim,
    lane_key,
    offchain_body_key,
    outbox_tail,
)
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.inherent import STATE_MESSAGING, InherentData
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE, BadOrigin, ModuleError, Origin, OriginKind
from runtime.support.sibling_ancestry import NewestHead
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, FIRST, SECOND = 2001, 2000, 2002
NOW = 1_700_000_000_000
WHO = bytes(range(32))
messaging, mailbox, system = demo.state_messaging, demo.mailbox, demo.system


def body(nonce: int, text: bytes = b"letter") -> MessageBody:
    return MessageBody(WHO, b"mailbox", None, text + b" %d" % nonce)


@dataclass(frozen=True)
class Sibling:
    """A sibling's state: (dest, lane, nonce) -> body."""

    para: int
    bodies: dict[tuple[int, int, int], MessageBody]
    head: Header
    nodes: dict[bytes, bytes]

    def item(self, *lanes: tuple[int, int, int], dest: int = ME) -> InboundItem:
        """An item with (lane, first, count) batches and the proof of exactly these messages."""
        batches, keys = [], []
        for lane, first, count in lanes:
            nonces = range(first, first + count)
            batches.append(LaneBatch(lane, first, tuple(self.bodies[dest, lane, nonce] for nonce in nonces)))
            keys += [messaging.Outbox.key((dest, lane, nonce)) for nonce in nonces]
        proof = create_proof(self.nodes, self.head.state_root, keys, LAYOUT_V1)
        return InboundItem(VERSION, self.para, NewestHead(self.head.hash()), tuple(batches), nodes=proof)


def sibling(para: int, text: bytes = b"letter") -> Sibling:
    """Three messages to each of two chains on each of two lanes."""
    entries = {b"filler %d" % index: bytes(40) for index in range(40)}
    bodies = {
        (dest, lane, nonce): body(nonce, text)
        for dest in (ME, 2999)
        for lane in (0, 5)
        for nonce in (1, 2, 3)
    }
    for (dest, lane, nonce), sent in bodies.items():
        commitment = Message(VERSION, para, dest, lane, nonce, sent).commitment()
        entries[messaging.Outbox.key((dest, lane, nonce))] = commitment
    root, nodes = build_state(Storage(entries))
    return Sibling(para, bodies, Header(bytes(32), 9, root, bytes(32)), nodes)


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        return self


ONE, TWO = sibling(FIRST), sibling(SECOND, b"note")
RELAY_KEYS = {of.para: relay_keys.para_head(of.para) for of in (ONE, TWO)}
RELAY_ROOT, RELAY_NODES = build_state(
    Storage(
        {
            **{RELAY_KEYS[of.para]: byte_vec.encode(of.head.encode()) for of in (ONE, TWO)},
            **{b"relay %d" % index: bytes(40) for index in range(40)},
        }
    )
)


def embedded() -> RelayStateReader:
    return EmbeddedRelayNode(Database(RELAY_NODES), RELAY_ROOT)


def carried() -> RelayStateReader:
    return CarriedProof(RELAY_ROOT, create_proof(RELAY_NODES, RELAY_ROOT, RELAY_KEYS.values(), LAYOUT_V1))


@contextmanager
def receiving(relay: RelayStateReader | None = None) -> Iterator[Externalities]:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, relay or embedded()).externalities():
        demo.parachain_info.ParachainId.put(ME)
        demo.timestamp.Now.put(NOW)
        system.ExecutionPhase.put(ApplyExtrinsic(0))
        yield state


def receive(*items: InboundItem) -> None:
    """The inherent of one block, and the end of that block."""
    messaging.receive(NONE, MessagingInherent(VERSION, items))
    messaging.on_finalize(1)


def events() -> list[object]:
    raw = demo.host.get(system.Events.key())
    return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]


def consumed() -> list[tuple[int, int, int]]:
    return [
        (event.source, event.lane, event.nonce) for event in events() if isinstance(event, MessageConsumed)
    ]


def refusals() -> list[tuple[int, Refusal]]:
    return [(event.source, Refusal(event.reason)) for event in events() if isinstance(event, ItemRefused)]


# Both answerers.


def test_either_answerer_gives_the_same_state_and_reads() -> None:
    outcomes = []
    for reader in (embedded(), carried()):
        with receiving(reader) as state:
            receive(ONE.item((0, 1, 2)), TWO.item((0, 1, 1), (5, 1, 3)))
            outcomes.append(
                (state.root(1), events(), reader.nodes(), reader.commitment(), reader.proof_size())
            )
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][1]) == 6 + 6  # consumed, and received by the mailbox


def test_items_and_lanes_in_order() -> None:
    with receiving():
        receive(ONE.item((0, 1, 2), (5, 1, 1)), TWO.item((5, 1, 1)))
        assert consumed() == [(FIRST, 0, 1), (FIRST, 0, 2), (FIRST, 5, 1), (SECOND, 5, 1)]
        receive(ONE.item((0, 3, 1), (5, 2, 2)))
        assert consumed()[4:] == [(FIRST, 0, 3), (FIRST, 5, 2), (FIRST, 5, 3)]
        assert messaging.InboundLanes.get((FIRST, 0)).last_delivered == 3
        letter = mailbox.LastLetter.get(FIRST)
        assert letter is not None
        assert (letter.nonce, letter.sender, letter.payload) == (3, WHO, b"letter 3")


def test_an_item_is_delivered_once() -> None:
    with receiving() as state:
        item = ONE.item((0, 1, 2))
        receive(item)
        before = state.root(1)
        receive(item)
        assert refusals() == [(FIRST, Refusal.STALE)]
        receive(ONE.item((0, 2, 2)))  # overlaps
        assert refusals()[1:] == [(FIRST, Refusal.STALE)]
        system.Events.kill()
        system.EventCount.kill()
        after = state.root(1)
        assert (mailbox.Received.get(), messaging.InboundLanes.get((FIRST, 0)).last_delivered) == (2, 2)
    with receiving() as state:
        receive(item)
        system.Events.kill()
        system.EventCount.kill()
        assert state.root(1) == after != before


def test_one_bad_lane_refuses_the_whole_item() -> None:
    with receiving():
        item = ONE.item((0, 1, 2), (5, 1, 1))
        receive(
            replace(item, batches=(item.batches[0], replace(item.batches[1], first_nonce=2))),
            TWO.item((0, 1, 1)),
        )
        assert refusals() == [(FIRST, Refusal.GAP)]
        assert consumed() == [(SECOND, 0, 1)]
        assert messaging.InboundLanes.get((FIRST, 0)) == InboundLane()
        forged = replace(item.batches[1], bodies=(body(1, b"forged"),))
        receive(replace(item, batches=(item.batches[0], forged)))
        assert refusals()[1:] == [(FIRST, Refusal.WRONG_COMMITMENT)]
        assert messaging.InboundLanes.get((FIRST, 0)) == InboundLane()


# Passing one message off as another: every proof below is honest.


def test_a_message_of_another_lane() -> None:
    item = ONE.item((0, 1, 1))
    with receiving():
        receive(replace(item, batches=(replace(item.batches[0], lane=5),)))
        receive(replace(ONE.item((0, 1, 1), (5, 1, 1)), batches=(LaneBatch(6, 1, (body(1),)),)))
        assert consumed() == []
        assert {refusal for _, refusal in refusals()} <= {
            Refusal.PROOF_INCOMPLETE,
            Refusal.UNUSED_NODE,
            Refusal.NOT_SENT,
            Refusal.WRONG_COMMITMENT,
        }
        assert len(refusals()) == 2


def test_a_message_to_another_chain() -> None:
    """Its text is the same as that of a message to us; its place is not."""
    proof = ONE.item((0, 1, 3), dest=2999)
    with receiving():
        receive(proof)
        assert consumed() == []
        assert len(refusals()) == 1


def test_a_message_of_another_chain() -> None:
    item = TWO.item((0, 1, 1))
    with receiving():
        receive(replace(item, source=FIRST))
        receive(replace(item, source=FIRST, head=NewestHead(ONE.head.hash())))
        assert consumed() == []
        assert refusals() == [(FIRST, Refusal.HEAD_MISMATCH), (FIRST, Refusal.PROOF_INCOMPLETE)]


def test_a_later_message_in_place_of_the_next() -> None:
    later = ONE.item((0, 2, 1))
    with receiving():
        receive(replace(later, batches=(replace(later.batches[0], first_nonce=1),)))
        assert consumed() == []
        assert len(refusals()) == 1


def test_absence_that_is_only_claimed() -> None:
    """Nodes left out show nothing: a message cannot be made *not sent*, nor a proof of absence one of presence."""
    item = ONE.item((0, 1, 1))
    with receiving():
        for position in range(len(item.nodes)):
            receive(replace(item, nodes=item.nodes[:position] + item.nodes[position + 1 :]))
        assert {refusal for _, refusal in refusals()} == {Refusal.PROOF_INCOMPLETE}
        assert len(refusals()) == len(item.nodes)


# Time.


@pytest.mark.parametrize("timeout, outcome", [(NOW - 1, 2), (NOW, 2), (NOW + 1, 0), (2**64 - 1, 0)])
def test_a_message_expires_at_its_timeout(timeout: int, outcome: int) -> None:
    sent = replace(body(1), timeout=timeout)
    message = Message(VERSION, FIRST, ME, 0, 1, sent)
    with receiving():
        assert messaging._dispatch(message, NOW) is Outcome(outcome)
        assert mailbox.Received.get() == (outcome == Outcome.DELIVERED)


# Origins and creation.


def test_who_may_send_and_receive() -> None:
    signed = Origin(OriginKind.SIGNED, WHO)
    with receiving():
        with pytest.raises(BadOrigin):
            messaging.receive(signed, MessagingInherent(VERSION, ()))
        for origin in (NONE, Origin(OriginKind.ROOT)):
            with pytest.raises(BadOrigin):
                messaging.send(origin, FIRST, 0, b"mailbox", None, b"")


def test_no_messages_no_inherent() -> None:
    data = InherentData()
    assert messaging.create_inherent(data) is None
    data.put_data(STATE_MESSAGING, MessagingInherent(VERSION, ()).encode())
    assert messaging.create_inherent(data) is None
    item = ONE.item((0, 1, 1))
    data.replace_data(STATE_MESSAGING, MessagingInherent(VERSION, (item,)).encode())
    made = messaging.create_inherent(data)
    assert made is not None
    assert messaging.is_inherent(made)
    assert made.function.weight(*made.arguments).proof_size >= item.proof_bytes() + item.payload_bytes()


def test_a_pallet_that_sends_is_told_what_is_wrong() -> None:
    with receiving(), pytest.raises(ModuleError, match="RecipientTooLong"):
        messaging.send_message(FIRST, 0, MessageBody(WHO, bytes(33), None, b""))


def test_sending() -> None:
    with receiving() as state:
        first = messaging.send_message(FIRST, 3, body(1))
        second = messaging.send_message(FIRST, 3, body(2))
        assert (first.nonce, second.nonce, second.source, second.dest) == (1, 2, ME, FIRST)
        assert messaging.Outbox.get((FIRST, 3, 2)) == second.commitment()
        head = chain_step(chain_step(bytes(32), 1, first.commitment()), 2, second.commitment())
        size = len(body(1).encode()) + len(body(2).encode())
        assert messaging.OutboundLanes.get((FIRST, 3)) == OutboundLane(3, 0, size, head)
        assert messaging.OutboundLanes.get((FIRST, 0)) == OutboundLane()
        # A commitment of 32 bytes stays in its leaf: no message costs a second node in the proof.
        changes = state.drain(1)
        assert first.commitment() not in changes.nodes.values()


# Bytes that other implementations rely on.


def test_keys_are_big_endian_behind_their_prefix() -> None:
    assert lane_key(0x01020304, 5).hex() == "0102030405"
    assert outbox_tail(0x01020304, 5, 0x060708).hex() == "01020304050000000000060708"
    assert messaging.Outbox.key((1, 2, 3)) == messaging.Outbox.prefix + outbox_tail(1, 2, 3)
    assert messaging.Outbox.prefix.hex() == "3ab10ed299097010ece5787c8ab6d3152c21e4b0f37ac179db1f62b4785c1ed8"
    assert messaging.OutboundLanes.key((2001, 1)).hex() == (
        "3ab10ed299097010ece5787c8ab6d315" + OUTBOUND_LANES + "000007d101"
    )
    assert messaging.InboundLanes.key((2000, 0)).hex() == (
        "3ab10ed299097010ece5787c8ab6d315" + INBOUND_LANES + "000007d000"
    )
    assert offchain_body_key(bytes(32)) == b"pileus/body/v1" + bytes(32)
    keys = [messaging.Outbox.key((1, 0, nonce)) for nonce in (1, 255, 256, 65_536, 2**40)]
    assert keys == sorted(keys)


OUTBOUND_LANES = "96c246acb9b55077390e3ca723a0ca1f"
INBOUND_LANES = "e5f83cf83f2127eb47afdc35d6e43fab"


def test_lanes_on_the_wire() -> None:
    outbound = OutboundLane(2, 1, 3, bytes(range(32)))
    assert outbound.encode().hex() == (
        "0200000000000000" + "0100000000000000" + "0300000000000000" + bytes(range(32)).hex() + "00"
    )
    inbound = InboundLane(2, 3, True, bytes(range(32)))
    assert inbound.encode().hex() == ("0200000000000000" + "03" + "00" * 255 + "01" + bytes(range(32)).hex())
    window = InboundWindow(2, 3, 7, True)
    assert window.encode().hex() == ("0200000000000000" + "03" + "00" * 127 + "07" + "00" * 511 + "01")
    assert (
        chain_step(bytes(32), 1, bytes(range(32))).hex()
        == "402d709c0de639df0ed2a8d3b0c2c141a6d0b1c1a74df08fe5b636c7182adcc8"
    )


def test_an_inherent_on_the_wire() -> None:
    item = InboundItem(
        VERSION,
        2000,
        NewestHead(bytes(range(32))),
        (LaneBatch(1, 2, (MessageBody(b"s", b"r", 7, b"p"),), (bytes(32),)),),
        (Ack(3, 4, 5),),
        (TimeoutClaim(6, (7,)),),
        (b"node",),
    )
    expected = (
        "01"
        + "04"
        + "01"
        + "d0070000"
        + "00"
        + bytes(range(32)).hex()
        + "04"
        + "01"
        + "0200000000000000"
        + "04"
        "0473"
        + "0472"
        + "010700000000000000"
        + "0470"
        + "01"
        + "04"
        + bytes(32).hex()
        + "04"
        + "03"
        + "0400000000000000"
        + "05000000"
        + "04"
        + "06"
        + "04"
        + "0700000000000000"
        + "04"
        + "106e6f6465"
    )
    assert MessagingInherent(VERSION, (item,)).encode().hex() == expected
    assert MessagingInherent.decode(bytes.fromhex(expected)) == MessagingInherent(VERSION, (item,))


# Two real chains.

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(Parachain(id=para, collators=(Collator(f"c-{para}"),)) for para in (2000, 2001)),
)


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_both_ends_of_a_lane_agree(mode: str) -> None:
    """Everything sent arrives once and in order, and one value on each side says so."""
    network = Network(TOPOLOGY, seed=4, relay_state=mode)  # type: ignore[arg-type]
    sender, receiver = network.parachains
    for step in range(12):
        for index in range(step % 3):
            sender.submit_message(2001, b"%d/%d" % (step, index))
        assert not network.step().problems
    for _ in range(6):
        network.step()
    raw = sender.node.storage(messaging.OutboundLanes.key((2001, 0)), sender.node.best_hash)
    outbound = OutboundLane.decode(raw or b"")
    raw = receiver.node.storage(messaging.InboundLanes.key((2000, 0)), receiver.node.best_hash)
    inbound = InboundLane.decode(raw or b"")
    assert outbound.next_nonce - 1 == inbound.last_delivered == 12
    assert inbound.head == outbound.head
    assert inbound.outcomes == 0  # all delivered
    # Acknowledged: the outbox is empty again, in state and beside it, and the next block says so.
    assert (outbound.acked, outbound.bytes_in_flight, outbound.in_flight) == (12, 0, 0)
    for nonce in range(1, 13):
        for item in (messaging.Outbox, messaging.Pending):
            assert sender.node.storage(item.key((2001, 0, nonce)), sender.node.best_hash) is None
    assert receiver.node.offchain == {}
    # Bodies go when their acknowledgement is final, which the last ones may not be yet.
    assert len(sender.node.offchain) < 12
