"""The documents of record: questions that were asked upstream, answered by runs.

`documents` plays the scenarios and writes what came out into three pages, byte for byte the same for the same seed. A
test writes them again and compares, so they cannot become untrue: whoever changes what they say has to write them anew
(``make records``) and will see the difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Final

from pileus.verdicts.answerers import Answerer
from pileus.verdicts.matrix import Matrix
from pileus.verdicts.play import Play
from pileus.verdicts.report import PROOF_BYTES, READS, matrix_lines, sizes
from pileus.verdicts.scenario import run_scenario
from pileus.verdicts.scenarios import SCENARIOS
from pileus.verdicts.setup import ABSENT, SIBLING, Setup
from pileus.verdicts.sweeps import ProofSweep, sweep_proof

__all__ = ["SEED", "documents", "write_documents"]

SEED: Final = 0

PRUNE_THEN_DISPUTE: Final = (
    "pruned-before-approval",
    "dispute-a-day-later",
    "lie-then-prune",
    "different-pruning",
    "warp-synced",
    "old-relay-parent",
)
SIBLING_HEADS: Final = (
    "sibling-head-reverted",
    "reverted-inclusion",
    "abandoned-fork",
    "finalized-relay-parent",
    "stale-root",
    "foreign-root",
)
ABSENCE: Final = ("absent-key", "omits-node", "adds-node")


def documents(seed: int = SEED) -> Mapping[str, str]:
    """File name -> text of each document."""
    wanted = dict.fromkeys((*PRUNE_THEN_DISPUTE, *SIBLING_HEADS, *ABSENCE))
    matrices = {name: run_scenario(SCENARIOS[name], seed) for name in wanted}
    return {
        "index.md": _index(),
        "prune-then-dispute.md": _prune_then_dispute(matrices, seed),
        "sibling-heads.md": _sibling_heads(matrices, seed),
        "proven-absence.md": _proven_absence(matrices, seed),
    }


def write_documents(directory: Path, seed: int = SEED) -> Sequence[Path]:
    """Write the documents into a directory, which is made if need be; the files. Raises `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in documents(seed).items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _index() -> str:
    return _page(
        """
        # Documents of record

        Questions that were asked upstream and not answered by a run, answered by one. Each page is written by
        `pileus verdicts --write-docs docs/record` (`make records`), and a test compares it with a new run.

        ```{toctree}
        prune-then-dispute
        sibling-heads
        proven-absence
        ```
        """
    )


def _prune_then_dispute(matrices: Mapping[str, Matrix], seed: int) -> str:
    later = matrices["dispute-a-day-later"]
    proof = next(
        sizes(column)[PROOF_BYTES] for column in later.columns if column.answerer is Answerer.CARRIED
    )
    return _page(
        """
        # Prune, then dispute (#1359)

        ## Question

        Candidate validation, approvals and disputes must work even if the relay parent's state was pruned
        (polkadot-sdk #1359 [sdk-1359], which asks for a test that prunes eagerly and then disputes). What happens to a
        candidate that reads relay state through a host function, if validators answer it from their own state, from a
        proof carried in the PoV, or from their own state and else the proof?

        ## Setup

        Ten validators with a relay chain node each, groups of five, a session of ten relay blocks, states of eight
        finalized blocks kept. A parachain's block reads the head of a sibling (`Paras::Heads`). The candidate is backed
        by signed votes, its available data erasure-coded; approval checkers are drawn by lot; a dispute counts votes
        until two thirds agree. Nothing is mocked: each verdict is an execution of `validate_block` on what that role has
        at that time. In the honest cases the dispute is raised by one dishonest validator, `judy`. What the columns and
        the flags mean is explained in [](../verdicts.md).
        """,
        *_played(matrices, PRUNE_THEN_DISPUTE),
        f"""
        ## What follows for the API

        1. **Own state is sound, and not live.** No honest validator ever contradicted another one under `own`: what a
           database lacks became an abstention, never a verdict. But after pruning nobody can tell. An honest candidate
           is not approved, so finality waits; a dispute stays open; and of a lie that bought backers signed, nobody is
           convicted (`lie-then-prune`).
        2. **The carried proof decides at any time**, because it travels with the available data, which are kept for the
           whole dispute window. One sibling's head costs {proof} bytes of relay proof in this small relay state;
           `pileus verdicts dispute-a-day-later` shows them beside the whole PoV.
        3. **A fallback is as good as the carried proof, if the proof is required to be complete** whoever answers. It
           saves no bytes. Its gain is a validator that can go on when the host function is there and the proof is not.
        4. **'Missing' must be an error of its own type in the host interface**, apart from 'absent'. The column `naive`
           answers from the best state and takes missing for absent: honest validators contradict each other, and the
           honest backers lose the dispute and are slashed.
        5. **A relay parent may be older than any state that is kept** (`old-relay-parent`): under `own` such a candidate
           cannot even be backed. Host functions that read relay state have to come with carried proofs before relay
           parents may be sessions old.
        """,
        *_commands(PRUNE_THEN_DISPUTE, seed),
    )


def _sibling_heads(matrices: Mapping[str, Matrix], seed: int) -> str:
    finalized = matrices["finalized-relay-parent"].columns[1].entries
    return _page(
        """
        # Are sibling heads safe to read? (#7445)

        ## Question

        polkadot-sdk #7445 [sdk-7445] proposes sibling heads in the relay chain state proof, and asks whether that is
        safe, and whether any head may be used or only finalized ones. `Paras::Heads` holds what the relay fork has
        *included*; approval comes later and may revert it.

        ## Setup

        As in [](prune-then-dispute.md). The reader's block reads the sibling's head at its relay parent; then the relay
        chain changes its mind, or the collator takes the head from somewhere else.
        """,
        *_played(matrices, SIBLING_HEADS),
        f"""
        ## What follows for the API

        1. **Reading is safe within the relay chain's forks.** A candidate can be backed only where its relay parent is
           an ancestor. Where the sibling's head was never included, the candidate that read it is refused
           (`DisallowedRelayParent`); when the fork is abandoned, the candidate goes with the head that it read.
        2. **It is not final.** What acts outside the fork (bridges, off-chain programs, users of a best block) can see a
           head that is reverted later. Who needs finality takes a finalized relay parent: its revert is refused, and the
           price is age. In the run above the head read was {finalized["> head that was read"]} where
           {finalized["> newest head at the time"]} was the newest.
        3. **The root decides, not the carrier.** A proof of an older or of another fork's state is refused under every
           answerer, because the root is the one in the validation data.
        4. **An abandoned fork takes its states with it at once**, long before the dispute window ends: again own state
           abstains, and the carried proof decides.
        5. So the head of a sibling needs no special treatment in the proof, and no restriction to finalized heads; the
           choice of the relay parent is the choice of how final it is, and belongs to the parachain.
        """,
        *_commands(SIBLING_HEADS, seed),
    )


def _proven_absence(matrices: Mapping[str, Matrix], seed: int) -> str:
    sweeps = {
        "an absent key (the head of a para that is not registered)": _sweep(ABSENT, seed),
        "a present key (the head of the sibling)": _sweep(SIBLING, seed),
    }
    return _page(
        """
        # Proven absence, end to end (#13022)

        ## Question

        polkadot-sdk #13022 [sdk-13022] lets a runtime read relay state through a host function, from a proof carried in
        the PoV. A read whose path runs into a missing node must be refused, never answered with "absent": otherwise a
        collator could suppress a value by leaving its nodes out. Upstream's tests prove only the keys that were put into
        a mocked relay state, so that proven absence is not tested end to end there. Does it hold over a whole relay
        state, with every node that could be left out or added?

        ## Setup

        As in [](prune-then-dispute.md), under the answerers that carry a proof. The block's only relay read is of the
        head of para 7, which is not registered, or of the sibling's. Then the collator changes the proof by one item at a
        time and makes everything else agree: the header's commitment to the additional data, seal, head data, PoV hash,
        erasure root.
        """,
        *_played(matrices, ABSENCE),
        """
        ## One item fewer, one item more
        """,
        *(_sweep_text(what, sweep) for what, sweep in sweeps.items()),
        """
        ## What follows for the API

        1. **Absence is shown by nodes, like a value**, and each of them is needed: without any one of them the candidate
           is invalid for want of a witness, and a block that says "absent" of a key with a value is invalid whatever it
           carries.
        2. **Nothing can be added**: the commitment in the header is recomputed over the items that were touched, so an
           item that no read needs gives another header.
        3. The host function's result needs three outcomes: a value, proven absence (-1 on the wire), and no answer, which
           must stop the execution. Two of them in one number would be the bug that this page is about.
        """,
        *_commands(ABSENCE, seed),
    )


def _sweep(para_id: int, seed: int) -> ProofSweep:
    play = Play(Answerer.CARRIED, seed, Setup())
    play.advance_sibling()
    return sweep_proof(play, play.author([play.head_of(para_id)]))


def _sweep_text(what: str, sweep: ProofSweep) -> str:
    return f"""
        The block reads {what}. Of the relay state's items (trie nodes and detached values) the proof holds
        {sweep.proof_items}.

        | proof | verdicts |
        |---|---|
        | as it is | {sweep.honest} |
        | each of the {sweep.proof_items} items left out, one at a time | {_counted(sweep.removed)} |
        | each other item of the relay state added, one at a time | {_counted(sweep.added)} |
        """


def _counted(verdicts: Counter[str]) -> str:
    if len(verdicts) == 1:
        return f"all {next(iter(verdicts))}"
    return ", ".join(f"{number} × {verdict}" for verdict, number in sorted(verdicts.items())) or "-"


def _played(matrices: Mapping[str, Matrix], names: Iterable[str]) -> Iterable[str]:
    yield "## What happened"
    for name in names:
        lines = matrix_lines(SCENARIOS[name], matrices[name], (PROOF_BYTES, READS))
        yield "\n".join(["```text", *lines, "```"])


def _commands(names: Iterable[str], seed: int) -> Iterable[str]:
    yield "## Do it again"
    verbs = "\n".join(f"pileus verdicts {name} --seed {seed}" for name in names)
    yield f"```sh\n{verbs}\npileus verdicts --write-docs docs/record --seed {seed}\n```"


def _page(*parts: str) -> str:
    """The parts with a blank line between them, each freed of its indentation."""
    return "\n\n".join(dedent(part).strip() for part in parts) + "\n"
