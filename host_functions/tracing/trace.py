"""The observer that keeps what it is told, up to a limit."""

from __future__ import annotations

from typing import Final

from host_functions.tracing.call import HostCall

__all__ = ["MAX_CALLS", "Trace"]

MAX_CALLS: Final = 100_000
"""Calls that a trace keeps: several times what the largest blocks of live networks make."""


class Trace:
    """The host calls of one execution, as they began."""

    def __init__(self, label: str, *, limit: int = MAX_CALLS) -> None:
        """``label`` names the execution to people. At most ``limit`` calls are kept, the first ones to end."""
        self.label = label
        self.dropped = 0
        """Calls that came after the limit."""
        self._limit = limit
        self._calls: list[HostCall] = []

    def __call__(self, call: HostCall) -> None:
        """See `host_functions.tracing.HostCallObserver`."""
        if len(self._calls) < self._limit:
            self._calls.append(call)
        else:
            self.dropped += 1

    @property
    def calls(self) -> tuple[HostCall, ...]:
        """In the order in which they began."""
        return tuple(sorted(self._calls, key=lambda call: call.position))

    def of_the_runtime(self) -> tuple[HostCall, ...]:
        """Without the calls that were made while another one was being answered."""
        return tuple(call for call in self.calls if call.depth == 0)

    def __len__(self) -> int:
        return len(self._calls)
