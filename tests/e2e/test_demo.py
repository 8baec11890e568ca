"""What ``make demo`` shows: a transfer, an acknowledgement, a timeout refund and a query; in words and as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.network.messages import MessageId
from pileus.network.run import Network
from pileus.network.timeline import slot_lines
from pileus.network.topology import RelayStateMode, TopologyError, parse_topology, read_topology
from runtime.pallets.state_messaging.lanes import Outcome

FIVE, SEVEN = 5 * 10**12, 7 * 10**12


@pytest.mark.parametrize("form", ["own", "carried"])
def test_transfers_acknowledgements_a_refund_and_a_query(repository: Path, form: RelayStateMode) -> None:
    network = Network(
        read_topology(repository / "examples" / "transfers_and_queries.toml")[1], seed=1, relay_state=form
    )
    reports = list(network.run(9))
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    assert [problem for report in reports for problem in report.problems] == []
    imported = [item for report in reports for item in report.imported]
    moved = [(movement.kind, movement.amount) for item in imported for movement in item.movements]
    assert sorted(moved) == sorted(
        [("sent", FIVE), ("sent", SEVEN), ("received", FIVE), ("settled", FIVE), ("refunded", SEVEN)]
    )
    settled = {message: outcome for item in imported for message, outcome in item.settled}
    assert settled[MessageId(1000, 2000, 0, 1)] is Outcome.DELIVERED
    assert settled[MessageId(1000, 2000, 0, 2)] is Outcome.EXPIRED
    assert [answer.source for item in imported for answer in item.answers] == [2000]
    shown = "\n".join(line.plain for report in reports for line in slot_lines(report))
    for line in (
        "5,000,000,000,000 of 1000 leaves for 2000 (message #1): locked here",
        "5,000,000,000,000 of 1000 arrives from 1000 (message #1): minted",
        "5,000,000,000,000 to 2000 (message #1) has arrived",
        "7,000,000,000,000 to 2000 (message #2) expired: refunded",
        "expired 1000→2000 #2",
        "is told   1000→2000 #1 1000→2000 #3-4  delivered",
        "is shown 2000 at head 0x",
    ):
        assert line in shown
    # Bodies whose acknowledgement is final are forgotten.
    sender = network.parachains[0].node
    routes = {(source, dest): totals for source, dest, totals in network.ledger.routes()}
    assert len(sender.offchain) < routes[1000, 2000].sent


def test_a_message_to_a_chain_that_reaches_nobody_times_out(repository: Path) -> None:
    network = Network(
        read_topology(repository / "examples" / "silent_sibling.toml")[1], seed=1, relay_state="carried"
    )
    reports = list(network.run(12))
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    imported = [item for report in reports for item in report.imported]
    assert [entry for item in imported for entry in item.settled] == [
        (MessageId(1000, 2000, 0, 1), Outcome.TIMED_OUT)
    ]
    moved = [(movement.kind, movement.amount) for item in imported for movement in item.movements]
    assert moved == [("sent", SEVEN), ("refunded", SEVEN)]
    shown = "\n".join(line.plain for report in reports for line in slot_lines(report))
    assert "7,000,000,000,000 to 2000 (message #1) timed out: refunded" in shown


BASE = """
[relaychain]
nodes = [{ name = "alice" }, { name = "bob" }]
[[parachains]]
id = 1
collators = [{ name = "one" }]
[[parachains]]
id = 2
collators = [{ name = "two" }]
"""


@pytest.mark.parametrize(
    "addition, path",
    [
        ("peers = [3]", "$.parachains[1].peers"),
        ("peers = [2]", "$.parachains[1].peers"),
        ("[[transfers]]\nfrom = 1\nto = 3\namount = 1", "$.transfers[0].to"),
        ("[[transfers]]\nfrom = 1\nto = 1\namount = 1", "$.transfers[0].to"),
        ("[[transfers]]\nfrom = 1\nto = 2\namount = 0", "$.transfers[0].amount"),
        ("[[transfers]]\nfrom = 1\nto = 2\namount = 1\nhome = 3", "$.transfers[0].home"),
        ("[[transfers]]\nfrom = 1\nto = 2\namount = 1\ntimeout = 0", "$.transfers[0].timeout"),
        ("[[transfers]]\nfrom = 1\nto = 2\namount = 1\nafter = 2", "$.transfers[0]"),
    ],
)
def test_what_a_topology_says_wrong_of_transfers_and_peers(addition: str, path: str) -> None:
    with pytest.raises(TopologyError) as caught:
        parse_topology(BASE + addition)
    assert path in str(caught.value)
