"""Several chains, anything that can happen to them, and what must hold all the same.

A Hypothesis state machine over `pileus.testing.lab`: sends on ordered and unordered lanes, deliveries through the real
collators, blocks that are lost, replayed and forged items, items out of order, lost bodies, passing time, suspended
lanes, skipped messages, and a relay chain that forks. The model follows every head, so that a fork takes its part of
the history with it, and is fed by events; what it holds the chains to at every step:

* no message is consumed twice, or in another form than it was sent; ordered lanes keep their order;
* every outcome is told once, agrees with what the destination did, and is final;
* no message is both timed out and delivered;
* value is conserved over all chains (`pileus.testing.conservation`);
* state is bounded: exactly the unsettled messages and a constant per lane and sibling;
* nothing is lost: when all is quiet again, every message has its outcome, and every window is open.

``make campaign`` runs it for long.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pileus.testing.conservation import check_conservation, read_book
from pileus.testing.lab import ALICE, SLOT, Lab, LabBlock, LabRelayBlock
from runtime.chains import demo
from runtime.pallets.assets import TransferReceived
from runtime.pallets.mailbox import MAX_LETTER, RECIPIENT, LetterReceived
from runtime.pallets.state_messaging.events import (
    MessageConsumed,
    MessageSent,
    MessageSettled,
    MessagesSkipped,
)
from runtime.pallets.state_messaging.lanes import CHECKPOINT_INTERVAL, Outcome, chain_step, is_unordered
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS
from runtime.pallets.state_messaging.types import (
    Ack,
    InboundItem,
    MessageBody,
    TimeoutClaim,
    offchain_body_key,
)
from runtime.primitives.header import Header
from runtime.support.dispatch import ROOT, Origin, OriginKind

CHAINS = (2000, 2001, 2002)
LANES = (0, 1, 128)
LIMITS = replace(DEFAULT_LIMITS, remembered_heads=4, max_prune_per_block=6, max_messages_per_item=8)
ROUTES = [(one, other) for one in CHAINS for other in CHAINS if one != other]
SOMEBODY = Origin(OriginKind.SIGNED, ALICE)
messaging, mailbox = demo.state_messaging, demo.mailbox

Place = tuple[int, int, int]
"""(the other chain, lane, nonce)."""


@dataclass
class Model:
    """One chain at one head, from its events."""

    sent: dict[Place, bytes] = field(default_factory=dict)
    """To whom, lane and nonce -> commitment."""
    settled: dict[Place, Outcome] = field(default_factory=dict)
    consumed: dict[Place, Outcome] = field(default_factory=dict)
    letters: int = 0

    def copy(self) -> Model:
        return Model(dict(self.sent), dict(self.settled), dict(self.consumed), self.letters)


@dataclass(frozen=True)
class Letters:
    """Messages that are sent together."""

    route: tuple[int, int]
    lane: int
    count: int
    recipient: bytes
    slots: int | None
    """Relay blocks until they time out."""
    size: int


LETTERS = st.builds(
    Letters,
    route=st.sampled_from(ROUTES),
    lane=st.sampled_from(LANES),
    count=st.integers(1, 4),
    recipient=st.sampled_from((RECIPIENT, RECIPIENT, b"nobody")),
    slots=st.none() | st.integers(2, 8),
    size=st.sampled_from((8, 8, 8, MAX_LETTER + 1)),
)


class Messaging(RuleBasedStateMachine):
    """See the module."""

    @initialize(seed=st.integers(0, 2**32 - 1), letters=st.lists(LETTERS, max_size=5))
    def start(self, seed: int, letters: list[Letters]) -> None:
        self.random = random.Random(
            seed
        )  # for the order of siblings and damage to items: not worth shrinking
        self.old_limits, messaging.limits = messaging.limits, LIMITS
        self.lab = Lab(CHAINS, limits=LIMITS, lanes=LANES)
        self.models = {chain.genesis_hash: Model() for chain in self.lab.chains.values()}
        self.items: list[tuple[int, InboundItem]] = []
        self.lost: dict[tuple[int, bytes], bytes] = {}
        """(chain, key) -> body that its node has lost."""
        self.include(*((para, self.build(para, [])) for para in CHAINS))  # every chain has a clock
        self.send(letters)

    def teardown(self) -> None:
        if hasattr(self, "old_limits"):
            messaging.limits = self.old_limits

    # Blocks.

    def model(self, para: int, at: LabRelayBlock | None = None) -> Model:
        head = Header.decode((at or self.lab.relay.best).heads[para])
        return self.models[head.hash()]

    def build(
        self, para: int, actions: list[Callable[[], object]], items: list[InboundItem] | None = None
    ) -> LabBlock:
        block = self.lab.build(para, actions, items=items)
        self.items += [(para, item) for item in block.items]
        del self.items[:-12]
        model = self.model(para).copy()
        for event in block.events:
            self.account(para, model, block, event)
        taken = [event for event in block.events if isinstance(event, LetterReceived | TransferReceived)]
        delivered = [event for event in block.of(MessageConsumed) if event.outcome == Outcome.DELIVERED]  # type: ignore[attr-defined]
        assert len(taken) == len(delivered), "delivered is what a handler has taken"
        model.letters += sum(isinstance(event, LetterReceived) for event in taken)
        self.models[block.header.hash()] = model
        return block

    def account(self, para: int, model: Model, block: LabBlock, event: Any) -> None:
        """One event, against what the model allows."""
        if isinstance(event, MessageSent):
            assert event.nonce == 1 + sum(place[:2] == (event.dest, event.lane) for place in model.sent)
            model.sent[event.dest, event.lane, event.nonce] = event.commitment
        elif isinstance(event, MessageConsumed):
            place = event.source, event.lane, event.nonce
            assert place not in model.consumed, "consumed twice"
            if not is_unordered(event.lane):
                before = (event.source, event.lane, event.nonce - 1)
                assert event.nonce == 1 or before in model.consumed, "out of order"
            source = self.model(event.source, block.relay_parent)
            assert source.sent[para, event.lane, event.nonce] == event.commitment, "not what was sent"
            model.consumed[place] = Outcome(event.outcome)
        elif isinstance(event, MessagesSkipped):
            for nonce in range(event.first, event.last + 1):
                model.consumed.setdefault((event.source, event.lane, nonce), Outcome.SKIPPED)
        elif isinstance(event, MessageSettled):
            place = event.dest, event.lane, event.nonce
            assert place not in model.settled, "told twice"
            assert model.sent[place] == event.commitment
            outcome = model.settled[place] = Outcome(event.outcome)
            there = self.model(event.dest, block.relay_parent).consumed.get((para, event.lane, event.nonce))
            assert there == (None if outcome is Outcome.TIMED_OUT else outcome)

    def include(self, *blocks: tuple[int, LabBlock]) -> None:
        self.lab.relay.include({para: block.header for para, block in blocks})

    # What happens.

    @rule(letters=st.lists(LETTERS, min_size=1, max_size=3))
    def send(self, letters: list[Letters]) -> None:
        for para in CHAINS:
            actions = [
                self.sending(these) for these in letters if these.route[0] == para for _ in range(these.count)
            ]
            if actions:
                self.include((para, self.build(para, actions, items=[])))

    def sending(self, letters: Letters) -> Callable[[], object]:
        _, dest = letters.route
        timeout = None if letters.slots is None else self.lab.relay.best.time + letters.slots * SLOT
        body = MessageBody(RECIPIENT, letters.recipient, timeout, bytes(letters.size))
        return lambda: messaging.send_message(dest, letters.lane, body)

    @rule(
        route=st.sampled_from(ROUTES),
        amount=st.sampled_from((demo.UNIT, 3 * demo.UNIT, 1)),
        foreign=st.booleans(),
        slots=st.none() | st.integers(2, 8),
    )
    def transfer(self, route: tuple[int, int], amount: int, foreign: bool, slots: int | None) -> None:
        """An amount leaves its home, or returns there; it may be too late, or more than there is."""
        para, dest = route
        timeout = None if slots is None else self.lab.relay.best.time + slots * SLOT
        home = dest if foreign else para
        action = [lambda: demo.assets.transfer(SOMEBODY, dest, home, ALICE, amount, timeout)]
        self.include((para, self.build(para, action)))

    @rule(paras=st.lists(st.sampled_from(CHAINS), min_size=1, unique=True), lost=st.booleans())
    def go_on(self, paras: list[int], lost: bool) -> None:
        """Chains build; what they build is included, or lost."""
        blocks = [(para, self.build(para, [])) for para in paras]
        self.include(*([] if lost else blocks))

    @rule(para=st.sampled_from(CHAINS), slots=st.integers(0, 4))
    def look_away(self, para: int, slots: int) -> None:
        """Time passes, and then a chain builds whose collator reaches nobody."""
        self.time_passes(slots)
        self.include((para, self.build(para, [], items=[])))

    def time_passes(self, slots: int) -> None:
        for _ in range(slots):
            self.include()

    @rule(back=st.integers(1, 3))
    def fork(self, back: int) -> None:
        """The relay chain goes on from an earlier block."""
        block = self.lab.relay.best
        for _ in range(back):
            block = block.parent or block
        self.lab.relay.include({}, parent=block)

    @rule(which=st.integers(0, 11))
    def replay(self, which: int) -> None:
        """An item of before, handed in by anybody."""
        if self.items:
            para, item = self.items[which % len(self.items)]
            self.include((para, self.build(para, [lambda: messaging.submit(SOMEBODY, item)], items=[])))

    @rule(which=st.integers(0, 11))
    def forge(self, which: int) -> None:
        """An item of before with something changed, in an inherent of its own."""
        if not self.items:
            return
        para, item = self.items[which % len(self.items)]
        nodes = list(item.nodes)
        forged = self.random.choice(
            (
                replace(item, source=self.random.choice([other for other in CHAINS if other != para])),
                replace(item, nodes=tuple(nodes[1:])),
                replace(item, batches=tuple(replace(b, first_nonce=b.first_nonce + 1) for b in item.batches)),
                replace(item, batches=tuple(replace(b, bodies=b.bodies[:1]) for b in item.batches)),
                replace(item, acks=tuple(replace(ack, limit=ack.limit + 1) for ack in item.acks)),
                replace(item, timeouts=(TimeoutClaim(self.random.choice(LANES), (1,)),)),
                replace(item, acks=(Ack(self.random.choice(LANES), 1, 2),)),
            )
        )
        self.include((para, self.build(para, [], items=[forged])))

    @rule(which=st.integers(0, 20), at=st.integers(0, 20), count=st.integers(1, 3))
    def out_of_order(self, which: int, at: int, count: int) -> None:
        """Messages from the middle of a lane; an ordered one takes them only if they are next."""
        lanes = self.in_flight()
        if not lanes:
            return
        source, para, lane, nonces = lanes[which % len(lanes)]
        batch = self.lab.batch(source, para, nonces[at % len(nonces)], count, lane=lane)
        if batch.bodies:
            self.include((para, self.build(para, [], items=[self.lab.item(source, para, batch)])))

    def in_flight(self) -> list[tuple[int, int, int, list[int]]]:
        """Every (chain, destination, lane) with messages that have no outcome, and their nonces."""
        found: dict[tuple[int, int, int], list[int]] = {}
        for para in CHAINS:
            model = self.model(para)
            for dest, lane, nonce in model.sent:
                if (dest, lane, nonce) not in model.settled:
                    found.setdefault((para, dest, lane), []).append(nonce)
        return [(*place, nonces) for place, nonces in sorted(found.items())]

    @rule(
        which=st.integers(0, 20),
        limit=st.sampled_from((0, 1, 3)),
        timeouts=st.integers(0, 3),
        at=st.integers(0, 20),
    )
    def claim(self, which: int, limit: int, timeouts: int, at: int) -> None:
        """Anybody hands in claims with an honest proof of them; which hold is for the runtime to say."""
        lanes = self.in_flight()
        if not lanes or not (limit or timeouts):
            return
        para, dest, lane, nonces = lanes[which % len(lanes)]
        first = at % len(nonces)
        claims = [TimeoutClaim(lane, tuple(nonces[first : first + timeouts]))] if timeouts else []
        acks = [Ack(lane, nonces[first if is_unordered(lane) else 0], limit)] if limit else []
        item = self.lab.item(dest, para, acks=acks, timeouts=claims)
        self.include((para, self.build(para, [lambda: messaging.submit(SOMEBODY, item)], items=[])))

    @rule(
        para=st.sampled_from(CHAINS),
        source=st.sampled_from(CHAINS),
        lane=st.sampled_from(LANES),
        on=st.booleans(),
    )
    def suspend(self, para: int, source: int, lane: int, on: bool) -> None:
        if para != source:
            action = [lambda: messaging.set_lane_suspended(ROOT, source, lane, on)]
            self.include((para, self.build(para, action)))

    @rule(para=st.sampled_from(CHAINS), which=st.integers(0, 50))
    def lose_a_body_and_skip_it(self, para: int, which: int) -> None:
        """A body is lost, and the destination's governance moves on, if it is the next one there."""
        model = self.model(para)
        open_ = [place for place in model.sent if place not in model.settled]
        if not open_:
            return
        dest, lane, nonce = open_[which % len(open_)]
        there = self.model(dest).consumed
        if (para, lane, nonce) in there or (nonce > 1 and (para, lane, nonce - 1) not in there):
            return
        key = offchain_body_key(model.sent[dest, lane, nonce])
        if key in self.lab[para].offchain:
            self.lost[para, key] = self.lab[para].offchain.pop(key)
        head = bytes(32)
        for at in range(1, nonce + 1):
            head = chain_step(head, at, model.sent[dest, lane, at])
        skip = [lambda: messaging.skip_ahead(ROOT, para, lane, nonce, head)]
        self.include((dest, self.build(dest, skip, items=[])))

    # What holds.

    @invariant()
    def outcomes_agree(self) -> None:
        for para in CHAINS:
            model = self.model(para)
            for (dest, lane, nonce), outcome in model.settled.items():
                there = self.model(dest).consumed.get((para, lane, nonce))
                if outcome is Outcome.TIMED_OUT:
                    assert there in (None, Outcome.EXPIRED, Outcome.SKIPPED), "timed out and delivered"
                else:
                    assert there == outcome

    @invariant()
    def value_is_conserved(self) -> None:
        heads = {para: Header.decode(self.lab.relay.best.heads[para]) for para in CHAINS}
        check_conservation(
            {para: read_book(self.lab[para].nodes, head.state_root) for para, head in heads.items()}
        )

    @invariant()
    def state_is_bounded(self) -> None:
        for para in CHAINS:
            model = self.model(para)
            head = Header.decode(self.lab.relay.best.heads[para]).hash()
            letters, keys = self.lab[para].read(mailbox.Received.get, head), self.lab[para].keys(head)
            assert letters == model.letters
            lanes = {place[:2] for place in model.sent}
            open_ = waiting = 0
            for dest, lane in lanes:
                state: Any = self.lab[para].read(
                    lambda dest=dest, lane=lane: messaging.OutboundLanes.get((dest, lane)), head
                )
                waiting += state.in_flight
                open_ += state.in_flight // CHECKPOINT_INTERVAL + 1
            ends = (
                2 * 3 * 2
            )  # of two siblings and three lanes: our end of each, and the mark of a suspended one
            heads = 2 * (2 * LIMITS.remembered_heads + 1)
            assert keys <= 2 * waiting + open_ + 2 * len(lanes) + ends + heads

    def quiet(self) -> None:
        """Nothing goes wrong any more: everything comes to its end.

        Lost bodies turn up again, because a fork may have undone the skipping.
        """
        for (para, key), body in self.lost.items():
            self.lab[para].offchain[key] = body
        resume = [
            lambda source=source, lane=lane: messaging.set_lane_suspended(ROOT, source, lane, False)
            for source in CHAINS
            for lane in LANES
        ]
        for para in CHAINS:
            self.include((para, self.build(para, list(resume))))
        for _ in range(60):
            self.include(*((para, self.build(para, [])) for para in CHAINS))
            if all(self.is_done(para) for para in CHAINS):
                break
        for para in CHAINS:
            model = self.model(para)
            assert model.settled.keys() == model.sent.keys(), "a message without an outcome"
            head = Header.decode(self.lab.relay.best.heads[para]).hash()
            for dest, lane in {place[:2] for place in model.sent}:
                state: Any = self.lab[para].read(
                    lambda dest=dest, lane=lane: messaging.OutboundLanes.get((dest, lane)), head
                )
                assert (state.in_flight, state.bytes_in_flight, state.suspended) == (0, 0, False)

    def is_done(self, para: int) -> bool:
        head = Header.decode(self.lab.relay.best.heads[para]).hash()
        lanes = {place[:2] for place in self.model(para).sent}
        return all(
            not self.lab[para].read(
                lambda dest=dest, lane=lane: messaging.OutboundLanes.get((dest, lane)).in_flight, head
            )
            for dest, lane in lanes
        )


class EndsQuietly(Messaging):
    """Every history is brought to its end."""

    def teardown(self) -> None:
        try:
            if hasattr(self, "lab"):
                self.quiet()
        finally:
            super().teardown()


EXAMPLES = settings.default.max_examples if settings.default else 60
TestMessaging = EndsQuietly.TestCase
TestMessaging.settings = settings(
    max_examples=EXAMPLES // 2,
    stateful_step_count=16 if EXAMPLES <= 100 else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
