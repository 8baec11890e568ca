"""Every change of one node that a dishonest collator could make to a relay proof, and what validators say to it.

What upstream's mocked relay state cannot show [sdk-13022]: there only the keys that were put in are proven, so a read
of an absent key passes for the wrong reason. Here the proof is of a whole relay state, and each of its nodes is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pileus.verdicts.forging import relay_proof_of, with_relay_proof
from pileus.verdicts.matrix import short
from pileus.verdicts.play import Play
from pileus.verdicts.setup import Candidate
from pov_validator import Verdict
from runtime.primitives.parachain import CommittedCandidateReceipt

__all__ = ["ProofSweep", "judged_by_carried_proof", "sweep_proof"]


@dataclass(frozen=True, slots=True)
class ProofSweep:
    """What became of a candidate when its proof was changed by one node."""

    proof_items: int
    """Trie nodes and detached values that the candidate carries."""
    honest: str
    """Verdict on the candidate as it is."""
    removed: Counter[str]
    """Verdicts, each with one of the carried items missing."""
    added: Counter[str]
    """Verdicts, each with one item more of the same state."""


def judged_by_carried_proof(play: Play, candidate: Candidate) -> Verdict:
    """What a validator says that has nothing but the candidate."""
    collation = candidate.collation
    receipt = CommittedCandidateReceipt(collation.descriptor, collation.commitments)
    validator = play.validators[0]
    return validator.validate(receipt, collation.pov, collation.pvd, validator.source())


def sweep_proof(play: Play, candidate: Candidate) -> ProofSweep:
    """Take each item out of the candidate's relay proof, and put each other item of the relay state in.

    Everything else about the candidate is made to agree with the change, see `pileus.verdicts.forging`.
    """
    carried = relay_proof_of(candidate)
    relay_parent = play.chain.block(candidate.collation.descriptor.relay_parent)
    state = [item for _, item in sorted(play.chain.database.items_of(relay_parent.state_root))]

    def verdicts(proofs: Iterable[list[bytes]]) -> Counter[str]:
        return Counter(
            short(judged_by_carried_proof(play, with_relay_proof(play, candidate, proof))) for proof in proofs
        )

    return ProofSweep(
        len(carried),
        short(judged_by_carried_proof(play, candidate)),
        verdicts([node for node in carried if node != left] for left in carried),
        verdicts([*carried, item] for item in state if item not in carried),
    )
