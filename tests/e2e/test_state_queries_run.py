"""Two parachains and the relay chain, running: queries asked by extrinsics are answered by collators and validated.

Both relay-state forms; every candidate is judged by every backer, so that the answers are judged with it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.network.run import Network
from pileus.network.topology import RelayStateMode, Topology, read_topology
from runtime.chains import demo
from runtime.pallets.lookout import Seen
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u32
from runtime.support.sibling_ancestry import block_hash_key

ASKER, ASKED = 1000, 2000


@pytest.fixture(scope="module")
def topology(repository: Path) -> Topology:
    return read_topology(repository / "examples" / "two_parachains.toml")[1]


def seen(network: Network) -> list[Seen]:
    """What the lookout of the asking chain was shown, block by block."""
    para = next(para for para in network.parachains if para.para_id == ASKER)
    found = []
    header = para.node.best_header
    while header.number:
        raw = para.node.storage(demo.system.Events.key(), header.hash())
        records = demo.pallets.decode_events(raw or b"\x00")
        found += [record.event for record in records if isinstance(record.event, Seen)]
        parent = para.node.header(header.parent_hash)
        assert parent is not None
        header = parent
    return sorted(found, key=lambda event: event.query)


@pytest.mark.parametrize("form", ["own", "carried"])
def test_keys_a_map_an_older_block_and_relay_state_are_answered(
    form: RelayStateMode, topology: Topology
) -> None:
    network = Network(topology, seed=1, relay_state=form)
    asker, asked = sorted(network.parachains, key=lambda para: para.para_id)
    lookout = demo.lookout
    number_key = demo.system.Number.key()
    reports = list(network.run(6))
    old = asked.node.best_header
    calls = [
        lookout.call_of(lookout.look, ASKED, None, (demo.parachain_info.ParachainId.key(), b"no such key")),
        lookout.call_of(lookout.survey, ASKED, demo.system.BlockHash.prefix, None, 100),
        lookout.call_of(lookout.look, ASKED, old.number, (number_key,)),
        lookout.call_of(lookout.look, None, None, (relay_keys.CURRENT_SLOT, relay_keys.para_head(ASKED))),
        lookout.call_of(lookout.survey, None, relay_keys.PARAS_HEADS, None, 10),
    ]
    for call in calls:
        asker.submit(call.encode())
    reports += network.run(8)

    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    assert [problem for report in reports for problem in report.problems] == []
    keys, blocks, older, relay, heads = seen(network)
    assert dict(keys.entries) == {
        demo.parachain_info.ParachainId.key(): u32.encode(ASKED),
        b"no such key": None,
    }
    hashes = dict(blocks.entries)
    assert hashes[block_hash_key(old.number)] == old.hash()
    assert hashes[block_hash_key(0)] == bytes(32) or hashes[block_hash_key(0)] == asked.node.genesis_hash
    assert dict(older.entries) == {number_key: u32.encode(old.number)}
    assert set(dict(relay.entries)) == {relay_keys.CURRENT_SLOT, relay_keys.para_head(ASKED)}
    assert None not in dict(relay.entries).values()
    shown = dict(heads.entries)
    assert set(shown) == {relay_keys.para_head(para) for para in (ASKER, ASKED)}
    # The head that the relay chain showed is a block of the asked chain.
    head = shown[relay_keys.para_head(ASKED)]
    assert head is not None
    header = asked.node.header(Header.decode(byte_vec.decode(head)).hash())
    assert header is not None
    assert header.number > old.number


def test_a_query_to_a_chain_without_a_node_stays_open(topology: Topology) -> None:
    """No answer is not absence, and no reason to stop."""
    network = Network(topology, seed=1, relay_state="own")
    asker, _ = sorted(network.parachains, key=lambda para: para.para_id)
    for collator in asker._collators:
        collator.query_sources.clear()
    list(network.run(4))
    lookout = demo.lookout
    asker.submit(lookout.call_of(lookout.look, ASKED, None, (b"key",)).encode())
    reports = list(network.run(8))
    assert all(candidate.all_valid for report in reports for candidate in report.candidates)
    assert seen(network) == []
    opened = asker.node.storage(demo.state_query.Open.key(), asker.node.best_hash)
    assert opened is not None
    ((query_id, expires_at),) = demo.state_query.Open.codec.decode(opened)
    assert query_id == 1
    assert expires_at > asker.node.best_header.number
