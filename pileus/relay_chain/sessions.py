"""Sessions: who validates when, and for how long that is known.

Follows the session pallet and the ``session_info`` module of the parachains runtime [polkadot-session-info]: a change
of the validator set is announced in one session and takes effect two sessions later, and the sets of the last
``DISPUTE_WINDOW`` sessions are kept, because a dispute may be about any of them.

Here a session is a BABE epoch, as on Polkadot. Not modelled: that the announcement is part of each fork's state (the
model keeps it beside the blocks), and the stake behind a validator.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pileus.relay_chain.backing import Validator

__all__ = [
    "DISPUTE_WINDOW",
    "SESSION_DELAY",
    "SessionInfo",
    "Sessions",
    "byzantine_threshold",
    "supermajority_threshold",
]

DISPUTE_WINDOW: Final = 6
"""Sessions whose candidates can be disputed, the current one included: a day on Polkadot [polkadot-node-primitives]."""
SESSION_DELAY: Final = 2
"""Sessions from the announcement of a validator set to its first session."""


def byzantine_threshold(validators: int) -> int:
    """How many of the validators may be dishonest: f of 3f + 1."""
    return max(0, validators - 1) // 3


def supermajority_threshold(validators: int) -> int:
    """How many votes outweigh all dishonest ones: two thirds, and one."""
    return validators - byzantine_threshold(validators)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The validators of one session."""

    index: int
    validators: tuple[Validator, ...]
    """A validator's index in everything that is signed or encoded is its position here."""

    def position(self, validator: Validator) -> int | None:
        """The index of a validator, None if it does not validate in this session."""
        for position, member in enumerate(self.validators):
            if member is validator:
                return position
        return None


class Sessions:
    """The validator sets of all sessions, past and announced."""

    def __init__(self, validators: Sequence[Validator]) -> None:
        self._starts = [0]
        self._sets = [tuple(validators)]

    def info(self, session: int) -> SessionInfo:
        """The validators of a session, as the chain itself knows them."""
        return SessionInfo(session, self._sets[bisect_right(self._starts, session) - 1])

    def known(self, session: int, current: int) -> SessionInfo | None:
        """The same for who asks in session `current`: None outside the window in which disputes are possible."""
        return self.info(session) if current - DISPUTE_WINDOW < session <= current else None

    def announce(self, current: int, validators: Sequence[Validator]) -> int:
        """Announce a validator set in session `current`. Returns the session from which on it validates.

        A later announcement for the same session replaces the earlier one.
        """
        session = current + SESSION_DELAY
        if self._starts[-1] >= session:
            self._starts.pop()
            self._sets.pop()
        self._starts.append(session)
        self._sets.append(tuple(validators))
        return session
