"""The relay chain model: a tree of blocks, each with a real state, a best one and a finalized one.

Blocks are kept in a `BlockTree`, states by root in one `StateDatabase`; any block whose state is held can be built
upon, so forks need nothing special. Finality follows the best block at a distance, which can grow, and waits for what
it must not overtake: open disputes, and approvals if `RelayChainConfig.approval_checking` says so. Every attached
`RelayNode` prunes by its own settings.

Time is a slot number and moves only when a block is built. What happens after a candidate's inclusion (approval
checks, disputes) happens when somebody calls for it: `pileus.relay_chain.checking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host_functions.errors import PileusError, StateUnavailable
from pileus.relay_chain.approvals import Approval
from pileus.relay_chain.availability import Availability
from pileus.relay_chain.backing import BackingOutcome, Validator, back_candidate, groups, verify_votes
from pileus.relay_chain.block import RelayBlock, extrinsics_of, genesis_header, sealed, unsealed_header
from pileus.relay_chain.disputes import Dispute, Disputes, DisputeVote
from pileus.relay_chain.genesis import (
    ParaGenesis,
    RelayChainConfig,
    authority_entries,
    epoch_entries,
    genesis_entries,
)
from pileus.relay_chain.inclusion import (
    CandidateRefused,
    Refusal,
    RefusalReason,
    check_candidate,
    enact_candidate,
)
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.lifecycle import CandidateHistory, CandidateLifecycle
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.prechecking import gather_pvf_checks
from pileus.relay_chain.pvf_checks import SignedPvfCheck, check_statement
from pileus.relay_chain.sessions import SessionInfo, Sessions
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import BackedCandidate, SigningContext
from pileus.relay_chain.storage import HrmpChannel, RelayState, RelayStateBuilder
from pileus.relay_chain.tree import BlockTree, NotViable, UnknownRelayBlock
from pileus.relay_chain.upgrades import CodeUpgrades, code_by_hash
from pov_validator.roles import RelayParentFacts
from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import byte_vec

__all__ = ["BuiltBlock", "CandidateHistory", "NotViable", "RelayChain", "UnknownPara", "UnknownRelayBlock"]


class UnknownPara(PileusError):
    """A para that is not registered on this relay chain."""

    def __init__(self, para_id: int) -> None:
        super().__init__(f"para {para_id} is not registered")
        self.para_id = para_id


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A new block, and the candidates offered for it that it does not contain."""

    block: RelayBlock
    refused: tuple[Refusal, ...]


