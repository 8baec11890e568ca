"""The messaging pallet on real tries: what is delivered, and each reason for which an item is refused.

A sibling is a hand-made state with an outbox, a header over it, and a relay state that holds the header; the receiving
chain is the demo runtime over its genesis state. Nothing in between is mocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.errors import StateUnavailable
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.chains import demo
from runtime.pallets.mailbox import MAX_LETTER, RECIPIENT
from runtime.pallets.state_messaging.events import ItemRefused, MessageConsumed
from runtime.pallets.state_messaging.lanes import OUTCOME_WINDOW, VERSION, InboundLane, Outcome, chain_step
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
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE, ModuleError, Origin, OriginKind
from runtime.support.sibling_ancestry import NewestHead
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, SIBLING, STRANGER = 2001, 2000, 2999
NOW = 1_700_000_000_000
ALICE = bytes(range(32))

messaging, mailbox, system = demo.state_messaging, demo.mailbox, demo.system


def body(index: int, **changes: object) -> MessageBody:
    return replace(MessageBody(ALICE, RECIPIENT, None, b"letter %d" % index), **changes)  # type: ignore[arg-type]


class Database(dict[bytes, bytes]):
    """A relay node's database that holds one state."""

    def state_at(self, root: bytes) -> Database:
        if root not in self:
            raise StateUnavailable(root)
        return self


@dataclass(frozen=True)
class World:
    """A sibling with messages to us, and the relay state that has its head."""

    bodies: tuple[MessageBody, ...]
    head: Header
    nodes: dict[bytes, bytes]
    relay: EmbeddedRelayNode

    def item(self, first: int = 1, count: int | None = None) -> InboundItem:
        """A good item with the messages from nonce ``first`` on."""
        bodies = self.bodies[first - 1 : None if count is None else first - 1 + count]
        keys = [messaging.Outbox.key((ME, 0, first + at)) for at in range(len(bodies))]
        proof = create_proof(self.nodes, self.head.state_root, keys, LAYOUT_V1)
        return InboundItem(
            VERSION, SIBLING, NewestHead(self.head.hash()), (LaneBatch(0, first, bodies),), nodes=proof
        )


def world(bodies: tuple[MessageBody, ...] = tuple(body(index) for index in range(1, 6))) -> World:
    entries = {b"filler" + bytes([index]): bytes([index]) * 40 for index in range(50)}
    for nonce, sent in enumerate(bodies, 1):
        message = Message(VERSION, SIBLING, ME, 0, nonce, sent)
        entries[messaging.Outbox.key((ME, 0, nonce))] = message.commitment()
    root, nodes = build_state(Storage(entries))
    head = Header(bytes(32), 77, root, bytes(32))
    relay_entries = {
        relay_keys.para_head(SIBLING): byte_vec.encode(head.encode()),
        relay_keys.para_head(2500): byte_vec.encode(b"no header"),
        relay_keys.CURRENT_SLOT: bytes(8),
    }
    relay_root, relay_nodes = build_state(Storage(relay_entries))
    return World(bodies, head, nodes, EmbeddedRelayNode(Database(relay_nodes), relay_root))


