"""Networks whose relay chain forks, stalls, prunes per node and checks approvals: messages cross all the same."""

from __future__ import annotations

from pileus.network.run import Network
from pileus.network.topology import (
    Collator,
    Parachain,
    RelayChainSection,
    RelayNode,
    RelayStateMode,
    Topology,
    Traffic,
)
from pileus.relay_chain.node import RelayNode as Node
from pov_validator import Abstain, Valid

NAMES = ("alice", "bob", "charlie", "dave", "eve", "ferdie")


def network(
    relay_state: RelayStateMode = "own", *, prunings: dict[str, int] | None = None, **knobs: object
) -> Network:
    nodes = tuple(RelayNode(name, state_pruning=(prunings or {}).get(name)) for name in NAMES)
    topology = Topology(
        relaychain=RelayChainSection(nodes=nodes, **knobs),  # type: ignore[arg-type]
        parachains=tuple(Parachain(id=para, collators=(Collator(f"c{para}"),)) for para in (2000, 2001)),
        traffic=(Traffic(source=2000, destination=2001, every=3, size=8, until=9),),
    )
    return Network(topology, seed=3, relay_state=relay_state)


def delivered(run: Network) -> int:
    return sum(route.delivered for _, _, route in run.ledger.routes())


def test_finality_stalls_and_catches_up() -> None:
    run = network(finality_stalls=((4, 9),), finality_lag=1, state_pruning=3)
    finalized = [report.finalized for report in run.run(14)]
    assert finalized[:3] == [0, 1, 2]
    assert finalized[4:9] == [finalized[4]] * 5
    assert finalized[-1] == 13
    assert delivered(run) == 3


def test_rival_blocks_are_abandoned_and_pruned() -> None:
    run = network(fork_every=2, finality_lag=3)
    reports = list(run.run(12))
    assert not any(report.problems for report in reports)
    assert len(list(run.chain.tree)) > 13 + 3  # type: ignore[attr-defined]
    canonical = {report.block.hash for report in reports} | {run.chain.genesis.hash}
    rivals = [block for block in run.chain.tree if block.hash not in canonical]  # type: ignore[attr-defined]
    old = [block for block in rivals if block.number <= run.chain.finalized.number]
    assert old
    assert not any(run.chain.has_state(block) for block in old)  # type: ignore[attr-defined]
    assert delivered(run) == 3


def test_every_source_gives_the_same_run() -> None:
    """The relay state mode changes what PoVs hold and nothing that is decided: same heads, same messages."""
    heads = {}
    for mode in ("carried", "fallback"):
        run = network(mode)
        reports = list(run.run(13))
        assert all(candidate.all_valid for report in reports for candidate in report.candidates)
        heads[mode] = [(item.para_id, item.block_hash) for report in reports for item in report.imported]
        assert delivered(run) == 3
    assert heads["carried"] == heads["fallback"]


def test_each_node_prunes_by_its_own_setting() -> None:
    run = network(prunings={"bob": 3}, finality_lag=1)
    list(run.run(12))
    held = {
        validator.name: len(validator.node.held())
        for validator in run.chain.validators
        if isinstance(validator.node, Node)
    }
    assert held == dict.fromkeys(NAMES, 13) | {"bob": 4}


def test_approvals_hold_finality_and_are_reported() -> None:
    run = network("carried", approvals=True, finality_lag=1)
    reports = list(run.run(8))
    checked = [checked for report in reports for checked in report.approvals]
    assert checked
    assert all(report.approved and report.dispute is None for report in checked)
    assert all(isinstance(judgement.verdict, Valid) for c in checked for _, judgement in c.judgements)
    assert run.chain.finalized.number == 7


def test_checkers_that_lost_the_state_cannot_approve_and_finality_stops() -> None:
    """The proposal's weak spot in a running network: nobody is slashed, and nothing is finalized either."""
    run = network(approvals=True, finality_lag=0, state_pruning=3)
    while not any(candidate.proven for candidate in run.step().candidates):
        pass  # a block that receives nothing reads no relay state, and needs none
    for validator in run.chain.validators:
        assert isinstance(validator.node, Node)
        for block in validator.node.held():
            validator.node.prune(block)
    reports = list(run.run(5))
    waiting = [checked for report in reports for checked in report.approvals if not checked.approved]
    assert waiting
    assert {type(j.verdict) for checked in waiting for _, j in checked.judgements} == {Abstain}
    assert any("is not approved: abstains: RelayStateUnavailable" in p for r in reports for p in r.problems)
    assert run.chain.finalized.number < run.chain.best.number - 1
    assert run.chain.disputes.offences() == ()  # type: ignore[attr-defined]
