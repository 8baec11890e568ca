"""Which candidates a relay block accepts, and what including one does to the state.

Follows ``runtime/parachains/src/inclusion`` and ``paras_inherent`` [polkadot-inclusion]: the checks of
``verify_backed_candidate`` and of the candidate's outputs, and ``enact_candidate``. A candidate backed in block N is
pending availability; with every validator reporting its chunk, it is included in block N + 1.

Not modelled: the storage of candidates pending availability (a block has them beside its state), the queue behind
upward messages (they count as dispatched at once), elastic scaling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from host_functions.errors import PileusError
from pileus.relay_chain.acceptance import Criterion, check_outputs
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.genesis import RelayChainConfig
from pileus.relay_chain.storage import RelayState, RelayStateBuilder
from pileus.relay_chain.upgrades import CodeUpgrades
from pov_validator.ump_signals import DEFAULT_CLAIM_QUEUE_OFFSET, UMPSignalsError, check_ump_signals
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    CandidateDescriptorV2,
    CommittedCandidateReceipt,
    PersistedValidationData,
)

__all__ = ["CandidateRefused", "Refusal", "RefusalReason", "check_candidate", "enact_candidate"]


class RefusalReason(Enum):
    """Why a block does not take a candidate. Named as the errors of the inclusion pallet."""

    UNSCHEDULED_CANDIDATE = "UnscheduledCandidate"
    """No such para, or its core is still occupied."""
    DISALLOWED_RELAY_PARENT = "DisallowedRelayParent"
    """The relay parent is not an ancestor, or too old."""
    INVALID_ASSIGNMENT = "InvalidAssignment"
    """The descriptor names another core or session than the para has, or its signals break the rules."""
    VALIDATION_DATA_HASH_MISMATCH = "ValidationDataHashMismatch"
    """The candidate is not about the para's current head at its relay parent."""
    INVALID_VALIDATION_CODE_HASH = "InvalidValidationCodeHash"
    PARA_HEAD_MISMATCH = "ParaHeadMismatch"
    HEAD_DATA_TOO_LARGE = "HeadDataTooLarge"
    NEW_CODE_TOO_LARGE = "NewCodeTooLarge"
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

    def __init__(self, reason: RefusalReason, detail: str, criterion: Criterion | None = None) -> None:
        name = reason.value if criterion is None else criterion.value
        super().__init__(f"{name}: {detail}")
        self.reason = reason
        self.detail = detail
        self.criterion = criterion


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that a block did not take, and why."""

    candidate: CommittedCandidateReceipt
    reason: RefusalReason
    detail: str
    criterion: Criterion | None = None
    """Which of the acceptance criteria its outputs violate, if that is the reason."""


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
    if isinstance(descriptor, CandidateDescriptorV2) and descriptor.session_index != session_index:
        raise CandidateRefused(
            RefusalReason.INVALID_ASSIGNMENT,
            f"session {descriptor.session_index} is claimed, the relay parent's is {session_index}",
        )
    try:
        check_ump_signals(
            descriptor,
            candidate.commitments.upward_messages,
            {DEFAULT_CLAIM_QUEUE_OFFSET: (core_of[para_id],)},
        )
    except UMPSignalsError as error:
        raise CandidateRefused(RefusalReason.INVALID_ASSIGNMENT, str(error)) from None
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
    violation = check_outputs(candidate, state, relay_parent.number)
    if violation is not None:
        raise CandidateRefused(
            RefusalReason(violation.criterion.error), violation.detail, violation.criterion
        )
    return pvd


def enact_candidate(
    candidate: CommittedCandidateReceipt,
    relay_parent: RelayBlock,
    state: RelayStateBuilder,
    number: int,
    upgrades: CodeUpgrades,
) -> None:
    """The candidate became available in block `number`: its head is the para's from now on, its messages count."""
    para_id = candidate.descriptor.para_id
    outputs = candidate.commitments
    if outputs.new_validation_code is not None:
        upgrades.schedule_code_upgrade(para_id, outputs.new_validation_code)
    state.prune_downward_messages(para_id, outputs.processed_downward_messages)
    state.prune_hrmp_messages(para_id, outputs.hrmp_watermark)
    state.queue_hrmp_messages(para_id, outputs.horizontal_messages, number)
    state.note_new_head(para_id, outputs.head_data, relay_parent.number)
    upgrades.note_new_head(para_id, relay_parent.number)
