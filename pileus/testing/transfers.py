"""Blocks full of signed transfers on a real runtime: the usual load for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pileus.chain_spec import ChainSpec
from pileus.collator import Collation
from pileus.keyring import Keypair
from pileus.metadata import EthereumSigner, Signer, Sr25519Signer, UnknownName, address_of
from pileus.real_runtimes import RealParachain
from pileus.real_runtimes.stages import IncludingRelay
from runtime.primitives.hashing import blake2_256
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import u32

__all__ = ["ENDOWMENT", "collate_next", "endowed", "sender_of", "transfers"]

SUBSTRATE_SENDER: Final = Sr25519Signer(Keypair.from_uri("//Bob"))
ETHEREUM_SENDER: Final = EthereumSigner(blake2_256(b"//Bob"))
ENDOWMENT: Final = 10**24
"""In the smallest unit: a million of a coin with 18 decimals."""
AMOUNT: Final = 10**19
"""Above the existential deposit of every chain at hand."""
ACCOUNTS: Final = storage_prefix("System", "Account")
ACCOUNT_AT: Final = len(ACCOUNTS) + 16
"""Where in a key the account stands, behind its hash (Blake2_128Concat)."""
TRANSFERS: Final = ("transfer_allow_death", "transfer")
"""The call was renamed in 2023."""


def sender_of(spec: ChainSpec) -> Signer:
    """Whose money it is: an account as long as those in the genesis, of 20 bytes or of 32."""
    account = next((key[ACCOUNT_AT:] for key in spec.genesis.top if key.startswith(ACCOUNTS)), b"")
    return ETHEREUM_SENDER if len(account) == len(ETHEREUM_SENDER.account) else SUBSTRATE_SENDER


def endowed(spec: ChainSpec) -> Mapping[bytes, int]:
    """``balances`` for `RealParachain.from_spec`: money for the sender."""
    return {sender_of(spec).account: ENDOWMENT}


def transfers(para: RealParachain, sender: Signer, count: int) -> list[bytes]:
    """Signed transfers to ``count`` accounts that do not exist yet. Raises `UnknownName`."""
    metadata = para.metadata
    calls = metadata.pallet("Balances").calls
    name = next((one for one in TRANSFERS if one in calls), None)
    if name is None:
        raise UnknownName(f"pallet Balances has none of the calls {', '.join(TRANSFERS)}")
    length = len(sender.account)
    first = para.nonce(sender.account)
    extrinsics = []
    for nonce in range(first, first + count):
        recipient = blake2_256(b"transfer" + u32.encode(nonce))[:length]
        call = metadata.compose_call("Balances", name, address_of(metadata, recipient), AMOUNT)
        extrinsics.append(para.signed(call, sender, nonce))
    return extrinsics


def collate_next(para: RealParachain, relay: IncludingRelay, pool: list[bytes] | None = None) -> Collation:
    """A candidate with what fits of ``pool``, on the first relay block where it is the collator's turn."""
    collator = para.collator(relay)
    for _ in range(8):
        collator.pool = list(pool or ())
        collation = collator.collate(relay.best_block_hash())
        if collation is not None:
            return collation
        relay.advance()
    raise AssertionError("the collator's turn never comes")
