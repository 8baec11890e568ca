"""Two parachains exchange messages over the relay chain model, in both relay-state forms."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.network import record
from pileus.network.messages import MessageId
from pileus.network.record import RecordError, RunRecorder
from pileus.network.recorded import RecordedRun
from pileus.network.report import SlotReport
from pileus.network.run import Network
from pileus.network.summary import summary_of
from pileus.network.timeline import slot_lines, summary_tables
from pileus.network.topology import RelayStateMode, Topology, TopologyError, parse_topology, read_topology
from pileus.testing import recommit
from pov_validator import Abstain, AbstainReason, Carried, Invalid, InvalidReason, OwnState, Valid
from runtime.chains import demo
from runtime.pallets.mailbox import Letter
from runtime.primitives.parachain import PoV, ValidationParams
from runtime.primitives.parachain_block_data import ParachainBlockData

BLOCKS = 10
MODES: tuple[RelayStateMode, ...] = ("own", "carried")


@pytest.fixture(scope="module")
def topology(repository: Path) -> Topology:
    return read_topology(repository / "examples" / "two_parachains.toml")[1]


Finished = tuple[Network, list[SlotReport]]


@pytest.fixture(scope="module", params=MODES)
def finished(request: pytest.FixtureRequest, topology: Topology) -> Finished:
    network = Network(topology, seed=1, relay_state=request.param)
    return network, list(network.run(BLOCKS))


def test_every_candidate_is_valid_for_every_backer_and_included(finished: Finished) -> None:
    network, reports = finished
    candidates = [candidate for report in reports for candidate in report.candidates]
    assert len(candidates) == 2 * (BLOCKS // 2)
    assert all(candidate.all_valid and candidate.backed for candidate in candidates)
    assert [problem for report in reports for problem in report.problems] == []
    for para in network.parachains:
        head = network.chain.state(network.chain.best).para_head(para.para_id)
        assert head == para.node.best_header.encode()
        assert para.node.best_header.number == (BLOCKS - 1) // 2


def test_messages_arrive_both_ways_in_order_and_once(finished: Finished) -> None:
    _, reports = finished
    for source, dest in ((1000, 2000), (2000, 1000)):
        route = [
            (kind, message.nonce)
            for report in reports
            for imported in report.imported
            for kind, messages in (("sent", imported.sent), ("delivered", imported.delivered))
            for message in messages
            if (message.source, message.dest) == (source, dest)
        ]
        sent = [nonce for kind, nonce in route if kind == "sent"]
        delivered = [nonce for kind, nonce in route if kind == "delivered"]
        assert delivered
        assert sent == list(range(1, len(sent) + 1))
        assert delivered == sent[: len(delivered)]
    assert not [message for report in reports for imported in report.imported for message in imported.failed]


def test_the_payload_that_arrives_is_the_payload_that_was_sent(finished: Finished) -> None:
    network, _ = finished
    by_id = {para.para_id: para for para in network.parachains}
    raw = by_id[2000].node.storage(demo.mailbox.LastLetter.key(1000), by_id[2000].node.best_hash)
    assert raw is not None
    letter = Letter.decode(raw)
    entry = network.ledger.entries[MessageId(1000, 2000, 0, letter.nonce)]
    assert entry.consumed is not None
    assert len(letter.payload) == 48


def test_what_a_candidate_carries_depends_on_the_form(finished: Finished) -> None:
    network, reports = finished
    for report in reports:
        for candidate in report.candidates:
            carries = candidate.parts.additional_data > 0
            assert carries == (network.carried and bool(candidate.collation.relay_reads))
            assert candidate.parts.payload == len(candidate.collation.block_data.encode())
            assert candidate.parts.compressed == len(candidate.collation.pov.encode())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(topology: Topology) -> None:
    def relay_blocks(seed: int) -> list[bytes]:
        network = Network(topology, seed=seed, relay_state="own")
        return [report.block.hash for report in network.run(4)]

    assert relay_blocks(1) == relay_blocks(1)
    assert relay_blocks(1) != relay_blocks(2)


def test_a_candidate_that_nobody_backs_is_built_again_with_its_extrinsics(topology: Topology) -> None:
    """Its messages are not lost: they wait in the mempool until a block with them is included."""
    network = Network(topology, seed=1, relay_state="own")
    network.step()
    group = network.chain.group_of(1000, network.chain.best)
    codes = group[0].codes
    for validator in group:
        validator.codes = {}
    left = next(candidate for candidate in network.step().candidates if candidate.para_id == 1000)
    assert not left.backed
    for _, verdict in left.outcome.verdicts:
        assert isinstance(verdict, Abstain)
        assert verdict.reason is AbstainReason.VALIDATION_CODE_UNAVAILABLE
    for validator in group:
        validator.codes = codes
    again = next(candidate for candidate in network.step().candidates if candidate.para_id == 1000)
    assert (again.number, again.attempt, again.label) == (1, 2, "1000-1.2")
    assert again.backed
    (imported,) = [item for item in network.step().imported if item.para_id == 1000]
    assert [message.nonce for message in imported.sent] == [1, 2, 3, 4]


def test_other_topologies(topology: Topology) -> None:
    """Three parachains, several collators taking turns, a node that is no validator."""
    text = """
    [relaychain]
    finality_lag = 0
    nodes = [{name = "alice"}, {name = "bob"}, {name = "charlie"}, {name = "watcher", validator = false}]
    [[parachains]]
    id = 1
    collators = [{name = "a"}, {name = "b"}]
    [[parachains]]
    id = 2
    collators = [{name = "c"}]
    [[parachains]]
    id = 4294967295
    collators = [{name = "d"}, {name = "e"}, {name = "f"}]
    [[traffic]]
    from = 1
    to = 4294967295
    size = 0
    [[traffic]]
    from = 4294967295
    to = 2
    every = 2
    """
    network = Network(parse_topology(text), seed=0, relay_state="carried")
    reports = list(network.run(12))
    assert len(network.chain.validators) == 3
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    delivered = {(source, dest): route.delivered for source, dest, route in network.ledger.routes()}
    assert delivered.keys() == {(1, 4294967295), (4294967295, 2)}
    assert all(delivered.values())


def test_totals_agree_with_the_entries(finished: Finished) -> None:
    network, _ = finished
    for source, dest, route in network.ledger.routes():
        entries = [
            entry
            for message, entry in network.ledger.entries.items()
            if (message.source, message.dest) == (source, dest)
        ]
        consumed = [entry for entry in entries if entry.consumed is not None]
        assert route.sent == len(entries)
        assert route.proven == sum(entry.proven is not None for entry in entries)
        assert route.delivered + route.failed == len(consumed)
        assert route.latency == sum((entry.consumed or 0) - entry.sent for entry in consumed) / len(consumed)


def test_messages_that_are_refused_where_they_are_sent_are_shown(topology: Topology) -> None:
    """The runtime limits the size of a message; the extrinsic stays in the block, and its failure is reported."""
    network = Network(replace_traffic(topology, size=110_000), seed=1, relay_state="own")
    reports = list(network.run(3))
    (candidate,) = [item for item in reports[1].candidates if item.para_id == 1000]
    assert candidate.all_valid
    assert candidate.failed_calls == 2
    assert "calls that failed in the block: 2" in "\n".join(line.plain for line in slot_lines(reports[1]))
    assert network.ledger.routes() == ()


def test_messages_that_the_recipient_refuses_are_failed_and_not_delivered(topology: Topology) -> None:
    """The demo's mailbox takes letters of 4096 bytes; a longer one is consumed all the same."""
    network = Network(replace_traffic(topology, size=5_000), seed=1, relay_state="carried")
    reports = list(network.run(8))
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    ((_, _, route),) = network.ledger.routes()
    assert route.failed > 0
    assert (route.delivered, route.latency) == (0, None)
    failed = [message for report in reports for item in report.imported for message in item.failed]
    assert [message.nonce for message in failed] == list(range(1, route.failed + 1))


