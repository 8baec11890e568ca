"""The roles of validators on a running chain: each gets from the chain exactly what its role has, and judges.

What a role *can* know is decided in `pov_validator.roles`; here it is gathered. The two roles of the parachain's side
need a parachain node and are driven by who has one.
"""

from __future__ import annotations

from pileus.relay_chain.backing import Validator
from pileus.relay_chain.chain import RelayChain
from pov_validator import RelayStateSource
from pov_validator.roles import (
    Judgement,
    Recovery,
    RelayParentFacts,
    Role,
    judge_as_approval_checker,
    judge_as_backer,
    judge_as_dispute_participant,
)
from runtime.primitives.parachain import PersistedValidationData, PoV

__all__ = ["facts_at", "judge", "judge_backing", "recovery_of"]


def facts_at(chain: RelayChain, candidate: bytes) -> RelayParentFacts:
    """What a backer's node knows about a candidate's para at its relay parent. Raises `KeyError`."""
    history = chain.candidates[candidate]
    session = chain.session_of(history.relay_parent)
    para_id = history.candidate.descriptor.para_id
    code_hash = (
        chain.state(history.relay_parent).code_hash(para_id)
        if chain.has_state(history.relay_parent)
        else None
    )
    return RelayParentFacts(session.index, code_hash, (history.core,), len(session.validators))


def recovery_of(chain: RelayChain, candidate: bytes) -> Recovery:
    """What a validator can ask the others for, in the session of the chain's best block. Raises `KeyError`."""
    history = chain.candidates[candidate]
    current = chain.session_of(chain.best).index
    session = chain.sessions.known(chain.session_of(history.relay_parent).index, current)
    return Recovery(
        None if session is None else len(session.validators), chain.availability.handed_out(candidate)
    )


def judge_backing(
    chain: RelayChain,
    candidate: bytes,
    validator: Validator,
    relay_state: RelayStateSource,
    pov: PoV,
    pvd: PersistedValidationData,
) -> Judgement:
    """A backer's judgement of a known candidate, with what the collator sends it. Raises `KeyError`."""
    return judge_as_backer(
        chain.candidates[candidate].candidate,
        pov,
        pvd,
        validator.codes,
        relay_state,
        facts_at(chain, candidate),
    )


def judge(
    chain: RelayChain,
    candidate: bytes,
    role: Role,
    validator: Validator,
    relay_state: RelayStateSource,
) -> Judgement:
    """What `validator` says about a candidate (hash, 32 bytes) now, in one of the roles that come after backing.

    Raises `KeyError` for a candidate that the chain has not seen, `ValueError` for another role.
    """
    receipt = chain.candidates[candidate].candidate.to_plain()
    recovery = recovery_of(chain, candidate)
    if role is Role.APPROVAL_CHECKER:
        return judge_as_approval_checker(receipt, recovery, validator.codes, relay_state)
    if role is Role.DISPUTE_PARTICIPANT:
        return judge_as_dispute_participant(receipt, recovery, validator.codes, relay_state)
    raise ValueError(f"a {role.value} needs more than the chain has")
