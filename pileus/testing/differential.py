"""One guest, many contexts: the same outcome in all of them, or the first host call on which two differ.

::

    assert_contexts_agree(
        lambda: sibling_head(2000),
        {"author": make_author, "validator": make_validator},
    )

The guest is a function without arguments that makes host calls, a `RuntimeCall` (any engine), or a call bound to a
`pileus.testing.WasmCaller`. Each context is made anew, entered once, and observed. Two contexts agree when the guest
ends in the same way in both and was answered the same on the way. What a guest does is decided by its host calls alone,
so when outcomes differ although no call does, the guest depends on something it must not see; that is said too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from host_functions.contexts import HostContext
from host_functions.errors import ContextDivergence
from host_functions.executor import Runtime
from host_functions.tracing import Alignment, Trace, align, observed, observing
from host_functions.tracing.call import shown

__all__ = ["ContextRun", "Guest", "Runnable", "RuntimeCall", "assert_contexts_agree", "run_in_context"]

MakeContext = Callable[[], HostContext]


@runtime_checkable
class Runnable(Protocol):
    """A guest that an engine runs."""

    def run_in(self, context: HostContext, /) -> Any:
        """The outcome; what it raises is an outcome, too."""


Guest = Callable[[], Any] | Runnable


@dataclass(frozen=True, slots=True)
class RuntimeCall:
    """A call into a runtime, native or Wasm."""

    runtime: Runtime
    entry_point: str
    argument: bytes = b""

    def run_in(self, context: HostContext) -> bytes:
        return self.runtime.call(self.entry_point, self.argument, context)


@dataclass(frozen=True, slots=True)
class ContextRun:
    """How the guest fared in one context."""

    label: str
    trace: Trace
    value: Any
    """What it returned; ``None`` if it raised."""
    error: Exception | None

    @property
    def outcome(self) -> str:
        """In one line."""
        if self.error is not None:
            return f"{type(self.error).__name__}: {self.error}"
        return f"returns {shown(self.value)}"

    def ends_like(self, other: ContextRun) -> bool:
        """Whether both returned the same, or raised errors of the same type."""
        return type(self.error) is type(other.error) and bool(self.value == other.value)


def run_in_context(guest: Guest, label: str, make_context: MakeContext) -> ContextRun:
    """Run the guest once in a new context and observe it."""
    trace = Trace(label)
    value: Any = None
    failure: Exception | None = None
    with observing(trace):
        try:
            if isinstance(guest, Runnable):
                value = guest.run_in(make_context())
            else:
                with observed(make_context()).externalities():
                    value = guest()
        except Exception as error:
            failure = error
    return ContextRun(label, trace, value, failure)


def assert_contexts_agree(guest: Guest, contexts: Mapping[str, MakeContext]) -> ContextRun:
    """Run the guest in every context; the first one's run. Raises `ContextDivergence`, which names the host call.

    ``contexts``: by the label that reports use; at least two. Raises `ValueError` for fewer.
    """
    if len(contexts) < 2:
        raise ValueError(f"two contexts at least can agree, there is {len(contexts)}")
    runs = [run_in_context(guest, label, make) for label, make in contexts.items()]
    first = runs[0]
    for other in runs[1:]:
        alignment = align(first.trace, other.trace)
        if alignment.difference is not None or not first.ends_like(other):
            raise ContextDivergence(first.label, other.label, _report(first, other, alignment))
    return first


def _report(first: ContextRun, other: ContextRun, alignment: Alignment) -> str:
    lines = [alignment.report()]
    if alignment.difference is None:
        lines = [f"no host call differs ({alignment.report()}), so the guest depends on something else:"]
    lines += [f"{run.label} ends: {run.outcome}" for run in (first, other)]
    return "\n".join(lines)
