"""A relay chain whose blocks a real relay runtime makes and checks.

A block is authored through the runtime's own APIs (`pileus.block_builder`), with the parachains inherent that carries
the validators' signed availability bitfields and the backed candidates, and then executed once more with
``Core_execute_block``: a block that only its author can make would be a fault of our host. What the runtime says about
candidates afterwards (``candidate_events``, ``availability_cores``) is what this class reports; nothing about backing
or inclusion is decided here.

Time is a slot number and moves only when a block is built. Follows the node's provisioner and BABE's secondary slots
[polkadot-backing], [sp-consensus-babe]; validators are all here and sign what they hold. Not modelled: seals, votes
of validators whose keys we lack, forks of finality, disputes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from host_functions.contexts import OffchainContext
from host_functions.errors import PileusError, StateUnavailable
from host_functions.executor import Runtime
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.executor.wasm.runtime import version_reader
from host_functions.state_machine import FullBackend, Storage, build_state
from pileus.block_builder import APPLIED, Proposal
from pileus.chain_spec import CODE
from pileus.keyring import Keypair
from pileus.metadata import Metadata
from pileus.relay_chain.backing import BackingOutcome, Validator, back_candidate
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import UnknownRelayBlock
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.prechecking import gather_pvf_checks
from pileus.relay_chain.pvf_checks import SignedPvfCheck, pvfs_require_precheck
from pileus.relay_chain.real.authoring import AuthoredBlock, author_block, check_block, layout_of
from pileus.relay_chain.real.codes import ValidationCodes
from pileus.relay_chain.real.coretime import core_entries, sells_coretime
from pileus.relay_chain.real.diagnosis import explain_drop
from pileus.relay_chain.real.genesis import (
    ParaRegistration,
    UnsuitableRelayChain,
    relay_genesis,
)
from pileus.relay_chain.real.inherent import (
    ParachainsInherentData,
    SignedBitfield,
    sign_bitfield,
)
from pileus.relay_chain.real.parachain_host import (
    CORE_INDEX_BITS,
    CandidateBacked,
    CandidateIncluded,
    NodeFeature,
    Occupied,
    ParachainHost,
    Scheduled,
)
from pileus.relay_chain.real.prechecking import SUBMIT, pvf_check_extrinsic
from pileus.relay_chain.sessions import SessionInfo
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import BackedCandidate, SigningContext
from pileus.relay_chain.storage import RelayState
from pov_validator.pvf import PvfHost
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import byte_vec, tuple_of, u64
from runtime.trie.layout import Layout

__all__ = ["AuthoredBlock", "NotScheduled", "RealRelayChain", "RealRelayChainConfig"]

NEEDED: Final = ("BabeApi_configuration", "ParachainHost_validators", "ParachainHost_availability_cores")
"""Without these a runtime is no relay chain that we can author on."""
CANDIDATE_SLOTS: Final = 3
"""Slots that a candidate needs to itself: it is backed in the next one and included in the one after; the session
changes with the end of the block that begins the epoch."""
BABE_GENESIS_SLOT: Final = relay_keys.storage_prefix("Babe", "GenesisSlot")
"""u64: the slot of block 1."""


class NotScheduled(PileusError):
    """No core expects a candidate of this para now."""

    def __init__(self, para_id: int, block: int) -> None:
        super().__init__(f"para {para_id} is scheduled on no core at relay block {block}")
        self.para_id = para_id


@dataclass(frozen=True, slots=True)
class RealRelayChainConfig:
    """What the runtime does not decide."""

    genesis_slot: int = 280_000_000
    """Slot before that of block 1; it is 6 seconds from 1970 on, so this one begins in March 2023."""
    finality_lag: int = 2
    """Blocks by which finality follows the best block."""
    state_pruning: int = 256
    """States of this many finalized blocks are kept."""
    scheduling_blocks: int = 60
    """Blocks within which every para must be scheduled; skipped slots are none."""


class RealRelayChain:
    """Blocks, states, validators."""

    def __init__(
        self,
        storage: Storage,
        paras: Sequence[ParaRegistration],
        validator_names: Sequence[str],
        keypairs: Sequence[Keypair],
        *,
        config: RealRelayChainConfig = RealRelayChainConfig(),
        codes: Mapping[bytes, Runtime] | None = None,
        cache: CompileCache | None = None,
        timeout: float | None = None,
        pvf_host: PvfHost | None = None,
    ) -> None:
        """Starts at genesis. `storage` is that of the chain spec, see `relay_genesis` for what changes in it.

        One keypair and name for each validator (`validators_needed`). `codes` are validation functions that are not
        Wasm, by code hash; the others come from the relay chain's state and run in the workers of `pvf_host`.
        ``timeout``: seconds that a call of the relay runtime may take.

        Raises `UnsuitableRelayChain` and what `WasmRuntime` raises for code that cannot be run.
        """
        code = storage.top.get(CODE)
        if code is None:
            raise UnsuitableRelayChain("the genesis state has no runtime under :code")
        self.config = config
        self._cache = cache
        self._timeout = timeout
        self._version_of = version_reader(cache, timeout)
        self._runtimes: dict[bytes, WasmRuntime] = {}
        runtime = self._runtime(code)
        missing = [name for name in NEEDED if name not in runtime.blob.entry_points]
        if missing:
            raise UnsuitableRelayChain(f"the runtime is no relay chain's: it does not export {missing[0]}")
        layout = layout_of(runtime)
        prepared = relay_genesis(storage, keypairs, paras)
        prepared = self._with_cores(runtime, prepared, [para.para_id for para in paras], layout)
        root, nodes = build_state(prepared, layout)
        self.database = StateDatabase(layout)
        self.database.insert(root, nodes)
        self.codes = ValidationCodes(self._code_by_hash, codes or {}, pvf_host)
        self.validators = tuple(
            Validator(index, name, keypair, self.database, self.codes)
            for index, (name, keypair) in enumerate(zip(validator_names, keypairs, strict=True))
        )
        self._by_key = {validator.keypair.public_key: validator for validator in self.validators}
        header = Header(EMPTY_HASH, 0, root, layout.empty_root)
        genesis = RelayBlock(header, header.hash(), config.genesis_slot, (), (), ())
        self._blocks = {genesis.hash: genesis}
        self._runtime_at = {genesis.hash: runtime}
        """What executes the children of a block; gone with its state."""
        self._canonical = [genesis.hash]
        self._best = genesis
        configuration = self.call("BabeApi_configuration", b"", genesis)
        times: tuple[int, int] = _babe_times.decode_prefix(configuration)[0]
        self.slot_duration, self.epoch_length = times
        """Milliseconds, and slots."""

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
        """Whether the state after `block` is held."""
        return block.hash in self._runtime_at

    def state(self, block: RelayBlock) -> RelayState:
        """The state after `block`. Raises `StateUnavailable` once it is pruned."""
        if not self.has_state(block):
            raise StateUnavailable(block.state_root)
        return RelayState(self.database, block.state_root)

    def runtime(self, block: RelayBlock) -> WasmRuntime:
        """What executes the children of `block`. Raises `StateUnavailable`."""
        try:
            return self._runtime_at[block.hash]
        except KeyError:
            raise StateUnavailable(block.state_root) from None

    def call(self, entry_point: str, argument: bytes, block: RelayBlock) -> bytes:
        """Call a runtime API on the state after `block`; changes are discarded. Raises `StateUnavailable`."""
        return self.runtime(block).call(entry_point, argument, self._context(block))

    def _context(self, block: RelayBlock) -> OffchainContext:
        """In which the runtime can be asked about the state after `block`."""
        state = self.database.state_at(block.state_root)
        return OffchainContext(
            FullBackend(state, block.state_root, self.database.layout), version_of=self._version_of
        )

    def metadata(self, block: RelayBlock) -> Metadata:
        """What the runtime after `block` says of itself. Takes a second. Raises `BadMetadata`."""
        return Metadata(byte_vec.decode(self.call("Metadata_metadata", b"", block)))

    def host(self, block: RelayBlock) -> ParachainHost:
        """The runtime's view of parachains after `block`."""
        entry_points = self.runtime(block).blob.entry_points
        return ParachainHost(lambda name, argument: self.call(name, argument, block), entry_points)

    # Backing.

    def core_of(self, para_id: int, block: RelayBlock) -> int | None:
        """The core on which the next block expects, or has, a candidate of the para."""
        for core, state in enumerate(self.host(block).availability_cores()):
            if isinstance(state, Scheduled) and state.para_id == para_id:
                return core
            if isinstance(state, Occupied) and state.candidate_descriptor.para_id == para_id:
                return core
        return None

    def expects(self, para_id: int, block: RelayBlock) -> bool:
        """Whether a candidate of the para that is built on `block` can be backed next, and included after that.

        The para is scheduled, and the session does not change meanwhile, which drops what is pending.
        """
        return self._is_scheduled(para_id, block) and self.slots_to_next_epoch(block) > CANDIDATE_SLOTS

    def group_of(self, core: int, block: RelayBlock) -> tuple[Validator, ...]:
        """The validators who back candidates on `core` that are built on `block`. Raises `UnsuitableRelayChain`."""
        host = self.host(block)
        groups, rotation = host.validator_groups()
        validators = self._session_validators(host)
        group = rotation.group_of_core(core, len(groups)) if groups else 0
        if group >= len(groups) or any(member >= len(validators) for member in groups[group]):
            raise UnsuitableRelayChain(f"the runtime names no validators of its session for core {core}")
        return tuple(validators[member] for member in groups[group])

    def _session_validators(self, host: ParachainHost) -> tuple[Validator, ...]:
        """All of the session, in order. Raises `UnsuitableRelayChain` for one whose key we do not have."""
        keys = host.validators()
        strange = [key for key in keys if key not in self._by_key]
        if strange:
            raise UnsuitableRelayChain(f"the session has a validator that is not ours: 0x{strange[0].hex()}")
        return tuple(self._by_key[key] for key in keys)

    def signing_context(self, block: RelayBlock) -> SigningContext:
        """What statements about candidates built on `block`, and bitfields on it, are bound to."""
        return SigningContext(self.host(block).session_index_for_child(), block.hash)

    def back(self, collation: Collation, *, carried: bool, fallback: bool = False) -> BackingOutcome:
        """Let the para's group judge a collation. Raises `UnknownRelayBlock` and `NotScheduled`.

        `carried` says where the validators take relay state from: the PoV, or their own database; with `fallback` it
        is their own, else the PoV.
        """
        relay_parent = self.block(collation.descriptor.relay_parent)
        core = self.core_of(collation.para_id, relay_parent)
        if core is None:
            raise NotScheduled(collation.para_id, relay_parent.number)
        outcome = back_candidate(
            collation,
            self.group_of(core, relay_parent),
            self.signing_context(relay_parent),
            core_index=core,
            carried=carried,
            fallback=fallback,
            registered_code_hash=self.state(relay_parent).code_hash(collation.para_id),
        )
        if outcome.backed is None or not self.host(relay_parent).has_feature(NodeFeature.ELASTIC_SCALING_MVP):
            return outcome
        return replace(outcome, backed=_with_core_index(outcome.backed, core))

    # Blocks.

    def build_block(
        self,
        candidates: Sequence[BackedCandidate] = (),
        *,
        extrinsics: Sequence[bytes] = (),
        parent: bytes | None = None,
        slot: int | None = None,
    ) -> AuthoredBlock:
        """Author, check and import the next block, on `parent` (the best block if not given) and in `slot` (the next).

        Every validator signs that it has its chunk of each pending candidate, and votes on new validation code that it
        has. `extrinsics` are encoded with their length. Raises `UnknownRelayBlock`, `StateUnavailable`, `InvalidBlock`
        and `SandboxError` from the runtime, `ContextDivergence` when the block does not execute as it was authored, and
        `ValueError` for a slot that is not after the parent's.
        """
        parent_block = self._best if parent is None else self.block(parent)
        slot = parent_block.slot + 1 if slot is None else slot
        if slot <= parent_block.slot:
            raise ValueError(f"slot {slot} is not after slot {parent_block.slot} of the parent")
        runtime = self.runtime(parent_block)
        votes = self._pvf_checks(parent_block)
        inherent = ParachainsInherentData(
            self._bitfields(parent_block), tuple(candidates), (), parent_block.header
        )
        proposal, log = author_block(
            self.database,
            parent_block,
            slot,
            runtime,
            inherent,
            [*votes, *extrinsics],
            slot_duration=self.slot_duration,
            version_of=self._version_of,
        )
        check_block(self.database, parent_block, runtime, proposal.block, version_of=self._version_of)
        applied = zip(proposal.block.extrinsics, proposal.dispatch_results, strict=True)
        counted = tuple(votes[one] for one, result in applied if one in votes and result == APPLIED)
        block = self._import(parent_block, slot, runtime, proposal, candidates, counted)
        taken = set(block.backed)
        refused = tuple(
            explain_drop(self, candidate, parent_block, log)
            for candidate in candidates
            if candidate not in taken
        )
        return AuthoredBlock(
            block,
            refused,
            proposal.block.extrinsics,
            proposal.dispatch_results,
            proposal.refused,
            log,
        )

    def await_scheduling(self, para_ids: Sequence[int]) -> tuple[AuthoredBlock, ...]:
        """Build empty blocks until every para is scheduled on a core.

        Paras of the genesis are scheduled from the first change of the session on. A session may be hours, so
        slots are skipped: BABE changes epochs, and with them sessions, by slot. Raises `UnsuitableRelayChain`.
        """
        first_session = self.host(self.genesis).session_index_for_child()
        built = [self.build_block() for _ in range(2)]
        skipped = max(self.epoch_length - 4, 0)
        slot = self._best.slot + 1 + skipped
        while len(built) < self.config.scheduling_blocks + min(self.epoch_length, 20):
            built.append(self.build_block(slot=slot))
            slot += 1
            session_changed = self.host(self._best).session_index_for_child() > first_session
            if session_changed and all(self._is_scheduled(para_id, self._best) for para_id in para_ids):
                return tuple(built)
        waiting = [para_id for para_id in para_ids if not self._is_scheduled(para_id, self._best)]
        raise UnsuitableRelayChain(
            f"para {waiting[0]} is on no core after {len(built)} blocks"
            if waiting
            else f"the session has not changed in {len(built)} blocks"
        )

    def slots_to_next_epoch(self, block: RelayBlock) -> int:
        """After how many slots the epoch after that of `block` begins, and with it another session."""
        state = self.state(block)
        genesis_slot = u64.decode(state.get(BABE_GENESIS_SLOT) or bytes(8))
        return genesis_slot + (state.epoch_index() + 1) * self.epoch_length - block.slot

    def _is_scheduled(self, para_id: int, block: RelayBlock) -> bool:
        cores = self.host(block).availability_cores()
        return any(isinstance(core, Scheduled) and core.para_id == para_id for core in cores)

    def _bitfields(self, parent: RelayBlock) -> tuple[SignedBitfield, ...]:
        host = self.host(parent)
        bits = [isinstance(core, Occupied) for core in host.availability_cores()]
        if not any(bits):
            return ()
        context = self.signing_context(parent)
        return tuple(
            sign_bitfield(bits, index, validator.keypair, context)
            for index, validator in enumerate(self._session_validators(host))
        )

    def _pvf_checks(self, parent: RelayBlock) -> dict[bytes, SignedPvfCheck]:
        """Votes on new validation code that a child of `parent` may take, by their extrinsics."""
        runtime, state = self.runtime(parent), self.state(parent)
        if SUBMIT not in runtime.blob.entry_points or not pvfs_require_precheck(state):
            return {}
        host = self.host(parent)
        session = SessionInfo(host.session_index_for_child(), self._session_validators(host))
        votes: dict[bytes, SignedPvfCheck] = {}
        for vote in gather_pvf_checks(state, session):
            extrinsic = pvf_check_extrinsic(runtime, self._context(parent), vote)
            if extrinsic is not None:
                votes[extrinsic] = vote
        return votes

    def _import(
        self,
        parent: RelayBlock,
        slot: int,
        runtime: WasmRuntime,
        proposal: Proposal,
        candidates: Sequence[BackedCandidate],
        pvf_checks: tuple[SignedPvfCheck, ...],
    ) -> RelayBlock:
        changes = proposal.changes
        if changes.changes.children:
            raise UnsuitableRelayChain("the runtime wrote a child trie, which this node does not keep")
        header = proposal.block.header
        self.database.insert(changes.root, changes.nodes)
        new_code = dict(changes.changes.top).get(CODE)
        self._runtime_at[header.hash()] = runtime if new_code is None else self._runtime(new_code)
        bare = RelayBlock(header, header.hash(), slot, (), (), ())
        host = self.host(bare)
        events = host.candidate_events()
        backed = {event.candidate.hash() for event in events if isinstance(event, CandidateBacked)}
        included = {event.candidate.hash() for event in events if isinstance(event, CandidateIncluded)}
        block = replace(
            bare,
            backed=tuple(candidate for candidate in candidates if candidate.candidate.hash() in backed),
            included=tuple(candidate for candidate in parent.pending if candidate.hash() in included),
            pending=self._pending(host),
            pvf_checks=pvf_checks,
        )
        self._blocks[block.hash] = block
        if block.number > self._best.number:
            self._best = block
            self._finalize(block)
        return block

    def _pending(self, host: ParachainHost) -> tuple[CommittedCandidateReceipt, ...]:
        occupied = [core for core in host.availability_cores() if isinstance(core, Occupied)]
        found = (host.candidate_pending_availability(core.candidate_descriptor.para_id) for core in occupied)
        return tuple(receipt for receipt in found if receipt is not None)

    def _finalize(self, best: RelayBlock) -> None:
        """Finalize at the configured distance behind `best`; drop states further back than are kept."""
        chain = [best]
        while chain[-1].number > len(self._canonical):
            chain.append(self._blocks[chain[-1].parent_hash])
        if chain[-1].parent_hash != self._canonical[-1] and chain[-1].hash != self._canonical[-1]:
            return  # the best chain has abandoned a finalized block
        newest = best.number - self.config.finality_lag
        self._canonical += [
            block.hash for block in reversed(chain) if len(self._canonical) <= block.number <= newest
        ]
        oldest = self.finalized.number - self.config.state_pruning
        for block in [self._blocks[hash_] for hash_ in self._runtime_at]:
            if block.number <= oldest:
                del self._runtime_at[block.hash]
                self.database.release(block.state_root)

    def _with_cores(
        self, runtime: WasmRuntime, storage: Storage, para_ids: Sequence[int], layout: Layout
    ) -> Storage:
        root, nodes = build_state(storage, layout)
        context = OffchainContext(FullBackend(nodes, root, layout), version_of=self._version_of)
        encoded = byte_vec.decode(runtime.call("Metadata_metadata", b"", context))
        if not sells_coretime(encoded):
            return storage
        return Storage({**storage.top, **core_entries(Metadata(encoded), storage.top, para_ids)})

    def _runtime(self, code: bytes) -> WasmRuntime:
        code_hash = blake2_256(code)
        if code_hash not in self._runtimes:
            self._runtimes[code_hash] = WasmRuntime(code, cache=self._cache, timeout=self._timeout)
        return self._runtimes[code_hash]

    def _code_by_hash(self, code_hash: bytes) -> bytes | None:
        return self.host(self._best).validation_code_by_hash(code_hash)


def _with_core_index(backed: BackedCandidate, core: int) -> BackedCandidate:
    """The core in eight bits behind the votes: ``BackedCandidate::inject_core_index``."""
    bits = tuple(bool(core >> bit & 1) for bit in range(CORE_INDEX_BITS))
    return replace(backed, validator_indices=(*backed.validator_indices, *bits))


_babe_times = tuple_of(u64, u64)
