"""The three times a validator may judge a candidate, each with what it has then.

- A *backer* got PoV and validation data from the collator a moment ago, and knows the relay parent: what code the para
  has registered there, which session and cores. Follows [polkadot-backing].
- An *approval checker* saw the candidate included, in a relay block that may be abandoned by now. It has the receipt,
  and recovers `AvailableData`: PoV and persisted validation data, and nothing else [polkadot-approval-voting].
- A *dispute participant* has the receipt from somebody's vote, perhaps a day later and perhaps from a fork it never
  imported; it recovers the same [polkadot-disputes].

The last two run the same checks. What differs is how long ago the relay parent was, which is all the difference to a
validator that reads its own relay state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from host_functions.executor import Runtime
from pov_validator.erasure import ErasureChunk, erasure_root, obtain_chunks
from pov_validator.pvf import ExecKind, PvfRuntime
from pov_validator.relay_source import RelayStateSource
from pov_validator.roles.judgement import Judgement, Role, Watching, relay_proof_bytes
from pov_validator.roles.recovery import BadEncoding, Unavailable, recover
from pov_validator.ump_signals import DEFAULT_CLAIM_QUEUE_OFFSET, UMPSignalsError, check_ump_signals
from pov_validator.validate import validate_candidate
from pov_validator.verdict import Abstain, AbstainReason, Invalid, InvalidReason, Valid, Verdict
from runtime.primitives.parachain import (
    AvailableData,
    CandidateDescriptor,
    CandidateDescriptorV2,
    CandidateReceipt,
    CommittedCandidateReceipt,
    PersistedValidationData,
    PoV,
)

__all__ = [
    "Recovery",
    "RelayParentFacts",
    "judge_as_approval_checker",
    "judge_as_backer",
    "judge_as_dispute_participant",
]


@dataclass(frozen=True, slots=True)
class RelayParentFacts:
    """What a backer's relay chain node says about a para at the candidate's relay parent."""

    session_index: int
    code_hash: bytes | None
    """Hash of the para's registered code, 32 bytes; ``None`` if the node cannot tell."""
    cores: tuple[int, ...]
    """The cores assigned to the para, ascending."""
    validators: int
    """Size of the session's validator set, for which the data is encoded."""
    claim_queue: Mapping[int, tuple[int, ...]] | None = None
    """The para's cores by offset in the claim queue; ``None`` if they are `cores` at offset 0 and none later."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a validator that was not there can ask for."""

    validators: int | None
    """Size of the validator set of the candidate's session; ``None`` if that session is no longer known."""
    chunks: Iterable[ErasureChunk]
    """What the other validators hand out."""


def judge_as_backer(
    candidate: CommittedCandidateReceipt,
    pov: PoV,
    pvd: PersistedValidationData,
    codes: Mapping[bytes, Runtime],
    relay_state: RelayStateSource,
    facts: RelayParentFacts,
) -> Judgement:
    """The verdict of a member of the backing group. `codes` maps code hashes (32 bytes) to runtimes.

    A valid candidate is encoded before it is backed: what the later roles recover must be what the descriptor
    commits to. ``make_pov_available``.
    """
    refusal = _check_session(candidate.descriptor, facts)
    if refusal is not None:
        return Judgement(Role.BACKER, refusal, len(pov.encode()), relay_proof_bytes(pov))
    available = AvailableData(pov, pvd)
    judgement = _judge(Role.BACKER, candidate.to_plain(), available, codes, relay_state, facts.code_hash)
    if not isinstance(judgement.verdict, Valid):
        return judgement
    refusal = _check_signals(candidate, facts)
    if refusal is not None:
        return replace(judgement, verdict=refusal)
    encoded = _encode(facts.validators, available)
    if isinstance(encoded, Abstain):
        return replace(judgement, verdict=encoded)
    claimed = candidate.descriptor.erasure_root
    if encoded == claimed:
        return judgement
    return replace(
        judgement,
        verdict=Invalid(
            InvalidReason.ERASURE_ROOT_MISMATCH,
            f"the data encodes to 0x{encoded.hex()}, the descriptor says 0x{claimed.hex()}",
        ),
    )