class RelayChain:
    """Blocks, states, validators."""

    def __init__(
        self,
        config: RelayChainConfig,
        paras: Sequence[ParaGenesis],
        validators: Sequence[Validator],
        database: StateDatabase,
    ) -> None:
        """Starts at genesis. `database` receives the states.

        A validator may read `database` itself, which has what the chain's own node has, or a `RelayNode` over it,
        which is attached and prunes by its own settings, or anything else.

        Raises `ValueError` for a para registered twice, and for fewer validators than paras, or than two: there is no
        erasure code for one.
        """
        if len({para.para_id for para in paras}) != len(paras):
            raise ValueError("a para is registered twice")
        self._require_validators(validators, len(paras))
        self.config = config
        self.validators = tuple(validators)
        """Those of the first session."""
        self.sessions = Sessions(validators)
        self.database = database
        self.core_of = {para.para_id: core for core, para in enumerate(paras)}
        self.node = RelayNode(database, pruning=config.state_pruning)
        """The chain's own node, which authors: what it has lost cannot be built upon."""
        self.nodes = [self.node]
        self.finality_lag = config.finality_lag
        """Blocks by which finality follows the best block; may be changed at any time."""
        self.finality_stalled = False
        self._downward: list[tuple[int, bytes]] = []
        self._channels: list[tuple[int, int, HrmpChannel]] = []
        self._pvf_checks: list[SignedPvfCheck] = []
        entries = genesis_entries(config, [validator.keypair.public_key for validator in validators], paras)
        header = genesis_header(database.commit(database.layout.empty_root, entries))
        self.tree = BlockTree(RelayBlock(header, header.hash(), config.genesis_slot, (), (), ()))
        self.lifecycle = CandidateLifecycle(config, self.tree, len(paras), self.session_of)
        self.node.import_block(self.genesis)
        database.release(self.genesis.state_root)
        for validator in validators:
            self._attach_node_of(validator)

    # Blocks.

    @property
    def genesis(self) -> RelayBlock:
        return self.tree.genesis

    @property
    def best(self) -> RelayBlock:
        """The highest viable block; of several, the one seen first. See `BlockTree`."""
        return self.tree.best

    @property
    def finalized(self) -> RelayBlock:
        return self.tree.finalized

    def block(self, block: bytes) -> RelayBlock:
        """The block with this hash. Raises `UnknownRelayBlock`."""
        return self.tree[block]

    def __contains__(self, block: object) -> bool:
        return block in self.tree

    def has_state(self, block: RelayBlock) -> bool:
        """Whether the state after `block` is held. Another block with the same root does not count."""
        return self.node.has_state(block)

    def state(self, block: RelayBlock) -> RelayState:
        """The state after `block`. Raises `StateUnavailable` once it is pruned."""
        if not self.has_state(block):
            raise StateUnavailable(block.state_root)
        return RelayState(self.database, block.state_root)

    def ancestry(self, block: RelayBlock, length: int) -> tuple[RelayBlock, ...]:
        """`block` and up to `length` of its ancestors, newest first."""
        return self.tree.ancestry(block, length)

    # Sessions.

    def session_of(self, block: RelayBlock) -> SessionInfo:
        """The session of blocks built on `block`, and of candidates with it as relay parent."""
        return self.sessions.info(self.config.epoch_at(block.slot))

    def announce_validators(self, validators: Sequence[Validator]) -> int:
        """Let other validators take over, from the session on that is returned. Raises `ValueError` if too few."""
        self._require_validators(validators, len(self.core_of))
        for validator in validators:
            self._attach_node_of(validator)
        return self.sessions.announce(self.session_of(self.best).index, validators)

    def expects(self, para_id: int, block: RelayBlock) -> bool:
        """Whether a candidate of the para that is built on `block` can be backed next: nothing is pending."""
        return para_id in self.core_of and block.pending_of(para_id) is None

    def group_of(self, para_id: int, relay_parent: RelayBlock) -> tuple[Validator, ...]:
        """The validators who back the para's candidates built on `relay_parent`. Groups rotate over the cores.

        Raises `UnknownPara`.
        """
        session_groups = groups(self.session_of(relay_parent).validators, len(self.core_of))
        rotations = relay_parent.number // self.config.group_rotation_frequency
        return session_groups[(self._core(para_id) + rotations) % len(session_groups)]

    def signing_context(self, relay_parent: RelayBlock) -> SigningContext:
        """What backing statements about candidates built on `relay_parent` are bound to."""
        return SigningContext(self.session_of(relay_parent).index, relay_parent.hash)

    # Candidates.

    @property
    def candidates(self) -> Mapping[bytes, CandidateHistory]:
        """Candidates that a group has judged, by hash."""
        return self.lifecycle.candidates

    @property
    def availability(self) -> Availability:
        """Who holds which chunk of them, and hands it out."""
        return self.lifecycle.availability

    @property
    def disputes(self) -> Disputes:
        """The votes on them."""
        return self.lifecycle.disputes

    @property
    def frozen(self) -> bool:
        """Whether a finalized block has included a candidate that a dispute found invalid: parachains stop."""
        return self.lifecycle.frozen

    def approval(self, candidate: bytes, block: RelayBlock) -> Approval:
        """See `CandidateLifecycle.approval`."""
        return self.lifecycle.approval(candidate, block)

    def import_dispute_vote(self, candidate: bytes, vote: DisputeVote) -> Dispute:
        """See `CandidateLifecycle.import_dispute_vote`."""
        return self.lifecycle.import_dispute_vote(candidate, vote)

    def back(self, collation: Collation, *, carried: bool, fallback: bool = False) -> BackingOutcome:
        """Let the para's group judge a collation. Raises `UnknownPara`, and `UnknownRelayBlock` for its relay parent.

        `carried` says where the validators take relay state from: the PoV, or their own database; with `fallback` it
        is their own, else the PoV.
        """
        relay_parent = self.block(collation.descriptor.relay_parent)
        session = self.session_of(relay_parent)
        core = self._core(collation.para_id)
        registered: bytes | None = None
        if self.has_state(relay_parent):
            registered = self.state(relay_parent).code_hash(collation.para_id)
        outcome = back_candidate(
            collation,
            self.group_of(collation.para_id, relay_parent),
            self.signing_context(relay_parent),
            core_index=core,
            carried=carried,
            fallback=fallback,
            registered_code_hash=registered,
            facts=RelayParentFacts(session.index, registered, (core,), len(session.validators)),
        )
        self.lifecycle.note_judged(outcome, relay_parent)
        return outcome

    def validation_code_by_hash(self, code_hash: bytes) -> bytes | None:
        """Code that an upgrade brought, as the best block's state has it; `code_hash` has 32 bytes.

        Of the code at genesis the model has the hash only.
        """
        stored = self.state(self.best).get(code_by_hash(code_hash))
        return None if stored is None else byte_vec.decode(stored)

    def queue_downward_message(self, para_id: int, message: bytes) -> None:
        """Send a message to a para with the next block. Raises `UnknownPara`, and `ValueError` if it is too large."""
        self._core(para_id)
        if len(message) > self.config.max_downward_message_size:
            raise ValueError(
                f"ExceedsMaxMessageSize: {len(message)} bytes, allowed are {self.config.max_downward_message_size}"
            )
        self._downward.append((para_id, message))

    def open_hrmp_channel(
        self,
        sender: int,
        recipient: int,
        *,
        max_capacity: int = 1000,
        max_total_size: int = 102_400,
        max_message_size: int = 102_400,
    ) -> None:
        """Open a channel with the next block, at the limits that Polkadot has. Sizes are in bytes.

        Raises `UnknownPara`, and `ValueError` for a channel to oneself.
        """
        if sender == recipient:
            raise ValueError(f"a channel from para {sender} to itself")
        for para_id in (sender, recipient):
            self._core(para_id)
        limits = HrmpChannel(max_capacity, max_total_size, max_message_size, 0, 0, None, 0, 0)
        self._channels.append((sender, recipient, limits))

    def submit_pvf_check(self, signed: SignedPvfCheck) -> None:
        """Let a vote on new validation code stand in the next block, instead of what the validator itself thinks.

        Raises `PvfCheckRefused` for one that does not count on the best block.
        """
        session = self.session_of(self.best)
        keys = [validator.keypair.public_key for validator in session.validators]
        check_statement(self.state(self.best), signed, session.index, keys)
        self._pvf_checks.append(signed)

    def build_block(
        self,
        candidates: Sequence[BackedCandidate] = (),
        *,
        parent: bytes | None = None,
        slot: int | None = None,
    ) -> BuiltBlock:
        """Author and import the next block, on `parent` (the best block if not given) and in `slot` (the next one).

        Includes what was pending and is available, then backs those of `candidates` that pass; the others are
        reported, as an author that filters candidates would. Raises `UnknownRelayBlock`, `StateUnavailable`,
        `NotViable` for a parent that conflicts with what is finalized (no node would import the block), and
        `ValueError` for a slot that is not after the parent's.
        """
        parent_block = self.best if parent is None else self.block(parent)
        slot = parent_block.slot + 1 if slot is None else slot
        if slot <= parent_block.slot:
            raise ValueError(f"slot {slot} is not after slot {parent_block.slot} of the parent")
        if not self.tree.is_ancestor(self.finalized, parent_block):
            raise NotViable(parent_block, "does not descend from the last finalized block")
        if not self.has_state(parent_block):
            raise StateUnavailable(parent_block.state_root)
        state = RelayStateBuilder(self.database, parent_block.state_root)
        session = self.sessions.info(self.config.epoch_at(slot))
        upgrades = CodeUpgrades(state, self.config, parent_block.number + 1, session)
        self._initialize(state, parent_block, slot, upgrades)
        votes = gather_pvf_checks(state, session, self._pvf_checks)
        self._pvf_checks.clear()
        included, waiting = self.lifecycle.settle_pending(parent_block)
        for candidate in included:
            relay_parent = self.block(candidate.descriptor.relay_parent)
            enact_candidate(candidate, relay_parent, state, parent_block.number + 1, upgrades)
        backed, refused = self._choose(candidates, state, parent_block, waiting)
        pvf_checks = upgrades.include_pvf_check_statements(votes)
        for para_id, message in self._downward:
            state.queue_downward_message(para_id, message, sent_at=parent_block.number + 1)
        self._downward.clear()
        for sender, recipient, limits in self._channels:
            state.open_hrmp_channel(sender, recipient, limits)
        self._channels.clear()

        authors = session.validators
        author = slot % len(authors)
        root = self.database.commit(parent_block.state_root, state.changes)
        header = unsealed_header(parent_block, slot, author, root, extrinsics_of(backed, pvf_checks))
        header = sealed(header, authors[author].keypair.sign(header.hash()))
        pending = (*waiting, *(candidate.candidate for candidate in backed))
        block = RelayBlock(header, header.hash(), slot, backed, included, pending, pvf_checks)
        if self.tree.insert(block):
            self._import(block)
        self.database.release(root)
        return BuiltBlock(block, refused)

    # Nodes and their states.

    def attach(self, node: RelayNode) -> None:
        """Let a node follow this chain: it gets the states that the chain's own node has, as far as it keeps them.

        Raises `ValueError` for a node over another database: the states are in this one.
        """
        if node.database is not self.database:
            raise ValueError("a node over another database cannot follow this chain")
        self.nodes.append(node)
        for block in self.node.held():
            old = node.pruning is not None and block.number <= self.finalized.number - node.pruning
            if not old:
                node.import_block(block)

    def prune_state(self, block: RelayBlock) -> None:
        """Drop the state after `block` at every node, whatever their settings. No effect where it is gone already."""
        for node in self.nodes:
            node.prune(block)

    # Finality and reverts.

    def stall_finality(self) -> None:
        """From now on nothing is finalized."""
        self.finality_stalled = True

    def resume_finality(self) -> None:
        """End `stall_finality`; finality catches up at once."""
        self.finality_stalled = False
        self.advance_finality()

    def advance_finality(self) -> None:
        """Finalize the best chain as far as the lag and what is undecided allow."""
        number = self.best.number - self.finality_lag
        if self.finality_stalled or number <= self.finalized.number:
            return
        newest = self.ancestry(self.best, self.best.number - number)[-1]
        target: RelayBlock | None = None
        for block in reversed(self.ancestry(newest, number - self.finalized.number - 1)):
            if not all(self.lifecycle.is_decided(candidate.hash(), block) for candidate in block.included):
                break
            target = block
        if target is not None:
            self._finalize(target)

    def finalize(self, block: bytes) -> None:
        """Finalize a block with its ancestors now, on whatever fork: voters have decided so.

        Raises `UnknownRelayBlock`, and `NotViable` for a block that conflicts with what is finalized, or is reverted.
        """
        self._finalize(self.block(block))

    def revert(self, block: bytes) -> None:
        """Give up a block with all that build on it. Raises `UnknownRelayBlock`, and `NotViable` if it is finalized."""
        self.tree.revert(self.block(block))

    def _core(self, para_id: int) -> int:
        try:
            return self.core_of[para_id]
        except KeyError:
            raise UnknownPara(para_id) from None

    def _attach_node_of(self, validator: Validator) -> None:
        """Validators may share a node, and one may be attached since an earlier session."""
        if isinstance(validator.node, RelayNode) and validator.node not in self.nodes:
            self.attach(validator.node)

    @staticmethod
    def _require_validators(validators: Sequence[Validator], paras: int) -> None:
        if len(validators) < max(2, paras):
            raise ValueError(
                f"{paras} paras need as many validators, and at least 2, there are {len(validators)}"
            )

    def _initialize(
        self, state: RelayStateBuilder, parent: RelayBlock, slot: int, upgrades: CodeUpgrades
    ) -> None:
        upgrades.process_scheduled_upgrade_changes()
        state.set_current_slot(slot)
        epoch = self.config.epoch_at(slot)
        if epoch != self.config.epoch_at(parent.slot):
            state.update(epoch_entries(self.config, epoch))
            keys = [
                [validator.keypair.public_key for validator in self.sessions.info(index).validators]
                for index in (epoch, epoch + 1)
            ]
            state.update(authority_entries(*keys))
            upgrades.groom_ongoing_pvf_votes()

    def _allowed_relay_parents(self, parent: RelayBlock, state: RelayState) -> dict[bytes, RelayBlock]:
        """The blocks on which candidates of a block on `parent` may be built.

        Classic ancestry: so many blocks back, and not into an earlier session. With a session age, any ancestor of the
        sessions that are young enough, as version 3 candidates may.
        """
        session = self.session_of(parent).index
        age = self.config.max_relay_parent_session_age
        length = state.host_configuration().async_backing_params.allowed_ancestry_len
        allowed: dict[bytes, RelayBlock] = {}
        for distance, block in enumerate(self.ancestry(parent, parent.number if age else length)):
            of = self.session_of(block).index
            if of < session - age or (not age and distance > length):
                break
            allowed[block.hash] = block
        return allowed

    def _choose(
        self,
        candidates: Sequence[BackedCandidate],
        state: RelayState,
        parent: RelayBlock,
        waiting: Sequence[CommittedCandidateReceipt],
    ) -> tuple[tuple[BackedCandidate, ...], tuple[Refusal, ...]]:
        """The candidates a block on `parent` may back, by core, and the refused ones."""
        allowed = self._allowed_relay_parents(parent, state)
        backed: dict[int, BackedCandidate] = {}
        occupied = list(waiting)
        refused: list[Refusal] = []
        for candidate in candidates:
            receipt = candidate.candidate
            try:
                if self.frozen or self.lifecycle.is_invalid(receipt.hash()):
                    raise CandidateRefused(
                        RefusalReason.CANDIDATE_CONCLUDED_INVALID,
                        "the chain is frozen" if self.frozen else "a dispute has found it invalid",
                    )
                check_candidate(receipt, state, allowed, occupied, core_of=self.core_of, config=self.config)
                self._check_backing(candidate)
            except CandidateRefused as error:
                refused.append(Refusal(receipt, error.reason, error.detail, error.criterion))
                continue
            occupied.append(receipt)
            backed[self.core_of[receipt.descriptor.para_id]] = candidate
        return tuple(backed[core] for core in sorted(backed)), tuple(refused)

    def _check_backing(self, candidate: BackedCandidate) -> None:
        descriptor = candidate.candidate.descriptor
        relay_parent = self.block(descriptor.relay_parent)
        group = self.group_of(descriptor.para_id, relay_parent)
        fault = verify_votes(candidate, group, self.signing_context(relay_parent))
        if fault is not None:
            raise CandidateRefused(RefusalReason.INVALID_BACKING, fault)

    def _import(self, block: RelayBlock) -> None:
        for node in self.nodes:
            node.import_block(block)
        self.lifecycle.note_imported(block)
        if self.best == block:
            self.advance_finality()

    def _finalize(self, block: RelayBlock) -> None:
        newly, abandoned = self.tree.finalize(block)
        for node in self.nodes:
            node.finalize(self.tree, newly, abandoned)
        for final in newly:
            self.lifecycle.note_finalized(final)
