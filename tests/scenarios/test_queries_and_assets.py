"""The scenario list, part 3: state queries, ancestry, assets and EVM gateways, on the chains of the laboratory.

Every block is executed again from its witness with the validator's own relay state and with the carried proof, so
each scenario holds in both forms. Numbers as in ``test_one_lane.py``; messages of assets cross by real proofs, and the
books of all chains are compared after every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from host_functions.errors import StateUnavailable
from host_functions.interfaces import storage
from pileus.collator.query_source import SiblingQuerySource
from pileus.testing.conservation import check_conservation, read_book
from pileus.testing.lab import ALICE, SLOT, Action, Lab, LabBlock, LabRelayBlock
from runtime.chains import demo
from runtime.pallets.assets import TransferReceived, TransferSettled
from runtime.pallets.lookout import NAME, Seen
from runtime.pallets.state_messaging.events import MessageConsumed
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_query.events import AnswerRefused, HeadNoted, QueryAnswered, QueryExpired
from runtime.pallets.state_query.types import VERSION, AnswerItem, Keys, Page, QueryInherent, Question
from runtime.pallets.state_query.verify import Refusal
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.scale import u32
from runtime.support.dispatch import NONE, ModuleError, Origin, OriginKind
from runtime.support.sibling_ancestry import HeaderChain, NewestHead, RememberedHead

A, B, C = 2000, 2001, 2002
SOMEBODY = Origin(OriginKind.SIGNED, ALICE)
BOB = bytes([0xB0]) * 32
queries, lookout, assets = demo.state_query, demo.lookout, demo.assets
NUMBER, HEADLESS = demo.system.Number.key(), 3999


def look(*keys: bytes, source: int | None = A, at: int | None = None) -> Action:
    return lambda: lookout.look(SOMEBODY, source, at, keys)


def survey(prefix: bytes, size: int, source: int | None = A) -> Action:
    return lambda: lookout.survey(SOMEBODY, source, prefix, None, size)


def items_for(lab: Lab, para: int, on: LabRelayBlock | None = None) -> tuple[AnswerItem, ...]:
    """What the collator of ``para`` brings for the queries that are open at its head, from the siblings' nodes."""
    relay_parent = on or lab.relay.best
    parent = Header.decode(relay_parent.heads[para])
    open_queries = lab[para].read(queries.open_queries, parent.hash())
    assert isinstance(open_queries, tuple)
    found = []
    for query_id, query in open_queries:
        if query.source is None:
            found.append(AnswerItem(query_id, None, ()))
            continue
        newest = Header.decode(relay_parent.heads[query.source])
        source = SiblingQuerySource(query.source, lab[query.source])
        found.append(source.fetch(query_id, query, newest, 500).item)
    return tuple(item for item in found if item is not None)


def inherent(*items: AnswerItem) -> Action:
    return lambda: queries.answer(NONE, QueryInherent(VERSION, items))


def step(lab: Lab, actions: dict[int, list[Action]] | None = None) -> dict[int, LabBlock]:
    """One block of every chain, with the answers that B's collator finds."""
    actions = dict(actions or {})
    actions[B] = [inherent(*items_for(lab, B)), *actions.get(B, [])]
    return lab.step(actions)


def refusals(block: LabBlock) -> list[Refusal]:
    return [Refusal(event.reason) for event in block.events if isinstance(event, AnswerRefused)]


def seen(block: LabBlock) -> list[dict[bytes, bytes | None]]:
    return [dict(event.entries) for event in block.events if isinstance(event, Seen)]


def lab_asking(*asked: Action, paras: Sequence[int] = (A, B)) -> Lab:
    """B has asked, and its question is included."""
    lab = Lab(tuple(paras))
    lab.step()
    block = lab.step({B: list(asked)})[B]
    assert block.results == (None,) * len(asked)
    return lab


# State queries.


