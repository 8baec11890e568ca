"""Where a whole network takes relay state from: the columns of the matrix.

Each column is a network of its own, in which collators make the candidates that its validators can judge: with the
proof of their relay reads in the PoV under `carried` and `fallback`, without under `own`.

`naive` is the proposal read carelessly, and here as a counterexample: "its own state" is the state of whatever block
the validator has as its best, and what is not found there is absent. Nobody should build it; without it the flags of
the matrix would never be seen to work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from host_functions.errors import PileusError
from host_functions.relay_state import RelayNodeState, RelayReads
from host_functions.state_machine.backend import FullBackend
from pov_validator import Abstain, Carried, Fallback, Invalid, OwnState, RelayStateSource
from pov_validator.relay_source import WatchedReads

__all__ = ["Answerer", "BestRoot", "NaiveOwnState", "source_for"]

BestRoot: TypeAlias = Callable[[], bytes]
"""Root of the state after a node's best block, 32 bytes."""


class Answerer(Enum):
    """Who answers `read_relay_state` when validators and full nodes judge."""

    OWN = "own"
    CARRIED = "carried"
    FALLBACK = "fallback"
    NAIVE = "naive"

    @property
    def carries(self) -> bool:
        """Whether the PoV carries the proof of its relay reads."""
        return self in (Answerer.CARRIED, Answerer.FALLBACK)


@dataclass(frozen=True, slots=True)
class NaiveOwnState:
    """The validator's best state, whatever the candidate's relay parent; what is missing is absent."""

    node: RelayNodeState
    best_root: BestRoot

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """Reads somewhere else than at `root`."""
        del root, block_data
        best = self.best_root()
        return WatchedReads(lambda: _Guessing(self.node.state_at(best), best, FullBackend))

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        return OwnState(self.node).verdict_on(failure)


class _Guessing(RelayReads):
    """Reads that take a missing node for an absent key."""

    def read(self, key: bytes) -> bytes | None:
        try:
            return super().read(key)
        except PileusError:
            return None


def source_for(answerer: Answerer, node: RelayNodeState, best_root: BestRoot) -> RelayStateSource:
    """The source of a judge whose relay chain node is `node`."""
    if answerer is Answerer.CARRIED:
        return Carried()
    if answerer is Answerer.FALLBACK:
        return Fallback(node)
    return OwnState(node) if answerer is Answerer.OWN else NaiveOwnState(node, best_root)
