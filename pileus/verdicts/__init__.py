"""The verdict matrix: what every role says about a candidate, under every answerer of `read_relay_state`.

Whether it is sound that collator and validator answer one host function from different places depends on who asks,
when, and on which relay fork. Each scenario (`pileus.verdicts.scenarios`) puts real candidates of a parachain through
the relay chain model until that question comes up, and states what must come out and who says so.
"""

from pileus.verdicts.answerers import Answerer as Answerer
from pileus.verdicts.matrix import Matrix as Matrix
from pileus.verdicts.scenario import Scenario as Scenario
from pileus.verdicts.scenario import UnknownScenario as UnknownScenario
from pileus.verdicts.scenario import run_scenario as run_scenario
from pileus.verdicts.scenarios import SCENARIOS as SCENARIOS
from pileus.verdicts.scenarios import scenario_named as scenario_named
