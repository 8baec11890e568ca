"""The baseline that state proofs are compared with: horizontal messages over the relay chain, to a real collator.

A validation function of a few lines sends; the demo runtime receives, whose collator puts the messages into its
inherent and whose runtime checks them against the queue head in relay state, as every validator does again.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from host_functions.contexts import HostContext
from pileus.network.parachain import RunningParachain, dev_keypair, load_runtime
from pileus.network.topology import Collator, Parachain
from pileus.relay_chain import (
    ParaGenesis,
    RelayChain,
    RelayChainConfig,
    RelayChainInProcessInterface,
    StateDatabase,
    Validator,
)
from pileus.testing.relay_chains import HonestCollation, collate
from pov_validator import Valid
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    CandidateCommitments,
    InboundHrmpMessage,
    OutboundHrmpMessage,
    ValidationParams,
    ValidationResult,
)
from runtime.primitives.parachain_block_data import ParachainBlockData

SENDER, RECEIVER = 1000, 2001


class SendingRuntime:
    """Each candidate sends its payload's data to the receiver."""

    code = b"sends to 2001"
    code_hash = blake2_256(code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        params = ValidationParams.decode(argument)
        (data,) = ParachainBlockData.decode(params.block_data).proof
        messages = (OutboundHrmpMessage(RECEIVER, data),)
        head = blake2_256(params.parent_head + data)
        return ValidationResult(head, None, (), messages, 0, params.relay_parent_number).encode()


def boot() -> tuple[RelayChain, RunningParachain]:
    spec = Parachain(id=RECEIVER, collators=(Collator("receiver"),))
    receiver = RunningParachain(spec, *load_runtime(spec.runtime, "here"))
    codes = {SendingRuntime.code_hash: SendingRuntime(), receiver.runtime.code_hash: receiver.runtime}
    database = StateDatabase()
    validators = [
        Validator(index, name, dev_keypair(name), database, codes)
        for index, name in enumerate(("alice", "bob", "charlie", "dave"))
    ]
    paras = [
        ParaGenesis(SENDER, b"genesis", SendingRuntime.code_hash),
        ParaGenesis(RECEIVER, receiver.node.genesis.encode(), receiver.runtime.code_hash),
    ]
    chain = RelayChain(RelayChainConfig(), paras, validators, database)
    receiver.start_collators(RelayChainInProcessInterface(chain), (), commit_relay_reads=False)
    chain.open_hrmp_channel(SENDER, RECEIVER)
    chain.build_block()
    return chain, receiver


def send(chain: RelayChain, data: bytes) -> HonestCollation:
    """A candidate of the sender, with what `SendingRuntime` makes of it."""
    plain = collate(chain, SENDER, data)
    head = blake2_256(plain.pvd.parent_head + data)
    commitments = CandidateCommitments(
        (), (OutboundHrmpMessage(RECEIVER, data),), None, head, 0, plain.pvd.relay_parent_number
    )
    descriptor = replace(
        plain.descriptor, para_head=blake2_256(head), validation_code_hash=SendingRuntime.code_hash
    )
    return HonestCollation(SENDER, descriptor, commitments, plain.pov, plain.pvd, ())


@pytest.mark.parametrize("sizes", [(5,), (5, 0, 40_000)])
def test_messages_reach_the_receivers_block_and_leave_the_channel(sizes: tuple[int, ...]) -> None:
    chain, receiver = boot()
    relay = RelayChainInProcessInterface(chain)
    sent = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    for data in sent:
        backed = chain.back(send(chain, data), carried=False).backed
        assert backed is not None
        assert not chain.build_block([backed]).refused
        chain.build_block()
    contents = relay.retrieve_all_inbound_hrmp_channel_contents(RECEIVER, chain.best.hash)[SENDER]
    assert [message.data for message in contents] == sent
    channel = chain.state(chain.best).hrmp_channel(SENDER, RECEIVER)
    assert channel is not None
    assert (channel.msg_count, channel.total_size) == (len(sent), sum(sizes))

    collation = receiver.collate(chain.best.hash)
    assert collation is not None
    outcome = chain.back(collation, carried=False)
    assert all(isinstance(verdict, Valid) for _, verdict in outcome.verdicts)
    assert outcome.backed is not None
    assert collation.commitments.hrmp_watermark == chain.best.number
    assert not chain.build_block([outcome.backed]).refused
    included = chain.build_block().block
    assert included.included == (outcome.candidate,)
    after = chain.state(included)
    assert after.hrmp_messages(SENDER, RECEIVER) == after.hrmp_digest(RECEIVER) == ()
    emptied = after.hrmp_channel(SENDER, RECEIVER)
    assert emptied is not None
    assert (emptied.msg_count, emptied.total_size, emptied.mqc_head) == (0, 0, channel.mqc_head)
    receiver.import_included(collation.block, relay, collation.descriptor.relay_parent)


def test_a_collator_that_leaves_a_message_out_is_refused_by_its_own_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, receiver = boot()
    backed = chain.back(send(chain, b"hello"), carried=False).backed
    assert backed is not None
    chain.build_block([backed])
    chain.build_block()
    for lie in ({}, {SENDER: (InboundHrmpMessage(3, b"hellO"),)}, {7: (InboundHrmpMessage(3, b"hello"),)}):
        monkeypatch.setattr(
            RelayChainInProcessInterface,
            "retrieve_all_inbound_hrmp_channel_contents",
            lambda self, para_id, relay_parent, lie=lie: lie,
        )
        with pytest.raises(InvalidBlock, match=r"queue head|no channel to us"):
            receiver.collate(chain.best.hash)
