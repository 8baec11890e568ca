"""The two roles on the parachain's side: they have the parachain's own state, and no use for a PoV.

- A *collator* authors on a relay parent of its choice. What can go wrong for an honest one is that its relay node does
  not have that relay parent's state, upon which it chooses a newer one.
- A *syncing full node* executes a block that somebody else made, at any later time. Relay reads are answered by its own
  relay node, or from the additional data that are synced with the block [sdk-13022]. The root is the one in the
  header's ``RPSR`` digest item: the node believes it because the relay chain has finalized a candidate that validators
  judged under the right root.

Both put their question to a parachain node, which this package must not know: it is given as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from host_functions.errors import (
    ContextDivergence,
    DeadlineExceeded,
    HostError,
    MissingHostFunction,
    PileusError,
    StateUnavailable,
    WitnessMissing,
)
from host_functions.relay_state import RelayStateReader
from pov_validator.relay_source import RelayStateSource, WatchedReads
from pov_validator.roles.judgement import Judgement, RelayReadLog, Role, Watching, relay_proof_bytes
from pov_validator.verdict import Abstain, AbstainReason, Invalid, InvalidReason, Valid
from runtime.primitives.additional_data import RELAY_PROOF_KEY, AdditionalDataMap, hash_commitments
from runtime.primitives.block import Block
from runtime.primitives.digest import AdditionalData, relay_parent_storage_root
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.primitives.parachain import CandidateCommitments, PoV, ValidationResult
from runtime.primitives.parachain_block_data import ParachainBlockData

__all__ = ["Authored", "judge_as_collator", "judge_as_full_node"]


class Authored(Protocol):
    """What a collator made of a relay parent. A `pileus.collator.Collation` is one."""

    @property
    def commitments(self) -> CandidateCommitments: ...

    @property
    def pov(self) -> PoV: ...

    @property
    def relay_reads(self) -> tuple[bytes, ...]: ...


def judge_as_collator(author: Callable[[], Authored | None]) -> Judgement:
    """Whether a collator can author a block, as `author` does.

    `author` raises `StateUnavailable` if the collator's relay node lacks the relay parent's state, and returns None if
    it is not this collator's turn.
    """
    try:
        authored = author()
    except Exception as error:
        return Judgement(Role.COLLATOR, _verdict_on(error))
    if authored is None:
        return Judgement(
            Role.COLLATOR,
            Abstain(
                AbstainReason.NOT_ITS_TURN, "the slot is another collator's, or nothing is there to build on"
            ),
        )
    return Judgement(
        Role.COLLATOR,
        Valid(_result(authored.commitments), authored.commitments),
        len(authored.pov.encode()),
        relay_proof_bytes(authored.pov),
        RelayReadLog(None, nodes=authored.relay_reads),
    )


def judge_as_full_node(
    block: Block,
    additional_data: AdditionalDataMap | None,
    execute: Callable[[RelayStateReader], CandidateCommitments],
    relay_state: RelayStateSource,
) -> Judgement:
    """Whether a full node of the parachain can execute a block of it.

    `additional_data` are what was synced with the block, None if nothing was. `execute` runs the block on its parent's
    state and gives its outputs; it raises `InvalidBlock` for a bad block.
    """
    try:
        claimed = relay_parent_storage_root(block.header.digest)
    except ScaleError as error:
        return Judgement(Role.FULL_NODE, Invalid(InvalidReason.EXECUTION_ERROR, f"RPSR digest item: {error}"))
    fault = None if additional_data is None else _check_commitment(block.header, additional_data)
    if fault is not None:
        return Judgement(Role.FULL_NODE, Invalid(InvalidReason.EXECUTION_ERROR, fault))
    # The form in which a PoV would carry the same data, so that the same sources can answer.
    payload = ParachainBlockData(1, (block,), ())
    if additional_data is not None:
        payload = ParachainBlockData(3, (block,), (), (additional_data,))
    watching = Watching(relay_state)
    reads = watching.reads(bytes(32) if claimed is None else claimed.storage_root, payload.encode())
    verdict = _execute(execute, reads, relay_state, synced=additional_data is not None)
    carried = len((additional_data or {}).get(RELAY_PROOF_KEY, b""))
    return Judgement(Role.FULL_NODE, verdict, None, carried, watching.log())


def _execute(
    execute: Callable[[RelayStateReader], CandidateCommitments],
    reads: WatchedReads,
    relay_state: RelayStateSource,
    *,
    synced: bool,
) -> Valid | Invalid | Abstain:
    verdict: Valid | Invalid | Abstain
    try:
        commitments = execute(reads)
        verdict = Valid(_result(commitments), commitments)
    except Exception as error:
        verdict = _verdict_on(error)
    reads.finish()
    if reads.failure is None:
        return verdict
    if not synced and isinstance(reads.failure, WitnessMissing):
        # Nothing came with the block. That is a condition of this node's sync, and says nothing about the block.
        return Abstain(AbstainReason.RELAY_STATE_UNAVAILABLE, f"no relay proof was synced: {reads.failure}")
    return relay_state.verdict_on(reads.failure)


def _check_commitment(header: Header, additional_data: AdditionalDataMap) -> str | None:
    """Why data are not those that the header commits to. Import paths that do not execute check this too."""
    committed = [item.hash for item in header.digest if isinstance(item, AdditionalData)]
    if len(committed) > 1:
        return "more than one AdditionalData digest item"
    if (committed[0] if committed else None) != hash_commitments(additional_data):
        return "AdditionalData digest item does not match the data that were synced"
    return None


def _verdict_on(error: Exception) -> Invalid | Abstain:
    if isinstance(error, StateUnavailable):
        return Abstain(AbstainReason.RELAY_STATE_UNAVAILABLE, str(error))
    # How long a block may take is a rule for validators only: a deadline that is set here is this node's own.
    at_fault = isinstance(error, PileusError) and (
        not isinstance(error, HostError | ContextDivergence | DeadlineExceeded)
        or isinstance(error, MissingHostFunction)
    )
    if at_fault:
        return Invalid(InvalidReason.EXECUTION_ERROR, str(error) or type(error).__name__)
    return Abstain(AbstainReason.HOST_FAILURE, f"{type(error).__name__}: {error}")


def _result(commitments: CandidateCommitments) -> ValidationResult:
    """The same outputs in the order in which a validation function returns them."""
    return ValidationResult(
        commitments.head_data,
        commitments.new_validation_code,
        commitments.upward_messages,
        commitments.horizontal_messages,
        commitments.processed_downward_messages,
        commitments.hrmp_watermark,
    )
