"""The query pallet on real tries: what is asked, what is answered, and each reason for which an answer is refused.

A sibling is a chain of hand-made states that keep ``System::BlockHash``; the relay state holds its newest head. The
asking chain is the demo runtime, inside a block. Nothing in between is mocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.errors import StateUnavailable
from host_functions.interfaces import storage
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayStateReader
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.chains import demo
from runtime.pallets.lookout import NAME, Seen
from runtime.pallets.state_query.events import AnswerRefused, QueryAnswered, QueryExpired, QueryOpened
from runtime.pallets.state_query.handler import Answered, QueryHandler
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS
from runtime.pallets.state_query.pallet import ASK_WEIGHT, POT, StateQuery
from runtime.pallets.state_query.types import (
    VERSION,
    AnswerItem,
    Keys,
    Page,
    PageAnswer,
    Query,
    QueryInherent,
)
from runtime.pallets.state_query.verify import Refusal, of_head
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.digest import Other
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.parachain import PersistedValidationData
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE, BadOrigin, ModuleError, Origin, OriginKind, TokenError
from runtime.support.sibling_ancestry import (
    BlockHashWindow,
    HeaderChain,
    HeadReference,
    HeadRefusal,
    NewestHead,
    RememberedHead,
    block_hash_key,
)
from runtime.support.weights import Weight
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof
from runtime.trie.subtree import create_subtree_proof

ME, SIBLING, STRANGER, HEADLESS = 2001, 2000, 2999, 2500
ALICE = Origin(OriginKind.SIGNED, bytes(range(32)))
WHO = bytes(range(32))
NOW, HEIGHT = 50, 9
MAP = b"map/"
queries, lookout, system, balances = demo.state_query, demo.lookout, demo.system, demo.balances


@dataclass(frozen=True)
class Sibling:
    """A sibling's headers by number and the nodes of all its states."""

    headers: tuple[Header, ...]
    nodes: dict[bytes, bytes]

    @property
    def newest(self) -> Header:
        return self.headers[-1]

    def keys(
        self, query_id: int, *keys: bytes, at: int = HEIGHT, head: HeadReference | None = None
    ) -> AnswerItem:
        nodes = create_proof(self.nodes, self.headers[at].state_root, keys, LAYOUT_V1)
        return AnswerItem(query_id, head or self.reference(at), nodes)

    def page(self, query_id: int, page: Page, at: int = HEIGHT) -> AnswerItem:
        nodes = create_subtree_proof(
            self.nodes,
            self.headers[at].state_root,
            page.prefix,
            LAYOUT_V1,
            after=page.after,
            max_entries=page.max_entries,
        )
        return AnswerItem(query_id, self.reference(at), nodes)

    def reference(self, at: int) -> HeadReference:
        return NewestHead(self.newest.hash()) if at == HEIGHT else self.window(at)

    def window(self, at: int) -> BlockHashWindow:
        proof = create_proof(self.nodes, self.newest.state_root, [block_hash_key(at)], LAYOUT_V1)
        return BlockHashWindow(self.headers[at].encode(), proof)

    def chain(self, at: int) -> HeaderChain:
        return HeaderChain(tuple(self.headers[number].encode() for number in range(HEIGHT - 1, at - 1, -1)))


def entries_at(number: int) -> dict[bytes, bytes]:
    """State of block ``number``: a map of ten entries, a counter, a long value."""
    return {
        **{b"filler" + bytes([index]): bytes([index]) * 40 for index in range(50)},
        **{MAP + bytes([index]): b"%d at %d" % (index, number) for index in range(10)},
        b"counter": b"%d" % number,
        b"long": bytes(70_000),
    }


@cache
def sibling() -> Sibling:
    nodes: dict[bytes, bytes] = {}
    headers: list[Header] = []
    for number in range(HEIGHT + 1):
        entries = entries_at(number)
        entries.update({block_hash_key(old): header.hash() for old, header in enumerate(headers)})
        root, new = build_state(Storage(entries))
        nodes.update(new)
        headers.append(Header(headers[-1].hash() if headers else bytes(32), number, root, bytes(32)))
    return Sibling(tuple(headers), nodes)


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        if root not in self:
            raise StateUnavailable(root)
        return self


