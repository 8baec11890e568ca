"""Why a relay runtime left a candidate out of a block, as far as it can be found out.

A runtime filters candidates while it makes its own inherent, and most say nothing about it. So the reason is looked
for in three places, the surest first: the checks of ``verify_backed_candidate`` and ``check_candidate_backing``
[polkadot-inclusion] done again on the same state; the runtime's log; and if neither tells, the drop is named as silent.

Not modelled: the limits on a block's total weight, and the checks of outbound messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from host_functions.contexts.families import LogLine
from pileus.relay_chain.backing import verify_votes
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.inclusion import Refusal, RefusalReason
from pileus.relay_chain.real.parachain_host import CORE_INDEX_BITS, NodeFeature, Occupied, ParachainHost
from pileus.relay_chain.statements import BackedCandidate
from pov_validator.validate import is_signed_by_collator
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import CandidateDescriptorV1

if TYPE_CHECKING:
    from pileus.relay_chain.real.chain import RealRelayChain

__all__ = ["explain_drop"]

TELLING: Final = re.compile(r"candidate|backed|inherent", re.I)
REFUSING: Final = re.compile(
    r"\b(?:dropp|filter|refus|reject|ignor|invalid|fail|not allowed|unable|cannot|skipp)", re.I
)
"""A log line that has words of both kinds is about a refused candidate; runtimes differ too much for more."""
MAX_TEXT: Final = 300


def explain_drop(
    chain: RealRelayChain, candidate: BackedCandidate, parent: RelayBlock, log: Sequence[LogLine]
) -> Refusal:
    """Why the block on `parent` does not contain `candidate`; `log` is what the runtime said meanwhile."""
    for reason, detail in _checks(chain, candidate, parent):
        return Refusal(candidate.candidate, reason, detail)
    said = [line.message for line in log if TELLING.search(line.message) and REFUSING.search(line.message)]
    if said:
        return Refusal(
            candidate.candidate, RefusalReason.FILTERED_BY_RUNTIME, f"its log: {said[-1][:MAX_TEXT]}"
        )
    return Refusal(
        candidate.candidate,
        RefusalReason.FILTERED_BY_RUNTIME,
        "dropped silently: no known check fails, and the runtime neither logged nor reported anything",
    )


def _checks(
    chain: RealRelayChain, candidate: BackedCandidate, parent: RelayBlock
) -> Iterator[tuple[RefusalReason, str]]:
    receipt = candidate.candidate
    descriptor = receipt.descriptor
    para_id = descriptor.para_id
    host = chain.host(parent)
    core = chain.core_of(para_id, parent)
    if core is None:
        yield RefusalReason.UNSCHEDULED_CANDIDATE, f"para {para_id} is scheduled on no core"
        return
    if isinstance(host.availability_cores()[core], Occupied):
        yield RefusalReason.UNSCHEDULED_CANDIDATE, f"core {core} of para {para_id} is occupied"
    if descriptor.relay_parent not in chain:
        yield (
            RefusalReason.DISALLOWED_RELAY_PARENT,
            f"0x{descriptor.relay_parent.hex()} is no block of this chain",
        )
        return
    relay_parent = chain.block(descriptor.relay_parent)
    if not chain.has_state(relay_parent):
        yield (
            RefusalReason.DISALLOWED_RELAY_PARENT,
            f"relay block {relay_parent.number} is so old that its state is pruned",
        )
        return
    expected = chain.host(relay_parent).persisted_validation_data(para_id)
    if expected is None or expected.hash() != descriptor.persisted_validation_data_hash:
        yield (
            RefusalReason.VALIDATION_DATA_HASH_MISMATCH,
            f"the candidate does not build on the para's head at relay block {relay_parent.number}",
        )
    if descriptor.validation_code_hash != chain.state(parent).code_hash(para_id):
        yield (
            RefusalReason.INVALID_VALIDATION_CODE_HASH,
            f"0x{descriptor.validation_code_hash.hex()} is not the code of para {para_id}",
        )
    if blake2_256(receipt.commitments.head_data) != descriptor.para_head:
        yield RefusalReason.PARA_HEAD_MISMATCH, "the head data do not hash to the descriptor's"
    if isinstance(descriptor, CandidateDescriptorV1) and not is_signed_by_collator(descriptor):
        yield RefusalReason.INVALID_BACKING, "the collator's signature does not verify"
    elif not isinstance(descriptor, CandidateDescriptorV1) and not host.has_feature(
        NodeFeature.CANDIDATE_RECEIPT_V2
    ):
        yield (
            RefusalReason.INVALID_ASSIGNMENT,
            "a version 2 descriptor, which this relay chain is not switched to",
        )
    fault = verify_votes(
        _without_core_index(candidate, host),
        chain.group_of(core, relay_parent),
        chain.signing_context(relay_parent),
    )
    if fault is not None:
        yield RefusalReason.INVALID_BACKING, fault
    if relay_parent.hash != parent.hash:
        yield (
            RefusalReason.DISALLOWED_RELAY_PARENT,
            f"built on relay block {relay_parent.number}, offered on {parent.number}; "
            "whether that is allowed is the runtime's business, and nothing else explains it",
        )


def _without_core_index(candidate: BackedCandidate, host: ParachainHost) -> BackedCandidate:
    if not host.has_feature(NodeFeature.ELASTIC_SCALING_MVP):
        return candidate
    return replace(candidate, validator_indices=candidate.validator_indices[:-CORE_INDEX_BITS])
