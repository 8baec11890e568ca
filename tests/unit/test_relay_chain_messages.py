"""What the relay chain takes from parachains: upward, horizontal and downward messages, each limit by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.relay_chain import RelayChain, RelayChainInProcessInterface, StateDatabase
from pileus.relay_chain.acceptance import Criterion, check_outputs
from pileus.relay_chain.chain import UnknownPara
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.storage import HrmpChannel, RelayStateBuilder
from pileus.testing.relay_chains import collate, make_chain
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHrmpChannel,
    CandidateCommitments,
    CommittedCandidateReceipt,
    InboundHrmpMessage,
    OutboundHrmpMessage,
    SelectCore,
    mqc_head,
)
from runtime.trie.layout import LAYOUT_V1

SELECT = SelectCore(0, 0).encode()


def chain_with_channel() -> RelayChain:
    """Para 1000 may send to 2000: two messages, 10 bytes each, 15 together. Block 1 is the newest."""
    chain = make_chain()
    chain.open_hrmp_channel(1000, 2000, max_capacity=2, max_total_size=15, max_message_size=10)
    chain.build_block()
    return chain


def violated(chain: RelayChain, para_id: int = 1000, *, relay_parent: int = 1, **outputs: object) -> object:
    """The criterion that a candidate with these outputs violates on the best block."""
    collation = collate(chain, para_id)
    commitments = replace(collation.commitments, **outputs)  # type: ignore[arg-type]
    descriptor = replace(collation.descriptor, para_head=blake2_256(commitments.head_data))
    candidate = CommittedCandidateReceipt(descriptor, commitments)
    violation = check_outputs(candidate, chain.state(chain.best), relay_parent)
    return None if violation is None else violation.criterion


def to(recipient: int, size: int = 1) -> OutboundHrmpMessage:
    return OutboundHrmpMessage(recipient, bytes(size))


@pytest.mark.parametrize(
    "outputs, criterion",
    [
        ({}, None),
        ({"head_data": bytes(20 * 1024)}, None),
        ({"head_data": bytes(20 * 1024 + 1)}, Criterion.HEAD_DATA_TOO_LARGE),
        ({"new_validation_code": bytes(3 * 1024 * 1024)}, None),
        ({"new_validation_code": bytes(3 * 1024 * 1024 + 1)}, Criterion.NEW_CODE_TOO_LARGE),
        ({"upward_messages": (b"m",) * 16}, None),
        ({"upward_messages": (b"m",) * 17}, Criterion.UMP_MORE_MESSAGES),
        ({"upward_messages": ((b"m",) * 16 + (b"", SELECT))}, None),
        ({"upward_messages": (b"m", b"")}, Criterion.UMP_NO_SIGNAL),
        ({"upward_messages": (b"", SELECT, SELECT, SELECT)}, Criterion.UMP_TOO_MANY_SIGNALS),
        ({"upward_messages": (bytes(65_531),)}, None),
        ({"upward_messages": (b"m", bytes(65_532))}, Criterion.UMP_MESSAGE_SIZE),
        ({"upward_messages": (b"", bytes(65_532))}, None),
        ({"processed_downward_messages": 1}, Criterion.DMP_UNDERFLOW),
        ({"hrmp_watermark": 2}, Criterion.HRMP_WATERMARK_AHEAD),
        ({"hrmp_watermark": 0}, Criterion.HRMP_WATERMARK_LANDS_NOWHERE),
        ({"horizontal_messages": (to(2000, 10),)}, None),
        ({"horizontal_messages": (to(2000, 11),)}, Criterion.HRMP_MESSAGE_SIZE),
        ({"horizontal_messages": (to(2000), to(2000))}, Criterion.HRMP_NOT_SORTED),
        ({"horizontal_messages": (to(2000), to(1000))}, Criterion.HRMP_NOT_SORTED),
        ({"horizontal_messages": (to(2001),)}, Criterion.HRMP_NO_CHANNEL),
        ({"horizontal_messages": tuple(to(n) for n in range(11))}, Criterion.HRMP_MORE_MESSAGES),
    ],
)
def test_each_limit_is_named(outputs: dict[str, object], criterion: Criterion | None) -> None:
    assert violated(chain_with_channel(), **outputs) is criterion


def test_the_queue_of_upward_messages_is_bounded_in_both_ways() -> None:
    chain = make_chain()
    state = RelayStateBuilder(chain.database, chain.best.state_root)
    collation = collate(chain, 1000)
    receipt = CommittedCandidateReceipt(
        collation.descriptor, replace(collation.commitments, upward_messages=(b"ab", b"cd"))
    )
    for limits, criterion in (
        ({"max_upward_queue_count": 1}, Criterion.UMP_CAPACITY),
        ({"max_upward_queue_size": 3}, Criterion.UMP_TOTAL_SIZE),
        ({"max_upward_queue_size": 4, "max_upward_queue_count": 2}, None),
    ):
        state.set(relay_keys.ACTIVE_CONFIG, replace(chain.config.host, **limits).encode())
        violation = check_outputs(receipt, state, 0)
        assert (None if violation is None else violation.criterion) is criterion


def test_a_block_says_which_criterion_a_candidate_violates() -> None:
    chain = chain_with_channel()
    collation = collate(chain, 1000)
    outcome = chain.back(collation, carried=False)
    assert outcome.backed is not None
    for outputs, reason, criterion in (
        (
            {"horizontal_messages": (to(3000),)},
            RefusalReason.INVALID_OUTBOUND_HRMP,
            Criterion.HRMP_NO_CHANNEL,
        ),
        ({"hrmp_watermark": 9}, RefusalReason.HRMP_WATERMARK_MISHANDLING, Criterion.HRMP_WATERMARK_AHEAD),
        ({"upward_messages": (b"", b"\xff")}, RefusalReason.INVALID_ASSIGNMENT, None),
        ({"upward_messages": (b"",)}, RefusalReason.INVALID_UPWARD_MESSAGES, Criterion.UMP_NO_SIGNAL),
    ):
        changed = replace(outcome.backed.candidate.commitments, **outputs)  # type: ignore[arg-type]
        offered = replace(outcome.backed, candidate=replace(outcome.backed.candidate, commitments=changed))
        (refusal,) = chain.build_block([offered], parent=chain.best.hash, slot=chain.best.slot + 1).refused
        assert (refusal.reason, refusal.criterion) == (reason, criterion)


def test_downward_messages_have_a_largest_size_and_oblige_to_process_one() -> None:
    chain = make_chain()
    with pytest.raises(ValueError, match="ExceedsMaxMessageSize"):
        chain.queue_downward_message(1000, bytes(51_201))
    chain.queue_downward_message(1000, bytes(51_200))
    chain.build_block()
    assert violated(chain) is Criterion.DMP_ADVANCEMENT
    assert violated(chain, processed_downward_messages=1) is None
    assert violated(chain, processed_downward_messages=2) is Criterion.DMP_UNDERFLOW
    assert violated(chain, relay_parent=0, hrmp_watermark=0) is None


def test_channels_are_opened_with_the_next_block_and_in_both_indices() -> None:
    chain = make_chain(paras=(1000, 2000, 3000))
    with pytest.raises(ValueError, match="to itself"):
        chain.open_hrmp_channel(1000, 1000)
    with pytest.raises(UnknownPara):
        chain.open_hrmp_channel(1000, 9)
    chain.open_hrmp_channel(3000, 2000)
    chain.open_hrmp_channel(1000, 2000)
    assert chain.state(chain.best).hrmp_channel(1000, 2000) is None
    state = chain.state(chain.build_block().block)
    assert state.hrmp_senders(2000) == (1000, 3000)
    assert state.hrmp_recipients(1000) == state.hrmp_recipients(3000) == (2000,)
    raw = state.get(relay_keys.hrmp_channel(1000, 2000))
    assert raw is not None
    abridged, _ = AbridgedHrmpChannel.decode_prefix(raw)
    assert abridged == AbridgedHrmpChannel(1000, 102_400, 102_400, 0, 0, None)
    relay = RelayChainInProcessInterface(chain)
    assert relay.retrieve_all_inbound_hrmp_channel_contents(2000, chain.best.hash) == {1000: (), 3000: ()}
    assert relay.retrieve_all_inbound_hrmp_channel_contents(1000, chain.best.hash) == {}


SENDERS = (1000, 3000)


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.sampled_from(SENDERS), st.binary(max_size=4)),
                max_size=2,
                unique_by=lambda pair: pair[0],
            ),
            st.none() | st.integers(0, 12),
        ),
        max_size=12,
    )
)
def test_any_traffic_keeps_contents_load_and_queue_heads_together(
    blocks: list[tuple[list[tuple[int, bytes]], int | None]],
) -> None:
    """Against a model of plain lists: what waits, what it weighs, and the chain over everything ever sent."""
    state = RelayStateBuilder(StateDatabase(), LAYOUT_V1.empty_root)
    waiting: dict[int, list[InboundHrmpMessage]] = {sender: [] for sender in SENDERS}
    heads = dict.fromkeys(SENDERS, EMPTY_MQC_HEAD)
    for sender in SENDERS:
        state.open_hrmp_channel(sender, 2000, HrmpChannel(100, 1000, 10, 0, 0, None, 0, 0))
    for number, (sent, watermark) in enumerate(blocks, start=1):
        if watermark is not None:
            state.prune_hrmp_messages(2000, min(watermark, number))
            for sender in SENDERS:
                waiting[sender] = [m for m in waiting[sender] if m.sent_at > min(watermark, number)]
        for sender, data in sent:
            state.queue_hrmp_messages(sender, [OutboundHrmpMessage(2000, data)], number)
            waiting[sender].append(InboundHrmpMessage(number, data))
            heads[sender] = mqc_head(heads[sender], number, data)
        for sender in SENDERS:
            channel = state.hrmp_channel(sender, 2000)
            assert channel is not None
            assert state.hrmp_messages(sender, 2000) == tuple(waiting[sender])
            assert channel.msg_count == len(waiting[sender])
            assert channel.total_size == sum(len(message.data) for message in waiting[sender])
            assert (channel.mqc_head or EMPTY_MQC_HEAD) == heads[sender]
        numbers = sorted({message.sent_at for queue in waiting.values() for message in queue})
        assert [at for at, _ in state.hrmp_digest(2000)] == numbers


def test_a_horizontal_message_crosses_and_is_pruned_by_the_watermark() -> None:
    chain = chain_with_channel()
    relay = RelayChainInProcessInterface(chain)
    sending = collate(chain, 1000)
    backed = chain.back(sending, carried=False).backed
    assert backed is not None
    commitments = CandidateCommitments(
        (), (OutboundHrmpMessage(2000, b"hello"),), None, sending.commitments.head_data, 0, 1
    )
    candidate = CommittedCandidateReceipt(sending.descriptor, commitments)
    state = RelayStateBuilder(chain.database, chain.best.state_root)
    assert check_outputs(candidate, state, 1) is None
    state.queue_hrmp_messages(1000, commitments.horizontal_messages, 2)
    assert state.hrmp_messages(1000, 2000) == (InboundHrmpMessage(2, b"hello"),)
    assert state.hrmp_digest(2000) == ((2, (1000,)),)
    receiving = collate(chain, 2000)
    for watermark, relay_parent, expected in (
        (2, 2, None),
        (2, 5, None),
        (3, 5, Criterion.HRMP_WATERMARK_LANDS_NOWHERE),
        (5, 5, None),
    ):
        outputs = replace(receiving.commitments, hrmp_watermark=watermark)
        violation = check_outputs(
            CommittedCandidateReceipt(receiving.descriptor, outputs), state, relay_parent
        )
        assert (None if violation is None else violation.criterion) is expected
    state.prune_hrmp_messages(2000, 5)
    assert state.hrmp_messages(1000, 2000) == state.hrmp_digest(2000) == ()
    outputs = replace(receiving.commitments, hrmp_watermark=4)
    went_back = check_outputs(CommittedCandidateReceipt(receiving.descriptor, outputs), state, 9)
    assert went_back is not None
    assert went_back.criterion is Criterion.HRMP_WATERMARK_ADVANCEMENT
    assert relay.retrieve_all_inbound_hrmp_channel_contents(2000, chain.best.hash) == {1000: ()}


def test_capacity_and_total_size_count_what_waits() -> None:
    chain = chain_with_channel()
    state = RelayStateBuilder(chain.database, chain.best.state_root)
    collation = collate(chain, 1000)

    def violates(size: int) -> object:
        outputs = replace(collation.commitments, horizontal_messages=(to(2000, size),))
        violation = check_outputs(CommittedCandidateReceipt(collation.descriptor, outputs), state, 1)
        return None if violation is None else violation.criterion

    state.queue_hrmp_messages(1000, [to(2000, 10)], 2)
    assert violates(5) is None
    assert violates(6) is Criterion.HRMP_TOTAL_SIZE
    state.queue_hrmp_messages(1000, [to(2000, 0)], 2)
    assert violates(0) is Criterion.HRMP_CAPACITY
