"""The scenario list of state messaging, part 1: sending, consuming, acknowledging, timing out.

Every test is named after its number in the list of docs 'The messaging protocol'. Chains, tries and proofs are real
(`pileus.testing.lab`), and every block is executed with the relay state in both forms.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pileus.testing.lab import ALICE, GENESIS_TIME, SLOT, Lab, LabBlock
from runtime.chains import demo
from runtime.pallets.mailbox import RECIPIENT
from runtime.pallets.state_messaging.events import (
    ItemRefused,
    LaneAcknowledged,
    LaneSuspension,
    MessageConsumed,
    MessageSent,
    MessageSettled,
    MessagesSkipped,
    OutcomeHandlerFailed,
    PeerSuspension,
)
from runtime.pallets.state_messaging.lanes import CHECKPOINT_INTERVAL, OUTCOME_WINDOW, Outcome, chain_step
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS
from runtime.pallets.state_messaging.receive import Refusal
from runtime.pallets.state_messaging.types import (
    Ack,
    InboundItem,
    LaneBatch,
    MessageBody,
    TimeoutClaim,
    offchain_body_key,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.support.dispatch import ROOT, ModuleError, Origin, OriginKind
from runtime.support.sibling_ancestry import NewestHead, RememberedHead

A, B, C = 2000, 2001, 2002
messaging, mailbox = demo.state_messaging, demo.mailbox


def refusals(block: LabBlock) -> list[Refusal]:
    return [Refusal(event.reason) for event in block.events if isinstance(event, ItemRefused)]


def consumed(block: LabBlock) -> list[tuple[int, int, Outcome]]:
    return [
        (event.lane, event.nonce, Outcome(event.outcome))
        for event in block.events
        if isinstance(event, MessageConsumed)
    ]


def settled(block: LabBlock) -> list[tuple[int, int, Outcome]]:
    return [
        (event.lane, event.nonce, Outcome(event.outcome))
        for event in block.events
        if isinstance(event, MessageSettled)
    ]


def refused(lab: Lab, para: int, item: InboundItem) -> Refusal:
    """Why a chain refuses an item; the block is valid in every context and changes nothing else."""
    block = lab.build(para, items=[item])
    (reason,) = refusals(block)
    assert consumed(block) == settled(block) == []
    return reason


def lab_with(
    count: int, *, paras: tuple[int, ...] = (A, B), lane: int = 0, timeout: int | None = None
) -> Lab:
    """A has sent ``count`` messages to B, which the relay chain has included; B has not looked yet."""
    lab = Lab(paras)
    sends = [lab.send(B, lane=lane, payload=b"letter %d" % index, timeout=timeout) for index in range(count)]
    lab.step({A: sends}, only=[A])
    return lab


def test_01_dispatch_writes_the_outbox_once() -> None:
    lab = Lab((A, B))
    block = lab.step({A: [lab.send(B), lab.send(B)]})[A]
    first, second = (event for event in block.events if isinstance(event, MessageSent))
    assert (first.nonce, second.nonce) == (1, 2)
    # The same letter twice is two messages: the nonce is part of what is committed to.
    assert first.commitment != second.commitment
    for event in (first, second):
        assert lab[A].read(lambda event=event: messaging.Outbox.get((B, 0, event.nonce))) == event.commitment


def test_02_a_head_that_is_not_included_yet_is_not_usable() -> None:
    lab = Lab((A, B))
    block = lab.build(A, [lab.send(B)])
    item = lab.item(A, B, lab.batch(A, B, 1, 1, head=block.header), head=block.header)
    assert refused(lab, B, item) is Refusal.HEAD_MISMATCH
    lab.relay.include({A: block.header})
    assert consumed(lab.build(B, items=[item])) == [(0, 1, Outcome.DELIVERED)]


def test_03_a_paused_lane_takes_nothing_and_goes_on_where_it_was() -> None:
    lab = lab_with(2)
    block = lab.build(B, [lambda: messaging.set_lane_suspended(ROOT, A, 0, True)], items=[])
    assert block.of(LaneSuspension) == [LaneSuspension(A, 0, True)]
    lab.relay.include({B: block.header})
    assert refused(lab, B, lab.item(A, B, lab.batch(A, B, 1, 2))) is Refusal.LANE_SUSPENDED
    assert lab.step(only=[B])[B].items == ()  # nor does the collator try
    lab.step({B: [lambda: messaging.set_lane_suspended(ROOT, A, 0, False)]}, only=[B])
    assert [nonce for _, nonce, _ in consumed(lab.step(only=[B])[B])] == [1, 2]


def test_05_an_unknown_or_forgotten_head_shows_nothing() -> None:
    lab = lab_with(1)
    at = Header.decode(lab.relay.best.heads[A])
    never = RememberedHead(at.hash())
    assert (
        refused(lab, B, lab.item(A, B, lab.batch(A, B, 1, 1), reference=never)) is Refusal.HEAD_NOT_REMEMBERED
    )
    claim = lab.item(A, B, acks=[Ack(0, 1, 1)], reference=never)
    assert refused(lab, B, claim) is Refusal.HEAD_NOT_REMEMBERED
    lab.step(only=[B])
    assert lab[B].read(lambda: messaging.remembered_head(A, at.hash())) is not None


def test_06_a_timeout_is_told_once_and_the_commitment_goes_when_the_peer_has_passed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[int, Outcome]] = []
    monkeypatch.setattr(mailbox, "on_outcome", lambda sent, outcome: told.append((sent.nonce, outcome)))
    lab = Lab((A, B))
    body = MessageBody(RECIPIENT, RECIPIENT, GENESIS_TIME + 4 * SLOT, b"refund me")
    lab.step({A: [lambda: messaging.send_message(B, 0, body)]}, only=[A])
    while lab.relay.best.time < GENESIS_TIME + 4 * SLOT:
        lab.step({}, only=[A])
    assert told == []
    # B's clock has reached the timeout in a block that did not consume the message.
    lab.relay.include({B: lab.build(B, items=[]).header})
    block = lab.build(A)
    assert settled(block) == [(0, 1, Outcome.TIMED_OUT)]
    assert block.items[0].timeouts == (TimeoutClaim(0, (1,)),)
    # Once in each of the three executions of the block, and in the collator's dry run of the item.
    assert told == [(1, Outcome.TIMED_OUT)] * 4
    again = replace(block.items[0])
    lab.relay.include({A: block.header})
    assert settled(lab.build(A, items=[again])) == []  # claiming twice is claiming once
    assert messaging_keys(lab, A) == {"Outbox": 1, "Pending": 1}
    # B consumes it as expired; the acknowledgement releases it and tells nobody.
    assert consumed(lab.step(only=[B])[B]) == [(0, 1, Outcome.EXPIRED)]
    block = lab.step(only=[A])[A]
    assert settled(block) == []
    assert block.of(LaneAcknowledged) == [LaneAcknowledged(B, 0, 1)]
    assert messaging_keys(lab, A) == {"Outbox": 0, "Pending": 0}
    assert told == [(1, Outcome.TIMED_OUT)] * 4


def messaging_keys(lab: Lab, para: int, *, at: bytes | None = None) -> dict[str, int]:
    """Entries of the maps that grow with messages."""

    def count() -> dict[str, int]:
        return {
            name: sum(
                getattr(messaging, name).contains_key((dest, lane, nonce))
                for dest in (A, B, C)
                for lane in (0, 1, 128)
                for nonce in range(1, 30)
            )
            for name in ("Outbox", "Pending")
        }

    return lab[para].read(count, at)  # type: ignore[return-value]


def test_07_nobody_but_governance_stops_a_lane() -> None:
    lab = lab_with(1)
    somebody = Origin(OriginKind.SIGNED, ALICE)
    block = lab.build(
        B,
        [
            lambda: messaging.set_lane_suspended(somebody, A, 0, True),
            lambda: messaging.skip_ahead(somebody, A, 0, 1, bytes(32)),
            lambda: messaging.set_source_blocked(somebody, A, True),
        ],
    )
    assert [type(result).__name__ for result in block.results] == ["BadOrigin"] * 3
    assert consumed(block) == [(0, 1, Outcome.DELIVERED)]
    lab.step({B: [lambda: messaging.set_source_blocked(ROOT, A, True)]}, only=[B])
    assert refused(lab, B, lab.item(A, B, acks=[Ack(0, 1, 1)])) is Refusal.SOURCE_BLOCKED


def test_08_a_timeout_needs_the_destinations_own_state() -> None:
    """What C says of its end of A's lane is no word about B's."""
    lab = Lab((A, B, C))
    timeout = GENESIS_TIME + 2 * SLOT
    lab.step({A: [lab.send(B, timeout=timeout), lab.send(C, timeout=timeout)]}, only=[A])
    for _ in range(2):
        lab.relay.include({para: lab.build(para, items=[]).header for para in (B, C)})
    of_c = lab.item(C, A, timeouts=[TimeoutClaim(0, (1,))])
    assert refused(lab, A, replace(of_c, source=B)) is Refusal.HEAD_MISMATCH
    forged = replace(of_c, source=B, head=lab.item(B, A, acks=[Ack(0, 1, 1)]).head)
    assert refused(lab, A, forged) is Refusal.PROOF_INCOMPLETE
    assert settled(lab.build(A, items=[of_c])) == [(0, 1, Outcome.TIMED_OUT)]


def test_09_nobody_hands_in_messages_for_another_source() -> None:
    lab = Lab((A, B, C))
    lab.step({A: [lab.send(B)], C: [lab.send(B, payload=b"of C")]})
    of_c = lab.item(C, B, lab.batch(C, B, 1, 1))
    assert refused(lab, B, replace(of_c, source=A)) is Refusal.HEAD_MISMATCH


def test_10_a_source_that_is_not_the_proofs_chain() -> None:
    lab = Lab((A, B, C))
    lab.step({A: [lab.send(B)], C: [lab.send(B)]})
    of_c = lab.item(C, B, lab.batch(C, B, 1, 1))
    spoofed = replace(of_c, source=A, head=NewestHead(Header.decode(lab.relay.best.heads[A]).hash()))
    assert refused(lab, B, spoofed) is Refusal.PROOF_INCOMPLETE
    assert refused(lab, B, replace(of_c, source=B)) is Refusal.SOURCE_IS_SELF


def test_11_a_message_twice_in_one_item() -> None:
    lab = lab_with(2)
    item = lab.item(A, B, lab.batch(A, B, 1, 2))
    twice = (item.batches[0].bodies[0],) * 2
    doubled = replace(item, batches=(replace(item.batches[0], bodies=twice),))
    assert refused(lab, B, doubled) is Refusal.WRONG_COMMITMENT
    assert refused(lab, B, replace(item, batches=item.batches * 2)) is Refusal.LANES_NOT_SORTED
    lab = lab_with(3, lane=128)
    item = lab.item(A, B, lab.batch(A, B, 1, 2, lane=128), lab.batch(A, B, 2, 2, lane=128))
    assert refused(lab, B, item) is Refusal.RANGES_OVERLAP


def test_13_a_claim_twice_in_one_item() -> None:
    lab = lab_with(2, timeout=GENESIS_TIME + 2 * SLOT)
    lab.relay.include({B: lab.build(B, items=[]).header})
    lab.relay.include({B: lab.build(B, items=[]).header})
    for nonces in ((1, 1), (2, 1)):
        assert refused(lab, A, lab.item(B, A, timeouts=[TimeoutClaim(0, nonces)])) is Refusal.RANGES_OVERLAP
    twice = lab.item(B, A, timeouts=[TimeoutClaim(0, (1,)), TimeoutClaim(0, (2,))])
    assert refused(lab, A, twice) is Refusal.LANES_NOT_SORTED
    assert len(settled(lab.build(A, items=[lab.item(B, A, timeouts=[TimeoutClaim(0, (1, 2))])]))) == 2


def test_15_an_outcome_excludes_the_others() -> None:
    """A consumed message has not timed out, and neither has one whose time has not come; whichever is checked first."""
    soon, later = GENESIS_TIME + 4 * SLOT, GENESIS_TIME + 400 * SLOT
    lab = Lab((A, B))
    lab.step({A: [lab.send(B, timeout=soon), lab.send(B, timeout=later), lab.send(B)]}, only=[A])
    assert [outcome for *_, outcome in consumed(lab.step(only=[B])[B])] == [Outcome.DELIVERED] * 3
    for _ in range(3):
        lab.relay.include({B: lab.build(B, items=[]).header})
    reasons = {1: Refusal.ALREADY_CONSUMED, 2: Refusal.TIMEOUT_NOT_REACHED, 3: Refusal.CLAIM_WITHOUT_TIMEOUT}
    for nonce, reason in reasons.items():
        assert refused(lab, A, lab.item(B, A, timeouts=[TimeoutClaim(0, (nonce,))])) is reason
    assert refused(lab, A, lab.item(B, A, timeouts=[TimeoutClaim(0, (4,))])) is Refusal.CLAIM_NOT_SENT
    assert [outcome for *_, outcome in settled(lab.step(only=[A])[A])] == [Outcome.DELIVERED] * 3


def test_16_an_item_is_taken_whole_or_not_at_all() -> None:
    lab = lab_with(2, timeout=GENESIS_TIME + 2 * SLOT)
    for _ in range(2):
        lab.relay.include({B: lab.build(B, [lab.send(A)], items=[]).header})
    claims = [TimeoutClaim(0, (1, 2, 3))]  # the third was never sent
    item = lab.item(B, A, lab.batch(B, A, 1, 2), acks=[Ack(0, 1, 2)], timeouts=claims)
    assert refused(lab, A, item) is Refusal.CLAIM_NOT_SENT
    good = lab.item(B, A, lab.batch(B, A, 1, 2), acks=[Ack(0, 1, 2)], timeouts=[TimeoutClaim(0, (1, 2))])
    block = lab.build(A, items=[good])
    assert (len(consumed(block)), len(settled(block))) == (2, 2)


def test_20_remembered_heads_are_few_the_oldest_goes_first_and_nothing_unused_is_kept() -> None:
    lab = Lab((A, B))
    used: list[Header] = []
    for _ in range(DEFAULT_LIMITS.remembered_heads + 3):
        lab.step({A: [lab.send(B)]}, only=[A])
        used.append(Header.decode(lab.relay.best.heads[A]))
        lab.step(only=[B])
        for _ in range(2):
            lab.step(only=[A])  # heads of A under which nothing is consumed
    kept = [header for header in used if lab[B].read(lambda h=header: messaging.remembered_head(A, h.hash()))]
    assert kept == used[3:]
    # An item against a remembered head, long after: here an acknowledgement that says nothing new.
    old = lab.item(A, B, acks=[Ack(0, 1, 1)], head=kept[0], reference=RememberedHead(kept[0].hash()))
    assert refusals(lab.build(B, items=[old])) == []
    # Nor does an item that changes nothing push a head out of the ring.
    idle = lab.build(B, items=[lab.item(A, B, acks=[Ack(0, 1, 1)])])
    newest = Header.decode(lab.relay.best.heads[A])
    assert refusals(idle) == []
    assert lab[B].read(lambda: messaging.remembered_head(A, newest.hash())) is None
    gone = lab.item(A, B, acks=[Ack(0, 1, 1)], head=used[0], reference=RememberedHead(used[0].hash()))
    assert refused(lab, B, gone) is Refusal.HEAD_NOT_REMEMBERED


def test_21_a_lane_that_the_peer_has_never_touched_is_proven_to_be_at_its_beginning() -> None:
    """Absence is shown by a complete path, and means that nothing is consumed."""
    lab = lab_with(1, timeout=GENESIS_TIME + 2 * SLOT)
    for _ in range(2):
        lab.relay.include({B: lab.build(B, items=[]).header})
    block = lab.build(A, items=[lab.item(B, A, timeouts=[TimeoutClaim(0, (1,))])])
    assert settled(block) == [(0, 1, Outcome.TIMED_OUT)]


def test_22_the_keys_are_what_other_implementations_compute() -> None:
    keys = messaging.keys
    prefix = "3ab10ed299097010ece5787c8ab6d315"  # twox128("StateMessaging")
    items = {
        "2c21e4b0f37ac179db1f62b4785c1ed8000007d1000000000000000001": keys.outbox((B, 0, 1)),
        "96c246acb9b55077390e3ca723a0ca1f000007d100": keys.outbound_lane((B, 0)),
        "e5f83cf83f2127eb47afdc35d6e43fab000007d100": keys.inbound(B, 0),
    }
    assert {prefix + tail for tail in items} == {key.hex() for key in items.values()}
    assert keys.inbound(B, 128) == messaging.InboundWindows.prefix + bytes.fromhex("000007d180")
    assert keys.checkpoint((B, 0, 100)) == messaging.Checkpoints.prefix + bytes.fromhex(
        "000007d1000000000000000064"
    )
    assert keys.now().hex() == "f0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"


@pytest.mark.parametrize("para", [0, 1, 2**31, 2**32 - 1])
def test_24_a_source_id_at_its_extremes(para: int) -> None:
    lab = lab_with(1)
    item = replace(lab.item(A, B, lab.batch(A, B, 1, 1)), source=para)
    assert refused(lab, B, item) is Refusal.UNKNOWN_SIBLING


def test_35_a_batch_starts_at_the_next_nonce() -> None:
    lab = lab_with(4)
    for first in (2, 3):
        assert refused(lab, B, lab.item(A, B, lab.batch(A, B, first, 1))) is Refusal.GAP
    assert [
        nonce for _, nonce, _ in consumed(lab.build(B, items=[lab.item(A, B, lab.batch(A, B, 1, 3))]))
    ] == [
        1,
        2,
        3,
    ]


def test_36_the_same_message_again_from_whomever() -> None:
    lab = lab_with(1)
    item = lab.item(A, B, lab.batch(A, B, 1, 1))
    somebody = Origin(OriginKind.SIGNED, ALICE)
    block = lab.build(B, [lambda: messaging.submit(somebody, item), lambda: messaging.submit(ROOT, item)])
    assert consumed(block) == [(0, 1, Outcome.DELIVERED)]
    assert refusals(block) == [Refusal.STALE]
    lab.relay.include({B: block.header})
    assert refused(lab, B, item) is Refusal.STALE


def test_37_acknowledgements_of_the_future_the_past_and_in_part() -> None:
    lab = lab_with(5)
    early = lab.item(B, A, acks=[Ack(0, 1, 5)])
    assert settled(lab.build(A, items=[early])) == []  # nothing is consumed yet, and nothing happens
    lab.step(only=[B])
    block = lab.build(A, items=[lab.item(B, A, acks=[Ack(0, 1, 2)])])
    assert [nonce for _, nonce, _ in settled(block)] == [1, 2]
    lab.relay.include({A: block.header})
    assert refused(lab, A, lab.item(B, A, acks=[Ack(0, 1, 5)])) is Refusal.ACK_STALE
    assert refused(lab, A, lab.item(B, A, acks=[Ack(0, 4, 5)])) is Refusal.ACK_GAP
    old = lab.item(B, A, acks=[Ack(0, 3, 5)], head=lab[B].genesis, reference=NewestHead(lab[B].genesis_hash))
    assert refused(lab, A, old) is Refusal.HEAD_MISMATCH
    block = lab.build(A, items=[lab.item(B, A, acks=[Ack(0, 3, 512)])])
    assert [nonce for _, nonce, _ in settled(block)] == [3, 4, 5]


def test_37_a_sibling_that_says_it_consumed_what_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_with(1)
    lie = [
        lambda: messaging.InboundLanes.insert(
            (A, 0), messaging.InboundLanes.get((A, 0)).skip_to(7, bytes(32))
        )
    ]
    lab.relay.include({B: lab.build(B, lie).header})
    assert refused(lab, A, lab.item(B, A, acks=[Ack(0, 1, 9)])) is Refusal.ACK_BEYOND_SENT
    # A's collator sees it, says so, and does not let it hold up B's messages.
    lab.relay.include({B: lab.build(B, [lab.send(A)], items=[]).header})
    block = lab.build(A)
    assert "ACK_BEYOND_SENT" in block.fetched[0][1].problem
    assert consumed(block) == [(0, 1, Outcome.DELIVERED)]


def test_37_a_sibling_that_takes_back_what_it_consumed() -> None:
    lab = lab_with(2)
    lab.step(only=[B])
    lab.step(only=[A])  # acknowledged
    back = [lambda: messaging.InboundLanes.remove((A, 0))]
    lab.relay.include({B: lab.build(B, back, items=[]).header})
    lab.step({A: [lab.send(B)]}, only=[A])
    assert refused(lab, A, lab.item(B, A, acks=[Ack(0, 3, 1)])) is Refusal.ACK_REGRESSED


def test_38_unacknowledged_messages_are_bounded_in_number_and_bytes() -> None:
    lab = Lab((A, B))
    limit = DEFAULT_LIMITS.max_in_flight_messages
    block = lab.build(A, [lab.send(B) for _ in range(limit + 1)])
    assert block.results[:limit] == (None,) * limit
    assert isinstance(block.results[limit], ModuleError)
    assert block.results[limit].error is messaging.Error.LaneFull
    big = [lab.send(B, lane=1, payload=bytes(100_000)) for _ in range(12)]
    block = lab.build(A, big)
    assert [result is None for result in block.results] == [True] * 10 + [False] * 2


def test_38_acknowledgements_open_the_window_again_without_end() -> None:
    """A lane does not die after 1 024 messages; nor does what a block may release hold it up for long."""
    lab = Lab((A, B))
    sent = delivered = 0
    for _ in range(12):
        blocks = lab.step({A: [lab.send(B) for _ in range(150)]})
        sent += sum(result is None for result in blocks[A].results)
        delivered += len(consumed(blocks[B]))
        released = [event for event in blocks[A].events if isinstance(event, MessageSettled)]
        assert len(released) <= DEFAULT_LIMITS.max_prune_per_block
    assert sent == 12 * 150
    assert delivered > 1_024
    lane = lab[A].read(lambda: messaging.OutboundLanes.get((B, 0)))
    assert lane.in_flight < DEFAULT_LIMITS.max_in_flight_messages  # type: ignore[attr-defined]


def test_38_no_block_releases_more_than_its_budget() -> None:
    lab = lab_with(3)
    lab.step(only=[B])
    over = DEFAULT_LIMITS.max_prune_per_block
    assert refused(lab, A, lab.item(B, A, acks=[Ack(0, 1, over + 1)])) is Refusal.PRUNE_BUDGET
    item = lab.item(B, A, acks=[Ack(0, 1, 2)])
    whole = lab.item(B, A, acks=[Ack(0, 3, over - 1)])
    block = lab.build(A, [lambda: messaging.submit(Origin(OriginKind.SIGNED, ALICE), whole)], items=[item])
    assert [nonce for _, nonce, _ in settled(block)] == [1, 2]
    assert refusals(block) == [Refusal.PRUNE_BUDGET]


def test_50_delivery_and_timeout_at_the_same_instant() -> None:
    """At the timeout itself a message expires, and not before; the claim holds from that very block on."""
    for margin, outcome in ((0, Outcome.EXPIRED), (1, Outcome.DELIVERED)):
        lab = Lab((A, B))
        at = lab.relay.best.time + SLOT  # when B builds
        lab.step({A: [lab.send(B, timeout=at + margin)]}, only=[A])
        assert lab.relay.best.time == at
        without = lab.build(B, items=[])
        assert consumed(lab.build(B)) == [(0, 1, outcome)]
        # The other history: B did not look. Then A may claim exactly if B's clock had reached the timeout.
        lab.relay.include({B: without.header})
        claim = lab.item(B, A, timeouts=[TimeoutClaim(0, (1,))])
        if outcome is Outcome.EXPIRED:
            assert settled(lab.build(A, items=[claim])) == [(0, 1, Outcome.TIMED_OUT)]
        else:
            assert refused(lab, A, claim) is Refusal.TIMEOUT_NOT_REACHED


def test_51_state_returns_to_where_it_was() -> None:
    lab = Lab((A, B))
    lab.step({A: [lab.send(B)]})
    for _ in range(4):
        lab.step()
    before = lab[A].keys(), lab[B].keys()
    for _ in range(DEFAULT_LIMITS.remembered_heads):  # fill the rings of heads, which are bounded
        lab.step({A: [lab.send(B)]})
    for _ in range(4):
        lab.step()
    full = lab[A].keys(), lab[B].keys()
    assert all(
        after - first <= 2 * DEFAULT_LIMITS.remembered_heads
        for first, after in zip(before, full, strict=True)
    )
    for _ in range(3):
        lab.step({A: [lab.send(B) for _ in range(2 * CHECKPOINT_INTERVAL)]})
        for _ in range(6):
            lab.step()
        assert (lab[A].keys(), lab[B].keys()) == full


def test_51_bodies_are_kept_until_their_acknowledgement_is_final() -> None:
    lab = lab_with(2)
    before = lab.relay.best
    acknowledged = lab.step(only=[B]) and lab.step(only=[A])[A].header
    lab[A].forget_settled_bodies(blake2_256(before.heads[A]))
    assert len(lab[A].offchain) == 2
    # The relay chain reverts: what was consumed and acknowledged is neither, and the bodies are still there.
    lab.relay.include({}, parent=before)
    assert [nonce for _, nonce, _ in consumed(lab.build(B))] == [1, 2]
    lab[A].forget_settled_bodies(acknowledged.hash())
    assert lab[A].offchain == {}


def test_53_a_receiver_that_suspends_a_lane_is_felt_by_who_sends() -> None:
    lab = lab_with(1)
    lab.step({B: [lambda: messaging.set_lane_suspended(ROOT, A, 0, True)]}, only=[B])
    block = lab.step({A: [lab.send(B), lab.send(B, lane=1)]}, only=[A])[A]
    assert block.of(PeerSuspension) == [PeerSuspension(B, 0, True)]
    assert isinstance(block.results[0], ModuleError)
    assert block.results[0].error is messaging.Error.LaneSuspended
    assert block.results[1] is None  # other lanes go on
    lab.step({B: [lambda: messaging.set_lane_suspended(ROOT, A, 0, False)]}, only=[B])
    block = lab.step({A: [lab.send(B)]}, only=[A])[A]
    assert block.of(PeerSuspension) == [PeerSuspension(B, 0, False)]
    assert block.results == (None,)


def test_53_an_old_head_closes_no_lane() -> None:
    """A relayer may show that a lane was suspended once; only the newest head says whether it is."""
    lab = lab_with(1)
    lab.step({B: [lambda: messaging.set_lane_suspended(ROOT, A, 0, True)]}, only=[B])
    lab.step(only=[A])  # acknowledged, and the head of B remembered
    suspended = Header.decode(lab.relay.best.heads[B])
    lab.step({B: [lambda: messaging.set_lane_suspended(ROOT, A, 0, False)]}, only=[B])
    lab.step(only=[A])
    old = lab.item(B, A, acks=[Ack(0, 2, 1)], head=suspended, reference=RememberedHead(suspended.hash()))
    block = lab.build(A, [lambda: messaging.submit(Origin(OriginKind.SIGNED, ALICE), old), lab.send(B)])
    assert refusals(block) == block.of(PeerSuspension) == []
    assert block.results == (None, None)


def lose_body(lab: Lab, para: int, lane: int, nonce: int) -> None:
    """The node of a chain has lost the body of a message to B."""
    commitment = lab[para].read(lambda: messaging.Outbox.get((B, lane, nonce)))
    del lab[para].offchain[offchain_body_key(commitment)]  # type: ignore[arg-type]


def test_53_governance_skips_a_message_whose_body_is_lost() -> None:
    lab = lab_with(3)
    lose_body(lab, A, 0, 1)
    assert consumed(lab.step(only=[B])[B]) == []
    head = messaging_head(lab, A, 1)
    block = lab.step({B: [lambda: messaging.skip_ahead(ROOT, A, 0, 1, head)]}, only=[B])[B]
    assert block.of(MessagesSkipped) == [MessagesSkipped(A, 0, 1, 1)]
    block = lab.step(only=[B])[B]
    assert [nonce for _, nonce, _ in consumed(block)] == [2, 3]
    assert block.items[0].batches[0].tail is not None  # in head mode: the given chain head was the right one
    assert settled(lab.step(only=[A])[A]) == [
        (0, 1, Outcome.SKIPPED),
        (0, 2, Outcome.DELIVERED),
        (0, 3, Outcome.DELIVERED),
    ]
    for last in (0, 3, 3 + OUTCOME_WINDOW + 1, 2**64 - 1):
        (result,) = lab.build(B, [lambda last=last: messaging.skip_ahead(ROOT, A, 0, last, head)]).results
        assert isinstance(result, ModuleError)
        assert result.error is messaging.Error.SkipOutOfRange


def messaging_head(lab: Lab, para: int, nonce: int) -> bytes:
    """Chain head of A's lane to B at a nonce, recomputed from the outbox."""

    def compute() -> bytes:
        head = bytes(32)
        for at in range(1, nonce + 1):
            head = chain_step(head, at, messaging.Outbox.get((B, 0, at)) or b"")
        return head

    return lab[para].read(compute)  # type: ignore[return-value]