def test_17_a_query_is_answered_and_one_that_nobody_answers_expires() -> None:
    lab = lab_asking(look(NUMBER, b"no such key"), survey(demo.parachain_info.ParachainId.prefix, 5))
    block = step(lab)[B]
    assert seen(block) == [
        {NUMBER: u32.encode(2), b"no such key": None},
        {demo.parachain_info.ParachainId.key(): u32.encode(A)},
    ]
    expiring = lab.step({B: [lambda: queries.ask(NAME, A, Keys((b"k",)), lifetime=2)]})[B]
    assert expiring.results == (None,)
    blocks = [lab.step()[B] for _ in range(4)]
    assert [len(block.of(QueryExpired)) for block in blocks] == [0, 0, 1, 0]
    assert lab[B].read(queries.open_queries) == ()


def test_12_an_answer_twice_is_an_answer_once() -> None:
    lab = lab_asking(look(NUMBER), look(NUMBER))
    first, second = items_for(lab, B)
    with pytest.raises(InvalidBlock, match="strictly increasing"):
        lab.build(B, [inherent(first, first)])
    block = lab.build(
        B,
        [
            inherent(first),
            lambda: queries.submit_answer(SOMEBODY, first),
            lambda: queries.submit_answer(SOMEBODY, second),
        ],
    )
    assert [event.id for event in block.of(QueryAnswered) if isinstance(event, QueryAnswered)] == [1, 2]
    assert refusals(block) == [Refusal.UNKNOWN_QUERY]


def test_14_a_query_expires_once() -> None:
    lab = lab_asking(lambda: queries.ask(NAME, A, Keys((b"k",)), lifetime=1, depositor=ALICE))
    before = lab[B].read(lambda: demo.balances.free_balance(ALICE))
    blocks = [lab.step()[B] for _ in range(4)]
    assert sum(len(block.of(QueryExpired)) for block in blocks) == 1
    assert lab[B].read(lambda: demo.balances.free_balance(ALICE)) == before + demo.QUERY_DEPOSIT


def test_15_a_query_is_answered_or_expires_and_never_both() -> None:
    for answered_in_time in (True, False):
        lab = lab_asking(lambda: queries.ask(NAME, A, Keys((NUMBER,)), lifetime=2))
        (item,) = items_for(lab, B)
        blocks = [lab.step()[B]]
        late = replace(item, head=HeaderChain((Header.decode(lab.relay.best.heads[A]).encode(),)))
        if answered_in_time:
            blocks.append(lab.step({B: [inherent(*items_for(lab, B))]})[B])
        else:
            blocks.append(lab.step()[B])
        blocks.append(lab.step({B: [inherent(late)]})[B])
        blocks.append(lab.step()[B])
        happened = [sum(len(block.of(kind)) for block in blocks) for kind in (QueryAnswered, QueryExpired)]
        assert happened == ([1, 0] if answered_in_time else [0, 1])
        assert refusals(blocks[2]) == [Refusal.UNKNOWN_QUERY]


def test_16_one_bad_answer_leaves_the_others_of_its_inherent_whole() -> None:
    lab = lab_asking(look(NUMBER), look(b"a"), look(b"b"))
    one, two, three = items_for(lab, B)
    block = lab.build(B, [inherent(one, replace(two, nodes=two.nodes[1:]), three)])
    assert [event.id for event in block.of(QueryAnswered) if isinstance(event, QueryAnswered)] == [1, 3]
    assert refusals(block) == [Refusal.PROOF_INCOMPLETE]


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda lab, item: replace(item, id=9), Refusal.UNKNOWN_QUERY),
        (lambda lab, item: replace(item, head=None), Refusal.WRONG_SOURCE),
        (
            lambda lab, item: replace(item, head=NewestHead(Header.decode(lab.relay.best.heads[C]).hash())),
            Refusal.HEAD_HEAD_MISMATCH,
        ),
        (lambda lab, item: replace(item, head=RememberedHead(bytes(32))), Refusal.HEAD_NOT_REMEMBERED),
        (
            lambda lab, item: replace(item, nodes=tuple(sorted((*item.nodes, b"junk")))),
            Refusal.UNUSED_NODE,
        ),
    ],
)
def test_27_answers_that_do_not_fit_their_query(change: object, reason: Refusal) -> None:
    lab = lab_asking(look(NUMBER), paras=(A, B, C))
    (item,) = items_for(lab, B)
    assert callable(change)
    block = lab.build(B, [inherent(change(lab, item))])
    assert refusals(block) == [reason]
    assert seen(lab.build(B, [inherent(item)])) == [{NUMBER: u32.encode(2)}]


