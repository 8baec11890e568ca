"""What a role says about a candidate, and what it took to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from host_functions.compressed_blob import POV_BOMB_LIMIT, BlobError, decompress
from pov_validator.relay_source import RelayStateSource, WatchedReads, carries_additional_data
from pov_validator.verdict import Abstain, Invalid, Verdict
from runtime.primitives.additional_data import RELAY_PROOF_KEY
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain import PoV
from runtime.primitives.parachain_block_data import ParachainBlockData

__all__ = ["Judgement", "RelayReadLog", "Role", "Watching", "relay_proof_bytes"]


class Role(Enum):
    """Who looks at a candidate, in the order in which they do."""

    COLLATOR = "collator"
    BACKER = "backer"
    APPROVAL_CHECKER = "approval checker"
    DISPUTE_PARTICIPANT = "dispute participant"
    FULL_NODE = "syncing full node"


@dataclass(frozen=True, slots=True)
class RelayReadLog:
    """The reads of the relay chain's state in one execution."""

    count: int | None = 0
    """Calls of `read_relay_state`, repeated keys too; ``None`` where only the touched nodes are known."""
    values: Mapping[bytes, bytes | None] | None = None
    """What each key gave, in the order of the first read; ``None`` is a proven absence."""
    nodes: tuple[bytes, ...] = ()
    """The trie nodes and detached values that the reads touched."""
    fell_back: bool = False
    """Whether own state could not answer something that the carried proof then had to."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The distinct keys that got an answer."""
        return tuple(self.values or ())

    @property
    def node_bytes(self) -> int:
        """Bytes of `nodes`, without length prefixes."""
        return sum(map(len, self.nodes))


@dataclass(frozen=True, slots=True)
class Judgement:
    """One role's verdict on one candidate."""

    role: Role
    verdict: Verdict
    pov_bytes: int | None = None
    """SCALE-encoded size of the PoV this role had; ``None`` for a role that has none."""
    relay_proof_bytes: int = 0
    """Bytes of the uncompressed payload that prove relay state."""
    reads: RelayReadLog = RelayReadLog()


class Watching:
    """A `RelayStateSource` that keeps what was read through it."""

    def __init__(self, source: RelayStateSource) -> None:
        self._source = source
        self._reads: WatchedReads | None = None

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """As the source."""
        self._reads = self._source.reads(root, block_data)
        return self._reads

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        """As the source."""
        return self._source.verdict_on(failure)

    def log(self) -> RelayReadLog:
        """The reads of the last execution."""
        reads = self._reads
        if reads is None:
            return RelayReadLog()
        return RelayReadLog(reads.count, dict(reads.values), reads.nodes(), reads.fell_back)


def relay_proof_bytes(pov: PoV) -> int:
    """Bytes of relay proofs in the uncompressed payload of a PoV; 0 for one that carries none or does not decode."""
    try:
        payload = decompress(pov.block_data, POV_BOMB_LIMIT)
        if not carries_additional_data(payload):
            return 0
        data, _ = ParachainBlockData.decode_prefix(payload)
    except (BlobError, ScaleError):
        return 0
    return sum(len(entries.get(RELAY_PROOF_KEY, b"")) for entries in data.additional_data if entries)
