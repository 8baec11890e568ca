"""The scheduling proof of a PoV: which recent relay block a candidate was scheduled by, seen from its relay parent.

Follows `SchedulingProof` of `cumulus_primitives_core` in the form that polkadot-sdk's branches agree on by now
[sdk-10472]: relay headers from the scheduling parent backwards, the header they end at, and optionally the signed
choice of a core. A candidate whose relay parent is the scheduling parent has nothing to prove; its proof is `EMPTY`,
with a default header in the place of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.parachain import ApprovedPeerId, ValidationParamsExtensionV3
from runtime.primitives.scale import H256, H512, U8, Struct, vec

MAX_HEADERS: Final = 8
"""Headers of one proof that are decoded; runtimes ask for as many as their `RelayParentOffset`, which is 1 or 2."""


@dataclass(frozen=True, slots=True)
class SchedulingInfoPayload(Struct):
    """What the author of a slot signs who submits a candidate again."""

    core_selector: U8
    claim_queue_offset: U8
    peer_id: ApprovedPeerId
    internal_scheduling_parent: H256


@dataclass(frozen=True, slots=True)
class SignedSchedulingInfo(Struct):
    """A chosen core, and the author's signature over the encoded payload."""

    payload: SchedulingInfoPayload
    signature: H512


@dataclass(frozen=True, slots=True)
class SchedulingProof(Struct):
    """Relay headers, each the parent of the one before it."""

    header_chain: Annotated[tuple[Header, ...], vec(Header.codec(), max_items=MAX_HEADERS)]
    """The first one is the scheduling parent."""
    internal_scheduling_parent_header: Header
    """The parent of the last header; with no header, the scheduling parent itself."""
    signed_scheduling_info: SignedSchedulingInfo | None


EMPTY: Final = SchedulingProof((), Header(EMPTY_HASH, 0, EMPTY_HASH, EMPTY_HASH), None)
"""No headers and no signature. 100 bytes."""


def check_scheduling_proof(
    proof: SchedulingProof, extension: ValidationParamsExtensionV3 | None, relay_parent_offset: int
) -> None:
    """A candidate without a scheduling parent proves nothing; one with it, the way from there to the relay parent.

    `relay_parent_offset` is the number of headers the runtime asks for. Raises InvalidBlock. Not modelled: candidates
    submitted again, whose relay parent is older than the proof reaches and whose core choice is signed.
    """
    if extension is None:
        if proof != EMPTY:
            raise InvalidBlock("a scheduling proof without a scheduling parent")
        return
    if len(proof.header_chain) != relay_parent_offset:
        raise InvalidBlock(
            f"a scheduling proof of {len(proof.header_chain)} headers, the runtime asks for {relay_parent_offset}"
        )
    expected = extension.scheduling_parent
    for header in (*proof.header_chain, proof.internal_scheduling_parent_header):
        if header.hash() != expected:
            raise InvalidBlock("the headers of the scheduling proof are no chain from the scheduling parent")
        internal, expected = expected, header.parent_hash
    if extension.relay_parent != internal:
        raise InvalidBlock("the relay parent is not where the scheduling proof ends")
