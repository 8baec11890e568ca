"""Answers that several contexts share, as mixins: log lines, printing, offchain index, relay reads.

Each mixin answers one or two interfaces completely. A context combines them and says in its class statement
what it must answer in the end. None of these answers can change the outcome of a block, except the relay
reads, which are the same in every context by law.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from host_functions.contexts.base import HostContext
from host_functions.errors import MissingHostFunction
from host_functions.interfaces import (
    additional_data,
    logging,
    misc,
    offchain_index,
    relay_chain_state,
    wasm_tracing,
)
from host_functions.state_machine.relay_reader import RelayStateReader

__all__ = ["LogLine", "Logging", "Misc", "NoTracing", "OffchainIndex", "RelayState", "VersionReader"]

MAX_LINES = 1_000
"""Log lines a context keeps; the oldest go first."""

MAX_TEXT = 8_192
"""Bytes of a target or message a context keeps."""

VersionReader = Callable[[bytes], bytes | None]
"""SCALE-encoded `RuntimeVersion` of a code blob, or ``None`` for a blob without one."""


class LogLine(NamedTuple):
    """One line of a runtime's log."""

    level: int
    """0 error, 1 warn, 2 info, 3 debug, 4 trace."""
    target: str
    message: str


class Logging(HostContext, complete=(logging,)):
    """Keeps the newest log lines in `lines`. The guest's text is bounded, and never an error."""

    def __init__(self, *, max_level: int = 3) -> None:
        """``max_level``: 0 off, 1 error … 5 trace; a runtime asks it and may send more all the same."""
        self.lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._max_level = max_level

    @logging.log.implement
    def log(self, level: int, target: bytes, message: bytes) -> None:
        self.lines.append(LogLine(level, _text(target), _text(message)))

    @logging.max_level.implement
    def max_level(self) -> int:
        return self._max_level


class Misc(Logging, complete=(misc, logging)):
    """Prints into the log; reads versions through the executor it is given."""

    def __init__(self, *, max_level: int = 3, version_of: VersionReader | None = None) -> None:
        """Without ``version_of`` there is no ``runtime_version``: ``None`` would mean "no version"."""
        super().__init__(max_level=max_level)
        self._version_of = version_of

    @misc.print_num.implement
    def print_num(self, val: int) -> None:
        self.lines.append(LogLine(3, "runtime", str(val)))

    @misc.print_utf8.implement
    def print_utf8(self, utf8: bytes) -> None:
        self.lines.append(LogLine(3, "runtime", _text(utf8)))

    @misc.print_hex.implement
    def print_hex(self, data: bytes) -> None:
        self.lines.append(LogLine(3, "runtime", data[:MAX_TEXT].hex()))

    @misc.runtime_version.implement
    def runtime_version(self, wasm: bytes) -> bytes | None:
        if self._version_of is None:
            raise MissingHostFunction(misc.runtime_version.name, f"{self} without a version reader")
        return self._version_of(wasm)


class NoTracing(HostContext, complete=(wasm_tracing,)):
    """Nobody profiles the runtime: it is told so, and what it reports all the same is not kept."""

    @wasm_tracing.enabled.implement
    def tracing_enabled(self, metadata: bytes) -> bool:
        return False

    @wasm_tracing.enter_span.implement
    def tracing_enter_span(self, span: bytes) -> int:
        return 0

    @wasm_tracing.event.implement
    def tracing_event(self, event: bytes) -> None:
        """Not kept."""

    @wasm_tracing.exit.implement
    def tracing_exit(self, span: int) -> None:
        """No span was opened."""


class OffchainIndex(HostContext, complete=(offchain_index,)):
    """Collects what the runtime writes to the offchain database, for the node to apply after import."""

    def __init__(self) -> None:
        self.offchain_changes: dict[bytes, bytes | None] = {}
        """Key -> value, ``None`` to delete; the last write counts."""

    @offchain_index.set.implement
    def offchain_index_set(self, key: bytes, value: bytes) -> None:
        self.offchain_changes[key] = value

    @offchain_index.clear.implement
    def offchain_index_clear(self, key: bytes) -> None:
        self.offchain_changes[key] = None


class RelayState(HostContext, complete=(relay_chain_state, additional_data)):
    """Relay reads from ``relay``, and the commitment to them where blocks carry them."""

    def __init__(self, relay: RelayStateReader | None, *, commit_relay_reads: bool = False) -> None:
        """``relay=None``: no relay state here, reading it is a `MissingHostFunction`."""
        self.relay = relay
        self.commit_relay_reads = commit_relay_reads

    @relay_chain_state.read_relay_state.implement
    def read_relay_state(self, key: bytes) -> bytes | None:
        if self.relay is None:
            name = relay_chain_state.read_relay_state.name
            raise MissingHostFunction(name, f"{self} without a relay state reader")
        return self.relay.read(key)

    @additional_data.finalize.implement
    def finalize(self) -> bytes | None:
        if self.relay is None or not self.commit_relay_reads:
            return None
        return self.relay.commitment()


def _text(data: bytes) -> str:
    return data[:MAX_TEXT].decode("utf-8", "replace")