def test_53_with_a_wrong_head_from_governance_messages_still_arrive_flat() -> None:
    lab = lab_with(2)
    skip = [lambda: messaging.skip_ahead(ROOT, A, 0, 1, bytes(32))]
    lab.relay.include({B: lab.build(B, skip, items=[]).header})
    in_head_mode = lab.item(A, B, lab.batch(A, B, 2, 1, tail=0))
    assert refused(lab, B, in_head_mode) is Refusal.WRONG_CHAIN
    block = lab.build(B)  # the collator finds out, and proves every commitment
    assert consumed(block) == [(0, 2, Outcome.DELIVERED)]
    assert block.items[0].batches[0].tail is None


def test_a_failing_outcome_handler_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sent: object, outcome: Outcome) -> None:
        mailbox.Received.put(99)
        raise mailbox.fail(mailbox.Error.TooLong)

    monkeypatch.setattr(mailbox, "on_outcome", fail)
    lab = Lab((A, B))
    body = MessageBody(RECIPIENT, RECIPIENT, None, b"")
    lab.step({A: [lambda: messaging.send_message(B, 0, body)]}, only=[A])
    lab.step(only=[B])
    block = lab.step(only=[A])[A]
    assert settled(block) == [(0, 1, Outcome.DELIVERED)]
    assert block.of(OutcomeHandlerFailed) == [OutcomeHandlerFailed(B, 0, 1)]
    assert lab[A].read(mailbox.Received.get) == 0


