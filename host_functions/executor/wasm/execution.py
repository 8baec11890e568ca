"""One call into a guest while it runs: what its host functions need to know.

Executions nest, because a host function may run another guest (``misc::runtime_version`` does), and several
threads may run the same blob; `current_execution` is therefore local to the task, and restored on return.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from host_functions.contexts.base import HostContext
from host_functions.errors import GuestPanic, SandboxError
from host_functions.executor.wasm.allocator import Heap
from host_functions.executor.wasm.errors import StackExhausted, Trap
from host_functions.executor.wasm.memory import GuestFault, GuestMemory

if TYPE_CHECKING:
    from host_functions.executor.wasm.helper import Helper

__all__ = ["Execution", "current_execution"]

MAX_MESSAGE: Final = 8_192
"""Bytes of a panic message that are kept."""
STACK_EXHAUSTED: Final = "call stack exhausted"
"""wasmtime's words."""
PANIC_MARK: Final = "panicked at"
"""What the panic handler of every Rust runtime writes."""


class Execution:
    """State of one call. The guest's memory and heap are known only once its instance exists."""

    __slots__ = (
        *(
            "allocator",
            "argument",
            "context",
            "cursor",
            "entry_point",
            "failure",
            "helper",
            "last_error",
            "memory",
        ),
        "state_version",
    )

    memory: GuestMemory
    allocator: Heap

    def __init__(
        self,
        entry_point: str,
        context: HostContext,
        argument: bytes = b"",
        state_version: Callable[[], int] = lambda: 0,
    ) -> None:
        self.entry_point = entry_point
        self.argument = argument
        self.context = context
        self.state_version = state_version
        """The state version in which this runtime writes, where a host function is not told."""
        self.cursor: bytes | None = None
        """Where a removal stopped, kept for a guest whose buffer was too small."""
        self.failure: BaseException | None = None
        """What a host function raised. The guest stops with a trap; this is what the caller gets instead."""
        self.helper: Helper | None = None
        self.last_error: str | None = None
        """The newest line the guest logged as an error."""

    def fail(self, function: str, error: BaseException) -> None:
        """Remember why ``function`` stops the guest."""
        if isinstance(error, GuestFault):
            error = Trap(self.entry_point, f"{function}: {error}")
        self.failure = error

    def panic(self, message: bytes) -> GuestPanic:
        """The panic that ``message`` tells of."""
        return GuestPanic(self.entry_point, text(message))

    def trapped(self, reason: str) -> SandboxError:
        """The error for a trap of the engine: a panic, if the guest has just logged one."""
        if self.last_error is not None and PANIC_MARK in self.last_error:
            return GuestPanic(self.entry_point, self.last_error)
        return (StackExhausted if reason == STACK_EXHAUSTED else Trap)(self.entry_point, reason)


def text(message: bytes) -> str:
    """Text of a stranger: bounded, and whatever it is, no error."""
    return message[:MAX_MESSAGE].decode("utf-8", "replace").strip()


current_execution: ContextVar[Execution] = ContextVar("current_execution")
