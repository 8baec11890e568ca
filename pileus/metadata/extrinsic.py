"""Signed extrinsics of any runtime, encoded as its metadata say.

Follows ``sp_runtime::generic::UncheckedExtrinsic`` of version 4 [sp-runtime]: address, signature, extra of the signed
extensions, call. The extensions that every chain has are filled in by name; of any other its plainest value is taken,
which for the known ones means *not used*: no asset to pay fees in, no metadata hash. Extrinsics are immortal.

Accounts are sr25519 keys, or Ethereum addresses where the runtime's accounts have 20 bytes. Not modelled: version 5,
and the indices by which runtimes of 2019 and before address accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import coincurve

from pileus.keyring import Keypair
from pileus.metadata.metadata import Metadata
from pileus.metadata.parts import SignedExtension
from pileus.metadata.reading import FIRST_WITH_TYPES
from runtime.primitives.extrinsic import EXTRINSIC_FORMAT_VERSION, MAX_SIGNED_BYTES, SIGNED_BIT
from runtime.primitives.hashing import blake2_256, keccak_256
from runtime.primitives.scale import byte_vec, compact_u32, compact_u128, u32

__all__ = ["ChainIdentity", "EthereumSigner", "Signer", "Sr25519Signer", "address_of", "signed_extrinsic"]

FIRST_WITH_MULTI_ADDRESS: Final = 12
"""Metadata version of the runtimes in which ``MultiAddress`` came up, early in 2021."""
ETHEREUM_ACCOUNT: Final = 20
"""Bytes."""
ACCOUNT_ID: Final = b"\x00"
"""``MultiAddress::Id``."""
OLD_ACCOUNT_ID: Final = b"\xff"
"""How an address of ``Indices`` says that an account follows."""
SR25519: Final = b"\x01"
"""``MultiSignature::Sr25519``."""


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """What a signature is bound to."""

    genesis_hash: bytes
    spec_version: int
    transaction_version: int


class Signer(Protocol):
    """An account that signs extrinsics."""

    @property
    def account(self) -> bytes:
        """The account id, as long as the runtime's are."""

    def sign(self, payload: bytes) -> bytes:
        """The encoded signature of a payload."""


@dataclass(frozen=True, slots=True)
class Sr25519Signer:
    """An account of 32 bytes: an sr25519 key."""

    keypair: Keypair

    @property
    def account(self) -> bytes:
        return self.keypair.public_key

    def sign(self, payload: bytes) -> bytes:
        return SR25519 + self.keypair.sign(payload)


class EthereumSigner:
    """An account of 20 bytes: the end of the Keccak hash of a secp256k1 key."""

    def __init__(self, secret: bytes) -> None:
        """``secret``: 32 bytes. Raises `ValueError` if they are no secret key."""
        self._key = coincurve.PrivateKey(secret)
        self.account = keccak_256(self._key.public_key.format(compressed=False)[1:])[-ETHEREUM_ACCOUNT:]

    def sign(self, payload: bytes) -> bytes:
        return self._key.sign_recoverable(keccak_256(payload), hasher=None)


def signed_extrinsic(
    metadata: Metadata, call: bytes, signer: Signer, nonce: int, chain: ChainIdentity, *, tip: int = 0
) -> bytes:
    """The full encoding of an extrinsic, its length included.

    Raises `UnknownName` for a signed extension whose parts the metadata do not define.
    """
    extra = additional = b""
    for extension in metadata.signed_extensions:
        extra += _extra(metadata, extension, nonce, tip)
        additional += _additional(metadata, extension, chain)
    payload = call + extra + additional
    if len(payload) > MAX_SIGNED_BYTES:
        payload = blake2_256(payload)
    head = bytes((SIGNED_BIT | EXTRINSIC_FORMAT_VERSION,)) + address_of(metadata, signer.account)
    return byte_vec.encode(head + signer.sign(payload) + extra + call)


def address_of(metadata: Metadata, account: bytes) -> bytes:
    """The encoded address of an account: what signs, and what calls name as ``Lookup::Source``."""
    if metadata.address_type is not None:
        path = metadata.definition(metadata.address_type)["path"]
        return (ACCOUNT_ID if path[-1:] == ["MultiAddress"] else b"") + account
    if len(account) == ETHEREUM_ACCOUNT:
        return account
    return (ACCOUNT_ID if metadata.version >= FIRST_WITH_MULTI_ADDRESS else OLD_ACCOUNT_ID) + account


def _extra(metadata: Metadata, extension: SignedExtension, nonce: int, tip: int) -> bytes:
    if extension.name == "CheckNonce":
        return compact_u32.encode(nonce)
    if metadata.version < FIRST_WITH_TYPES:
        if extension.name in ("CheckMortality", "CheckEra"):
            return b"\x00"
        return compact_u128.encode(tip) if extension.name == "ChargeTransactionPayment" else b""
    plain = b"" if extension.extra is None else metadata.zero(extension.extra)
    if extension.name.startswith("Charge") and plain[:1] == b"\x00":
        return compact_u128.encode(tip) + plain[1:]
    return plain


def _additional(metadata: Metadata, extension: SignedExtension, chain: ChainIdentity) -> bytes:
    match extension.name:
        case "CheckSpecVersion" | "CheckVersion":
            return u32.encode(chain.spec_version)
        case "CheckTxVersion":
            return u32.encode(chain.transaction_version)
        case "CheckGenesis" | "CheckMortality" | "CheckEra":
            return chain.genesis_hash
    if extension.additional is None or metadata.version < FIRST_WITH_TYPES:
        return b""
    return metadata.zero(extension.additional)
