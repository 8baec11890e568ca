"""What a validator says about a candidate: valid, invalid with a reason, or that it cannot tell.

Follows ``ValidationResult`` and ``InvalidCandidate`` of the node's candidate validation
[polkadot-candidate-validation]; `Abstain` is what it reports as ``ValidationFailed``: an internal error after which no
vote is cast. The difference carries weight: a validator that votes *invalid* starts a dispute, and whoever loses one is
slashed. So nothing that depends on the validator rather than on the candidate may ever become `Invalid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from runtime.primitives.parachain import CandidateCommitments, ValidationResult

__all__ = ["Abstain", "AbstainReason", "Invalid", "InvalidReason", "Valid", "Verdict"]


class InvalidReason(Enum):
    """Why a candidate is wrong. Named as ``InvalidCandidate``; those not named there say so."""

    EXECUTION_ERROR = "ExecutionError"
    """``validate_block`` panicked: a bad block, a bad proof, or a host function that no validator provides."""
    PARAMS_TOO_LARGE = "ParamsTooLarge"
    """The encoded PoV is longer than ``max_pov_size``."""
    POV_HASH_MISMATCH = "PoVHashMismatch"
    CODE_HASH_MISMATCH = "CodeHashMismatch"
    """The descriptor names other validation code than the relay chain registers for the para."""
    BAD_PARENT = "BadParent"
    """The descriptor commits to other persisted validation data than the validator was given."""
    POV_DECOMPRESSION_FAILURE = "PoVDecompressionFailure"
    BAD_RETURN = "BadReturn"
    """What ``validate_block`` returned is not a `ValidationResult`, or too long to be one."""
    INVALID_OUTPUTS = "InvalidOutputs"
    """Head data or new code beyond the size any relay chain accepts."""
    PARA_HEAD_HASH_MISMATCH = "ParaHeadHashMismatch"
    COMMITMENTS_HASH_MISMATCH = "CommitmentsHashMismatch"
    TIMEOUT = "Timeout"
    """``validate_block`` took longer than the role of this validator allows."""
    INVALID_SESSION_INDEX = "InvalidSessionIndex"
    """Backing: the descriptor names another session than the relay parent's."""
    INVALID_UMP_SIGNALS = "InvalidUMPSignals"
    """Backing: the signals behind the separator of upward messages do not decode, repeat, or select another core than
    the descriptor names, or the descriptor's version is unknown."""
    BAD_SIGNATURE = "BadSignature"
    """The collator's signature in a version 1 descriptor."""
    ERASURE_ROOT_MISMATCH = "ErasureRootMismatch"
    """Backing: the descriptor commits to other chunks than the PoV encodes to. ``InvalidErasureRoot``."""
    AVAILABLE_DATA_INVALID = "AvailableDataInvalid"
    """``RecoveryError::Invalid`` [polkadot-availability-recovery]: encoded again, it has another erasure root."""
    RELAY_WITNESS_MISSING = "RelayWitnessMissing"
    """Ours. Under carried proofs: the PoV does not prove a relay value that the block reads."""


class AbstainReason(Enum):
    """Why a validator cannot tell. All of these are conditions of the validator, not of the candidate."""

    RELAY_STATE_UNAVAILABLE = "RelayStateUnavailable"
    """Its own relay database lacks the state at the relay parent: pruned, never synced, or damaged."""
    VALIDATION_CODE_UNAVAILABLE = "ValidationCodeUnavailable"
    """It does not have the code with the descriptor's hash."""
    PREPARATION_FAILED = "PreparationFailed"
    """The code does not compile here. It did for those who pre-checked it, so this validator suspects itself."""
    AVAILABLE_DATA_UNAVAILABLE = "AvailableDataUnavailable"
    """``RecoveryError::Unavailable`` [polkadot-availability-recovery]: too few validators hand out their chunk."""
    SESSION_INFO_UNAVAILABLE = "SessionInfoUnavailable"
    """The candidate's session is outside the window of sessions whose validators are known."""
    NOT_ITS_TURN = "NotItsTurn"
    """Authoring: the slot is another collator's, or there is nothing to build on. Nothing is wrong."""
    HOST_FAILURE = "HostFailure"
    """Out of memory, a failing disk, a fault in the host."""


@dataclass(frozen=True, slots=True)
class Valid:
    """The candidate holds. Its outputs in both forms: as the PVF returned them, and as the relay chain hashes them."""

    result: ValidationResult
    commitments: CandidateCommitments

    def __str__(self) -> str:
        return "valid"


@dataclass(frozen=True, slots=True)
class Invalid:
    """The candidate is wrong: every honest validator with the same inputs says so."""

    reason: InvalidReason
    detail: str

    def __str__(self) -> str:
        return f"invalid: {self.reason.value}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Abstain:
    """This validator cannot tell, and so says nothing."""

    reason: AbstainReason
    detail: str

    def __str__(self) -> str:
        return f"abstains: {self.reason.value}: {self.detail}"


Verdict: TypeAlias = Valid | Invalid | Abstain
