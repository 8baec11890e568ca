"""The relay chain. So far its model form: real storage keys in a real trie, every rule small enough to read.

Follows the parachains part of polkadot-sdk's relay runtime and node [polkadot-primitives]. `RelayChain` is the chain
with its blocks and states, `RelayChainInterface` what a parachain node sees of it.
"""
