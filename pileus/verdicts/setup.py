"""Who takes part in a scenario, and how the network begins.

A relay chain model of ten validators, each with a relay node of its own, and two parachains: a *sibling* (1000), whose
head is there to be read, and the *reader* (2000), whose blocks read whatever keys a scenario asks for.

The times of a real relay chain are scaled, so that a run takes a second: `SESSION` relay blocks are a session (2400 on
Polkadot), and states of `PRUNING` finalized blocks are kept (256). The relations between them are the real ones: a
state is pruned well within a session, and a dispute can be raised for six sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from host_functions.errors import PileusError
from host_functions.executor import NativeRuntime
from pileus.collator import Collation, ParachainNode
from pileus.network.parachain import RunningParachain, dev_keypair
from pileus.relay_chain.chain import RelayChain
from pileus.relay_chain.genesis import ParaGenesis, RelayChainConfig
from pileus.relay_chain.state import StateDatabase
from pileus.verdicts.actors import RelayDatabase, ScenarioValidator
from pov_validator import RelayStateSource
from pov_validator.roles import Judgement
from runtime.primitives.parachain import CommittedCandidateReceipt

__all__ = [
    "ABSENT",
    "FINALITY_LAG",
    "PRUNING",
    "READER",
    "SESSION",
    "SIBLING",
    "VALIDATORS",
    "Candidate",
    "CannotAuthor",
    "Judged",
    "Setup",
    "boot",
]

SIBLING: Final = 1000
READER: Final = 2000
ABSENT: Final = 7
"""A parachain that is not registered: its head is provably absent from relay state."""
SESSION: Final = 10
"""Relay blocks of a session."""
PRUNING: Final = 8
"""Finalized blocks whose states are kept by an ordinary node."""
FINALITY_LAG: Final = 2
VALIDATORS: Final = ("alice", "bob", "charlie", "dave", "eve", "ferdie", "grace", "heidi", "ivan", "judy")
"""Ten, of whom three may be dishonest: as many as back a candidate in a group of five. Seven votes end a dispute."""


class CannotAuthor(PileusError):
    """The collator finds no way to build a block on this relay parent; its judgement says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What of the network a scenario chooses."""

    conditions: Mapping[str, str] = field(default_factory=dict)
    """Validator -> what sets it apart."""
    archives: tuple[str, ...] = ()
    """Validators whose nodes prune nothing."""
    collator_archive: bool = False
    """Whether the collator's node prunes nothing."""
    session_age: int = 0
    """Sessions back from which a candidate may take its relay parent."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate of the reader, and whether its collator was honest."""

    label: str
    collation: Collation
    honest: bool
    past: ParachainNode
    """A full node of the reader as it was before this block."""

    @property
    def hash(self) -> bytes:
        return CommittedCandidateReceipt(self.collation.descriptor, self.collation.commitments).hash()


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement in the course of a scenario."""

    candidate: str
    """Label; empty for the only one."""
    condition: str
    """What sets the judge apart."""
    judge: str
    """Name."""
    judgement: Judgement
    honest: bool
    """Whether it counts as an honest participant's: a dishonest collator's word on its own candidate does not."""


def boot(
    setup: Setup,
    seed: int,
    parachains: Iterable[RunningParachain],
    runtime: NativeRuntime,
    source_of: Callable[[RelayDatabase], RelayStateSource],
) -> tuple[RelayChain, tuple[ScenarioValidator, ...]]:
    """The relay chain at its first block, and its validators, who take relay state from where `source_of` says."""
    database = StateDatabase()
    validators = tuple(
        ScenarioValidator(
            index,
            name,
            dev_keypair(name),
            RelayDatabase(database, pruning=None if name in setup.archives else PRUNING),
            {runtime.code_hash: runtime},
            source_of,
        )
        for index, name in enumerate(VALIDATORS)
    )
    for validator in validators:
        validator.condition = setup.conditions.get(validator.name, "")
    config = RelayChainConfig(
        epoch_length=SESSION,
        finality_lag=FINALITY_LAG,
        # The model's own node authors the blocks; what it keeps is nobody's relay state here.
        state_pruning=10_000,
        max_relay_parent_session_age=setup.session_age,
        seed=seed,
    )
    paras = [ParaGenesis(para.para_id, para.node.genesis.encode(), runtime.code_hash) for para in parachains]
    chain = RelayChain(config, paras, validators, database)
    chain.build_block()  # nobody builds on the genesis block
    return chain, validators
