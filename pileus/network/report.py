"""What happened in a run, as plain data: one `SlotReport` per relay block.

Everything that shows or records a run (`pileus.network.timeline`, `pileus.network.record`) is made from
these.
"""

from __future__ import annotations

from dataclasses import dataclass

from pileus.collator import Collation
from pileus.network.messages import MessageId
from pileus.network.queries import Answer
from pileus.network.topology import RelayStateMode
from pileus.network.transfers import Movement
from pileus.network.upgrades import UpgradeStep
from pileus.relay_chain.backing import BackingOutcome, Validator
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.checking import ApprovalReport
from pileus.relay_chain.inclusion import Refusal
from pov_validator import Valid, Verdict
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.primitives.parachain import PoV
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.primitives.scale import byte_vec, compact_u32, vec

__all__ = ["CandidateReport", "ImportReport", "PovParts", "SlotReport", "pov_parts"]


@dataclass(frozen=True, slots=True)
class PovParts:
    """Where the bytes of a PoV are. All in bytes of the uncompressed payload, except `compressed`."""

    headers: int
    extrinsics: int
    """With their counts and length prefixes."""
    compact_proof: int
    additional_data: int
    """The carried relay proof with its framing; 0 for versions that carry none."""
    framing: int
    """Version prefix and the number of blocks."""
    compressed: int
    """The SCALE-encoded PoV, as it travels and as its size limit counts it."""

    @property
    def payload(self) -> int:
        """The whole payload, uncompressed."""
        return self.headers + self.extrinsics + self.compact_proof + self.additional_data + self.framing


def pov_parts(data: ParachainBlockData, pov: PoV) -> PovParts:
    """Measure the parts of a PoV."""
    headers = sum(len(block.header.encode()) for block in data.blocks)
    extrinsics = sum(
        len(compact_u32.encode(len(block.extrinsics))) + sum(map(len, block.extrinsics))
        for block in data.blocks
    )
    compact_proof = len(_PROOF.encode(data.proof))
    payload = len(data.encode())
    carried = 0
    if data.version == 3:
        without = ParachainBlockData(2, data.blocks, data.proof, (), data.scheduling_proof)
        carried = payload - len(without.encode())
    framing = payload - headers - extrinsics - compact_proof - carried
    return PovParts(headers, extrinsics, compact_proof, carried, framing, len(pov.encode()))


_PROOF = vec(byte_vec)


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """A candidate that was offered for a relay block."""

    para_id: int
    para_name: str
    number: int
    """Number of the parachain block."""
    attempt: int
    """1 for the first candidate with this block number, more for those made because it was not backed."""
    collation: Collation
    outcome: BackingOutcome
    cross_checks: tuple[tuple[Validator, Verdict], ...]
    """The verdicts of the same backers from their own relay state, on a candidate that carries its relay
    proof: it can be judged either way, and must be judged the same. Empty for a candidate that carries
    none."""
    refusal: Refusal | None
    """Why the relay block does not contain it although it was backed."""
    proven: tuple[MessageId, ...]
    """Messages of siblings that it proves and delivers."""
    failed_calls: int
    """Its extrinsics whose call failed; they are in the block all the same."""
    parts: PovParts
    relay_state: RelayStateMode = "own"
    """Where its backers took relay state from."""

    @property
    def label(self) -> str:
        """``PARA-NUMBER``, as `pileus pov` takes it; later attempts are ``PARA-NUMBER.ATTEMPT``."""
        return f"{self.para_id}-{self.number}" + (f".{self.attempt}" if self.attempt > 1 else "")

    @property
    def backed(self) -> bool:
        """Whether the relay block contains it."""
        return self.outcome.backed is not None and self.refusal is None

    @property
    def all_valid(self) -> bool:
        """Whether every backer found it valid, in every form of relay state it can be judged in."""
        return all(isinstance(verdict, Valid) for _, verdict in (*self.outcome.verdicts, *self.cross_checks))


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A parachain block that was included, and imported by its own chain's node."""

    para_id: int
    para_name: str
    number: int
    block_hash: bytes
    sent: tuple[MessageId, ...]
    delivered: tuple[MessageId, ...]
    failed: tuple[MessageId, ...]
    """Consumed, but refused by their recipient, or there is none."""
    expired: tuple[MessageId, ...]
    """Consumed at or after their timeout, and not dispatched."""
    settled: tuple[tuple[MessageId, Outcome], ...]
    """Its own messages whose outcome it was proven, or that it was proven to have timed out."""
    answers: tuple[Answer, ...] = ()
    """What it was shown of other chains' states."""
    movements: tuple[Movement, ...] = ()
    """What left it for other chains, arrived from there, or came back."""


@dataclass(frozen=True, slots=True)
class SlotReport:
    """One relay block and what came with it."""

    block: RelayBlock
    finalized: int
    """Number of the newest finalized relay block."""
    candidates: tuple[CandidateReport, ...]
    imported: tuple[ImportReport, ...]
    problems: tuple[str, ...]
    """What went wrong without stopping the run: a collation that failed, a sibling that did not answer."""
    approvals: tuple[ApprovalReport, ...] = ()
    """The checks of what this block includes, where validators check."""
    upgrades: tuple[UpgradeStep, ...] = ()
    """What it did with upgrades of runtimes."""
