"""A network in which one scenario is played under one answerer, step by step.

Steps are methods: author, back, include, approve, dispute, sync, and what goes wrong in between. Whoever judges on the
way is written down as a `Judged`, and what becomes of the candidate on the relay chain as an outcome. See
`pileus.verdicts.setup` for who there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from host_functions.relay_state import EmbeddedRelayNode
from pileus.collator import Collation, Collator
from pileus.network.parachain import RunningParachain, dev_keypair, load_runtime
from pileus.network.topology import Collator as CollatorSpec
from pileus.network.topology import Parachain
from pileus.relay_chain.approvals import Assignment
from pileus.relay_chain.backing import backing_threshold
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.checking import DisputeReport, check_approval, hold_dispute
from pileus.relay_chain.inclusion import Refusal
from pileus.relay_chain.judging import judge, judge_backing
from pileus.relay_chain.statements import (
    BackedCandidate,
    ExplicitVote,
    ImplicitVote,
    Seconded,
    ValidityAttestation,
    ValidStatement,
)
from pileus.verdicts.actors import (
    CollatorView,
    ReadsOf,
    RelayDatabase,
    ScenarioValidator,
    executing,
    with_same_past,
)
from pileus.verdicts.answerers import Answerer, source_for
from pileus.verdicts.setup import PRUNING, READER, SIBLING, Candidate, CannotAuthor, Judged, Setup, boot
from pov_validator import Abstain, AbstainReason, Invalid, InvalidReason, RelayStateSource, Verdict
from pov_validator.roles import Judgement, Role, judge_as_collator, judge_as_full_node
from runtime.chains import probe
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import byte_vec

__all__ = ["Play"]


class Play:
    """One scenario under one answerer, as it goes."""

    def __init__(self, answerer: Answerer, seed: int, setup: Setup) -> None:
        self.answerer = answerer
        self.seed = seed
        self.setup = setup
        self.judged: list[Judged] = []
        self.outcomes: list[tuple[str, str]] = []
        """What became of it on the relay chain, by name, in order."""
        self.honest_offences: list[str] = []
        """Names of honest validators on the losing side of a dispute."""
        runtime, module = load_runtime("runtime.chains.probe", "runtime")
        self.reader, self.sibling = (
            RunningParachain(
                Parachain(id=para, collators=(CollatorSpec(f"collator-{para}"),)), runtime, module
            )
            for para in (READER, SIBLING)
        )
        self.chain, self.validators = boot(setup, seed, self.parachains, runtime, self._source)
        self.collator_node = self._node(archive=setup.collator_archive)
        self.full_node = self._node(archive=False)
        self._views = {para.para_id: CollatorView(self.chain, self.collator_node) for para in self.parachains}

    @property
    def parachains(self) -> tuple[RunningParachain, RunningParachain]:
        return self.reader, self.sibling

    # What happens on the relay chain.

    def advance(self, blocks: int, *, parent: bytes | None = None, late: int = 0) -> RelayBlock:
        """Build that many empty relay blocks; the last one. The first is `late` by so many slots.

        Two blocks on one parent in one slot would be one and the same block, and no fork.
        """
        block = self.chain.best if parent is None else self.chain.block(parent)
        for position in range(blocks):
            slot = block.slot + 1 + (late if position == 0 else 0)
            block = self.chain.build_block(parent=block.hash, slot=slot).block
        return block

    def advance_sibling(self, *, parent: bytes | None = None) -> RelayBlock:
        """Let the sibling have a new head: two relay blocks, in the second of which it is included."""
        relay_parent = self.chain.best if parent is None else self.chain.block(parent)
        collation = self._collate(self.sibling, relay_parent, ())
        backed = self.chain.back(collation, carried=self.answerer.carries).backed
        built = self.chain.build_block([] if backed is None else [backed], parent=relay_parent.hash)
        included = self.chain.build_block(parent=built.block.hash).block
        self.sibling.import_included(collation.block, self._views[SIBLING], relay_parent.hash)
        return included

    # The life of a candidate.

    def author(
        self,
        keys: Sequence[bytes],
        *,
        relay_parent: RelayBlock | None = None,
        tampered: ReadsOf | None = None,
        label: str = "",
        honest: bool | None = None,
    ) -> Candidate:
        """The reader's collator builds a block that reads `keys` at the relay parent (the best block if not given).

        Raises `CannotAuthor` if its relay node has let go of the state there. A collator that tampers with its reads is
        not `honest`; one that will tamper with the block afterwards says so.
        """
        at = self.chain.best if relay_parent is None else relay_parent
        upright = tampered is None if honest is None else honest
        past = with_same_past(self.reader.node)
        made: list[Collation] = []

        def collate() -> Collation:
            made.append(self._collate(self.reader, at, keys, tampered))
            return made[0]

        judgement = judge_as_collator(collate)
        self._note(label, "" if upright else "dishonest", "collator", judgement, honest=upright)
        if not made:
            raise CannotAuthor(str(judgement.verdict))
        return Candidate(label, made[0], upright, past)

    def try_to_author(self, keys: Sequence[bytes], relay_parent: RelayBlock, condition: str) -> None:
        """As `author`, by a collator whose relay node prunes as usual, and which may find that it cannot."""
        view = CollatorView(self.chain, self.full_node)
        judgement = judge_as_collator(lambda: self._collate(self.reader, relay_parent, keys, view=view))
        self._note("", condition, "collator", judgement, honest=True)

    def back(self, candidate: Candidate) -> BackedCandidate | None:
        """The reader's backing group judges; the candidate with its votes, if there are enough."""
        collation = candidate.collation
        outcome = self.chain.back(collation, carried=self.answerer.carries)
        for validator in self._group(candidate):
            judgement = judge_backing(
                self.chain, candidate.hash, validator, validator.source(), collation.pov, collation.pvd
            )
            self._note(
                candidate.label, validator.condition, validator.name, judgement, honest=validator.honest
            )
        self.outcome("backed", "no" if outcome.backed is None else "yes", candidate)
        return outcome.backed

    def buy_backers(self, candidate: Candidate) -> BackedCandidate:
        """As many members of the group as it takes have been bought, and sign without looking."""
        collation = candidate.collation
        self.chain.back(collation, carried=self.answerer.carries)
        relay_parent = self.chain.block(collation.descriptor.relay_parent)
        context = self.chain.signing_context(relay_parent)
        group = self._group(candidate)
        bought = group[: backing_threshold(len(group))]
        votes: list[ValidityAttestation] = []
        for validator in bought:
            validator.honest = False
            statement = ValidStatement(candidate.hash) if votes else Seconded(candidate.hash)
            signature = validator.sign(statement, context)
            votes.append(ExplicitVote(signature) if votes else ImplicitVote(signature))
        receipt = CommittedCandidateReceipt(collation.descriptor, collation.commitments)
        backed = BackedCandidate(receipt, tuple(votes), tuple(validator in bought for validator in group))
        history = self.chain.candidates[candidate.hash]
        history.votes = backed
        history.backers = tuple(validator.index for validator in bought)
        self.outcome("backed by bought votes", "yes", candidate)
        return backed

    def include(
        self, candidate: Candidate, backed: BackedCandidate | None, *, parent: bytes | None = None
    ) -> RelayBlock | None:
        """Build the relay block that backs the candidate and the one that includes it; the latter, if it does."""
        built = self.chain.build_block([] if backed is None else [backed], parent=parent)
        included = self.chain.build_block(parent=built.block.hash).block
        there = any(receipt.hash() == candidate.hash for receipt in included.included)
        self.outcome("included", "yes" if there else _reason(built.refused), candidate)
        if there and candidate.honest:
            # A full node that was there at the time: the next candidate builds on this block.
            root = candidate.collation.pvd.relay_parent_storage_root
            self.reader.node.import_block(candidate.collation.block, EmbeddedRelayNode(self.chain.node, root))
        return included if there else None

    def approve(self, candidate: Candidate, block: RelayBlock) -> None:
        """Approval checkers judge; one that finds it invalid starts a dispute.

        Written down is what everybody would say whom the lot can pick. So that nothing depends on the real lot, those
        whom a condition sets apart are drawn first.
        """
        approval = self.chain.approval(candidate.hash, block)
        approval.assignments = tuple(sorted(approval.assignments, key=self._drawn))
        for assignment in approval.assignments:
            validator = self.validators[assignment.validator]
            judgement = judge(
                self.chain, candidate.hash, Role.APPROVAL_CHECKER, validator, validator.source()
            )
            self._note_validator(candidate, validator.index, judgement)
        report = check_approval(self.chain, candidate.hash, block, _source_of)
        if report.dispute is None:
            self.outcome("approved", "yes" if report.approved else "no", candidate)
        else:
            self.outcome("approved", "disputed", candidate)
            self._note_dispute(candidate, report.dispute)

    def dispute(self, candidate: Candidate, *, accuser: str | None = None) -> None:
        """The candidate is disputed, so every validator of its session has to judge it.

        `accuser` is a dishonest validator who calls it invalid, whatever it is. Other dishonest ones say nothing more.
        """
        said: dict[int, Judgement] = {}
        for validator in self.validators:
            if validator.name == accuser:
                validator.honest = False
                verdict: Verdict = Invalid(InvalidReason.EXECUTION_ERROR, "so the accuser says")
            elif not validator.honest:
                verdict = Abstain(AbstainReason.HOST_FAILURE, "it would rather not say")
            else:
                continue
            said[validator.index] = Judgement(Role.DISPUTE_PARTICIPANT, verdict)
        self._note_dispute(candidate, hold_dispute(self.chain, candidate.hash, _source_of, said))

    def sync(self, candidate: Candidate) -> None:
        """A full node of the reader executes the block, with what is synced beside it."""
        data = candidate.collation.block_data
        synced = data.additional_data[0] if data.additional_data else None
        block = candidate.collation.block
        judgement = judge_as_full_node(
            block, synced, executing(candidate.past, block), self._source(self.full_node)
        )
        self._note(candidate.label, "", "full node", judgement, honest=True)

    def outcome(self, name: str, value: str, candidate: Candidate | None = None) -> None:
        """Write down what became of a candidate, or of the chain."""
        label = candidate.label if candidate is not None and candidate.label else ""
        self.outcomes.append((f"{name} ({label})" if label else name, value))

    # What goes wrong.

    def prune(self, block: RelayBlock, *validators: str) -> None:
        """The state after `block` is pruned at these validators, or everywhere."""
        if not validators:
            self.chain.prune_state(block)
        for validator in self.named(*validators):
            validator.database.prune(block)

    def named(self, *names: str) -> tuple[ScenarioValidator, ...]:
        """The validators with these names."""
        return tuple(validator for validator in self.validators if validator.name in names)

    # What can be read.

    @staticmethod
    def head_of(para_id: int) -> bytes:
        """The relay key of a parachain's head."""
        return relay_keys.para_head(para_id)

    def seen(self, candidate: Candidate, para_id: int) -> str:
        """What the newest judge of a candidate found as a parachain's head: ``absent``, or ``block`` and a number."""
        key = self.head_of(para_id)
        for judged in reversed(self.judged):
            values = judged.judgement.reads.values
            if judged.candidate == candidate.label and values and key in values:
                return _head_text(values[key])
        return "not read"

    def head_at(self, block: RelayBlock) -> str:
        """The sibling's head in the state after a relay block, in the same words."""
        return _head_text(self.chain.state(block).get(self.head_of(SIBLING)))

    def payload_bytes(self, candidate: Candidate) -> int:
        """Bytes of the uncompressed payload of the PoV."""
        return len(candidate.collation.block_data.encode())

    # How it is done.

    def _node(self, *, archive: bool) -> RelayDatabase:
        node = RelayDatabase(self.chain.database, pruning=None if archive else PRUNING)
        self.chain.attach(node)
        return node

    def _source(self, node: RelayDatabase) -> RelayStateSource:
        return source_for(self.answerer, node, lambda: self.chain.best.state_root)

    def _collate(
        self,
        para: RunningParachain,
        relay_parent: RelayBlock,
        keys: Iterable[bytes],
        tampered: ReadsOf | None = None,
        view: CollatorView | None = None,
    ) -> Collation:
        wanted = tuple(keys)
        head = self.chain.state(relay_parent).para_head(para.para_id)
        if head is not None:
            # On another relay fork the parachain has another newest block, and the sender another nonce.
            para.node.best_hash = Header.decode(head).hash()
        para.mempool.clear()
        if wanted:
            para.submit(probe.relay_probe.call_of(probe.relay_probe.probe, wanted).encode())
        view = self._views[para.para_id] if view is None else view
        view.tampered = tampered
        collator = Collator(
            para.node,
            view,
            para.para_id,
            dev_keypair(f"collator-{para.para_id}"),
            commit_relay_reads=self.answerer.carries,
        )
        collator.pool = list(para.mempool)
        collation = collator.collate(relay_parent.hash)
        if collation is None or collation.proposal.refused:
            raise RuntimeError("the only collator has its turn, and its block has room for the probe")
        return collation

    def _drawn(self, assignment: Assignment) -> tuple[bool, int]:
        return not self.validators[assignment.validator].condition, assignment.validator

    def _group(self, candidate: Candidate) -> tuple[ScenarioValidator, ...]:
        relay_parent = self.chain.block(candidate.collation.descriptor.relay_parent)
        members = {validator.name for validator in self.chain.group_of(READER, relay_parent)}
        return self.named(*members)

    def _note(
        self, candidate: str, condition: str, judge: str, judgement: Judgement, *, honest: bool
    ) -> None:
        self.judged.append(Judged(candidate, condition, judge, judgement, honest))

    def _note_validator(self, candidate: Candidate, index: int, judgement: Judgement) -> None:
        validator = self.validators[index]
        if validator.honest:
            self._note(candidate.label, validator.condition, validator.name, judgement, honest=True)

    def _note_dispute(self, candidate: Candidate, report: DisputeReport) -> None:
        for index, judgement in report.judgements:
            self._note_validator(candidate, index, judgement)
        slashed = [self.validators[offence.validator] for offence in report.offences]
        self.honest_offences += [validator.name for validator in slashed if validator.honest]
        self.outcome("dispute", report.outcome.value, candidate)
        self.outcome("slashed", _slashed(slashed), candidate)
        reverted = _count(len(report.reverted), "block")
        self.outcome("reverted", "too late: frozen" if self.chain.frozen else reverted, candidate)


def _head_text(value: bytes | None) -> str:
    return "absent" if value is None else f"block {Header.decode(byte_vec.decode(value)).number}"


def _source_of(validator: object) -> RelayStateSource:
    if not isinstance(validator, ScenarioValidator):
        raise TypeError("a scenario has its own validators")
    return validator.source()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}" if number else "-"


def _reason(refused: Sequence[Refusal]) -> str:
    return refused[0].reason.value if refused else "no"


def _slashed(validators: Sequence[ScenarioValidator]) -> str:
    honest = sum(validator.honest for validator in validators)
    dishonest = len(validators) - honest
    parts = [f"{honest} honest"] * bool(honest) + [f"{dishonest} dishonest"] * bool(dishonest)
    return ", ".join(parts) or "-"
