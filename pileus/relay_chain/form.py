"""What both forms of the relay chain, the model and the real one, offer to a network that runs on them.

Smaller than either: blocks with their states, the groups' judgement of a collation, and the next block. What a
parachain node sees of a relay chain is `pileus.relay_chain.interface`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pileus.relay_chain.backing import BackingOutcome, Validator
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import BuiltBlock
from pileus.relay_chain.interface import Collation
from pileus.relay_chain.state import StateDatabase
from pileus.relay_chain.statements import BackedCandidate

__all__ = ["RelayChainForm"]


class RelayChainForm(Protocol):
    """A relay chain of either form."""

    @property
    def genesis(self) -> RelayBlock: ...

    @property
    def best(self) -> RelayBlock: ...

    @property
    def finalized(self) -> RelayBlock: ...

    @property
    def validators(self) -> Sequence[Validator]: ...

    @property
    def database(self) -> StateDatabase: ...

    def expects(self, para_id: int, block: RelayBlock) -> bool:
        """Whether a candidate of the para that is built on `block` can be backed in the next block."""

    def back(self, collation: Collation, *, carried: bool, fallback: bool = False) -> BackingOutcome:
        """Let the para's group judge a collation; `carried` says where its members take relay state from."""

    def build_block(self, candidates: Sequence[BackedCandidate] = ..., /) -> BuiltBlock:
        """The next block on the best one: includes what was pending, backs what it takes of `candidates`."""
