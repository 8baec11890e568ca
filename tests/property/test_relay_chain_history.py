"""Any history of the relay chain: forks, candidates, prunings. Its state is the model's, and its validators are fair.

The validation function appends the block data to the parent head and reads the relay chain's current slot if the data
say so. Fair means: a candidate that was honestly made is never called invalid, whatever became of the relay chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from host_functions.contexts import HostContext
from host_functions.interfaces.relay_chain_state import read_relay_state
from pileus.keyring import Keypair
from pileus.relay_chain import (
    ParaGenesis,
    RelayBlock,
    RelayChain,
    RelayChainConfig,
    RelayChainInProcessInterface,
    StateDatabase,
    Validator,
)
from pov_validator import Abstain, AbstainReason, Valid
from pov_validator.erasure import erasure_root, obtain_chunks
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    AvailableData,
    CandidateCommitments,
    CandidateDescriptorV2,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
)
from runtime.primitives.scale import u64

PARA = 2000
READ = b"r"
KEYPAIRS = [Keypair.from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie")]


class AppendingRuntime:
    code = b"appending"
    code_hash = blake2_256(code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        params = ValidationParams.decode(argument)
        head = params.parent_head + params.block_data
        if params.block_data.startswith(READ):
            with context.externalities():
                head += read_relay_state(relay_keys.CURRENT_SLOT) or b"absent"
        return result(head, params.relay_parent_number).encode()


def result(head: bytes, relay_parent_number: int) -> ValidationResult:
    return ValidationResult(head, None, (), (), 0, relay_parent_number)


@dataclass(frozen=True)
class HonestCollation:
    para_id: int
    descriptor: CandidateDescriptorV2
    commitments: CandidateCommitments
    pov: PoV
    pvd: PersistedValidationData


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.database = StateDatabase()
        codes = {AppendingRuntime.code_hash: AppendingRuntime()}
        validators = [
            Validator(index, str(index), keypair, self.database, codes)
            for index, keypair in enumerate(KEYPAIRS)
        ]
        config = RelayChainConfig(finality_lag=2, state_pruning=3, epoch_length=4)
        self.chain = RelayChain(
            config, [ParaGenesis(PARA, b"", AppendingRuntime.code_hash)], validators, self.database
        )
        self.relay = RelayChainInProcessInterface(self.chain)
        genesis = self.chain.genesis
        self.finalized = genesis
        self.blocks = [genesis]
        self.heads = {genesis.hash: b""}
        """The para's head after each block."""
        self.pending: dict[bytes, bytes | None] = {genesis.hash: None}
        """The head that becomes the para's with the next block."""
        self.collations: list[HonestCollation] = []

    def held(self) -> list[RelayBlock]:
        return [block for block in self.blocks if self.chain.has_state(block)]

    @rule(
        choice=st.integers(0, 1000),
        data=st.binary(min_size=1, max_size=2) | st.just(READ),
        skip=st.integers(1, 3),
    )
    def build(self, choice: int, data: bytes, skip: int) -> None:
        """A block on any held block, with a candidate if the core is free."""
        held = [block for block in self.held() if self.chain.tree.is_ancestor(self.chain.finalized, block)]
        if not held:
            return
        parent = held[-1 - choice % min(len(held), 4)]
        offered = []
        expected = self.heads[parent.hash] if self.pending[parent.hash] is None else self.pending[parent.hash]
        backed_head = None
        if parent.pending_of(PARA) is None:
            collation = self.collate(parent, data)
            self.collations.append(collation)
            outcome = self.chain.back(collation, carried=False)
            assert all(isinstance(verdict, Valid) for _, verdict in outcome.verdicts)
            assert outcome.backed is not None
            offered.append(outcome.backed)
            backed_head = collation.commitments.head_data
        built = self.chain.build_block(offered, parent=parent.hash, slot=parent.slot + skip)
        if built.block.hash in self.heads:
            return
        assert built.refused == ()
        assert expected is not None
        self.blocks.append(built.block)
        self.heads[built.block.hash] = expected
        self.pending[built.block.hash] = backed_head

    def collate(self, relay_parent: RelayBlock, data: bytes) -> HonestCollation:
        pvd = self.relay.persisted_validation_data(PARA, relay_parent.hash)
        assert pvd is not None
        head = pvd.parent_head + data + (u64.encode(relay_parent.slot) if data.startswith(READ) else b"")
        outputs = result(head, pvd.relay_parent_number)
        pov = PoV(data)
        descriptor = CandidateDescriptorV2(
            para_id=PARA,
            relay_parent=relay_parent.hash,
            version=0,
            core_index=0,
            session_index=self.relay.session_index_for_child(relay_parent.hash),
            reserved1=bytes(25),
            persisted_validation_data_hash=pvd.hash(),
            pov_hash=pov.hash(),
            erasure_root=erasure_root(obtain_chunks(len(KEYPAIRS), AvailableData(pov, pvd))),
            reserved2=bytes(64),
            para_head=blake2_256(head),
            validation_code_hash=AppendingRuntime.code_hash,
        )
        return HonestCollation(PARA, descriptor, outputs.to_commitments(), pov, pvd)

    @precondition(lambda self: len(self.held()) > 3)
    @rule(choice=st.integers(0, 1000))
    def prune(self, choice: int) -> None:
        held = self.held()
        self.chain.prune_state(held[choice % (len(held) - 2)])

    @precondition(lambda self: self.collations)
    @rule(choice=st.integers(0, 1000))
    def judge_again(self, choice: int) -> None:
        """Long after: valid where it can be told, and otherwise nobody says anything."""
        collation = self.collations[choice % len(self.collations)]
        needs_state = collation.pov.block_data.startswith(READ)
        available = self.database.has_state(collation.pvd.relay_parent_storage_root)
        for _, verdict in self.chain.back(collation, carried=False).verdicts:
            if available or not needs_state:
                assert isinstance(verdict, Valid)
            else:
                assert isinstance(verdict, Abstain)
                assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE

    @invariant()
    def every_held_state_has_its_forks_head(self) -> None:
        for block in self.held()[-5:]:
            assert self.database.get(block.state_root, relay_keys.CURRENT_SLOT) == u64.encode(block.slot)
            if block.hash in self.heads:
                pvd = self.relay.persisted_validation_data(PARA, block.hash)
                assert pvd is not None
                assert pvd.parent_head == self.heads[block.hash]

    @invariant()
    def finality_only_moves_forward(self) -> None:
        finalized = self.chain.finalized
        assert self.finalized in self.chain.ancestry(finalized, finalized.number - self.finalized.number)
        assert finalized.number <= max(0, self.chain.best.number - self.chain.config.finality_lag)
        self.finalized = finalized


TestHistory = History.TestCase
TestHistory.settings = settings(stateful_step_count=30)
