"""A real parachain and a Python one side by side, under a real relay runtime and under the model.

The chains are those of ``files``: the genesis of Rococo and of its Asset Hub, with the networks' own code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.cli.app import main
from pileus.network.queries import Answer
from pileus.network.record import RunRecorder
from pileus.network.recorded import RecordedRun
from pileus.network.run import Network
from pileus.network.topology import RelayStateMode, TopologyError, parse_topology
from pileus.relay_chain.real import RealRelayChain
from pov_validator import Abstain, Carried, OwnState, Valid
from runtime.primitives.header import Header
from runtime.primitives.relay_keys import CURRENT_SLOT
from runtime.primitives.scale import u32, u64

TOPOLOGY = """
[relaychain]
chain = "{relay}"
[[relaychain.nodes]]
name = "alice"
[[relaychain.nodes]]
name = "bob"

[[parachains]]
id = 1000
chain = "real"
chain_spec = "{para}"
[[parachains.collators]]
name = "real-collator"

[[parachains]]
id = 2000
chain = "python"
[[parachains.collators]]
name = "python-collator"

[[queries]]
from = 2000
of = 1000
keys = ["System.Number", "Timestamp.Now", "No.Such"]

[[queries]]
from = 2000
of = "relay"
keys = ["Babe.CurrentSlot", "0x{slot}"]
"""

REAL, PYTHON = 1000, 2000

Write = Callable[..., str]


@pytest.fixture
def text(vectors_dir: Path) -> Write:
    """The topology, with other words in it."""
    files = vectors_dir / "files"

    def write(**changes: str) -> str:
        words = {
            "relay": str(files / "rococo-genesis.json.gz"),
            "para": str(files / "rococo-asset-hub-genesis.json.gz"),
            "slot": CURRENT_SLOT.hex(),
        }
        return TOPOLOGY.format(**{**words, **changes})

    return write


def run(text: str, blocks: int, mode: RelayStateMode = "own") -> tuple[Network, list[Answer]]:
    """A network after so many blocks, in which nothing went wrong, and what was proven to the Python chain."""
    topology = parse_topology(text)
    network = Network(topology, seed=1, relay_state=mode)
    reports = list(network.run(blocks))
    assert [problem for report in reports for problem in report.problems] == []
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    assert all(candidate.refusal is None for report in reports for candidate in report.candidates)
    included = [item.para_id for report in reports for item in report.imported]
    # Nobody can build on a relay chain's genesis, and a real one is past it when the run begins.
    rounds = (blocks - topology.relaychain.is_model) // 2
    assert included.count(REAL) == included.count(PYTHON) == rounds
    return network, [answer for report in reports for item in report.imported for answer in item.answers]


def check_answers(network: Network, answers: list[Answer]) -> None:
    """What was shown is what the other chains' states held, at the heads that the relay chain had included."""
    asked = next(para for para in network.parachains if para.para_id == REAL)
    about_real = [answer for answer in answers if answer.source == REAL]
    about_relay = [answer for answer in answers if answer.source is None]
    assert about_real
    assert about_relay
    for answer in about_real:
        assert answer.head is not None
        header = asked.node.header(answer.head)
        assert header is not None
        for value in answer.values:
            assert value.value == asked.node.storage(value.key, answer.head)
        by_name = {value.name: value for value in answer.values}
        assert by_name["System.Number"].value == u32.encode(header.number)
        assert by_name["No.Such"].value is None
    for answer in about_relay:
        (value,) = answer.values
        assert value.key == CURRENT_SLOT
        assert value.value is not None
        assert network.chain.genesis.slot < u64.decode(value.value) < network.chain.best.slot


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_a_real_relay_chain_includes_both_and_serves_its_state(text: Write, mode: RelayStateMode) -> None:
    network, answers = run(text(), 10, mode)
    assert isinstance(network.chain, RealRelayChain)
    assert [validator.name for validator in network.chain.validators[:3]] == ["alice", "bob", "validator-2"]
    check_answers(network, answers)
    # The real chain's metadata say how to read its values, the relay chain's how to read its own.
    texts = {value.name: value.text for answer in answers for value in answer.values}
    assert texts["System.Number"].isdecimal()
    assert texts["No.Such"] == "nothing"
    for para in network.parachains:
        head = network.chain.state(network.chain.best).para_head(para.para_id)
        assert head is not None
        assert Header.decode(head).hash() == para.node.best_hash


def test_the_model_includes_a_real_parachain_too(text: Write) -> None:
    network, answers = run(text(relay="model"), 10)
    check_answers(network, answers)


def test_the_same_seed_gives_the_same_bytes(text: Write) -> None:
    without_queries = text().split("[[queries]]")[0]
    first, second = (run(without_queries, 4)[0] for _ in range(2))
    assert first.chain.best.hash == second.chain.best.hash


