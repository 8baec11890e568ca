"""The validators' vote on new validation code, before a parachain may run it: pre-checking.

Follows ``PvfCheckStatement`` of ``polkadot_primitives`` [polkadot-primitives] and the vote state of the paras pallet
[polkadot-paras], name by name: who compiled the code under the strict limits votes for it, who could not votes against
it; two thirds and one accept it; it is rejected as soon as they cannot be reached any more; when a session begins,
everybody votes anew. What follows from a vote is in `pileus.relay_chain.upgrades`.

Not modelled: votes on the code of paras that register (paras are there from genesis).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, ClassVar, Final

from host_functions.errors import PileusError
from host_functions.interfaces.crypto import sr25519_verify
from pileus.relay_chain.sessions import supermajority_threshold
from pileus.relay_chain.storage import RelayState, RelayStateBuilder
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import H256, H512, U8, U32, Struct, Variant, bit_vec, h256, vec

__all__ = [
    "PvfCheckActiveVoteState",
    "PvfCheckRefusal",
    "PvfCheckRefused",
    "PvfCheckStatement",
    "SignedPvfCheck",
    "Upgrade",
    "active_vote",
    "check_statement",
    "has_voted",
    "put_active_vote",
    "pvfs_require_precheck",
]

PVF_CHECK_MAGIC: Final = b"VCPC"
ACTIVE_VOTE_LIST: Final = storage_prefix("Paras", "PvfActiveVoteList")
_HASHES = vec(h256)

SET_GO_AHEAD_SIGNAL: Final = 0
"""``UpgradeStrategy::SetGoAheadSignal``: the parachain applies the code when it is told so."""


class PvfCheckRefusal(Enum):
    """Why a statement does not count. Named as the errors of the paras pallet."""

    STATEMENT_STALE = "PvfCheckStatementStale"
    STATEMENT_FUTURE = "PvfCheckStatementFuture"
    VALIDATOR_INDEX_OUT_OF_BOUNDS = "PvfCheckValidatorIndexOutOfBounds"
    INVALID_SIGNATURE = "PvfCheckInvalidSignature"
    DOUBLE_VOTE = "PvfCheckDoubleVote"
    SUBJECT_INVALID = "PvfCheckSubjectInvalid"
    """There is no vote on this code."""


class PvfCheckRefused(PileusError):
    """A statement that does not count."""

    def __init__(self, refusal: PvfCheckRefusal, detail: str) -> None:
        super().__init__(f"{refusal.value}: {detail}")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class PvfCheckStatement(Struct):
    """One validator's vote."""

    accept: bool
    subject: H256
    """Hash of the code."""
    session_index: U32
    """The session in which the vote counts."""
    validator_index: U32
    """Position of the voter in that session."""

    def signing_payload(self) -> bytes:
        """The bytes that the validator signs: 45 of them."""
        return PVF_CHECK_MAGIC + self.encode()


@dataclass(frozen=True, slots=True)
class SignedPvfCheck(Struct):
    """A statement as it stands in a block: ``include_pvf_check_statement``."""

    statement: PvfCheckStatement
    signature: H512


@dataclass(frozen=True, slots=True)
class Upgrade(Variant):
    """``PvfCheckCause::Upgrade``: the para whose candidate brought the code."""

    index: ClassVar[int] = 1
    para_id: U32
    included_at: U32
    """The block that included the candidate."""
    upgrade_strategy: U8 = SET_GO_AHEAD_SIGNAL


