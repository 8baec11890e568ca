"""A collator cheats about relay state, and enough backers are bought: does anybody let it pass, does anybody honest pay?"""

from __future__ import annotations

from typing import Final

from host_functions.relay_state import EmbeddedRelayNode, RelayStateReader
from pileus.relay_chain.block import RelayBlock
from pileus.verdicts.actors import LyingReads, ReadsOf
from pileus.verdicts.answerers import Answerer
from pileus.verdicts.forging import relay_proof_of, with_relay_proof
from pileus.verdicts.play import Play
from pileus.verdicts.scenario import Scenario
from pileus.verdicts.setup import ABSENT, SIBLING, Candidate

__all__ = ["SCENARIOS"]

WITH_PROOF: Final = (Answerer.CARRIED, Answerer.FALLBACK)
"""Where there is a proof to cheat with."""


def lies_about_value(play: Play) -> Candidate:
    play.advance_sibling()
    key = play.head_of(SIBLING)
    return _judged(play, play.author([key], tampered=lambda honest: LyingReads(honest, key, b"\x04?")))


def omits_node(play: Play) -> Candidate:
    """Suppress a sibling's head: say that it is absent, and leave the node out that shows otherwise."""
    play.advance_sibling()
    key = play.head_of(SIBLING)
    value = play.chain.state(play.chain.best).get(key)
    candidate = play.author([key], tampered=lambda honest: LyingReads(honest, key, None))
    left = [node for node in relay_proof_of(candidate) if node != value]
    return _judged(play, with_relay_proof(play, candidate, left))


def adds_node(play: Play) -> Candidate:
    """Carry one node more than is read, of the same state: it lies on the way to another key."""
    play.advance_sibling()
    root = play.chain.best.state_root
    candidate = play.author([play.head_of(SIBLING)], honest=False)
    other = EmbeddedRelayNode(play.collator_node, root)
    other.read(play.head_of(ABSENT))
    other.read(b":code")
    carried = relay_proof_of(candidate)
    unread = [node for node in other.nodes() if node not in carried]
    return _judged(play, with_relay_proof(play, candidate, [*carried, unread[0]]))


def stale_root(play: Play) -> Candidate:
    """Read, and prove, the state of an older relay block."""
    old = play.chain.best
    play.advance_sibling()
    return _judged(play, play.author([play.head_of(SIBLING)], tampered=_at(play, old)))


def foreign_root(play: Play) -> Candidate:
    """Read, and prove, the state of a block on another fork, where the sibling has another head."""
    play.chain.stall_finality()
    common = play.chain.best
    fork = play.advance(2, parent=common.hash, late=1)
    relay_parent = play.advance(1, parent=play.advance_sibling(parent=common.hash).hash)
    return _judged(
        play, play.author([play.head_of(SIBLING)], relay_parent=relay_parent, tampered=_at(play, fork))
    )


def _at(play: Play, block: RelayBlock) -> ReadsOf:
    def elsewhere(honest: RelayStateReader) -> RelayStateReader:
        return EmbeddedRelayNode(play.collator_node, block.state_root)

    return elsewhere


def _judged(play: Play, candidate: Candidate) -> Candidate:
    """What an honest group says; then what the others do about it if the group is bought."""
    play.back(candidate)
    included = play.include(candidate, play.buy_backers(candidate))
    if included is not None:
        play.approve(candidate, included)
    return candidate


