"""Disputes: votes on whether a candidate was valid, what decides them, and who pays.

Follows the dispute coordinator and the ``disputes`` and ``slashing`` modules of the parachains runtime
[polkadot-disputes]. There is a dispute once there are votes on both sides; it is concluded by a supermajority (two
thirds, and one) of the session's validators. A lost one makes the chain revert to before the candidate's inclusion.
Voting on both sides counts on both. Slashes are kept as fractions and applied to nothing: nobody has stake here.

Not modelled: spam slots and the f + 1 votes that confirm a dispute before others spend work on it, and the period after
a conclusion in which late votes still count (they count for ever).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from host_functions.errors import PileusError
from host_functions.interfaces.crypto import sr25519_verify
from pileus.relay_chain.sessions import DISPUTE_WINDOW, SessionInfo, supermajority_threshold
from pileus.relay_chain.statements import Seconded, SigningContext, ValidStatement, signing_payload
from runtime.primitives.scale import boolean, u32

__all__ = [
    "Dispute",
    "DisputeOutcome",
    "DisputeVote",
    "Disputes",
    "Offence",
    "OffenceKind",
    "VoteKind",
    "VoteRefused",
    "vote_payload",
]

DISPUTE_MAGIC: Final = b"DISP"
APPROVAL_MAGIC: Final = b"APPR"


class VoteKind(Enum):
    """What was signed. ``ValidDisputeStatementKind`` and ``InvalidDisputeStatementKind``."""

    EXPLICIT_VALID = "explicit valid"
    BACKING_SECONDED = "seconded"
    BACKING_VALID = "backed"
    APPROVAL = "approved"
    EXPLICIT_INVALID = "explicit invalid"

    @property
    def is_valid(self) -> bool:
        """On which side the vote counts."""
        return self is not VoteKind.EXPLICIT_INVALID

    @property
    def is_backing(self) -> bool:
        return self in (VoteKind.BACKING_SECONDED, VoteKind.BACKING_VALID)


def vote_payload(kind: VoteKind, candidate: bytes, session: int, relay_parent: bytes) -> bytes:
    """The bytes that a validator signs. Backing votes are the statements that the candidate was backed with."""
    if kind is VoteKind.BACKING_SECONDED:
        return signing_payload(Seconded(candidate), SigningContext(session, relay_parent))
    if kind is VoteKind.BACKING_VALID:
        return signing_payload(ValidStatement(candidate), SigningContext(session, relay_parent))
    if kind is VoteKind.APPROVAL:
        return APPROVAL_MAGIC + candidate + u32.encode(session)
    return DISPUTE_MAGIC + boolean.encode(kind.is_valid) + candidate + u32.encode(session)


@dataclass(frozen=True, slots=True)
class DisputeVote:
    """One validator's signed word on a candidate."""

    validator: int
    """Index in the candidate's session."""
    kind: VoteKind
    signature: bytes
    """sr25519 over `vote_payload`, 64 bytes."""


class VoteRefused(PileusError):
    """A vote that does not count: unknown validator, bad signature, a second time, or a session too old."""


class DisputeOutcome(Enum):
    """How a dispute stands."""

    ONE_SIDED = "one-sided"
    """All votes agree so far: there is no dispute."""
    OPEN = "open"
    VALID = "concluded valid"
    INVALID = "concluded invalid"


class OffenceKind(Enum):
    """What a validator is punished for. ``DisputeOffenceKind``; the value is the slashed percentage."""

    FOR_INVALID_BACKED = 100
    FOR_INVALID_APPROVED = 2
    AGAINST_VALID = 0


@dataclass(frozen=True, slots=True)
class Offence:
    """A validator on the losing side."""

    session: int
    candidate: bytes
    validator: int
    kind: OffenceKind


