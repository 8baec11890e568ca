"""The scenarios, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pileus.verdicts.scenario import Scenario, UnknownScenario
from pileus.verdicts.scenarios import forks, honest, lies, pruning

__all__ = ["SCENARIOS", "scenario_named"]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (*honest.SCENARIOS, *pruning.SCENARIOS, *forks.SCENARIOS, *lies.SCENARIOS)
}
"""All of them, in the order in which they are told."""


def scenario_named(name: str) -> Scenario:
    """The scenario of that name. Raises `UnknownScenario`, which lists those there are."""
    try:
        return SCENARIOS[name]
    except KeyError:
        raise UnknownScenario(name, SCENARIOS) from None
