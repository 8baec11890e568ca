"""A real relay runtime backs and includes parachains: what it accepts, what it leaves out and why, what it proves.

The relay chain is Rococo's genesis of 2022 from ``files``, the parachains run our Python runtime; the runtime that
decides is the network's. The other relay chains at hand are in the slow part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from host_functions.errors import ContextDivergence, SandboxError, StateUnavailable
from host_functions.executor import NativeRuntime
from host_functions.executor.wasm import CompileCache, version_reader
from host_functions.state_machine import Storage
from pileus.chain_spec import parse_runtime_file
from pileus.collator import Collation, Collator, ParachainNode
from pileus.keyring import Keypair
from pileus.relay_chain.chain import UnknownRelayBlock
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.real import (
    ParaRegistration,
    RealRelayChain,
    RealRelayChainConfig,
    RealRelayChainInterface,
    UnsuitableRelayChain,
)
from pileus.relay_chain.real.authoring import check_block
from pileus.relay_chain.real.chain import NotScheduled
from pileus.relay_chain.real.genesis import (
    SESSION_QUEUED_KEYS,
    active_validator_keys,
    relay_genesis,
    validators_needed,
)
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import BackedCandidate
from runtime.chains.demo import GenesisConfig
from runtime.primitives import relay_keys
from runtime.primitives.block import Block
from runtime.primitives.scale import byte_vec
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1
from runtime.trie.proof import verify_proof

COLLATOR = Keypair.from_uri("//Collator")
PARAS = (2000, 2001)


def genesis_of(vectors_dir: Path, name: str) -> Storage:
    spec = parse_runtime_file((vectors_dir / "files" / f"{name}.json.gz").read_bytes()).spec
    assert spec is not None
    return spec.genesis


@dataclass
class Running:
    """A relay chain with parachains that are scheduled."""

    chain: RealRelayChain
    relay: RealRelayChainInterface
    nodes: dict[int, ParachainNode]

    def collate(self, para_id: int) -> Collation:
        collation = Collator(self.nodes[para_id], self.relay, para_id, COLLATOR).collate(self.chain.best.hash)
        assert collation is not None
        return collation

    def backed(self, para_id: int) -> BackedCandidate:
        backed = self.chain.back(self.collate(para_id), carried=False).backed
        assert backed is not None
        return backed


def boot(
    storage: Storage, paras: tuple[int, ...] = PARAS, config: RealRelayChainConfig | None = None
) -> Running:
    runtime = NativeRuntime("runtime.chains.demo")
    nodes = {
        para_id: ParachainNode(runtime, GenesisConfig(para_id, (COLLATOR.public_key,), ()).encode())
        for para_id in paras
    }
    names = [f"validator-{at}" for at in range(validators_needed(storage.top, len(paras)))]
    chain = RealRelayChain(
        storage,
        [ParaRegistration(para_id, node.genesis.encode(), runtime.code) for para_id, node in nodes.items()],
        names,
        [Keypair.from_uri(f"//{name}") for name in names],
        config=config or RealRelayChainConfig(),
        codes={runtime.code_hash: runtime},
        cache=CompileCache.default(),
    )
    chain.await_scheduling(paras)
    return Running(chain, RealRelayChainInterface(chain), nodes)


@pytest.fixture(scope="module")
def rococo(vectors_dir: Path) -> Storage:
    return genesis_of(vectors_dir, "rococo-genesis")


@pytest.fixture(scope="module")
def shared(rococo: Storage) -> Running:
    """For tests that build on the best block and leave a better one behind."""
    return boot(rococo)


# -- backing and inclusion ---------------------------------------------------------------------------------


def included_rounds(running: Running, rounds: int) -> None:
    for number in range(1, rounds + 1):
        collations = {para_id: running.collate(para_id) for para_id in running.nodes}
        candidates = [running.chain.back(one, carried=False).backed for one in collations.values()]
        backing = running.chain.build_block([one for one in candidates if one is not None])
        assert backing.refused == ()
        assert len(backing.block.backed) == len(backing.block.pending) == len(running.nodes)
        including = running.chain.build_block().block
        assert {receipt.descriptor.para_id for receipt in including.included} == set(running.nodes)
        assert including.pending == ()
        for para_id, collation in collations.items():
            assert running.chain.state(including).para_head(para_id) == collation.block.header.encode()
            relay_parent = collation.descriptor.relay_parent
            running.nodes[para_id].import_block(
                collation.block, running.relay.relay_state_prover(relay_parent)
            )
            assert running.nodes[para_id].best_header.number == number


def test_two_parachains_are_included_round_after_round(rococo: Storage) -> None:
    running = boot(rococo)
    before = running.chain.best.number
    included_rounds(running, 3)
    assert running.chain.best.number == before + 6
    assert running.chain.finalized.number == running.chain.best.number - 2


def test_the_same_relay_chain_twice_has_the_same_bytes(rococo: Storage) -> None:
    first, second = boot(rococo), boot(rococo)
    for running in (first, second):
        included_rounds(running, 1)
    assert first.chain.best.header == second.chain.best.header


@pytest.mark.slow
@pytest.mark.parametrize("name", ["development-genesis"])
def test_a_development_spec_with_one_validator_gets_more(vectors_dir: Path, name: str) -> None:
    storage = genesis_of(vectors_dir, name)
    assert len(active_validator_keys(storage.top)) == 1
    running = boot(storage)
    assert len(running.relay.validators(running.chain.best.hash)) == 2
    included_rounds(running, 3)


# -- candidates that the runtime leaves out ----------------------------------------------------------------


def with_receipt(backed: BackedCandidate, **changes: object) -> BackedCandidate:
    return replace(backed, candidate=replace(backed.candidate, **changes))  # type: ignore[arg-type]


def flipped_head(backed: BackedCandidate) -> BackedCandidate:
    commitments = backed.candidate.commitments
    head = bytes([commitments.head_data[0] ^ 1]) + commitments.head_data[1:]
    return with_receipt(backed, commitments=replace(commitments, head_data=head))


def flipped_signature(backed: BackedCandidate) -> BackedCandidate:
    vote = backed.validity_votes[0]
    forged = replace(vote, signature=bytes([vote.signature[0] ^ 1]) + vote.signature[1:])
    return replace(backed, validity_votes=(forged, *backed.validity_votes[1:]))


def one_vote(backed: BackedCandidate) -> BackedCandidate:
    lone = (True,) + (False,) * (len(backed.validator_indices) - 1)
    return replace(backed, validity_votes=backed.validity_votes[:1], validator_indices=lone)


def other_code(backed: BackedCandidate) -> BackedCandidate:
    return with_receipt(
        backed, descriptor=replace(backed.candidate.descriptor, validation_code_hash=bytes(32))
    )


def other_data(backed: BackedCandidate) -> BackedCandidate:
    descriptor = replace(backed.candidate.descriptor, persisted_validation_data_hash=bytes(32))
    return with_receipt(backed, descriptor=descriptor)


def unknown_relay_parent(backed: BackedCandidate) -> BackedCandidate:
    return with_receipt(backed, descriptor=replace(backed.candidate.descriptor, relay_parent=bytes(32)))


def unknown_para(backed: BackedCandidate) -> BackedCandidate:
    return with_receipt(backed, descriptor=replace(backed.candidate.descriptor, para_id=77))


def unsigned_by_the_collator(backed: BackedCandidate) -> BackedCandidate:
    return with_receipt(backed, descriptor=replace(backed.candidate.descriptor, signature=bytes(64)))


@pytest.mark.parametrize(
    "forge, reason, detail",
    [
        (flipped_head, RefusalReason.PARA_HEAD_MISMATCH, "do not hash"),
        (flipped_signature, RefusalReason.INVALID_BACKING, "does not verify"),
        (one_vote, RefusalReason.INVALID_BACKING, "1 votes, needed are"),
        (other_code, RefusalReason.INVALID_VALIDATION_CODE_HASH, "is not the code of para 2000"),
        (other_data, RefusalReason.VALIDATION_DATA_HASH_MISMATCH, "does not build on the para's head"),
        (unknown_relay_parent, RefusalReason.DISALLOWED_RELAY_PARENT, "no block of this chain"),
        (unknown_para, RefusalReason.UNSCHEDULED_CANDIDATE, "para 77 is scheduled on no core"),
        (unsigned_by_the_collator, RefusalReason.INVALID_BACKING, "collator's signature"),
    ],
)
def test_a_forged_candidate_is_left_out_and_reported(
    shared: Running, forge: Callable[[BackedCandidate], BackedCandidate], reason: RefusalReason, detail: str
) -> None:
    honest = shared.backed(2000)
    parent = shared.chain.best.hash
    built = shared.chain.build_block([forge(honest)], parent=parent)
    assert built.block.backed == built.block.pending == ()
    (refusal,) = built.refused
    assert refusal.reason is reason
    assert detail in refusal.detail
    assert shared.chain.build_block([honest], parent=parent).block.backed == (honest,)
    shared.chain.build_block()


def test_a_forged_candidate_does_not_take_the_honest_one_with_it(rococo: Storage) -> None:
    running = boot(rococo)
    forged, honest = flipped_head(running.backed(2000)), running.backed(2001)
    built = running.chain.build_block([forged, honest])
    assert built.block.backed == (honest,)
    assert [refusal.candidate for refusal in built.refused] == [forged.candidate]


def test_a_candidate_on_an_occupied_core_or_an_old_relay_parent(rococo: Storage) -> None:
    running = boot(rococo)
    first, late = running.backed(2000), running.backed(2001)
    running.chain.build_block([first])
    built = running.chain.build_block([first, late])
    reasons = [refusal.reason for refusal in built.refused]
    assert built.block.backed == ()
    assert reasons[0] is RefusalReason.UNSCHEDULED_CANDIDATE
    assert reasons[1] is RefusalReason.DISALLOWED_RELAY_PARENT
    assert "offered on" in built.refused[1].detail


def test_a_collation_for_no_core_is_not_backed(rococo: Storage) -> None:
    running = boot(rococo)
    collation = running.collate(2000)
    with pytest.raises(NotScheduled, match="para 2000 is scheduled on no core at relay block 0"):
        genesis = replace(collation.descriptor, relay_parent=running.chain.genesis.hash)
        running.chain.back(replace(collation, descriptor=genesis), carried=False)
    with pytest.raises(UnknownRelayBlock):
        nowhere = replace(collation.descriptor, relay_parent=bytes(32))
        running.chain.back(replace(collation, descriptor=nowhere), carried=False)


def test_a_block_that_executes_differently_is_a_divergence(shared: Running) -> None:
    chain = shared.chain
    parent = chain.best
    built = chain.build_block(parent=parent.hash)
    header = built.block.header
    runtime, version_of = chain.runtime(parent), version_reader(CompileCache.default())
    check_block(chain.database, parent, runtime, Block(header, built.extrinsics), version_of=version_of)
    for wrong in (
        replace(header, state_root=bytes(32)),
        replace(header, extrinsics_root=bytes(32)),
        replace(header, number=header.number + 1),
        replace(header, digest=()),
    ):
        with pytest.raises(ContextDivergence, match="authoring and Core_execute_block disagree"):
            check_block(
                chain.database, parent, runtime, Block(wrong, built.extrinsics), version_of=version_of
            )


# -- the interface -----------------------------------------------------------------------------------------


def test_what_the_interface_says_is_what_the_state_holds(shared: Running) -> None:
    relay, best = shared.relay, shared.chain.best
    pvd = relay.persisted_validation_data(2000, best.hash)
    assert pvd is not None
    head = relay.get_storage_by_key(best.hash, relay_keys.para_head(2000))
    assert head == byte_vec.encode(pvd.parent_head)
    assert (pvd.relay_parent_number, pvd.relay_parent_storage_root) == (best.number, best.state_root)
    assert relay.get_storage_by_key(best.hash, relay_keys.CURRENT_SLOT) == best.slot.to_bytes(8, "little")
    assert relay.validation_code_hash(2000, best.hash) == NativeRuntime("runtime.chains.demo").code_hash
    assert relay.slot(best.hash) == best.slot
    assert relay.header(best.hash) == best.header
    assert len(relay.validators(best.hash)) == len(shared.chain.validators)
    assert {relay.core_index(para_id) for para_id in PARAS} == {0, 1}
    assert relay.retrieve_dmq_contents(2000, best.hash) == ()
    assert relay.retrieve_all_inbound_hrmp_channel_contents(2000, best.hash) == {}
    assert not relay.accepts_v2_descriptors(best.hash)


def test_unknown_paras_and_blocks(shared: Running) -> None:
    relay, best = shared.relay, shared.chain.best.hash
    assert relay.persisted_validation_data(77, best) is None
    assert relay.validation_code_hash(77, best) is None
    assert relay.core_index(77) is None
    assert relay.candidate_pending_availability(77, best) is None
    assert relay.header(bytes(32)) is relay.slot(bytes(32)) is None
    with pytest.raises(UnknownRelayBlock):
        relay.persisted_validation_data(2000, bytes(32))


def test_proofs_and_live_reads_agree_with_the_state(shared: Running) -> None:
    relay, best = shared.relay, shared.chain.best
    keys = [relay_keys.para_head(2000), relay_keys.para_head(77), relay_keys.CURRENT_SLOT, b":code"]
    proven = verify_proof(best.state_root, relay.prove_read(best.hash, keys), keys, LAYOUT_V0)
    reader = relay.relay_state_prover(best.hash)
    for key in keys:
        assert proven[key] == reader.read(key) == relay.get_storage_by_key(best.hash, key)
    assert proven[relay_keys.para_head(77)] is None


def test_old_states_are_pruned_and_then_unavailable(rococo: Storage) -> None:
    running = boot(rococo, (2000,), RealRelayChainConfig(state_pruning=1))
    chain = running.chain
    assert not chain.has_state(chain.genesis)
    with pytest.raises(StateUnavailable):
        running.relay.persisted_validation_data(2000, chain.genesis.hash)
    with pytest.raises(StateUnavailable):
        chain.build_block(parent=chain.genesis.hash)
    included_rounds(running, 2)


def test_a_candidate_on_a_pruned_relay_parent_is_reported(rococo: Storage) -> None:
    running = boot(rococo, (2000,), RealRelayChainConfig(state_pruning=1, finality_lag=1))
    old = running.backed(2000)
    for _ in range(4):
        running.chain.build_block()
    built = running.chain.build_block([old])
    assert built.block.backed == ()
    (refusal,) = built.refused
    assert refusal.reason is RefusalReason.DISALLOWED_RELAY_PARENT
    assert "state is pruned" in refusal.detail


def test_a_panic_names_the_block_the_function_and_the_runtime_s_own_words(rococo: Storage) -> None:
    chain = boot(rococo).chain
    chain.slot_duration = 1
    number = chain.best.number + 1
    with pytest.raises(
        SandboxError,
        match=rf"^block {number}: BlockBuilder_apply_extrinsic: panicked at .*[Ss]lot must match",
    ):
        chain.build_block()
    assert chain.best.number == number - 1


def test_slots_only_move_forward(shared: Running) -> None:
    with pytest.raises(ValueError, match="is not after slot"):
        shared.chain.build_block(slot=shared.chain.best.slot)


# -- genesis -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, message",
    [
        ("westend-genesis", "does not export ParachainHost_availability_cores"),
        ("local-testnet-genesis", "does not export BabeApi_configuration"),
        ("kilt-spiritnet-genesis", "does not export BabeApi_configuration"),
    ],
)
def test_chains_that_are_no_relay_chain_of_today(vectors_dir: Path, name: str, message: str) -> None:
    storage = genesis_of(vectors_dir, name)
    with pytest.raises(UnsuitableRelayChain, match=message):
        RealRelayChain(storage, [], [], [], cache=CompileCache.default())


def test_states_without_code_validators_or_with_child_tries(rococo: Storage) -> None:
    with pytest.raises(UnsuitableRelayChain, match="no runtime under :code"):
        RealRelayChain(Storage(), [], [], [])
    with pytest.raises(UnsuitableRelayChain, match="has no ParasShared"):
        validators_needed({}, 1)
    keys = relay_keys.storage_prefix("ParasShared", "ActiveValidatorKeys")
    with pytest.raises(UnsuitableRelayChain, match="is empty"):
        validators_needed({keys: b"\0"}, 1)
    with pytest.raises(UnsuitableRelayChain, match="ActiveValidatorKeys: "):
        validators_needed({keys: b"\x08" + bytes(33)}, 1)
    with pytest.raises(UnsuitableRelayChain, match="child tries"):
        relay_genesis(Storage(rococo.top, {b"child": {b"k": b"v"}}), [], [])
    with pytest.raises(ValueError, match="1 keypairs for 8 validators"):
        relay_genesis(rococo, [COLLATOR], [])


@pytest.mark.parametrize("queued", [b"", b"\x20" + bytes(7), b"\x08" + bytes(64), b"\x04" + bytes(96)])
def test_session_keys_that_cannot_be_extended(rococo: Storage, queued: bytes) -> None:
    top = {**rococo.top, SESSION_QUEUED_KEYS: queued}
    keypairs = [Keypair.from_uri(f"//{at}") for at in range(9)]
    with pytest.raises(UnsuitableRelayChain, match="too few validators, and none can be added"):
        relay_genesis(Storage(top), keypairs, [])


def test_validators_may_get_the_keys_of_each_other(rococo: Storage) -> None:
    """As with a topology that names bob before alice, over a genesis that has alice before bob."""
    keypairs = [Keypair.from_uri(f"//{at}") for at in range(8)]
    rotated = [*keypairs[3:], *keypairs[:3]]
    again = relay_genesis(relay_genesis(rococo, keypairs, []), rotated, [])
    assert active_validator_keys(again.top) == tuple(keypair.public_key for keypair in rotated)


def test_a_state_with_a_node_missing_is_not_taken_in() -> None:
    source = StateDatabase(LAYOUT_V1)
    root = source.commit(LAYOUT_V1.empty_root, {bytes([at]) * 8: bytes([at]) * 40 for at in range(1, 200, 3)})
    nodes = dict(source.items_of(root))
    complete = StateDatabase(LAYOUT_V1)
    complete.insert(root, nodes)
    assert dict(complete.items_of(root)) == nodes
    complete.release(root)
    assert len(complete) == 0
    for missing in nodes:
        clipped = StateDatabase(LAYOUT_V1)
        with pytest.raises(StateUnavailable):
            clipped.insert(root, {node: data for node, data in nodes.items() if node != missing})
        assert len(clipped) == 0
