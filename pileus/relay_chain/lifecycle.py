"""What becomes of candidates after they are judged: pending, included, approved, disputed, forgotten.

A block includes the candidates that are pending on its parent and available; a dispute that finds one invalid takes
the including blocks back, and freezes the parachains if one of them is final [polkadot-disputes]. A candidate lives on
all forks at once: there is one set of chunks, one set of votes, and a list of the blocks that back and include it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.relay_chain.approvals import Approval, assign
from pileus.relay_chain.availability import Availability
from pileus.relay_chain.backing import BackingOutcome
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.disputes import Dispute, DisputeOutcome, Disputes, DisputeVote
from pileus.relay_chain.genesis import RelayChainConfig, epoch_randomness
from pileus.relay_chain.sessions import SessionInfo
from pileus.relay_chain.statements import BackedCandidate
from pileus.relay_chain.tree import BlockTree
from runtime.primitives.parachain import AvailableData, CommittedCandidateReceipt

__all__ = ["CandidateHistory", "CandidateLifecycle"]


@dataclass(slots=True)
class CandidateHistory:
    """What became of a candidate that a group has judged, on all forks."""

    candidate: CommittedCandidateReceipt
    relay_parent: RelayBlock
    core: int
    backers: tuple[int, ...]
    """Session indices of those who voted for it."""
    votes: BackedCandidate | None
    """The candidate with its votes, if there were enough."""
    backed_in: list[RelayBlock] = field(default_factory=list)
    included_in: list[RelayBlock] = field(default_factory=list)


class CandidateLifecycle:
    """The candidates of one chain, from their backing group's judgement on."""

    def __init__(
        self,
        config: RelayChainConfig,
        tree: BlockTree,
        cores: int,
        session_of: Callable[[RelayBlock], SessionInfo],
    ) -> None:
        """`session_of` gives the session of candidates with a block as relay parent."""
        self.config = config
        self.availability = Availability()
        self.disputes = Disputes()
        self.candidates: dict[bytes, CandidateHistory] = {}
        """Candidates that a group has judged, by hash."""
        self.frozen = False
        """Whether a finalized block has included a candidate that a dispute found invalid."""
        self._tree = tree
        self._cores = cores
        self._session_of = session_of
        self._approvals: dict[tuple[bytes, bytes], Approval] = {}

    def note_judged(self, outcome: BackingOutcome, relay_parent: RelayBlock) -> None:
        """A group has judged a candidate.

        What it was given is what it would hand out: an honest group only if it backs the candidate, a dishonest one in
        any case, and the later roles are there for that one.
        """
        candidate = outcome.candidate.hash()
        session = self._session_of(relay_parent)
        self.availability.store(candidate, AvailableData(outcome.pov, outcome.pvd), len(session.validators))
        backers = tuple(
            position
            for validator in outcome.supporters
            if (position := session.position(validator)) is not None
        )
        self.candidates.setdefault(
            candidate,
            CandidateHistory(outcome.candidate, relay_parent, outcome.core_index, backers, outcome.backed),
        )

    def note_imported(self, block: RelayBlock) -> None:
        """A block has come in that backs and includes what it says."""
        for backed in block.backed:
            history = self.candidates.get(backed.candidate.hash())
            if history is not None:
                history.backed_in.append(block)
        for candidate in block.included:
            history = self.candidates.get(candidate.hash())
            if history is not None:
                history.included_in.append(block)

    def note_finalized(self, block: RelayBlock) -> None:
        """A block is final: the data of what was included long enough before it are dropped."""
        old = self._tree.finalized_at(block.number - self.config.availability_retention)
        for candidate in () if old is None else old.included:
            self.availability.drop(candidate.hash())

    def settle_pending(
        self, parent: RelayBlock
    ) -> tuple[tuple[CommittedCandidateReceipt, ...], tuple[CommittedCandidateReceipt, ...]]:
        """What becomes included on `parent`, and what stays pending. A candidate found invalid is neither."""
        included: list[CommittedCandidateReceipt] = []
        waiting: list[CommittedCandidateReceipt] = []
        for candidate in parent.pending:
            candidate_hash = candidate.hash()
            if self.is_invalid(candidate_hash):
                continue
            if self.availability.is_available(candidate_hash) or candidate_hash not in self.candidates:
                included.append(candidate)
            elif not self._is_timed_out(candidate, parent):
                waiting.append(candidate)
        return tuple(included), tuple(waiting)

    def is_invalid(self, candidate: bytes) -> bool:
        """Whether a dispute has found a candidate invalid."""
        dispute = self.disputes.get(candidate)
        return dispute is not None and dispute.outcome is DisputeOutcome.INVALID

    def approval(self, candidate: bytes, block: RelayBlock) -> Approval:
        """The approval of a candidate that `block` includes. Raises `KeyError` for one this chain does not know."""
        known = self._approvals.get((block.hash, candidate))
        if known is None:
            history = self.candidates[candidate]
            session = self._session_of(history.relay_parent)
            assignments = assign(
                epoch_randomness(self.config.seed, session.index),
                block.slot,
                core=history.core,
                cores=self._cores,
                validators=len(session.validators),
                backers=history.backers,
                params=self.config.approvals,
            )
            known = self._approvals[block.hash, candidate] = Approval(
                candidate, assignments, len(session.validators), self.config.approvals.needed_approvals
            )
        return known

    def import_dispute_vote(self, candidate: bytes, vote: DisputeVote) -> Dispute:
        """Count a vote on a known candidate; a dispute that it decides takes effect. Raises `VoteRefused`, `KeyError`.

        A candidate found invalid takes its including blocks with it, as far as they are not finalized. If one is, the
        chain is `frozen`: no candidate is backed any more, until governance helps.
        """
        history = self.candidates[candidate]
        dispute = self.disputes.import_vote(
            self._session_of(history.relay_parent),
            candidate,
            history.relay_parent.hash,
            vote,
            current_session=self._session_of(self._tree.best).index,
            backers=history.backers,
        )
        if dispute.outcome is DisputeOutcome.INVALID:
            for block in history.included_in:
                if self._tree.is_finalized(block):
                    self.frozen = True
                elif self._tree.is_viable(block):
                    self._tree.revert(block)
        return dispute

    def is_decided(self, candidate: bytes, block: RelayBlock) -> bool:
        """Whether a candidate included in `block` does not hold finality back."""
        dispute = self.disputes.get(candidate)
        if dispute is not None and dispute.outcome in (DisputeOutcome.OPEN, DisputeOutcome.INVALID):
            return False
        if not self.config.approval_checking or candidate not in self.candidates:
            return True
        return self.approval(candidate, block).is_approved

    def _is_timed_out(self, candidate: CommittedCandidateReceipt, parent: RelayBlock) -> bool:
        period = self.config.availability_period
        recent = [
            block
            for block in self._tree.ancestry(parent, period)
            if parent.number + 1 - block.number < period
        ]
        return not any(candidate == backed.candidate for block in recent for backed in block.backed)
