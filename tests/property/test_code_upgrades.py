"""Upgrades on the relay chain, in any order of what parachains announce and validators think of it."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pileus.keyring import Keypair
from pileus.relay_chain import ParaGenesis, RelayChainConfig, RelayNode, StateDatabase, Validator
from pileus.relay_chain.genesis import genesis_entries, host_configuration
from pileus.relay_chain.prechecking import sign_pvf_check
from pileus.relay_chain.pvf_checks import PvfCheckRefused, active_vote, pvfs_require_precheck
from pileus.relay_chain.sessions import SessionInfo, supermajority_threshold
from pileus.relay_chain.storage import RelayStateBuilder
from pileus.relay_chain.upgrades import (
    CodeUpgrades,
    can_upgrade_validation_code,
    code_by_hash,
    future_code_hash,
    future_code_upgrades,
)
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import UpgradeGoAhead
from runtime.primitives.scale import u32

DELAY, COOLDOWN, TTL = 3, 7, 2
PARAS = (2000, 2001, 2002)
CODES = [b"validation code %d" % number for number in range(4)]
KEYS = [Keypair.from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie", "Dave")]

paras = st.sampled_from(PARAS)
codes = st.sampled_from(CODES)


class Upgrades(RuleBasedStateMachine):
    """The state of a relay chain, and beside it what each parachain runs and when it may change that."""

    @initialize()
    def begin(self) -> None:
        host = replace(
            host_configuration(), validation_upgrade_delay=DELAY, validation_upgrade_cooldown=COOLDOWN
        )
        self.config = RelayChainConfig(host=host, pvf_voting_ttl=TTL)
        database = StateDatabase()
        self.validators = tuple(
            Validator(index, f"v{index}", key, RelayNode(database), {}) for index, key in enumerate(KEYS)
        )
        genesis = [ParaGenesis(para, b"head", blake2_256(b"genesis")) for para in PARAS]
        root = database.commit(database.layout.empty_root, genesis_entries(self.config, [], genesis))
        self.state = RelayStateBuilder(database, root)
        self.number = self.session = 1
        self.running = {para: blake2_256(b"genesis") for para in PARAS}
        self.announced: dict[int, int] = {}
        """Block of the last announcement, by para."""
        self.known: set[int] = set()
        """Paras whose announced code was accepted already, so that nobody votes on it."""
        self.begun: dict[bytes, int] = {}
        """Session in which a vote began, by code hash."""

    def block(self) -> CodeUpgrades:
        session = SessionInfo(self.session, self.validators)
        return CodeUpgrades(self.state, self.config, self.number, session)

    def at(self, key: bytes) -> bytes | None:
        return self.state.get(key)

    @rule(new_session=st.booleans())
    def next_block(self, new_session: bool) -> None:
        self.number += 1
        self.session += new_session
        block = self.block()
        block.process_scheduled_upgrade_changes()
        if new_session:
            block.groom_ongoing_pvf_votes()

    @rule(para=paras, code=codes, age=st.integers(0, 3))
    def announce(self, para: int, code: bytes, age: int) -> None:
        """As `include`, and the candidate brings code."""
        if not can_upgrade_validation_code(self.state, para):
            return  # the relay chain refuses such a candidate
        known = self.at(code_by_hash(blake2_256(code))) is not None
        before = pvfs_require_precheck(self.state)
        self.block().schedule_code_upgrade(para, code)
        begins = False
        if blake2_256(code) == self.running[para]:
            assert can_upgrade_validation_code(self.state, para)
        else:
            self.announced[para] = self.number
            (self.known.add if known and not before.count(blake2_256(code)) else self.known.discard)(para)
            begins = not known and blake2_256(code) not in before
        assert (pvfs_require_precheck(self.state) != before) is begins
        if begins:
            self.begun[blake2_256(code)] = self.session
        self.include(para, age)

    @rule(index=st.integers(0, 3), code=codes, accept=st.booleans())
    def vote(self, index: int, code: bytes, accept: bool) -> None:
        subject = blake2_256(code)
        session = SessionInfo(self.session, self.validators)
        signed = sign_pvf_check(self.validators[index], session, index, subject, accept=accept)
        before = active_vote(self.state, subject)
        try:
            self.block().include_pvf_check_statement(signed)
        except PvfCheckRefused:
            assert before is None or before.has_vote(index)
            return
        assert before is not None
        if active_vote(self.state, subject) is None:  # decided
            votes = before.votes_accept if accept else before.votes_reject
            needed = supermajority_threshold(4) if accept else 4 - supermajority_threshold(4) + 1
            assert sum(votes) + 1 == needed
            for cause in before.causes:
                dropped = self.at(future_code_hash(cause.para_id)) is None
                assert dropped is not accept

    @rule(code=codes, accepting=st.sampled_from([4, 4, 4, 3, 2, 0]))
    def everybody_votes(self, code: bytes, accepting: int) -> None:
        for index in range(4):
            self.vote(index, code, index < accepting)

    @rule(para=paras, age=st.integers(0, 3))
    def include(self, para: int, age: int) -> None:
        """A candidate whose relay parent is so many blocks old."""
        context = max(self.number - 1 - age, 0)
        due = self.at(future_code_upgrades(para))
        future = self.at(future_code_hash(para))
        self.block().note_new_head(para, context)
        if due is not None and u32.decode(due) <= context:
            assert future is not None
            assert u32.decode(due) >= self.announced[para] + DELAY
            self.running[para] = future
            assert self.at(future_code_hash(para)) is None
        elif due is None:
            assert self.at(relay_keys.upgrade_go_ahead_signal(para)) is None

    @invariant()
    def every_scheduled_code_is_voted_on_or_has_its_block(self) -> None:
        going_on = {
            cause.para_id: subject
            for subject in pvfs_require_precheck(self.state)
            for cause in (active_vote(self.state, subject) or self.fail()).causes
        }
        for para in PARAS:
            future = self.at(future_code_hash(para))
            due = self.at(future_code_upgrades(para))
            signal = self.at(relay_keys.upgrade_go_ahead_signal(para))
            assert self.state.code_hash(para) == self.running[para]
            assert (future is not None) is ((para in going_on) != (due is not None))
            if future is not None:
                assert self.at(code_by_hash(future)) is not None
                assert going_on.get(para, future) == future
                assert not can_upgrade_validation_code(self.state, para)
            if signal == bytes([UpgradeGoAhead.GO_AHEAD]):
                assert due is not None
                assert u32.decode(due) <= self.number
            elif signal == bytes([UpgradeGoAhead.ABORT]):
                assert future is None or para in self.known  # see below
            elif due is not None:
                assert u32.decode(due) > self.number

    def fail(self) -> None:
        raise AssertionError("a vote on the list is not there")

    @invariant()
    def no_vote_outlives_its_sessions(self) -> None:
        for subject in pvfs_require_precheck(self.state):
            assert self.session - self.begun[subject] < TTL

    @invariant()
    def a_restriction_lasts_exactly_as_long_as_the_cooldown(self) -> None:
        for para in PARAS:
            restricted = self.at(relay_keys.upgrade_restriction_signal(para)) is not None
            announced = self.announced.get(para)
            assert restricted is (announced is not None and self.number < announced + COOLDOWN)


TestUpgrades = Upgrades.TestCase


def test_an_abort_can_outlive_the_next_announcement() -> None:
    """Found by the machine above, and so upstream: code that was accepted before gets its block at once, and then the
    candidate that brought it does not take the last abort signal away. If that candidate's chain sees the signal
    once more, it drops the new code, and later is told to apply what it no longer has.
    """
    world = Upgrades()
    world.begin()
    world.announce(2001, CODES[0], 0)
    world.everybody_votes(CODES[0], 4)
    world.announce(2000, CODES[1], 0)
    world.everybody_votes(CODES[1], 0)
    for _ in range(COOLDOWN):
        world.next_block(False)
    abort = bytes([UpgradeGoAhead.ABORT])
    assert world.at(relay_keys.upgrade_go_ahead_signal(2000)) == abort
    world.announce(2000, CODES[0], 0)
    assert world.at(future_code_hash(2000)) == blake2_256(CODES[0])
    assert world.at(relay_keys.upgrade_go_ahead_signal(2000)) == abort
    for _ in range(DELAY):
        world.next_block(False)
    assert world.at(relay_keys.upgrade_go_ahead_signal(2000)) == bytes([UpgradeGoAhead.GO_AHEAD])
    world.every_scheduled_code_is_voted_on_or_has_its_block()
