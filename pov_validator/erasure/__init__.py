"""Erasure coding: how a PoV stays available when two thirds of the validators are silent."""

from __future__ import annotations

from pov_validator.erasure.chunks import (
    ErasureChunk,
    erasure_chunks,
    erasure_root,
    obtain_chunks,
    reconstruct,
)
from pov_validator.erasure.code import ErasureError, ErasureFault, recovery_threshold

__all__ = [
    "ErasureChunk",
    "ErasureError",
    "ErasureFault",
    "erasure_chunks",
    "erasure_root",
    "obtain_chunks",
    "reconstruct",
    "recovery_threshold",
]
