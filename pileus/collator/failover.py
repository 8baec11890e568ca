"""Several nodes of one sibling: ask the best first, and the next when it fails. A `Collator` does it by itself.

What a node says is proven or worthless, so no vote among them is needed: a node that lags, lies or hangs costs its
share of the deadline and its place in the order, never a message. In particular "nothing new" needs a proof, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pileus.collator.message_source import Fetched, FetchRequest, MessageSource

__all__ = ["FailoverSource"]

MAX_SCORE = 16
"""Failures that are remembered; each answer forgives half of them."""


class FailoverSource:
    """A `MessageSource` over several."""

    def __init__(self, sources: Sequence[MessageSource]) -> None:
        """``sources``: nodes of one sibling, in order of preference. Raises `ValueError`."""
        siblings = {source.para_id for source in sources}
        if len(siblings) != 1:
            raise ValueError("several sources need to be of one sibling")
        self.sources = tuple(sources)
        self.para_id = sources[0].para_id
        self._failures = [0] * len(sources)

    @property
    def latency(self) -> int:
        """That of the one which is asked first."""
        return self.order()[0].latency

    def order(self) -> list[MessageSource]:
        """The sources in the order in which they would be asked now."""
        return [self.sources[at] for at in self._order()]

    def _order(self) -> list[int]:
        return sorted(range(len(self.sources)), key=lambda at: (self._failures[at], at))

    def fetch(self, request: FetchRequest) -> Fetched:
        """See `MessageSource.fetch`: all of them together answer within the deadline."""
        problems: list[str] = []
        left = request.deadline
        for at in self._order():
            source = self.sources[at]
            answer = source.fetch(replace(request, deadline=left))
            if answer.item is not None or not answer.problem:
                self._failures[at] //= 2
                return answer
            self._failures[at] = min(self._failures[at] + 1, MAX_SCORE)
            problems.append(answer.problem)
            left -= min(source.latency, left)
        return Fetched(None, "; ".join(problems))