@contextmanager
def receiving(relay: EmbeddedRelayNode | None = None) -> Iterator[Externalities]:
    """Inside a block of the receiving chain."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, relay).externalities():
        demo.parachain_info.ParachainId.put(ME)
        demo.timestamp.Now.put(NOW)
        system.Number.put(1)
        system.ExecutionPhase.put(ApplyExtrinsic(2))
        yield state


def receive(*items: InboundItem, version: int = VERSION) -> None:
    messaging.receive(NONE, MessagingInherent(version, items))


def events() -> list[object]:
    from host_functions.interfaces import storage

    raw = storage.get(system.Events.key())
    return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]


def consumed() -> list[tuple[int, Outcome]]:
    return [(event.nonce, Outcome(event.outcome)) for event in events() if isinstance(event, MessageConsumed)]


def refusals() -> list[tuple[int, Refusal]]:
    return [(event.source, Refusal(event.reason)) for event in events() if isinstance(event, ItemRefused)]


# Delivery.


def test_messages_are_delivered_in_order_and_the_lanes_heads_agree() -> None:
    sibling = world()
    with receiving(sibling.relay):
        receive(sibling.item())
        assert consumed() == [(nonce, Outcome.DELIVERED) for nonce in range(1, 6)]
        lane = messaging.InboundLanes.get((SIBLING, 0))
        head = bytes(32)
        for nonce, sent in enumerate(sibling.bodies, 1):
            head = chain_step(head, nonce, Message(VERSION, SIBLING, ME, 0, nonce, sent).commitment())
        assert lane == InboundLane(5, 0, False, head)
        assert mailbox.Received.get() == 5
        letter = mailbox.LastLetter.get(SIBLING)
        assert letter is not None
        assert (letter.nonce, letter.payload) == (5, b"letter 5")


def test_a_batch_continues_where_the_last_one_ended() -> None:
    sibling = world()
    with receiving(sibling.relay):
        receive(sibling.item(1, 2))
        messaging.on_finalize(1)
        receive(sibling.item(3, 3))
        assert [nonce for nonce, _ in consumed()] == [1, 2, 3, 4, 5]


def test_every_outcome_consumes_the_message() -> None:
    sibling = world(
        (
            body(1),
            body(2, timeout=NOW),
            body(3, recipient=b"nobody"),
            body(4, payload=bytes(MAX_LETTER + 1)),
            body(5, timeout=NOW + 1),
        )
    )
    with receiving(sibling.relay):
        receive(sibling.item())
        assert [outcome for _, outcome in consumed()] == [
            Outcome.DELIVERED,
            Outcome.EXPIRED,
            Outcome.FAILED,
            Outcome.FAILED,
            Outcome.DELIVERED,
        ]
        lane = messaging.InboundLanes.get((SIBLING, 0))
        assert lane.last_delivered == 5
        assert [lane.outcome_of(nonce) for nonce in range(1, 6)] == [outcome for _, outcome in consumed()]
        assert mailbox.Received.get() == 2


def test_what_a_failing_handler_wrote_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(message: Message) -> None:
        mailbox.Received.put(99)
        raise mailbox.fail(mailbox.Error.TooLong)

    monkeypatch.setattr(mailbox, "on_message", handler)
    sibling = world((body(1),))
    with receiving(sibling.relay):
        receive(sibling.item())
        assert consumed() == [(1, Outcome.FAILED)]
        assert mailbox.Received.get() == 0


def test_outcomes_shift_out_behind_the_window() -> None:
    lane = InboundLane()
    for nonce in range(1, OUTCOME_WINDOW + 3):
        lane = lane.consume(nonce, Outcome.SKIPPED if nonce < 3 else Outcome.DELIVERED, bytes(32))
    assert (lane.last_delivered, lane.outcomes) == (OUTCOME_WINDOW + 2, 0)


# Refusals.


def with_bodies(
    change: Callable[[tuple[MessageBody, ...]], tuple[MessageBody, ...]],
) -> Callable[[InboundItem], InboundItem]:
    return lambda item: replace(
        item, batches=(replace(item.batches[0], bodies=change(item.batches[0].bodies)),)
    )


def with_nodes(
    change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> Callable[[InboundItem], InboundItem]:
    return lambda item: replace(item, nodes=change(item.nodes))


def with_batch(**changes: object) -> Callable[[InboundItem], InboundItem]:
    return lambda item: replace(item, batches=(replace(item.batches[0], **changes),))  # type: ignore[arg-type]


REFUSED: dict[str, tuple[Callable[[InboundItem], InboundItem], Refusal]] = {
    "too many messages": (with_bodies(lambda bodies: bodies * 52), Refusal.TOO_MANY_MESSAGES),
    "too many nodes": (
        with_nodes(lambda nodes: tuple(index.to_bytes(3, "big") for index in range(2_049))),
        Refusal.TOO_MANY_NODES,
    ),
    "too many bytes": (with_nodes(lambda nodes: (bytes(256 * 1024 + 1),)), Refusal.PROOF_TOO_LARGE),
    "an oversized node": (with_nodes(lambda nodes: (bytes(64 * 1024 + 1),)), Refusal.NODE_TOO_LARGE),
    "a node twice": (with_nodes(lambda nodes: (nodes[0], *nodes)), Refusal.DUPLICATE_NODE),
    "nodes unsorted": (with_nodes(lambda nodes: nodes[::-1]), Refusal.NODES_NOT_SORTED),
    "nothing": (lambda item: replace(item, batches=()), Refusal.EMPTY_ITEM),
    "a lane twice": (lambda item: replace(item, batches=item.batches * 2), Refusal.LANES_NOT_SORTED),
    "lanes unsorted": (
        lambda item: replace(item, batches=(replace(item.batches[0], lane=1), item.batches[0])),
        Refusal.LANES_NOT_SORTED,
    ),
    "an empty batch": (with_batch(bodies=()), Refusal.EMPTY_BATCH),
    "from ourselves": (lambda item: replace(item, source=ME), Refusal.SOURCE_IS_SELF),
    "another version": (lambda item: replace(item, version=2), Refusal.WRONG_VERSION),
    "nonce zero": (with_batch(first_nonce=0), Refusal.NONCE_OUT_OF_RANGE),
    "a gap": (with_batch(first_nonce=2), Refusal.GAP),
    "the last nonce there is": (with_batch(first_nonce=2**64 - 1), Refusal.NONCE_OUT_OF_RANGE),
    "an unknown sibling": (lambda item: replace(item, source=STRANGER), Refusal.UNKNOWN_SIBLING),
    "a sibling without a header": (lambda item: replace(item, source=2500), Refusal.BAD_HEAD),
    "another head": (lambda item: replace(item, head=NewestHead(bytes(32))), Refusal.HEAD_MISMATCH),
    "a large payload": (
        with_bodies(lambda bodies: (body(1, payload=bytes(102_401)), *bodies[1:])),
        Refusal.MESSAGE_TOO_LARGE,
    ),
    "a node less": (with_nodes(lambda nodes: nodes[1:]), Refusal.PROOF_INCOMPLETE),
    "no node": (with_nodes(lambda nodes: ()), Refusal.PROOF_INCOMPLETE),
    "a flipped node": (
        with_nodes(lambda nodes: tuple(sorted((*nodes[:-1], nodes[-1][:-1] + bytes([nodes[-1][-1] ^ 1]))))),
        Refusal.PROOF_INCOMPLETE,
    ),
    "a node more": (
        with_nodes(lambda nodes: tuple(sorted((*nodes, b"\x42\x01\x04\x01")))),
        Refusal.UNUSED_NODE,
    ),
    "a message less than proven": (with_bodies(lambda bodies: bodies[:1]), None),  # type: ignore[dict-item]
    "a message never sent": (with_bodies(lambda bodies: (*bodies, body(6))), None),  # type: ignore[dict-item]
    "another payload": (
        with_bodies(lambda bodies: (body(1, payload=b"forged"), *bodies[1:])),
        Refusal.WRONG_COMMITMENT,
    ),
    "another sender": (
        with_bodies(lambda bodies: (body(1, sender=bytes(32)), *bodies[1:])),
        Refusal.WRONG_COMMITMENT,
    ),
    "another timeout": (
        with_bodies(lambda bodies: (body(1, timeout=2**64 - 1), *bodies[1:])),
        Refusal.WRONG_COMMITMENT,
    ),
    "messages in another order": (
        with_bodies(lambda bodies: (bodies[1], bodies[0], *bodies[2:])),
        Refusal.WRONG_COMMITMENT,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_item_changes_nothing_but_an_event(name: str) -> None:
    change, refusal = REFUSED[name]
    sibling = world()
    with receiving(sibling.relay) as state:
        before = state.root(1)
        receive(change(sibling.item()))
        assert consumed() == []
        (refused,) = refusals()
        if refusal is not None:
            assert refused[1] is refusal
        for item in (system.Events, system.EventCount, messaging.DidReceive):
            item.kill()
        assert state.root(1) == before


def test_a_message_the_sibling_provably_did_not_send() -> None:
    sibling = world()
    keys = [messaging.Outbox.key((ME, 0, nonce)) for nonce in range(1, 7)]
    proof = create_proof(sibling.nodes, sibling.head.state_root, keys, LAYOUT_V1)
    item = sibling.item()
    forged = replace(item, batches=(LaneBatch(0, 1, (*item.batches[0].bodies, body(6))),), nodes=proof)
    with receiving(sibling.relay):
        receive(forged)
        assert refusals() == [(SIBLING, Refusal.NOT_SENT)]


def test_a_suspended_lane() -> None:
    sibling = world()
    with receiving(sibling.relay):
        messaging.InboundLanes.insert((SIBLING, 0), InboundLane(suspended=True))
        receive(sibling.item())
        assert refusals() == [(SIBLING, Refusal.LANE_SUSPENDED)]


def test_an_honest_proof_by_a_malformed_sibling_state() -> None:
    """The sibling's root is the sibling's to choose: a node with the right hash may be anything."""
    malformed = b"\x9f\x00\xff"
    root = LAYOUT_V1.digest(malformed)
    sibling = world()
    head = replace(sibling.head, state_root=root)
    relay_root, relay_nodes = build_state(
        Storage({relay_keys.para_head(SIBLING): byte_vec.encode(head.encode())})
    )
    item = replace(sibling.item(), head=NewestHead(head.hash()), nodes=(malformed,))
    with receiving(EmbeddedRelayNode(Database(relay_nodes), relay_root)):
        receive(item)
        assert refusals() == [(SIBLING, Refusal.PROOF_MALFORMED)]


def test_good_items_beside_a_bad_one_are_delivered() -> None:
    sibling = world()
    with receiving(sibling.relay):
        receive(sibling.item(), replace(sibling.item(), source=STRANGER))
        assert len(consumed()) == 5
        assert refusals() == [(STRANGER, Refusal.UNKNOWN_SIBLING)]


def test_relay_state_that_cannot_be_read_is_no_refusal() -> None:
    sibling = world()
    broken = Database(dict(sibling.relay._recorder._base._store))  # type: ignore[attr-defined]
    lonely = Database({sibling.relay.root: broken[sibling.relay.root]})
    with receiving(EmbeddedRelayNode(lonely, sibling.relay.root)), pytest.raises(StateUnavailable):
        receive(sibling.item())


@pytest.mark.parametrize(
    "inherent",
    [
        MessagingInherent(2, ()),
        MessagingInherent(VERSION, (world().item(), world().item())),
        MessagingInherent(VERSION, (replace(world().item(), source=STRANGER), world().item())),
        MessagingInherent(VERSION, tuple(replace(world().item(), source=para) for para in range(101))),
        MessagingInherent(
            VERSION, tuple(replace(world().item(), source=para, nodes=(bytes(10**6),)) for para in range(4))
        ),
    ],
    ids=["version", "source twice", "sources unsorted", "too many items", "too large"],
)
def test_breaking_the_outer_rules_invalidates_the_block(inherent: MessagingInherent) -> None:
    with receiving(world().relay), pytest.raises(InvalidBlock):
        messaging.receive(NONE, inherent)


def test_a_second_inherent_invalidates_the_block() -> None:
    sibling = world()
    with receiving(sibling.relay):
        receive(sibling.item(1, 1))
        with pytest.raises(InvalidBlock, match="more than one"):
            receive(sibling.item(2, 1))


# Sending.


def send(
    payload: bytes = b"x", *, dest: int = SIBLING, timeout: int | None = None, recipient: bytes = b"r"
) -> None:
    messaging.send(Origin(OriginKind.SIGNED, ALICE), dest, 0, recipient, timeout, payload)


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"dest": ME}, messaging.Error.DestinationIsSelf),
        ({"payload": bytes(102_401)}, messaging.Error.MessageTooLarge),
        ({"timeout": NOW}, messaging.Error.TimeoutOutOfRange),
        ({"timeout": NOW + 30 * 24 * 3600 * 1000 + 1}, messaging.Error.TimeoutOutOfRange),
        ({"timeout": 2**64 - 1}, messaging.Error.TimeoutOutOfRange),
        ({"recipient": bytes(33)}, messaging.Error.RecipientTooLong),
    ],
)
def test_send_refuses(arguments: dict[str, object], error: int) -> None:
    with receiving(), pytest.raises(ModuleError) as caught:
        send(**arguments)  # type: ignore[arg-type]
    assert caught.value.error is error


def test_the_window_in_messages() -> None:
    with receiving():
        for _ in range(1_024):
            send()
        with pytest.raises(ModuleError, match="LaneFull"):
            send()
        send(dest=STRANGER)  # another lane has its own window
        assert messaging.OutboundLanes.get((SIBLING, 0)).next_nonce == 1_025


def test_the_window_in_bytes() -> None:
    with receiving():
        sent = 0
        with pytest.raises(ModuleError, match="LaneFull"):
            while True:
                send(bytes(100_000))
                sent += 1
        assert sent == 10
        assert messaging.OutboundLanes.get((SIBLING, 0)).bytes_in_flight <= 1024 * 1024


def test_the_bytes_of_the_protocol() -> None:
    """Golden values: another implementation must arrive at these."""
    message = Message(VERSION, 2000, 2001, 0, 1, MessageBody(ALICE, b"mailbox", None, b"hello"))
    assert message.encode().hex() == (
        "01d0070000d107000000010000000000000080" + ALICE.hex() + "1c6d61696c626f78" + "00" + "1468656c6c6f"
    )
    assert message.commitment().hex() == "bda7bc7456782ecb34481ee073bffdabe243e55abb877a0964b17e015ed2293d"
    assert (
        messaging.Outbox.key((2001, 0, 1)).hex()
        == "3ab10ed299097010ece5787c8ab6d3152c21e4b0f37ac179db1f62b4785c1ed8"
        + "000007d1"
        + "00"
        + "0000000000000001"
    )
