"""Votes on new validation code: who may vote, and when it is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.keyring import Keypair
from pileus.relay_chain import StateDatabase
from pileus.relay_chain.pvf_checks import (
    PvfCheckActiveVoteState,
    PvfCheckRefusal,
    PvfCheckRefused,
    PvfCheckStatement,
    SignedPvfCheck,
    Upgrade,
    active_vote,
    check_statement,
    put_active_vote,
    pvfs_require_precheck,
)
from pileus.relay_chain.sessions import byzantine_threshold, supermajority_threshold
from pileus.relay_chain.storage import RelayStateBuilder
from runtime.primitives.hashing import blake2_256

CODE = blake2_256(b"code")
SESSION = 7
KEYS = [Keypair.from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie", "Dave")]
PUBLIC = [key.public_key for key in KEYS]
CAUSE = Upgrade(2000, 3)


def state_with(vote: PvfCheckActiveVoteState | None) -> RelayStateBuilder:
    database = StateDatabase()
    state = RelayStateBuilder(database, database.layout.empty_root)
    if vote is not None:
        put_active_vote(state, CODE, vote)
    return state


def signed(
    index: int = 0,
    *,
    accept: bool = True,
    subject: bytes = CODE,
    session: int = SESSION,
    by: int | None = None,
) -> SignedPvfCheck:
    statement = PvfCheckStatement(accept, subject, session, index)
    return SignedPvfCheck(statement, KEYS[index if by is None else by].sign(statement.signing_payload()))


def cast(votes: Sequence[bool | None]) -> PvfCheckActiveVoteState:
    vote = PvfCheckActiveVoteState.new(3, len(votes), CAUSE)
    for index, accept in enumerate(votes):
        if accept is not None:
            vote = vote.with_vote(PvfCheckStatement(accept, CODE, SESSION, index))
    return vote


# The tally.

votes_cast = st.lists(st.sampled_from([None, True, False]), min_size=1, max_size=40)


@given(votes_cast)
def test_a_decision_is_one_that_no_further_vote_changes(votes: list[bool | None]) -> None:
    """Accepted by two thirds and one; rejected exactly when those cannot be reached any more."""
    decided = cast(votes).quorum()
    best = cast([vote is not False for vote in votes]).quorum()
    worst = cast([vote is True for vote in votes]).quorum()
    if decided is None:
        assert (best, worst) == (True, False)
    else:
        assert best is worst is decided


@given(st.integers(1, 1000), st.data())
def test_the_dishonest_alone_decide_nothing(validators: int, data: st.DataObject) -> None:
    lie = data.draw(st.booleans())
    liars = byzantine_threshold(validators)
    assert cast([lie] * liars + [None] * (validators - liars)).quorum() is None
    honest = cast([lie] * liars + [not lie] * (validators - liars))
    assert honest.quorum() is not lie


def test_the_tally_of_four() -> None:
    assert supermajority_threshold(4) == 3
    assert cast([True, True, None, None]).quorum() is None
    assert cast([True, True, True, None]).quorum() is True
    assert cast([True, True, False, None]).quorum() is None
    assert cast([False, False, None, None]).quorum() is False


def test_in_a_new_session_nobody_has_voted() -> None:
    vote = cast([True, False, None])
    assert [vote.has_vote(index) for index in range(3)] == [True, True, False]
    again = vote.renewed(5)
    assert (again.age, again.created_at, again.causes) == (1, 3, (CAUSE,))
    assert [again.has_vote(index) for index in range(5)] == [False] * 5


# What counts.


def test_a_statement_is_signed_by_45_bytes() -> None:
    """Magic, vote, code, session, voter, in the order of ``PvfCheckStatement::signing_payload``."""
    payload = PvfCheckStatement(True, CODE, 0x01020304, 0x0A0B0C0D).signing_payload()
    assert payload == b"VCPC" + b"\x01" + CODE + b"\x04\x03\x02\x01" + b"\x0d\x0c\x0b\x0a"
    assert len(payload) == 45


def test_a_sound_statement_counts() -> None:
    state = state_with(cast([None, None, None, None]))
    assert check_statement(state, signed(2), SESSION, PUBLIC) == active_vote(state, CODE)


@pytest.mark.parametrize(
    "statement, refusal",
    [
        (signed(session=SESSION - 1), PvfCheckRefusal.STATEMENT_STALE),
        (signed(session=SESSION + 1), PvfCheckRefusal.STATEMENT_FUTURE),
        (signed(4, by=0), PvfCheckRefusal.VALIDATOR_INDEX_OUT_OF_BOUNDS),
        (signed(2**32 - 1, by=0), PvfCheckRefusal.VALIDATOR_INDEX_OUT_OF_BOUNDS),
        (signed(1, by=0), PvfCheckRefusal.INVALID_SIGNATURE),
        (replace(signed(), signature=bytes(64)), PvfCheckRefusal.INVALID_SIGNATURE),
        (
            replace(signed(), statement=replace(signed().statement, accept=False)),
            PvfCheckRefusal.INVALID_SIGNATURE,
        ),
        (signed(subject=bytes(32)), PvfCheckRefusal.SUBJECT_INVALID),
        (signed(3), PvfCheckRefusal.DOUBLE_VOTE),
        (signed(3, accept=False), PvfCheckRefusal.DOUBLE_VOTE),
    ],
)
def test_what_does_not_count(statement: SignedPvfCheck, refusal: PvfCheckRefusal) -> None:
    state = state_with(cast([None, None, None, True]))
    with pytest.raises(PvfCheckRefused) as caught:
        check_statement(state, statement, SESSION, PUBLIC)
    assert caught.value.refusal is refusal
    assert str(caught.value).startswith(refusal.value)


# The list of what is voted on.


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.booleans()), max_size=12))
def test_the_list_is_of_the_votes_that_go_on(steps: list[tuple[bytes, bool]]) -> None:
    state = state_with(None)
    going_on: dict[bytes, PvfCheckActiveVoteState] = {}
    for code_hash, begins in steps:
        vote = cast([None]) if begins else None
        put_active_vote(state, code_hash, vote)
        if vote is None:
            going_on.pop(code_hash, None)
        else:
            going_on[code_hash] = vote
        assert pvfs_require_precheck(state) == tuple(sorted(going_on))
        assert active_vote(state, code_hash) == vote
