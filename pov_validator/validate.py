"""Judging a candidate: the checks around the validation function, in the node's order.

Follows ``validate_candidate_exhaustive`` of the node's candidate validation [polkadot-candidate-validation]: encoded
PoV size, PoV hash, code hash, persisted validation data, decompression, execution, then the hashes of what came out.
Deadlines and memory limits are the runtime's: give a `pov_validator.pvf.PvfRuntime` for code that is not trusted. Not
modelled here: what only backers check, which is `pov_validator.roles`.
"""

from __future__ import annotations

from typing import Final

from host_functions.compressed_blob import POV_BOMB_LIMIT, BlobError, decompress
from host_functions.contexts import ValidationContext
from host_functions.errors import (
    ContextDivergence,
    DeadlineExceeded,
    HostError,
    MissingHostFunction,
    PileusError,
    StateUnavailable,
    WitnessMissing,
)
from host_functions.executor import Runtime
from host_functions.interfaces.crypto import sr25519_verify
from pov_validator.pvf.errors import PossiblyInvalid, PreparationFailed, WorkerFailure
from pov_validator.pvf.runtime import PvfRuntime
from pov_validator.relay_source import RelayStateSource, carries_additional_data
from pov_validator.verdict import Abstain, AbstainReason, Invalid, InvalidReason, Valid, Verdict
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    CandidateDescriptor,
    CandidateDescriptorV1,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
    collator_signature_payload,
)

__all__ = [
    "MAX_HEAD_DATA_SIZE",
    "MAX_RESULT_SIZE",
    "POV_BOMB_FACTOR",
    "is_signed_by_collator",
    "validate_candidate",
    "validation_params",
]

POV_BOMB_FACTOR: Final = 4
"""A PoV may decompress to this many times the size limit."""

MAX_HEAD_DATA_SIZE: Final = 1024 * 1024
"""Bytes. ``polkadot_primitives::MAX_HEAD_DATA_SIZE``; configurations are far stricter."""

MAX_RESULT_SIZE: Final = 32 * 1024 * 1024
"""Bytes of an encoded result that are looked at. Upstream the guest's memory is the bound; ours has none."""


def validation_params(pvd: PersistedValidationData, block_data: bytes) -> ValidationParams:
    """The argument of ``validate_block``; `block_data` is the decompressed payload of the PoV."""
    return ValidationParams(
        pvd.parent_head, block_data, pvd.relay_parent_number, pvd.relay_parent_storage_root
    )


def validate_candidate(
    descriptor: CandidateDescriptor,
    commitments_hash: bytes,
    pov: PoV,
    pvd: PersistedValidationData,
    runtime: Runtime | None,
    relay_state: RelayStateSource,
    *,
    registered_code_hash: bytes | None = None,
) -> Verdict:
    """Judge one candidate. Never raises for anything a candidate, a database or the host can do.

    `runtime` is the code this validator has under the descriptor's code hash, ``None`` if it has none.
    `registered_code_hash` (32 bytes) is the one that the relay chain registers for the para, for who knows it: backers
    do, approval checkers of an old candidate may not. A descriptor that names other code is wrong; a validator that
    lacks the code it names is not in a position to say.
    """
    try:
        return _judge(descriptor, commitments_hash, pov, pvd, runtime, relay_state, registered_code_hash)
    except Exception as error:
        # Whatever is wrong with a candidate has its verdict by now: memory, the stack or a library failed.
        return Abstain(AbstainReason.HOST_FAILURE, f"{type(error).__name__}: {error}")


def _judge(
    descriptor: CandidateDescriptor,
    commitments_hash: bytes,
    pov: PoV,
    pvd: PersistedValidationData,
    runtime: Runtime | None,
    relay_state: RelayStateSource,
    registered_code_hash: bytes | None,
) -> Verdict:
    refusal = _check_descriptor(descriptor, pov, pvd, registered_code_hash)
    if refusal is not None:
        return refusal
    if runtime is None or runtime.code_hash != descriptor.validation_code_hash:
        there = (
            ""
            if runtime is None
            else f"; the runtime here has 0x{runtime.code_hash.hex()}, was it changed since?"
        )
        return Abstain(
            AbstainReason.VALIDATION_CODE_UNAVAILABLE,
            f"no validation code with hash 0x{descriptor.validation_code_hash.hex()} here{there}",
        )
    try:
        block_data = decompress(pov.block_data, min(POV_BOMB_FACTOR * pvd.max_pov_size, POV_BOMB_LIMIT))
    except BlobError as error:
        return Invalid(InvalidReason.POV_DECOMPRESSION_FAILURE, str(error))
    returned = _execute(validation_params(pvd, block_data), runtime, relay_state)
    if not isinstance(returned, bytes):
        return returned
    return _check_result(returned, descriptor, commitments_hash)


