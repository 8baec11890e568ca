"""The scenario list of state messaging, part 2: hostile items, collators and siblings, and a relay chain that forks.

Numbers and kit as in ``test_one_lane.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from host_functions.errors import StateUnavailable
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayOwnState
from pileus.collator.failover import FailoverSource
from pileus.collator.message_source import SiblingMessageSource
from pileus.testing.lab import ALICE, SLOT, Lab, LabBlock, LabDivergence
from runtime.chains import demo
from runtime.pallets.balances import FeePaid
from runtime.pallets.mailbox import RECIPIENT
from runtime.pallets.state_messaging import receive
from runtime.pallets.state_messaging.events import ItemRefused, MessageConsumed, MessageSettled
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS
from runtime.pallets.state_messaging.receive import Refusal
from runtime.pallets.state_messaging.types import Ack, InboundItem, LaneBatch, MessageBody, TimeoutClaim
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, encode_compact
from runtime.support.dispatch import Origin, OriginKind
from runtime.support.sibling_ancestry import BlockHashWindow, HeaderChain, block_hash_key
from runtime.trie.proof import create_proof

A, B, C = 2000, 2001, 2002
SOMEBODY = Origin(OriginKind.SIGNED, ALICE)
messaging, mailbox = demo.state_messaging, demo.mailbox


def refusals(block: LabBlock) -> list[Refusal]:
    return [Refusal(event.reason) for event in block.events if isinstance(event, ItemRefused)]


def nonces(block: LabBlock) -> list[int]:
    return [event.nonce for event in block.events if isinstance(event, MessageConsumed)]


def settled(block: LabBlock) -> list[tuple[int, Outcome]]:
    return [
        (event.nonce, Outcome(event.outcome)) for event in block.events if isinstance(event, MessageSettled)
    ]


def lab_with(count: int, *, paras: tuple[int, ...] = (A, B), lane: int = 0, size: int = 8) -> Lab:
    lab = Lab(paras)
    sends = [lab.send(B, lane=lane, payload=bytes([index]) * size) for index in range(count)]
    lab.step({A: sends}, only=[A])
    return lab


def head(lab: Lab, para: int) -> Header:
    return Header.decode(lab.relay.best.heads[para])


@cache
def good() -> tuple[Lab, InboundItem]:
    """An item that does everything at once: two lanes, an acknowledgement, a timeout."""
    lab = Lab((A, B))
    lab.step({B: [lab.send(A), lab.send(A, timeout=lab.relay.best.time + SLOT + 1)]}, only=[B])
    sends = [lab.send(B), lab.send(B), lab.send(B, lane=3)]
    lab.relay.include({A: lab.build(A, sends, items=[]).header})
    lab.relay.include({A: lab.build(A, items=[lab.item(B, A, lab.batch(B, A, 1, 1))]).header})
    batches = lab.batch(A, B, 1, 2), lab.batch(A, B, 1, 1, lane=3, tail=0)
    item = lab.item(A, B, *batches, acks=[Ack(0, 1, 1)], timeouts=[TimeoutClaim(0, (2,))])
    block = lab.build(B, items=[item])
    assert (nonces(block), settled(block)) == ([1, 2, 1], [(1, Outcome.DELIVERED), (2, Outcome.TIMED_OUT)])
    return lab, item


def attempt(item: InboundItem) -> LabBlock:
    """A block of B with the item; nothing is included, so every attempt starts from the same state."""
    return good()[0].build(B, items=[item])


# Cheap checks first.


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda item: replace(item, nodes=(*item.nodes, item.nodes[-1])), Refusal.DUPLICATE_NODE),
        (lambda item: replace(item, nodes=item.nodes[::-1]), Refusal.NODES_NOT_SORTED),
        (lambda item: replace(item, nodes=(bytes(65_537),)), Refusal.NODE_TOO_LARGE),
        (
            lambda item: replace(item, nodes=tuple(bytes([i]) * 65_000 for i in range(5))),
            Refusal.PROOF_TOO_LARGE,
        ),
        (lambda item: replace(item, batches=(), acks=(), timeouts=()), Refusal.EMPTY_ITEM),
        (lambda item: replace(item, acks=(Ack(0, 0, 1),)), Refusal.NONCE_OUT_OF_RANGE),
        (lambda item: replace(item, acks=(Ack(0, 1, 0),)), Refusal.EMPTY_BATCH),
        (lambda item: replace(item, acks=(Ack(1, 1, 1), Ack(0, 1, 1))), Refusal.LANES_NOT_SORTED),
        (lambda item: replace(item, timeouts=(TimeoutClaim(0, ()),)), Refusal.EMPTY_BATCH),
        (lambda item: replace(item, timeouts=(TimeoutClaim(0, (0,)),)), Refusal.NONCE_OUT_OF_RANGE),
        (
            lambda item: replace(item, timeouts=(TimeoutClaim(0, tuple(range(1, 300))),)),
            Refusal.TOO_MANY_MESSAGES,
        ),
        (lambda item: replace(item, head=HeaderChain(())), Refusal.HEAD_EVIDENCE_TOO_LARGE),
        (lambda item: replace(item, head=HeaderChain((b"no header",))), Refusal.NOT_AN_ANCESTOR),
    ],
)
def test_25_what_the_item_alone_shows_is_decided_before_its_proof_is_touched(
    spoil: Callable[[InboundItem], InboundItem], reason: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dear(*arguments: object, **options: object) -> None:
        raise AssertionError("the proof was looked at")

    lab, item = good()
    monkeypatch.setattr(receive, "read_sibling", dear)
    monkeypatch.setattr(receive, "_messages", dear)
    assert refusals(lab.build(B, items=[spoil(item)])) == [reason]


def test_28_counts_that_no_bytes_stand_behind_are_refused_while_decoding() -> None:
    """An undecodable item is no item: the extrinsic or inherent that carries it never runs."""
    _, item = good()
    encoded = item.encode()
    start = encoded.index(encode_compact(len(item.batches)), 38)
    for at in (start, start + 10, len(encoded) - sum(map(len, item.nodes)) - 2 * len(item.nodes) - 1):
        for claimed in (2**30 - 1, 2**32 - 1, 2**500):
            bomb = encoded[:at] + encode_compact(claimed) + encoded[at + 1 :]
            with pytest.raises(ScaleError):
                InboundItem.decode(bomb)
    with pytest.raises(ScaleError):
        InboundItem.decode(encoded + b"\x00")


@pytest.mark.parametrize("extreme", [2**64 - 1, 2**64 - 2, 2**63])
def test_28_nonces_and_limits_at_their_extremes(extreme: int) -> None:
    _, item = good()
    batch = item.batches[0]
    for changed in (
        replace(item, batches=(replace(batch, first_nonce=extreme),)),
        replace(item, acks=(Ack(0, extreme, 1),)),
        replace(item, acks=(Ack(0, 1, 2**32 - 1),)),
        replace(item, timeouts=(TimeoutClaim(0, (2, extreme)),)),
    ):
        (reason,) = refusals(attempt(changed))
        assert reason in {
            Refusal.NONCE_OUT_OF_RANGE,
            Refusal.GAP,
            Refusal.ACK_GAP,
            Refusal.PRUNE_BUDGET,
            Refusal.CLAIM_NOT_SENT,
        }


@pytest.mark.parametrize("clock, reason", [(2**64 - 1, None), (0, Refusal.TIMEOUT_NOT_REACHED)])
def test_28_a_siblings_clock_at_its_extremes(clock: int, reason: Refusal | None) -> None:
    lab = Lab((A, B))
    lab.step({A: [lab.send(B, timeout=lab.relay.best.time + 5 * SLOT)]}, only=[A])
    wrong = [lambda: demo.timestamp.Now.put(clock)]
    lab.relay.include({B: lab.build(B, wrong, items=[]).header})
    block = lab.build(A, items=[lab.item(B, A, timeouts=[TimeoutClaim(0, (1,))])])
    # A sibling rules over its own clock: one that runs ahead lets messages to itself time out, and no others.
    assert refusals(block) == ([] if reason is None else [reason])
    assert settled(block) == ([] if reason else [(1, Outcome.TIMED_OUT)])


@pytest.mark.parametrize(
    "raw, reason", [(None, Refusal.NO_TIMESTAMP), (b"\x01" * 7, Refusal.VALUE_MALFORMED)]
)
def test_23_a_sibling_without_a_clock_lets_nothing_time_out(raw: bytes | None, reason: Refusal) -> None:
    lab = Lab((A, B))
    lab.step({A: [lab.send(B, timeout=lab.relay.best.time + SLOT + 1)]}, only=[A])

    def break_clock() -> None:
        if raw is None:
            demo.timestamp.Now.kill()
        else:
            demo.host.set(demo.timestamp.Now.key(), raw)

    lab.relay.include({B: lab.build(B, [break_clock], items=[]).header})
    assert refusals(lab.build(A, items=[lab.item(B, A, timeouts=[TimeoutClaim(0, (1,))])])) == [reason]
    assert lab.build(A).items == ()  # the collator has seen it, too


def test_a_siblings_end_of_a_lane_that_is_none() -> None:
    lab = lab_with(1)
    for lane, key in ((0, messaging.keys.inbound(A, 0)), (128, messaging.keys.inbound(A, 128))):
        lie = [lambda key=key: demo.host.set(key, bytes(40))]
        lab.relay.include({B: lab.build(B, lie, items=[]).header})
        block = lab.build(A, items=[lab.item(B, A, acks=[Ack(lane, 1, 1)])])
        assert refusals(block) == [Refusal.VALUE_MALFORMED]
    lab = lab_with(1)
    batch = lab.batch(A, B, 1, 1, tail=0)
    lie = [lambda: demo.host.set(messaging.keys.outbound_lane((B, 0)), bytes(40))]
    lab.relay.include({A: lab.build(A, lie, items=[]).header})
    block = lab.build(B, items=[lab.item(A, B, batch)])
    assert refusals(block) == [Refusal.VALUE_MALFORMED]


def test_a_sibling_whose_chain_was_set_back() -> None:
    lab = Lab((A, B))
    first = lab.build(A, [lab.send(B)])
    lab.relay.include({A: first.header})
    lab.step({A: [lab.send(B)]}, only=[A])
    lab.step(only=[B])
    lab.relay.include({A: first.header})  # as by governance of the relay chain
    block = lab.build(B, items=[lab.item(A, B, acks=[Ack(0, 1, 1)])])
    assert refusals(block) == [Refusal.HEAD_REGRESSED]


# Fees.


def test_18_handing_in_an_item_is_paid_before_the_work_and_also_for_nothing() -> None:
    lab, item = good()
    bad = replace(item, nodes=item.nodes[1:])
    for handed, reasons in ((item, []), (bad, [Refusal.PROOF_INCOMPLETE])):
        fee = messaging.item_fee(handed)
        assert fee > handed.proof_bytes() * messaging.fees.per_proof_byte

        def submit(handed: InboundItem = handed, fee: int = fee) -> None:
            demo.balances.charge_fee(ALICE, fee)
            messaging.submit(SOMEBODY, handed)

        block = lab.build(B, [submit], items=[])
        assert block.of(FeePaid) == [FeePaid(ALICE, fee)]
        assert refusals(block) == reasons


def test_30_every_byte_of_a_proof_is_paid_whether_it_shows_anything_or_not() -> None:
    _, item = good()
    assert (
        messaging.item_fee(replace(item, nodes=(*item.nodes, bytes(1000))))
        >= messaging.item_fee(item) + 1_000_000
    )


def test_04_a_head_further_back_than_the_sibling_remembers() -> None:
    """The sibling's own window of block hashes reaches 256 blocks back; what is older shows nothing any more."""
    lab = Lab((A, B))
    heads = [lab.step({A: [lab.send(B)]}, only=[A])[A].header]
    heads += [lab.step(only=[A])[A].header for _ in range(258)]

    def reference(at: Header) -> BlockHashWindow:
        nodes = lab[A].read_proof([block_hash_key(at.number)], heads[-1].hash())
        return BlockHashWindow(at.encode(), nodes)

    old, usable = heads[0], heads[-257]
    batch = lab.batch(A, B, 1, 1)
    item = lab.item(A, B, batch, head=old, reference=reference(old))
    assert refusals(lab.build(B, items=[item])) == [Refusal.HEAD_TOO_OLD]
    claims = lab.item(A, B, acks=[Ack(0, 1, 1)], head=old, reference=reference(old))
    assert refusals(lab.build(B, items=[claims])) == [Refusal.HEAD_TOO_OLD]
    item = lab.item(A, B, batch, head=usable, reference=reference(usable))
    assert nonces(lab.build(B, items=[item])) == [1]


