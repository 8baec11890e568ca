"""Candidates as a dishonest collator would make them: for tests and for showing what validators refuse.

A PoV that is merely damaged stops at the first hash. What is interesting is a candidate whose author changed the PoV
and then committed to the change: `recommit` makes the descriptor agree again, so that only execution can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from runtime.primitives.parachain import CandidateDescriptor, PoV

__all__ = ["bit_flips", "recommit", "with_payload"]


def bit_flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each single-bit change of `data`, with the number of the bit (8 per byte, lowest first)."""
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(flipped)


def recommit(descriptor: CandidateDescriptor, pov: PoV) -> CandidateDescriptor:
    """The descriptor with the hash of another PoV."""
    return replace(descriptor, pov_hash=pov.hash())


def with_payload(
    descriptor: CandidateDescriptor, payload: bytes, change: Callable[[bytes], bytes]
) -> tuple[CandidateDescriptor, PoV]:
    """A candidate whose decompressed payload was changed, sent uncompressed and committed to."""
    pov = PoV(change(payload))
    return recommit(descriptor, pov), pov