def _check_descriptor(
    descriptor: CandidateDescriptor,
    pov: PoV,
    pvd: PersistedValidationData,
    registered_code_hash: bytes | None,
) -> Invalid | None:
    """What can be known without executing anything. ``perform_basic_checks``."""
    encoded = pov.encode()
    if len(encoded) > pvd.max_pov_size:
        return Invalid(
            InvalidReason.PARAMS_TOO_LARGE,
            f"the PoV has {len(encoded)} bytes, allowed are {pvd.max_pov_size}",
        )
    if blake2_256(encoded) != descriptor.pov_hash:
        return Invalid(
            InvalidReason.POV_HASH_MISMATCH,
            f"the PoV hashes to 0x{blake2_256(encoded).hex()}, the descriptor says 0x{descriptor.pov_hash.hex()}",
        )
    if registered_code_hash is not None and descriptor.validation_code_hash != registered_code_hash:
        return Invalid(
            InvalidReason.CODE_HASH_MISMATCH,
            f"the para's code hash is 0x{registered_code_hash.hex()}, "
            f"the descriptor says 0x{descriptor.validation_code_hash.hex()}",
        )
    if isinstance(descriptor, CandidateDescriptorV1) and not is_signed_by_collator(descriptor):
        return Invalid(
            InvalidReason.BAD_SIGNATURE,
            f"the signature of collator 0x{descriptor.collator.hex()} does not verify",
        )
    if pvd.hash() != descriptor.persisted_validation_data_hash:
        return Invalid(
            InvalidReason.BAD_PARENT,
            f"the persisted validation data hashes to 0x{pvd.hash().hex()}, "
            f"the descriptor says 0x{descriptor.persisted_validation_data_hash.hex()}",
        )
    return None


def is_signed_by_collator(descriptor: CandidateDescriptorV1) -> bool:
    """Whether the signature in the descriptor is its collator's: ``check_collator_signature``."""
    payload = collator_signature_payload(
        descriptor.relay_parent,
        descriptor.para_id,
        descriptor.persisted_validation_data_hash,
        descriptor.pov_hash,
        descriptor.validation_code_hash,
    )
    return sr25519_verify(descriptor.signature, payload, descriptor.collator)


def _execute(
    params: ValidationParams, runtime: Runtime, relay_state: RelayStateSource
) -> bytes | Invalid | Abstain:
    """Run ``validate_block``: the bytes it returned, or the verdict that follows from how it ended."""
    attempts = runtime.attempts if isinstance(runtime, PvfRuntime) else 1
    while True:
        attempts -= 1
        reads = relay_state.reads(params.relay_parent_storage_root, params.block_data)
        context = ValidationContext(
            reads,
            commit_relay_reads=carries_additional_data(params.block_data),
            version_of=_embedded_version,
        )
        try:
            returned = runtime.call("validate_block", params.encode(), context)
        except Exception as error:
            if reads.failure is not None:
                return relay_state.verdict_on(reads.failure)
            if attempts and isinstance(error, PossiblyInvalid | WorkerFailure):
                continue  # it may have been the machine
            return _verdict_on(error)
        reads.finish()
        return returned if reads.failure is None else relay_state.verdict_on(reads.failure)


def _embedded_version(code: bytes) -> bytes | None:
    """What ``runtime_version`` answers to a validation function that upgrades its code."""
    # Late: only new code is asked about, and reading a blob loads the engine.
    from host_functions.executor.wasm.runtime import embedded_version_reader

    return embedded_version_reader(code)


def _verdict_on(error: Exception) -> Invalid | Abstain:
    """What an execution says about the candidate that ended in `error`, the relay reads having gone well."""
    if isinstance(error, StateUnavailable):
        return Abstain(AbstainReason.RELAY_STATE_UNAVAILABLE, str(error))
    if isinstance(error, PreparationFailed):
        return Abstain(AbstainReason.PREPARATION_FAILED, str(error))
    if isinstance(error, DeadlineExceeded):
        return Invalid(InvalidReason.TIMEOUT, str(error))
    # A function that no validator provides is linked as a stub that traps [polkadot-pvf], so calling it is a panic;
    # a witness that lacks a node is a bad proof. Both are host errors in name, and the candidate's doing.
    guest_at_fault = isinstance(error, PileusError) and (
        not isinstance(error, HostError | ContextDivergence)
        or isinstance(error, MissingHostFunction | WitnessMissing)
    )
    if guest_at_fault:
        return Invalid(InvalidReason.EXECUTION_ERROR, str(error) or type(error).__name__)
    return Abstain(AbstainReason.HOST_FAILURE, f"{type(error).__name__}: {error}")


def _check_result(
    returned: bytes, descriptor: CandidateDescriptor, commitments_hash: bytes
) -> Valid | Invalid:
    """Decode what ``validate_block`` returned and hold it against what the candidate claims."""
    if len(returned) > MAX_RESULT_SIZE:
        return Invalid(
            InvalidReason.BAD_RETURN, f"the result has {len(returned)} bytes, more than {MAX_RESULT_SIZE}"
        )
    try:
        result = ValidationResult.decode(returned)
    except ScaleError as error:
        return Invalid(InvalidReason.BAD_RETURN, str(error))
    if len(result.head_data) > MAX_HEAD_DATA_SIZE:
        return Invalid(
            InvalidReason.INVALID_OUTPUTS,
            f"the head data has {len(result.head_data)} bytes, more than {MAX_HEAD_DATA_SIZE}",
        )
    para_head = blake2_256(result.head_data)
    if para_head != descriptor.para_head:
        return Invalid(
            InvalidReason.PARA_HEAD_HASH_MISMATCH,
            f"the head hashes to 0x{para_head.hex()}, the descriptor says 0x{descriptor.para_head.hex()}",
        )
    commitments = result.to_commitments()
    if commitments.hash() != commitments_hash:
        return Invalid(
            InvalidReason.COMMITMENTS_HASH_MISMATCH,
            f"the outputs hash to 0x{commitments.hash().hex()}, the candidate says 0x{commitments_hash.hex()}",
        )
    return Valid(result, commitments)
