"""The acceptance criteria of a candidate's outputs: what the relay chain takes from a parachain, and how much of it.

Follows ``check_validation_outputs`` and what it calls: `check_upward_messages` of ``inclusion``,
``check_processed_downward_messages`` of ``dmp``, ``check_hrmp_watermark`` and ``check_outbound_hrmp`` of ``hrmp``
[polkadot-inclusion] [polkadot-hrmp]. Each criterion has upstream's name; the limits are those of the state in which the
candidate is to be backed.

Not modelled: paras that are being offboarded, and the queue behind upward messages, which is always empty here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pileus.relay_chain.storage import RelayState
from pileus.relay_chain.upgrades import can_upgrade_validation_code
from pov_validator.ump_signals import MAX_SIGNALS
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    UMP_SEPARATOR,
    AbridgedHostConfiguration,
    CommittedCandidateReceipt,
    OutboundHrmpMessage,
)

__all__ = ["Criterion", "Violation", "check_outputs"]


class Criterion(Enum):
    """What a candidate's outputs violate: the error of the relay chain's runtime, and the reason within."""

    PARA_HEAD_MISMATCH = "ParaHeadMismatch"
    HEAD_DATA_TOO_LARGE = "HeadDataTooLarge"
    PREMATURE_CODE_UPGRADE = "PrematureCodeUpgrade"
    NEW_CODE_TOO_LARGE = "NewCodeTooLarge"
    UMP_TOO_MANY_SIGNALS = "InvalidUpwardMessages.TooManyUMPSignals"
    UMP_NO_SIGNAL = "InvalidUpwardMessages.NoUmpSignal"
    """A separator with nothing behind it."""
    UMP_MORE_MESSAGES = "InvalidUpwardMessages.MoreMessagesThanPermitted"
    UMP_MESSAGE_SIZE = "InvalidUpwardMessages.MessageSize"
    UMP_CAPACITY = "InvalidUpwardMessages.CapacityExceeded"
    UMP_TOTAL_SIZE = "InvalidUpwardMessages.TotalSizeExceeded"
    DMP_ADVANCEMENT = "IncorrectDownwardMessageHandling.AdvancementRule"
    """Messages that the candidate could have seen oblige it to process at least one."""
    DMP_UNDERFLOW = "IncorrectDownwardMessageHandling.Underflow"
    HRMP_WATERMARK_ADVANCEMENT = "HrmpWatermarkMishandling.AdvancementRule"
    """The watermark went back."""
    HRMP_WATERMARK_AHEAD = "HrmpWatermarkMishandling.AheadRelayParent"
    HRMP_WATERMARK_LANDS_NOWHERE = "HrmpWatermarkMishandling.LandsOnBlockWithNoMessages"
    """It is neither the relay parent nor a block in which the para was sent something."""
    HRMP_MORE_MESSAGES = "InvalidOutboundHrmp.MoreMessagesThanPermitted"
    HRMP_NOT_SORTED = "InvalidOutboundHrmp.NotSorted"
    """Recipients must ascend, so there is one message for each."""
    HRMP_NO_CHANNEL = "InvalidOutboundHrmp.NoSuchChannel"
    HRMP_MESSAGE_SIZE = "InvalidOutboundHrmp.MaxMessageSizeExceeded"
    HRMP_TOTAL_SIZE = "InvalidOutboundHrmp.TotalSizeExceeded"
    HRMP_CAPACITY = "InvalidOutboundHrmp.CapacityExceeded"

    @property
    def error(self) -> str:
        """The error of the pallet, without the reason."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Violation:
    """The first criterion that a candidate's outputs do not meet."""

    criterion: Criterion
    detail: str


def check_outputs(
    candidate: CommittedCandidateReceipt, state: RelayState, relay_parent_number: int
) -> Violation | None:
    """The first violation in upstream's order, None if the relay chain takes the outputs."""
    outputs = candidate.commitments
    para_id = candidate.descriptor.para_id
    limits = state.host_configuration()
    return (
        _check_head_and_code(candidate, state, limits)
        or _check_downward(para_id, outputs.processed_downward_messages, state, relay_parent_number)
        or _check_upward(outputs.upward_messages, limits)
        or _check_watermark(para_id, outputs.hrmp_watermark, state, relay_parent_number)
        or _check_horizontal(para_id, outputs.horizontal_messages, state, limits)
    )


