"""Errors in the use of the state machine.

What the environment cannot answer is a `HostError` of `host_functions.errors`.
"""

from __future__ import annotations

from host_functions.errors import PileusError

__all__ = ["NoOpenTransaction", "OpenHostTransaction"]


class NoOpenTransaction(PileusError):
    """A transaction was to be closed and none is open at this level; polkadot-sdk traps [sp-io]."""

    def __init__(self, attempt: str) -> None:
        super().__init__(f"no open transaction that can be {attempt}")
        self.attempt = attempt
        """``committed`` or ``rolled back``."""


class OpenHostTransaction(PileusError):
    """An execution was to be ended while the host had not decided over part of its changes."""

    def __init__(self, depth: int) -> None:
        super().__init__(
            f"{depth} transactions of the host are still open: commit them or roll them back first"
        )
        self.depth = depth
