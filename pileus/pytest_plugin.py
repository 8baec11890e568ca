"""The pytest plugin: networks and traces as fixtures, under one seed.

Found by its entry point (``pytest11``), so installing Pileus is enough. It imports nothing of Pileus until a fixture is
used.

=================================== ========================================================================
``--pileus-seed=N``                 seed of every network that `pileus_network` boots (0)
``--pileus-relay-state=MODE``       where validators read relay state: ``own`` (as given), ``carried``, ``fallback``
``--pileus-trace=N``                host calls shown of a failed test that used `host_trace` (20)
=================================== ========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

if TYPE_CHECKING:
    from host_functions.tracing import Trace
    from pileus.network.run import Network

__all__ = ["host_trace", "pileus_network"]

_TRACE = pytest.StashKey["Trace"]()

TWO_PARACHAINS = """
[[relaychain.nodes]]
name = "alice"
[[relaychain.nodes]]
name = "bob"
[[relaychain.nodes]]
name = "charlie"
[[relaychain.nodes]]
name = "dave"
[[parachains]]
id = 2000
collators = [{name = "collator-2000"}]
[[parachains]]
id = 2001
collators = [{name = "collator-2001"}]
[[traffic]]
from = 2000
to = 2001
every = 2
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pileus")
    group.addoption(
        "--pileus-seed", type=int, default=0, metavar="N", help="Seed of the networks that tests boot."
    )
    group.addoption(
        "--pileus-relay-state",
        default="own",
        metavar="MODE",
        help="Where validators read relay state: own, carried or fallback.",
    )
    group.addoption(
        "--pileus-trace",
        type=int,
        default=20,
        metavar="N",
        help="Host calls to show of a failed test that traces.",
    )


@pytest.fixture
def pileus_network(request: pytest.FixtureRequest) -> Callable[..., Network]:
    """``pileus_network()`` boots two parachains with traffic; it takes the text of a topology, or its path."""
    from pileus.network.run import Network
    from pileus.network.topology import RelayStateMode, parse_topology, read_topology

    def boot(
        topology: str | Path = TWO_PARACHAINS, *, seed: int | None = None, relay_state: str | None = None
    ) -> Network:
        plan = read_topology(topology)[1] if isinstance(topology, Path) else parse_topology(topology)
        mode: Any = relay_state or request.config.getoption("--pileus-relay-state")
        if mode not in get_args(RelayStateMode):
            raise pytest.UsageError(f"relay state {mode!r}: there is {', '.join(get_args(RelayStateMode))}")
        chosen = request.config.getoption("--pileus-seed") if seed is None else seed
        return Network(plan, seed=chosen, relay_state=mode)

    return boot


@pytest.fixture
def host_trace(request: pytest.FixtureRequest) -> Generator[Trace, None, None]:
    """Every host call that the test makes; if it fails, the last of them are shown."""
    from host_functions.tracing import Trace, observing

    trace = Trace(request.node.name)
    request.node.stash[_TRACE] = trace
    with observing(trace):
        yield trace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    trace = item.stash.get(_TRACE, None)
    if report.when == "call" and report.failed and trace is not None:
        shown = item.config.getoption("--pileus-trace")
        calls = trace.calls
        lines = [f"{item.position:>5} {item}" for item in calls[max(0, len(calls) - shown) :]]
        report.sections.append((f"last host calls, of {len(calls)}", "\n".join(lines)))
    return report
