"""Backing statements: what validators sign about a candidate, and the backed candidate that a block carries.

Follows ``CompactStatement``, ``SigningContext``, ``ValidityAttestation`` and ``BackedCandidate`` of
``polkadot_primitives`` [polkadot-primitives]: a statement is the magic ``BKNG``, a kind and the candidate hash; what is
signed is that statement together with the session and the relay parent, so no signature can be replayed elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import H256, H512, U32, Struct, Variant, bit_vec

__all__ = [
    "BackedCandidate",
    "CompactStatement",
    "ExplicitVote",
    "ImplicitVote",
    "Seconded",
    "SigningContext",
    "ValidStatement",
    "ValidityAttestation",
    "signing_payload",
]

BACKING_STATEMENT_MAGIC = b"BKNG"


@dataclass(frozen=True, slots=True)
class Seconded(Variant):
    """The signer proposes this candidate to its group and vouches for it. One per validator and relay parent."""

    index: ClassVar[int] = 1
    candidate_hash: H256


@dataclass(frozen=True, slots=True)
class ValidStatement(Variant):
    """The signer has validated a candidate that another one seconded. ``CompactStatement::Valid``."""

    index: ClassVar[int] = 2
    candidate_hash: H256


CompactStatement = Seconded | ValidStatement


@dataclass(frozen=True, slots=True)
class SigningContext(Struct):
    """What a statement is about besides the candidate."""

    session_index: U32
    parent_hash: H256
    """Hash of the relay parent."""


def signing_payload(statement: CompactStatement, context: SigningContext) -> bytes:
    """The bytes a backing validator signs: 73 of them."""
    return BACKING_STATEMENT_MAGIC + statement.encode() + context.encode()


@dataclass(frozen=True, slots=True)
class ImplicitVote(Variant):
    """Signature on `Seconded`. ``ValidityAttestation::Implicit``."""

    index: ClassVar[int] = 1
    signature: H512


@dataclass(frozen=True, slots=True)
class ExplicitVote(Variant):
    """Signature on `ValidStatement`. ``ValidityAttestation::Explicit``."""

    index: ClassVar[int] = 2
    signature: H512


ValidityAttestation = ImplicitVote | ExplicitVote


@dataclass(frozen=True, slots=True)
class BackedCandidate(Struct):
    """A candidate with the votes of its group, as the parachains inherent carries it."""

    candidate: CommittedCandidateReceipt
    validity_votes: tuple[ImplicitVote | ExplicitVote, ...]
    """One per set bit of `validator_indices`, in order."""
    validator_indices: Annotated[tuple[bool, ...], bit_vec]
    """One per member of the group, in group order: whether this member voted."""