def test_18_who_cannot_pay_is_not_heard() -> None:
    from pileus.keyring import Keypair
    from pileus.network.run import Network
    from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology

    topology = Topology(
        relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
        parachains=(Parachain(id=A, collators=(Collator("c"),)),),
    )
    network = Network(topology, seed=1, relay_state="own")
    (para,) = network.parachains
    _, item = good()
    fee = messaging.item_fee(item)
    poor = Keypair.from_uri("//Poor")
    keep_alive = demo.balances.call_of(
        demo.balances.transfer_keep_alive, poor.public_key, fee + demo.EXISTENTIAL_DEPOSIT - 1
    )
    para.submit(keep_alive.encode())
    for _ in range(4):
        network.step()
    rich, para._sender = para._sender, poor
    para.submit(messaging.call_of(messaging.submit, item).encode())
    included = [candidate for _ in range(3) for candidate in network.step().candidates]
    assert all(len(candidate.collation.block.extrinsics) == 2 for candidate in included)  # its inherents
    refused = [refused for candidate in included for refused in candidate.collation.proposal.refused]
    assert refused[0].reason == "InvalidTransaction::PAYMENT"
    assert para.mempool == []
    para._sender = rich
    para.submit(messaging.call_of(messaging.submit, item).encode())
    reports = [network.step() for _ in range(4)]
    (candidate,) = [
        candidate
        for report in reports
        for candidate in report.candidates
        if len(candidate.collation.block.extrinsics) == 3
    ]
    assert candidate.all_valid
    events = para.node.storage(demo.system.Events.key(), candidate.collation.block.header.hash())
    found = [record.event for record in demo.pallets.decode_events(events or b"\x00")]
    assert [event.amount for event in found if isinstance(event, FeePaid)] == [fee]
    assert [Refusal(event.reason) for event in found if isinstance(event, ItemRefused)] == [
        Refusal.SOURCE_IS_SELF
    ]


