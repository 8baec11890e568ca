"""Topology files: what is accepted, and that every refusal names the path and what was expected there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pileus.network.host_settings import AsyncBackingSettings, HostSettings, configured
from pileus.network.topology import MAX_TOPOLOGY_BYTES, Topology, TopologyError, parse_topology, read_topology
from pileus.relay_chain.genesis import RelayChainConfig
from runtime.primitives.parachain import AsyncBackingParams

MINIMAL = """
[relaychain]
[[relaychain.nodes]]
name = "alice"
[[relaychain.nodes]]
name = "bob"

[[parachains]]
id = 1000
[[parachains.collators]]
name = "collator"
"""


def refused(text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        parse_topology(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults() -> None:
    topology = parse_topology(MINIMAL)
    assert (topology.settings.seed, topology.settings.relay_state) == (0, "own")
    (para,) = topology.parachains
    assert (para.name, para.runtime, para.execution) == ("para-1000", "runtime.chains.demo", "native")
    assert topology.traffic == ()
    assert topology.relaychain.nodes[0].validator


def test_the_example(repository: Path) -> None:
    text, topology = read_topology(repository / "examples" / "two_parachains.toml")
    assert topology == parse_topology(text)
    assert [para.id for para in topology.parachains] == [1000, 2000]
    assert {(traffic.source, traffic.destination) for traffic in topology.traffic} == {
        (1000, 2000),
        (2000, 1000),
    }


CONFIG = "relaychain.genesis.runtimeGenesis.patch.configuration.config"
HOST = f"$.{CONFIG}"


def with_host(settings: str) -> str:
    return f"{MINIMAL}\n[{CONFIG}]\n{settings}\n"


def upgrade(keys: str) -> str:
    return f'{MINIMAL}\n[[upgrades]]\nruntime = "b"\n{keys}\n'


SECOND_NODE = '[[relaychain.nodes]]\nname = "bob"\n'
SECOND_PARA = '[[parachains]]\nid = 2000\n[[parachains.collators]]\nname = "collator"\n'
TWO = MINIMAL + SECOND_PARA
THREE = TWO + SECOND_PARA.replace("2000", "3000")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (MINIMAL.replace("id = 1000", 'id = "1000"'), "$.parachains[0].id", "expected `int`, got `str`"),
        (MINIMAL.replace("id = 1000", "id = 0"), "$.parachains[0].id", ">= 1"),
        (MINIMAL.replace("id = 1000", "id = 4294967296"), "$.parachains[0].id", "<= 4294967295"),
        (MINIMAL.replace("id = 1000", ""), "$.parachains[0].id", "missing"),
        (
            MINIMAL.replace("id = 1000", "idd = 1000"),
            "$.parachains[0].idd",
            "unknown key, expected one of chain, chain_spec, coll",
        ),
        (
            MINIMAL.replace("[[parachains.collators]]\n", "[[parachains.nodes]]\n"),
            "$.parachains[0].nodes",
            "collators",
        ),
        (MINIMAL + "[setting]\n", "$.setting", "relaychain"),
        (
            MINIMAL.replace("id = 1000", 'id = 1000\nexecution = "wasm"\nchain_spec = "x"'),
            "$.parachains[0].execution",
            "Python runtime only",
        ),
        (
            MINIMAL.replace("id = 1000", 'id = 1000\nexecution = "both"').replace(
                "[relaychain]", '[relaychain]\nchain = "some-spec.json"'
            ),
            "$.parachains[0].execution",
            "under a real relay chain",
        ),
        (MINIMAL.replace("id = 1000", 'id = 1000\nexecution = "jit"'), "$.parachains[0].execution", "jit"),
        (MINIMAL.replace("id = 1000", 'id = 1000\nruntime = "../evil"'), "$.parachains[0].runtime", "regex"),
        (MINIMAL.replace("id = 1000", 'id = 1000\nchain = "a/b"'), "$.parachains[0].chain", "regex"),
        (MINIMAL + "[settings]\nseed = -1\n", "$.settings.seed", ">= 0"),
        (MINIMAL + "[settings]\nseed = 1.5\n", "$.settings.seed", "expected `int`"),
        (MINIMAL + '[settings]\nrelay_state = "trust"\n', "$.settings.relay_state", "trust"),
        (
            MINIMAL.replace("[relaychain]", "[relaychain]\nfinality_stalls = [[9, 3]]"),
            "$.relaychain.finality_stalls[0]",
            "the first and the last block, got 9 and 3",
        ),
        (
            MINIMAL.replace("[relaychain]", "[relaychain]\nfinality_stalls = [[9]]"),
            "$.relaychain.finality_stalls[0]",
            "length 2",
        ),
        (
            MINIMAL.replace("[relaychain]", '[relaychain]\nchain = "westend.json"\nfork_every = 2'),
            "$.relaychain.fork_every",
            "for the model only",
        ),
        (
            MINIMAL.replace("[relaychain]", '[relaychain]\nchain = "x.json"').replace(
                'name = "bob"', 'name = "bob"\nstate_pruning = 2'
            ),
            "$.relaychain.nodes[1].state_pruning",
            "for the model only",
        ),
        (MINIMAL + "[settings]\nblocks = 0\n", "$.settings.blocks", ">= 1"),
        ("[relaychain]\nnodes = []\n" + SECOND_PARA, "$.relaychain.nodes", "length >= 1"),
        (
            THREE,
            "$.relaychain.nodes",
            "at least one validator per parachain, and two for the erasure code, got 2",
        ),
        (MINIMAL.replace(SECOND_NODE, ""), "$.relaychain.nodes", "two for the erasure code, got 1 for 1"),
        (TWO.replace("id = 2000", "id = 1000"), "$.parachains[1].id", "1000 is also $.parachains[0].id"),
        (
            TWO.replace('"bob"', '"alice"'),
            "$.relaychain.nodes[1].name",
            "'alice' is also $.relaychain.nodes[0].name",
        ),
        (
            TWO.replace("id = 1000", 'id = 1000\nchain = "para-2000"'),
            "$.parachains[1].chain",
            "'para-2000' is also $.parachains[0].chain",
        ),
        (
            MINIMAL + '[[parachains.collators]]\nname = "collator"\n',
            "$.parachains[0].collators[1].name",
            "'collator' is also $.parachains[0].collators[0].name",
        ),
        (TWO + "[[traffic]]\nfrom = 1000\nto = 3000\n", "$.traffic[0].to", "(1000, 2000), got 3000"),
        (TWO + "[[traffic]]\nfrom = 3000\nto = 1000\n", "$.traffic[0].from", "got 3000"),
        (TWO + "[[traffic]]\nfrom = 1000\nto = 1000\n", "$.traffic[0].to", "another parachain"),
        (TWO + "[[traffic]]\nfrom = 1000\n", "$.traffic[0].to", "missing"),
        (TWO + "[[traffic]]\nfrom = 1000\nto = 2000\nsize = -1\n", "$.traffic[0].size", ">= 0"),
        (
            MINIMAL.replace("[relaychain]", "[relaychain]\nfinality_lag = 1\nstate_pruning = 1"),
            "$.relaychain.state_pruning",
            "expected more than 2 together with finality_lag",
        ),
        (
            with_host("max_code_sise = 1"),
            f"{HOST}.max_code_sise",
            "unknown key, expected one of async_backing_params",
        ),
        (with_host("needed_approvals = 2"), f"{HOST}.needed_approvals", "validation_upgrade_delay"),
        (with_host("max_code_size = 33554433"), f"{HOST}.max_code_size", "<= 33554432"),
        (with_host("max_pov_size = 33554433"), f"{HOST}.max_pov_size", "<= 33554432"),
        (with_host("max_head_data_size = 1048577"), f"{HOST}.max_head_data_size", "<= 1048576"),
        (with_host("max_upward_message_size = 131073"), f"{HOST}.max_upward_message_size", "<= 131072"),
        (
            with_host("max_upward_message_num_per_candidate = 16385"),
            f"{HOST}.max_upward_message_num_per_candidate",
            "<= 16384",
        ),
        (
            with_host("hrmp_max_message_num_per_candidate = 16385"),
            f"{HOST}.hrmp_max_message_num_per_candidate",
            "<= 16384",
        ),
        (with_host("validation_upgrade_delay = 1"), f"{HOST}.validation_upgrade_delay", ">= 2"),
        (
            with_host("validation_upgrade_cooldown = 4294967296"),
            f"{HOST}.validation_upgrade_cooldown",
            "<= 4294967295",
        ),
        (with_host("max_upward_queue_count = -1"), f"{HOST}.max_upward_queue_count", ">= 0"),
        (
            with_host(f"max_upward_queue_size = {2**64}"),
            f"{HOST}.max_upward_queue_size",
            "<= 4294967295",
        ),
        (with_host("max_downward_message_size = 1.5"), f"{HOST}.max_downward_message_size", "expected `int"),
        (
            with_host("async_backing_params = {max_candidate_dept = 1}"),
            f"{HOST}.async_backing_params.max_candidate_dept",
            "unknown key, expected one of allowed_ancestry_len, max_candidate_depth",
        ),
        (
            with_host("async_backing_params = {allowed_ancestry_len = 4}").replace(
                "[relaychain]", "[relaychain]\nallowed_ancestry_len = 2"
            ),
            f"{HOST}.async_backing_params.allowed_ancestry_len",
            "the same as $.relaychain.allowed_ancestry_len, or one of the two alone, got 4 and 2",
        ),
        (
            with_host("").replace("runtimeGenesis", "runtime_genesis"),
            "$.relaychain.genesis.runtime_genesis",
            "unknown key, expected one of runtimeGenesis",
        ),
        (
            with_host("").replace("patch", "config"),
            "$.relaychain.genesis.runtimeGenesis.config",
            "unknown key, expected one of patch",
        ),
        (
            with_host("max_code_size = 1").replace("[relaychain]", '[relaychain]\nchain = "x.json"'),
            "$.relaychain.genesis",
            "for the model only",
        ),
        (upgrade("parachain = 1001\nat = 5"), "$.upgrades[0].parachain", "Python runtime (1000), got 1001"),
        (upgrade("parachain = 1000\nat = 0"), "$.upgrades[0].at", "expected `int` >= 1"),
        (upgrade("parachain = 1000\nat = 1000001"), "$.upgrades[0].at", "<= 1000000"),
        (upgrade("parachain = 1000"), "$.upgrades[0].at", "missing"),
        (upgrade("parachain = 1000\nwhen = 5"), "$.upgrades[0].when", "one of at, parachain, runtime"),
        (upgrade("parachain = 1000\nat = 5").replace('"b"', '"b.py!"'), "$.upgrades[0].runtime", "regex"),
        (
            upgrade("parachain = 1000\nat = 5") + '[[upgrades]]\nparachain = 1000\nat = 5\nruntime = "c"\n',
            "$.upgrades[1]",
            "one upgrade of a parachain at a relay block, (1000, 5) is also $.upgrades[0]",
        ),
        (
            upgrade("parachain = 1000\nat = 5").replace("id = 1000", 'id = 1000\nchain_spec = "x.json"'),
            "$.upgrades[0].parachain",
            "a Python runtime (none here), 1000 runs a chain spec",
        ),
        (
            upgrade("parachain = 1000\nat = 5").replace("[relaychain]", '[relaychain]\nchain = "x.json"'),
            "$.upgrades[0]",
            "for the model only",
        ),
        ("relaychain = 3", "$.relaychain", "expected `object`, got `int`"),
    ],
)
def test_refusals_name_the_path(text: str, path: str, expected: str) -> None:
    message = refused(text)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_the_host_configuration_reaches_the_model() -> None:
    """Every key changes its field and no other; what is not given stays."""
    before = RelayChainConfig()
    assert configured(before, parse_topology(MINIMAL).relaychain.host) == before
    changed: dict[str, object] = {}
    for at, name in enumerate(field for field in HostSettings.__struct_fields__ if "async" not in field):
        after = configured(before, parse_topology(with_host(f"{name} = {77 + at}")).relaychain.host)
        if hasattr(before, name):
            assert after == replace(before, **{name: 77 + at})  # type: ignore[arg-type]
        else:
            assert after == replace(before, host=replace(before.host, **{name: 77 + at}))  # type: ignore[arg-type]
        changed[name] = after
    assert len(changed) == 13


def test_the_page_lists_the_settings(repository: Path) -> None:
    page = (repository / "docs" / "the-relay-chain-model.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    nested = {f"async_backing_params.{name}" for name in AsyncBackingSettings.__struct_fields__}
    assert listed == ({*HostSettings.__struct_fields__} - {"async_backing_params"}) | nested
    example = next(block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if CONFIG in block)
    assert parse_topology(MINIMAL + example).relaychain.host.validation_upgrade_delay == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (with_host("async_backing_params = {max_candidate_depth = 5}"), AsyncBackingParams(5, 3)),
        (with_host("async_backing_params = {allowed_ancestry_len = 0}"), AsyncBackingParams(3, 0)),
        (MINIMAL.replace("[relaychain]", "[relaychain]\nallowed_ancestry_len = 0"), AsyncBackingParams(3, 0)),
        (
            with_host("async_backing_params = {allowed_ancestry_len = 4, max_candidate_depth = 1}").replace(
                "[relaychain]", "[relaychain]\nallowed_ancestry_len = 4"
            ),
            AsyncBackingParams(1, 4),
        ),
    ],
)
def test_the_ancestry_has_two_names(text: str, expected: AsyncBackingParams) -> None:
    host = configured(RelayChainConfig(), parse_topology(text).relaychain.host).host
    assert host == replace(RelayChainConfig().host, async_backing_params=expected)


@pytest.mark.parametrize("text", ["[[", "a = ", "\x00", "a = 1\na = 2\n", "x = " + "[" * 5000])
def test_what_is_not_toml(text: str) -> None:
    assert "TOML" in refused(text)


@given(st.text(alphabet="[]{}=.\"' \n#abrelaychinodspt0123456789-", max_size=200))
def test_no_text_gives_anything_but_a_topology_or_a_topology_error(text: str) -> None:
    try:
        assert isinstance(parse_topology(text), Topology)
    except TopologyError:
        pass


VALUES = st.one_of(
    st.integers(-(2**70), 2**70), st.integers(0, 40), st.booleans(), st.text(max_size=5), st.just([1])
)


@given(st.dictionaries(st.sampled_from(HostSettings.__struct_fields__), VALUES, max_size=4), VALUES, VALUES)
@example({"max_code_size": 0, "validation_upgrade_delay": 2, "max_upward_queue_count": 2**32 - 1}, 1, 1000)
@example({}, 1_000_000, 1000)
def test_settings_and_upgrades_of_any_value(settings: dict[str, object], at: object, para: object) -> None:
    """What is accepted keeps its value and is in bounds; what is refused is named by its path."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    text = with_host("\n".join(lines))
    text += f'[[upgrades]]\nparachain = {json.dumps(para)}\nat = {json.dumps(at)}\nruntime = "b"\n'
    try:
        topology = parse_topology(text)
    except TopologyError as error:
        message = str(error)
        assert "\n" not in message
        wrong = message.split(":", 1)[0]
        named = wrong.removeprefix(f"{HOST}.").removeprefix("$.upgrades[0].")
        assert named in {*settings, "at", "parachain"} or message.startswith("not "), message
        return
    given = topology.relaychain.host
    for name, value in settings.items():
        assert getattr(given, name) == value
        assert isinstance(value, int)
        assert 0 <= value < 2**32
    (upgrade,) = topology.upgrades
    assert (upgrade.parachain, upgrade.at) == (para, at) == (1000, at)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (MAX_TOPOLOGY_BYTES + 1))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(MINIMAL.replace("id = 1000", "id = -1"))
    for path, expected in (
        (tmp_path / "missing.toml", "No such file"),
        (tmp_path, "directory"),
        (binary, "not UTF-8"),
        (large, "larger than"),
        (wrong, "$.parachains[0].id"),
    ):
        with pytest.raises(TopologyError) as caught:
            read_topology(path)
        assert str(path) in str(caught.value)
        assert expected in str(caught.value)
