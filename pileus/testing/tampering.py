"""Candidates as a dishonest collator would make them: for tests, and for showing what validators refuse.

A PoV that is merely damaged stops at the first hash, and a changed block at its seal. What is interesting is
a candidate whose author changed it and then stood by the change: `reseal` and `recommit` make header and
descriptor agree again, so that only execution can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from pileus.keyring import Keypair
from runtime.primitives.digest import AURA, Seal
from runtime.primitives.header import Header
from runtime.primitives.parachain import CandidateDescriptorV1, CandidateDescriptorV2, PoV

__all__ = ["bit_flips", "recommit", "reseal"]

Descriptor = TypeVar("Descriptor", CandidateDescriptorV1, CandidateDescriptorV2)


def bit_flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each single-bit change of ``data``, with the number of the bit (8 per byte, lowest first)."""
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(flipped)


def recommit(descriptor: Descriptor, pov: PoV) -> Descriptor:
    """The descriptor with the hash of another PoV."""
    return replace(descriptor, pov_hash=pov.hash())


def reseal(header: Header, keypair: Keypair) -> Header:
    """The header with its seal replaced by a good one of ``keypair``."""
    unsealed, _ = header.without_seal()
    return replace(unsealed, digest=(*unsealed.digest, Seal(AURA, keypair.sign(unsealed.hash()))))
