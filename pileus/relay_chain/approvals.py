"""Approval checking: some validators, picked by lot, execute an included candidate once more.

Follows [polkadot-approval-voting]: every validator outside the backing group has a *tranche*, 0 for those whose sample
hits the candidate's core and otherwise a delay. Checkers are wanted in the order of their tranches until there are
enough, and one who is not heard of (a *no-show*) is replaced by the next. A candidate is approved when all that are
wanted have approved it, or a third of all validators has. GRANDPA finalizes nothing before it is approved.

Not modelled: the lots are hashes of the epoch's randomness, the slot and the validator instead of VRF outputs, so
anybody can compute them in advance and nobody has to reveal an assignment; checkers are wanted one by one instead of by
whole tranches; time (a no-show is declared, not waited for).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import u32, u64

__all__ = ["Approval", "ApprovalParams", "Assignment", "assign"]


@dataclass(frozen=True, slots=True)
class ApprovalParams:
    """The part of the host configuration that governs approvals; defaults for networks of a few validators."""

    needed_approvals: int = 2
    """Checks of each candidate. Polkadot has 30."""
    relay_vrf_modulo_samples: int = 2
    """Cores that a validator is drawn to check at once."""
    n_delay_tranches: int = 40
    zeroth_delay_tranche_width: int = 0
    """Delays that count as none."""


@dataclass(frozen=True, slots=True, order=True)
class Assignment:
    """When a validator is to check a candidate."""

    tranche: int
    validator: int
    """Index in the session."""


def assign(
    randomness: bytes,
    slot: int,
    *,
    core: int,
    cores: int,
    validators: int,
    backers: Container[int],
    params: ApprovalParams,
) -> tuple[Assignment, ...]:
    """The checkers of the candidate on `core`, the most urgent first; its backers are none.

    `randomness` (32 bytes) is the epoch's, `slot` that of the including block: together they stand for the VRF story.
    """
    story = randomness + u64.encode(slot)
    result = []
    for validator in range(validators):
        if validator in backers:
            continue
        delay = _lot(b"A&V DELAY", story, validator, core) % (
            params.n_delay_tranches + params.zeroth_delay_tranche_width
        )
        tranche = max(0, delay - params.zeroth_delay_tranche_width)
        if any(
            _lot(b"A&V MOD", story, validator, sample) % cores == core
            for sample in range(params.relay_vrf_modulo_samples)
        ):
            tranche = 0
        # Within a tranche the lot decides, or the first validators of a set would do all the work.
        result.append((tranche, delay, validator))
    return tuple(Assignment(tranche, validator) for tranche, _, validator in sorted(result))


def _lot(domain: bytes, story: bytes, validator: int, position: int) -> int:
    return int.from_bytes(
        blake2_256(domain + story + u32.encode(validator) + u32.encode(position))[:8], "little"
    )


@dataclass(slots=True)
class Approval:
    """How far the approval of one candidate in one block has come."""

    candidate: bytes
    """Candidate hash, 32 bytes."""
    assignments: tuple[Assignment, ...]
    validators: int
    """Size of the session's validator set."""
    needed: int
    approved_by: set[int] = field(default_factory=set)
    no_shows: set[int] = field(default_factory=set)

    def wanted(self) -> tuple[int, ...]:
        """Validators whose check counts so far, in order: enough, and one more for each no-show among them."""
        result: list[int] = []
        missing = min(self.needed, len(self.assignments))
        for assignment in self.assignments:
            if not missing:
                break
            result.append(assignment.validator)
            missing -= assignment.validator not in self.no_shows
        return tuple(result)

    def open(self) -> tuple[int, ...]:
        """Those of `wanted` that have neither approved nor been given up."""
        return tuple(index for index in self.wanted() if index not in self.approved_by | self.no_shows)

    @property
    def is_approved(self) -> bool:
        if 3 * len(self.approved_by) > self.validators:
            return True
        shown = [index for index in self.wanted() if index not in self.no_shows]
        return len(shown) >= min(self.needed, len(self.assignments)) and self._all_approved(shown)

    def _all_approved(self, validators: Iterable[int]) -> bool:
        return all(index in self.approved_by for index in validators)