def judge_as_approval_checker(
    receipt: CandidateReceipt,
    recovery: Recovery,
    codes: Mapping[bytes, Runtime],
    relay_state: RelayStateSource,
) -> Judgement:
    """The verdict of a validator that was assigned to check an included candidate."""
    return _recover_and_judge(Role.APPROVAL_CHECKER, receipt, recovery, codes, relay_state)


def judge_as_dispute_participant(
    receipt: CandidateReceipt,
    recovery: Recovery,
    codes: Mapping[bytes, Runtime],
    relay_state: RelayStateSource,
) -> Judgement:
    """The verdict of a validator that takes part in a dispute about a candidate."""
    return _recover_and_judge(Role.DISPUTE_PARTICIPANT, receipt, recovery, codes, relay_state)


def _check_session(descriptor: CandidateDescriptor, facts: RelayParentFacts) -> Invalid | None:
    """What only a version 2 descriptor says, and only a backer checks."""
    if not isinstance(descriptor, CandidateDescriptorV2):
        return None
    if descriptor.session_index != facts.session_index:
        return Invalid(
            InvalidReason.INVALID_SESSION_INDEX,
            f"session {descriptor.session_index}, the relay parent's is {facts.session_index}",
        )
    return None


def _check_signals(candidate: CommittedCandidateReceipt, facts: RelayParentFacts) -> Invalid | None:
    """The signals among the upward messages, and the core that follows from them."""
    claim_queue = facts.claim_queue
    if claim_queue is None:
        claim_queue = {DEFAULT_CLAIM_QUEUE_OFFSET: facts.cores}
    try:
        check_ump_signals(candidate.descriptor, candidate.commitments.upward_messages, claim_queue)
    except UMPSignalsError as error:
        return Invalid(InvalidReason.INVALID_UMP_SIGNALS, str(error))
    return None


def _encode(validators: int, available: AvailableData) -> bytes | Abstain:
    try:
        return erasure_root(obtain_chunks(validators, available))
    except Exception as error:
        return Abstain(AbstainReason.HOST_FAILURE, f"{type(error).__name__}: {error}")


def _recover_and_judge(
    role: Role,
    receipt: CandidateReceipt,
    recovery: Recovery,
    codes: Mapping[bytes, Runtime],
    relay_state: RelayStateSource,
) -> Judgement:
    if recovery.validators is None:
        return Judgement(
            role,
            Abstain(
                AbstainReason.SESSION_INFO_UNAVAILABLE,
                "the candidate's session is outside the window of known sessions",
            ),
        )
    verdict: Verdict
    try:
        available = recover(receipt.descriptor.erasure_root, recovery.validators, recovery.chunks)
    except Unavailable as error:
        verdict = Abstain(AbstainReason.AVAILABLE_DATA_UNAVAILABLE, str(error))
    except BadEncoding as error:
        verdict = Invalid(InvalidReason.AVAILABLE_DATA_INVALID, str(error))
    except Exception as error:
        # As around the execution: whatever a candidate can do wrong has its verdict, so the host has failed.
        verdict = Abstain(AbstainReason.HOST_FAILURE, f"{type(error).__name__}: {error}")
    else:
        return _judge(role, receipt, available, codes, relay_state, None)
    return Judgement(role, verdict)


def _judge(
    role: Role,
    receipt: CandidateReceipt,
    available: AvailableData,
    codes: Mapping[bytes, Runtime],
    relay_state: RelayStateSource,
    registered_code_hash: bytes | None,
) -> Judgement:
    watching = Watching(relay_state)
    runtime = codes.get(receipt.descriptor.validation_code_hash)
    if role is not Role.BACKER and isinstance(runtime, PvfRuntime):
        # More time than a backer has, and a second try: to be slow must not look like being invalid.
        runtime = runtime.as_kind(ExecKind.APPROVAL)
    verdict = validate_candidate(
        receipt.descriptor,
        receipt.commitments_hash,
        available.pov,
        available.validation_data,
        runtime,
        watching,
        registered_code_hash=registered_code_hash,
    )
    return Judgement(
        role,
        verdict,
        len(available.pov.encode()),
        relay_proof_bytes(available.pov),
        watching.log(),
    )
