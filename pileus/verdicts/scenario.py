"""A scenario: what happens, what every role is expected to say about it, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from host_functions.errors import PileusError
from pileus.verdicts.answerers import Answerer
from pileus.verdicts.matrix import Matrix, column_of, differences, parse_table
from pileus.verdicts.play import Play
from pileus.verdicts.setup import Candidate, Setup

__all__ = ["Scenario", "UnknownScenario", "run_scenario"]


class UnknownScenario(PileusError):
    """No scenario of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no scenario {name[:60]!r}; there are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of questions for the whole network."""

    name: str
    """As the command line takes it."""
    title: str
    """What happens, in one line."""
    play: Callable[[Play], Candidate]
    """Plays it, and returns the candidate it is about."""
    expected: str
    """The table, see `pileus.verdicts.matrix.parse_table`."""
    sources: tuple[str, ...]
    """Tags of docs/references.md that say what must come out."""
    because: str
    """Why that is expected, in a sentence or two."""
    setup: Setup = field(default_factory=Setup)
    answerers: tuple[Answerer, ...] = tuple(Answerer)


def run_scenario(scenario: Scenario, seed: int) -> Matrix:
    """Play a scenario under each of its answerers."""
    columns = []
    for answerer in scenario.answerers:
        play = Play(answerer, seed, scenario.setup)
        candidate = scenario.play(play)
        columns.append(column_of(play, play.payload_bytes(candidate)))
    return Matrix(scenario.name, tuple(columns), differences(columns, parse_table(scenario.expected)))