def test_19_an_item_handed_in_twice_is_done_once() -> None:
    """There is no pool tag: the second is a no-op with a reason, and its sender has paid for it."""
    lab, item = good()
    block = lab.build(B, [lambda: messaging.submit(SOMEBODY, item)] * 2, items=[])
    assert nonces(block) == [1, 2, 1]
    assert refusals(block) == [Refusal.STALE]


def test_26_an_acknowledgement_of_another_chain_releases_nothing() -> None:
    lab = Lab((A, B, C))
    lab.step({A: [lab.send(B), lab.send(C)]}, only=[A])
    lab.step(only=[C])
    of_c = lab.item(C, A, acks=[Ack(0, 1, 1)])
    replayed = replace(of_c, source=B, head=lab.item(B, A, acks=[Ack(0, 1, 1)]).head)
    assert refusals(lab.build(A, items=[replayed])) == [Refusal.PROOF_INCOMPLETE]


def test_31_one_item_of_a_source_in_a_block() -> None:
    lab, item = good()
    with pytest.raises(InvalidBlock, match="not strictly increasing"):
        lab.build(B, items=[item, item])


def test_34_a_full_window_on_many_lanes_comes_through() -> None:
    lab = Lab((A, B), lanes=(0, 1, 2, 128))
    for lane in (0, 1, 128):
        lab.step({A: [lab.send(B, lane=lane, payload=b"") for _ in range(512)]}, only=[A])
    received = 0
    for _ in range(12):
        blocks = lab.step()
        received += len(nonces(blocks[B]))
        assert len(nonces(blocks[B])) <= DEFAULT_LIMITS.max_messages_per_item
    assert received == 3 * 512
    for _ in range(2):
        lab.step()
    for lane in (0, 1, 128):
        state = lab[A].read(lambda lane=lane: messaging.OutboundLanes.get((B, lane)))
        assert (state.acked, state.bytes_in_flight) == (512, 0)  # type: ignore[attr-defined]


