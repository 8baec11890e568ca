"""Availability recovery: the available data of a candidate, from what other validators hand out.

Follows [polkadot-availability-recovery]: chunks are checked against the erasure root as they come, any f + 1 of them
are decoded, and the result counts only if encoding it again gives the root that the candidate's backers signed. Two
ways to fail that must not be mixed up: nobody hands out enough (`Unavailable`, a condition of the network) and the
backers have committed to something that is no encoding (`BadEncoding`, their fault, and provable).

Not modelled: recovery from backers or from systematic chunks first, which is an optimisation, and request timeouts.
"""

from __future__ import annotations

from collections.abc import Iterable

from host_functions.errors import PileusError
from pov_validator.erasure import (
    ErasureChunk,
    ErasureError,
    erasure_root,
    obtain_chunks,
    reconstruct,
    recovery_threshold,
)
from runtime.primitives.parachain import AvailableData

__all__ = ["BadEncoding", "Unavailable", "recover"]


class Unavailable(PileusError):
    """Too few chunks: ``RecoveryError::Unavailable``."""


class BadEncoding(PileusError):
    """The erasure root commits to chunks that are no encoding of available data: ``RecoveryError::Invalid``."""


def recover(root: bytes, validators: int, chunks: Iterable[ErasureChunk]) -> AvailableData:
    """The data under the erasure root (32 bytes) for a set of `validators`. Raises `Unavailable`, `BadEncoding`.

    `chunks` are what was handed out, in any order and from anybody; those that do not belong to the root are ignored.
    """
    try:
        needed = recovery_threshold(validators)
    except ErasureError as error:
        raise Unavailable(str(error)) from error
    good: dict[int, bytes] = {}
    wrong = 0
    for chunk in chunks:
        if not 0 <= chunk.index < validators or not chunk.belongs_to(root):
            wrong += 1
            continue
        good[chunk.index] = chunk.chunk
        if len(good) == needed:
            break
    if len(good) < needed:
        rejected = f" and {wrong} that do not belong to the erasure root" if wrong else ""
        raise Unavailable(f"{len(good)} chunks{rejected}, needed are {needed} of {validators}")
    try:
        data = reconstruct(validators, good)
        encoded = erasure_root(obtain_chunks(validators, data))
    except ErasureError as error:
        raise BadEncoding(f"the chunks under 0x{root.hex()} are no encoding: {error}") from error
    if encoded != root:
        raise BadEncoding(
            f"encoded again, the data has erasure root 0x{encoded.hex()}, the descriptor says 0x{root.hex()}"
        )
    return data
