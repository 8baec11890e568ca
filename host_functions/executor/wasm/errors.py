"""How a Wasm guest, or its code, can fail.

::

    PileusError
    ├─ InvalidCode             the blob cannot be run at all: refused before a single instruction
    └─ SandboxError            the engine stopped the guest
       ├─ GuestPanic             the guest panicked, and said why                        .message
       ├─ Trap                   the guest did what Wasm, or a host function, forbids    .reason
       │  └─ StackExhausted        it called too deep
       ├─ OutOfMemory            the host allocator cannot serve the guest
       │  └─ AllocatorError        the guest broke the heap it shares with the host
       ├─ OutOfFuel              the guest took more steps than it may
       └─ DeadlineExceeded       the guest ran longer than it may

All of them are the guest's fault: a validator that meets one calls the candidate invalid. So it does with
`DeadlineExceeded`, which depends on the machine: approval checkers are given six times as long as backers, so that a
candidate that was backed rarely meets it [polkadot-pvf].
"""

from __future__ import annotations

from host_functions.errors import DeadlineExceeded, PileusError, SandboxError

__all__ = [
    "AllocatorError",
    "DeadlineExceeded",
    "InvalidCode",
    "OutOfFuel",
    "OutOfMemory",
    "StackExhausted",
    "Trap",
]


class InvalidCode(PileusError):
    """Code that this executor refuses to run: not Wasm, or Wasm that no Substrate host would link."""


class Trap(SandboxError):
    """Execution stopped without a panic message: a Wasm trap, or a pointer that points outside memory."""

    def __init__(self, entry_point: str, reason: str) -> None:
        super().__init__(f"{entry_point}: {reason}")
        self.entry_point = entry_point
        self.reason = reason


class StackExhausted(Trap):
    """Calls nested deeper than the stack holds, or than the guest's Python allows."""


class OutOfFuel(SandboxError):
    """A metered call took more steps than it was given. The number is the same on every machine."""

    def __init__(self, entry_point: str, fuel: int) -> None:
        super().__init__(f"{entry_point}: stopped after {fuel} units of fuel")
        self.entry_point = entry_point
        self.fuel = fuel


class OutOfMemory(SandboxError):
    """The heap is full, or one request was larger than any allocation may be."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AllocatorError(OutOfMemory):
    """The heap is inconsistent: a pointer freed twice, a header overwritten, a call after an error."""