# Proofs.


def test_39_junk_missing_and_undecodable() -> None:
    _, item = good()
    junk = replace(item, nodes=tuple(sorted((*item.nodes, b"\x42\x01\x04\x01"))))
    assert refusals(attempt(junk)) == [Refusal.UNUSED_NODE]
    doubled = replace(item, nodes=tuple(sorted((*item.nodes, item.nodes[0]))))
    assert refusals(attempt(doubled)) == [Refusal.DUPLICATE_NODE]
    lab, _ = good()
    other = lab[A].read_proof([demo.balances.TotalIssuance.key()], head(lab, A).hash())
    strange = replace(item, nodes=tuple(sorted({*item.nodes, *other})))
    assert refusals(attempt(strange)) == [Refusal.UNUSED_NODE]


def test_40_every_node_removed_and_every_byte_flipped() -> None:
    """Removing says nothing, flipping a byte says nothing: no such proof shows less or more than the whole."""
    lab, item = good()
    dry = lab.collector(B)
    parent = head(lab, B)

    def reason(nodes: Sequence[bytes]) -> Refusal:
        refused = dry._dry_run(replace(item, nodes=tuple(sorted(nodes))), lab.relay.best.hash, parent)
        assert refused is not None
        return Refusal(refused)

    for at, node in enumerate(item.nodes):
        rest = [*item.nodes[:at], *item.nodes[at + 1 :]]
        assert reason(rest) is Refusal.PROOF_INCOMPLETE
        for byte in range(0, len(node), 1 if at % 3 == 0 else 7):
            flipped = bytearray(node)
            flipped[byte] ^= 0x41
            assert reason([*rest, bytes(flipped)]) is Refusal.PROOF_INCOMPLETE