def test_27_another_height_another_source_and_what_was_processed() -> None:
    lab = lab_asking(look(NUMBER, at=1), look(NUMBER), look(NUMBER, source=C), paras=(A, B, C))
    named, newest, other = items_for(lab, B)
    block = lab.build(B, [inherent(replace(newest, id=1), replace(named, id=2), replace(newest, id=3))])
    assert refusals(block) == [Refusal.WRONG_HEIGHT, Refusal.HEAD_HEAD_MISMATCH]
    # Block 1 was the newest when the query was opened, so it is new enough an answer.
    assert seen(block) == [{NUMBER: u32.encode(1)}]
    block = lab.step({B: [inherent(named, newest, other)]})[B]
    assert seen(block) == [{NUMBER: u32.encode(1)}, {NUMBER: u32.encode(2)}, {NUMBER: u32.encode(2)}]
    assert refusals(lab.build(B, [inherent(named, newest, other)])) == [Refusal.UNKNOWN_QUERY] * 3


@pytest.mark.parametrize("head", [b"", b"no header", bytes(98) + b"\x01"])
def test_23_a_head_that_is_no_header_answers_nothing_and_stops_nobody(head: bytes) -> None:
    lab = lab_asking(look(NUMBER))
    (item,) = items_for(lab, B)
    lab.relay.include({A: head})
    block = lab.build(B, [inherent(item), look(NUMBER)], items=())
    assert refusals(block) == [Refusal.HEAD_BAD_HEAD]
    assert isinstance(block.results[1], ModuleError)
    assert block.results[1].error.name == "UnknownSource"


def test_42_a_key_under_a_prefix_of_the_provers_choice() -> None:
    """The proof of another map, and of another start in the right one, show nothing of what was asked."""
    prefix = demo.system.BlockHash.prefix
    lab = lab_asking(survey(prefix, 2))
    stored = lab[B].read(lambda: queries.Queries.get(1))
    source = SiblingQuerySource(A, lab[A])
    newest = Header.decode(lab.relay.best.heads[A])
    for question in (Page(demo.system.Account.prefix, None, 2), Page(prefix, prefix + b"\xff", 2)):
        other = replace(stored, question=question)  # type: ignore[type-var]
        item = source.fetch(1, other, newest, 500).item
        assert item is not None
        assert refusals(lab.build(B, [inherent(item)]))[0] in (Refusal.PROOF_INCOMPLETE, Refusal.UNUSED_NODE)


def test_43_no_entry_of_a_map_is_hidden_by_leaving_nodes_out() -> None:
    lab = lab_asking(survey(demo.system.BlockHash.prefix, 100), look(NUMBER, b"absent"))
    for item in items_for(lab, B):
        for position in range(len(item.nodes)):
            cut = replace(item, nodes=item.nodes[:position] + item.nodes[position + 1 :])
            block = lab.build(B, [inherent(cut)])
            assert refusals(block) == [Refusal.PROOF_INCOMPLETE]
            assert seen(block) == []


def test_44_blocks_of_good_and_bad_answers_are_the_same_in_every_context() -> None:
    """`Lab` executes each block three times and raises where two differ."""
    lab = lab_asking(look(NUMBER), look(relay_keys.para_head(A), relay_keys.para_head(HEADLESS), source=None))
    good, relay = items_for(lab, B)
    bad = replace(good, nodes=good.nodes[:-1])
    block = lab.build(B, [inherent(bad, relay), lambda: queries.submit_answer(SOMEBODY, good)])
    shown = seen(block)
    assert shown[0][relay_keys.para_head(HEADLESS)] is None
    assert shown[0][relay_keys.para_head(A)] is not None
    assert shown[1] == {NUMBER: u32.encode(2)}
    assert refusals(block) == [Refusal.PROOF_INCOMPLETE]


def test_47_a_reorganisation_between_fetching_and_authoring() -> None:
    """An answer against a head that the fork does not have is refused, and the query answered on the fork."""
    lab = lab_asking(look(NUMBER))
    fork_point = lab.relay.best
    lab.step(only=[A])
    stale = items_for(lab, B)
    other = lab.build(A, [lambda: storage.set(b"only on this fork", b"")], on=fork_point)
    fork = lab.relay.include({A: other.header}, parent=fork_point)
    block = lab.build(B, [inherent(*stale)], on=fork)
    assert refusals(block) == [Refusal.HEAD_HEAD_MISMATCH]
    assert seen(lab.build(B, [inherent(*items_for(lab, B, fork))], on=fork)) == [{NUMBER: u32.encode(3)}]


