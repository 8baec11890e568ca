"""Code upgrades of parachains on the relay chain model: scheduled, signalled, applied.

Follows ``polkadot_runtime_parachains::paras`` [polkadot-primitives], name by name: a candidate with new code schedules
it when it is included; ``validation_upgrade_delay`` blocks later the relay chain gives `UpgradeGoAhead.GO_AHEAD`; the
first candidate included whose relay parent has that number or a higher one makes the code the para's. Until
``validation_upgrade_cooldown`` blocks after it was scheduled there is an `UpgradeRestriction`.

Not modelled: the validators' vote on new code (``PvfCheck``: it counts as accepted at once, so nothing is aborted),
pruning of past code, fees and deposits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    "apply_code_upgrade",
    "can_upgrade_validation_code",
    "code_by_hash",
    "future_code_hash",
    "past_code_hash",
    "process_scheduled_upgrade_changes",
    "schedule_code_upgrade",
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


def schedule_code_upgrade(state: RelayStateBuilder, para_id: int, code: bytes, number: int) -> None:
    """A candidate with new code was included in block ``number``."""
    limits = state.host_configuration()
    code_hash = blake2_256(code)
    if not MIN_CODE_SIZE <= len(code) <= limits.max_code_size or code_hash == state.code_hash(para_id):
        return
    state.set(future_code_hash(para_id), code_hash)
    state.set(
        relay_keys.upgrade_restriction_signal(para_id), upgrade_restriction.encode(UpgradeRestriction.PRESENT)
    )
    _schedule(state, UPGRADE_COOLDOWNS, para_id, number + limits.validation_upgrade_cooldown)
    state.set(code_by_hash(code_hash), byte_vec.encode(code))
    expected_at = number + limits.validation_upgrade_delay
    state.set(future_code_upgrades(para_id), u32.encode(expected_at))
    _schedule(state, UPCOMING_UPGRADES, para_id, expected_at)


def process_scheduled_upgrade_changes(state: RelayStateBuilder, number: int) -> None:
    """At the start of block ``number``: signal what is due, and end cooldowns."""
    for para_id in _due(state, UPCOMING_UPGRADES, number):
        signal = upgrade_go_ahead.encode(UpgradeGoAhead.GO_AHEAD)
        state.set(relay_keys.upgrade_go_ahead_signal(para_id), signal)
    for para_id in _due(state, UPGRADE_COOLDOWNS, number):
        state.set(relay_keys.upgrade_restriction_signal(para_id), None)


def apply_code_upgrade(state: RelayStateBuilder, para_id: int, context: int, number: int) -> None:
    """A candidate on relay parent number ``context`` was included in block ``number``: it has applied what was due.

    The part of ``note_new_head`` that is about code.
    """
    scheduled = state.get(future_code_upgrades(para_id))
    if scheduled is None or u32.decode(scheduled) > context:
        return
    expected_at = u32.decode(scheduled)
    state.set(past_code_hash(para_id, expected_at), state.code_hash(para_id))
    past = state.get(past_code_meta(para_id))
    meta = ParaPastCodeMeta() if past is None else ParaPastCodeMeta.decode(past)
    times = (*meta.upgrade_times, ReplacementTimes(expected_at, number))
    state.set(past_code_meta(para_id), ParaPastCodeMeta(times, meta.last_pruned).encode())
    state.set(relay_keys.current_code_hash(para_id), state.get(future_code_hash(para_id)))
    for key in (
        future_code_hash(para_id),
        future_code_upgrades(para_id),
        relay_keys.upgrade_go_ahead_signal(para_id),
    ):
        state.set(key, None)


def _schedule(state: RelayStateBuilder, key: bytes, para_id: int, at: int) -> None:
    entries = (*_SCHEDULE.decode(state.get(key) or b"\0"), (para_id, at))
    state.set(key, _SCHEDULE.encode(tuple(sorted(entries, key=lambda entry: entry[1]))))


def _due(state: RelayStateBuilder, key: bytes, number: int) -> tuple[int, ...]:
    """Take the paras whose block has come off a schedule."""
    value = state.get(key)
    entries = () if value is None else _SCHEDULE.decode(value)
    due = tuple(para_id for para_id, at in entries if at <= number)
    if due:
        left = entries[len(due) :]
        state.set(key, _SCHEDULE.encode(left) if left else None)
    return due
