"""Any history of the relay chain: forks, reverts, stalls, prunings, late joiners, lies, disputes, other validators.

Against a model of plain dicts, and against the laws of roles: an honest candidate is never called invalid, a lying one
never valid, by nobody, from no source, whatever became of the relay chain; with a carried proof everybody can tell; and
who pays for a dispute is dishonest.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from host_functions.errors import StateUnavailable
from pileus.relay_chain import (
    RelayBlock,
    RelayChainConfig,
    RelayChainInProcessInterface,
    RelayNode,
    StateDatabase,
)
from pileus.relay_chain.checking import hold_dispute, sign_vote
from pileus.relay_chain.disputes import DisputeOutcome, VoteKind, VoteRefused
from pileus.relay_chain.judging import judge, judge_backing
from pileus.relay_chain.statements import BackedCandidate
from pileus.relay_chain.tree import NotViable
from pileus.testing.relay_chains import HonestCollation, collate, dev_validators, make_chain
from pov_validator import (
    Abstain,
    AbstainReason,
    Carried,
    Fallback,
    Invalid,
    OwnState,
    RelayStateSource,
    Valid,
)
from pov_validator.roles import Role
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import u64

PARA = 2000
PRUNINGS = (1, 2, 4, None)
KEYS = (relay_keys.CURRENT_SLOT, relay_keys.para_head(PARA), relay_keys.para_head(9))
CHOICE = st.integers(0, 1000)
DISHONEST = 0
"""Index of the validator that lies in disputes: one of four is as many as may be dishonest."""


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.chain = make_chain(
            RelayChainConfig(finality_lag=2, state_pruning=3, epoch_length=6),
            paras=(PARA,),
            validators=len(PRUNINGS),
            node_of=lambda index, database: RelayNode(database, pruning=PRUNINGS[index]),
        )
        self.relay = RelayChainInProcessInterface(self.chain)
        genesis = self.chain.genesis
        self.blocks = [genesis]
        self.heads = {genesis.hash: b"genesis of %d" % PARA}
        """The para's head after each block."""
        self.pending: dict[bytes, bytes | None] = {genesis.hash: None}
        """The head that becomes the para's with the next block."""
        self.reverted: list[RelayBlock] = []
        self.collations: list[HonestCollation] = []
        self.honest: dict[bytes, bool] = {}
        """Whether the outputs of a judged candidate are true, by its hash."""
        self.false_alarms: set[tuple[bytes, int]] = set()
        self.finalized = genesis

    @property
    def members(self) -> tuple[object, ...]:
        return self.chain.session_of(self.chain.best).validators

    def extendable(self) -> list[RelayBlock]:
        return [
            block
            for block in self.blocks[-8:]
            if self.chain.has_state(block) and self.chain.tree.is_ancestor(self.chain.finalized, block)
        ]

    # What happens.

    @precondition(lambda self: self.extendable())
    @rule(
        choice=CHOICE,
        data=st.binary(min_size=1, max_size=2).filter(lambda data: data[:1] != b"p"),
        keys=st.lists(st.sampled_from(KEYS), max_size=2),
        carried=st.booleans(),
        skip=st.integers(1, 3),
        lying=st.integers(0, 5),
        more=st.integers(0, 3),
    )
    def build(
        self, choice: int, data: bytes, keys: list[bytes], carried: bool, skip: int, lying: int, more: int
    ) -> None:
        """A block on any block that can be built upon, with a candidate if the core is free: honest, or a lie."""
        extendable = self.extendable()
        parent = extendable[choice % len(extendable)]
        expected = self.pending[parent.hash] or self.heads[parent.hash]
        offered: list[BackedCandidate] = []
        backed_head = None
        if parent.pending_of(PARA) is None:
            collation = collate(self.chain, PARA, data, keys=keys, carried=carried, relay_parent=parent.hash)
            if not lying:
                head = collation.commitments.head_data + b"!"
                collation = replace(
                    collation,
                    commitments=replace(collation.commitments, head_data=head),
                    descriptor=replace(collation.descriptor, para_head=blake2_256(head)),
                )
            self.collations.append(collation)
            self.honest[collation.hash()] = bool(lying)
            outcome = self.chain.back(collation, carried=carried)
            if lying:
                assert not any(isinstance(verdict, Invalid) for _, verdict in outcome.verdicts)
            else:
                assert outcome.backed is None
            if outcome.backed is not None:
                offered.append(outcome.backed)
                backed_head = collation.commitments.head_data
        block = self.extend(parent, offered, expected, backed_head, skip)
        for _ in range(more):
            if self.chain.tree.is_ancestor(self.chain.finalized, block):
                block = self.extend(block, [], self.pending[block.hash] or self.heads[block.hash], None, 1)

    def extend(
        self,
        parent: RelayBlock,
        offered: list[BackedCandidate],
        head: bytes,
        backed_head: bytes | None,
        skip: int,
    ) -> RelayBlock:
        built = self.chain.build_block(offered, parent=parent.hash, slot=parent.slot + skip)
        if built.block.hash not in self.heads:
            self.blocks.append(built.block)
            self.heads[built.block.hash] = head
            self.pending[built.block.hash] = None if built.refused else backed_head
        return built.block

    @rule(choice=CHOICE)
    def revert(self, choice: int) -> None:
        block = self.blocks[-1 - choice % min(4, len(self.blocks))]
        try:
            self.chain.revert(block.hash)
        except NotViable:
            assert self.chain.tree.is_finalized(block)
        else:
            self.reverted.append(block)

    @rule()
    def stall_or_resume(self) -> None:
        if self.chain.finality_stalled:
            self.chain.resume_finality()
        else:
            self.chain.stall_finality()

    @rule(choice=CHOICE)
    def finalize_some_fork(self, choice: int) -> None:
        block = self.blocks[-1 - choice % min(6, len(self.blocks))]
        viable = self.chain.tree.is_viable(block)
        try:
            self.chain.finalize(block.hash)
        except NotViable:
            assert not viable
        else:
            assert viable
            assert self.chain.finalized == block

    @rule(choice=CHOICE, which=st.integers(0, len(PRUNINGS)))
    def prune(self, choice: int, which: int) -> None:
        node = self.chain.nodes[which]
        held = node.held()
        if held and (which or len(held) > 2):
            node.prune(held[choice % max(1, len(held) - 2)])

    @rule(which=st.integers(1, len(PRUNINGS)))
    def warp_sync(self, which: int) -> None:
        try:
            self.chain.nodes[which].warp_sync(self.chain.best)
        except StateUnavailable:
            assert not self.chain.database.has_state(self.chain.best.state_root)

    @rule()
    def announce_other_validators(self) -> None:
        members = dev_validators(
            len(PRUNINGS), self.chain.database, lambda index: self.chain.nodes[1 + index]
        )
        self.chain.announce_validators(members[::-1])

    # What is said about it.

    @precondition(lambda self: self.collations)
    @rule(choice=CHOICE, who=CHOICE)
    def judge_again(self, choice: int, who: int) -> None:
        """Long after, in every role and from every source."""
        collation = self.collations[-1 - choice % min(12, len(self.collations))]
        candidate = collation.hash()
        session = self.chain.session_of(self.chain.candidates[candidate].relay_parent)
        validator = session.validators[who % len(session.validators)]
        carries = collation.pov.block_data.startswith(b"VERSIONEDPBD\x03")
        reads = bool(collation.relay_reads)
        node = validator.node
        held = collation.pvd.relay_parent_storage_root in {block.state_root for block in node.held()}  # type: ignore[attr-defined]
        sources: dict[RelayStateSource, bool] = {
            OwnState(node): held or not reads,
            Fallback(node): carries or held or not reads,
        }
        if carries:
            sources[Carried()] = True
        for source, can_tell in sources.items():
            verdicts = [
                judge(self.chain, candidate, role, validator, source).verdict
                for role in (Role.APPROVAL_CHECKER, Role.DISPUTE_PARTICIPANT)
            ]
            verdicts.append(
                judge_backing(self.chain, candidate, validator, source, collation.pov, collation.pvd).verdict
            )
            for verdict in verdicts:
                if isinstance(verdict, Abstain):
                    assert verdict.reason in (
                        AbstainReason.RELAY_STATE_UNAVAILABLE,
                        AbstainReason.SESSION_INFO_UNAVAILABLE,
                    )
                    assert verdict.reason is not AbstainReason.RELAY_STATE_UNAVAILABLE or not can_tell
                else:
                    assert can_tell
                    assert isinstance(verdict, Valid if self.honest[candidate] else Invalid)

    @precondition(lambda self: self.collations)
    @rule(choice=CHOICE)
    def dispute(self, choice: int) -> None:
        """The one of four that may be dishonest says the contrary of the truth; then everybody judges."""
        collation = self.collations[-1 - choice % min(6, len(self.collations))]
        candidate = collation.hash()
        session = self.chain.session_of(self.chain.candidates[candidate].relay_parent)
        kind = VoteKind.EXPLICIT_INVALID if self.honest[candidate] else VoteKind.APPROVAL
        vote = sign_vote(self.chain, candidate, session.validators[DISHONEST], DISHONEST, kind)
        try:
            self.chain.import_dispute_vote(candidate, vote)
            self.false_alarms.add((candidate, DISHONEST))
        except VoteRefused:
            pass
        before = self.chain.best
        report = hold_dispute(self.chain, candidate, lambda validator: Fallback(validator.node))
        if self.honest[candidate]:
            assert report.outcome is not DisputeOutcome.INVALID
            assert not report.reverted
            assert self.chain.best == before
        else:
            assert report.outcome is not DisputeOutcome.VALID
        for offence in report.offences:
            assert (candidate, offence.validator) in self.false_alarms

    # What holds.

    @invariant()
    def every_held_state_has_its_forks_head_at_every_node(self) -> None:
        for node in self.chain.nodes:
            for block in node.held()[-3:]:
                store = node.state_at(block.state_root)
                assert store[block.state_root]
                get = self.chain.database.get
                assert get(block.state_root, relay_keys.CURRENT_SLOT) == u64.encode(block.slot)
                state = self.chain.state(block) if self.chain.has_state(block) else None
                assert state is None or state.para_head(PARA) == self.heads[block.hash]

    @invariant()
    def what_no_node_holds_is_gone(self) -> None:
        roots = {block.state_root for node in self.chain.nodes for block in node.held()}
        for block in self.blocks:
            assert self.chain.database.has_state(block.state_root) == (block.state_root in roots)
            for node in self.chain.nodes:
                if block.state_root not in {held.state_root for held in node.held()}:
                    try:
                        node.state_at(block.state_root)
                    except StateUnavailable:
                        continue
                    raise AssertionError("a node answers from a state that it does not hold")

    @invariant()
    def the_best_block_is_the_highest_that_counts(self) -> None:
        tree, best = self.chain.tree, self.chain.best
        gone = {below.hash for block in self.reverted for below in tree.descendants(block)}
        counting = [
            block
            for block in self.blocks
            if block.hash not in gone and tree.is_ancestor(self.chain.finalized, block)
        ]
        assert best.hash not in gone or tree.is_finalized(best)
        assert tree.is_ancestor(self.chain.finalized, best)
        assert best.number == max(block.number for block in (*counting, self.chain.finalized))

    @invariant()
    def finality_only_moves_forward(self) -> None:
        assert self.chain.tree.is_ancestor(self.finalized, self.chain.finalized)
        self.finalized = self.chain.finalized

    def teardown(self) -> None:
        """What is stored is what the nodes hold, and with the last of them nothing is."""
        database: StateDatabase = self.chain.database
        roots = {block.state_root for node in self.chain.nodes for block in node.held()}
        reached = {hash_ for root in roots for hash_, _ in database.items_of(root)}
        assert len(database) == len(reached)
        for node in self.chain.nodes:
            for block in node.held():
                node.prune(block)
        assert len(database) == 0


TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=25, max_examples=40)
