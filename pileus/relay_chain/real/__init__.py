"""The relay chain's real form: blocks authored with a real relay runtime, whose own pallets back and include.

`RealRelayChain` offers what `pileus.network` uses of the model (`pileus.relay_chain.chain.RelayChain`), and
`RealRelayChainInterface` is its `RelayChainInterface`. Everything particular to one runtime is asked of that runtime:
its version, its metadata, its runtime APIs, its node features. No chain's name stands in the code.

Not modelled: BABE and GRANDPA seals (blocks are unsealed and finality is a distance), gossip, on-chain disputes.
"""

from __future__ import annotations

from pileus.relay_chain.real.chain import (
    AuthoredBlock,
    NotScheduled,
    RealRelayChain,
    RealRelayChainConfig,
)
from pileus.relay_chain.real.genesis import ParaRegistration, UnsuitableRelayChain
from pileus.relay_chain.real.interface import RealRelayChainInterface

__all__ = [
    "AuthoredBlock",
    "NotScheduled",
    "ParaRegistration",
    "RealRelayChain",
    "RealRelayChainConfig",
    "RealRelayChainInterface",
    "UnsuitableRelayChain",
]
