"""After inclusion: availability, approval checks by lot, disputes with their votes, outcomes and consequences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pileus.relay_chain import RelayBlock, RelayChain, RelayChainConfig, StateDatabase
from pileus.relay_chain.approvals import Approval, ApprovalParams, Assignment, assign
from pileus.relay_chain.backing import Validator
from pileus.relay_chain.checking import check_approval, check_block, hold_dispute, sign_vote
from pileus.relay_chain.disputes import DisputeOutcome, OffenceKind, VoteKind, VoteRefused
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.judging import judge, judge_backing
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.statements import BackedCandidate, ExplicitVote, ImplicitVote
from pileus.testing.relay_chains import HonestCollation, collate, make_chain
from pov_validator import (
    Abstain,
    AbstainReason,
    Carried,
    Invalid,
    InvalidReason,
    OwnState,
    RelayStateSource,
    Valid,
)
from pov_validator.erasure import erasure_chunks, obtain_chunks
from pov_validator.roles import Role
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import AvailableData

SLOT = relay_keys.CURRENT_SLOT


def own(validator: Validator) -> RelayStateSource:
    return OwnState(validator.node)


def carried(validator: Validator) -> RelayStateSource:
    return Carried()


def include(chain: RelayChain, collation: HonestCollation, *, carried: bool = False) -> RelayBlock:
    """Back and include an honest candidate; the including block."""
    backed = chain.back(collation, carried=carried).backed
    assert backed is not None
    built = chain.build_block([backed])
    assert not built.refused
    block = chain.build_block().block
    assert block.included == (backed.candidate,)
    return block


def force(chain: RelayChain, collation: HonestCollation, **lies: object) -> HonestCollation:
    """A dishonest group backs and includes a candidate, whatever honest members would say."""
    lying = replace(collation, **lies)  # type: ignore[arg-type]
    assert chain.back(lying, carried=False).backed is None
    group = chain.group_of(lying.para_id, chain.best)
    session = chain.session_of(chain.best)
    history = chain.candidates[lying.hash()]
    history.backers = tuple(session.position(member) or 0 for member in group)
    kinds = [VoteKind.BACKING_SECONDED] + [VoteKind.BACKING_VALID] * (len(group) - 1)
    signed = [
        sign_vote(chain, lying.hash(), member, index, kind)
        for member, index, kind in zip(group, history.backers, kinds, strict=True)
    ]
    votes = [ImplicitVote(signed[0].signature), *(ExplicitVote(vote.signature) for vote in signed[1:])]
    history.votes = BackedCandidate(history.candidate, tuple(votes), (True,) * len(group))
    assert not chain.build_block([history.votes]).refused
    assert chain.build_block().block.included == (history.candidate,)
    return lying


def lie(collation: HonestCollation) -> dict[str, object]:
    """Outputs that the execution does not give."""
    head = collation.commitments.head_data + b"!"
    return {
        "commitments": replace(collation.commitments, head_data=head),
        "descriptor": replace(collation.descriptor, para_head=blake2_256(head)),
    }


class TestAvailability:
    def test_a_third_without_its_chunk_delays_inclusion_until_it_is_there(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        backed = chain.back(collation, carried=False).backed
        assert backed is not None
        chain.availability.lose(collation.hash(), 0, 1)
        chain.build_block([backed])
        waiting = chain.build_block().block
        assert waiting.included == ()
        assert waiting.pending == (backed.candidate,)
        other = chain.back(collate(chain, 1000, b"other"), carried=False).backed
        assert other is not None
        (refusal,) = chain.build_block([other]).refused
        assert refusal.reason is RefusalReason.UNSCHEDULED_CANDIDATE
        chain.availability.restore(collation.hash())
        assert chain.build_block().block.included == (backed.candidate,)

    def test_what_is_not_available_for_too_long_is_given_up(self) -> None:
        chain = make_chain(RelayChainConfig(availability_period=3))
        collation = collate(chain, 1000)
        backed = chain.back(collation, carried=False).backed
        assert backed is not None
        chain.availability.lose(collation.hash(), 0, 1)
        chain.build_block([backed])
        pending = [len(chain.build_block().block.pending) for _ in range(5)]
        assert pending == [1, 1, 0, 0, 0]
        assert chain.state(chain.best).para_head(1000) == b"genesis of 1000"
        chain.availability.restore(collation.hash())
        assert chain.build_block().block.included == ()

    @pytest.mark.parametrize(
        "validators, silent, verdict", [(6, 4, Valid), (6, 5, Abstain), (7, 4, Valid), (7, 5, Abstain)]
    )
    def test_whoever_hands_out_nothing_or_nonsense_makes_no_difference_up_to_two_thirds(
        self, validators: int, silent: int, verdict: type
    ) -> None:
        for knob in ("withhold", "corrupt", "lose"):
            chain = make_chain(validators=validators)
            collation = collate(chain, 1000)
            include(chain, collation)
            getattr(chain.availability, knob)(collation.hash(), *range(silent))
            judgement = judge(
                chain, collation.hash(), Role.APPROVAL_CHECKER, chain.validators[0], own(chain.validators[0])
            )
            assert isinstance(judgement.verdict, verdict)

    def test_the_data_is_gone_when_its_time_is_over(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0, availability_retention=3))
        collation = collate(chain, 1000)
        included = include(chain, collation)
        for number in range(included.number, included.number + 4):
            assert chain.best.number == number
            handed_out = chain.availability.handed_out(collation.hash())
            assert len(handed_out) == (6 if number < included.number + 3 else 0)
            chain.build_block()
        judgement = judge(
            chain, collation.hash(), Role.DISPUTE_PARTICIPANT, chain.validators[0], own(chain.validators[0])
        )
        assert isinstance(judgement.verdict, Abstain)
        assert judgement.verdict.reason is AbstainReason.AVAILABLE_DATA_UNAVAILABLE


ARGUMENTS = {"core": 1, "cores": 3, "validators": 12, "backers": (4, 5), "params": ApprovalParams()}


class TestLots:
    def test_they_are_the_same_for_everybody_and_leave_out_the_backers(self) -> None:
        lots = assign(bytes(32), 7, **ARGUMENTS)  # type: ignore[arg-type]
        assert lots == assign(bytes(32), 7, **ARGUMENTS)  # type: ignore[arg-type]
        assert {lot.validator for lot in lots} == set(range(12)) - {4, 5}
        assert [lot.tranche for lot in lots] == sorted(lot.tranche for lot in lots)

    def test_they_change_with_randomness_slot_and_core(self) -> None:
        base = assign(bytes(32), 7, **ARGUMENTS)  # type: ignore[arg-type]
        others = [
            assign(bytes([1]) + bytes(31), 7, **ARGUMENTS),  # type: ignore[arg-type]
            assign(bytes(32), 8, **ARGUMENTS),  # type: ignore[arg-type]
            assign(bytes(32), 7, **{**ARGUMENTS, "core": 2}),  # type: ignore[arg-type]
        ]
        assert all(other != base for other in others)

    def test_nobody_is_preferred(self) -> None:
        """Over many slots, each of the ten is among the first two about as often as any other."""
        first = [0] * 12
        for slot in range(1000):
            for lot in assign(bytes(32), slot, **ARGUMENTS)[:2]:  # type: ignore[arg-type]
                first[lot.validator] += 1
        assert first[4] == first[5] == 0
        assert all(140 < count < 260 for index, count in enumerate(first) if index not in (4, 5))

    def approval(self, needed: int = 2, validators: int = 12) -> Approval:
        return Approval(bytes(32), tuple(Assignment(index, index) for index in range(5)), validators, needed)

    def test_a_no_show_is_replaced_by_the_next(self) -> None:
        approval = self.approval()
        assert approval.wanted() == approval.open() == (0, 1)
        approval.approved_by.add(0)
        assert not approval.is_approved
        approval.no_shows.add(1)
        assert (approval.wanted(), approval.open()) == ((0, 1, 2), (2,))
        approval.no_shows.add(2)
        approval.approved_by.add(3)
        assert approval.is_approved
        assert approval.open() == ()

    def test_when_everybody_is_a_no_show_it_is_never_approved(self) -> None:
        approval = self.approval()
        approval.no_shows.update(range(5))
        assert approval.open() == ()
        assert not approval.is_approved

    def test_a_third_of_all_suffices_whoever_they_are(self) -> None:
        approval = self.approval(needed=5, validators=11)
        approval.approved_by.update((7, 8, 9))
        assert not approval.is_approved
        approval.approved_by.add(10)
        assert approval.is_approved

    def test_with_no_checkers_there_is_nothing_to_wait_for(self) -> None:
        assert Approval(bytes(32), (), 2, 2).is_approved


class TestApprovals:
    CONFIG = RelayChainConfig(finality_lag=1, approval_checking=True)

    def test_finality_waits_for_them(self) -> None:
        chain = make_chain(self.CONFIG)
        block = include(chain, collate(chain, 1000))
        for _ in range(4):
            chain.build_block()
        assert chain.finalized.number == block.number - 1
        (report,) = check_block(chain, block, own)
        assert report.approved
        assert report.dispute is None
        assert len(report.judgements) == 2
        backers = chain.candidates[block.included[0].hash()].backers
        assert not {index for index, _ in report.judgements} & set(backers)
        assert chain.finalized.number == chain.best.number - 1

    def test_those_who_cannot_tell_are_no_shows_and_the_others_approve(self) -> None:
        def node_of(index: int, database: StateDatabase) -> RelayNode:
            return RelayNode(database, pruning=None if index % 2 else 1)

        chain = make_chain(replace(self.CONFIG, approval_checking=False), validators=8, node_of=node_of)
        collation = collate(chain, 1000, keys=[SLOT])
        block = include(chain, collation)
        for _ in range(6):
            chain.build_block()
        report = check_approval(chain, collation.hash(), block, own)
        verdicts = {index: type(judgement.verdict) for index, judgement in report.judgements}
        assert report.approved
        assert all(verdict is (Valid if index % 2 else Abstain) for index, verdict in verdicts.items())
        assert sum(verdict is Valid for verdict in verdicts.values()) == 2

    def test_if_nobody_can_tell_finality_stalls_and_nobody_is_slashed(self) -> None:
        chain = make_chain(self.CONFIG)
        block = include(chain, collate(chain, 1000, keys=[SLOT]))
        for held in chain.node.held()[:-1]:
            chain.prune_state(held)
        (report,) = check_block(chain, block, own)
        assert not report.approved
        assert len(report.judgements) == 6 - len(chain.candidates[report.candidate].backers)
        assert {type(judgement.verdict) for _, judgement in report.judgements} == {Abstain}
        for _ in range(5):
            chain.build_block()
        assert chain.finalized.number < block.number
        assert chain.disputes.offences() == ()

    def test_with_a_carried_proof_everybody_can_tell(self) -> None:
        chain = make_chain(self.CONFIG)
        collation = collate(chain, 1000, keys=[SLOT, b"absent"], carried=True)
        block = include(chain, collation, carried=True)
        for held in chain.node.held()[:-1]:
            chain.prune_state(held)
        (report,) = check_block(chain, block, carried)
        assert report.approved


class TestDisputes:
    def test_a_lie_that_was_included_is_found_reverted_and_paid_for(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=2))
        honest = collate(chain, 1000)
        lying = force(chain, honest, **lie(honest))
        including = chain.best
        assert chain.state(including).para_head(1000) == lying.commitments.head_data
        tip = chain.build_block().block
        (report,) = check_block(chain, including, own)
        assert not report.approved
        dispute = report.dispute
        assert dispute is not None
        assert dispute.outcome is DisputeOutcome.INVALID
        assert dispute.reverted == (including,)
        backers = chain.candidates[lying.hash()].backers
        assert {(offence.validator, offence.kind) for offence in dispute.offences} == {
            (backer, OffenceKind.FOR_INVALID_BACKED) for backer in backers
        }
        assert not chain.tree.is_viable(tip)
        assert chain.best.number == including.number - 1
        assert chain.state(chain.best).para_head(1000) == b"genesis of 1000"
        votes = chain.candidates[lying.hash()].votes
        assert votes is not None
        next_block = chain.build_block([votes], slot=tip.slot + 1)
        assert next_block.block.included == ()
        assert [refusal.reason for refusal in next_block.refused] == [
            RefusalReason.CANDIDATE_CONCLUDED_INVALID
        ]

    def test_a_lie_that_was_finalized_freezes_the_chain(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0))
        honest = collate(chain, 1000)
        lying = force(chain, honest, **lie(honest))
        report = hold_dispute(chain, lying.hash(), own)
        assert report.outcome is DisputeOutcome.INVALID
        assert report.reverted == ()
        assert chain.frozen
        good = chain.back(collate(chain, 2000), carried=False).backed
        assert good is not None
        assert [refusal.reason for refusal in chain.build_block([good]).refused] == [
            RefusalReason.CANDIDATE_CONCLUDED_INVALID
        ]

    def test_a_false_alarm_is_cleared_and_costs_its_author_nothing_but_its_name(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=1))
        collation = collate(chain, 1000)
        block = include(chain, collation)
        alarm = sign_vote(chain, collation.hash(), chain.validators[5], 5, VoteKind.EXPLICIT_INVALID)
        dispute = chain.import_dispute_vote(collation.hash(), alarm)
        assert dispute.outcome is DisputeOutcome.ONE_SIDED
        report = hold_dispute(chain, collation.hash(), own)
        assert report.outcome is DisputeOutcome.VALID
        assert [(offence.validator, offence.kind) for offence in report.offences] == [
            (5, OffenceKind.AGAINST_VALID)
        ]
        assert report.reverted == ()
        assert chain.tree.is_viable(block)

    def test_an_open_dispute_holds_finality(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0))
        collation = collate(chain, 1000)
        chain.stall_finality()
        block = include(chain, collation)
        for index, kind in ((0, VoteKind.EXPLICIT_INVALID), (1, VoteKind.EXPLICIT_VALID)):
            vote = sign_vote(chain, collation.hash(), chain.validators[index], index, kind)
            chain.import_dispute_vote(collation.hash(), vote)
        assert chain.disputes[collation.hash()].outcome is DisputeOutcome.OPEN
        chain.resume_finality()
        chain.build_block()
        assert chain.finalized.number == block.number - 1
        hold_dispute(chain, collation.hash(), own)
        assert chain.disputes[collation.hash()].outcome is DisputeOutcome.VALID
        assert chain.finalized == chain.best

    def test_a_dispute_on_an_abandoned_fork_reverts_nothing_and_slashes_all_the_same(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=5))
        honest = collate(chain, 1000)
        lying = force(chain, honest, **lie(honest))
        abandoned = chain.best
        rival = chain.build_block(parent=chain.genesis.hash, slot=chain.genesis.slot + 9).block
        chain.finalize(rival.hash)
        assert not chain.has_state(abandoned)
        report = hold_dispute(chain, lying.hash(), own)
        assert report.outcome is DisputeOutcome.INVALID
        assert report.reverted == ()
        assert {offence.kind for offence in report.offences} == {OffenceKind.FOR_INVALID_BACKED}
        assert chain.best == rival

    def test_pruned_then_disputed(self) -> None:
        """polkadot-sdk #1359: under own state nobody can tell and the dispute stays open, with a proof all can."""
        for carries, outcome in ((False, DisputeOutcome.OPEN), (True, DisputeOutcome.VALID)):
            chain = make_chain(RelayChainConfig(finality_lag=1, state_pruning=2, epoch_length=1000))
            collation = collate(chain, 1000, keys=[SLOT], carried=carries)
            include(chain, collation, carried=carries)
            for _ in range(20):
                chain.build_block()
            false_alarm = sign_vote(
                chain, collation.hash(), chain.validators[5], 5, VoteKind.EXPLICIT_INVALID
            )
            chain.import_dispute_vote(collation.hash(), false_alarm)
            report = hold_dispute(chain, collation.hash(), carried if carries else own)
            assert report.outcome is outcome

    def test_a_dispute_too_late_is_none(self) -> None:
        chain = make_chain(RelayChainConfig(epoch_length=2))
        collation = collate(chain, 1000)
        include(chain, collation)
        while chain.session_of(chain.best).index < 6:
            chain.build_block()
        vote = sign_vote(chain, collation.hash(), chain.validators[0], 0, VoteKind.EXPLICIT_INVALID)
        with pytest.raises(VoteRefused, match="session 0 is over for 6 sessions"):
            chain.import_dispute_vote(collation.hash(), vote)
        report = hold_dispute(chain, collation.hash(), own)
        assert report.outcome is DisputeOutcome.ONE_SIDED
        reasons = {judgement.verdict.reason for _, judgement in report.judgements}  # type: ignore[union-attr]
        assert reasons == {AbstainReason.SESSION_INFO_UNAVAILABLE}

    def test_bad_votes_do_not_count(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        include(chain, collation)
        good = sign_vote(chain, collation.hash(), chain.validators[0], 0, VoteKind.EXPLICIT_INVALID)
        for bad, why in (
            (replace(good, validator=1), "signature"),
            (replace(good, validator=6), "validator 6 of 6"),
            (replace(good, validator=-1), "validator -1 of 6"),
            (replace(good, kind=VoteKind.EXPLICIT_VALID), "signature"),
            (replace(good, kind=VoteKind.APPROVAL), "signature"),
            (replace(good, signature=bytes(64)), "signature"),
            (replace(good, signature=b""), "signature"),
        ):
            with pytest.raises(VoteRefused, match=why):
                chain.import_dispute_vote(collation.hash(), bad)
        assert chain.disputes.get(collation.hash()) is None
        chain.import_dispute_vote(collation.hash(), good)
        with pytest.raises(VoteRefused, match="already"):
            chain.import_dispute_vote(collation.hash(), good)

    def test_voting_on_both_sides_counts_on_both(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        include(chain, collation)
        for kind in (VoteKind.EXPLICIT_INVALID, VoteKind.APPROVAL):
            chain.import_dispute_vote(
                collation.hash(), sign_vote(chain, collation.hash(), chain.validators[0], 0, kind)
            )
        dispute = chain.disputes[collation.hash()]
        assert dispute.voters(valid=True) == dispute.voters(valid=False) == (0,)
        assert dispute.outcome is DisputeOutcome.OPEN

    def test_approvers_of_an_invalid_candidate_pay_less_than_its_backers(self) -> None:
        chain = make_chain()
        honest = collate(chain, 1000)
        lying = force(chain, honest, **lie(honest))
        backers = chain.candidates[lying.hash()].backers
        lazy = next(index for index in range(6) if index not in backers)
        chain.import_dispute_vote(
            lying.hash(), sign_vote(chain, lying.hash(), chain.validators[lazy], lazy, VoteKind.APPROVAL)
        )
        kinds = {
            offence.validator: offence.kind for offence in hold_dispute(chain, lying.hash(), own).offences
        }
        assert kinds[lazy] is OffenceKind.FOR_INVALID_APPROVED
        assert {kinds[backer] for backer in backers} == {OffenceKind.FOR_INVALID_BACKED}


class TestBackers:
    def test_a_wrong_erasure_root_is_not_backed(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        wrong = replace(collation, descriptor=replace(collation.descriptor, erasure_root=bytes(32)))
        outcome = chain.back(wrong, carried=False)
        assert outcome.backed is None
        assert {verdict.reason for _, verdict in outcome.verdicts} == {InvalidReason.ERASURE_ROOT_MISMATCH}  # type: ignore[union-attr]

    def test_if_a_group_backs_it_all_the_same_the_checkers_find_out(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        data = AvailableData(collation.pov, collation.pvd)
        chunks = obtain_chunks(6, data)
        root, bad = erasure_chunks([*chunks[:5], bytes(len(chunks[5]))])
        descriptor = replace(collation.descriptor, erasure_root=root)
        lying = replace(collation, descriptor=descriptor)
        force(chain, lying)
        chain.availability.store_chunks(lying.hash(), data, bad)
        (report,) = check_block(chain, chain.best, own)
        assert report.dispute is not None
        assert report.dispute.outcome is DisputeOutcome.INVALID
        verdicts = {judgement.verdict.reason for _, judgement in report.dispute.judgements}  # type: ignore[union-attr]
        assert verdicts == {InvalidReason.AVAILABLE_DATA_INVALID}

    def test_a_backer_may_be_asked_again(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000, keys=[SLOT])
        chain.back(collation, carried=False)
        validator = chain.group_of(1000, chain.best)[0]
        again = judge_backing(
            chain, collation.hash(), validator, own(validator), collation.pov, collation.pvd
        )
        assert isinstance(again.verdict, Valid)
        assert again.reads.keys == (SLOT,)
        with pytest.raises(ValueError, match="needs more"):
            judge(chain, collation.hash(), Role.BACKER, validator, own(validator))
        with pytest.raises(KeyError):
            judge(chain, bytes(32), Role.APPROVAL_CHECKER, validator, own(validator))

    def test_each_names_what_is_wrong(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000, b"panic now")
        assert {type(verdict) for _, verdict in chain.back(collation, carried=False).verdicts} == {Invalid}
