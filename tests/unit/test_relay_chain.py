"""The relay chain model: blocks, backing, inclusion, forks, finality, pruning, downward messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from host_functions.contexts import HostContext
from host_functions.errors import StateUnavailable
from host_functions.interfaces.crypto import sr25519_verify
from host_functions.interfaces.relay_chain_state import read_relay_state
from pileus.keyring import Keypair
from pileus.relay_chain.backing import BackingOutcome, Validator, backing_threshold, groups
from pileus.relay_chain.block import RelayBlock, extrinsics_of, extrinsics_root, slot_of
from pileus.relay_chain.chain import NotViable, RelayChain, UnknownPara, UnknownRelayBlock
from pileus.relay_chain.genesis import MODEL_CODE, ParaGenesis, RelayChainConfig
from pileus.relay_chain.in_process import RelayChainInProcessInterface
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.interface import RelayChainInterface
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import (
    BackedCandidate,
    ExplicitVote,
    ImplicitVote,
    Seconded,
    SigningContext,
    ValidStatement,
    signing_payload,
)
from pov_validator import Abstain, AbstainReason, Invalid, InvalidReason, Valid
from pov_validator.erasure import erasure_root, obtain_chunks
from runtime.primitives import relay_keys
from runtime.primitives.digest import BABE, Seal
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    AbridgedHostConfiguration,
    AvailableData,
    CandidateCommitments,
    CandidateDescriptorV2,
    CommittedCandidateReceipt,
    OutboundHrmpMessage,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
    mqc_head,
)
from runtime.primitives.scale import byte_vec, u32, u64, vec
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import verify_proof

DEFAULTS = RelayChainConfig()
NAMES = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
KEYPAIRS = {name: Keypair.from_uri(f"//{name.capitalize()}") for name in NAMES}


class CountingRuntime:
    """A validation function that appends its block data to the parent head, and reads the relay state on demand."""

    code = b"counting"
    code_hash = blake2_256(code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        params = ValidationParams.decode(argument)
        with context.externalities():
            if params.block_data.startswith(b"read"):
                read_relay_state(relay_keys.CURRENT_SLOT)
            return result_of(params.parent_head, params.block_data, params.relay_parent_number).encode()


def result_of(parent_head: bytes, block_data: bytes, relay_parent_number: int) -> ValidationResult:
    processed = block_data.count(b"processed")
    return ValidationResult(parent_head + block_data, None, (), (), processed, relay_parent_number)


@dataclass(frozen=True)
class FakeCollation:
    """What a collator of `CountingRuntime` would produce."""

    para_id: int
    descriptor: CandidateDescriptorV2
    commitments: CandidateCommitments
    pov: PoV
    pvd: PersistedValidationData


def collate(
    chain: RelayChain, para_id: int, data: bytes = b".", *, relay_parent: bytes | None = None
) -> FakeCollation:
    relay = RelayChainInProcessInterface(chain)
    relay_parent = chain.best.hash if relay_parent is None else relay_parent
    pvd = relay.persisted_validation_data(para_id, relay_parent)
    assert pvd is not None
    pov = PoV(data)
    result = result_of(pvd.parent_head, data, pvd.relay_parent_number)
    descriptor = CandidateDescriptorV2(
        para_id=para_id,
        relay_parent=relay_parent,
        version=0,
        core_index=relay.core_index(para_id) or 0,
        session_index=relay.session_index_for_child(relay_parent),
        reserved1=bytes(25),
        persisted_validation_data_hash=pvd.hash(),
        pov_hash=pov.hash(),
        erasure_root=erasure_root(
            obtain_chunks(len(relay.validators(relay_parent)), AvailableData(pov, pvd))
        ),
        reserved2=bytes(64),
        para_head=blake2_256(result.head_data),
        validation_code_hash=CountingRuntime.code_hash,
    )
    return FakeCollation(para_id, descriptor, result.to_commitments(), pov, pvd)


def make_chain(
    config: RelayChainConfig = DEFAULTS,
    *,
    paras: Sequence[int] = (1000, 2000),
    names: Sequence[str] = NAMES,
    nodes: Callable[[str, StateDatabase], StateDatabase] = lambda _, database: database,
) -> RelayChain:
    database = StateDatabase()
    codes = {CountingRuntime.code_hash: CountingRuntime()}
    validators = [
        Validator(index, name, KEYPAIRS[name], nodes(name, database), codes)
        for index, name in enumerate(names)
    ]
    genesis = [
        ParaGenesis(para_id, b"genesis of %d" % para_id, CountingRuntime.code_hash) for para_id in paras
    ]
    return RelayChain(config, genesis, validators, database)


def backed(chain: RelayChain, collation: FakeCollation, *, carried: bool = False) -> BackedCandidate:
    outcome = chain.back(collation, carried=carried)
    assert outcome.backed is not None, outcome.verdicts
    return outcome.backed


def head_of(chain: RelayChain, para_id: int, block: RelayBlock | None = None) -> bytes | None:
    return chain.state(block or chain.best).para_head(para_id)


class TestBlocks:
    def test_genesis_has_the_real_keys(self) -> None:
        chain = make_chain()
        state = chain.state(chain.genesis)
        assert state.get(b":code") == MODEL_CODE
        assert state.get(b":c") == b""
        assert state.get(b":extrinsic_index") == bytes(4)
        configuration = state.get(relay_keys.ACTIVE_CONFIG)
        assert configuration is not None
        assert len(configuration) == 44
        assert AbridgedHostConfiguration.decode(configuration) == chain.config.host
        assert state.get(relay_keys.para_head(1000)) == byte_vec.encode(b"genesis of 1000")
        assert state.get(relay_keys.current_code_hash(2000)) == CountingRuntime.code_hash
        assert state.get(relay_keys.CURRENT_SLOT) == u64.encode(chain.config.genesis_slot)
        assert state.get(relay_keys.hrmp_ingress_channel_index(1000)) == vec(u32).encode(())
        capacity = state.get(relay_keys.relay_dispatch_queue_remaining_capacity(2000))
        assert capacity == u32.encode(174_762) + u32.encode(1024 * 1024)
        assert state.get(relay_keys.CURRENT_BLOCK_RANDOMNESS) == b"\x00"
        for absent in (
            relay_keys.para_head(3000),
            relay_keys.upgrade_go_ahead_signal(1000),
            relay_keys.upgrade_restriction_signal(1000),
            relay_keys.dmq_mqc_head(1000),
        ):
            assert state.get(absent) is None

    def test_a_header_links_commits_and_is_sealed_by_the_author_of_its_slot(self) -> None:
        chain = make_chain()
        parent = chain.best
        block = chain.build_block([], slot=parent.slot + 3).block
        assert block.number == parent.number + 1
        assert block.parent_hash == parent.hash == parent.header.hash()
        assert block.hash == block.header.hash()
        assert slot_of(block.header) == block.slot == parent.slot + 3
        unsealed, seal = block.header.without_seal()
        author = chain.validators[block.slot % len(chain.validators)]
        assert isinstance(seal, Seal)
        assert seal.engine == BABE
        assert sr25519_verify(seal.data, unsealed.hash(), author.keypair.public_key)
        assert block.header.extrinsics_root == extrinsics_root(())
        assert chain.state(block).get(relay_keys.CURRENT_SLOT) == u64.encode(block.slot)

    def test_slots_only_increase(self) -> None:
        chain = make_chain()
        with pytest.raises(ValueError, match="not after slot"):
            chain.build_block(slot=chain.best.slot)

    def test_the_randomness_moves_with_the_epoch_and_depends_on_the_seed(self) -> None:
        chain = make_chain(RelayChainConfig(epoch_length=3))
        seen = []
        for _ in range(7):
            state = chain.state(chain.best)
            seen.append(
                (
                    state.epoch_index(),
                    state.get(relay_keys.TWO_EPOCHS_AGO_RANDOMNESS),
                    state.get(relay_keys.ONE_EPOCH_AGO_RANDOMNESS),
                )
            )
            chain.build_block()
        assert [epoch for epoch, *_ in seen] == [0, 0, 0, 1, 1, 1, 2]
        assert seen[0][2] == seen[3][1] != seen[0][1]
        assert seen[3][2] == seen[6][1]
        other = make_chain(RelayChainConfig(seed=1))
        assert other.state(other.genesis).get(relay_keys.TWO_EPOCHS_AGO_RANDOMNESS) != seen[0][1]

    def test_unknown_blocks_are_named(self) -> None:
        chain = make_chain()
        for attempt in (lambda: chain.block(bytes(32)), lambda: chain.build_block(parent=bytes(32))):
            with pytest.raises(UnknownRelayBlock, match="00" * 32):
                attempt()

    def test_the_same_inputs_give_the_same_bytes(self) -> None:
        def history() -> list[bytes]:
            chain = make_chain()
            hashes = []
            for _ in range(4):
                candidate = [] if chain.best.pending else [backed(chain, collate(chain, 1000))]
                hashes.append(chain.build_block(candidate).block.hash)
            return hashes

        assert history() == history()


class TestBacking:
    def test_statements_have_the_bytes_of_polkadot(self) -> None:
        candidate_hash, relay_parent = b"\xaa" * 32, b"\xbb" * 32
        context = SigningContext(7, relay_parent)
        tail = candidate_hash + bytes([7, 0, 0, 0]) + relay_parent
        assert signing_payload(Seconded(candidate_hash), context) == b"BKNG\x01" + tail
        assert signing_payload(ValidStatement(candidate_hash), context) == b"BKNG\x02" + tail

    @pytest.mark.parametrize(("validators", "cores"), [(6, 2), (7, 3), (3, 3), (5, 1)])
    def test_groups_are_a_partition_of_nearly_equal_parts(self, validators: int, cores: int) -> None:
        members = [
            Validator(index, str(index), KEYPAIRS["alice"], StateDatabase(), {})
            for index in range(validators)
        ]
        parts = groups(members, cores)
        assert [member for part in parts for member in part] == members
        assert len(parts) == cores
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_the_first_seconds_and_the_others_vote(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        outcome = chain.back(collation, carried=False)
        assert outcome.backed is not None
        group = chain.group_of(1000, chain.best)
        assert [validator for validator, _ in outcome.verdicts] == list(group)
        assert [type(vote) for vote in outcome.backed.validity_votes] == [
            ImplicitVote,
            ExplicitVote,
            ExplicitVote,
        ]
        candidate_hash = outcome.candidate.hash()
        payload = signing_payload(Seconded(candidate_hash), chain.signing_context(chain.best))
        signature = outcome.backed.validity_votes[0].signature
        assert sr25519_verify(signature, payload, group[0].keypair.public_key)
        assert BackedCandidate.decode(outcome.backed.encode()) == outcome.backed

    def test_groups_rotate(self) -> None:
        chain = make_chain(RelayChainConfig(group_rotation_frequency=2))
        first = chain.group_of(1000, chain.best)
        chain.build_block()
        assert chain.group_of(1000, chain.best) == first
        chain.build_block()
        assert chain.group_of(1000, chain.best) == chain.group_of(2000, chain.genesis) != first

    @pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
    def test_a_majority_backs(self, size: int, needed: int) -> None:
        assert backing_threshold(size) == needed

    @pytest.mark.parametrize("pruned", [1, 2])
    def test_those_who_lost_the_state_abstain_and_the_majority_decides(self, pruned: int) -> None:
        """Three in a group: with one that cannot judge it is backed, with two it is not. Nobody votes invalid."""
        empty = StateDatabase()
        chain = make_chain(nodes=lambda name, database: empty if name in NAMES[:pruned] else database)
        outcome = chain.back(collate(chain, 1000, b"read"), carried=False)
        verdicts = [verdict for _, verdict in outcome.verdicts]
        for verdict in verdicts[:pruned]:
            assert isinstance(verdict, Abstain)
            assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE
        assert all(isinstance(verdict, Valid) for verdict in verdicts[pruned:])
        assert (outcome.backed is not None) == (pruned == 1)
        if outcome.backed is not None:
            assert outcome.backed.validator_indices == (False, True, True)
            assert isinstance(outcome.backed.validity_votes[0], ImplicitVote)
            assert not chain.build_block([outcome.backed]).refused

    def test_an_invalid_candidate_gets_no_votes(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        lied = replace(collation, commitments=replace(collation.commitments, hrmp_watermark=99))
        outcome = chain.back(lied, carried=False)
        assert outcome.backed is None
        for _, verdict in outcome.verdicts:
            assert isinstance(verdict, Invalid)
            assert verdict.reason is InvalidReason.COMMITMENTS_HASH_MISMATCH

    def test_a_para_that_is_not_registered_has_no_backers(self) -> None:
        chain = make_chain()
        with pytest.raises(UnknownPara, match="3000"):
            chain.back(replace(collate(chain, 1000), para_id=3000), carried=False)

    def test_other_code_than_the_registered_is_invalid_for_backers(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000)
        other = replace(collation, descriptor=replace(collation.descriptor, validation_code_hash=bytes(32)))
        for _, verdict in chain.back(other, carried=False).verdicts:
            assert isinstance(verdict, Invalid)
            assert verdict.reason is InvalidReason.CODE_HASH_MISMATCH


class TestInclusion:
    def test_backed_in_one_block_included_in_the_next(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000, b"!")
        candidate = backed(chain, collation)
        first = chain.build_block([candidate]).block
        assert first.backed == (candidate,)
        assert first.pending_of(1000) == candidate.candidate
        assert first.header.extrinsics_root == extrinsics_root(extrinsics_of([candidate]))
        assert head_of(chain, 1000) == b"genesis of 1000"
        second = chain.build_block().block
        assert second.included == (candidate.candidate,)
        assert second.pending == ()
        assert head_of(chain, 1000) == b"genesis of 1000!"
        assert head_of(chain, 1000, first) == b"genesis of 1000"
        context = chain.state(second).get(relay_keys.most_recent_context(1000))
        assert context == u32.encode(collation.pvd.relay_parent_number)

    def test_candidates_stand_in_core_order_however_they_are_offered(self) -> None:
        chain = make_chain()
        candidates = [backed(chain, collate(chain, para_id)) for para_id in (2000, 1000)]
        block = chain.build_block(candidates).block
        assert [candidate.candidate.descriptor.para_id for candidate in block.backed] == [1000, 2000]

    def test_an_occupied_core_takes_nothing(self) -> None:
        chain = make_chain()
        one, two = backed(chain, collate(chain, 1000, b"1")), backed(chain, collate(chain, 1000, b"2"))
        built = chain.build_block([one, two])
        assert built.block.backed == (one,)
        assert [refusal.reason for refusal in built.refused] == [RefusalReason.UNSCHEDULED_CANDIDATE]

    def test_a_candidate_on_an_outdated_head_is_refused(self) -> None:
        chain = make_chain()
        late = backed(chain, collate(chain, 1000, b"late"))
        chain.build_block([backed(chain, collate(chain, 1000, b"first"))])
        built = chain.build_block([late])
        assert [refusal.reason for refusal in built.refused] == [RefusalReason.VALIDATION_DATA_HASH_MISMATCH]

    def test_a_relay_parent_may_be_as_old_as_the_configuration_allows(self) -> None:
        chain = make_chain()
        allowed = chain.config.host.async_backing_params.allowed_ancestry_len
        candidate = backed(chain, collate(chain, 1000))
        for _ in range(allowed):
            chain.build_block()
        in_time = chain.best.hash
        chain.build_block()
        too_late = chain.build_block([candidate])
        assert [refusal.reason for refusal in too_late.refused] == [RefusalReason.DISALLOWED_RELAY_PARENT]
        assert not chain.build_block([candidate], parent=in_time).refused

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"para_id": 3000}, RefusalReason.UNSCHEDULED_CANDIDATE),
            ({"core_index": 1}, RefusalReason.INVALID_ASSIGNMENT),
            ({"session_index": 9}, RefusalReason.INVALID_ASSIGNMENT),
            ({"relay_parent": bytes(32)}, RefusalReason.DISALLOWED_RELAY_PARENT),
            ({"persisted_validation_data_hash": bytes(32)}, RefusalReason.VALIDATION_DATA_HASH_MISMATCH),
            ({"validation_code_hash": bytes(32)}, RefusalReason.INVALID_VALIDATION_CODE_HASH),
            ({"para_head": bytes(32)}, RefusalReason.PARA_HEAD_MISMATCH),
            ({"erasure_root": b"\x01" * 32}, RefusalReason.INVALID_BACKING),
        ],
    )
    def test_a_forged_descriptor_is_refused(self, change: dict[str, object], reason: RefusalReason) -> None:
        """Every field counts; one the checks do not look at still changes the hash that the votes are on."""
        chain = make_chain()
        candidate = backed(chain, collate(chain, 1000))
        forged = replace(
            candidate,
            candidate=replace(
                candidate.candidate, descriptor=replace(candidate.candidate.descriptor, **change)
            ),
        )
        built = chain.build_block([forged])
        assert built.block.backed == ()
        assert [refusal.reason for refusal in built.refused] == [reason]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"new_validation_code": bytes(3 * 1024 * 1024 + 1)}, RefusalReason.NEW_CODE_TOO_LARGE),
            ({"upward_messages": (b"m",) * 17}, RefusalReason.INVALID_UPWARD_MESSAGES),
            ({"upward_messages": (bytes(65_532),)}, RefusalReason.INVALID_UPWARD_MESSAGES),
            ({"processed_downward_messages": 1}, RefusalReason.INCORRECT_DOWNWARD_MESSAGE_HANDLING),
            (
                {"horizontal_messages": (OutboundHrmpMessage(2000, b"m"),)},
                RefusalReason.INVALID_OUTBOUND_HRMP,
            ),
            ({"hrmp_watermark": 1}, RefusalReason.HRMP_WATERMARK_MISHANDLING),
        ],
    )
    def test_outputs_beyond_the_limits_are_refused(
        self, change: dict[str, object], reason: RefusalReason
    ) -> None:
        chain = make_chain()
        candidate = backed(chain, collate(chain, 1000))
        commitments = replace(candidate.candidate.commitments, **change)
        built = chain.build_block(
            [replace(candidate, candidate=replace(candidate.candidate, commitments=commitments))]
        )
        assert [refusal.reason for refusal in built.refused] == [reason]

    def test_head_data_have_a_size_limit(self) -> None:
        chain = make_chain()
        limit = chain.config.host.max_head_data_size - len(b"genesis of 1000")
        assert not chain.build_block(
            [backed(chain, collate(chain, 1000, bytes(limit)))], parent=chain.genesis.hash
        ).refused
        candidate = backed(chain, collate(chain, 1000, bytes(limit + 1), relay_parent=chain.genesis.hash))
        built = chain.build_block([candidate], parent=chain.genesis.hash)
        assert [refusal.reason for refusal in built.refused] == [RefusalReason.HEAD_DATA_TOO_LARGE]

    def test_votes_are_checked(self) -> None:
        chain = make_chain()
        candidate = backed(chain, collate(chain, 1000))
        votes, indices = candidate.validity_votes, candidate.validator_indices
        forgeries = {
            "needed are 2": (votes[:1], (True, False, False)),
            "vote bits for a group": (votes, (*indices, False)),
            "votes for": (votes[:2], indices),
            "signature of alice": ((ImplicitVote(bytes(64)), *votes[1:]), indices),
            "signature of bob": ((votes[0], ImplicitVote(votes[1].signature), votes[2]), indices),
            "signature of charlie": ((*votes[:2], ExplicitVote(votes[1].signature)), indices),
        }
        for detail, (forged_votes, forged_indices) in forgeries.items():
            forged = BackedCandidate(candidate.candidate, forged_votes, forged_indices)
            (refusal,) = chain.build_block([forged], parent=chain.genesis.hash).refused
            assert refusal.reason is RefusalReason.INVALID_BACKING
            assert detail in refusal.detail

    def test_votes_cannot_be_replayed_on_another_relay_parent(self) -> None:
        chain = make_chain()
        candidate = backed(chain, collate(chain, 1000))
        other = chain.build_block().block
        moved = collate(chain, 1000, relay_parent=other.hash)
        receipt = CommittedCandidateReceipt(moved.descriptor, moved.commitments)
        replayed = replace(candidate, candidate=receipt)
        assert [refusal.reason for refusal in chain.build_block([replayed]).refused] == [
            RefusalReason.INVALID_BACKING
        ]


class TestForksFinalityAndPruning:
    def test_forks_have_their_own_state(self) -> None:
        chain = make_chain()
        left = chain.build_block(
            [backed(chain, collate(chain, 1000, b"left"))], parent=chain.genesis.hash
        ).block
        right = chain.build_block(
            [backed(chain, collate(chain, 1000, b"right", relay_parent=chain.genesis.hash))],
            parent=chain.genesis.hash,
            slot=chain.genesis.slot + 2,
        ).block
        assert chain.best == left
        left_tip = chain.build_block(parent=left.hash).block
        right_tip = chain.build_block(parent=right.hash).block
        assert head_of(chain, 1000, left_tip) == b"genesis of 1000left"
        assert head_of(chain, 1000, right_tip) == b"genesis of 1000right"

    def test_the_best_block_is_the_highest_and_the_first_seen(self) -> None:
        chain = make_chain()
        first = chain.build_block(parent=chain.genesis.hash).block
        second = chain.build_block(parent=chain.genesis.hash, slot=chain.genesis.slot + 5).block
        assert chain.best == first
        longer = chain.build_block(parent=second.hash).block
        assert chain.best == longer

    def test_finality_follows_at_a_distance(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=3))
        for number in range(1, 8):
            chain.build_block()
            assert chain.finalized.number == max(0, number - 3)
        assert chain.finalized in chain.ancestry(chain.best, 10)

    def test_a_finalized_block_is_never_abandoned(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=1))
        for _ in range(4):
            chain.build_block()
        finalized = chain.finalized
        with pytest.raises(NotViable, match="does not descend from the last finalized block"):
            chain.build_block(parent=chain.genesis.hash, slot=chain.genesis.slot + 100)
        fork = finalized
        for slot in range(100, 103):
            fork = chain.build_block(parent=fork.hash, slot=chain.genesis.slot + slot).block
        assert chain.best == fork
        assert finalized in chain.ancestry(chain.finalized, 5)

    def test_old_states_are_pruned_and_their_blocks_remain(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=2, state_pruning=3))
        blocks = [chain.genesis] + [chain.build_block().block for _ in range(12)]
        for block in blocks:
            if block.number <= 12 - 2 - 3:
                with pytest.raises(StateUnavailable) as caught:
                    chain.state(block)
                assert caught.value.at == block.state_root
                with pytest.raises(StateUnavailable):
                    chain.database.get(block.state_root, b":code")
            else:
                assert chain.state(block).get(b":code") == MODEL_CODE
            assert chain.block(block.hash) == block

    def test_pruning_frees_memory(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=0, state_pruning=1))
        for _ in range(5):
            chain.build_block()
        settled = len(chain.database)
        for _ in range(30):
            chain.build_block()
        assert abs(len(chain.database) - settled) <= 2

    def test_abandoned_forks_are_pruned_at_once(self) -> None:
        chain = make_chain(RelayChainConfig(finality_lag=1, state_pruning=100))
        kept = chain.build_block(parent=chain.genesis.hash).block
        abandoned = chain.build_block(parent=chain.genesis.hash, slot=chain.genesis.slot + 9).block
        assert chain.state(abandoned)
        for _ in range(3):
            chain.build_block()
        assert chain.finalized.number > kept.number
        assert chain.state(kept)
        with pytest.raises(StateUnavailable):
            chain.state(abandoned)

    def test_pruning_by_hand(self) -> None:
        chain = make_chain()
        block = chain.build_block().block
        chain.build_block()
        chain.prune_state(block)
        chain.prune_state(block)
        with pytest.raises(StateUnavailable):
            chain.state(block)
        assert chain.state(chain.best)

    def test_the_same_block_twice_is_one_block(self) -> None:
        chain = make_chain()
        first = chain.build_block(parent=chain.genesis.hash).block
        assert chain.build_block(parent=chain.genesis.hash).block == first
        chain.prune_state(first)
        assert not chain.database.has_state(first.state_root)

    def test_backers_abstain_after_pruning_and_never_say_invalid(self) -> None:
        chain = make_chain()
        collation = collate(chain, 1000, b"read")
        chain.build_block()
        chain.prune_state(chain.genesis)
        outcome: BackingOutcome = chain.back(collation, carried=False)
        assert outcome.backed is None
        for _, verdict in outcome.verdicts:
            assert isinstance(verdict, Abstain)
            assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE


class TestDownwardMessages:
    def test_the_queue_and_the_chain_over_it(self) -> None:
        chain = make_chain()
        relay = RelayChainInProcessInterface(chain)
        chain.queue_downward_message(1000, b"hello")
        chain.queue_downward_message(1000, b"again")
        block = chain.build_block().block
        assert [(item.sent_at, item.msg) for item in relay.retrieve_dmq_contents(1000, block.hash)] == [
            (1, b"hello"),
            (1, b"again"),
        ]
        head = mqc_head(mqc_head(bytes(32), 1, b"hello"), 1, b"again")
        assert chain.state(block).get(relay_keys.dmq_mqc_head(1000)) == head
        assert relay.retrieve_dmq_contents(2000, block.hash) == ()
        assert relay.retrieve_dmq_contents(1000, chain.genesis.hash) == ()

    def test_processing_shortens_the_queue_and_not_the_chain(self) -> None:
        chain = make_chain()
        for message in (b"one", b"two"):
            chain.queue_downward_message(1000, message)
        chain.build_block()
        head = chain.state(chain.best).downward_mqc_head(1000)
        chain.build_block([backed(chain, collate(chain, 1000, b"processed"))])
        chain.build_block()
        state = chain.state(chain.best)
        assert [message.msg for message in state.downward_messages(1000)] == [b"two"]
        assert state.downward_mqc_head(1000) == head
        chain.build_block([backed(chain, collate(chain, 1000, b"processed"))])
        chain.build_block()
        assert chain.state(chain.best).get(relay_keys.downward_message_queue(1000)) is None

    def test_a_candidate_that_could_see_messages_must_process_one(self) -> None:
        chain = make_chain()
        before = backed(chain, collate(chain, 1000))
        chain.queue_downward_message(1000, b"hello")
        seen = chain.build_block().block
        after = backed(chain, collate(chain, 1000))
        built = chain.build_block([after], parent=seen.hash)
        assert [refusal.reason for refusal in built.refused] == [
            RefusalReason.INCORRECT_DOWNWARD_MESSAGE_HANDLING
        ]
        assert not chain.build_block([before], parent=seen.hash).refused

    def test_no_message_to_strangers(self) -> None:
        with pytest.raises(UnknownPara, match="3000"):
            make_chain().queue_downward_message(3000, b"hello")


class TestInterface:
    def test_it_is_the_interface(self) -> None:
        relay: RelayChainInterface = RelayChainInProcessInterface(make_chain())
        assert relay.header(relay.best_block_hash()) is not None
        assert relay.header(bytes(32)) is None
        assert relay.slot(bytes(32)) is None
        assert relay.finalized_block_hash() == relay.best_block_hash()
        assert relay.core_index(2000) == 1
        assert relay.core_index(3000) is None
        assert relay.persisted_validation_data(3000, relay.best_block_hash()) is None
        assert relay.validation_code_hash(1000, relay.best_block_hash()) == CountingRuntime.code_hash
        assert relay.retrieve_all_inbound_hrmp_channel_contents(1000, relay.best_block_hash()) == {}

    def test_reads_and_proofs_agree(self) -> None:
        chain = make_chain()
        relay = RelayChainInProcessInterface(chain)
        block = chain.build_block().block
        keys = [relay_keys.CURRENT_SLOT, relay_keys.para_head(1000), relay_keys.para_head(3000)]
        proven = verify_proof(block.state_root, relay.prove_read(block.hash, keys), keys, LAYOUT_V1)
        reader = relay.relay_state_prover(block.hash)
        for key in keys:
            assert proven[key] == relay.get_storage_by_key(block.hash, key) == reader.read(key)
        assert reader.nodes() == relay.prove_read(block.hash, keys)

    def test_pending_candidates_are_visible(self) -> None:
        chain = make_chain()
        relay = RelayChainInProcessInterface(chain)
        candidate = backed(chain, collate(chain, 1000))
        block = chain.build_block([candidate]).block
        assert relay.candidate_pending_availability(1000, block.hash) == candidate.candidate
        assert relay.candidate_pending_availability(2000, block.hash) is None


def test_too_few_validators_and_double_registration_are_refused() -> None:
    with pytest.raises(ValueError, match="need as many validators"):
        make_chain(names=["alice"])
    with pytest.raises(ValueError, match="registered twice"):
        make_chain(paras=(1000, 1000))