def test_41_a_proof_of_another_lane_destination_or_nonce() -> None:
    lab = Lab((A, B, C))
    same = {"payload": b"same"}
    lab.step(
        {A: [lab.send(B, **same), lab.send(B, **same), lab.send(B, lane=1, **same), lab.send(C, **same)]},
        only=[A],
    )  # type: ignore[arg-type]
    item = lab.item(A, B, lab.batch(A, B, 1, 1))
    foreign = {
        "another lane": lab.item(A, B, lab.batch(A, B, 1, 1, lane=1)).nodes,
        "another destination": lab.item(A, C, lab.batch(A, C, 1, 1)).nodes,
        "another nonce": lab.item(A, B, lab.batch(A, B, 2, 1)).nodes,
    }
    for name, nodes_ in foreign.items():
        (reason,) = refusals(lab.build(B, items=[replace(item, nodes=nodes_)]))
        assert reason in {Refusal.PROOF_INCOMPLETE, Refusal.UNUSED_NODE}, name
    both = replace(item, nodes=tuple(sorted({*item.nodes, *foreign["another nonce"]})))
    (reason,) = refusals(lab.build(B, items=[both])) or [None]
    assert reason in {None, Refusal.UNUSED_NODE}


def test_42_a_cursor_under_a_prefix_of_the_provers_choice() -> None:
    """The sibling's honest state holds a look-alike under another key; which key counts is not the prover's to say."""
    lab = lab_with(2)
    fake = b"attacker/" + messaging.keys.inbound(A, 0)
    value = messaging.InboundLanes.value_codec.encode(messaging.InboundLanes.default.skip_to(2, bytes(32)))
    lab.relay.include({B: lab.build(B, [lambda: demo.host.set(fake, value)], items=[]).header})
    at = head(lab, B)
    proof = create_proof(lab[B].nodes, at.state_root, [fake], lab[B].layout)
    item = replace(lab.item(B, A, acks=[Ack(0, 1, 2)]), nodes=proof)
    assert refusals(lab.build(A, items=[item])) == [Refusal.PROOF_INCOMPLETE]
    child = create_proof(lab[B].nodes, at.state_root, [messaging.keys.inbound(A, 1)], lab[B].layout)
    assert settled(lab.build(A, items=[replace(item, nodes=child)])) == []