def test_47_a_fork_on_which_the_sibling_is_not_as_far_answers_later() -> None:
    """The query was opened when the sibling was at block 3; a fork has it at 2."""
    lab = Lab((A, B))
    lab.step()
    short = lab.relay.best
    lab.step(only=[A])
    asked = lab.build(B, [look(NUMBER)])
    fork = lab.relay.include({B: asked.header}, parent=short)
    assert items_for(lab, B, fork) == ()
    again = lab.build(A, on=fork)
    longer = lab.relay.include({A: again.header}, parent=fork)
    block = lab.build(B, [inherent(*items_for(lab, B, longer))], on=longer)
    assert seen(block) == [{NUMBER: u32.encode(2)}]


def test_48_every_block_between_two_relay_blocks_can_be_asked_for() -> None:
    """Three blocks of A are included at once; the relay state only ever has the third."""
    lab = Lab((A, B))
    lab.step()
    parent = lab.relay.best
    headers = []
    for _ in range(3):
        headers.append(
            lab.build(A, on=replace(parent, heads={**parent.heads, A: _last(headers, parent)})).header
        )
    lab.relay.include({A: headers[-1]})
    lab.step({B: [look(NUMBER, at=number) for number in (2, 3, 4)]}, only=[B])
    block = step_only(lab)
    assert seen(block) == [{NUMBER: u32.encode(number)} for number in (2, 3, 4)]


def _last(headers: Sequence[Header], relay: LabRelayBlock) -> bytes:
    return headers[-1].encode() if headers else relay.heads[A]


def step_only(lab: Lab) -> LabBlock:
    return lab.step({B: [inherent(*items_for(lab, B))]}, only=[B])[B]


def test_48_a_proof_survives_the_siblings_next_blocks() -> None:
    """What was fetched against head H is taken when H is the grandparent of the newest, by headers between."""
    lab = lab_asking(look(NUMBER))
    (item,) = items_for(lab, B)
    cited = Header.decode(lab.relay.best.heads[A])
    lab.step(only=[A])
    between = Header.decode(lab.relay.best.heads[A])
    lab.step(only=[A])
    assert refusals(lab.build(B, [inherent(item)])) == [Refusal.HEAD_HEAD_MISMATCH]
    survived = replace(item, head=HeaderChain((between.encode(), cited.encode())))
    block = lab.step({B: [inherent(survived)]}, only=[B])[B]
    assert seen(block) == [{NUMBER: u32.encode(2)}]
    # And once something was taken under it, the head is remembered: the next proof cites it by its hash.
    lab.step({B: [lambda: queries.ask(NAME, A, Keys((NUMBER,)), at=2)]}, only=[B])
    again = replace(item, id=2, head=RememberedHead(cited.hash()))
    assert seen(lab.build(B, [inherent(again)])) == [{NUMBER: u32.encode(2)}]


def test_47_what_a_relayer_prepares_stays_good_while_the_sibling_goes_on() -> None:
    """Answers, and messages as well, against a head that was noted: the sibling has moved on when they come in."""
    lab = Lab((A, B))
    lab.step({A: [lab.send(B, payload=b"for a relayer")]})

    def block_of_b(*actions: Action) -> LabBlock:
        """Without what B's own collator would bring."""
        built = lab.build(B, actions, items=())
        lab.relay.include({B: built.header})
        return built

    block_of_b(look(NUMBER))
    fresh = Header.decode(lab.relay.best.heads[A])
    noted = block_of_b(lambda: queries.note_head(SOMEBODY, A))
    assert noted.of(HeadNoted) == [HeadNoted(A, fresh.number, fresh.hash())]
    (answer,) = items_for(lab, B)
    prepared = lab.item(A, B, lab.batch(A, B, 1, 1), head=fresh, reference=RememberedHead(fresh.hash()))
    for _ in range(3):
        lab.step(only=[A])
    late = replace(answer, head=RememberedHead(fresh.hash()))
    block = lab.build(
        B,
        [
            lambda: queries.submit_answer(SOMEBODY, answer),
            lambda: queries.submit_answer(SOMEBODY, late),
            lambda: demo.state_messaging.submit(SOMEBODY, prepared),
            lambda: queries.note_head(SOMEBODY, HEADLESS),
        ],
        items=(),
    )
    assert refusals(block) == [Refusal.HEAD_HEAD_MISMATCH]
    assert seen(block) == [{NUMBER: u32.encode(fresh.number)}]
    assert [e.nonce for e in block.of(MessageConsumed) if isinstance(e, MessageConsumed)] == [1]
    assert isinstance(block.results[3], ModuleError)


