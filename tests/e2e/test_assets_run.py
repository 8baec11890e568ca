"""Assets between running parachains: out, back, and home again after a timeout; value is conserved after every block.

Both relay-state forms; every candidate is judged by every backer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pileus.network.parachain import RunningParachain, dev_keypair
from pileus.network.run import Network
from pileus.network.topology import RelayStateMode, Topology, read_topology
from pileus.testing.conservation import AssetBook, check_conservation, read_book
from runtime.chains import demo
from runtime.pallets.assets import TransferReceived, TransferSettled
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.primitives.scale import u64

HOME, ABROAD = 1000, 2000
UNIT = demo.UNIT
assets = demo.assets


@pytest.fixture(scope="module")
def topology(repository: Path) -> Topology:
    return read_topology(repository / "examples" / "two_parachains.toml")[1]


class World:
    """A network whose books are compared after every relay block."""

    def __init__(self, topology: Topology, form: RelayStateMode) -> None:
        self.network = Network(topology, seed=1, relay_state=form)
        self.paras = {para.para_id: para for para in self.network.parachains}

    def run(self, blocks: int) -> dict[int, AssetBook]:
        for report in self.network.run(blocks):
            assert all(candidate.all_valid for candidate in report.candidates)
            assert report.problems == ()
            books = {
                para_id: read_book(para.node.nodes, para.node.best_header.state_root)
                for para_id, para in self.paras.items()
            }
            check_conservation(books)
        return books

    def send(
        self, source: int, dest: int, home: int, to: RunningParachain, amount: int, timeout: int | None
    ) -> None:
        who = dev_keypair(f"{to.name}-sender").public_key
        call = assets.call_of(assets.transfer, dest, home, who, amount, timeout)
        self.paras[source].submit(call.encode())

    def events(self, para_id: int, kind: type) -> list[object]:
        """Of all imported blocks, oldest first."""
        node = self.paras[para_id].node
        found: list[object] = []
        header = node.best_header
        while header.number:
            raw = node.storage(demo.system.Events.key(), header.hash())
            records = demo.pallets.decode_events(raw or b"\x00")
            found[:0] = [record.event for record in records if isinstance(record.event, kind)]
            parent = node.header(header.parent_hash)
            assert parent is not None
            header = parent
        return found

    def now(self, para_id: int) -> int:
        node = self.paras[para_id].node
        raw = node.storage(demo.timestamp.Now.key(), node.best_hash)
        assert raw is not None
        return u64.decode(raw)


def outcomes(settled: Sequence[object]) -> list[Outcome]:
    return [Outcome(event.outcome) for event in settled if isinstance(event, TransferSettled)]


@pytest.mark.parametrize("form", ["own", "carried"])
def test_out_back_and_refunded(form: RelayStateMode, topology: Topology) -> None:
    world = World(topology, form)
    home, abroad = world.paras[HOME], world.paras[ABROAD]
    world.run(3)
    world.send(HOME, ABROAD, HOME, abroad, 5 * UNIT, None)
    books = world.run(8)
    assert books[HOME].locked == {ABROAD: 5 * UNIT}
    assert books[ABROAD].derivatives == {HOME: 5 * UNIT}

    world.send(ABROAD, HOME, HOME, home, 2 * UNIT, None)
    # Too short for any message to arrive.
    world.send(HOME, ABROAD, HOME, abroad, 7 * UNIT, world.now(HOME) + 12_001)
    books = world.run(12)
    assert books[HOME].locked == {ABROAD: 3 * UNIT}
    assert books[ABROAD].derivatives == {HOME: 3 * UNIT}
    assert books[HOME].transit == {}
    assert books[ABROAD].transit == {}
    assert [
        event.amount for event in world.events(HOME, TransferReceived) if isinstance(event, TransferReceived)
    ] == [2 * UNIT]
    settled = outcomes(world.events(HOME, TransferSettled))
    assert settled[0] is Outcome.DELIVERED
    assert settled[1] in (Outcome.TIMED_OUT, Outcome.EXPIRED)
    assert outcomes(world.events(ABROAD, TransferSettled)) == [Outcome.DELIVERED]