@dataclass(frozen=True, slots=True)
class PvfCheckActiveVoteState(Struct):
    """A vote that is going on."""

    votes_accept: Annotated[tuple[bool, ...], bit_vec]
    """One per validator of the session."""
    votes_reject: Annotated[tuple[bool, ...], bit_vec]
    age: U32
    """Ends of sessions it has seen."""
    created_at: U32
    """Block number."""
    causes: tuple[Upgrade, ...]

    @classmethod
    def new(cls, number: int, validators: int, cause: Upgrade) -> PvfCheckActiveVoteState:
        """A vote of so many validators that block `number` starts."""
        nobody = (False,) * validators
        return cls(nobody, nobody, 0, number, (cause,))

    def renewed(self, validators: int) -> PvfCheckActiveVoteState:
        """At the end of a session: a session older, and nobody of the new one has voted."""
        nobody = (False,) * validators
        return replace(self, votes_accept=nobody, votes_reject=nobody, age=self.age + 1)

    def has_vote(self, validator: int) -> bool:
        """Whether the validator at this index has voted in this session."""
        return self.votes_accept[validator] or self.votes_reject[validator]

    def with_vote(self, statement: PvfCheckStatement) -> PvfCheckActiveVoteState:
        """The same with one vote more."""
        votes = list(self.votes_accept if statement.accept else self.votes_reject)
        votes[statement.validator_index] = True
        if statement.accept:
            return replace(self, votes_accept=tuple(votes))
        return replace(self, votes_reject=tuple(votes))

    def quorum(self) -> bool | None:
        """Whether the code is accepted; ``None`` while that is open."""
        accepting = supermajority_threshold(len(self.votes_accept))
        if sum(self.votes_accept) >= accepting:
            return True
        if sum(self.votes_reject) > len(self.votes_reject) - accepting:
            return False
        return None


def active_vote_key(code_hash: bytes) -> bytes:
    """Key of ``Paras::PvfActiveVoteMap``."""
    return storage_prefix("Paras", "PvfActiveVoteMap") + twox_64_concat(code_hash)


def pvfs_require_precheck(state: RelayState) -> tuple[bytes, ...]:
    """Hashes of the codes that are voted on, ascending. As the runtime API of that name."""
    value = state.get(ACTIVE_VOTE_LIST)
    return () if value is None else _HASHES.decode(value)


def active_vote(state: RelayState, code_hash: bytes) -> PvfCheckActiveVoteState | None:
    """The vote on a code, if there is one."""
    value = state.get(active_vote_key(code_hash))
    return None if value is None else PvfCheckActiveVoteState.decode(value)


def has_voted(state: RelayState, code_hash: bytes) -> tuple[bool, ...]:
    """Who has voted on a code in this session, by index. Older relay runtimes differ in what comes after the votes."""
    value = state.get(active_vote_key(code_hash)) or b"\0\0"
    accepting, end = bit_vec.decode_prefix(value)
    rejecting, _ = bit_vec.decode_prefix(value, end)
    return tuple(accept or reject for accept, reject in zip(accepting, rejecting, strict=True))


def put_active_vote(state: RelayStateBuilder, code_hash: bytes, vote: PvfCheckActiveVoteState | None) -> None:
    """Write the vote on a code; ``None`` ends it."""
    state.set(active_vote_key(code_hash), None if vote is None else vote.encode())
    listed = pvfs_require_precheck(state)
    if (code_hash in listed) is (vote is not None):
        return
    kept = (*listed, code_hash) if vote is not None else (one for one in listed if one != code_hash)
    state.set(ACTIVE_VOTE_LIST, _HASHES.encode(tuple(sorted(kept))))


def check_statement(
    state: RelayState, signed: SignedPvfCheck, session_index: int, validators: Sequence[bytes]
) -> PvfCheckActiveVoteState:
    """The vote that a statement belongs to. Raises `PvfCheckRefused`.

    `validators` are the public keys of the session's, 32 bytes each.
    """
    statement = signed.statement
    if statement.session_index != session_index:
        stale = statement.session_index < session_index
        raise PvfCheckRefused(
            PvfCheckRefusal.STATEMENT_STALE if stale else PvfCheckRefusal.STATEMENT_FUTURE,
            f"session {statement.session_index}, this is {session_index}",
        )
    if statement.validator_index >= len(validators):
        raise PvfCheckRefused(
            PvfCheckRefusal.VALIDATOR_INDEX_OUT_OF_BOUNDS,
            f"validator {statement.validator_index} of {len(validators)}",
        )
    voter = validators[statement.validator_index]
    if not sr25519_verify(signed.signature, statement.signing_payload(), voter):
        raise PvfCheckRefused(
            PvfCheckRefusal.INVALID_SIGNATURE,
            f"the signature of validator {statement.validator_index} does not verify",
        )
    vote = active_vote(state, statement.subject)
    if vote is None:
        raise PvfCheckRefused(
            PvfCheckRefusal.SUBJECT_INVALID, f"there is no vote on 0x{statement.subject.hex()}"
        )
    if vote.has_vote(statement.validator_index):
        raise PvfCheckRefused(
            PvfCheckRefusal.DOUBLE_VOTE, f"validator {statement.validator_index} has voted already"
        )
    return vote