def test_52_pages_of_a_long_map_within_the_limits() -> None:
    """A map of 600 entries, page by page; the walk asks with what it was told."""
    fill = [
        lambda i=i: storage.set(b"map/" + i.to_bytes(2, "big"), bytes([i % 251]) * 40) for i in range(600)
    ]
    lab = Lab((A, B))
    lab.step({A: fill})
    lab.step()
    found: dict[bytes, bytes | None] = {}
    after = None
    for _ in range(3):
        lab.step({B: [lambda after=after: lookout.survey(SOMEBODY, A, b"map/", after, 256)]})
        (page,) = seen(step(lab)[B])
        found |= page
        after = max(page)
    assert len(found) == 600


def test_54_a_collator_whose_relay_state_is_gone_neither_asks_nor_answers() -> None:
    lab = lab_asking(look(NUMBER))
    lab.relay.database.state_at(lab.relay.best.root)
    gone = replace(lab.relay.best, root=bytes(32))
    with pytest.raises(StateUnavailable):
        lab[B].build(gone, lab.relay, [look(NUMBER)], [])


# Assets.


def transfer(
    dest: int, amount: int, *, home: int, to: bytes = BOB, timeout: int | None = None, by: bytes = ALICE
) -> Action:
    origin = Origin(OriginKind.SIGNED, by)
    return lambda: assets.transfer(origin, dest, home, to, amount, timeout)


def conserved(lab: Lab) -> None:
    """The books of all chains at the heads that the best relay block has."""
    check_conservation(
        {
            para: read_book(lab[para].nodes, Header.decode(head).state_root)
            for para, head in lab.relay.best.heads.items()
        }
    )


def settled(blocks: Sequence[LabBlock]) -> list[Outcome]:
    return [
        Outcome(event.outcome)
        for block in blocks
        for event in block.events
        if isinstance(event, TransferSettled)
    ]


def test_29_assets_go_out_come_back_time_out_and_are_refused() -> None:
    lab = Lab((A, B, C))
    lab.step()
    unit = demo.UNIT
    now = lab.relay.best.time
    blocks: list[LabBlock] = []

    def run(actions: dict[int, list[Action]] | None = None, count: int = 1) -> None:
        for _ in range(count):
            blocks.extend(lab.step(actions).values())
            conserved(lab)
            actions = None

    run(
        {
            A: [
                transfer(B, 5 * unit, home=A),
                transfer(C, unit, home=A),
                transfer(B, 9 * unit, home=A, timeout=now + SLOT),
            ]
        }
    )
    run(count=4)
    assert lab[B].read(lambda: assets.Foreign.get(A, BOB)) == 5 * unit
    assert lab[A].read(lambda: assets.Locked.get(B)) == 5 * unit
    assert sorted(settled(blocks)) in ([0, 0, Outcome.EXPIRED], [0, 0, Outcome.TIMED_OUT])

    # Back home; what is not there cannot go, and a third chain is no way.
    run(
        {
            B: [
                transfer(A, 2 * unit, home=A, to=ALICE, by=BOB),
                transfer(A, 4 * unit, home=A, by=BOB),
                transfer(C, 1, home=A, by=BOB),
            ]
        }
    )
    assert [result is None for result in next(b for b in blocks[::-1] if len(b.results) == 3).results] == [
        True,
        False,
        False,
    ]
    run(count=4)
    assert lab[A].read(lambda: assets.Locked.get(B)) == 3 * unit
    received = [event for block in blocks for event in block.of(TransferReceived)]
    assert len(received) == 3


