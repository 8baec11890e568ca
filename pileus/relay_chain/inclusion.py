"""Which candidates a relay block accepts, and what including one does to the state.

Follows ``runtime/parachains/src/inclusion`` and ``paras_inherent`` [polkadot-inclusion]: the checks of
``verify_backed_candidate`` and of the candidate's outputs, and ``enact_candidate``. A candidate backed in block N is
pending availability; with every validator reporting its chunk, it is included in block N + 1.

Not modelled: the storage of candidates pending availability (a block has them beside its state), HRMP channels (none
can be opened, so outbound messages are refused), code upgrades (refused), the queue behind upward messages (they count
as dispatched at once), elastic scaling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from host_functions.errors import PileusError
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.genesis import RelayChainConfig
from pileus.relay_chain.storage import RelayState, RelayStateBuilder
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    AbridgedHostConfiguration,
    CandidateCommitments,
    CandidateDescriptorV2,
    CommittedCandidateReceipt,
    PersistedValidationData,
    split_upward_messages,
)

__all__ = ["CandidateRefused", "Refusal", "RefusalReason", "check_candidate", "enact_candidate"]


class RefusalReason(Enum):
    """Why a block does not take a candidate. Named as the errors of the inclusion pallet."""

    UNSCHEDULED_CANDIDATE = "UnscheduledCandidate"
    """No such para, or its core is still occupied."""
    DISALLOWED_RELAY_PARENT = "DisallowedRelayParent"
    """The relay parent is not an ancestor, or too old."""
    INVALID_ASSIGNMENT = "InvalidAssignment"
    """The descriptor names another core or session than the para has."""
    VALIDATION_DATA_HASH_MISMATCH = "ValidationDataHashMismatch"
    """The candidate is not about the para's current head at its relay parent."""
    INVALID_VALIDATION_CODE_HASH = "InvalidValidationCodeHash"
    PARA_HEAD_MISMATCH = "ParaHeadMismatch"
    HEAD_DATA_TOO_LARGE = "HeadDataTooLarge"
    PREMATURE_CODE_UPGRADE = "PrematureCodeUpgrade"
    INVALID_UPWARD_MESSAGES = "InvalidUpwardMessages"
    INCORRECT_DOWNWARD_MESSAGE_HANDLING = "IncorrectDownwardMessageHandling"
    INVALID_OUTBOUND_HRMP = "InvalidOutboundHrmp"
    HRMP_WATERMARK_MISHANDLING = "HrmpWatermarkMishandling"
    CANDIDATE_CONCLUDED_INVALID = "CandidateConcludedInvalid"
    """A dispute has found it invalid, or the chain is frozen because of one that came too late."""
    INVALID_BACKING = "InvalidBacking"
    """Too few votes, a vote from outside the group, or a bad signature."""
    FILTERED_BY_RUNTIME = "FilteredByRuntime"
    """A real relay runtime left it out, and none of the other reasons explains that."""


class CandidateRefused(PileusError):
    """A candidate cannot be backed in this block. The block itself is fine without it."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that a block did not take, and why."""

    candidate: CommittedCandidateReceipt
    reason: RefusalReason
    detail: str