def test_a_handler_that_hands_in_the_message_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-entrancy: the lane has moved on before the first message is dispatched."""
    lab = lab_with(2)
    item = lab.item(A, B, lab.batch(A, B, 1, 1))
    seen: list[Refusal | None] = []
    monkeypatch.setattr(mailbox, "on_message", lambda message: seen.append(messaging.apply_item(item)))
    block = lab.build(B, items=[item])
    assert consumed(block) == [(0, 1, Outcome.DELIVERED)]
    assert seen == [Refusal.STALE] * 3


def test_a_handler_that_hands_in_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler consumed meanwhile is not forgotten when its own message is accounted for."""
    lab = lab_with(2)
    first = lab.item(A, B, lab.batch(A, B, 1, 1))
    second = lab.item(A, B, lab.batch(A, B, 2, 1))

    def handler(message: object) -> None:
        if message.nonce == 1:  # type: ignore[attr-defined]
            messaging.apply_item(second)

    monkeypatch.setattr(mailbox, "on_message", handler)
    block = lab.build(B, items=[first])
    assert sorted(nonce for _, nonce, _ in consumed(block)) == [1, 2]
    lane = lab[B].read(lambda: messaging.InboundLanes.get((A, 0)))
    assert lane.last_delivered == 2  # type: ignore[attr-defined]
    assert [lane.outcome_of(nonce) for nonce in (1, 2)] == [Outcome.DELIVERED] * 2  # type: ignore[attr-defined]


