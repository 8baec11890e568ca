"""What validators do about an included candidate: approve it by lot, and dispute it if one of them finds it invalid.

The whole of it at once and on demand, in the order of the protocol [polkadot-approval-voting] [polkadot-disputes]:
checkers are wanted in the order of their lots; one that cannot tell says nothing, is a no-show, and is replaced; one
that finds the candidate invalid starts a dispute, in which the votes of its backers count, and in which every validator
of the session takes part. Everybody judges honestly from what it has; whom to make dishonest is up to the caller, who
can import any signed vote (`RelayChain.import_dispute_vote`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pileus.relay_chain.backing import Validator
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.disputes import (
    DisputeOutcome,
    DisputeVote,
    Offence,
    VoteKind,
    VoteRefused,
    vote_payload,
)
from pileus.relay_chain.judging import judge
from pileus.relay_chain.statements import ImplicitVote
from pov_validator import Abstain, Invalid, RelayStateSource
from pov_validator.roles import Judgement, Role

__all__ = [
    "ApprovalReport",
    "DisputeReport",
    "SourceOf",
    "check_approval",
    "check_block",
    "hold_dispute",
    "sign_vote",
]

SourceOf: TypeAlias = Callable[[Validator], RelayStateSource]
"""Where each validator takes relay state from."""


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """How a dispute went."""

    candidate: bytes
    outcome: DisputeOutcome
    judgements: tuple[tuple[int, Judgement], ...]
    """What the participants found, by index in the session."""
    offences: tuple[Offence, ...]
    reverted: tuple[RelayBlock, ...]
    """Including blocks that are no longer viable, and were before."""


@dataclass(frozen=True, slots=True)
class ApprovalReport:
    """How the checks of one candidate in one block went."""

    candidate: bytes
    block: RelayBlock
    judgements: tuple[tuple[int, Judgement], ...]
    """What the checkers found, by index in the session, in the order in which they were wanted."""
    validators: tuple[Validator, ...]
    """The session's."""
    approved: bool
    dispute: DisputeReport | None
    """The dispute that a checker started."""

    @property
    def para_id(self) -> int:
        """Whose candidate it is."""
        return next(
            included.descriptor.para_id
            for included in self.block.included
            if included.hash() == self.candidate
        )

    def by_name(self) -> tuple[tuple[Validator, Judgement], ...]:
        """The checkers with what they found."""
        return tuple((self.validators[index], judgement) for index, judgement in self.judgements)


def sign_vote(
    chain: RelayChain, candidate: bytes, validator: Validator, index: int, kind: VoteKind
) -> DisputeVote:
    """A vote as `validator`, which has `index` in the candidate's session, signs it. Raises `KeyError`."""
    history = chain.candidates[candidate]
    session = chain.session_of(history.relay_parent).index
    payload = vote_payload(kind, candidate, session, history.relay_parent.hash)
    return DisputeVote(index, kind, validator.keypair.sign(payload))


def check_block(chain: RelayChain, block: RelayBlock, source_of: SourceOf) -> tuple[ApprovalReport, ...]:
    """Check the approval of every candidate that a block includes and this chain has judged."""
    hashes = [candidate.hash() for candidate in block.included]
    return tuple(
        check_approval(chain, known, block, source_of) for known in hashes if known in chain.candidates
    )


def check_approval(
    chain: RelayChain, candidate: bytes, block: RelayBlock, source_of: SourceOf
) -> ApprovalReport:
    """Let checkers judge until the candidate is approved, disputed, or nobody is left. Raises `KeyError`."""
    approval = chain.approval(candidate, block)
    session = chain.session_of(chain.candidates[candidate].relay_parent)
    judgements: list[tuple[int, Judgement]] = []
    while not approval.is_approved and approval.open():
        index = approval.open()[0]
        validator = session.validators[index]
        judgement = judge(chain, candidate, Role.APPROVAL_CHECKER, validator, source_of(validator))
        judgements.append((index, judgement))
        if isinstance(judgement.verdict, Invalid):
            dispute = hold_dispute(chain, candidate, source_of, {index: judgement})
            return ApprovalReport(candidate, block, tuple(judgements), session.validators, False, dispute)
        (approval.no_shows if isinstance(judgement.verdict, Abstain) else approval.approved_by).add(index)
    chain.advance_finality()
    return ApprovalReport(candidate, block, tuple(judgements), session.validators, approval.is_approved, None)


def hold_dispute(
    chain: RelayChain,
    candidate: bytes,
    source_of: SourceOf,
    judged: dict[int, Judgement] | None = None,
) -> DisputeReport:
    """Let every validator of the candidate's session judge, and count the votes. Raises `KeyError`.

    `judged` are those who have an opinion already, by index. The candidate's backers stand by their backing votes; a
    backer may find the candidate invalid all the same, and then stands on both sides.
    """
    history = chain.candidates[candidate]
    session = chain.session_of(history.relay_parent)
    viable = [block for block in history.included_in if chain.tree.is_viable(block)]
    for vote in _backing_votes(chain, candidate):
        _count(chain, candidate, vote)
    judgements = dict(judged or {})
    for index, validator in enumerate(session.validators):
        if index not in judgements:
            source = source_of(validator)
            judgements[index] = judge(chain, candidate, Role.DISPUTE_PARTICIPANT, validator, source)
    for index, judgement in judgements.items():
        if not isinstance(judgement.verdict, Abstain):
            invalid = isinstance(judgement.verdict, Invalid)
            kind = VoteKind.EXPLICIT_INVALID if invalid else VoteKind.EXPLICIT_VALID
            _count(chain, candidate, sign_vote(chain, candidate, session.validators[index], index, kind))
    chain.advance_finality()
    dispute = chain.disputes.get(candidate)
    return DisputeReport(
        candidate,
        DisputeOutcome.ONE_SIDED if dispute is None else dispute.outcome,
        tuple(sorted(judgements.items(), key=lambda item: item[0])),
        () if dispute is None else dispute.offences(),
        tuple(block for block in viable if not chain.tree.is_viable(block)),
    )


def _backing_votes(chain: RelayChain, candidate: bytes) -> tuple[DisputeVote, ...]:
    """The votes that the candidate was backed with, as statements in a dispute."""
    history = chain.candidates[candidate]
    if history.votes is None:
        return ()
    return tuple(
        DisputeVote(
            index,
            VoteKind.BACKING_SECONDED if isinstance(vote, ImplicitVote) else VoteKind.BACKING_VALID,
            vote.signature,
        )
        for index, vote in zip(history.backers, history.votes.validity_votes, strict=True)
    )


def _count(chain: RelayChain, candidate: bytes, vote: DisputeVote) -> None:
    """Import a vote; one that does not count any more (too old, or cast before) makes no difference."""
    try:
        chain.import_dispute_vote(candidate, vote)
    except VoteRefused:
        return
