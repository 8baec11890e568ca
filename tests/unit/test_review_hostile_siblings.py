"""What siblings and dishonest authors do to a chain: lies never become messages, and none of it stops the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pileus.collator import Collation, Collator
from pileus.collator.message_source import Fetched, FetchRequest, SiblingMessageSource
from pileus.network.parachain import dev_keypair
from pileus.network.run import Network
from pileus.network.topology import Collator as CollatorNode
from pileus.network.topology import (
    Parachain,
    RelayChainSection,
    RelayNode,
    RelayStateMode,
    Topology,
    Traffic,
)
from pileus.testing import recommit, reseal
from pov_validator import Carried, Invalid, OwnState, Valid, Verdict, validate_candidate
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS
from runtime.pallets.state_messaging.types import InboundItem, LaneBatch, MessageBody
from runtime.primitives.additional_data import RELAY_PROOF_KEY
from runtime.primitives.block import Block
from runtime.primitives.parachain import PoV
from runtime.support.sibling_ancestry import NewestHead


def topology(paras: int, *traffic: Traffic) -> Topology:
    return Topology(
        relaychain=RelayChainSection(nodes=tuple(RelayNode(f"validator-{at}") for at in range(paras))),
        parachains=tuple(
            Parachain(id=1000 + at, collators=(CollatorNode(f"collator-{at}"),)) for at in range(paras)
        ),
        traffic=traffic,
    )


@cache
def candidate(mode: RelayStateMode) -> tuple[Network, Collation]:
    """A candidate of para 1001 that receives messages of 1000."""
    network = Network(
        topology(2, Traffic(source=1000, destination=1001, count=2, size=8)), seed=1, relay_state=mode
    )
    for _ in range(20):
        for report in network.step().candidates:
            if report.proven:
                return network, report.collation
    raise AssertionError("no message was ever received")


# Additional data.


@pytest.mark.parametrize("change", ["rename", "add"])
def test_additional_data_under_another_name_is_invalid_for_everybody(change: str) -> None:
    """The digest does not commit to names: with its own relay state a validator found a renamed proof valid."""
    network, collation = candidate("carried")
    (additional,) = collation.block_data.additional_data
    assert additional is not None
    renamed = {"polkadot/relay_proof2": additional[RELAY_PROOF_KEY]}
    changed = renamed if change == "rename" else {**additional, **renamed}
    block = Block(
        reseal(collation.block.header, dev_keypair("collator-1")), collation.block.extrinsics
    )  # the seal is randomized, nothing else changes
    commitments = replace(collation.commitments, head_data=block.header.encode())
    data = replace(collation.block_data, blocks=(block,), additional_data=(changed,))
    pov = PoV(data.encode())
    descriptor = replace(
        recommit(collation.descriptor, pov), para_head=network.parachains[1].runtime.code_hash
    )
    verdicts: list[Verdict] = [
        validate_candidate(
            descriptor, commitments.hash(), pov, collation.pvd, network.parachains[1].runtime, source
        )
        for source in (Carried(), OwnState(network.chain.database))
    ]
    for verdict in verdicts:
        assert isinstance(verdict, Invalid)
        assert "additional data of an unknown producer: 'polkadot/relay_proof2'" in verdict.detail


# Siblings that lie.

Lie = Callable[[Sequence[bytes]], Any]


class LyingNode:
    """Answers of a real node, changed."""

    def __init__(self, node: Any, lie: Lie) -> None:
        self._node = node
        self._lie = lie

    def read_proof(self, keys: Sequence[bytes], at: bytes) -> Any:
        return self._lie(self._node.read_proof(keys, at))

    def message_bodies(self, *request: Any) -> Any:
        return self._lie(self._node.message_bodies(*request))


@cache
def request() -> tuple[Network, FetchRequest, Fetched]:
    """What the collator of 1001 asks of 1000 on the newest relay block, and the honest answer."""
    network, _ = candidate("own")
    (collator,) = network.parachains[1]._collators
    asked: list[FetchRequest] = []

    class Listening:
        para_id = 1000

        def fetch(self, request: FetchRequest) -> Fetched:
            asked.append(request)
            return Fetched(None)

    collator.messages.fetch(Listening(), network.chain.best.hash, network.parachains[1].node.best_hash)
    source = SiblingMessageSource(1000, network.parachains[0].node, network.parachains[0].node.layout)
    return network, asked[0], source.fetch(asked[0])


def raising(error: Exception) -> Lie:
    def lie(_: Sequence[bytes]) -> Any:
        raise error

    return lie


JUNK = st.binary(max_size=40) | st.sampled_from([b"\x00", b"\x80\x01\x00\x00", b"\x7f" + b"\xff" * 30])
LIES: st.SearchStrategy[Lie] = st.one_of(
    st.builds(lambda junk: lambda answer: [*answer, junk], JUNK),
    st.builds(lambda at: lambda answer: [*answer[:at], *answer[at + 1 :]], st.integers(0, 8)),
    st.builds(lambda at: lambda answer: [*answer, *answer[at : at + 1]], st.integers(0, 8)),
    st.builds(
        lambda at, cut: lambda answer: [*answer[:at], *(item[:cut] for item in answer[at:])],
        st.integers(0, 8),
        st.integers(0, 60),
    ),
    st.builds(lambda junk: lambda answer: junk, st.lists(JUNK | st.none() | st.integers(), max_size=4)),
)


@given(LIES)
@example(raising(ConnectionResetError("gone")))
@example(raising(TimeoutError("slow")))
@example(lambda answer: [None])
@example(lambda answer: [bytearray(item) for item in answer])
@example(lambda answer: range(5))
@example(lambda answer: [b""] * 3000)
@example(lambda answer: [bytes(2**20 + 1)])
def test_no_answer_of_a_sibling_raises_or_passes_unproven(lie: Lie) -> None:
    network, asked, honest = request()
    assert honest.item is not None
    node = network.parachains[0].node
    fetched = SiblingMessageSource(1000, LyingNode(node, lie), node.layout).fetch(asked)
    if fetched.item is None:
        # Less than everything is the worst a lie achieves, and the reason is said.
        assert fetched.problem
    else:
        (told,), (true,) = fetched.item.batches, honest.item.batches
        assert told.bodies == true.bodies[: len(told.bodies)]


def test_a_message_larger_than_the_chain_accepts_is_not_fetched() -> None:
    """The runtime would refuse the item, in every block again; up to a megabyte of each PoV for nothing."""
    network, asked, _ = request()
    node = network.parachains[0].node
    limits = replace(DEFAULT_LIMITS, max_message_size=7)
    fetched = SiblingMessageSource(1000, node, node.layout, limits).fetch(asked)
    assert fetched.item is None
    assert fetched.problem


# Siblings that send much.


def answer(source: int, size: int) -> tuple[int, Fetched]:
    body = MessageBody(b"", b"", None, bytes(size))
    return source, Fetched(InboundItem(1, source, NewestHead(bytes(32)), (LaneBatch(0, 1, (body,)),)))


def collator_of(network: Network) -> Collator:
    (collator,) = network.parachains[1]._collators
    return collator


@given(st.lists(st.integers(0, 1_300_000), max_size=12), st.integers(0, 2**32 - 1))
@example([1_300_000] * 12, 0)
def test_what_a_block_takes_is_within_its_limits_and_nobody_waits_for_ever(
    sizes: list[int], first: int
) -> None:
    collator = collator_of(candidate("own")[0])
    fetched = [answer(source, size) for source, size in enumerate(sizes)]
    served: set[int] = set()
    for turn in range(len(sizes)):
        taken = collator.messages.fitting(fetched, 10 * 1024 * 1024, first=first + turn)
        assert [source for source, _ in taken] == [source for source, _ in fetched]
        items = [(source, found.item) for source, found in taken if found.item is not None]
        assert sum(item.payload_bytes() for _, item in items) <= DEFAULT_LIMITS.max_inherent_bytes
        for source, found in taken:
            assert (found.item is None) == (
                found.problem == f"the messages of {source} wait: the block is full"
            )
        served.update(source for source, _ in items)
    assert served == set(range(len(sizes)))


def test_more_siblings_than_a_block_takes() -> None:
    collator = collator_of(candidate("own")[0])
    taken = collator.messages.fitting(
        [answer(source, 1) for source in range(150)], 10 * 1024 * 1024, first=149
    )
    items = [source for source, found in taken if found.item is not None]
    assert items == [*range(99), 149]


def test_four_busy_siblings_do_not_stop_a_chain() -> None:
    """Honest siblings with a megabyte each: their inherent was too large, for this block and every one after it."""
    busy = [
        Traffic(source=1000 + at, destination=1000, count=10, size=100_000, until=1) for at in range(1, 5)
    ]
    network = Network(topology(5, *busy), seed=1, relay_state="own")
    consumed = 0
    for _ in range(8):
        report = network.step()
        assert not any("could not collate" in problem for problem in report.problems)
        for found in report.candidates:
            assert all(isinstance(verdict, Valid) for _, verdict in found.outcome.verdicts)
        # The mailbox takes no message of that size: it fails, and is consumed.
        consumed += sum(
            len(imported.delivered + imported.failed)
            for imported in report.imported
            if imported.para_id == 1000
        )
    assert consumed == 40