def test_an_outcome_handler_that_sends_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed message sent anew from within its outcome: the lane is not written over."""
    body = MessageBody(RECIPIENT, b"nobody", None, b"")

    def again(sent: object, outcome: Outcome) -> None:
        if outcome is Outcome.FAILED:
            messaging.send_message(B, 0, body)

    monkeypatch.setattr(mailbox, "on_outcome", again)
    lab = Lab((A, B))
    lab.step({A: [lambda: messaging.send_message(B, 0, body)]}, only=[A])
    lab.step(only=[B])
    lab.step(only=[A])
    lane = lab[A].read(lambda: messaging.OutboundLanes.get((B, 0)))
    assert (lane.next_nonce, lane.acked, lane.bytes_in_flight) == (3, 1, len(body.encode()))  # type: ignore[attr-defined]
    assert [nonce for _, nonce, _ in consumed(lab.step(only=[B])[B])] == [2]


# Unordered lanes.


def test_unordered_messages_are_consumed_in_any_order_once() -> None:
    lab = lab_with(5, lane=128)
    block = lab.build(B, items=[lab.item(A, B, lab.batch(A, B, 3, 2, lane=128))])
    assert [nonce for _, nonce, _ in consumed(block)] == [3, 4]
    lab.relay.include({B: block.header})
    for first, count in ((3, 1), (2, 2), (4, 2)):
        again = lab.item(A, B, lab.batch(A, B, first, count, lane=128))
        assert refused(lab, B, again) is Refusal.STALE
    # A learns of 3 and 4, keeps the others, and its window still begins at 1.
    block = lab.step(only=[A])[A]
    assert [nonce for _, nonce, _ in settled(block)] == [3, 4]
    lane = lab[A].read(lambda: messaging.OutboundLanes.get((B, 128)))
    assert (lane.acked, lane.in_flight) == (0, 5)  # type: ignore[attr-defined]
    two_runs = lab.item(A, B, lab.batch(A, B, 1, 2, lane=128), lab.batch(A, B, 5, 1, lane=128))
    block = lab.build(B, items=[two_runs])
    assert [nonce for _, nonce, _ in consumed(block)] == [1, 2, 5]
    lab.relay.include({B: block.header})
    window = lab[B].read(lambda: messaging.InboundWindows.get((A, 128)))
    assert (window.base, window.consumed) == (5, 0)  # type: ignore[attr-defined]
    assert [nonce for _, nonce, _ in settled(lab.step(only=[A])[A])] == [1, 2, 5]
    lane = lab[A].read(lambda: messaging.OutboundLanes.get((B, 128)))
    assert (lane.acked, lane.bytes_in_flight) == (5, 0)  # type: ignore[attr-defined]
    assert lab[A].read(lambda: messaging.Settled.get((B, 128))) == 0


def test_an_unordered_lane_goes_on_past_a_lost_body() -> None:
    lab = lab_with(4, lane=128)
    lose_body(lab, A, 128, 1)
    block = lab.step(only=[B])[B]
    assert [nonce for _, nonce, _ in consumed(block)] == [2, 3, 4]
    assert "has sent message 1 of lane 128" in block.fetched[0][1].problem
    lab.step({B: [lambda: messaging.skip_ahead(ROOT, A, 128, 1, bytes(32))]}, only=[B])
    assert settled(lab.step(only=[A])[A])[0] == (128, 1, Outcome.SKIPPED)


def test_an_unordered_lane_has_a_window_and_no_chain() -> None:
    lab = lab_with(3, lane=128)
    far = LaneBatch(128, OUTCOME_WINDOW + 1, lab.batch(A, B, 1, 1, lane=128).bodies)
    assert refused(lab, B, replace(lab.item(A, B, lab.batch(A, B, 1, 1, lane=128)), batches=(far,))) is (
        Refusal.BEYOND_WINDOW
    )
    chained = lab.batch(A, B, 1, 3, lane=128, tail=0)
    assert refused(lab, B, lab.item(A, B, chained)) is Refusal.TAIL_ON_UNORDERED_LANE


def test_a_timeout_on_an_unordered_lane() -> None:
    lab = lab_with(3, lane=128, timeout=GENESIS_TIME + 3 * SLOT)
    lab.relay.include({B: lab.build(B, items=[lab.item(A, B, lab.batch(A, B, 2, 1, lane=128))]).header})
    lab.relay.include({B: lab.build(B, items=[]).header})
    block = lab.step(only=[A])[A]
    assert sorted(settled(block)) == [
        (128, 1, Outcome.TIMED_OUT),
        (128, 2, Outcome.DELIVERED),
        (128, 3, Outcome.TIMED_OUT),
    ]
    assert [outcome for *_, outcome in consumed(lab.step(only=[B])[B])] == [Outcome.EXPIRED] * 2
    assert settled(lab.step(only=[A])[A]) == []
    assert messaging_keys(lab, A) == {"Outbox": 0, "Pending": 0}


# Head mode.


@pytest.mark.parametrize(
    "first, count, tail",
    [
        pytest.param(1, 130, 0, id="to the newest"),
        pytest.param(1, 100, 0, id="to a checkpoint"),
        pytest.param(1, 37, 63, id="with a tail to a checkpoint"),
        pytest.param(1, 101, 29, id="with a tail to the newest"),
    ],
)
def test_head_mode_proves_one_value(first: int, count: int, tail: int) -> None:
    lab = lab_with(130)
    batch = lab.batch(A, B, first, count, tail=tail)
    item = lab.item(A, B, batch)
    flat = lab.item(A, B, replace(batch, tail=None))
    block = lab.build(B, items=[item])
    assert [nonce for _, nonce, _ in consumed(block)] == list(range(first, first + count))
    assert lab.build(B, items=[flat]).header.state_root != bytes(32)
    lane = lab[B].read(lambda: messaging.InboundLanes.get((A, 0)), block.header.hash())
    assert lane.head == messaging_head(lab, A, count)  # type: ignore[attr-defined]
    assert item.proof_bytes() - 32 * tail < flat.proof_bytes() / 3


def test_head_mode_is_exact() -> None:
    lab = lab_with(130)
    good = lab.batch(A, B, 1, 37, tail=63)
    tail = good.tail or ()
    changed = {
        "a body less": replace(good, bodies=good.bodies[:-1]),
        "a body more": replace(good, bodies=(*good.bodies, good.bodies[0])),
        "two bodies exchanged": replace(good, bodies=(good.bodies[1], good.bodies[0], *good.bodies[2:])),
        "another body": replace(good, bodies=(replace(good.bodies[0], payload=b"x"), *good.bodies[1:])),
        "a tail exchanged": replace(good, tail=(tail[1], tail[0], *tail[2:])),
        "a tail flipped": replace(good, tail=(bytes(32), *tail[1:])),
    }
    for name, batch in changed.items():
        assert refused(lab, B, lab.item(A, B, batch)) is Refusal.WRONG_CHAIN, name
    beyond = replace(good, tail=(*tail, *[bytes(32)] * 100))  # to a checkpoint that does not exist yet
    assert refused(lab, B, lab.item(A, B, beyond)) is Refusal.NOT_SENT
    too_long = replace(good, tail=(bytes(32),) * (DEFAULT_LIMITS.max_tail + 1))
    assert refused(lab, B, replace(lab.item(A, B, good), batches=(too_long,))) is Refusal.TOO_MANY_MESSAGES


def test_checkpoints_go_with_the_messages_before_them() -> None:
    lab = lab_with(2 * CHECKPOINT_INTERVAL)
    assert lab[A].read(lambda: messaging.Checkpoints.contains_key((B, 0, CHECKPOINT_INTERVAL)))
    for _ in range(3):
        lab.step()
    for nonce in (CHECKPOINT_INTERVAL, 2 * CHECKPOINT_INTERVAL):
        assert not lab[A].read(lambda nonce=nonce: messaging.Checkpoints.contains_key((B, 0, nonce)))
