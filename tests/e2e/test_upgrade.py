"""A Python parachain upgrades itself: written, signed, included, applied, and the next block runs the new code.

The second version is the demo chain with another existential deposit: what it refuses shows which version runs.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, MAX_CODE_SIZE, compress
from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.differential import DifferentialRuntime
from host_functions.executor.frozen.freeze import freeze
from host_functions.executor.frozen.vm import MissingVm
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.executor.wasm.blob import CallingStyle
from pileus.chain_spec import CODE
from pileus.network.parachain import RunningParachain, UnknownCode, dev_keypair
from pileus.network.topology import Collator, Parachain
from pileus.relay_chain import (
    ParaGenesis,
    RelayChain,
    RelayChainConfig,
    RelayChainInProcessInterface,
    RelayNode,
    StateDatabase,
    Validator,
)
from pileus.relay_chain.acceptance import Criterion, check_outputs
from pileus.relay_chain.backing import BackingOutcome
from pileus.relay_chain.genesis import host_configuration
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.prechecking import sign_pvf_check
from pileus.relay_chain.pvf_checks import pvfs_require_precheck
from pileus.relay_chain.real.codes import ValidationCodes
from pileus.relay_chain.storage import RelayStateBuilder
from pileus.relay_chain.upgrades import CodeUpgrades, code_by_hash, future_code_hash, past_code_hash
from pileus.testing.guests import storage_echo
from pov_validator import Abstain
from pov_validator.pvf import PvfRuntime, shared_host
from pov_validator.verdict import AbstainReason
from runtime.chains import demo
from runtime.pallets.parachain_system.pallet import (
    ValidationFunctionApplied,
    ValidationFunctionDiscarded,
    ValidationFunctionStored,
)
from runtime.pallets.system import CodeUpdated, ExtrinsicFailed, LastRuntimeUpgradeInfo
from runtime.primitives import relay_keys
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.digest import RuntimeEnvironmentUpdated
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import UpgradeGoAhead
from runtime.support.dispatch import TokenError

PARA = 2000
DELAY, COOLDOWN = 4, 9
"""Relay blocks."""


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of the second version."""
    source = Path(demo.__file__).read_text()
    for old, new in (
        ("    spec_version=1,", "    spec_version=2,"),
        ("EXISTENTIAL_DEPOSIT = UNIT // 1_000", "EXISTENTIAL_DEPOSIT = UNIT // 100"),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    (tmp_path / "second_demo.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "second_demo", raising=False)
    return "second_demo"


class World:
    """One parachain on the relay chain model. Its collator, an authority, has the chain's money as well."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        carried: bool,
        max_code_size: int = MAX_CODE_SIZE,
        cache: CompileCache | None = None,
    ) -> None:
        self.carried = carried
        spec = Parachain(id=PARA, collators=(Collator(f"para-{PARA}-sender"),))
        self.para = RunningParachain(spec, runtime, demo, cache=cache)
        database = StateDatabase()
        host = replace(
            host_configuration(),
            max_code_size=max_code_size,
            validation_upgrade_delay=DELAY,
            validation_upgrade_cooldown=COOLDOWN,
        )
        config = RelayChainConfig(host=host)
        # A slow machine is no reason to abstain.
        pvf_host = shared_host(replace(config.executor_params, backing_timeout=60.0))
        at_genesis: dict[bytes, Runtime] = {}
        if isinstance(runtime, WasmRuntime):
            at_genesis[runtime.code_hash] = PvfRuntime(runtime.code, pvf_host)
        codes = ValidationCodes(self._on_chain, ChainMap(at_genesis, self.para.codes), pvf_host)
        validators = [
            Validator(index, name, dev_keypair(name), RelayNode(database), codes)
            for index, name in enumerate(("alice", "bob", "charlie"))
        ]
        genesis = ParaGenesis(PARA, self.para.node.genesis.encode(), runtime.code_hash)
        self.chain = RelayChain(config, [genesis], validators, database)
        self.relay = RelayChainInProcessInterface(self.chain)
        self.para.start_collators(self.relay, (), commit_relay_reads=carried)
        self.chain.build_block()

    def _on_chain(self, code_hash: bytes) -> bytes | None:
        return self.chain.validation_code_by_hash(code_hash)

    def offer(self) -> tuple[Any, BackingOutcome]:
        """A candidate on the best block, and what its group says."""
        collation = self.para.collate(self.chain.best.hash)
        assert collation is not None
        return collation, self.chain.back(collation, carried=self.carried)

    def step(self, *calls: bytes) -> tuple[Collation, list[object]]:
        """A block with these calls, backed and included and imported; two relay blocks. Also its events."""
        for call in calls:
            self.para.submit(call)
        collation, outcome = self.offer()
        assert outcome.backed is not None, [str(verdict) for _, verdict in outcome.verdicts]
        assert all(not isinstance(verdict, Abstain) for _, verdict in outcome.verdicts)
        assert not self.chain.build_block([outcome.backed]).refused
        self.chain.build_block()
        records = self.para.import_included(collation.block, self.relay, collation.descriptor.relay_parent)
        assert self.para.mempool == []
        return collation, [record.event for record in records]

    def at_relay(self, key: bytes) -> bytes | None:
        return self.relay.get_storage_by_key(self.chain.best.hash, key)

    def code_hash(self) -> bytes | None:
        return self.at_relay(relay_keys.current_code_hash(PARA))

    def stored(self, key: bytes) -> bytes | None:
        return self.para.node.storage(key, self.para.node.best_hash)


def authorize(code: bytes) -> bytes:
    return demo.system.call_of(demo.system.authorize_upgrade, blake2_256(code)).encode()


def apply(code: bytes) -> bytes:
    return demo.system.call_of(demo.system.apply_authorized_upgrade, code).encode()


def small_transfer(to: int) -> bytes:
    """More than the old existential deposit and less than the new one."""
    call = demo.balances.call_of(demo.balances.transfer_allow_death, bytes([to]) * 32, demo.UNIT // 500)
    return call.encode()


def failures(events: list[object]) -> list[bytes]:
    return [event.dispatch_error for event in events if isinstance(event, ExtrinsicFailed)]


def upgrade_to_the_end(world: World, old: Runtime, new: Runtime) -> None:
    para = world.para
    world.step(authorize(new.code), small_transfer(1))

    # WRITE, SIGN, INCLUDE
    announcing, events = world.step(small_transfer(2), apply(new.code))
    assert announcing.commitments.new_validation_code == new.code
    assert [event for event in events if isinstance(event, ValidationFunctionStored)]
    assert failures(events) == []
    scheduled = world.chain.best.number
    assert world.code_hash() == old.code_hash
    assert world.stored(CODE) == old.code
    assert world.chain.validation_code_by_hash(new.code_hash) == new.code
    assert world.at_relay(relay_keys.upgrade_restriction_signal(PARA)) == b"\0"

    # WAIT: nobody upgrades in the meantime, and the old code runs.
    _, events = world.step(authorize(new.code), apply(new.code))
    prohibited = demo.parachain_system.fail(demo.parachain_system.Error.ProhibitedByPolkadot)
    assert failures(events) == [prohibited.encode()]

    # APPLY
    for _ in range(DELAY):
        due = world.chain.best.number >= scheduled + DELAY
        assert (world.at_relay(relay_keys.upgrade_go_ahead_signal(PARA)) == b"\x01") is due
        parent = world.chain.best.number
        collation, events = world.step()
        assert collation.descriptor.validation_code_hash == old.code_hash
        assert collation.commitments.new_validation_code is None
        if due:
            break
        assert world.code_hash() == old.code_hash
    assert due
    assert [event for event in events if isinstance(event, CodeUpdated | ValidationFunctionApplied)] == [
        CodeUpdated(),
        ValidationFunctionApplied(parent),
    ]
    assert RuntimeEnvironmentUpdated() in para.node.best_header.digest
    assert world.stored(CODE) == new.code
    assert world.code_hash() == new.code_hash
    assert world.at_relay(past_code_hash(PARA, scheduled + DELAY)) == old.code_hash
    assert world.at_relay(relay_keys.upgrade_go_ahead_signal(PARA)) is None

    # RUN: signed for the new version, executed and validated by it.
    collation, events = world.step(small_transfer(3))
    assert collation.descriptor.validation_code_hash == new.code_hash
    assert failures(events) == [TokenError(TokenError.Kind.BELOW_MINIMUM).encode()]
    now = LastRuntimeUpgradeInfo(2, demo.VERSION.spec_name)
    assert world.stored(demo.system.LastRuntimeUpgrade.key()) == now.encode()
    assert para.node.runtime_at(para.node.best_hash).code == new.code

    # The cooldown ends, and not before.
    while world.chain.best.number < scheduled + COOLDOWN:
        assert world.at_relay(relay_keys.upgrade_restriction_signal(PARA)) == b"\0"
        world.chain.build_block()
    assert world.at_relay(relay_keys.upgrade_restriction_signal(PARA)) is None
    world.step()


@pytest.mark.parametrize("carried", [False, True])
def test_an_upgrade_to_the_end(second: str, carried: bool) -> None:
    old, new = NativeRuntime("runtime.chains.demo"), NativeRuntime(second)
    world = World(old, carried=carried)
    world.para.codes[new.code_hash] = new
    upgrade_to_the_end(world, old, new)


def test_code_that_nobody_here_has(second: str) -> None:
    """A node cannot import the block that applies it, and says which code it lacks; validators who lack it abstain."""
    old, new = NativeRuntime("runtime.chains.demo"), NativeRuntime(second)
    world = World(old, carried=False)
    world.para.codes[new.code_hash] = new
    world.step(authorize(new.code), apply(new.code))
    for _ in range(DELAY):
        world.chain.build_block()
    del world.para.codes[new.code_hash]  # they voted for it, and have lost it since
    collation, outcome = world.offer()
    assert outcome.backed is not None  # the old code applied it
    world.chain.build_block([outcome.backed])
    world.chain.build_block()
    before = world.para.node.best_hash
    with pytest.raises(UnknownCode, match=f"0x{new.code_hash.hex()} is loaded"):
        world.para.import_included(collation.block, world.relay, collation.descriptor.relay_parent)
    assert world.para.node.best_hash == before
    world.para.codes[new.code_hash] = new
    world.para.import_included(collation.block, world.relay, collation.descriptor.relay_parent)
    _, outcome = world.offer()
    assert outcome.backed is not None
    del world.para.codes[new.code_hash]
    collation, outcome = world.offer()
    assert outcome.backed is None
    for _, verdict in outcome.verdicts:
        assert isinstance(verdict, Abstain)
        assert verdict.reason is AbstainReason.VALIDATION_CODE_UNAVAILABLE


def test_a_wasm_blob_is_taken_from_the_chains() -> None:
    """Nobody needs to be handed a blob: nodes have it under ``:code``, validators in relay state."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    blob = storage_echo(CallingStyle.RFC145)
    unchecked = demo.system.call_of(demo.system.authorize_upgrade_without_checks, blake2_256(blob))
    world.step(unchecked.encode(), apply(blob))
    for _ in range(DELAY):
        world.chain.build_block()
    world.step()
    loaded = world.para.node.runtime_at(world.para.node.best_hash)
    assert isinstance(loaded, WasmRuntime)
    validating = world.chain.validators[0].codes[blake2_256(blob)]
    assert isinstance(validating, PvfRuntime)
    assert world.code_hash() == loaded.code_hash == validating.code_hash
    assert loaded.code == validating.code == blob


def test_a_candidate_with_code_before_its_time_is_refused() -> None:
    """By the relay chain itself, when a parachain's runtime announces code all the same."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    collation, outcome = world.offer()
    state = RelayStateBuilder(world.chain.database, world.chain.best.state_root)

    def refusal(code: bytes) -> Criterion | None:
        commitments = replace(outcome.candidate.commitments, new_validation_code=code)
        violation = check_outputs(
            replace(outcome.candidate, commitments=commitments), state, collation.pvd.relay_parent_number
        )
        return None if violation is None else violation.criterion

    def block(number: int) -> CodeUpgrades:
        return CodeUpgrades(state, world.chain.config, number, world.chain.session_of(world.chain.best))

    def accept(code: bytes, number: int) -> None:
        session = world.chain.session_of(world.chain.best)
        for index, validator in enumerate(session.validators):
            vote = sign_pvf_check(validator, session, index, blake2_256(code), accept=True)
            block(number).include_pvf_check_statement(vote)

    assert refusal(b"new code 1") is None
    block(10).schedule_code_upgrade(PARA, b"new code 1")
    assert refusal(b"new code 2") is Criterion.PREMATURE_CODE_UPGRADE
    accept(b"new code 1", 11)
    block(10 + DELAY).process_scheduled_upgrade_changes()
    block(10 + DELAY).note_new_head(PARA, 10 + DELAY - 1)
    assert state.code_hash(PARA) == world.code_hash()  # the relay parent is too old to have seen the signal
    block(11 + DELAY).note_new_head(PARA, 10 + DELAY)
    assert state.code_hash(PARA) == blake2_256(b"new code 1")
    block(10 + COOLDOWN - 1).process_scheduled_upgrade_changes()
    assert refusal(b"new code 2") is Criterion.PREMATURE_CODE_UPGRADE
    block(10 + COOLDOWN).process_scheduled_upgrade_changes()
    assert refusal(b"new code 2") is None
    # What is no upgrade at all is passed over in silence, as upstream.
    for code in (b"8 bytes!", b"new code 1"):
        block(30).schedule_code_upgrade(PARA, code)
        assert refusal(b"new code 2") is None


JUNK = b"\0asm\1\0\0\0 and nothing that Wasm would have"


def announce(world: World, code: bytes) -> None:
    """With the votes open: it was included in the best block."""
    unchecked = demo.system.call_of(demo.system.authorize_upgrade_without_checks, blake2_256(code))
    _, events = world.step(unchecked.encode(), apply(code))
    assert [event for event in events if isinstance(event, ValidationFunctionStored)]
    assert pvfs_require_precheck(world.chain.state(world.chain.best)) == (blake2_256(code),)


def signal(world: World) -> UpgradeGoAhead | None:
    value = world.at_relay(relay_keys.upgrade_go_ahead_signal(PARA))
    return None if value is None else UpgradeGoAhead(value[0])


def test_code_that_does_not_compile_is_voted_down() -> None:
    """Whoever announced it goes on as before, and may announce better code after the cooldown."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    announce(world, JUNK)
    voted = world.chain.build_block().block
    # Of three validators all must accept, so one vote decides, and nothing is left for the others to decide.
    assert [vote.statement.accept for vote in voted.pvf_checks] == [False]
    assert signal(world) is UpgradeGoAhead.ABORT
    for key in (future_code_hash(PARA), code_by_hash(blake2_256(JUNK))):
        assert world.at_relay(key) is None
    _, events = world.step()
    assert [event for event in events if isinstance(event, ValidationFunctionDiscarded)]
    assert signal(world) is None
    for _ in range(COOLDOWN):
        world.chain.build_block()
    announce(world, storage_echo(CallingStyle.RFC145))
    assert all(vote.statement.accept for vote in world.chain.build_block().block.pvf_checks)
    assert signal(world) is None


def test_an_abort_that_the_parachain_never_sees() -> None:
    """A candidate that was pending when the vote ended takes the signal away, as on Polkadot, and the code that nobody
    wants stays in the way of the next."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    announce(world, JUNK)
    world.step()
    assert signal(world) is None
    for _ in range(COOLDOWN):
        world.chain.build_block()
    code = storage_echo(CallingStyle.RFC145)
    unchecked = demo.system.call_of(demo.system.authorize_upgrade_without_checks, blake2_256(code))
    _, events = world.step(unchecked.encode(), apply(code))
    overlapping = demo.parachain_system.fail(demo.parachain_system.Error.OverlappingUpgrades)
    assert failures(events) == [overlapping.encode()]


def test_code_that_no_validator_has_is_dropped_in_time(second: str) -> None:
    """Who does not have it does not vote. It is there for two sessions, and an upgrade for as long."""
    new = NativeRuntime(second)
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    world.step(authorize(new.code), apply(new.code))
    begun = world.chain.session_of(world.chain.best).index
    while signal(world) is None:
        assert world.at_relay(future_code_hash(PARA)) == new.code_hash
        assert world.chain.build_block().block.pvf_checks == ()
        assert world.chain.session_of(world.chain.best).index <= begun + 2
    assert signal(world) is UpgradeGoAhead.ABORT
    assert world.chain.session_of(world.chain.best).index == begun + world.chain.config.pvf_voting_ttl


@pytest.mark.parametrize("liars, aborted", [(0, False), (1, True)])
def test_a_vote_against_sound_code(liars: int, aborted: bool) -> None:
    """Of three validators all must agree: there is no dishonest one in three."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    code = storage_echo(CallingStyle.RFC145)
    announce(world, code)
    session = world.chain.session_of(world.chain.best)
    for index, validator in enumerate(session.validators[:liars]):
        lie = sign_pvf_check(validator, session, index, blake2_256(code), accept=False)
        world.chain.submit_pvf_check(lie)
    world.chain.build_block()
    assert (signal(world) is UpgradeGoAhead.ABORT) is aborted
    assert (world.at_relay(future_code_hash(PARA)) is None) is aborted


def frozen(name: str, directory: Path) -> WasmRuntime:
    """A runtime as it goes over the chains: one blob, compressed (hastily: the strongest level takes seconds)."""
    cache = CompileCache.default()
    try:
        blob = freeze(name, paths=[directory], cache=cache)
    except MissingVm as error:
        pytest.skip(str(error))
    packed = compress(blob.code, BlobKind.LEGACY, CODE_BLOB_BOMB_LIMIT)
    assert packed is not None
    return WasmRuntime(packed, cache=cache)


@pytest.mark.slow
@pytest.mark.parametrize("execution, carried", [("wasm", False), ("both", True)])
def test_a_frozen_blob_upgrades_itself(second: str, tmp_path: Path, execution: str, carried: bool) -> None:
    """The blob stands under ``:code``, travels in an extrinsic, and is what nodes and validators run afterwards.

    With both engines, the pallets of either version make every host call alike in the sandbox and in process.
    """
    names = "runtime.chains.demo", second
    engines: list[Runtime] = [frozen(name, tmp_path) for name in names]
    if execution == "both":
        engines = [
            DifferentialRuntime(NativeRuntime(name), blob) for name, blob in zip(names, engines, strict=True)
        ]
    old, new = engines
    world = World(old, carried=carried, max_code_size=8 * 1024 * 1024, cache=CompileCache.default())
    if execution == "both":
        world.para.codes[new.code_hash] = new  # in process it runs for who has its source
    upgrade_to_the_end(world, old, new)
    loaded = world.para.node.runtime_at(world.para.node.best_hash)
    validating = world.chain.validators[0].codes[new.code_hash]
    if execution == "both":
        assert loaded is validating is new
        assert [engine.divergence for engine in engines if isinstance(engine, DifferentialRuntime)] == [
            None
        ] * 2
    else:
        assert isinstance(loaded, WasmRuntime)
        assert isinstance(validating, PvfRuntime)


@pytest.mark.slow
def test_a_blob_that_is_larger_than_the_relay_chain_takes(second: str, tmp_path: Path) -> None:
    """The parachain's own runtime refuses it, from what it reads of the relay chain's configuration."""
    world = World(NativeRuntime("runtime.chains.demo"), carried=False)
    blob = frozen(second, tmp_path)
    assert len(blob.code) > MAX_CODE_SIZE
    _, events = world.step(authorize(blob.code), apply(blob.code))
    assert failures(events) == [demo.parachain_system.fail(demo.parachain_system.Error.TooBig).encode()]
    assert world.at_relay(relay_keys.upgrade_restriction_signal(PARA)) is None