def test_43_a_present_value_is_not_made_absent_by_leaving_nodes_out() -> None:
    lab = lab_with(1)
    lab.step(only=[B])
    honest = lab.item(B, A, acks=[Ack(0, 1, 1)])
    for at in range(len(honest.nodes)):
        without = replace(honest, nodes=honest.nodes[:at] + honest.nodes[at + 1 :])
        assert refusals(lab.build(A, items=[without])) == [Refusal.PROOF_INCOMPLETE]


def test_44_blocks_of_good_and_bad_items_are_the_same_in_every_context() -> None:
    """The kit executes each block in three contexts and compares: here with items that fail in various ways."""
    lab = Lab((A, B, C))
    lab.step({A: [lab.send(B)], C: [lab.send(B)]})
    good_one, bad = lab.item(A, B, lab.batch(A, B, 1, 1)), lab.item(C, B, lab.batch(C, B, 1, 1))
    for spoiled in (
        replace(bad, nodes=bad.nodes[1:]),
        replace(bad, version=9),
        replace(bad, batches=(replace(bad.batches[0], first_nonce=7),)),
        bad,
    ):
        block = lab.build(B, [lab.send(A)], items=[good_one, spoiled])
        assert len(nonces(block)) + len(refusals(block)) == 2


def test_45_a_relay_value_that_one_context_forges_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An author whose relay node shows another head of A: every validator arrives at another block."""
    lab = lab_with(1)
    forged = lab.build(A, [lab.send(B, payload=b"never included")])
    item = lab.item(A, B, lab.batch(A, B, 1, 2, head=forged.header), head=forged.header)
    key = relay_keys.para_head(A)
    real = EmbeddedRelayNode.read

    def lying(self: EmbeddedRelayNode, asked: bytes) -> bytes | None:
        answer = real(self, asked)
        return byte_vec.encode(forged.header.encode()) if asked == key else answer

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedRelayNode, "read", lying)
        with pytest.raises(LabDivergence):
            lab.build(B, items=[item])
    assert refusals(lab.build(B, items=[item])) == [Refusal.HEAD_MISMATCH]


# Collators and siblings.


class Broken:
    """A node that answers as told."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.read_proof = answer
        self.message_bodies = answer


def hang_up(*arguments: object) -> Any:
    raise ConnectionResetError("gone")


@pytest.mark.parametrize(
    "answer",
    [
        hang_up,
        lambda *arguments: [b"\xff" * 40] * 3,
        lambda *arguments: None,
        lambda *arguments: [b""] * 5000,
    ],
)
def test_46_siblings_that_are_gone_hang_or_send_garbage_stop_nobody(answer: Callable[..., Any]) -> None:
    lab = lab_with(2)
    layout = lab[A].layout
    broken = SiblingMessageSource(A, Broken(answer), layout)  # type: ignore[arg-type]
    slow = lab.source(A, latency=10_000)
    for source in (broken, slow):
        block = lab.build(B, [lab.send(A)], sources=[source])
        assert block.items == ()
        assert block.results == (None,)
        assert block.fetched[0][1].problem


def test_32_one_node_that_lags_or_lies_among_several_costs_nothing() -> None:
    """No vote is needed: whoever brings a proof is right, and who does not is asked later."""
    lab = lab_with(2)
    layout = lab[A].layout
    broken = SiblingMessageSource(A, Broken(hang_up), layout)  # type: ignore[arg-type]
    lagging = SiblingMessageSource(A, Broken(lambda *arguments: []), layout)  # type: ignore[arg-type]
    several = FailoverSource([broken, lagging, lab.source(A)])
    for _ in range(3):
        assert nonces(lab.build(B, sources=[several])) == [1, 2]
    assert several.order()[0].para_id == A
    assert several.order()[0] is several.sources[2]
    dead = FailoverSource([broken, lagging])
    answer = lab.build(B, sources=[dead]).fetched[0][1]
    assert answer.item is None
    assert answer.problem
    slow = [lab.source(A, latency=400) for _ in range(3)]
    late = FailoverSource([SiblingMessageSource(A, Broken(hang_up), layout, latency=400), *slow])  # type: ignore[arg-type]
    assert "within" in lab.build(B, sources=[late]).fetched[0][1].problem
    with pytest.raises(ValueError, match="one sibling"):
        FailoverSource([lab.source(A), lab.source(B)])


