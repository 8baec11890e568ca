"""Lookout: the demo's asker. Anyone may have it look at keys, or at a whole map, of another chain.

Pileus's own; the shortest pallet that asks and is called back (docs: "State queries").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from runtime.pallets.state_query.handler import Answered, QueryHandler
from runtime.pallets.state_query.pallet import ASK_WEIGHT, StateQuery
from runtime.pallets.state_query.types import Keys, KeysAnswer, Page
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.scale import U16, U32, U64, Codec, Variant, byte_vec, option, tuple_of, u32, vec
from runtime.support.dispatch import Origin, call, ensure_signed
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageMap
from runtime.support.weights import Weight

NAME = b"lookout"


_entries: Codec[tuple[tuple[bytes, bytes | None], ...]] = vec(tuple_of(byte_vec, option(byte_vec)))


@dataclass(frozen=True, slots=True)
class Seen(Variant):
    """What was proven to be under some keys; ``None``: nothing."""

    index: ClassVar[int] = 0
    query: U64
    entries: Annotated[tuple[tuple[bytes, bytes | None], ...], _entries]


class Lookout(Pallet, QueryHandler):
    """Keeps the last answer of every chain."""

    LastSeen = StorageMap(twox_64_concat, option(u32), _entries)
    """Source of the answer (``None``: the relay chain) -> keys and what they held."""

    Event = Seen

    answer_weight = Weight(100_000_000, 8_000)

    def __init__(self, queries: StateQuery) -> None:
        self.queries = queries
        queries.register(NAME, self)

    @call(0, weight=lambda source, at, keys: ASK_WEIGHT + Weight(2_000 * sum(len(key) + 4 for key in keys)))
    def look(self, origin: Origin, source: U32 | None, at: U32 | None, keys: tuple[bytes, ...]) -> None:
        """Ask for keys of a parachain, or of the relay chain (``None``). The deposit comes back with the answer."""
        depositor = ensure_signed(origin)
        self.queries.ask(NAME, source, Keys(tuple(sorted({*keys}))), at=at, depositor=depositor)

    @call(1, weight=ASK_WEIGHT)
    def survey(
        self, origin: Origin, source: U32 | None, prefix: bytes, after: bytes | None, max_entries: U16
    ) -> None:
        """Ask for a page of a map."""
        depositor = ensure_signed(origin)
        self.queries.ask(NAME, source, Page(prefix, after, max_entries), depositor=depositor)

    def on_answer(self, answered: Answered) -> None:
        """Note what was proven to be there, and what was proven not to be."""
        answer = answered.answer
        entries = tuple(answer.values.items()) if isinstance(answer, KeysAnswer) else answer.entries
        self.LastSeen.insert(answered.query.source, entries)
        self.deposit_event(Seen(answered.id, entries))
