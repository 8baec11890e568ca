"""Code upgrades of parachains on the relay chain model: scheduled, signalled, applied.

Follows the paras pallet [polkadot-paras], name by name: a candidate with new code schedules it when it is included, and
the validators vote on it (`pileus.relay_chain.pvf_checks`); ``validation_upgrade_delay`` blocks after the inclusion the
relay chain gives `UpgradeGoAhead.GO_AHEAD`; the first candidate included whose relay parent has that number or a higher
one makes the code the para's. Code that is rejected, or not accepted in ``pvf_voting_ttl`` sessions, is dropped with
`UpgradeGoAhead.ABORT`. For ``validation_upgrade_cooldown`` blocks after the inclusion there is an `UpgradeRestriction`,
whatever became of the code.

As upstream, the next candidate that is included takes the abort signal away: a parachain whose candidate was pending
when the vote ended never sees it, and goes on waiting. A candidate that brings code which was accepted before does not
take it away (``tests/property/test_code_upgrades.py``).

Not modelled: pruning of past code, references to code from more than one para, fees and deposits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pileus.relay_chain.genesis import RelayChainConfig
from pileus.relay_chain.pvf_checks import (
    PvfCheckActiveVoteState,
    PvfCheckRefused,
    SignedPvfCheck,
    Upgrade,
    active_vote,
    check_statement,
    put_active_vote,
    pvfs_require_precheck,
)
from pileus.relay_chain.sessions import SessionInfo
from pileus.relay_chain.storage import RelayState, RelayStateBuilder
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.parachain import (
    UpgradeGoAhead,
    UpgradeRestriction,
    upgrade_go_ahead,
    upgrade_restriction,
)
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import U32, Struct, byte_vec, tuple_of, u32, vec

__all__ = [
    "CodeUpgrades",
    "can_upgrade_validation_code",
    "code_by_hash",
    "future_code_hash",
    "past_code_hash",
]

MIN_CODE_SIZE: Final = 9
"""Bytes; shorter code is ignored."""

UPCOMING_UPGRADES: Final = storage_prefix("Paras", "UpcomingUpgrades")
UPGRADE_COOLDOWNS: Final = storage_prefix("Paras", "UpgradeCooldowns")
_SCHEDULE = vec(tuple_of(u32, u32))
"""Para and relay block number, in order of the number."""


@dataclass(frozen=True, slots=True)
class ReplacementTimes(Struct):
    """When code was replaced: the block from which on it might be, and the one that did it."""

    expected_at: U32
    activated_at: U32


@dataclass(frozen=True, slots=True)
class ParaPastCodeMeta(Struct):
    """``Paras::PastCodeMeta``: the replacements, oldest first."""

    upgrade_times: tuple[ReplacementTimes, ...] = ()
    last_pruned: U32 | None = None


def future_code_hash(para_id: int) -> bytes:
    """Key of ``Paras::FutureCodeHash``."""
    return storage_prefix("Paras", "FutureCodeHash") + twox_64_concat(u32.encode(para_id))


def future_code_upgrades(para_id: int) -> bytes:
    """Key of ``Paras::FutureCodeUpgrades``: the relay block number from which on the code may be applied."""
    return storage_prefix("Paras", "FutureCodeUpgrades") + twox_64_concat(u32.encode(para_id))


def past_code_meta(para_id: int) -> bytes:
    """Key of ``Paras::PastCodeMeta``."""
    return storage_prefix("Paras", "PastCodeMeta") + twox_64_concat(u32.encode(para_id))


def past_code_hash(para_id: int, at: int) -> bytes:
    """Key of ``Paras::PastCodeHash``: the code that an upgrade expected ``at`` a block replaced."""
    return storage_prefix("Paras", "PastCodeHash") + twox_64_concat(u32.encode(para_id) + u32.encode(at))


def code_by_hash(code_hash: bytes) -> bytes:
    """Key of ``Paras::CodeByHash``: the code itself. The model has that of upgrades, not of genesis."""
    return storage_prefix("Paras", "CodeByHash") + code_hash


def can_upgrade_validation_code(state: RelayState, para_id: int) -> bool:
    """Whether a candidate may bring new code: none is scheduled, and the cooldown is over."""
    scheduled = state.get(future_code_hash(para_id))
    return scheduled is None and state.get(relay_keys.upgrade_restriction_signal(para_id)) is None


class CodeUpgrades:
    """What one relay block does about the code of parachains, on the state it builds."""

    def __init__(
        self, state: RelayStateBuilder, config: RelayChainConfig, number: int, session: SessionInfo
    ) -> None:
        """`number` and `session` are the block's own."""
        self._state = state
        self._config = config
        self._number = number
        self._session = session

    # At the start of the block.

    def process_scheduled_upgrade_changes(self) -> None:
        """Signal what is due, and end cooldowns."""
        for para_id in self._due(UPCOMING_UPGRADES):
            self._signal(para_id, UpgradeGoAhead.GO_AHEAD)
        for para_id in self._due(UPGRADE_COOLDOWNS):
            self._state.set(relay_keys.upgrade_restriction_signal(para_id), None)

    def groom_ongoing_pvf_votes(self) -> None:
        """A session begins: its validators vote anew, and what has been voted on for too long is rejected."""
        for code_hash in pvfs_require_precheck(self._state):
            vote = self._vote(code_hash).renewed(len(self._session.validators))
            if vote.age < self._config.pvf_voting_ttl:
                put_active_vote(self._state, code_hash, vote)
            else:
                self._end_vote(code_hash, vote, accepted=False)

    # When a candidate is included.

    def schedule_code_upgrade(self, para_id: int, code: bytes) -> None:
        """It brought new code."""
        state, limits = self._state, self._state.host_configuration()
        code_hash = blake2_256(code)
        if not MIN_CODE_SIZE <= len(code) <= limits.max_code_size or code_hash == state.code_hash(para_id):
            return
        state.set(future_code_hash(para_id), code_hash)
        signal = upgrade_restriction.encode(UpgradeRestriction.PRESENT)
        state.set(relay_keys.upgrade_restriction_signal(para_id), signal)
        self._schedule(UPGRADE_COOLDOWNS, para_id, self._number + limits.validation_upgrade_cooldown)
        self._kick_off_pvf_check(Upgrade(para_id, self._number), code_hash, code)

    def note_new_head(self, para_id: int, context: int) -> None:
        """It was built on relay parent number `context`: it has applied what was due there.

        The part of ``note_new_head`` that is about code.
        """
        state = self._state
        scheduled = state.get(future_code_upgrades(para_id))
        if scheduled is None:
            state.set(relay_keys.upgrade_go_ahead_signal(para_id), None)  # it was an abort, if anything
            return
        if u32.decode(scheduled) > context:
            return
        expected_at = u32.decode(scheduled)
        state.set(past_code_hash(para_id, expected_at), state.code_hash(para_id))
        past = state.get(past_code_meta(para_id))
        meta = ParaPastCodeMeta() if past is None else ParaPastCodeMeta.decode(past)
        times = (*meta.upgrade_times, ReplacementTimes(expected_at, self._number))
        state.set(past_code_meta(para_id), ParaPastCodeMeta(times, meta.last_pruned).encode())
        state.set(relay_keys.current_code_hash(para_id), state.get(future_code_hash(para_id)))
        for key in (
            future_code_hash(para_id),
            future_code_upgrades(para_id),
            relay_keys.upgrade_go_ahead_signal(para_id),
        ):
            state.set(key, None)

    # Votes.

    def include_pvf_check_statement(self, signed: SignedPvfCheck) -> None:
        """Count a vote, and do what follows if it decides. Raises `PvfCheckRefused`."""
        keys = [validator.keypair.public_key for validator in self._session.validators]
        vote = check_statement(self._state, signed, self._session.index, keys).with_vote(signed.statement)
        accepted = vote.quorum()
        if accepted is None:
            put_active_vote(self._state, signed.statement.subject, vote)
        else:
            self._end_vote(signed.statement.subject, vote, accepted=accepted)

    def include_pvf_check_statements(self, votes: Sequence[SignedPvfCheck]) -> tuple[SignedPvfCheck, ...]:
        """The same for several; those that count. What comes after a decision does not."""
        counted: list[SignedPvfCheck] = []
        for vote in votes:
            try:
                self.include_pvf_check_statement(vote)
            except PvfCheckRefused:
                continue
            counted.append(vote)
        return tuple(counted)

    def _kick_off_pvf_check(self, cause: Upgrade, code_hash: bytes, code: bytes) -> None:
        """Start a vote, or join the one that is going on. Code that is there without a vote has been accepted."""
        vote = active_vote(self._state, code_hash)
        if vote is not None:
            put_active_vote(self._state, code_hash, replace(vote, causes=(*vote.causes, cause)))
        elif self._state.get(code_by_hash(code_hash)) is not None:
            self._proceed_with_upgrade(cause)
        else:
            vote = PvfCheckActiveVoteState.new(self._number, len(self._session.validators), cause)
            put_active_vote(self._state, code_hash, vote)
            self._state.set(code_by_hash(code_hash), byte_vec.encode(code))

    def _vote(self, code_hash: bytes) -> PvfCheckActiveVoteState:
        vote = active_vote(self._state, code_hash)
        assert vote is not None  # noqa: S101  (it is on the list)
        return vote

    def _end_vote(self, code_hash: bytes, vote: PvfCheckActiveVoteState, *, accepted: bool) -> None:
        put_active_vote(self._state, code_hash, None)
        for cause in vote.causes:
            if accepted:
                self._proceed_with_upgrade(cause)
            else:
                self._signal(cause.para_id, UpgradeGoAhead.ABORT)
                self._state.set(future_code_hash(cause.para_id), None)
        if not accepted:
            self._state.set(code_by_hash(code_hash), None)

    def _proceed_with_upgrade(self, cause: Upgrade) -> None:
        expected_at = max(
            cause.included_at + self._state.host_configuration().validation_upgrade_delay,
            self._number + self._config.minimum_validation_upgrade_delay,
        )
        self._state.set(future_code_upgrades(cause.para_id), u32.encode(expected_at))
        self._schedule(UPCOMING_UPGRADES, cause.para_id, expected_at)

    # Schedules.

    def _signal(self, para_id: int, signal: UpgradeGoAhead) -> None:
        self._state.set(relay_keys.upgrade_go_ahead_signal(para_id), upgrade_go_ahead.encode(signal))

    def _schedule(self, key: bytes, para_id: int, at: int) -> None:
        entries = (*_SCHEDULE.decode(self._state.get(key) or b"\0"), (para_id, at))
        self._state.set(key, _SCHEDULE.encode(tuple(sorted(entries, key=lambda entry: entry[1]))))

    def _due(self, key: bytes) -> tuple[int, ...]:
        """Take the paras whose block has come off a schedule."""
        value = self._state.get(key)
        entries = () if value is None else _SCHEDULE.decode(value)
        due = tuple(para_id for para_id, at in entries if at <= self._number)
        if due:
            left = entries[len(due) :]
            self._state.set(key, _SCHEDULE.encode(left) if left else None)
        return due