def test_33_a_collator_that_starts_anew_goes_on_where_the_chain_is() -> None:
    """The cursor is in the chain's state: no collator remembers anything."""
    lab = lab_with(3)
    lab.step(only=[B])
    lab.step({A: [lab.send(B), lab.send(B)]}, only=[A])
    for _ in range(2):  # a new collector each time, as after a restart
        block = lab.build(B, sources=[lab.source(A)])
        assert nonces(block) == [4, 5]


def test_47_a_reorganisation_between_fetching_and_authoring() -> None:
    """An item fetched on one fork is a no-op on the other, and the next block there delivers."""
    lab = Lab((A, B))
    start = lab.relay.best
    one = lab.relay.include({A: lab.build(A, [lab.send(B, payload=b"one")], on=start).header}, parent=start)
    fetched = lab.collector(B).fetch(lab.source(A), one.hash, lab[B].genesis_hash)
    assert fetched.item is not None
    other_head = lab.build(A, [lab.send(B, payload=b"other")], on=start).header
    other = lab.relay.include({A: other_head}, parent=start)
    block = lab.build(B, items=[fetched.item], on=other)
    assert refusals(block) == [Refusal.HEAD_MISMATCH]
    lab.relay.include({B: block.header}, parent=other)
    (letter,) = [event for event in lab.step(only=[B])[B].events if isinstance(event, MessageConsumed)]
    assert letter.nonce == 1
    assert lab[B].read(lambda: mailbox.LastLetter.get(A)).payload == b"other"  # type: ignore[attr-defined]


def test_48_several_sibling_blocks_between_two_relay_blocks_lose_nothing() -> None:
    """Only the newest head is in relay state; the outbox is cumulative, so the newest proves them all."""
    lab = Lab((A, B))
    relay = lab.relay.best
    for number in range(3):
        block = lab.build(A, [lab.send(B, payload=b"%d" % number)], on=relay)
        # Not included one by one: the relay chain sees the last of the three only.
        relay = replace(relay, heads={**relay.heads, A: block.header.encode()})
    lab.relay.include({A: block.header})
    assert nonces(lab.build(B)) == [1, 2, 3]


def test_49_a_block_that_is_never_included_loses_and_doubles_nothing() -> None:
    lab = lab_with(2)
    lost = lab.build(B)
    assert nonces(lost) == [1, 2]
    assert nonces(lab.build(B)) == [1, 2]
    lab.step({A: [lab.send(B)]}, only=[A])
    block = lab.step(only=[B])[B]
    assert nonces(block) == [1, 2, 3]
    assert lab[B].read(mailbox.Received.get) == 3


def test_52_a_backlog_is_worked_off_within_the_limits_also_with_the_largest_messages() -> None:
    lab = Lab((A, B, C))
    largest = DEFAULT_LIMITS.max_message_size
    sends = [lab.send(B, payload=bytes(largest), recipient=b"nobody") for _ in range(10)]
    small = [lab.send(B, payload=b"") for _ in range(600)]
    lab.step({A: sends, C: small}, only=[A, C])
    received: dict[int, int] = {A: 0, C: 0}
    while received != {A: 10, C: 600}:
        block = lab.step(only=[B])[B]
        items = block.items
        assert items
        assert (
            sum(item.proof_bytes() + item.payload_bytes() for item in items)
            <= DEFAULT_LIMITS.max_inherent_bytes
        )
        assert refusals(block) == []
        for event in block.events:
            if isinstance(event, MessageConsumed):
                received[event.source] += 1


