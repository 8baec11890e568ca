"""The relay chain model: a tree of blocks, each with a real state, a best one and a finalized one.

Blocks are kept by hash with their parent links, states by root in one `StateDatabase`. Which block is best is a choice
(`RelayChain.best`), so forks need nothing special here: any block whose state is held can be built upon. Finality
follows the best block at a distance, and old states are pruned behind it, those of abandoned forks at once, as
``sc-state-db`` does in its constrained mode [sc-state-db].

Time is a slot number and moves only when a block is built. Not modelled: approvals, disputes, a validator set that
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host_functions.errors import PileusError, StateUnavailable
from pileus.relay_chain.backing import BackingOutcome, Validator, back_candidate, groups, verify_votes
from pileus.relay_chain.block import RelayBlock, extrinsics_of, genesis_header, sealed, unsealed_header
from pileus.relay_chain.genesis import ParaGenesis, RelayChainConfig, epoch_entries, genesis_entries
from pileus.relay_chain.inclusion import (
    CandidateRefused,
    Refusal,
    RefusalReason,
    check_candidate,
    enact_candidate,
)
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import BackedCandidate, SigningContext
from pileus.relay_chain.storage import RelayState, RelayStateBuilder
from runtime.primitives.parachain import CommittedCandidateReceipt

__all__ = ["BuiltBlock", "RelayChain", "UnknownPara", "UnknownRelayBlock"]


class UnknownRelayBlock(PileusError):
    """A relay block hash that this chain has never seen."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"relay block 0x{block.hex()} is unknown")
        self.block = block


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
        """Starts at genesis. `database` receives the states; a validator may read the same one or have its own.

        Raises `ValueError` for a para registered twice, and for fewer validators than paras, or than two: there is no
        erasure code for one.
        """
        if len({para.para_id for para in paras}) != len(paras):
            raise ValueError("a para is registered twice")
        if len(validators) < max(2, len(paras)):
            raise ValueError(
                f"{len(paras)} paras need as many validators, and at least 2, there are {len(validators)}"
            )
        self.config = config
        self.validators = tuple(validators)
        self.database = database
        self.core_of = {para.para_id: core for core, para in enumerate(paras)}
        self._groups = groups(validators, len(paras)) if paras else ()
        self._downward: list[tuple[int, bytes]] = []
        entries = genesis_entries(config, [validator.keypair.public_key for validator in validators], paras)
        header = genesis_header(database.commit(database.layout.empty_root, entries))
        genesis = RelayBlock(header, header.hash(), config.genesis_slot, (), (), ())
        self._blocks = {genesis.hash: genesis}
        self._held = {genesis.hash}
        """Blocks whose state has not been pruned."""
        self._canonical = [genesis.hash]
        """Finalized blocks by number."""
        self._best = genesis

    @property
    def genesis(self) -> RelayBlock:
        return self._blocks[self._canonical[0]]

    @property
    def best(self) -> RelayBlock:
        """The highest block; of several, the one seen first."""
        return self._best

    @property
    def finalized(self) -> RelayBlock:
        return self._blocks[self._canonical[-1]]

    def block(self, block: bytes) -> RelayBlock:
        """The block with this hash. Raises `UnknownRelayBlock`."""
        try:
            return self._blocks[block]
        except KeyError:
            raise UnknownRelayBlock(block) from None

    def __contains__(self, block: object) -> bool:
        return block in self._blocks

    def has_state(self, block: RelayBlock) -> bool:
        """Whether the state after `block` is held. Another block with the same root does not count."""
        return block.hash in self._held

    def state(self, block: RelayBlock) -> RelayState:
        """The state after `block`. Raises `StateUnavailable` once it is pruned."""
        if not self.has_state(block):
            raise StateUnavailable(block.state_root)
        return RelayState(self.database, block.state_root)

    def ancestry(self, block: RelayBlock, length: int) -> tuple[RelayBlock, ...]:
        """`block` and up to `length` of its ancestors, newest first."""
        result = [block]
        while length and block.number:
            block = self._blocks[block.parent_hash]
            result.append(block)
            length -= 1
        return tuple(result)

    def group_of(self, para_id: int, relay_parent: RelayBlock) -> tuple[Validator, ...]:
        """The validators who back the para's candidates built on `relay_parent`. Groups rotate over the cores.

        Raises `UnknownPara`.
        """
        rotations = relay_parent.number // self.config.group_rotation_frequency
        return self._groups[(self._core(para_id) + rotations) % len(self._groups)]

    def signing_context(self, relay_parent: RelayBlock) -> SigningContext:
        """What backing statements about candidates built on `relay_parent` are bound to."""
        return SigningContext(self.config.epoch_at(relay_parent.slot), relay_parent.hash)

    def back(self, collation: Collation, *, carried: bool) -> BackingOutcome:
        """Let the para's group judge a collation. Raises `UnknownPara`, and `UnknownRelayBlock` for its relay parent.

        `carried` says where the validators take relay state from: the PoV, or their own database.
        """
        relay_parent = self.block(collation.descriptor.relay_parent)
        registered: bytes | None = None
        if self.has_state(relay_parent):
            registered = self.state(relay_parent).code_hash(collation.para_id)
        return back_candidate(
            collation,
            self.group_of(collation.para_id, relay_parent),
            self.signing_context(relay_parent),
            core_index=self._core(collation.para_id),
            carried=carried,
            registered_code_hash=registered,
        )

    def queue_downward_message(self, para_id: int, message: bytes) -> None:
        """Send a message to a para with the next block. Raises `UnknownPara`."""
        self._core(para_id)
        self._downward.append((para_id, message))

    def build_block(
        self,
        candidates: Sequence[BackedCandidate] = (),
        *,
        parent: bytes | None = None,
        slot: int | None = None,
    ) -> BuiltBlock:
        """Author and import the next block, on `parent` (the best block if not given) and in `slot` (the next one).

        Includes what was pending, then backs those of `candidates` that pass; the others are reported, as an author
        that filters candidates would. Raises `UnknownRelayBlock`, `StateUnavailable`, and `ValueError` for a slot
        that is not after the parent's.
        """
        parent_block = self._best if parent is None else self.block(parent)
        slot = parent_block.slot + 1 if slot is None else slot
        if slot <= parent_block.slot:
            raise ValueError(f"slot {slot} is not after slot {parent_block.slot} of the parent")
        if not self.has_state(parent_block):
            raise StateUnavailable(parent_block.state_root)
        state = RelayStateBuilder(self.database, parent_block.state_root)
        self._initialize(state, parent_block, slot)
        included = parent_block.pending
        for candidate in included:
            enact_candidate(candidate, self.block(candidate.descriptor.relay_parent), state)
        backed, refused = self._choose(candidates, state, parent_block)
        for para_id, message in self._downward:
            state.queue_downward_message(para_id, message, sent_at=parent_block.number + 1)
        self._downward.clear()

        author = self.validators[slot % len(self.validators)]
        root = self.database.commit(parent_block.state_root, state.changes)
        header = unsealed_header(parent_block, slot, author.index, root, extrinsics_of(backed))
        header = sealed(header, author.keypair.sign(header.hash()))
        pending = tuple(candidate.candidate for candidate in backed)
        block = RelayBlock(header, header.hash(), slot, backed, included, pending)
        self._import(block)
        return BuiltBlock(block, refused)

    def prune_state(self, block: RelayBlock) -> None:
        """Drop the state after `block` now, whatever the pruning window says. No effect if it is gone already."""
        if self.has_state(block):
            self._held.remove(block.hash)
            self.database.release(block.state_root)

    def _core(self, para_id: int) -> int:
        try:
            return self.core_of[para_id]
        except KeyError:
            raise UnknownPara(para_id) from None

    def _initialize(self, state: RelayStateBuilder, parent: RelayBlock, slot: int) -> None:
        state.set_current_slot(slot)
        epoch = self.config.epoch_at(slot)
        if epoch != self.config.epoch_at(parent.slot):
            state.update(epoch_entries(self.config, epoch))

    def _choose(
        self, candidates: Sequence[BackedCandidate], state: RelayState, parent: RelayBlock
    ) -> tuple[tuple[BackedCandidate, ...], tuple[Refusal, ...]]:
        """The candidates a block on `parent` may back, by core, and the refused ones."""
        allowed = {
            block.hash: block
            for block in self.ancestry(
                parent, state.host_configuration().async_backing_params.allowed_ancestry_len
            )
        }
        backed: dict[int, BackedCandidate] = {}
        occupied: list[CommittedCandidateReceipt] = []
        refused: list[Refusal] = []
        for candidate in candidates:
            receipt = candidate.candidate
            try:
                check_candidate(receipt, state, allowed, occupied, core_of=self.core_of, config=self.config)
                self._check_backing(candidate)
            except CandidateRefused as error:
                refused.append(Refusal(receipt, error.reason, error.detail))
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
        if self.has_state(block):
            # The same block once more: its state was retained twice.
            self.database.release(block.state_root)
            return
        self._blocks[block.hash] = block
        self._held.add(block.hash)
        if block.number > self._best.number:
            self._best = block
            self._finalize(block.number - self.config.finality_lag)

    def _finalize(self, number: int) -> None:
        """Finalize the best chain up to `number`, unless it has abandoned what is finalized already."""
        if number < len(self._canonical):
            return
        newest = self.ancestry(self._best, self._best.number - number)[-1]
        chain = self.ancestry(newest, number - len(self._canonical) + 1)
        if chain[-1].hash != self._canonical[-1]:
            return
        self._canonical.extend(block.hash for block in reversed(chain[:-1]))
        self._prune(number)

    def _prune(self, finalized: int) -> None:
        for block in [self._blocks[hash_] for hash_ in self._held]:
            canonical = block.number > finalized or self._canonical[block.number] == block.hash
            if not canonical or block.number <= finalized - self.config.state_pruning:
                self.prune_state(block)