def test_29_a_sibling_that_forges_transfers_takes_nothing() -> None:
    """B's runtime sends what its assets pallet would not: more than was locked, another chain's token, an account's."""
    from runtime.pallets.assets import AssetMessage
    from runtime.pallets.state_messaging.types import MessageBody

    lab = Lab((A, B, C))
    lab.step({A: [transfer(B, demo.UNIT, home=A)]})
    lab.step()
    before = lab[A].read(lambda: demo.balances.free_balance(BOB))

    def forged(sender: bytes, home: int, amount: int) -> Action:
        payload = AssetMessage(1, home, ALICE, BOB, amount).encode()
        return lambda: demo.state_messaging.send_message(A, 0, MessageBody(sender, b"assets", None, payload))

    lab.step({B: [forged(b"assets", A, 2 * demo.UNIT), forged(b"assets", C, 1), forged(ALICE, A, demo.UNIT)]})
    consumed = [
        Outcome(event.outcome)
        for _ in range(2)
        for event in lab.step()[A].events
        if isinstance(event, MessageConsumed)
    ]
    assert consumed == [Outcome.FAILED] * 3
    assert lab[A].read(lambda: demo.balances.free_balance(BOB)) == before


def test_49_value_is_conserved_when_blocks_are_built_and_never_included() -> None:
    lab = Lab((A, B))
    lab.step()
    lab.step({A: [transfer(B, demo.UNIT, home=A)]})
    for _ in range(3):
        for para in (A, B):
            lab.build(para, [transfer(A + B - para, demo.UNIT, home=para)])
        conserved(lab)
    for _ in range(4):
        lab.step()
        conserved(lab)
    assert lab[B].read(lambda: assets.Foreign.get(A, BOB)) == demo.UNIT
    assert lab[A].read(lambda: assets.Transit.contains_key((B, 0, 1))) is False


def test_51_assets_and_queries_leave_no_state_behind() -> None:
    def entries(lab: Lab, para: int) -> list[bytes]:
        def walk() -> list[bytes]:
            found = []
            for prefix in (assets.Locked.prefix[:16], queries.Queries.prefix[:16]):
                key = storage.next_key(prefix)
                while key is not None and key.startswith(prefix):
                    found.append(key)
                    key = storage.next_key(key)
            return found

        result = lab[para].read(walk)
        assert isinstance(result, list)
        return result

    lab = Lab((A, B))
    lab.step()
    lab.step({B: [look(NUMBER)]})
    step(lab)
    baseline = {para: entries(lab, para) for para in (A, B)}
    for _ in range(5):
        step(lab, {A: [transfer(B, demo.UNIT, home=A)], B: [look(NUMBER), look(b"x")]})
    for _ in range(6):
        step(lab, {})
    lab.step({B: [transfer(A, 5 * demo.UNIT, home=A, by=BOB)]})
    for _ in range(6):
        step(lab, {})
    assert {para: entries(lab, para) for para in (A, B)} == baseline


def question_sizes() -> list[Question]:
    return [Keys((NUMBER,)), Page(demo.system.BlockHash.prefix, None, 4)]


@pytest.mark.parametrize("question", question_sizes())
def test_25_what_an_answer_alone_shows_is_decided_before_its_proof_is_touched(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_asking(lambda: queries.ask(NAME, A, question))
    (item,) = items_for(lab, B)

    def untouchable(*_: object, **__: object) -> object:
        raise AssertionError("the proof was looked at")

    monkeypatch.setattr("runtime.pallets.state_query.verify.verify_proof", untouchable)
    monkeypatch.setattr("runtime.pallets.state_query.verify.verify_subtree", untouchable)
    monkeypatch.setattr("runtime.pallets.state_query.pallet.resolve_head", untouchable)
    for bad in (
        replace(item, id=7),
        replace(item, head=None),
        replace(item, nodes=item.nodes[::-1]),
        replace(item, nodes=(*item.nodes, item.nodes[-1])),
        replace(item, nodes=(bytes(300_000),)),
        replace(item, head=HeaderChain((b"",) * 65)),
    ):
        assert len(refusals(lab.build(B, [inherent(bad)]))) == 1
