"""One host call as observers see it: plain, bounded, and the same in every run.

A row never holds a value of unbounded size: what is long is cut for reading and hashed for comparing. Nor does it hold
a time or an address in memory, so two runs of the same block give the same rows; arguments whose text has an address
are a mistake of their host function's author.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from runtime.primitives.hashing import blake2_256

__all__ = ["AnsweredBy", "HostCall", "outcome_of", "shown"]

SHOWN_BYTES: Final = 64
"""Bytes of a value that a row shows: all of a storage key, the beginning of a long value."""
SHOWN_TEXT: Final = 200
"""Letters of an error message or of a value that is no bytes."""
MAX_NODES: Final = 256
"""Proof nodes named in one row; `HostCall.node_count` says how many there were."""

AnsweredBy = Literal["guest", "host"]
"""``guest``: a replacement that the runtime installed. ``host``: the context."""


@dataclass(frozen=True, slots=True)
class HostCall:
    """A finished call of a host function."""

    position: int
    """Place in the order in which calls began, from 0."""
    depth: int
    """0 for a call of the runtime; more for one made while another host call was being answered."""
    context: str
    """Who was asked: the name of the context, ``ValidationContext`` for example."""
    engine: str
    """``native`` or ``wasm``; ``direct`` for a context that was entered without an engine."""
    entry_point: str
    """The runtime API under execution, ``validate_block`` for example; empty with ``direct``."""
    answered_by: AnsweredBy
    function: str
    """Import name, ``ext_storage_get_version_1``."""
    arguments: tuple[str, ...]
    """As text, each cut to 64 bytes."""
    arguments_hash: bytes
    """blake2-256 over all arguments, complete; buffers count with their length."""
    result: str
    """As text, cut; ``None`` for absent. With buffers, what was written into them follows. Empty after an error."""
    value_hash: bytes | None
    """blake2-256 of the value, for bytes the hash that a state trie would have of it; ``None`` for no value."""
    nodes: tuple[bytes, ...]
    """Hashes of the proof nodes and detached values that this call was the first of the block to touch, 256 at most."""
    node_count: int
    """How many those were."""
    error: str | None = None
    """Type and message of what the call raised, cut."""

    @property
    def request(self) -> tuple[str, bytes]:
        """What was asked: equal for the same call in another context."""
        return self.function, self.arguments_hash

    @property
    def answer(self) -> tuple[str, bytes | None, str | None]:
        """What came back: equal where two contexts agree."""
        error = None if self.error is None else self.error.split(":", 1)[0]
        return self.result, self.value_hash, error

    def __str__(self) -> str:
        outcome = f"raised {self.error}" if self.error is not None else self.result
        nodes = f"  +{self.node_count} nodes" if self.node_count else ""
        return f"{self.function}({', '.join(self.arguments)}) -> {outcome}{nodes}"


def shown(value: Any) -> str:
    """A value as bounded text."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value[: SHOWN_BYTES + 1])
        if len(data) <= SHOWN_BYTES:
            return f"0x{data.hex()}"
        return f"0x{data[:SHOWN_BYTES].hex()}… ({len(value)} bytes)"
    text = repr(value)
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}… ({len(text)} letters)"


def canonical(value: Any) -> bytes:
    """Bytes that differ when two arguments differ. Not a wire format."""
    if isinstance(value, bytes):
        return b"b%d:%b" % (len(value), value)
    if isinstance(value, bytearray):
        return b"o%d:" % len(value)  # a buffer to be filled: what it holds before is nothing to the host
    if isinstance(value, list | tuple):
        return b"l%d:" % len(value) + b"".join(map(canonical, value))
    text = repr(value).encode("utf-8", "backslashreplace")
    return b"r%d:%b" % (len(text), text)


def outcome_of(result: Any, buffers: Sequence[bytearray]) -> tuple[str, bytes | None]:
    """The text and the hash of what a call returned and wrote."""
    if buffers:
        written = [bytes(buffer) for buffer in buffers]
        text = " ".join([shown(result), *map(shown, written)])
        return text, blake2_256(canonical([result, *written]))
    if result is None:
        return "None", None
    data = bytes(result) if isinstance(result, bytes | bytearray) else canonical(result)
    return shown(result), blake2_256(data)