RELAY_ENTRIES = {
    relay_keys.para_head(SIBLING): byte_vec.encode(sibling().newest.encode()),
    relay_keys.para_head(HEADLESS): byte_vec.encode(b"no header"),
    relay_keys.CURRENT_SLOT: bytes(8),
    b"big": bytes(70_000),
    **{b"relay %d" % index: bytes([index]) * 40 for index in range(40)},
}
RELAY_ROOT, RELAY_NODES = build_state(Storage(RELAY_ENTRIES))


def embedded() -> RelayStateReader:
    return EmbeddedRelayNode(Database(RELAY_NODES), RELAY_ROOT)


def carried() -> RelayStateReader:
    keys = [*RELAY_ENTRIES, relay_keys.para_head(STRANGER), b"absent"]
    return CarriedProof(RELAY_ROOT, create_proof(RELAY_NODES, RELAY_ROOT, keys, LAYOUT_V1))


FORMS = pytest.mark.parametrize("relay", [embedded, carried])


@contextmanager
def asking(relay: Callable[[], RelayStateReader] = embedded) -> Iterator[Externalities]:
    """Inside block `NOW` of the asking chain."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, relay()).externalities():
        demo.parachain_info.ParachainId.put(ME)
        system.Number.put(NOW)
        system.ExecutionPhase.put(ApplyExtrinsic(2))
        balances.endow(WHO, 10 * demo.UNIT)
        demo.parachain_system.ValidationData.put(PersistedValidationData(b"", 7, RELAY_ROOT, 1 << 20))
        yield state


def events(kind: type) -> list[object]:
    raw = storage.get(system.Events.key())
    records = [] if raw is None else demo.pallets.decode_events(raw)
    return [record.event for record in records if isinstance(record.event, kind)]


def answer(*items: AnswerItem, version: int = VERSION) -> None:
    """The inherent of one block."""
    queries.answer(NONE, QueryInherent(version, items))
    queries.on_finalize(NOW)


def look(*keys: bytes, source: int | None = SIBLING, at: int | None = None) -> int:
    lookout.look(ALICE, source, at, keys)
    return queries.NextId.get() - 1


def survey(page: Page, source: int | None = SIBLING) -> int:
    lookout.survey(ALICE, source, page.prefix, page.after, page.max_entries)
    return queries.NextId.get() - 1


def seen() -> list[tuple[tuple[bytes, bytes | None], ...]]:
    return [event.entries for event in events(Seen) if isinstance(event, Seen)]


def reasons() -> list[Refusal]:
    return [Refusal(event.reason) for event in events(AnswerRefused) if isinstance(event, AnswerRefused)]


# Answers.


@FORMS
def test_keys_are_answered_and_absence_is_told_from_presence(relay: Callable[[], RelayStateReader]) -> None:
    with asking(relay):
        query = look(b"counter", b"no such key", MAP)
        assert [entry[0] for entry in queries.open_queries()] == [query]
        answer(sibling().keys(query, b"counter", b"no such key", MAP))
        assert seen() == [((b"counter", b"9"), (MAP, None), (b"no such key", None))]
        assert events(QueryAnswered) == [QueryAnswered(query, sibling().newest.hash(), 1, 2, True)]
        assert queries.open_queries() == ()
        assert not queries.OpenByAsker.contains_key(NAME)


@FORMS
def test_a_map_is_surveyed_page_by_page_to_its_end(relay: Callable[[], RelayStateReader]) -> None:
    with asking(relay):
        found: list[tuple[bytes, bytes | None]] = []
        after = None
        for _ in range(3):
            page = Page(MAP, after, 4)
            query = survey(page)
            answer(sibling().page(query, page))
            found += seen()[-1]
            after = found[-1][0]
        assert found == [
            (key, value) for key, value in sorted(entries_at(HEIGHT).items()) if key.startswith(MAP)
        ]


def test_a_page_says_whether_there_is_more() -> None:
    kept: list[Answered] = []

    class Keeper(QueryHandler):
        def on_answer(self, answered: Answered) -> None:
            kept.append(answered)

    with asking(), registered(b"keeper", Keeper()):
        for page in (Page(MAP, None, 10), Page(MAP, None, 9), Page(MAP + b"\xff", None, 5)):
            query = queries.ask(b"keeper", SIBLING, page, context=b"mine")
            answer(sibling().page(query, page))
    answers = [answered.answer for answered in kept]
    assert [len(a.entries) for a in answers if isinstance(a, PageAnswer)] == [10, 9, 0]
    assert [a.next_key for a in answers if isinstance(a, PageAnswer)] == [None, MAP + bytes([9]), None]
    assert {answered.query.context for answered in kept} == {b"mine"}
    assert {answered.head.number for answered in kept if answered.head} == {HEIGHT}


@FORMS
@pytest.mark.parametrize("at", [0, 5, 8, 9])
def test_a_named_height_is_answered_from_that_block_by_either_kind_of_ancestry(
    relay: Callable[[], RelayStateReader], at: int
) -> None:
    references: list[HeadReference] = [sibling().reference(at)]
    if at < HEIGHT:
        references.append(sibling().chain(at))
    for reference in references:
        with asking(relay):
            query = look(b"counter", at=at)
            answer(sibling().keys(query, b"counter", at=at, head=reference))
            assert seen() == [((b"counter", b"%d" % at),)]


def test_an_answer_made_before_the_sibling_moved_on_is_still_taken() -> None:
    """A query was opened at head 7; the proof against 7 comes when 9 is the newest."""
    with asking():
        query = look(b"counter")
        stored = queries.Queries.get(query)
        assert stored is not None
        queries.Queries.insert(query, replace(stored, not_before=7))
        answer(sibling().keys(query, b"counter", at=7))
        assert seen() == [((b"counter", b"7"),)]


@FORMS
def test_relay_state_is_read_through_the_same_query(relay: Callable[[], RelayStateReader]) -> None:
    with asking(relay):
        query = look(relay_keys.CURRENT_SLOT, b"absent", source=None)
        answer(AnswerItem(query, None, ()))
        assert seen() == [((relay_keys.CURRENT_SLOT, bytes(8)), (b"absent", None))]
        assert events(QueryAnswered) == [QueryAnswered(query, None, 1, 1, True)]


@FORMS
def test_a_map_of_relay_state_is_proven_against_the_relay_parent(
    relay: Callable[[], RelayStateReader],
) -> None:
    page = Page(b"relay ", None, 100)
    with asking(relay):
        query = survey(page, source=None)
        nodes = create_subtree_proof(RELAY_NODES, RELAY_ROOT, page.prefix, LAYOUT_V1, max_entries=100)
        answer(AnswerItem(query, None, nodes))
        assert dict(seen()[0]) == {k: v for k, v in RELAY_ENTRIES.items() if k.startswith(b"relay ")}


def test_anyone_may_bring_an_answer() -> None:
    with asking():
        query = look(b"counter")
        with pytest.raises(BadOrigin):
            queries.submit_answer(NONE, sibling().keys(query, b"counter"))
        queries.submit_answer(ALICE, sibling().keys(query, b"counter"))
        assert seen() == [((b"counter", b"9"),)]


# The life of a query.


def test_the_deposit_is_held_until_the_query_is_closed() -> None:
    with asking():
        before = balances.free_balance(WHO)
        query = look(b"counter")
        assert balances.free_balance(WHO) == before - demo.QUERY_DEPOSIT
        assert balances.free_balance(POT) == demo.QUERY_DEPOSIT
        answer(sibling().keys(query, b"counter"))
        assert balances.free_balance(WHO) == before
        assert balances.free_balance(POT) == 0


def test_an_answer_counts_once() -> None:
    with asking():
        query = look(b"counter")
        answer(sibling().keys(query, b"counter"))
        answer(sibling().keys(query, b"counter"))
        queries.submit_answer(ALICE, sibling().keys(query, b"counter"))
        assert len(seen()) == 1
        assert reasons() == [Refusal.UNKNOWN_QUERY, Refusal.UNKNOWN_QUERY]


def test_a_query_expires_with_a_callback_and_gives_the_deposit_back() -> None:
    expired: list[int] = []

    class Impatient(QueryHandler):
        def on_expired(self, query_id: int, query: Query) -> None:
            expired.append(query_id)

    with asking(), registered(b"impatient", Impatient()):
        before = balances.free_balance(WHO)
        query = queries.ask(b"impatient", SIBLING, Keys((b"k",)), lifetime=3, depositor=WHO)
        queries.on_initialize(NOW + 3)
        assert expired == []
        system.Number.put(NOW + 3)
        weight = queries.on_initialize(NOW + 4)
        assert expired == [query]
        assert weight.proof_size >= Impatient.answer_weight.proof_size
        assert events(QueryExpired) == [QueryExpired(query, True)]
        assert balances.free_balance(WHO) == before
        answer(sibling().keys(query, b"k"))
        assert reasons() == [Refusal.UNKNOWN_QUERY]


def test_expiry_is_bounded_per_block_and_what_is_left_takes_no_answer() -> None:
    bound = DEFAULT_QUERY_LIMITS.max_expiries_per_block
    with asking():
        for _ in range(bound + 2):
            queries.ask(NAME, SIBLING, Keys((b"counter",)), lifetime=1)
        system.Number.put(NOW + 2)
        queries.on_initialize(NOW + 2)
        assert len(queries.Open.get()) == 2
        left = queries.Open.get()[0][0]
        assert queries.open_queries() == ()
        answer(sibling().keys(left, b"counter"))
        assert reasons() == [Refusal.EXPIRED]
        queries.on_initialize(NOW + 3)
        assert not queries.Open.exists()


def test_what_a_failing_handler_did_is_undone_and_the_query_is_closed() -> None:
    class Failing(QueryHandler):
        def on_answer(self, answered: Answered) -> None:
            storage.set(b"half done", b"")
            raise TokenError(TokenError.Kind.BELOW_MINIMUM)

        def on_expired(self, query_id: int, query: Query) -> None:
            raise TokenError(TokenError.Kind.BELOW_MINIMUM)

    with asking(), registered(b"failing", Failing()):
        query = queries.ask(b"failing", SIBLING, Keys((b"counter",)))
        answer(sibling().keys(query, b"counter"))
        assert storage.get(b"half done") is None
        assert events(QueryAnswered) == [QueryAnswered(query, sibling().newest.hash(), 1, 0, False)]
        late = queries.ask(b"failing", SIBLING, Keys((b"counter",)), lifetime=1)
        queries.on_initialize(NOW + 2)
        assert events(QueryExpired) == [QueryExpired(late, False)]
        assert not queries.Open.exists()


def test_a_handler_may_ask_again_and_a_removed_one_is_no_panic() -> None:
    class Again(QueryHandler):
        def on_answer(self, answered: Answered) -> None:
            queries.ask(b"again", SIBLING, Keys((b"counter",)))

    with asking():
        with registered(b"again", Again()):
            first = queries.ask(b"again", SIBLING, Keys((b"counter",)))
            answer(sibling().keys(first, b"counter"))
        (second,) = [entry[0] for entry in queries.open_queries()]
        answer(sibling().keys(second, b"counter"))
        assert [event.handled for event in events(QueryAnswered) if isinstance(event, QueryAnswered)] == [
            True,
            False,
        ]


@contextmanager
def registered(name: bytes, handler: QueryHandler) -> Iterator[None]:
    queries.register(name, handler)
    try:
        yield
    finally:
        del queries.handlers[name]


# Refusals of `ask`.

LIMITS = DEFAULT_QUERY_LIMITS


@pytest.mark.parametrize(
    "error, arguments",
    [
        ("NoHandler", {"asker": b"nobody"}),
        ("SourceIsSelf", {"source": ME}),
        ("UnknownSource", {"source": STRANGER}),
        ("UnknownSource", {"source": HEADLESS}),
        ("HeightOfRelayChain", {"source": None, "at": 3}),
        ("QuestionTooLarge", {"question": Keys(tuple(bytes([0, i]) for i in range(LIMITS.max_keys + 1)))}),
        ("QuestionTooLarge", {"question": Keys((bytes(LIMITS.max_key_bytes + 1),))}),
        ("QuestionTooLarge", {"question": Page(b"", None, LIMITS.max_page_entries + 1)}),
        ("QuestionTooLarge", {"question": Page(bytes(LIMITS.max_key_bytes + 1), None, 1)}),
        ("QuestionTooLarge", {"question": Page(b"", bytes(LIMITS.max_key_bytes + 1), 1)}),
        ("QuestionTooLarge", {"context": bytes(LIMITS.max_context_bytes + 1)}),
        ("QuestionMalformed", {"question": Keys(())}),
        ("QuestionMalformed", {"question": Keys((b"b", b"a"))}),
        ("QuestionMalformed", {"question": Keys((b"a", b"a"))}),
        ("QuestionMalformed", {"question": Page(b"map/", None, 0)}),
        ("QuestionMalformed", {"question": Page(b"map/", b"mar/", 1)}),
        ("QuestionMalformed", {"question": Page(b"map/", b"", 1)}),
        ("LifetimeOutOfRange", {"lifetime": 0}),
        ("LifetimeOutOfRange", {"lifetime": LIMITS.max_lifetime + 1}),
        ("LifetimeOutOfRange", {"lifetime": 2**64}),
    ],
)
def test_each_refusal_of_a_question(error: str, arguments: dict[str, object]) -> None:
    full = {"asker": NAME, "source": SIBLING, "question": Keys((b"k",))} | arguments
    with asking(), pytest.raises(ModuleError) as caught:
        queries.ask(**full)  # type: ignore[arg-type]
    assert caught.value.error.name == error


def test_a_height_out_of_reach_is_refused_when_asked() -> None:
    newest = replace(sibling().newest, number=1_000)
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(newest.encode())}))
    with asking(lambda: EmbeddedRelayNode(Database(nodes), root)):
        queries.ask(NAME, SIBLING, Keys((b"k",)), at=744)
        queries.ask(NAME, SIBLING, Keys((b"k",)), at=2**32 - 1)
        with pytest.raises(ModuleError) as caught:
            queries.ask(NAME, SIBLING, Keys((b"k",)), at=743)
    assert caught.value.error.name == "HeightTooOld"


def test_open_queries_are_bounded_for_an_asker_and_for_all() -> None:
    with asking():
        for _ in range(LIMITS.max_open_per_asker):
            queries.ask(NAME, SIBLING, Keys((b"k",)))
        with pytest.raises(ModuleError, match="TooManyOpen"):
            queries.ask(NAME, SIBLING, Keys((b"k",)))
        askers = [b"asker %d" % index for index in range(3)]
        for asker in askers:
            with registered(asker, QueryHandler()):
                for _ in range(LIMITS.max_open_per_asker):
                    queries.ask(asker, SIBLING, Keys((b"k",)))
        assert len(queries.Open.get()) == LIMITS.max_open
        with registered(b"one more", QueryHandler()), pytest.raises(ModuleError, match="TooManyOpen"):
            queries.ask(b"one more", SIBLING, Keys((b"k",)))


def test_nobody_asks_without_the_deposit() -> None:
    with asking(), pytest.raises(TokenError):
        queries.ask(NAME, SIBLING, Keys((b"k",)), depositor=bytes(32))


def test_a_relay_node_that_lost_its_state_is_not_an_unknown_source() -> None:
    def pruned() -> RelayStateReader:
        return EmbeddedRelayNode(Database({RELAY_ROOT: RELAY_NODES[RELAY_ROOT]}), RELAY_ROOT)

    with asking(pruned), pytest.raises(StateUnavailable):
        queries.ask(NAME, SIBLING, Keys((b"k",)))


# Refusals of an answer.

ITEM = sibling().keys(1, b"counter")
JUNK = bytes(50)


def with_nodes(*nodes: bytes) -> AnswerItem:
    return replace(ITEM, nodes=nodes)


@pytest.mark.parametrize(
    "item, reason",
    [
        pytest.param(with_nodes(*(b"%4d" % i for i in range(1025))), "TOO_LARGE", id="1 025 nodes"),
        pytest.param(with_nodes(bytes(256 * 1024 + 1)), "TOO_LARGE", id="more than 256 KiB"),
        pytest.param(with_nodes(*ITEM.nodes[::-1]), "NODES_NOT_SORTED", id="unsorted"),
        pytest.param(with_nodes(*ITEM.nodes, ITEM.nodes[-1]), "NODES_NOT_SORTED", id="doubled node"),
        pytest.param(replace(ITEM, id=2), "UNKNOWN_QUERY", id="never asked"),
        pytest.param(replace(ITEM, id=2**64 - 1), "UNKNOWN_QUERY", id="largest id"),
        pytest.param(replace(ITEM, head=None), "WRONG_SOURCE", id="answer of the relay chain"),
        pytest.param(sibling().keys(1, b"counter", at=8), "TOO_EARLY", id="head from before the query"),
        pytest.param(with_nodes(*ITEM.nodes[1:]), "PROOF_INCOMPLETE", id="node left out"),
        pytest.param(with_nodes(), "PROOF_INCOMPLETE", id="no nodes"),
        pytest.param(with_nodes(*sorted((*ITEM.nodes, JUNK))), "UNUSED_NODE", id="junk node"),
        pytest.param(
            replace(ITEM, nodes=sibling().keys(1, b"counter", b"long").nodes),
            "UNUSED_NODE",
            id="key too many",
        ),
        pytest.param(
            replace(ITEM, nodes=sibling().keys(1, b"counter", at=8).nodes),
            "PROOF_INCOMPLETE",
            id="other block",
        ),
        pytest.param(
            replace(ITEM, head=NewestHead(sibling().headers[8].hash())), "HEAD_HEAD_MISMATCH", id="stale head"
        ),
        pytest.param(
            replace(ITEM, head=RememberedHead(sibling().headers[8].hash())),
            "HEAD_NOT_REMEMBERED",
            id="forgotten",
        ),
        pytest.param(replace(ITEM, head=HeaderChain(())), "HEAD_TOO_LARGE", id="empty header chain"),
        pytest.param(
            replace(ITEM, head=HeaderChain((sibling().headers[7].encode(),))),
            "HEAD_NOT_AN_ANCESTOR",
            id="gap",
        ),
        pytest.param(
            replace(ITEM, head=replace(sibling().window(8), header=b"?")), "HEAD_BAD_HEADER", id="no header"
        ),
        pytest.param(
            replace(ITEM, head=replace(sibling().window(8), nodes=())),
            "HEAD_PROOF_INCOMPLETE",
            id="bare window",
        ),
        pytest.param(
            replace(
                ITEM,
                head=replace(sibling().window(8), nodes=tuple(sorted((*sibling().window(8).nodes, JUNK)))),
            ),
            "HEAD_UNUSED_NODE",
            id="junk in the window",
        ),
    ],
)
def test_each_refusal_of_an_answer(item: AnswerItem, reason: str) -> None:
    for take in (lambda: answer(item), lambda: queries.submit_answer(ALICE, item)):
        with asking() as state:
            look(b"counter")
            before = len(events(AnswerRefused))
            take()
            assert reasons()[before:] == [Refusal[reason]]
            assert seen() == []
            assert [entry[0] for entry in queries.open_queries()] == [1]
            # The query is as good as before.
            answer(ITEM)
            assert seen() == [((b"counter", b"9"),)]
            assert state.storage_proof_size() > 0


def test_an_answer_for_another_height_or_question_is_refused() -> None:
    with asking():
        named = look(b"counter", at=7)
        answer(sibling().keys(named, b"counter", at=8))
        answer(sibling().keys(named, b"counter"))
        assert reasons() == [Refusal.WRONG_HEIGHT, Refusal.WRONG_HEIGHT]
        survey(Page(b"filler", None, 10))
        answer(sibling().page(2, Page(b"filler", None, 9)))
        answer(sibling().page(2, Page(b"filler", b"filler\x01", 10)))
        answer(sibling().page(2, Page(b"filler", None, 11)))
        assert reasons()[2:] == [Refusal.PROOF_INCOMPLETE, Refusal.PROOF_INCOMPLETE, Refusal.UNUSED_NODE]
        assert len(queries.open_queries()) == 2


def test_what_is_too_large_is_never_an_answer_and_expires() -> None:
    with asking():
        query = look(b"long")
        answer(sibling().keys(query, b"long"))
        page = survey(Page(b"lo", None, 5))
        answer(sibling().page(page, Page(b"lo", None, 5)))
        big = look(b"big", source=None)
        answer(AnswerItem(big, None, ()))
        assert reasons() == [Refusal.ANSWER_TOO_LARGE] * 3


def test_answers_of_the_relay_chain_have_no_superfluous_parts() -> None:
    with asking():
        keys, page = look(relay_keys.CURRENT_SLOT, source=None), survey(Page(b"relay ", None, 5), source=None)
        answer(AnswerItem(keys, None, (JUNK,)), AnswerItem(page, None, ()))
        answer(AnswerItem(keys, NewestHead(RELAY_ROOT), ()))
        assert reasons() == [Refusal.UNUSED_NODE, Refusal.PROOF_INCOMPLETE, Refusal.WRONG_SOURCE]


def test_a_malformed_node_under_a_correct_hash_is_named() -> None:
    """The sibling chooses its own root: its trie may be nonsense."""
    nonsense = b"\xff" * 40
    head = Header(bytes(32), 12, LAYOUT_V1.digest(nonsense), bytes(32))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(head.encode())}))
    with asking(lambda: EmbeddedRelayNode(Database(nodes), root)):
        query = look(b"counter")
        answer(AnswerItem(query, NewestHead(head.hash()), (nonsense,)))
        page = survey(Page(b"", None, 5))
        answer(AnswerItem(page, NewestHead(head.hash()), (nonsense,)))
        assert reasons() == [Refusal.PROOF_MALFORMED] * 2


def test_one_bad_answer_does_not_harm_the_others_of_its_block() -> None:
    with asking():
        ids = [look(b"counter") for _ in range(3)]
        good = [sibling().keys(query, b"counter") for query in ids]
        answer(good[0], replace(good[1], nodes=()), good[2])
        assert [event.id for event in events(QueryAnswered) if isinstance(event, QueryAnswered)] == [1, 3]
        assert reasons() == [Refusal.PROOF_INCOMPLETE]


def test_every_refusal_of_a_head_has_its_counterpart() -> None:
    assert {of_head(refusal).name for refusal in HeadRefusal} == {
        f"HEAD_{refusal.name}" for refusal in HeadRefusal
    }


# The inherent's outer rules.


@pytest.mark.parametrize(
    "inherent, message",
    [
        (QueryInherent(2, ()), "version 2"),
        (QueryInherent(VERSION, (ITEM, ITEM)), "strictly increasing"),
        (QueryInherent(VERSION, (replace(ITEM, id=2), ITEM)), "strictly increasing"),
        (QueryInherent(VERSION, tuple(AnswerItem(i, None, ()) for i in range(33))), "33 answers"),
        (
            QueryInherent(VERSION, tuple(AnswerItem(i, None, (bytes(255 * 1024),)) for i in range(7))),
            "larger than its share",
        ),
    ],
)
def test_an_inherent_that_breaks_the_outer_rules_invalidates_its_block(
    inherent: QueryInherent, message: str
) -> None:
    with asking(), pytest.raises(InvalidBlock, match=message):
        queries.answer(NONE, inherent)


def test_one_query_inherent_in_a_block() -> None:
    with asking():
        queries.answer(NONE, QueryInherent(VERSION, ()))
        with pytest.raises(InvalidBlock, match="more than one"):
            queries.answer(NONE, QueryInherent(VERSION, ()))
        with pytest.raises(BadOrigin):
            queries.answer(ALICE, QueryInherent(VERSION, ()))


# Paid extrinsics, as the executive admits them.


def test_extrinsics_are_paid_before_the_work_and_whatever_comes_of_it() -> None:
    calls = [
        queries.call_of(queries.submit_answer, replace(ITEM, nodes=())),
        queries.call_of(queries.submit_answer, ITEM),
        queries.call_of(queries.note_head, SIBLING),
        queries.call_of(queries.note_head, STRANGER),
    ]
    with asking():
        look(b"counter")
        results = []
        for call in calls:
            before = balances.free_balance(WHO)
            assert call.function.fee is not None
            fee = call.function.fee(*call.arguments)
            demo.RUNTIME.executive._charge(WHO, fee)
            error = demo.pallets.dispatch(call, ALICE)
            results.append((error is None, before - balances.free_balance(WHO) - fee))
        # The second one gave the deposit back.
        assert results == [(True, 0), (True, -demo.QUERY_DEPOSIT), (True, 0), (False, 0)]
        assert demo.state_messaging.remembered_head(SIBLING, sibling().newest.hash()) is not None


# Weight.


@FORMS
def test_the_declared_proof_size_covers_what_answers_read(relay: Callable[[], RelayStateReader]) -> None:
    page = Page(MAP, None, 10)
    relay_page = create_subtree_proof(RELAY_NODES, RELAY_ROOT, b"relay ", LAYOUT_V1, max_entries=100)
    cases: list[tuple[Callable[[], int], Callable[[int], AnswerItem]]] = [
        (lambda: look(b"counter"), lambda query: sibling().keys(query, b"counter")),
        (lambda: look(b"counter", at=3), lambda query: sibling().keys(query, b"counter", at=3)),
        (lambda: survey(page), lambda query: sibling().page(query, page)),
        (lambda: look(*list(RELAY_ENTRIES)[:30], source=None), lambda query: AnswerItem(query, None, ())),
        (
            lambda: survey(Page(b"relay ", None, 100), None),
            lambda query: AnswerItem(query, None, relay_page),
        ),
        (lambda: look(b"counter"), lambda query: replace(sibling().keys(query, b"counter"), nodes=(JUNK,))),
        (lambda: look(b"big", source=None), lambda query: AnswerItem(query, None, ())),
    ]
    for ask, reply in cases:
        with asking(relay) as state:
            item = reply(ask())
            before = state.storage_proof_size()
            queries.submit_answer(ALICE, item)
            read = state.storage_proof_size() - before
            assert read + item.proof_bytes() <= queries.item_weight(item).proof_size


def test_the_charge_covers_the_largest_head_and_question() -> None:
    """A hostile sibling fills its head; an asker asks for as much as it may."""
    fat = replace(sibling().newest, digest=(Other(bytes(20_200)),))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(fat.encode())}))
    keys = tuple(bytes([0, index]) * 128 for index in range(LIMITS.max_keys))
    proof = create_proof(sibling().nodes, fat.state_root, keys, LAYOUT_V1)
    for reader in (
        lambda: EmbeddedRelayNode(Database(nodes), root),
        lambda: CarriedProof(root, create_proof(nodes, root, [relay_keys.para_head(SIBLING)], LAYOUT_V1)),
    ):
        with asking(reader) as state:
            start = state.storage_proof_size()
            queries.ask(NAME, SIBLING, Keys(keys), context=bytes(LIMITS.max_context_bytes), depositor=WHO)
            assert 20_000 < state.storage_proof_size() - start <= ASK_WEIGHT.proof_size
        filled = Externalities.recording({}, LAYOUT_V1.empty_root)
        with AuthoringContext(filled, reader()).externalities():
            demo.parachain_info.ParachainId.put(ME)
            system.Number.put(NOW)
            queries.ask(NAME, SIBLING, Keys(keys), context=bytes(LIMITS.max_context_bytes))
        changes = filled.drain(1)
        state = Externalities.recording(changes.nodes, changes.root)
        with AuthoringContext(state, reader()).externalities():
            item = AnswerItem(1, NewestHead(fat.hash()), proof)
            queries.submit_answer(ALICE, item)
            storage.root(1)
            assert queries.Open.get() == ()
        read = state.storage_proof_size()
        assert 36_000 < read
        assert read + len(item.encode()) <= queries.item_weight(item).proof_size


def test_configurations_that_lose_money_or_names_are_refused() -> None:
    parts = (system, demo.parachain_info, demo.parachain_system, balances)
    with pytest.raises(ValueError, match="existential"):
        StateQuery(*parts, deposit=demo.EXISTENTIAL_DEPOSIT - 1)
    fresh = StateQuery(*parts)
    for name in (b"", bytes(33)):
        with pytest.raises(ValueError, match="name"):
            fresh.register(name, QueryHandler())
    fresh.register(b"one", QueryHandler())
    with pytest.raises(ValueError, match="name"):
        fresh.register(b"one", QueryHandler())


def test_the_dearest_handler_is_charged_with_every_answer_and_a_fee_taken() -> None:
    class Costly(QueryHandler):
        answer_weight = Weight(7, 10**6)

    before = queries.item_weight(ITEM)
    fee = queries.item_fee(ITEM)
    with registered(b"costly", Costly()):
        assert queries.item_weight(ITEM).proof_size >= before.proof_size + 900_000
        assert queries.item_fee(ITEM) > fee > 0


def test_what_is_opened_is_announced_and_decodes_as_an_api_answer() -> None:
    with asking():
        query = look(b"counter", b"a")
        assert events(QueryOpened) == [QueryOpened(query, NAME, SIBLING, None)]
        ((found_id, found),) = queries.open_queries()
        assert found_id == query
        assert found.question == Keys((b"a", b"counter"))
        assert found.not_before == HEIGHT
        assert Query.decode(found.encode()) == found
