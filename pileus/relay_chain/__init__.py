"""The relay chain, in two forms: a model with real storage keys in a real trie, every rule small enough to read, and
a real relay runtime (`pileus.relay_chain.real`).

Follows the parachains part of polkadot-sdk's relay runtime and node [polkadot-primitives]. `RelayChain` is the chain
with its blocks and states, `RelayChainInterface` what a parachain node sees of it.
"""

from __future__ import annotations

from pileus.relay_chain.backing import BackingOutcome, Validator
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import BuiltBlock, RelayChain
from pileus.relay_chain.genesis import ParaGenesis, RelayChainConfig
from pileus.relay_chain.in_process import RelayChainInProcessInterface
from pileus.relay_chain.interface import Collation, RelayChainInterface
from pileus.relay_chain.node import RelayNode
from pileus.relay_chain.state import StateDatabase

__all__ = [
    "BackingOutcome",
    "BuiltBlock",
    "Collation",
    "ParaGenesis",
    "RelayBlock",
    "RelayChain",
    "RelayChainConfig",
    "RelayChainInProcessInterface",
    "RelayChainInterface",
    "RelayNode",
    "StateDatabase",
    "Validator",
]
