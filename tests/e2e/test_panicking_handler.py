"""A message that makes the receiving runtime panic is left out; the chain goes on."""

from __future__ import annotations

import pytest

from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology, Traffic
from runtime.chains import demo
from runtime.pallets.state_messaging.types import Message

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(Parachain(id=para, collators=(Collator(f"collator-{para}"),)) for para in (2000, 2001)),
    traffic=(Traffic(source=2000, destination=2001, every=3, size=8),),
)


def test_a_panicking_handler_does_not_stop_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(message: Message) -> None:
        raise ZeroDivisionError("a bug of the recipient")

    monkeypatch.setattr(demo.mailbox, "on_message", handler)
    network = Network(TOPOLOGY, seed=1, relay_state="carried")
    reports = list(network.run(8))
    problems = [problem for report in reports for problem in report.problems]
    assert any("left out" in problem and "a bug of the recipient" in problem for problem in problems)
    candidates = [candidate for report in reports for candidate in report.candidates]
    assert len(candidates) == 8
    assert all(candidate.all_valid and not candidate.proven for candidate in candidates)
