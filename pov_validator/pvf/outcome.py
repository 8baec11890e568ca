"""From the last message of a job to what the caller gets: the result, or the error a runtime in this process raises."""

from __future__ import annotations

from typing import Final

from host_functions.contexts.base import HostContext
from host_functions.errors import DeadlineExceeded, GuestPanic, MissingHostFunction, SandboxError
from host_functions.interfaces import logging
from pov_validator.pvf.errors import PossiblyInvalid
from pov_validator.pvf.protocol import Returned, Stop, Stopped

__all__ = ["REASONS", "conclude"]

REASONS: Final = frozenset(
    (
        Stop.PANIC,
        Stop.TRAP,
        Stop.OUT_OF_MEMORY,
        Stop.ALLOCATOR,
        Stop.DEADLINE,
        Stop.MISSING_FUNCTION,
        Stop.CONSTRUCTION,
        Stop.OTHER,
    )
)
"""Why a guest can stop by itself."""


class HostFunctionRefused(SandboxError):
    """A host function stopped the guest, for a reason of its own."""


def conclude(message: Returned | Stopped, entry_point: str, context: HostContext, seconds: float) -> bytes:
    """The result of the job, its log lines told to ``context``. Raises `SandboxError`, `MissingHostFunction`."""
    log = context.resolve(logging.log)
    for line in message.lines:
        log(line.level, line.target.encode(), line.message.encode())
    if isinstance(message, Returned):
        return message.result
    raise _error_of(message, entry_point, context, seconds)


def _error_of(message: Stopped, entry_point: str, context: HostContext, seconds: float) -> Exception:
    # Late: the engine is loaded with them, which is otherwise the workers' business alone.
    from host_functions.executor.wasm.errors import AllocatorError, OutOfMemory, Trap

    match message.kind:
        case Stop.PANIC:
            return GuestPanic(entry_point, message.detail)
        case Stop.TRAP:
            return Trap(entry_point, message.detail)
        case Stop.OUT_OF_MEMORY:
            return OutOfMemory(message.detail)
        case Stop.ALLOCATOR:
            return AllocatorError(message.detail)
        case Stop.DEADLINE:
            return DeadlineExceeded(entry_point, seconds)
        case Stop.MISSING_FUNCTION:
            return MissingHostFunction(message.detail, str(context))
        case Stop.CONSTRUCTION:
            return PossiblyInvalid(f"no instance of the code can be made: {message.detail}")
        case _:
            return HostFunctionRefused(f"{entry_point}: {message.detail}")
