"""Weight: what a call may cost, in time and in proof bytes.

Follows ``sp_weights`` and ``frame_support::dispatch`` [frame-support]: `Weight` is SCALE-encoded as two
compacts. The proof-size part counts bytes of the PoV and is what `storage_proof_size` measures; ``ref_time``
is in picoseconds of the reference machine and nothing here measures it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.scale import CompactU64, Struct, plain_enum

__all__ = ["DispatchClass", "DispatchInfo", "Pays", "PerDispatchClass", "Weight"]

_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Weight(Struct):
    """Cost in two dimensions. Arithmetic saturates, as ``Weight::saturating_add`` does."""

    ref_time: CompactU64 = 0
    """Picoseconds."""
    proof_size: CompactU64 = 0
    """Bytes of the PoV."""

    def __add__(self, other: Weight) -> Weight:
        return Weight(
            min(self.ref_time + other.ref_time, _MAX), min(self.proof_size + other.proof_size, _MAX)
        )

    def saturating_sub(self, other: Weight) -> Weight:
        """The difference, at least zero in each dimension."""
        return Weight(max(self.ref_time - other.ref_time, 0), max(self.proof_size - other.proof_size, 0))

    def any_gt(self, other: Weight) -> bool:
        """Whether either dimension exceeds that of ``other``."""
        return self.ref_time > other.ref_time or self.proof_size > other.proof_size


class DispatchClass(enum.IntEnum):
    """Who may use which share of a block."""

    NORMAL = 0
    OPERATIONAL = 1
    MANDATORY = 2


class Pays(enum.IntEnum):
    """Whether a call's sender pays for it."""

    YES = 0
    NO = 1


@dataclass(frozen=True, slots=True)
class DispatchInfo(Struct):
    """What is known of a call before it runs, or was found when it ran."""

    weight: Weight
    dispatch_class: Annotated[DispatchClass, plain_enum(DispatchClass)]
    """``class`` in FRAME."""
    pays_fee: Annotated[Pays, plain_enum(Pays)] = Pays.YES


@dataclass(frozen=True, slots=True)
class PerDispatchClass(Struct):
    """One `Weight` for each class: ``System::BlockWeight``."""

    normal: Weight = Weight()
    operational: Weight = Weight()
    mandatory: Weight = Weight()

    def total(self) -> Weight:
        """Sum over the classes."""
        return self.normal + self.operational + self.mandatory

    def of(self, dispatch_class: DispatchClass) -> Weight:
        """The weight of one class."""
        return (self.normal, self.operational, self.mandatory)[dispatch_class]

    def replace(self, dispatch_class: DispatchClass, weight: Weight) -> PerDispatchClass:
        """A copy with the weight of one class replaced."""
        parts = [self.normal, self.operational, self.mandatory]
        parts[dispatch_class] = weight
        return PerDispatchClass(*parts)