def replace_traffic(topology: Topology, *, size: int) -> Topology:
    (traffic, *_) = topology.traffic
    big = type(traffic)(traffic.source, traffic.destination, count=1, size=size)
    return type(topology)(topology.relaychain, topology.parachains, topology.settings, (big,))


def test_runtimes_that_cannot_be_loaded_are_named(topology: Topology) -> None:
    for module, expected in (("no.such.module", "importable"), ("json", "ENTRY_POINTS")):
        para = topology.parachains[0]
        broken = type(topology)(
            topology.relaychain,
            (type(para)(para.id, para.collators, para.chain, module), *topology.parachains[1:]),
        )
        with pytest.raises(TopologyError, match=rf"^\$\.parachains\[0\]\.runtime: .*{expected}"):
            Network(broken, seed=0, relay_state="own")


class TestTimeline:
    def test_it_reads_without_colour(self, finished: Finished) -> None:
        _, reports = finished
        text = "\n".join(line.plain for report in reports for line in slot_lines(report))
        for expected in (
            "relay #1 ",
            "candidate left #1  1000-1  on relay #1  PoV",
            "backed 3/3",
            "alice valid",
        ):
            assert expected in text
        assert "proves 1000→2000 #1-2" in text
        assert "delivered 1000→2000 #1-2" in text

    def test_the_tables_hold_the_totals(self, finished: Finished) -> None:
        network, _ = finished
        summary = summary_of(network)
        paras, messages = summary_tables(summary)
        assert paras.row_count == len(network.parachains)
        assert messages.row_count == len(summary["messages"]) == 2
        assert summary["candidates"]["total"] == summary["candidates"]["valid_for_every_backer"] == BLOCKS


