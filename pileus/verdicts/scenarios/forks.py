"""The relay chain changes its mind: forks that lose, inclusions that are reverted, heads that were never final."""

from __future__ import annotations

from typing import Final

from pileus.relay_chain.tree import NotViable
from pileus.verdicts.play import Play
from pileus.verdicts.scenario import Scenario
from pileus.verdicts.setup import FINALITY_LAG, SIBLING, Candidate

__all__ = ["SCENARIOS"]


def abandoned_fork(play: Play) -> Candidate:
    play.advance_sibling()
    play.chain.stall_finality()
    common = play.chain.best
    fork = play.advance(1, parent=common.hash)
    candidate = play.author([play.head_of(SIBLING)], relay_parent=fork)
    included = play.include(candidate, play.back(candidate), parent=fork.hash)
    # The other fork becomes the longer one, and final.
    play.advance(4, parent=common.hash, late=1)
    play.advance_sibling()
    play.chain.resume_finality()
    play.advance(FINALITY_LAG + 2)
    if included is not None:
        play.outcome("including block", "viable" if play.chain.tree.is_viable(included) else "abandoned")
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    return candidate


def reverted_inclusion(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    backed = play.back(candidate)
    included = play.include(candidate, backed)
    if included is not None:
        # What a dispute about some other candidate in this block does when it is lost.
        play.chain.revert(included.parent_hash)
    again = play.include(candidate, backed)
    if again is not None:
        play.approve(candidate, again)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    return candidate


def sibling_head_reverted(play: Play) -> Candidate:
    play.chain.stall_finality()
    common = play.chain.best
    relay_parent = play.advance_sibling(parent=common.hash)
    candidate = play.author([play.head_of(SIBLING)], relay_parent=relay_parent, label="read it")
    backed = play.back(candidate)
    play.include(candidate, backed, parent=relay_parent.hash)
    # On the other fork the sibling's head was never included.
    other = play.advance(5, parent=common.hash, late=1)
    refused = play.chain.build_block([] if backed is None else [backed], parent=other.hash).refused
    play.outcome("offered to the other fork", refused[0].reason.value if refused else "backed")
    play.chain.resume_finality()
    there = play.author([play.head_of(SIBLING)], label="other fork")
    included = play.include(there, play.back(there))
    if included is not None:
        play.approve(there, included)
    play.dispute(candidate, accuser="judy")
    play.outcome("head that was read", play.seen(candidate, SIBLING))
    play.outcome("head on the other fork", play.seen(there, SIBLING))
    return candidate


def finalized_relay_parent(play: Play) -> Candidate:
    old = play.advance_sibling()
    play.advance(FINALITY_LAG)
    newest = play.advance_sibling()
    while play.chain.finalized.number < old.number:
        play.advance(1)
    relay_parent = play.chain.finalized
    candidate = play.author([play.head_of(SIBLING)], relay_parent=relay_parent)
    included = play.include(candidate, play.back(candidate))
    try:
        play.chain.revert(relay_parent.hash)
    except NotViable:
        play.outcome("revert of the relay parent", "refused: it is final")
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    play.outcome("head that was read", play.seen(candidate, SIBLING))
    play.outcome("newest head at the time", play.head_at(newest))
    return candidate


SCENARIOS: Final = (
    Scenario(
        "abandoned-fork",
        "The candidate was included on a relay fork that lost; it is disputed after finality has abandoned the fork.",
        abandoned_fork,
        """
                             own                             carried          fallback         naive
        collator             valid                           valid            valid            valid
        backer               valid                           valid            valid            valid
        dispute participant  abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        syncing full node    abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        > backed             yes                             yes              yes              yes
        > included           yes                             yes              yes              yes
        > including block    abandoned                       abandoned        abandoned        abandoned
        > dispute            open                            concluded valid  concluded valid  concluded invalid
        > slashed            -                               1 dishonest      1 dishonest      5 honest
        > reverted           -                               -                -                -
        > flags              -                               -                -                disagree, slash
        """,
        ("sdk-579", "sc-state-db"),
        "A candidate on a dead fork must still be disputable; the states of dead forks go first.",
    ),
    Scenario(
        "reverted-inclusion",
        "The including block is reverted by a lost dispute about something else; the candidate is included again.",
        reverted_inclusion,
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
        > flags              -                -                -                -
        """,
        ("polkadot-disputes", "polkadot-inclusion"),
        "The relay parent is still an ancestor of the best block, and its state is there.",
    ),
    Scenario(
        "sibling-head-reverted",
        "A block reads a sibling's head that is included on one relay fork only, and that fork loses.",
        sibling_head_reverted,
        """
                                       own                             carried                fallback               naive
        collator (read it)             valid                           valid                  valid                  valid
        collator (other fork)          valid                           valid                  valid                  valid
        backer (read it)               valid                           valid                  valid                  valid
        backer (other fork)            valid                           valid                  valid                  valid
        approval checker (other fork)  valid                           valid                  valid                  valid
        dispute participant (read it)  abstains RelayStateUnavailable  valid                  valid                  invalid ExecutionError
        > backed (read it)             yes                             yes                    yes                    yes
        > included (read it)           yes                             yes                    yes                    yes
        > offered to the other fork    DisallowedRelayParent           DisallowedRelayParent  DisallowedRelayParent  DisallowedRelayParent
        > backed (other fork)          yes                             yes                    yes                    yes
        > included (other fork)        yes                             yes                    yes                    yes
        > approved (other fork)        yes                             yes                    yes                    yes
        > dispute (read it)            open                            concluded valid        concluded valid        concluded invalid
        > slashed (read it)            -                               1 dishonest            1 dishonest            5 honest
        > reverted (read it)           -                               -                      -                      -
        > head that was read           block 1                         block 1                block 1                block 0
        > head on the other fork       block 0                         block 0                block 0                block 0
        > flags                        -                               -                      -                      disagree, slash
        """,
        ("sdk-7445", "polkadot-inclusion"),
        "The candidate can be backed only where its relay parent is an ancestor, that is, where the head is included too.",
    ),
    Scenario(
        "finalized-relay-parent",
        "A block takes the newest finalized relay block as its relay parent, so the head that it reads is final.",
        finalized_relay_parent,
        """
                                      own                   carried               fallback              naive
        collator                      valid                 valid                 valid                 valid
        backer                        valid                 valid                 valid                 invalid ExecutionError
        approval checker              valid                 valid                 valid                 -
        dispute participant           valid                 valid                 valid                 invalid ExecutionError
        syncing full node             valid                 valid                 valid                 invalid ExecutionError
        > backed                      yes                   yes                   yes                   no
        > included                    yes                   yes                   yes                   no
        > revert of the relay parent  refused: it is final  refused: it is final  refused: it is final  refused: it is final
        > approved                    yes                   yes                   yes                   -
        > dispute                     concluded valid       concluded valid       concluded valid       one-sided
        > slashed                     1 dishonest           1 dishonest           1 dishonest           -
        > reverted                    -                     -                     -                     -
        > head that was read          block 1               block 1               block 1               block 2
        > newest head at the time     block 2               block 2               block 2               block 2
        > flags                       -                     -                     -                     disagree
        """,
        ("sdk-7445", "sdk-11231"),
        "What is final is never reverted; the price is that the head read is as old as finality is late.",
    ),
)