@dataclass(slots=True)
class Dispute:
    """All votes on one candidate of one session."""

    session: SessionInfo
    candidate: bytes
    relay_parent: bytes
    votes: dict[tuple[int, bool], DisputeVote] = field(default_factory=dict)
    """By validator and side: the first vote of each."""
    backers: set[int] = field(default_factory=set)

    def voters(self, *, valid: bool) -> tuple[int, ...]:
        """The validators on one side, ascending."""
        return tuple(sorted(validator for validator, side in self.votes if side is valid))

    @property
    def outcome(self) -> DisputeOutcome:
        in_favour, against = len(self.voters(valid=True)), len(self.voters(valid=False))
        if not in_favour or not against:
            return DisputeOutcome.ONE_SIDED
        threshold = supermajority_threshold(len(self.session.validators))
        # Both sides can win only if more than f validators stand on both; then nobody should rely on the candidate.
        if against >= threshold:
            return DisputeOutcome.INVALID
        return DisputeOutcome.VALID if in_favour >= threshold else DisputeOutcome.OPEN

    def offences(self) -> tuple[Offence, ...]:
        """Who is on the losing side, by index; late votes count too. Nobody while the dispute is open."""
        outcome = self.outcome
        if outcome is DisputeOutcome.INVALID:
            return tuple(
                self._offence(
                    index,
                    OffenceKind.FOR_INVALID_BACKED
                    if index in self.backers
                    else OffenceKind.FOR_INVALID_APPROVED,
                )
                for index in self.voters(valid=True)
            )
        if outcome is DisputeOutcome.VALID:
            return tuple(
                self._offence(index, OffenceKind.AGAINST_VALID) for index in self.voters(valid=False)
            )
        return ()

    def _offence(self, validator: int, kind: OffenceKind) -> Offence:
        return Offence(self.session.index, self.candidate, validator, kind)


class Disputes:
    """The disputes that a chain has seen, by candidate hash."""

    def __init__(self) -> None:
        self._disputes: dict[bytes, Dispute] = {}

    def __getitem__(self, candidate: bytes) -> Dispute:
        return self._disputes[candidate]

    def get(self, candidate: bytes) -> Dispute | None:
        """The votes on a candidate, None if there were none."""
        return self._disputes.get(candidate)

    def all(self) -> Mapping[bytes, Dispute]:
        """All of them, in the order in which they came up."""
        return dict(self._disputes)

    def offences(self) -> tuple[Offence, ...]:
        """Everybody who stands on a losing side."""
        return tuple(offence for dispute in self._disputes.values() for offence in dispute.offences())

    def import_vote(
        self,
        session: SessionInfo,
        candidate: bytes,
        relay_parent: bytes,
        vote: DisputeVote,
        *,
        current_session: int,
        backers: Collection[int] = (),
    ) -> Dispute:
        """Count a vote. Raises `VoteRefused`; `backers` are the validators whose backing votes the chain has seen.

        A validator's second vote on the same side is refused, one on the other side counts there as well.
        """
        if session.index <= current_session - DISPUTE_WINDOW:
            raise VoteRefused(
                f"session {session.index} is over for {current_session - session.index} sessions, "
                f"disputes are possible for {DISPUTE_WINDOW}"
            )
        if not 0 <= vote.validator < len(session.validators):
            raise VoteRefused(f"validator {vote.validator} of {len(session.validators)}")
        dispute = self._disputes.get(candidate)
        if dispute is None:
            dispute = Dispute(session, candidate, relay_parent)
        side = vote.validator, vote.kind.is_valid
        if side in dispute.votes:
            raise VoteRefused(f"validator {vote.validator} has voted on this side already")
        payload = vote_payload(vote.kind, candidate, session.index, relay_parent)
        key = session.validators[vote.validator].keypair.public_key
        if not sr25519_verify(vote.signature, payload, key):
            raise VoteRefused(f"the signature of validator {vote.validator} does not verify")
        self._disputes[candidate] = dispute
        dispute.votes[side] = vote
        dispute.backers.update(backers)
        if vote.kind.is_backing:
            dispute.backers.add(vote.validator)
        return dispute