def test_a_record_of_real_chains_is_judged_again(text: Write, tmp_path: Path) -> None:
    network = Network(parse_topology(text()), seed=1, relay_state="own")
    recorder = RunRecorder(tmp_path / "record", network, text())
    for report in network.run(4):
        recorder.record(report)
    recorder.finish()
    recorded = RecordedRun(tmp_path / "record")
    assert recorded.labels() == ("1000-1", "1000-2", "2000-1", "2000-2")
    for label in recorded.labels():
        candidate = recorded.candidate(label)
        recorded.check_params(candidate)
        assert isinstance(candidate.judge(OwnState(recorded.relay_node())), Valid)
    real = recorded.candidate("1000-2")
    (code,) = (tmp_path / "record" / "codes").iterdir()
    assert real.runtime == f"0x{code.name}"
    damaged = bytearray(code.read_bytes())
    damaged[1000] ^= 1
    code.write_bytes(damaged)
    verdict = real.judge(Carried())
    assert isinstance(verdict, Abstain)
    assert "no validation code with hash" in verdict.detail
    assert main(["pov", "validate", str(tmp_path / "record"), "--candidate", "1000-2"]) == 1


def refused(text: str, directory: Path = Path()) -> str:
    with pytest.raises(TopologyError) as caught:
        Network(parse_topology(text), seed=0, relay_state="own", directory=directory)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_chain_specs_that_are_not_there_or_no_use(
    text: Write, tmp_path: Path, vectors_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILEUS_REAL_CHAINS", raising=False)
    assert refused(text(relay="rococo_v2_1"), tmp_path) == (
        "$.relaychain.chain: there is no chain spec 'rococo_v2_1' in .cache/real-chains of "
        f"{tmp_path.resolve()} or of a folder above it, which has none: "
        "'make real-chains' in a checkout of Pileus fetches those of the examples; a path names any other"
    )
    monkeypatch.setenv("PILEUS_REAL_CHAINS", str(tmp_path))
    for name in ("moon", "mars"):
        (tmp_path / f"{name}.json").write_text("{}")
    assert f"in {tmp_path} (PILEUS_REAL_CHAINS), which has mars, moon: 'make real-chains'" in refused(
        text(para="asset_hub"), tmp_path
    )
    for content, reason in (
        (b"{}", "neither $.genesis nor $.top"),
        (b"\0asm\1\0\0\0", "expected a raw chain spec, found a runtime blob"),
        (b'{"top": {"0x01": "0x"}}', "the state has no runtime under :code"),
        (b'{"top": {"0x3a636f6465": "0x0061736d01000000"}}', "does not start: the module has 0 memories"),
    ):
        (tmp_path / "chain.json").write_bytes(content)
        message = refused(text(para="chain"), tmp_path)
        assert message.startswith("$.parachains[0].chain_spec: ")
        assert reason in message
        assert reason in refused(text(para="./chain.json"), tmp_path)
    assert "cannot read" in refused(text(para="absent.json"), tmp_path)
    files = vectors_dir / "files"
    solo = str(files / "local-testnet-genesis.json.gz")
    assert refused(text(relay=solo)).startswith("$.relaychain.chain: ")
    other = str(files / "kilt-spiritnet-genesis.json.gz")
    assert "its genesis is that of parachain 2086, expected 1000 as in id" in refused(text(para=other))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('chain_spec = "', 'runtime = "a.b"\nchain_spec = "', "$.parachains[0].chain_spec: expected either this"),
        (
            'name = "real-collator"',
            'name = "real-collator"\n[[parachains.collators]]\nname = "second"',
            "$.parachains[0].collators: expected one for a chain spec",
        ),
        ("of = 1000", "of = 3000", '$.queries[0].of: expected "relay" or the id of a parachain (1000, 2000), got 3000'),
        ("of = 1000", "of = 2000", "$.queries[0].of: expected another chain than from"),
        ("from = 2000", "from = 1000", "$.queries[0].from: expected the id of a parachain with a Python runtime"),
        ('"System.Number"', '"System"', "$.queries[0].keys[0]: "),
        ('"System.Number"', '"0x123"', "$.queries[0].keys[0]: "),
        ('["System.Number", "Timestamp.Now", "No.Such"]', "[]", "$.queries[0].keys: "),
        ("[[queries]]", "[[traffic]]\nfrom = 2000\nto = 1000\n[[queries]]", "1000 runs a chain spec"),
        (
            "[[relaychain.nodes]]",
            "epoch_length = 20\n[[relaychain.nodes]]",
            "$.relaychain.epoch_length: expected for the model",
        ),
        (
            "[[relaychain.nodes]]",
            "allowed_ancestry_len = 2\n[[relaychain.nodes]]",
            "$.relaychain.allowed_ancestry_len: expected for the model",
        ),
    ],
)  # fmt: skip
def test_topologies_that_contradict_themselves(text: Write, old: str, new: str, message: str) -> None:
    changed = text().replace(old, new, 1)
    assert changed != text()
    assert message in refused(changed)


def test_the_example_needs_make_real_chains_and_says_so(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILEUS_REAL_CHAINS", str(tmp_path))
    assert main(["run", str(repository / "examples" / "real_relay.toml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'make real-chains' in a checkout of Pileus fetches those of the examples" in error