def test_54_late_validation_without_the_relay_state() -> None:
    """Pruned is not absent: the validator with its own state cannot judge, the carried proof still can."""
    lab = lab_with(1)
    relay_parent = lab.relay.best
    block = lab.build(B)
    assert nonces(block) == [1]
    reads = EmbeddedRelayNode(lab.relay.database, relay_parent.root)
    assert reads.read(relay_keys.para_head(A)) is not None
    carried = CarriedProof(relay_parent.root, reads.nodes())
    lab.relay.include({})
    lab.relay.database.release(relay_parent.root)
    with pytest.raises(StateUnavailable):
        RelayOwnState(lab.relay.database, relay_parent.root)
    assert carried.read(relay_keys.para_head(A)) == byte_vec.encode(relay_parent.heads[A])


def test_55_a_validator_that_is_ahead_reads_the_relay_parents_state() -> None:
    lab = lab_with(1)
    relay_parent = lab.relay.best
    lab.step({A: [lab.send(B)]}, only=[A])
    lab.step({A: [lab.send(B)]}, only=[A])
    block = lab.build(B, on=relay_parent)  # validated, in the kit, by validators that hold all three
    assert nonces(block) == [1]


# Anything at all.

PARTS: st.SearchStrategy[Callable[[InboundItem], InboundItem]] = st.one_of(
    st.builds(lambda v: lambda item: replace(item, version=v), st.integers(0, 255)),
    st.builds(lambda v: lambda item: replace(item, source=v), st.sampled_from((A, B, C, 0, 2**32 - 1))),
    st.builds(
        lambda at: lambda item: replace(item, nodes=item.nodes[:at] + item.nodes[at + 1 :]),
        st.integers(0, 12),
    ),
    st.builds(
        lambda junk: lambda item: replace(item, nodes=tuple(sorted({*item.nodes, junk}))),
        st.binary(max_size=40),
    ),
    st.builds(
        lambda lane, first, limit: lambda item: replace(item, acks=(Ack(lane, first, limit),)),
        st.sampled_from((0, 1, 128, 255)),
        st.integers(0, 4) | st.just(2**64 - 1),
        st.integers(0, 4) | st.just(2**32 - 1),
    ),
    st.builds(
        lambda lane, nonces: lambda item: replace(item, timeouts=(TimeoutClaim(lane, tuple(nonces)),)),
        st.sampled_from((0, 1, 128)),
        st.lists(st.integers(0, 4) | st.just(2**64 - 1), max_size=4),
    ),
    st.builds(
        lambda lane, first, keep, tail: (
            lambda item: replace(
                item,
                batches=(LaneBatch(lane, first, item.batches[0].bodies[:keep], tail), *item.batches[1:]),
            )
        ),
        st.sampled_from((0, 1, 128)),
        st.integers(0, 3) | st.just(2**64 - 1),
        st.integers(0, 2),
        st.none() | st.lists(st.just(bytes(32)), max_size=2).map(tuple),
    ),
)


@given(st.lists(PARTS, min_size=1, max_size=3))
@example([lambda item: item])
def test_no_item_is_half_done(changes: list[Callable[[InboundItem], InboundItem]]) -> None:
    """Every field is hostile: an item does all that it says, or nothing and says why; the block is valid in every
    context (the kit checks)."""
    _, item = good()
    for change in changes:
        item = change(item)
    block = attempt(item)
    if refusals(block):
        assert nonces(block) == settled(block) == []
    else:
        assert len(nonces(block)) == item.message_count
        claimed = sum(len(claim.nonces) for claim in item.timeouts)
        assert len(settled(block)) <= claimed + sum(ack.limit for ack in item.acks)


def test_a_body_that_nobody_handles_fails_and_is_consumed() -> None:
    lab = Lab((A, B))
    body = MessageBody(RECIPIENT, b"nobody", None, b"")
    lab.step({A: [lambda: messaging.send_message(B, 0, body)]}, only=[A])
    lab.step(only=[B])
    assert settled(lab.step(only=[A])[A]) == [(1, Outcome.FAILED)]
