"""The errors of Pileus, split by who must act.

::

    PileusError
    ├─ HostError               the environment is wrong: nobody may conclude anything about the block   .function
    │  ├─ MissingHostFunction    this context provides no such function
    │  ├─ NoExternalities        a host function was called outside any context
    │  ├─ StateUnavailable       a node's own database lacks the state (pruned, never synced)    .at .node
    │  └─ WitnessMissing         a proof lacks a node that a read needs: never "absent"          .key .node
    ├─ SandboxError            the engine stopped the guest
    │  ├─ GuestPanic             the guest raised something it did not mean to                   .entry_point
    │  └─ DeadlineExceeded       the guest ran longer than it may                                .seconds
    ├─ ContextDivergence       two contexts disagreed: a bug of ours, with the report            .report
    ├─ ScaleError              bytes that are not what they claim to be      (runtime.primitives.errors)
    ├─ TrieError               nodes and proofs                              (runtime.trie.errors)
    ├─ InvalidBlock            the block is wrong: reject it                 (runtime.primitives.errors)
    └─ DispatchError           one call failed, the block is fine            (runtime.support.dispatch)

`StateUnavailable` and `WitnessMissing` exist because "cannot answer" must never turn into "absent" (``None``)
nor, for a validator's own state, into "invalid": a validator that lost its state abstains [cumulus-pvd].
"""

from __future__ import annotations

__all__ = [
    "ContextDivergence",
    "DeadlineExceeded",
    "GuestPanic",
    "HostError",
    "MissingHostFunction",
    "NoExternalities",
    "PileusError",
    "SandboxError",
    "StateUnavailable",
    "WitnessMissing",
]


class PileusError(Exception):
    """Everything Pileus raises on purpose."""


class HostError(PileusError):
    """The environment cannot serve a host call. Says nothing about the block under execution."""

    function: str = ""
    """Import name of the host function, e.g. ``ext_storage_get_version_1``; empty when not known."""


class MissingHostFunction(HostError):
    """The current context provides no implementation of a declared host function."""

    def __init__(self, function: str, context: str) -> None:
        super().__init__(f"{function} is not provided by {context}")
        self.function = function
        self.context = context


class NoExternalities(HostError):
    """A host function that needs a context was called outside `HostContext.externalities`."""

    def __init__(self, function: str) -> None:
        super().__init__(
            f"{function} called outside externalities: enter a context with `with context.externalities():`"
        )
        self.function = function


class StateUnavailable(HostError):
    """A node's own store lacks the state at a root: pruned, on an abandoned fork, or never synced."""

    def __init__(self, at: bytes, node: bytes | None = None) -> None:
        which = "" if node is None or node == at else f" (trie node 0x{node.hex()} is not in the store)"
        super().__init__(f"the state at root 0x{at.hex()} is not available{which}")
        self.at = at
        """State root, 32 bytes."""
        self.node = node
        """Hash of the trie node that is missing, when the root itself was present."""


class WitnessMissing(HostError):
    """A proof does not contain a node on the path of a key: neither presence nor absence is shown."""

    def __init__(self, key: bytes, node: bytes) -> None:
        super().__init__(f"the proof lacks trie node 0x{node.hex()}, needed for key 0x{key.hex()}")
        self.key = key
        self.node = node


class SandboxError(PileusError):
    """The engine stopped the guest."""


class GuestPanic(SandboxError):
    """The guest raised an exception that is not part of its contract; the counterpart of a Wasm trap."""

    def __init__(self, entry_point: str, message: str) -> None:
        super().__init__(f"{entry_point}: {message}")
        self.entry_point = entry_point
        self.message = message


class DeadlineExceeded(SandboxError):
    """The call took longer than it may."""

    def __init__(self, entry_point: str, seconds: float) -> None:
        super().__init__(f"{entry_point}: stopped after {seconds:g} s")
        self.entry_point = entry_point
        self.seconds = seconds


class ContextDivergence(PileusError):
    """Two contexts gave different results for the same execution. Always a bug on our side."""

    def __init__(self, first: str, second: str, report: str) -> None:
        super().__init__(f"{first} and {second} disagree: {report}")
        self.first = first
        self.second = second
        self.report = report
