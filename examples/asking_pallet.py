"""A pallet that asks for a sibling's state and is called back: the example of the page 'State queries'."""

from __future__ import annotations

import enum

from runtime.pallets.state_query import QueryHandler, StateQuery
from runtime.pallets.state_query.handler import Answered
from runtime.pallets.state_query.pallet import ASK_WEIGHT
from runtime.pallets.state_query.types import Keys, KeysAnswer
from runtime.primitives.errors import ScaleError
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import U32, u64
from runtime.support.dispatch import Origin, call, ensure_signed
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageValue


# [pallet]
class PriceWatcher(Pallet, QueryHandler):
    Price = StorageValue(u64)

    class Error(enum.IntEnum):
        NotAPrice = 0

    def __init__(self, queries: StateQuery) -> None:
        self.queries = queries
        queries.register(b"price", self)

    @call(0, weight=ASK_WEIGHT)
    def refresh(self, origin: Origin, oracle: U32) -> None:
        key = storage_prefix("Oracle", "Price")
        self.queries.ask(b"price", oracle, Keys((key,)), depositor=ensure_signed(origin))

    def on_answer(self, answered: Answered) -> None:
        assert isinstance(answered.answer, KeysAnswer)
        (raw,) = answered.answer.values.values()
        if raw is None:  # proven: the oracle has no price
            self.Price.kill()
            return
        try:
            self.Price.put(u64.decode(raw))
        except ScaleError:  # the oracle chain stores what it likes
            raise self.fail(self.Error.NotAPrice) from None


# [end]
