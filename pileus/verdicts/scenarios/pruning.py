"""The relay parent's state is not where somebody looks for it: pruned, never had, damaged, or older than anybody keeps."""

from __future__ import annotations

from typing import Final

from host_functions.relay_state import RelayStateReader
from pileus.verdicts.actors import LyingReads
from pileus.verdicts.play import Play
from pileus.verdicts.scenario import Scenario
from pileus.verdicts.setup import SESSION, SIBLING, Candidate, Setup

__all__ = ["SCENARIOS"]

DAY: Final = 5 * SESSION
"""Relay blocks after which a candidate can just be disputed: the sixth session, counted from its own."""


def pruned_before_approval(play: Play) -> Candidate:
    play.advance_sibling()
    relay_parent = play.chain.best
    candidate = play.author([play.head_of(SIBLING)])
    included = play.include(candidate, play.back(candidate))
    play.prune(relay_parent)
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    return candidate


def dispute_a_day_later(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    included = play.include(candidate, play.back(candidate))
    if included is not None:
        play.approve(candidate, included)
    play.advance_sibling()
    play.advance(DAY)
    play.dispute(candidate, accuser="judy")
    play.sync(candidate)
    return candidate


def lie_then_prune(play: Play) -> Candidate:
    play.advance_sibling()
    relay_parent = play.chain.best
    key = play.head_of(SIBLING)

    def lying(honest: RelayStateReader) -> RelayStateReader:
        return LyingReads(honest, key, b"\x04?")

    candidate = play.author([key], tampered=lying)
    play.back(candidate)
    included = play.include(candidate, play.buy_backers(candidate))
    play.prune(relay_parent)
    if included is not None:
        play.approve(candidate, included)
    return candidate


def warp_synced(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    included = play.include(candidate, play.back(candidate))
    play.advance_sibling()
    for validator in play.named("ivan"):
        validator.database.warp_sync(play.chain.best)
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    return candidate


def different_pruning(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    play.include(candidate, play.back(candidate))
    play.advance_sibling()
    play.advance(DAY)
    play.dispute(candidate, accuser="judy")
    return candidate


def corrupted_database(play: Play) -> Candidate:
    play.advance_sibling()
    candidate = play.author([play.head_of(SIBLING)])
    value = play.chain.state(play.chain.best).get(play.head_of(SIBLING))
    for validator in play.named("ivan"):
        if value is not None:
            validator.database.damage(value)
    included = play.include(candidate, play.back(candidate))
    if included is not None:
        play.approve(candidate, included)
    play.dispute(candidate, accuser="judy")
    return candidate


def old_relay_parent(play: Play) -> Candidate:
    play.advance_sibling()
    relay_parent = play.chain.best
    play.advance_sibling()
    play.advance(3 * SESSION)
    keys = [play.head_of(SIBLING)]
    play.try_to_author(keys, relay_parent, "ordinary relay node")
    candidate = play.author(keys, relay_parent=relay_parent)
    included = play.include(candidate, play.back(candidate))
    if included is not None:
        play.approve(candidate, included)
        play.dispute(candidate, accuser="judy")
        play.sync(candidate)
    return candidate


SCENARIOS: Final = (
    Scenario(
        "pruned-before-approval",
        "The relay parent's state is pruned everywhere between inclusion and approval checking.",
        pruned_before_approval,
        """
                             own                             carried          fallback         naive
        collator             valid                           valid            valid            valid
        backer               valid                           valid            valid            valid
        approval checker     abstains RelayStateUnavailable  valid            valid            valid
        dispute participant  abstains RelayStateUnavailable  valid            valid            valid
        syncing full node    abstains RelayStateUnavailable  valid            valid            valid
        > backed             yes                             yes              yes              yes
        > included           yes                             yes              yes              yes
        > approved           no                              yes              yes              yes
        > dispute            open                            concluded valid  concluded valid  concluded valid
        > slashed            -                               1 dishonest      1 dishonest      1 dishonest
        > reverted           -                               -                -                -
        > flags              -                               -                -                -
        """,
        ("cumulus-pvd", "polkadot-approval-voting"),
        "An approval checker recovers PoV and validation data and nothing else; the relay parent's state is none of it.",
    ),
    Scenario(
        "dispute-a-day-later",
        "An honest candidate is disputed in the last session in which it can be; relay state of then is long pruned.",
        dispute_a_day_later,
        """
                             own                             carried          fallback         naive
        collator             valid                           valid            valid            valid
        backer               valid                           valid            valid            valid
        approval checker     valid                           valid            valid            valid
        dispute participant  abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        syncing full node    abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        > backed             yes                             yes              yes              yes
        > included           yes                             yes              yes              yes
        > approved           yes                             yes              yes              yes
        > dispute            open                            concluded valid  concluded valid  concluded invalid
        > slashed            -                               1 dishonest      1 dishonest      5 honest
        > reverted           -                               -                -                too late: frozen
        > flags              -                               -                -                disagree, slash
        """,
        ("sdk-1359", "polkadot-disputes"),
        "Available data is kept for the whole dispute window, states for 256 blocks.",
    ),
    Scenario(
        "lie-then-prune",
        "A collator lies, bought backers sign, and the relay parent's state is pruned before anybody checks.",
        lie_then_prune,
        """
                                  own                             carried                 fallback                naive
        collator, dishonest       valid                           valid                   valid                   valid
        backer                    invalid ExecutionError          invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        approval checker          abstains RelayStateUnavailable  invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        dispute participant       -                               invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        > backed                  no                              no                      no                      no
        > backed by bought votes  yes                             yes                     yes                     yes
        > included                yes                             yes                     yes                     yes
        > approved                no                              disputed                disputed                disputed
        > dispute                 -                               concluded invalid       concluded invalid       concluded invalid
        > slashed                 -                               3 dishonest             3 dishonest             3 dishonest
        > reverted                -                               1 block                 1 block                 1 block
        > flags                   -                               -                       -                       -
        """,
        ("sdk-1359", "polkadot-disputes"),
        "Who cannot tell does not vote, so under own state nobody convicts; the carried proof convicts at any time.",
    ),
    Scenario(
        "warp-synced",
        "One validator joined by warp sync after the relay parent, and never had its state.",
        warp_synced,
        """
                                          own                             carried          fallback         naive
        collator                          valid                           valid            valid            valid
        backer                            valid                           valid            valid            valid
        approval checker                  valid                           valid            valid            invalid ExecutionError
        approval checker, warp-synced     abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        dispute participant               valid                           valid            valid            invalid ExecutionError
        dispute participant, warp-synced  abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        > backed                          yes                             yes              yes              yes
        > included                        yes                             yes              yes              yes
        > approved                        yes                             yes              yes              disputed
        > dispute                         concluded valid                 concluded valid  concluded valid  concluded invalid
        > slashed                         1 dishonest                     1 dishonest      1 dishonest      5 honest
        > reverted                        -                               -                -                too late: frozen
        > flags                           -                               -                -                disagree, slash
        """,
        ("sc-state-db", "cumulus-pvd"),
        "A state that was never there is no other than one that was pruned.",
        Setup(conditions={"ivan": "warp-synced"}),
    ),
    Scenario(
        "different-pruning",
        "Two validators are archive nodes, the others prune; the candidate is disputed a day later.",
        different_pruning,
        """
                                      own                             carried          fallback         naive
        collator                      valid                           valid            valid            valid
        backer                        valid                           valid            valid            valid
        dispute participant           abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        dispute participant, archive  valid                           valid            valid            invalid ExecutionError
        > backed                      yes                             yes              yes              yes
        > included                    yes                             yes              yes              yes
        > dispute                     concluded valid                 concluded valid  concluded valid  concluded invalid
        > slashed                     1 dishonest                     1 dishonest      1 dishonest      5 honest
        > reverted                    -                               -                -                too late: frozen
        > flags                       -                               -                -                disagree, slash
        """,
        ("sdk-1359", "sc-state-db"),
        "The same candidate, the same code, other databases: those who have the state find it valid, the others abstain.",
        Setup(conditions={"heidi": "archive", "ivan": "archive"}, archives=("heidi", "ivan")),
    ),
    Scenario(
        "corrupted-database",
        "One validator's disk has flipped a bit in the value that the block reads.",
        corrupted_database,
        """
                                           own                             carried          fallback         naive
        collator                           valid                           valid            valid            valid
        backer                             valid                           valid            valid            valid
        approval checker                   valid                           valid            valid            valid
        approval checker, damaged disk     abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        dispute participant                valid                           valid            valid            valid
        dispute participant, damaged disk  abstains RelayStateUnavailable  valid            valid            invalid ExecutionError
        > backed                           yes                             yes              yes              yes
        > included                         yes                             yes              yes              yes
        > approved                         yes                             yes              yes              disputed
        > dispute                          concluded valid                 concluded valid  concluded valid  concluded valid
        > slashed                          1 dishonest                     1 dishonest      1 dishonest      1 honest, 1 dishonest
        > reverted                         -                               -                -                -
        > flags                            -                               -                -                disagree, slash
        """,
        ("polkadot-candidate-validation", "sdk-13022"),
        "An item that does not have its hash is not there; to vote on what it says would be to vote against the others.",
        Setup(conditions={"ivan": "damaged disk"}),
    ),
    Scenario(
        "old-relay-parent",
        "A candidate takes a relay parent three sessions old, as version 3 candidates may.",
        old_relay_parent,
        """
                                       own                             carried                         fallback                        naive
        collator                       valid                           valid                           valid                           valid
        collator, ordinary relay node  abstains RelayStateUnavailable  abstains RelayStateUnavailable  abstains RelayStateUnavailable  abstains RelayStateUnavailable
        backer                         abstains RelayStateUnavailable  valid                           valid                           invalid ExecutionError
        approval checker               -                               valid                           valid                           -
        dispute participant            -                               valid                           valid                           -
        syncing full node              -                               valid                           valid                           -
        > backed                       no                              yes                             yes                             no
        > included                     no                              yes                             yes                             no
        > approved                     -                               yes                             yes                             -
        > dispute                      -                               concluded valid                 concluded valid                 -
        > slashed                      -                               1 dishonest                     1 dishonest                     -
        > reverted                     -                               -                               -                               -
        > flags                        -                               -                               -                               disagree
        """,
        ("sdk-11231", "sdk-11290"),
        "Such a relay parent's state is pruned before the candidate is ever backed.",
        Setup(collator_archive=True, session_age=4),
    ),
)
