"""Availability: each validator holds one chunk of every backed candidate, and hands it out to who asks.

Follows the availability distribution, the bitfields and the store of the node [polkadot-availability]: backers encode
what they judged, every validator that has its chunk sets a bit, a candidate is included when two thirds have, and the
data is kept for a day after that, because a dispute may need it.

The knobs are what goes wrong: a validator may never get its chunk (`lose`), get it and keep it to itself (`withhold`),
or hand out something else (`corrupt`). Not modelled: the network between validators, and signatures on bitfields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pileus.relay_chain.sessions import supermajority_threshold
from pov_validator.erasure import ErasureChunk, erasure_chunks, obtain_chunks
from runtime.primitives.parachain import AvailableData

__all__ = ["Availability"]


@dataclass(slots=True)
class _Stored:
    """The chunks of one candidate, encoded when somebody first looks at them."""

    data: AvailableData
    validators: int
    chunks: tuple[ErasureChunk, ...] | None = None
    lost: set[int] = field(default_factory=set)
    withheld: set[int] = field(default_factory=set)
    corrupted: set[int] = field(default_factory=set)


class Availability:
    """The chunks of all candidates, by candidate hash (32 bytes)."""

    def __init__(self) -> None:
        self._stored: dict[bytes, _Stored] = {}

    def store(self, candidate: bytes, data: AvailableData, validators: int) -> None:
        """Give each of the validators its chunk of `data`. No effect on a candidate that is stored already."""
        self._stored.setdefault(candidate, _Stored(data, validators))

    def store_chunks(self, candidate: bytes, data: AvailableData, chunks: Iterable[ErasureChunk]) -> None:
        """As `store`, with chunks that need not be an encoding of anything: what a dishonest group distributes."""
        given = tuple(chunks)
        self._stored[candidate] = _Stored(data, len(given), given)

    def drop(self, candidate: bytes) -> None:
        """Forget a candidate, as every validator does when its time is over."""
        self._stored.pop(candidate, None)

    def lose(self, candidate: bytes, *validators: int) -> None:
        """These validators do not have their chunk: no bit in the bitfield, nothing to hand out."""
        self._of(candidate).lost.update(validators)

    def withhold(self, candidate: bytes, *validators: int) -> None:
        """These validators have said that they hold their chunk, and do not hand it out."""
        self._of(candidate).withheld.update(validators)

    def corrupt(self, candidate: bytes, *validators: int) -> None:
        """These validators hand out something else than their chunk."""
        self._of(candidate).corrupted.update(validators)

    def restore(self, candidate: bytes) -> None:
        """Undo `lose`, `withhold` and `corrupt`."""
        stored = self._of(candidate)
        for knob in (stored.lost, stored.withheld, stored.corrupted):
            knob.clear()

    def bitfield(self, candidate: bytes) -> tuple[bool, ...]:
        """Which validators say that they hold their chunk, by index; empty for a candidate that is not stored."""
        stored = self._stored.get(candidate)
        if stored is None:
            return ()
        return tuple(validator not in stored.lost for validator in range(stored.validators))

    def is_available(self, candidate: bytes) -> bool:
        """Whether enough validators hold their chunk for the candidate to be included."""
        bits = self.bitfield(candidate)
        return bool(bits) and sum(bits) >= supermajority_threshold(len(bits))

    def handed_out(self, candidate: bytes) -> tuple[ErasureChunk, ...]:
        """What a validator that asks all the others receives, by index; nothing once the candidate is dropped."""
        stored = self._stored.get(candidate)
        if stored is None:
            return ()
        if stored.chunks is None:
            _, stored.chunks = erasure_chunks(obtain_chunks(stored.validators, stored.data))
        silent = stored.lost | stored.withheld
        return tuple(
            _corrupted(chunk) if chunk.index in stored.corrupted else chunk
            for chunk in stored.chunks
            if chunk.index not in silent
        )

    def _of(self, candidate: bytes) -> _Stored:
        try:
            return self._stored[candidate]
        except KeyError:
            raise KeyError(f"candidate 0x{candidate.hex()} is not stored") from None


def _corrupted(chunk: ErasureChunk) -> ErasureChunk:
    return ErasureChunk(chunk.index, bytes([chunk.chunk[0] ^ 1]) + chunk.chunk[1:], chunk.proof)
