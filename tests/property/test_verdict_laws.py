"""Laws of verdicts over generated relay chain histories.

* Under a carried proof, and under the fallback, honest roles never contradict each other, and none is kept from a
  verdict by the state of a relay database.
* Under own state they differ as valid against abstention only.
* Nothing that happens to a validator or to the relay chain turns an honest candidate invalid, nor gets anybody honest
  slashed.
* A carried proof is minimal: without any one of its nodes, or with any other node, the candidate is invalid.

A history is a list of steps: blocks, forks, candidates, stalls, reverts, pruning, warp syncs, damaged disks, lost
chunks, and somebody who judges in between. Counterexamples stay as examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from pileus.relay_chain.tree import NotViable
from pileus.verdicts.answerers import Answerer
from pileus.verdicts.forging import relay_proof_of, with_relay_proof
from pileus.verdicts.play import Play
from pileus.verdicts.setup import ABSENT, SIBLING, Candidate, CannotAuthor, Setup
from pileus.verdicts.sweeps import judged_by_carried_proof
from pov_validator import Abstain, AbstainReason, Invalid, Valid
from pov_validator.roles import Role
from runtime.primitives import relay_keys

SOME = settings(
    max_examples=max(8, settings().max_examples // 6),
    suppress_health_check=[HealthCheck.too_slow],
)
"""A history takes a second; the profile ``campaign`` tries a few hundred."""

KEYS = (
    relay_keys.para_head(SIBLING),
    relay_keys.para_head(ABSENT),
    relay_keys.CURRENT_SLOT,
    relay_keys.ACTIVE_CONFIG,
    b":code",
    b"",
    b"\xff" * 40,
)
keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)
depths = st.integers(0, 4)
which = st.integers(0, 9)
steps = st.one_of(
    st.tuples(st.just("candidate"), keys, st.just(0)),
    st.tuples(st.just("candidate"), keys, depths),
    st.tuples(st.just("sibling")),
    st.tuples(st.just("advance"), st.integers(1, 25)),
    st.tuples(st.just("fork"), depths, st.integers(1, 8)),
    st.tuples(st.just("approve"), which),
    st.tuples(st.just("dispute"), which),
    st.tuples(st.just("sync"), which),
    st.tuples(st.just("prune"), depths, st.none() | which),
    st.tuples(st.just("warp"), which),
    st.tuples(st.just("damage"), which, which),
    st.tuples(st.just("revert"), depths),
    st.tuples(st.just("stall")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("lose"), which, which),
)
histories = st.lists(steps, min_size=3, max_size=14)


class History:
    """A play that takes any steps in any order; one that is not possible is left out."""

    def __init__(self, answerer: Answerer) -> None:
        self.play = Play(answerer, 0, Setup(collator_archive=True))
        self.candidates: list[Candidate] = []

    def run(self, history: list[tuple[Any, ...]]) -> Play:
        for name, *arguments in history:
            step: Callable[..., None] = getattr(self, name)
            try:
                step(*arguments)
            except NotViable:
                event("not viable")
        # Whatever has happened: in the end everybody is asked about every candidate.
        for position in range(len(self.candidates)):
            self.approve(position)
            self.dispute(position)
            self.sync(position)
        return self.play

    def chosen(self, position: int) -> list[Candidate]:
        """One of the candidates so far, if there are any."""
        return [self.candidates[position % len(self.candidates)]] if self.candidates else []

    def back_by(self, depth: int) -> Any:
        return self.play.chain.ancestry(self.play.chain.best, depth)[-1]

    def candidate(self, keys: list[bytes], depth: int) -> None:
        relay_parent = self.back_by(depth)
        try:
            candidate = self.play.author(keys, relay_parent=relay_parent, label=f"#{len(self.candidates)}")
        except CannotAuthor:
            event("no candidate")
            return
        self.candidates.append(candidate)
        self.play.include(candidate, self.play.back(candidate))

    def sibling(self) -> None:
        self.play.advance_sibling()

    def advance(self, blocks: int) -> None:
        self.play.advance(blocks)

    def fork(self, depth: int, blocks: int) -> None:
        self.play.advance(blocks, parent=self.back_by(depth).hash, late=1)

    def approve(self, position: int) -> None:
        for candidate in self.chosen(position):
            for block in self.play.chain.candidates[candidate.hash].included_in:
                self.play.approve(candidate, block)

    def dispute(self, position: int) -> None:
        for candidate in self.chosen(position):
            self.play.dispute(candidate, accuser="judy")

    def sync(self, position: int) -> None:
        for candidate in self.chosen(position):
            self.play.sync(candidate)

    def prune(self, depth: int, validator: int | None) -> None:
        """At one validator, or at all of them and the full node; those who author keep what they need."""
        block = self.back_by(depth)
        chosen = (
            self.play.validators if validator is None else self.play.validators[validator : validator + 1]
        )
        self.play.prune(block, *(one.name for one in chosen))
        if validator is None:
            self.play.full_node.prune(block)

    def warp(self, validator: int) -> None:
        self.play.validators[validator].database.warp_sync(self.play.chain.best)

    def damage(self, validator: int, position: int) -> None:
        items = [item for _, item in self.play.chain.database.items_of(self.play.chain.best.state_root)]
        self.play.validators[validator].database.damage(items[position % len(items)])

    def revert(self, depth: int) -> None:
        block = self.back_by(depth)
        if block.number > 1:  # nobody builds on the genesis block
            self.play.chain.revert(block.hash)

    def stall(self) -> None:
        self.play.chain.stall_finality()

    def resume(self) -> None:
        self.play.chain.resume_finality()

    def lose(self, position: int, validator: int) -> None:
        for candidate in self.chosen(position):
            self.play.chain.availability.lose(candidate.hash, validator)


@pytest.mark.parametrize(
    "answerer", [Answerer.OWN, Answerer.CARRIED, Answerer.FALLBACK], ids=lambda one: one.value
)
@SOME
@given(history=histories)
@example(
    history=[("candidate", [KEYS[0]], 0), ("prune", 2, None), ("approve", 0), ("dispute", 0), ("sync", 0)]
)
@example(
    history=[
        ("sibling",),
        ("candidate", [KEYS[0]], 0),
        ("sibling",),
        ("advance", 25),
        ("advance", 25),
        ("dispute", 0),
    ]
)
@example(
    history=[
        ("stall",),
        ("candidate", [KEYS[1]], 0),
        ("fork", 4, 8),
        ("resume",),
        ("dispute", 0),
        ("sync", 0),
    ]
)
@example(
    history=[("candidate", [KEYS[2]], 0), ("damage", 7, 3), ("damage", 8, 0), ("warp", 6), ("approve", 0)]
)
def test_honest_roles_never_contradict(answerer: Answerer, history: list[tuple[Any, ...]]) -> None:
    play = History(answerer).run(history)
    assert play.honest_offences == []
    for judged in play.judged:
        verdict = judged.judgement.verdict
        if not judged.honest:
            continue
        event(f"{judged.judgement.role.value}: {type(verdict).__name__}")
        assert not isinstance(verdict, Invalid), (judged.judge, str(verdict))
        if isinstance(verdict, Abstain) and judged.judgement.role is not Role.COLLATOR:
            allowed = {AbstainReason.AVAILABLE_DATA_UNAVAILABLE, AbstainReason.SESSION_INFO_UNAVAILABLE}
            if answerer is Answerer.OWN:
                allowed.add(AbstainReason.RELAY_STATE_UNAVAILABLE)
            assert verdict.reason in allowed, (judged.judge, str(verdict))


@SOME
@given(keys=keys, siblings=st.integers(0, 2), blocks=st.integers(0, 3), data=st.data())
def test_a_carried_proof_is_minimal(
    keys: list[bytes], siblings: int, blocks: int, data: st.DataObject
) -> None:
    play = Play(Answerer.CARRIED, 0, Setup())
    for _ in range(siblings):
        play.advance_sibling()
    play.advance(blocks)
    candidate = play.author(keys)
    carried = relay_proof_of(candidate)
    assert isinstance(judged_by_carried_proof(play, candidate), Valid)
    for left in carried:
        forged = with_relay_proof(play, candidate, [node for node in carried if node != left])
        assert isinstance(judged_by_carried_proof(play, forged), Invalid), left.hex()
    state = play.chain.database.items_of(play.chain.best.state_root)
    others = sorted(item for _, item in state if item not in carried)
    added = data.draw(st.lists(st.sampled_from(others), max_size=3, unique=True)) if others else []
    for item in (*added, b"", b"\x00", data.draw(st.binary(min_size=1, max_size=60))):
        if item in carried:
            continue
        forged = with_relay_proof(play, candidate, [*carried, item])
        assert isinstance(judged_by_carried_proof(play, forged), Invalid), item.hex()


def test_the_laws_would_notice() -> None:
    """The naive answerer breaks them, on the first of the examples that changes the state meanwhile."""
    history = [("sibling",), ("candidate", [KEYS[0]], 0), ("sibling",), ("advance", 25), ("dispute", 0)]
    play = History(Answerer.NAIVE).run(history)
    assert play.honest_offences
    assert any(isinstance(judged.judgement.verdict, Invalid) and judged.honest for judged in play.judged)
