"""Laws of upgrades in a running network, whatever the plan: order of steps, waits, versions; and nothing else suffers.

The cooldown outlasts the delay, as in every sane configuration. `test_a_chain_that_announces_while_it_applies` is
what a search without that found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pileus.network.run import Network
from pileus.network.summary import summary_of
from pileus.network.topology import parse_topology
from pileus.relay_chain.inclusion import RefusalReason

VERSIONS = (2, 3, 4)
BLOCKS = 26

Plan = tuple[tuple[int, ...], int, int, str]
"""Relay blocks of the versions, delay, how much longer the cooldown is, source of relay state."""

plans: st.SearchStrategy[Plan] = st.tuples(
    st.lists(st.integers(1, BLOCKS - 2), min_size=1, max_size=len(VERSIONS), unique=True).map(
        lambda blocks: tuple(sorted(blocks))
    ),
    st.integers(2, 6),
    st.integers(3, 10),
    st.sampled_from(["own", "carried", "fallback"]),
)


@pytest.fixture(scope="module", autouse=True)
def versions(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Modules ``law_2`` and so on."""
    folder = tmp_path_factory.mktemp("versions")
    source = (repository / "examples" / "demo_2.py").read_text(encoding="utf-8")
    assert source.count("spec_version=2)") == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for version in VERSIONS:
            changed = source.replace("spec_version=2)", f"spec_version={version})")
            (folder / f"law_{version}.py").write_text(changed, encoding="utf-8")
        yield
    for version in VERSIONS:
        sys.modules.pop(f"law_{version}", None)


def topology(plan: Plan) -> str:
    blocks, delay, longer, relay_state = plan
    lines = [
        f'[settings]\nrelay_state = "{relay_state}"',
        "[relaychain.genesis.runtimeGenesis.patch.configuration.config]",
        f"validation_upgrade_delay = {delay}\nvalidation_upgrade_cooldown = {delay + longer}",
        *(f'[[relaychain.nodes]]\nname = "{name}"' for name in ("alice", "bob")),
        *(f'[[parachains]]\nid = {para}\n[[parachains.collators]]\nname = "c{para}"' for para in (1, 2)),
        *(
            f'[[upgrades]]\nparachain = 1\nat = {at}\nruntime = "law_{version}"'
            for at, version in zip(blocks, VERSIONS, strict=False)
        ),
        "[[traffic]]\nfrom = 1\nto = 2\n[[traffic]]\nfrom = 2\nto = 1\nevery = 3",
    ]
    return "\n".join(lines)


def network(plan: Plan) -> Network:
    parsed = parse_topology(topology(plan))
    return Network(parsed, seed=0, relay_state=parsed.settings.relay_state)


@settings(max_examples=max(6, settings().max_examples // 10))
@given(plans)
@example(((5, 6), 4, 8, "own"))  # both in one block of the parachain
@example(((3, 12, 20), 2, 3, "carried"))
def test_laws_of_upgrades(plan: Plan) -> None:
    _, delay, longer, _ = plan
    run = network(plan)
    sent: list[int] = []
    for report in run.run(BLOCKS):
        assert report.problems == ()
        assert all(candidate.all_valid and candidate.backed for candidate in report.candidates)
        sent += [message.nonce for item in report.imported if item.para_id == 1 for message in item.sent]

    # What the chain was given to send while it changed its runtime was sent, in order, and once.
    assert sent == list(range(1, len(sent) + 1))
    assert len(sent) >= BLOCKS - 4

    summary = summary_of(run)
    version, free_from = 1, 0
    for upgrade in summary["upgrades"]:
        assert upgrade["brought"]
        assert upgrade["aborted"] is None
        reached = [upgrade[step] for step in ("announced", "accepted", "go_ahead", "applied")]
        taken = [at for at in reached if at is not None]
        assert taken == reached[: len(taken)], "no step before the one before it"
        assert taken == sorted(set(taken))
        assert not taken or taken[0] > upgrade["at"]
        if upgrade["refused"] is not None:
            assert not taken
            assert upgrade["refused"] in (
                "ParachainSystem.ProhibitedByPolkadot",
                "ParachainSystem.OverlappingUpgrades",
            )
        elif taken:
            assert taken[0] >= free_from
            free_from = taken[0] + delay + longer
        if len(taken) >= 3:
            assert taken[2] >= taken[0] + delay
        if len(taken) == 4:
            version = upgrade["spec_version"]
    assert [para["version"]["spec_version"] for para in summary["parachains"]] == [version, 1]


def test_a_chain_that_announces_while_it_applies() -> None:
    """Without a cooldown nothing tells the parachain that the relay chain still has the code on its list which it is
    applying: the block that also announces other code is refused, and so is every one that is built like it.

    Upstream's checks are the same [polkadot-paras]; there the cooldown is the longer one.
    """
    run = network(((3, 9), 2, -2, "own"))
    refused = [
        (report.block.number, candidate.refusal.reason)
        for report in run.run(16)
        for candidate in report.candidates
        if candidate.refusal is not None
    ]
    assert refused == [(number, RefusalReason.PREMATURE_CODE_UPGRADE) for number in range(10, 17)]
    first, second = summary_of(run)["upgrades"]
    assert (first["go_ahead"], first["applied"]) == (8, None)
    assert (second["brought"], second["announced"]) == (True, None)
