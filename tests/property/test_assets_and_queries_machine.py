"""Three chains that send each other assets and ask each other questions, with a relay chain that forks.

The model is nothing but the laws: after every step the books of all chains balance, every answer is what the node of
the asked chain has at the head that the answer names, and no query ends twice. Blocks are lost, relay blocks
abandoned, answers damaged. `Lab` executes every block in three contexts, both relay-state forms among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pileus.collator.query_source import SiblingQuerySource
from pileus.testing.conservation import check_conservation, read_book
from pileus.testing.lab import ALICE, SLOT, Action, Lab, LabBlock, LabRelayBlock
from runtime.chains import demo
from runtime.pallets.lookout import NAME, Seen
from runtime.pallets.state_query.events import AnswerRefused, QueryAnswered, QueryExpired
from runtime.pallets.state_query.types import VERSION, AnswerItem, Keys, Page, QueryInherent, Question
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.support.dispatch import NONE, Origin, OriginKind

PARAS = (2000, 2001, 2002)
BOB = bytes([0xB0]) * 32
PEOPLE = (ALICE, BOB)
ED = demo.EXISTENTIAL_DEPOSIT
queries, assets = demo.state_query, demo.assets

paras, people = st.sampled_from(PARAS), st.sampled_from(PEOPLE)
amounts = st.sampled_from([1, ED - 1, ED, 3 * ED, demo.UNIT, 2 * demo.UNIT])
routes = st.permutations(PARAS).map(lambda order: order[:2])
key_lists = st.lists(
    st.sampled_from(
        [demo.system.Number.key(), demo.timestamp.Now.key(), assets.Locked.key(2000), b"no such key"]
    ),
    min_size=1,
    max_size=3,
    unique=True,
)
questions = key_lists.map(lambda keys: Keys(tuple(sorted(keys)))) | st.builds(
    lambda prefix, size: Page(prefix, None, size),
    st.sampled_from([demo.system.BlockHash.prefix, assets.Foreign.prefix, b"no such map"]),
    st.integers(1, 5),
)


class AssetsAndQueries(RuleBasedStateMachine):
    """The chains of one laboratory."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = Lab(PARAS)
        self.waiting: dict[int, list[Action]] = {para: [] for para in PARAS}
        self.ended: dict[bytes, frozenset[tuple[int, int]]] = {}
        """Relay block -> (para, id) of every query that has ended on its fork."""

    @initialize()
    def start(self) -> None:
        self.ended[self.lab.relay.best.hash] = frozenset()
        self.step([])
        for para in PARAS:
            self.waiting[para] = [
                lambda: demo.balances.transfer(ALICE, BOB, 4 * demo.UNIT, keep_alive=True),
                *(
                    lambda dest=dest, para=para: assets.transfer(
                        Origin(OriginKind.SIGNED, ALICE), dest, para, BOB, demo.UNIT, None
                    )
                    for dest in PARAS
                    if dest != para
                ),
            ]
        self.go_on(3)

    # What people do.

    @rule(
        route=routes,
        homeward=st.booleans(),
        amount=amounts,
        who=people,
        to=people,
        slots=st.sampled_from([None, 1, 2, 3]),
    )
    def transfer(
        self, route: Sequence[int], homeward: bool, amount: int, who: bytes, to: bytes, slots: int | None
    ) -> None:
        """Out from a token's home, or back to it, perhaps with a timeout of so many relay blocks."""
        source, dest = route
        timeout = None if slots is None else self.lab.relay.best.time + slots * SLOT
        origin = Origin(OriginKind.SIGNED, who)
        home = dest if homeward else source
        self.waiting[source].append(lambda: assets.transfer(origin, dest, home, to, amount, timeout))

    @rule(route=routes, home=paras, amount=amounts)
    def transfer_astray(self, route: Sequence[int], home: int, amount: int) -> None:
        """What the pallet may have to refuse."""
        source, dest = route
        origin = Origin(OriginKind.SIGNED, BOB)
        self.waiting[source].append(lambda: assets.transfer(origin, dest, home, ALICE, amount, None))

    @rule(para=paras, home=paras, amount=amounts, who=people, to=people)
    def transfer_here(self, para: int, home: int, amount: int, who: bytes, to: bytes) -> None:
        origin = Origin(OriginKind.SIGNED, who)
        self.waiting[para].append(lambda: assets.transfer_foreign(origin, home, to, amount))

    @rule(para=paras, who=people)
    def claim(self, para: int, who: bytes) -> None:
        self.waiting[para].append(lambda: assets.claim_refund(Origin(OriginKind.SIGNED, who)))

    @rule(
        para=paras,
        source=paras,
        question=questions,
        back=st.none() | st.integers(0, 4),
        life=st.integers(1, 5),
    )
    def ask(self, para: int, source: int, question: Question, back: int | None, life: int) -> None:
        head = Header.decode(self.lab.relay.best.heads[source])
        at = None if back is None else max(head.number - back, 0)
        self.waiting[para].append(
            lambda: queries.ask(NAME, source, question, at=at, lifetime=life, depositor=ALICE)
        )

    @rule(para=paras, known=st.lists(paras, min_size=1, max_size=2, unique=True))
    def ask_the_relay_chain(self, para: int, known: Sequence[int]) -> None:
        keys = tuple(sorted(relay_keys.para_head(sibling) for sibling in (*known, 3999)))
        self.waiting[para].append(lambda: queries.ask(NAME, None, Keys(keys), depositor=ALICE))

    # What collators and the relay chain do.

    @rule(absent=st.lists(paras, max_size=2, unique=True))
    def step(self, absent: Sequence[int]) -> None:
        """A relay block that includes a block of every chain but those."""
        on = self.lab.relay.best
        built = {para: self.build(para, on) for para in PARAS if para not in absent}
        for para in built:
            self.waiting[para] = []
        self.include(built, on)

    @rule(blocks=st.integers(1, 3))
    def go_on(self, blocks: int) -> None:
        """Relay blocks that include a block of every chain."""
        for _ in range(blocks):
            self.step([])

    @rule(para=paras)
    def lose_a_block(self, para: int) -> None:
        """A collator's block that no relay block includes; its node forgets what it put beside the state."""
        beside = dict(self.lab[para].offchain)
        self.build(para, self.lab.relay.best)
        self.lab[para].offchain.clear()
        self.lab[para].offchain.update(beside)

    @precondition(lambda self: self.lab.relay.best.parent is not None)
    @rule(depth=st.integers(1, 3))
    def abandon(self, depth: int) -> None:
        """The relay chain goes back some blocks and on without them; all heads go back together."""
        ancestor = self.lab.relay.best
        while depth and ancestor.parent is not None:
            ancestor, depth = ancestor.parent, depth - 1
        self.lab.relay.include({}, parent=ancestor)
        self.ended[self.lab.relay.best.hash] = self.ended[ancestor.hash]
        self.check_books()

    @rule(para=paras, data=st.data())
    def damage_an_answer(self, para: int, data: st.DataObject) -> None:
        """A collator that brings a damaged answer in a block of its own tells its runtime nothing untrue."""
        self.ask(para, data.draw(paras), data.draw(questions), None, 5)
        self.step([])
        items = self.items(para, self.lab.relay.best)
        if not items:
            return
        encoded = bytearray(data.draw(st.sampled_from(items)).encode())
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            item = AnswerItem.decode(bytes(encoded))
        except ValueError:
            return
        beside = dict(self.lab[para].offchain)
        block = self.lab.build(para, [inherent((item,))], items=())
        self.lab[para].offchain.clear()
        self.lab[para].offchain.update(beside)
        assert len(block.of(AnswerRefused)) + len(block.of(QueryAnswered)) == 1
        self.check_answers(block, self.lab.relay.best)

    # How.

    def items(self, para: int, on: LabRelayBlock) -> list[AnswerItem]:
        open_queries = self.lab[para].read(queries.open_queries, Header.decode(on.heads[para]).hash())
        assert isinstance(open_queries, tuple)
        found = []
        for query_id, query in open_queries:
            if query.source is None:
                found.append(AnswerItem(query_id, None, ()))
                continue
            newest = Header.decode(on.heads[query.source])
            fetched = SiblingQuerySource(query.source, self.lab[query.source]).fetch(
                query_id, query, newest, 500
            )
            if fetched.item is not None:
                found.append(fetched.item)
        return found

    def build(self, para: int, on: LabRelayBlock) -> LabBlock:
        block = self.lab.build(para, [inherent(self.items(para, on)), *self.waiting[para]])
        # What an honest collator brings is never refused.
        assert not block.of(AnswerRefused)
        self.check_answers(block, on)
        return block

    def include(self, built: dict[int, LabBlock], on: LabRelayBlock) -> None:
        ended = set(self.ended[on.hash])
        for para, block in built.items():
            for event in block.events:
                if isinstance(event, QueryAnswered | QueryExpired):
                    assert (para, event.id) not in ended
                    ended.add((para, event.id))
        self.lab.relay.include({para: block.header for para, block in built.items()})
        self.ended[self.lab.relay.best.hash] = frozenset(ended)
        self.check_books()

    def check_answers(self, block: LabBlock, on: LabRelayBlock) -> None:
        """Everything the asker was shown is in the state that the answer names."""
        heads = {event.id: event.head for event in block.events if isinstance(event, QueryAnswered)}
        for event in block.events:
            if not isinstance(event, Seen):
                continue
            head = heads[event.query]
            for key, value in event.entries:
                if head is None:
                    assert self.lab.relay.get_storage_by_key(on.hash, key) == value
                else:
                    (chain,) = [chain for chain in self.lab.chains.values() if chain.header(head) is not None]
                    assert chain.storage(key, head) == value

    def check_books(self) -> None:
        check_conservation(
            {
                para: read_book(self.lab[para].nodes, Header.decode(head).state_root)
                for para, head in self.lab.relay.best.heads.items()
            }
        )

    def teardown(self) -> None:
        """Left alone, everything settles: no transfer stays in transit and no query open."""
        if self.lab.relay.best.hash not in self.ended:
            return
        for _ in range(9):
            self.step([])
        for para, head in self.lab.relay.best.heads.items():
            book = read_book(self.lab[para].nodes, Header.decode(head).state_root)
            assert book.transit == {}
            assert self.lab[para].read(queries.Open.get, Header.decode(head).hash()) == ()
            assert book.escrow == ED + sum(book.locked.values()) + book.refunds


def inherent(items: Sequence[AnswerItem]) -> Action:
    return lambda: queries.answer(NONE, QueryInherent(VERSION, tuple(items)))


def test_value_and_truth_are_conserved() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AssetsAndQueries, settings=settings(max_examples=8, stateful_step_count=16, deadline=None)
    )


@pytest.mark.slow
def test_value_and_truth_are_conserved_for_long() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AssetsAndQueries, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


def test_the_books_of_a_lab_notice_a_wrong_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law has teeth here too: one unit that is unlocked and not paid out breaks the books."""
    lab = Lab(PARAS[:2])
    lab.step()
    origin = Origin(OriginKind.SIGNED, ALICE)
    lab.step({2000: [lambda: assets.transfer(origin, 2001, 2000, BOB, ED, None)]})
    lab.step({2000: [lambda: assets._unlock(2001, 1)]})
    books = {
        para: read_book(lab[para].nodes, Header.decode(head).state_root)
        for para, head in lab.relay.best.heads.items()
    }
    with pytest.raises(AssertionError, match="has locked"):
        check_conservation(books)
