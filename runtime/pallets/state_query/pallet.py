"""State queries: a pallet asks for a sibling's state, and is called back with what is proven to be there.

`StateQuery.ask` opens a query for keys or for a page of a prefix, at the sibling's newest included head or at a named
block. A collator finds it in our state, fetches the proof from a node of the sibling and brings it in an inherent;
anyone else may bring it in a signed extrinsic, and gets nothing for it. The pallet resolves the sibling's head
itself through ``read_relay_state``, reads the values out of the proof, closes the query and calls the asker.

The relay chain's own state is asked for in the same way: keys are read through ``read_relay_state`` while the answer
is taken, without a proof; pages come with a proof against the relay parent's storage root, since that host function
reads single keys only.

A bad answer is a no-op with an event that says why, and the query stays open; only an inherent that breaks the outer
rules invalidates its block. An unanswered query expires, which says nothing about the sibling. Not modelled: child
tries, rewards for relayers.

Source: the proposal; the protocol is Pileus's own (docs: "State queries").
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from runtime.pallets.balances import Balances
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.state_messaging.weights import DEFAULT_FEES, PATH, ItemFees
from runtime.pallets.state_query import verify
from runtime.pallets.state_query.events import (
    AnswerRefused,
    HeadNoted,
    QueryAnswered,
    QueryEvent,
    QueryExpired,
    QueryOpened,
)
from runtime.pallets.state_query.handler import Answered, QueryHandler
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS, QueryLimits
from runtime.pallets.state_query.types import (
    EMPTY_INHERENT,
    MAX_ASKER_LENGTH,
    VERSION,
    AnswerItem,
    Keys,
    KeysAnswer,
    PageAnswer,
    Query,
    QueryInherent,
    Question,
)
from runtime.pallets.state_query.verify import Refusal, Refused
from runtime.pallets.system import System
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.header import Header
from runtime.primitives.inherent import STATE_QUERY, InherentData
from runtime.primitives.scale import (
    U32,
    Codec,
    boolean,
    byte_vec,
    tuple_of,
    u32,
    u64,
    vec,
)
from runtime.support.dispatch import (
    DispatchError,
    Origin,
    call,
    ensure_none,
    ensure_signed,
    with_storage_layer,
)
from runtime.support.pallet import Call, Pallet
from runtime.support.sibling_ancestry import MAX_HEAD_BYTES, HeadReference, HeadRefused, resolve_head
from runtime.support.sibling_state import SiblingHead, sibling_head
from runtime.support.storage import StorageMap, StorageValue
from runtime.support.weights import DispatchClass, Weight
from runtime.trie.layout import LAYOUT_V1, Layout

POT = b"modlpy/query".ljust(32, b"\0")
"""Account that holds the deposits."""

ASK_WEIGHT = Weight(150_000_000, 10 * PATH + MAX_HEAD_BYTES)
"""Most that `StateQuery.ask` costs: the sibling's head, the list of open queries, a new entry, and two accounts for the
deposit. A call that asks once declares it.
"""

NOTE_HEAD_WEIGHT = Weight(80_000_000, 6 * PATH + MAX_HEAD_BYTES)

_open_list: Codec[tuple[tuple[int, int], ...]] = vec(tuple_of(u64, u32))


class HeadMemory(Protocol):
    """Where verified heads are kept for the next blocks: the messaging pallet."""

    def remembered_head(self, source: int, head_hash: bytes) -> SiblingHead | None:
        """A head of ``source`` that was verified before."""

    def note_head_used(self, source: int, head: SiblingHead) -> None:
        """Something was consumed under this head."""


class StateQuery(Pallet):
    """Questions to other chains' states."""

    NextId = StorageValue(u64, default=1)
    Queries = StorageMap(twox_64_concat, u64, Query.codec())
    Open = StorageValue(_open_list, default=())
    """(id, last block) of every open query, by id."""
    OpenByAsker = StorageMap(twox_64_concat, byte_vec, u32, default=0)
    DidAnswer = StorageValue(boolean)

    Event = QueryEvent

    class Error(enum.IntEnum):
        """Why `ask` refuses."""

        NoHandler = 0
        SourceIsSelf = 1
        UnknownSource = 2
        """The relay chain has no readable head for the parachain."""
        HeightTooOld = 3
        HeightOfRelayChain = 4
        """The relay chain's state is read at the relay parent only."""
        QuestionTooLarge = 5
        QuestionMalformed = 6
        """No keys, keys out of order, an empty page, or one that starts outside its prefix."""
        LifetimeOutOfRange = 7
        TooManyOpen = 8

    def __init__(
        self,
        system: System,
        parachain_info: ParachainInfo,
        parachain_system: ParachainSystem,
        balances: Balances,
        *,
        heads: HeadMemory | None = None,
        deposit: int = 0,
        limits: QueryLimits = DEFAULT_QUERY_LIMITS,
        sibling_layout: Layout = LAYOUT_V1,
        fees: ItemFees = DEFAULT_FEES,
    ) -> None:
        """``deposit`` is held from whoever a pallet names as depositor: zero, or at least the existential deposit,
        else `ValueError`; ``fees`` are those of `submit_answer`.
        """
        if 0 < deposit < balances.existential_deposit:
            raise ValueError(f"a deposit of {deposit} is below the existential deposit")
        self.fees = fees
        self.system = system
        self.parachain_info = parachain_info
        self.parachain_system = parachain_system
        self.balances = balances
        self.handlers: dict[bytes, QueryHandler] = {}
        self.heads = heads
        self.deposit = deposit
        self.limits = limits
        self.sibling_layout = sibling_layout

    def register(self, asker: bytes, handler: QueryHandler) -> None:
        """Name the handler of a pallet that asks, while the runtime is constructed. Raises `ValueError`."""
        if not 0 < len(asker) <= MAX_ASKER_LENGTH or asker in self.handlers:
            raise ValueError(f"{asker!r} is no new name of 1 to {MAX_ASKER_LENGTH} bytes")
        self.handlers[asker] = handler

    # Asking.

    def ask(
        self,
        asker: bytes,
        source: int | None,
        question: Question,
        *,
        at: int | None = None,
        context: bytes = b"",
        lifetime: int = 100,
        depositor: bytes | None = None,
    ) -> int:
        """Open a query for the pallet registered as ``asker``; its id. For other pallets; raises `DispatchError`.

        ``lifetime`` in our blocks. ``depositor`` lends the deposit until the query is closed.
        """
        limits = self.limits
        if asker not in self.handlers:
            raise self.fail(self.Error.NoHandler)
        self._check_question(question, context)
        if not 0 < lifetime <= limits.max_lifetime:
            raise self.fail(self.Error.LifetimeOutOfRange)
        open_queries, by_asker = self.Open.get(), self.OpenByAsker.get(asker)
        if len(open_queries) >= limits.max_open or by_asker >= limits.max_open_per_asker:
            raise self.fail(self.Error.TooManyOpen)
        not_before = self._check_source(source, at)
        held = 0
        if depositor is not None and self.deposit:
            self.balances.transfer(depositor, POT, self.deposit, keep_alive=True)
            held = self.deposit
        query_id = self.NextId.get()
        expires_at = self.system.Number.get() + lifetime
        query = Query(asker, source, at, question, context, not_before, expires_at, depositor, held)
        self.NextId.put(query_id + 1)
        self.Queries.insert(query_id, query)
        self.Open.put((*open_queries, (query_id, expires_at)))
        self.OpenByAsker.insert(asker, by_asker + 1)
        self.deposit_event(QueryOpened(query_id, asker, source, at))
        return query_id

    def _check_question(self, question: Question, context: bytes) -> None:
        limits = self.limits
        if isinstance(question, Keys):
            parts: tuple[bytes, ...] = question.keys
            malformed = not parts or any(first >= second for first, second in pairwise(parts))
            too_large = len(parts) > limits.max_keys
        else:
            prefix, after = question.prefix, question.after
            parts = (prefix,) if after is None else (prefix, after)
            malformed = not question.max_entries or not parts[-1].startswith(prefix)
            too_large = question.max_entries > limits.max_page_entries
        if too_large or len(context) > limits.max_context_bytes:
            raise self.fail(self.Error.QuestionTooLarge)
        if any(len(part) > limits.max_key_bytes for part in parts):
            raise self.fail(self.Error.QuestionTooLarge)
        if malformed:
            raise self.fail(self.Error.QuestionMalformed)

    def _check_source(self, source: int | None, at: int | None) -> int:
        """The sibling's newest block, 0 of the relay chain: no answer may be older."""
        if source is None:
            if at is not None:
                raise self.fail(self.Error.HeightOfRelayChain)
            return 0
        if source == self.parachain_info.ParachainId.get():
            raise self.fail(self.Error.SourceIsSelf)
        newest = self._newest(source)
        if newest is None:
            raise self.fail(self.Error.UnknownSource)
        if at is not None and newest.number - at > self.limits.ancestry.max_age:
            raise self.fail(self.Error.HeightTooOld)
        return newest.number

    def _newest(self, source: int) -> Header | None:
        try:
            return sibling_head(source)
        except ScaleError:
            return None

    # Answers.

    @call(
        0,
        weight="inherent_weight",
        dispatch_class=DispatchClass.MANDATORY,
    )
    def answer(self, origin: Origin, inherent: QueryInherent) -> None:
        """Take the author's answers. Inherent; at most one in a block."""
        ensure_none(origin)
        if self.DidAnswer.exists():
            raise InvalidBlock("query inherent: more than one in the block")
        self.DidAnswer.put(True)
        if inherent.version != VERSION:
            raise InvalidBlock(f"query inherent of version {inherent.version}, expected {VERSION}")
        if any(first.id >= second.id for first, second in pairwise(inherent.items)):
            raise InvalidBlock("query inherent: ids are not strictly increasing")
        if len(inherent.items) > self.limits.max_answers_per_block:
            raise InvalidBlock(f"query inherent: {len(inherent.items)} answers")
        if sum(item.proof_bytes() for item in inherent.items) > self.limits.max_inherent_bytes:
            raise InvalidBlock("query inherent: larger than its share of the PoV")
        for item in inherent.items:
            self._take(item)

    @call(1, weight="item_weight", fee="item_fee")
    def submit_answer(self, origin: Origin, item: AnswerItem) -> None:
        """Bring an answer that no collator brings, as anybody may, paid for beforehand. It succeeds also when the
        answer is refused (the event says why), so that the work is paid either way.
        """
        ensure_signed(origin)
        self._take(item)

    @call(2, weight=NOTE_HEAD_WEIGHT, fee="note_head_fee")
    def note_head(self, origin: Origin, source: U32) -> None:
        """Remember the sibling's newest included head, so that proofs against it stay good for a while.

        For relayers: they cannot know which head will be the newest when their extrinsic is in a block, so they have
        this one remembered first and then cite it. Messages and EVM logs can be proven under it as well.
        """
        ensure_signed(origin)
        newest = self._newest(source)
        if newest is None or self.heads is None:
            raise self.fail(self.Error.UnknownSource)
        head = SiblingHead.of(newest)
        self.heads.note_head_used(source, head)
        self.deposit_event(HeadNoted(source, head.number, head.hash))

    def note_head_fee(self, source: int) -> int:
        """What `note_head` costs, in the native token's smallest unit."""
        return self.fees.of(NOTE_HEAD_WEIGHT)

    def item_weight(self, item: AnswerItem) -> Weight:
        """Most that one answer costs, its handler included: from the item alone, charged before it is looked at."""
        proof = item.proof_bytes() + 8 * len(item.nodes) + self._own_reads()
        if item.head is None and not item.nodes:
            # Keys of relay state: paths and values, and one value beyond the limit as long as all together. A longer
            # one is refused; what it added is counted when the block's weight is settled.
            proof += 2 * self.limits.max_answer_bytes + self.limits.max_keys * PATH
        return Weight(60_000_000 + 4_000 * proof, proof) + self._dearest_handler()

    def inherent_weight(self, inherent: QueryInherent) -> Weight:
        """Of all answers."""
        return sum((self.item_weight(item) for item in inherent.items), Weight(20_000_000, 2 * PATH))

    def item_fee(self, item: AnswerItem) -> int:
        """What `submit_answer` costs, in the native token's smallest unit."""
        return self.fees.of(self.item_weight(item))

    def _own_reads(self) -> int:
        """Proof bytes of what closing a query touches, at most: the query itself, the list of open ones, two accounts,
        the ring of heads; and the sibling's head in relay state.
        """
        limits = self.limits
        query = limits.max_keys * (limits.max_key_bytes + 2) + limits.max_context_bytes + 200
        return 14 * PATH + query + 12 * limits.max_open + MAX_HEAD_BYTES

    def _dearest_handler(self) -> Weight:
        """Whose query an answer is for is not known before it is read."""
        weights = [handler.answer_weight for handler in self.handlers.values()]
        return Weight(
            max((weight.ref_time for weight in weights), default=0),
            max((weight.proof_size for weight in weights), default=0),
        )

    def _take(self, item: AnswerItem) -> None:
        try:
            answered = self._check(item)
        except Refused as refused:
            self.deposit_event(AnswerRefused(item.id, refused.refusal))
            return
        query = answered.query
        if query.source is not None and answered.head is not None and self.heads is not None:
            self.heads.note_head_used(query.source, answered.head)
        # Closed before the asker hears of it: whatever its handler does, this answer cannot come twice.
        self._close(item.id, query)
        handled = self._tell(query, lambda handler: handler.on_answer(answered))
        present, absent = _counts(answered.answer)
        head_hash = None if answered.head is None else answered.head.hash
        self.deposit_event(QueryAnswered(item.id, head_hash, present, absent, handled))

    def _check(self, item: AnswerItem) -> Answered:
        """The protocol's checks, in its order. Raises `Refused`."""
        verify.check_shape(item, self.limits)
        query = self.Queries.get(item.id)
        if query is None:
            raise Refused(Refusal.UNKNOWN_QUERY)
        if query.expires_at < self.system.Number.get():
            raise Refused(Refusal.EXPIRED)
        if (item.head is None) != (query.source is None):
            raise Refused(Refusal.WRONG_SOURCE)
        if item.head is None or query.source is None:
            return self._check_relay(item, query)
        head = self._resolve(query.source, item.head)
        verify.check_height(query, head)
        answer = verify.read_answer(query, head.state_root, item.nodes, self.sibling_layout, self.limits)
        return Answered(item.id, query, head, answer)

    def _check_relay(self, item: AnswerItem, query: Query) -> Answered:
        if isinstance(query.question, Keys):
            if item.nodes:
                raise Refused(Refusal.UNUSED_NODE)
            return Answered(item.id, query, None, verify.read_relay_keys(query.question, self.limits))
        validation_data = self.parachain_system.ValidationData.get()
        if validation_data is None:
            raise Refused(Refusal.WRONG_SOURCE)
        root = validation_data.relay_parent_storage_root
        answer = verify.read_answer(query, root, item.nodes, LAYOUT_V1, self.limits)
        return Answered(item.id, query, None, answer)

    def _resolve(self, source: int, reference: HeadReference) -> SiblingHead:
        def remembered(head_hash: bytes) -> SiblingHead | None:
            return None if self.heads is None else self.heads.remembered_head(source, head_hash)

        try:
            return resolve_head(
                source,
                reference,
                remembered=remembered,
                layout=self.sibling_layout,
                limits=self.limits.ancestry,
            )
        except HeadRefused as refused:
            raise Refused(verify.of_head(refused.refusal)) from None

    def _close(self, query_id: int, query: Query) -> None:
        self.Queries.remove(query_id)
        remaining = tuple(entry for entry in self.Open.get() if entry[0] != query_id)
        if remaining:
            self.Open.put(remaining)
        else:
            self.Open.kill()
        by_asker = self.OpenByAsker.get(query.asker) - 1
        if by_asker:
            self.OpenByAsker.insert(query.asker, by_asker)
        else:
            self.OpenByAsker.remove(query.asker)
        if query.depositor is not None and query.deposit:
            self._refund(query.depositor, query.deposit)

    def _refund(self, depositor: bytes, deposit: int) -> None:
        # In a layer of its own: a refund that the currency refuses must not undo the answer, nor the block.
        with_storage_layer(lambda: self.balances.transfer(POT, depositor, deposit, keep_alive=False))

    def _expire(self, query_id: int, query: Query) -> bool:
        return self._tell(query, lambda handler: handler.on_expired(query_id, query))

    def _tell(self, query: Query, what: Callable[[QueryHandler], None]) -> bool:
        """Call the asker's handler in a storage layer of its own; whether it succeeded."""
        handler = self.handlers.get(query.asker)  # gone, if a runtime upgrade removed the pallet
        if handler is None:
            return False
        error: DispatchError | None = with_storage_layer(lambda: what(handler))
        return error is None

    # Hooks.

    def on_initialize(self, number: int) -> Weight:
        """Close queries whose last block is past, a bounded number of them."""
        overdue = [query_id for query_id, last in self.Open.get() if last < number]
        overdue = overdue[: self.limits.max_expiries_per_block]
        for query_id in overdue:
            query = self.Queries.get(query_id)
            if query is None:
                continue
            self._close(query_id, query)
            handled = self._expire(query_id, query)
            self.deposit_event(QueryExpired(query_id, handled))
        each = Weight(100_000_000, self._own_reads()) + self._dearest_handler()
        return sum((each for _ in overdue), Weight(10_000_000, PATH))

    def on_finalize(self, number: int) -> None:
        self.DidAnswer.kill()

    # Inherent and runtime API.

    def create_inherent(self, data: InherentData) -> Call | None:
        inherent = data.get_data(STATE_QUERY, QueryInherent.codec())
        return None if inherent in (None, EMPTY_INHERENT) else self.call_of(self.answer, inherent)

    def is_inherent(self, call: Call) -> bool:
        return call.function.spec.name == "answer"

    def open_queries(self) -> tuple[tuple[int, Query], ...]:
        """Every query that takes an answer in the next block, by id: what collators look for."""
        number = self.system.Number.get() + 1
        found = [
            (query_id, self.Queries.get(query_id)) for query_id, last in self.Open.get() if last >= number
        ]
        return tuple((query_id, query) for query_id, query in found if query is not None)


def _counts(answer: KeysAnswer | PageAnswer) -> tuple[int, int]:
    if isinstance(answer, PageAnswer):
        return len(answer.entries), 0
    present = sum(value is not None for value in answer.values.values())
    return present, len(answer.values) - present