SCENARIOS: Final = (
    Scenario(
        "lies-about-value",
        "The collator builds its block on another value than the relay state has under the key.",
        lies_about_value,
        """
                                  own                     carried                 fallback                naive
        collator, dishonest       valid                   valid                   valid                   valid
        backer                    invalid ExecutionError  invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        approval checker          invalid ExecutionError  invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        dispute participant       invalid ExecutionError  invalid ExecutionError  invalid ExecutionError  invalid ExecutionError
        > backed                  no                      no                      no                      no
        > backed by bought votes  yes                     yes                     yes                     yes
        > included                yes                     yes                     yes                     yes
        > approved                disputed                disputed                disputed                disputed
        > dispute                 concluded invalid       concluded invalid       concluded invalid       concluded invalid
        > slashed                 3 dishonest             3 dishonest             3 dishonest             3 dishonest
        > reverted                1 block                 1 block                 1 block                 1 block
        > flags                   -                       -                       -                       -
        """,
        ("cumulus-vb", "polkadot-disputes"),
        "The block is executed on the true value, and comes out with another state root than its header says.",
    ),
    Scenario(
        "omits-node",
        "The collator says that a sibling has no head, and leaves the node with the head out of the proof.",
        omits_node,
        """
                                  carried                      fallback
        collator, dishonest       valid                        valid
        backer                    invalid RelayWitnessMissing  invalid ExecutionError
        approval checker          invalid RelayWitnessMissing  invalid ExecutionError
        dispute participant       invalid RelayWitnessMissing  invalid ExecutionError
        > backed                  no                           no
        > backed by bought votes  yes                          yes
        > included                yes                          yes
        > approved                disputed                     disputed
        > dispute                 concluded invalid            concluded invalid
        > slashed                 3 dishonest                  3 dishonest
        > reverted                1 block                      1 block
        > flags                   -                            -
        """,
        ("sdk-13022",),
        "A read that runs into a missing node must reject and never answer 'absent', or any value could be suppressed.",
        answerers=WITH_PROOF,
    ),
    Scenario(
        "adds-node",
        "The proof holds one node of the same state that no read needs.",
        adds_node,
        """
                                  carried                 fallback
        collator, dishonest       valid                   valid
        backer                    invalid ExecutionError  invalid ExecutionError
        approval checker          invalid ExecutionError  invalid ExecutionError
        dispute participant       invalid ExecutionError  invalid ExecutionError
        > backed                  no                      no
        > backed by bought votes  yes                     yes
        > included                yes                     yes
        > approved                disputed                disputed
        > dispute                 concluded invalid       concluded invalid
        > slashed                 3 dishonest             3 dishonest
        > reverted                1 block                 1 block
        > flags                   -                       -
        """,
        ("sdk-13022",),
        "The commitment is over exactly the nodes that were touched, so what is carried must be minimal.",
        answerers=WITH_PROOF,
    ),
    Scenario(
        "stale-root",
        "The collator reads, and proves, the state of an older relay block than its relay parent.",
        stale_root,
        """
                                  own                     carried                      fallback                naive
        collator, dishonest       valid                   valid                        valid                   valid
        backer                    invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        approval checker          invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        dispute participant       invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        > backed                  no                      no                           no                      no
        > backed by bought votes  yes                     yes                          yes                     yes
        > included                yes                     yes                          yes                     yes
        > approved                disputed                disputed                     disputed                disputed
        > dispute                 concluded invalid       concluded invalid            concluded invalid       concluded invalid
        > slashed                 3 dishonest             3 dishonest                  3 dishonest             3 dishonest
        > reverted                1 block                 1 block                      1 block                 1 block
        > flags                   -                       -                            -                       -
        """,
        ("sdk-13022", "cumulus-pvd"),
        "The root is that of the validation data; the root that the carried data claim is of no interest.",
    ),
    Scenario(
        "foreign-root",
        "The collator reads, and proves, the state of a relay block on another fork.",
        foreign_root,
        """
                                  own                     carried                      fallback                naive
        collator, dishonest       valid                   valid                        valid                   valid
        backer                    invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        approval checker          invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        dispute participant       invalid ExecutionError  invalid RelayWitnessMissing  invalid ExecutionError  invalid ExecutionError
        > backed                  no                      no                           no                      no
        > backed by bought votes  yes                     yes                          yes                     yes
        > included                yes                     yes                          yes                     yes
        > approved                disputed                disputed                     disputed                disputed
        > dispute                 concluded invalid       concluded invalid            concluded invalid       concluded invalid
        > slashed                 3 dishonest             3 dishonest                  3 dishonest             3 dishonest
        > reverted                1 block                 1 block                      1 block                 1 block
        > flags                   -                       -                            -                       -
        """,
        ("sdk-13022", "cumulus-pvd"),
        "As with a stale root: the state of another fork is another trie.",
    ),
)