def _check_head_and_code(
    candidate: CommittedCandidateReceipt, state: RelayState, limits: AbridgedHostConfiguration
) -> Violation | None:
    head, code = candidate.commitments.head_data, candidate.commitments.new_validation_code
    if blake2_256(head) != candidate.descriptor.para_head:
        return Violation(Criterion.PARA_HEAD_MISMATCH, "the head data do not hash to the descriptor's")
    if len(head) > limits.max_head_data_size:
        return Violation(
            Criterion.HEAD_DATA_TOO_LARGE, f"{len(head)} bytes, allowed are {limits.max_head_data_size}"
        )
    if code is None:
        return None
    if not can_upgrade_validation_code(state, candidate.descriptor.para_id):
        return Violation(
            Criterion.PREMATURE_CODE_UPGRADE, "an upgrade is scheduled, or its cooldown is not over"
        )
    if len(code) > limits.max_code_size:
        return Violation(
            Criterion.NEW_CODE_TOO_LARGE, f"{len(code)} bytes, allowed are {limits.max_code_size}"
        )
    return None


def _check_downward(
    para_id: int, processed: int, state: RelayState, relay_parent_number: int
) -> Violation | None:
    waiting = state.downward_messages(para_id)
    if not processed and any(message.sent_at <= relay_parent_number for message in waiting):
        return Violation(Criterion.DMP_ADVANCEMENT, f"none of {len(waiting)} messages processed")
    if processed > len(waiting):
        return Violation(Criterion.DMP_UNDERFLOW, f"{processed} of {len(waiting)} messages processed")
    return None


def _check_upward(messages: Sequence[bytes], limits: AbridgedHostConfiguration) -> Violation | None:
    if UMP_SEPARATOR in messages:
        separator = messages.index(UMP_SEPARATOR)
        signals = len(messages) - separator - 1
        if signals > MAX_SIGNALS:
            return Violation(Criterion.UMP_TOO_MANY_SIGNALS, f"{signals} signals, allowed are {MAX_SIGNALS}")
        if not signals:
            return Violation(Criterion.UMP_NO_SIGNAL, "nothing follows the separator")
        messages = messages[:separator]
    permitted = limits.max_upward_message_num_per_candidate
    if len(messages) > permitted:
        return Violation(Criterion.UMP_MORE_MESSAGES, f"{len(messages)} messages, allowed are {permitted}")
    for position, message in enumerate(messages):
        if len(message) > limits.max_upward_message_size:
            return Violation(
                Criterion.UMP_MESSAGE_SIZE,
                f"message {position} has {len(message)} bytes, allowed are {limits.max_upward_message_size}",
            )
    if len(messages) > limits.max_upward_queue_count:
        return Violation(
            Criterion.UMP_CAPACITY,
            f"the queue would hold {len(messages)} messages, allowed are {limits.max_upward_queue_count}",
        )
    total = sum(map(len, messages))
    if total > limits.max_upward_queue_size:
        return Violation(
            Criterion.UMP_TOTAL_SIZE,
            f"the queue would hold {total} bytes, allowed are {limits.max_upward_queue_size}",
        )
    return None


def _check_watermark(
    para_id: int, watermark: int, state: RelayState, relay_parent_number: int
) -> Violation | None:
    if watermark == relay_parent_number:
        return None
    if watermark > relay_parent_number:
        return Violation(
            Criterion.HRMP_WATERMARK_AHEAD, f"{watermark}, the relay parent is {relay_parent_number}"
        )
    last = state.hrmp_watermark(para_id)
    if last is not None and watermark < last:
        return Violation(Criterion.HRMP_WATERMARK_ADVANCEMENT, f"from {last} back to {watermark}")
    if watermark == last:
        return None
    if any(number == watermark for number, _ in state.hrmp_digest(para_id)):
        return None
    return Violation(
        Criterion.HRMP_WATERMARK_LANDS_NOWHERE, f"nothing was sent to the para in block {watermark}"
    )


def _check_horizontal(
    sender: int,
    messages: Sequence[OutboundHrmpMessage],
    state: RelayState,
    limits: AbridgedHostConfiguration,
) -> Violation | None:
    permitted = limits.hrmp_max_message_num_per_candidate
    if len(messages) > permitted:
        return Violation(Criterion.HRMP_MORE_MESSAGES, f"{len(messages)} messages, allowed are {permitted}")
    last = -1
    for position, message in enumerate(messages):
        if message.recipient <= last:
            return Violation(
                Criterion.HRMP_NOT_SORTED, f"message {position} is for para {message.recipient} after {last}"
            )
        last = message.recipient
        channel = state.hrmp_channel(sender, message.recipient)
        if channel is None:
            return Violation(
                Criterion.HRMP_NO_CHANNEL, f"there is no channel from {sender} to {message.recipient}"
            )
        for criterion, value, allowed in (
            (Criterion.HRMP_MESSAGE_SIZE, len(message.data), channel.max_message_size),
            (Criterion.HRMP_TOTAL_SIZE, channel.total_size + len(message.data), channel.max_total_size),
            (Criterion.HRMP_CAPACITY, channel.msg_count + 1, channel.max_capacity),
        ):
            if value > allowed:
                return Violation(criterion, f"message {position}: {value}, allowed are {allowed}")
    return None