def check_candidate(
    candidate: CommittedCandidateReceipt,
    state: RelayState,
    allowed_relay_parents: Mapping[bytes, RelayBlock],
    occupied: Sequence[CommittedCandidateReceipt],
    *,
    core_of: Mapping[int, int],
    config: RelayChainConfig,
) -> PersistedValidationData:
    """The candidate's persisted validation data as this chain sees it. Raises `CandidateRefused`.

    `state` is the one in which earlier candidates have just been included; `allowed_relay_parents` maps the hashes of
    recent ancestors to their blocks; `occupied` are the candidates that remain pending; `core_of` maps paras to cores.
    """
    descriptor = candidate.descriptor
    para_id = descriptor.para_id
    head = state.para_head(para_id)
    if head is None or para_id not in core_of:
        raise CandidateRefused(RefusalReason.UNSCHEDULED_CANDIDATE, f"para {para_id} is not registered")
    if any(pending.descriptor.para_id == para_id for pending in occupied):
        raise CandidateRefused(
            RefusalReason.UNSCHEDULED_CANDIDATE,
            f"the core of para {para_id} is occupied by a pending candidate",
        )
    relay_parent = allowed_relay_parents.get(descriptor.relay_parent)
    if relay_parent is None:
        raise CandidateRefused(
            RefusalReason.DISALLOWED_RELAY_PARENT,
            f"0x{descriptor.relay_parent.hex()} is not one of the last {len(allowed_relay_parents)} blocks",
        )
    session_index = config.epoch_at(relay_parent.slot)
    if isinstance(descriptor, CandidateDescriptorV2) and (
        descriptor.core_index != core_of[para_id] or descriptor.session_index != session_index
    ):
        raise CandidateRefused(
            RefusalReason.INVALID_ASSIGNMENT,
            f"core {descriptor.core_index} in session {descriptor.session_index} is claimed, "
            f"assigned is core {core_of[para_id]} in session {session_index}",
        )
    pvd = PersistedValidationData(head, relay_parent.number, relay_parent.state_root, config.max_pov_size)
    if pvd.hash() != descriptor.persisted_validation_data_hash:
        raise CandidateRefused(
            RefusalReason.VALIDATION_DATA_HASH_MISMATCH,
            f"the candidate does not build on head 0x{blake2_256(head).hex()} at relay block {relay_parent.number}",
        )
    if descriptor.validation_code_hash != state.code_hash(para_id):
        raise CandidateRefused(
            RefusalReason.INVALID_VALIDATION_CODE_HASH,
            f"0x{descriptor.validation_code_hash.hex()} is not the code of para {para_id}",
        )
    _check_outputs(candidate, state, relay_parent.number)
    return pvd


def _check_outputs(candidate: CommittedCandidateReceipt, state: RelayState, relay_parent_number: int) -> None:
    """The outputs against the limits in force. ``check_validation_outputs``."""
    outputs = candidate.commitments
    limits = state.host_configuration()
    if blake2_256(outputs.head_data) != candidate.descriptor.para_head:
        raise CandidateRefused(
            RefusalReason.PARA_HEAD_MISMATCH, "the head data do not hash to the descriptor's"
        )
    if len(outputs.head_data) > limits.max_head_data_size:
        raise CandidateRefused(
            RefusalReason.HEAD_DATA_TOO_LARGE,
            f"{len(outputs.head_data)} bytes, allowed are {limits.max_head_data_size}",
        )
    if outputs.new_validation_code is not None:
        raise CandidateRefused(RefusalReason.PREMATURE_CODE_UPGRADE, "the model has no code upgrades")
    _check_upward_messages(outputs, limits)
    waiting = state.downward_messages(candidate.descriptor.para_id)
    processed = outputs.processed_downward_messages
    # The advancement rule: messages the candidate could have seen oblige it to process at least one.
    stalled = not processed and any(message.sent_at <= relay_parent_number for message in waiting)
    if processed > len(waiting) or stalled:
        raise CandidateRefused(
            RefusalReason.INCORRECT_DOWNWARD_MESSAGE_HANDLING,
            f"{processed} of {len(waiting)} messages processed",
        )
    if outputs.horizontal_messages:
        recipient = outputs.horizontal_messages[0].recipient
        raise CandidateRefused(
            RefusalReason.INVALID_OUTBOUND_HRMP, f"there is no channel to para {recipient}"
        )
    if outputs.hrmp_watermark > relay_parent_number:
        raise CandidateRefused(
            RefusalReason.HRMP_WATERMARK_MISHANDLING,
            f"watermark {outputs.hrmp_watermark} is beyond relay parent {relay_parent_number}",
        )


def _check_upward_messages(outputs: CandidateCommitments, limits: AbridgedHostConfiguration) -> None:
    messages, _ = split_upward_messages(outputs.upward_messages)
    if len(messages) > limits.max_upward_message_num_per_candidate:
        raise CandidateRefused(
            RefusalReason.INVALID_UPWARD_MESSAGES,
            f"{len(messages)} messages, allowed are {limits.max_upward_message_num_per_candidate}",
        )
    for message in messages:
        if len(message) > limits.max_upward_message_size:
            raise CandidateRefused(
                RefusalReason.INVALID_UPWARD_MESSAGES,
                f"a message of {len(message)} bytes, allowed are {limits.max_upward_message_size}",
            )


def enact_candidate(
    candidate: CommittedCandidateReceipt, relay_parent: RelayBlock, state: RelayStateBuilder
) -> None:
    """The candidate became available: its head is the para's head from now on, and its messages are done."""
    para_id = candidate.descriptor.para_id
    state.note_new_head(para_id, candidate.commitments.head_data, relay_parent.number)
    state.prune_downward_messages(para_id, candidate.commitments.processed_downward_messages)