@pytest.fixture(scope="module", params=MODES)
def recorded(
    request: pytest.FixtureRequest, topology: Topology, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RecordedRun, Network]:
    directory = tmp_path_factory.mktemp("run")
    network = Network(topology, seed=1, relay_state=request.param)
    recorder = RunRecorder(directory, network, "# the topology\n")
    for report in network.run(BLOCKS):
        recorder.record(report)
    recorder.finish()
    return RecordedRun(directory), network


class TestRecord:
    def test_every_candidate_is_judged_the_same_again(self, recorded: tuple[RecordedRun, Network]) -> None:
        run, network = recorded
        assert run.complete
        assert len(run.labels()) == BLOCKS
        own = OwnState(run.relay_node())
        for label in run.labels():
            candidate = run.candidate(label)
            assert {entry["verdict"] for entry in run.recorded_verdicts(label)["verdicts"]} == {"Valid"}
            verdict = candidate.judge(own)
            assert isinstance(verdict, Valid)
            assert verdict.commitments.hash() == candidate.receipt.commitments_hash
            carried = candidate.judge(Carried())
            if network.carried:
                assert carried == verdict
            else:
                assert isinstance(carried, Valid) or (
                    isinstance(carried, Invalid) and carried.reason is InvalidReason.RELAY_WITNESS_MISSING
                )

    def test_the_recorded_parameters_are_what_the_guest_got(
        self, recorded: tuple[RecordedRun, Network]
    ) -> None:
        run, _ = recorded
        for label in run.labels():
            candidate = run.candidate(label)
            params = ValidationParams.decode(
                (run.directory / "candidates" / label / "params.scale").read_bytes()
            )
            assert params.parent_head == candidate.pvd.parent_head
            assert ParachainBlockData.decode(params.block_data).blocks[0].header.number == candidate.number

    def test_without_the_relay_state_own_abstains_and_carried_decides(
        self, recorded: tuple[RecordedRun, Network]
    ) -> None:
        """What #1359 asks for: the relay parent's state is pruned, then the candidate is judged."""
        run, network = recorded
        gone = OwnState(type(run.relay_node())({}))
        reading = [label for label in run.labels() if not isinstance(run.candidate(label).judge(gone), Valid)]
        assert reading, "no candidate of the run reads relay state"
        for label in reading:
            verdict = run.candidate(label).judge(gone)
            assert isinstance(verdict, Abstain)
            assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE
            assert isinstance(run.candidate(label).judge(Carried()), Valid) == network.carried

    def test_a_record_depends_on_nothing_but_topology_and_seed(
        self, recorded: tuple[RecordedRun, Network], topology: Topology, tmp_path: Path
    ) -> None:
        run, first = recorded
        network = Network(topology, seed=1, relay_state=first.relay_state)
        recorder = RunRecorder(tmp_path / "again", network, "# the topology\n")
        for report in network.run(BLOCKS):
            recorder.record(report)
        recorder.finish()
        assert digest_of(tmp_path / "again") == digest_of(run.directory)

    def test_a_tampered_pov_is_not_valid(self, recorded: tuple[RecordedRun, Network]) -> None:
        run, network = recorded
        source = Carried() if network.carried else OwnState(run.relay_node())
        candidate = run.candidate(run.labels()[-1])
        middle = len(candidate.pov.block_data) // 2
        flipped = bytearray(candidate.pov.block_data)
        flipped[middle] ^= 1
        pov = PoV(bytes(flipped))
        descriptor = recommit(candidate.receipt.descriptor, pov)
        receipt = replace(candidate.receipt, descriptor=descriptor)
        assert isinstance(replace(candidate, pov=pov, receipt=receipt).judge(source), Invalid)

    def test_a_run_is_readable_after_every_block(self, topology: Topology, tmp_path: Path) -> None:
        network = Network(topology, seed=1, relay_state="own")
        recorder = RunRecorder(tmp_path, network, "")
        for report in network.run(4):
            run = RecordedRun(tmp_path)
            assert not run.complete
            for label in run.labels():
                assert isinstance(run.candidate(label).judge(OwnState(run.relay_node())), Valid)
            recorder.record(report)
        assert not list(tmp_path.rglob("*.partial"))
        assert json.loads((tmp_path / "summary.json").read_text())["relay_chain"]["blocks"] == 4

    def test_an_interrupted_write_leaves_the_rest_readable(
        self, topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The disk fails at every possible file of the second half of a run."""
        network = Network(topology, seed=1, relay_state="own")
        recorder = RunRecorder(tmp_path, network, "")
        reports = network.run(4)
        recorder.record(next(reports))
        second = next(reports)
        writes = 0

        def failing(source: object, target: object) -> None:
            nonlocal writes
            writes -= 1
            if writes < 0:
                raise OSError(28, "No space left on device")
            original(source, target)

        original = record.os.replace
        monkeypatch.setattr(record.os, "replace", failing)
        for allowed in range(11):
            writes = allowed
            with pytest.raises(OSError, match="No space left"):
                recorder.record(second)
            run = RecordedRun(tmp_path)
            for label in run.labels():
                assert isinstance(run.candidate(label).judge(OwnState(run.relay_node())), Valid)
        writes = 100
        recorder.record(second)
        assert RecordedRun(tmp_path).labels() == ("1000-1", "2000-1")

    def test_a_directory_in_use_is_left_alone(self, topology: Topology, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(RecordError, match="not an empty directory"):
            RunRecorder(tmp_path, Network(topology, seed=1, relay_state="own"), "")
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def digest_of(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


PROBE_BESIDE_TWO = """
[settings]
blocks = 7
[[relaychain.nodes]]
name = "alice"
[[relaychain.nodes]]
name = "bob"
[[relaychain.nodes]]
name = "charlie"
[[parachains]]
id = 1000
[[parachains.collators]]
name = "one"
[[parachains]]
id = 2000
[[parachains.collators]]
name = "two"
[[parachains]]
id = 3000
runtime = "runtime.chains.probe"
[[parachains.collators]]
name = "three"
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_without_messages_beside_two_that_exchange_them(mode: RelayStateMode) -> None:
    topology = parse_topology(PROBE_BESIDE_TWO + "[[traffic]]\nfrom = 1000\nto = 2000\n")
    network = Network(topology, seed=1, relay_state=mode)
    reports = list(network.run(7))
    candidates = [candidate for report in reports for candidate in report.candidates]
    assert all(candidate.all_valid and candidate.backed for candidate in candidates)
    assert [problem for report in reports for problem in report.problems] == []
    imported = [one for report in reports for one in report.imported]
    assert [message.nonce for one in imported for message in one.delivered] == [1, 2, 3, 4]
    assert [para.node.best_header.number for para in network.parachains] == [3, 3, 3]
    offered = [para.node.version_at(para.node.best_hash) for para in network.parachains]
    assert [version.has_api("StateMessagingApi", 2) for version in offered] == [True, True, False]


@pytest.mark.parametrize(
    "section, at, pallet",
    [
        ("traffic]]\nfrom = 3000\nto = 1000", "from", "state_messaging"),
        ("traffic]]\nfrom = 1000\nto = 3000", "to", "state_messaging"),
        ("transfers]]\nfrom = 3000\nto = 1000\namount = 1", "from", "assets"),
        ("transfers]]\nfrom = 1000\nto = 3000\namount = 1", "to", "assets"),
        ('queries]]\nfrom = 3000\nof = 1000\nkeys = ["System.Number"]', "from", "lookout"),
    ],
)
def test_what_a_runtime_has_no_pallet_for_is_refused(section: str, at: str, pallet: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Network(parse_topology(f"{PROBE_BESIDE_TWO}[[{section}\n"), seed=1, relay_state="own")
    where = f"$.{section.partition(']')[0]}[0].{at}"
    assert str(caught.value) == f"{where}: the runtime of 3000 has no pallet {pallet}"
