"""What a pallet that asks implements: where its answers arrive."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.pallets.state_query.types import Answer, Query
from runtime.support.sibling_state import SiblingHead
from runtime.support.weights import Weight

__all__ = ["Answered", "QueryHandler"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A proven answer."""

    id: int
    query: Query
    head: SiblingHead | None
    """The sibling's head that has this state; ``None`` for the relay parent."""
    answer: Answer


class QueryHandler:
    """Receives what becomes of a pallet's queries: one call for each, in a storage layer of its own.

    A `DispatchError` undoes what the handler did, is noted in the event, and closes the query all the same.
    """

    answer_weight: Weight = Weight(50_000_000, 8_000)
    """Most that `on_answer` or `on_expired` costs. The largest of all handlers is charged with every answer."""

    def on_answer(self, answered: Answered) -> None:
        """The answer to a query that this pallet opened."""

    def on_expired(self, query_id: int, query: Query) -> None:
        """Nobody brought the answer in time. It says nothing about the sibling's state."""
