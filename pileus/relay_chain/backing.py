"""Backing: a group of validators judges a collation, and signs what it is convinced of.

Follows the statement distribution and the backing subsystem of the node [polkadot-backing], without the network: the
first member of the group that finds the candidate valid seconds it, the others vote after validating it themselves.
It is backed when more than half of the group has voted. A member that abstains or finds it invalid signs nothing.

Not modelled: collator selection, prospective parachains, and the smaller quorum that configurations allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host_functions.executor import Runtime
from host_functions.interfaces.crypto import sr25519_verify
from host_functions.relay_state import RelayNodeState
from pileus.keyring import Keypair
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.statements import (
    BackedCandidate,
    CompactStatement,
    ExplicitVote,
    ImplicitVote,
    Seconded,
    SigningContext,
    ValidityAttestation,
    ValidStatement,
    signing_payload,
)
from pov_validator import Carried, Fallback, OwnState, RelayStateSource, Valid, Verdict, validate_candidate
from pov_validator.roles import RelayParentFacts, judge_as_backer
from runtime.primitives.parachain import CommittedCandidateReceipt, PersistedValidationData, PoV

__all__ = ["BackingOutcome", "Validator", "back_candidate", "backing_threshold", "groups", "verify_votes"]


class Validator:
    """One validator: its key, its relay chain node, and the validation code it has."""

    def __init__(
        self, index: int, name: str, keypair: Keypair, node: RelayNodeState, codes: Mapping[bytes, Runtime]
    ) -> None:
        """`codes` maps code hashes (32 bytes) to runtimes; `node` is where it reads relay state under ``own``."""
        self.index = index
        """Position in the validator set."""
        self.name = name
        self.keypair = keypair
        self.node = node
        self.codes = codes

    def relay_state(self, *, carried: bool, fallback: bool = False) -> RelayStateSource:
        """Where this validator takes relay state from: with `fallback` its own, else what is carried."""
        if fallback:
            return Fallback(self.node)
        return Carried() if carried else OwnState(self.node)

    def validate(
        self,
        candidate: CommittedCandidateReceipt,
        pov: PoV,
        pvd: PersistedValidationData,
        relay_state: RelayStateSource,
        *,
        registered_code_hash: bytes | None = None,
        facts: RelayParentFacts | None = None,
    ) -> Verdict:
        """Run the PoV validator as this node would; as a backer, who holds the candidate against `facts` as well."""
        if facts is not None:
            return judge_as_backer(candidate, pov, pvd, self.codes, relay_state, facts).verdict
        return validate_candidate(
            candidate.descriptor,
            candidate.commitments.hash(),
            pov,
            pvd,
            self.codes.get(candidate.descriptor.validation_code_hash),
            relay_state,
            registered_code_hash=registered_code_hash,
        )

    def sign(self, statement: CompactStatement, context: SigningContext) -> bytes:
        """sr25519 signature over the statement, 64 bytes."""
        return self.keypair.sign(signing_payload(statement, context))


@dataclass(frozen=True, slots=True)
class BackingOutcome:
    """What a group said about a collation."""

    candidate: CommittedCandidateReceipt
    pov: PoV
    pvd: PersistedValidationData
    core_index: int
    verdicts: tuple[tuple[Validator, Verdict], ...]
    """In group order."""
    backed: BackedCandidate | None
    """The candidate with its votes, if there were enough."""

    @property
    def supporters(self) -> tuple[Validator, ...]:
        """The members who find the candidate valid, in group order."""
        return tuple(validator for validator, verdict in self.verdicts if isinstance(verdict, Valid))


def backing_threshold(group_size: int) -> int:
    """Votes that back a candidate: more than half of the group."""
    return group_size // 2 + 1


def groups(validators: Sequence[Validator], cores: int) -> tuple[tuple[Validator, ...], ...]:
    """The validators in as many groups as there are cores, sizes differing by one at most."""
    size, larger = divmod(len(validators), cores)
    result = []
    start = 0
    for group in range(cores):
        end = start + size + (group < larger)
        result.append(tuple(validators[start:end]))
        start = end
    return tuple(result)


def back_candidate(
    collation: Collation,
    group: Sequence[Validator],
    context: SigningContext,
    *,
    core_index: int,
    carried: bool,
    registered_code_hash: bytes | None,
    fallback: bool = False,
    facts: RelayParentFacts | None = None,
) -> BackingOutcome:
    """Let every member of the group judge the collation, and gather the votes.

    With `facts` they hold it against the relay parent first, as backers do.
    """
    candidate = CommittedCandidateReceipt(collation.descriptor, collation.commitments)
    candidate_hash = candidate.hash()
    verdicts: list[tuple[Validator, Verdict]] = []
    votes: list[ValidityAttestation] = []
    voted: list[bool] = []
    for validator in group:
        source = validator.relay_state(carried=carried, fallback=fallback)
        verdict = validator.validate(
            candidate,
            collation.pov,
            collation.pvd,
            source,
            registered_code_hash=registered_code_hash,
            facts=facts,
        )
        verdicts.append((validator, verdict))
        voted.append(isinstance(verdict, Valid))
        if not isinstance(verdict, Valid):
            continue
        if votes:
            votes.append(ExplicitVote(validator.sign(ValidStatement(candidate_hash), context)))
        else:
            votes.append(ImplicitVote(validator.sign(Seconded(candidate_hash), context)))
    enough = len(votes) >= backing_threshold(len(group))
    backed = BackedCandidate(candidate, tuple(votes), tuple(voted)) if enough else None
    return BackingOutcome(candidate, collation.pov, collation.pvd, core_index, tuple(verdicts), backed)


def verify_votes(backed: BackedCandidate, group: Sequence[Validator], context: SigningContext) -> str | None:
    """Why these votes do not back the candidate, ``None`` if they do. ``check_candidate_backing``."""
    if len(backed.validator_indices) != len(group):
        return f"{len(backed.validator_indices)} vote bits for a group of {len(group)}"
    voters = [validator for validator, voted in zip(group, backed.validator_indices, strict=True) if voted]
    if len(voters) != len(backed.validity_votes):
        return f"{len(backed.validity_votes)} votes for {len(voters)} vote bits"
    if len(voters) < backing_threshold(len(group)):
        return f"{len(voters)} votes, needed are {backing_threshold(len(group))}"
    candidate_hash = backed.candidate.hash()
    for validator, vote in zip(voters, backed.validity_votes, strict=True):
        implicit = isinstance(vote, ImplicitVote)
        statement = Seconded(candidate_hash) if implicit else ValidStatement(candidate_hash)
        payload = signing_payload(statement, context)
        if not sr25519_verify(vote.signature, payload, validator.keypair.public_key):
            return f"the signature of {validator.name} does not verify"
    return None
