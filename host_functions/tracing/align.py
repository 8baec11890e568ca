"""Two traces side by side, and the first call on which they differ.

Contexts run the same block with something around it: a validator checks the seal before and collects outputs after, a
collator starts and ends the block in separate calls. So calls are matched by what was asked (function and arguments),
and what only one context asked before the first or after the last match is *around* the common part. Log lines are left
out: a blob asks for the log level each time it is entered, and nothing depends on them.

`difference` is what a bug hunt starts with. Within the common part another answer to the same call is a difference. A
call that only one of them makes is one if both executed the same entry points: host calls are all that an execution
depends on, so without another answer before it there is no reason for it. Where the entry points differ (a block that
is built, and one that is executed at once) such calls are the entry points' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from typing import Final

from host_functions.interfaces import storage_proof_size
from host_functions.tracing.call import HostCall
from host_functions.tracing.trace import Trace

__all__ = ["Alignment", "Match", "Pair", "align"]

REPORTED: Final = 3
"""Pairs that a report shows before and after the first difference."""


class Match(Enum):
    """How two contexts compare at one place."""

    SAME = "same"
    """Both asked the same and got the same."""
    DIFFERS = "differs"
    """Both asked the same and got different answers."""
    ONLY_FIRST = "only first"
    ONLY_SECOND = "only second"
    AROUND = "around"
    """Asked by one of them, before or after everything they have in common."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One place of the alignment."""

    match: Match
    first: HostCall | None
    second: HostCall | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two traces, matched."""

    first: str
    """Label of the first trace."""
    second: str
    pairs: tuple[Pair, ...]
    truncated: int
    """Calls that one of the traces had no room for; what comes after them was not compared."""
    same_entry_points: bool
    """Whether both executed the same entry points of the runtime."""

    @property
    def difference(self) -> Pair | None:
        """The first place where they differ; ``None`` if they agree."""
        kinds = {Match.DIFFERS}
        if self.same_entry_points or not self.count(Match.SAME) + self.count(Match.DIFFERS):
            kinds |= {Match.ONLY_FIRST, Match.ONLY_SECOND}
        return next((pair for pair in self.pairs if pair.match in kinds), None)

    def count(self, match: Match) -> int:
        """How many places are of this kind."""
        return sum(pair.match is match for pair in self.pairs)

    def report(self) -> str:
        """The first difference and the calls around it, as text of several lines."""
        found = self.difference
        if found is None:
            own = self.count(Match.ONLY_FIRST) + self.count(Match.ONLY_SECOND)
            rest = f"; {own} are of one entry point only" if own else ""
            return f"{self.first} and {self.second} agree on {self.count(Match.SAME)} host calls{rest}"
        at = self.pairs.index(found)
        lines = [
            f"first differing host call, after {self._same_before(at)} common ones: {self.explain(found)}"
        ]
        for pair in self.pairs[max(0, at - REPORTED) : at + REPORTED + 1]:
            mark = ">" if pair is found else " "
            lines += [f"{mark} {line}" for line in self.lines(pair)]
        return "\n".join(lines)

    def explain(self, pair: Pair) -> str:
        """One place in one line."""
        if pair.first is not None and pair.second is not None:
            call = f"{pair.first.function}({', '.join(pair.first.arguments)})"
            if pair.match is Match.SAME:
                return f"{call} is answered the same"
            return (
                f"{call} gives {_answer(pair.first)} in {self.first}, {_answer(pair.second)} in {self.second}"
            )
        if pair.first is not None:
            return f"only {self.first} calls {pair.first}"
        return f"only {self.second} calls {pair.second}"

    def lines(self, pair: Pair) -> Iterator[str]:
        """One place as it stands in the aligned traces: one line where both agree, else one for each."""
        width = max(len(self.first), len(self.second))
        if pair.match is Match.SAME:
            yield f"{'both':<{width}}  {pair.first}"
            return
        for label, call in ((self.first, pair.first), (self.second, pair.second)):
            if call is not None:
                yield f"{label:<{width}}  {call}"

    def _same_before(self, at: int) -> int:
        return sum(pair.match is Match.SAME for pair in self.pairs[:at])


def align(first: Trace, second: Trace) -> Alignment:
    """Match the calls that two runtimes made. What was called while a call was answered is left out."""
    pairs = list(_pairs(_compared(first), _compared(second)))
    common = [at for at, pair in enumerate(pairs) if pair.match in (Match.SAME, Match.DIFFERS)]
    if common:
        for at in (*range(common[0]), *range(common[-1] + 1, len(pairs))):
            pairs[at] = Pair(Match.AROUND, pairs[at].first, pairs[at].second)
    entered = [{call.entry_point for call in trace.calls} for trace in (first, second)]
    return Alignment(
        first.label, second.label, tuple(pairs), first.dropped + second.dropped, entered[0] == entered[1]
    )


def _compared(trace: Trace) -> tuple[HostCall, ...]:
    return tuple(
        call
        for call in trace.of_the_runtime()
        if not call.function.startswith("ext_logging_") and not _is_part_of_a_replacement(call)
    )


def _is_part_of_a_replacement(call: HostCall) -> bool:
    """A blob's ``validate_block`` measures its own proof and adds to that what the host has of others': what the
    runtime is answered is not seen, and this is no answer of its own.
    """
    measures = call.function == storage_proof_size.storage_proof_size.name
    return measures and call.engine == "wasm" and call.entry_point == "validate_block"


def _pairs(first: Sequence[HostCall], second: Sequence[HostCall]) -> Iterator[Pair]:
    # Matching takes quadratic time where traces differ, and mostly they do not: what is equal at both ends goes first.
    start = _common_length(first, second)
    end = _common_length(first[start:][::-1], second[start:][::-1])
    yield from map(_matched, first[:start], second[:start])
    middle = first[start : len(first) - end], second[start : len(second) - end]
    requests = [call.request for call in middle[0]], [call.request for call in middle[1]]
    for tag, a, b, c, d in SequenceMatcher(None, *requests, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from map(_matched, middle[0][a:b], middle[1][c:d])
        else:
            yield from (Pair(Match.ONLY_FIRST, call, None) for call in middle[0][a:b])
            yield from (Pair(Match.ONLY_SECOND, None, call) for call in middle[1][c:d])
    yield from map(_matched, first[len(first) - end :], second[len(second) - end :])


def _common_length(first: Sequence[HostCall], second: Sequence[HostCall]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one.request != other.request:
            break
        length += 1
    return length


def _matched(first: HostCall, second: HostCall) -> Pair:
    return Pair(Match.SAME if first.answer == second.answer else Match.DIFFERS, first, second)


def _answer(call: HostCall) -> str:
    """What came back, with the hash of a value that is cut: two long values may differ where nobody sees it."""
    if call.error is not None:
        return call.error
    if "…" not in call.result or call.value_hash is None:
        return call.result
    return f"{call.result} with hash 0x{call.value_hash.hex()}"
