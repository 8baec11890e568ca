"""Nothing goes wrong: what every answerer must get right."""

from __future__ import annotations

from typing import Final

from pileus.verdicts.play import Play
from pileus.verdicts.scenario import Scenario
from pileus.verdicts.setup import ABSENT, SIBLING, Candidate

__all__ = ["SCENARIOS"]


def happy(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    included = play.include(candidate, play.back(candidate))
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    play.outcome("head of the sibling", play.seen(candidate, SIBLING))
    return candidate


def absent_key(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(ABSENT)])
    included = play.include(candidate, play.back(candidate))
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    play.outcome("head of para 7", play.seen(candidate, ABSENT))
    return candidate


SCENARIOS: Final = (
    Scenario(
        "happy",
        "A block reads a sibling's head; everybody who looks has the relay state.",
        happy,
        """
                               own              carried          fallback         naive
        collator               valid            valid            valid            valid
        backer                 valid            valid            valid            valid
        approval checker       valid            valid            valid            valid
        dispute participant    valid            valid            valid            valid
        syncing full node      valid            valid            valid            valid
        > backed               yes              yes              yes              yes
        > included             yes              yes              yes              yes
        > approved             yes              yes              yes              yes
        > dispute              concluded valid  concluded valid  concluded valid  concluded valid
        > slashed              1 dishonest      1 dishonest      1 dishonest      1 dishonest
        > reverted             -                -                -                -
        > head of the sibling  block 1          block 1          block 1          block 1
        > flags                -                -                -                -
        """,
        ("sdk-13022", "polkadot-approval-voting"),
        "Every answerer reads one and the same trie, so all agree.",
    ),
    Scenario(
        "absent-key",
        "A block reads the head of a parachain that is not registered, and gets a proven absence.",
        absent_key,
        """
                             own              carried          fallback         naive
        collator             valid            valid            valid            valid
        backer               valid            valid            valid            valid
        approval checker     valid            valid            valid            valid
        dispute participant  valid            valid            valid            valid
        syncing full node    valid            valid            valid            valid
        > backed             yes              yes              yes              yes
        > included           yes              yes              yes              yes
        > approved           yes              yes              yes              yes
        > dispute            concluded valid  concluded valid  concluded valid  concluded valid
        > slashed            1 dishonest      1 dishonest      1 dishonest      1 dishonest
        > reverted           -                -                -                -
        > head of para 7     absent           absent           absent           absent
        > flags              -                -                -                -
        """,
        ("sdk-13022", "trie-db"),
        "Absence is proven by the nodes on the key's path, which are there like those of a value.",
    ),
)
