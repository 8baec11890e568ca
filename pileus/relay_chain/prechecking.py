"""What a validator's node does about new validation code: it compiles it, and votes.

Follows the pvf-checker subsystem of the node [polkadot-pvf-checker]. A validator that does not have the code does not
vote; one that cannot compile it votes against it, whatever the cause: nobody is slashed for a vote, and who is strict
here may be lenient later. The vote itself is `pileus.relay_chain.pvf_checks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.relay_chain.backing import Validator
from pileus.relay_chain.pvf_checks import (
    PvfCheckStatement,
    SignedPvfCheck,
    has_voted,
    pvfs_require_precheck,
)
from pileus.relay_chain.sessions import SessionInfo
from pileus.relay_chain.storage import RelayState
from pov_validator.pvf import PreparationFailed, PvfRuntime, WorkerFailure

__all__ = ["gather_pvf_checks", "precheck", "sign_pvf_check"]


def precheck(validator: Validator, code_hash: bytes) -> bool | None:
    """Whether this validator would vote for a code; ``None`` if it does not have it, or no worker to compile it.

    A Python runtime that runs in the validator's process is as good as compiled.
    """
    runtime = validator.codes.get(code_hash)
    if not isinstance(runtime, PvfRuntime):
        return None if runtime is None else True
    try:
        runtime.prepare()
    except PreparationFailed:
        return False
    except WorkerFailure:
        return None
    return True


def sign_pvf_check(
    validator: Validator, session: SessionInfo, index: int, code_hash: bytes, *, accept: bool
) -> SignedPvfCheck:
    """A vote as `validator`, which has `index` in the session, signs it."""
    statement = PvfCheckStatement(accept, code_hash, session.index, index)
    return SignedPvfCheck(statement, validator.keypair.sign(statement.signing_payload()))


def gather_pvf_checks(
    state: RelayState, session: SessionInfo, submitted: Sequence[SignedPvfCheck] = ()
) -> tuple[SignedPvfCheck, ...]:
    """What was submitted, and the votes of all others who have not voted yet and can tell.

    `session` is that of the block which is to take the votes, and `state` the one they meet there.
    """
    gathered = list(submitted)
    cast = {(one.statement.subject, one.statement.validator_index) for one in submitted}
    for subject in pvfs_require_precheck(state):
        for index, voted in enumerate(has_voted(state, subject)):
            if voted or (subject, index) in cast:
                continue
            validator = session.validators[index]
            accept = precheck(validator, subject)
            if accept is not None:
                gathered.append(sign_pvf_check(validator, session, index, subject, accept=accept))
    return tuple(gathered)
