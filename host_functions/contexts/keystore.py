"""Keys of the node, for contexts that have some: generating, listing and signing.

`MemoryKeystore` is for test keys. Without a seed it makes keys from its own entropy and a counter, so a run
can be repeated; a seed is ``0x`` and 64 hexadecimal digits, the mini secret itself. Not modelled: mnemonic
phrases and derivation paths as seeds, which need the word list and are the node operator's business.

Follows ``sp_io::crypto`` over ``sp_keystore`` [sp-io].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import coincurve
import sr25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_functions.contexts.base import HostContext
from host_functions.errors import HostError, MissingHostFunction
from host_functions.interfaces import keystore as functions
from runtime.primitives.hashing import blake2_256

__all__ = ["Keystore", "KeystoreFunctions", "MemoryKeystore", "Scheme", "UnknownSeed"]

Scheme = Literal["ed25519", "sr25519", "ecdsa"]


class UnknownSeed(HostError):
    """A seed of a form that the keystore does not know."""


class Keystore(Protocol):
    """Key pairs by scheme and 4-byte key type."""

    def generate(self, scheme: Scheme, id: bytes, seed: bytes | None) -> bytes:
        """Make and keep a key pair; its public key, 32 bytes (ecdsa: 33). Raises `UnknownSeed`."""

    def public_keys(self, scheme: Scheme, id: bytes) -> tuple[bytes, ...]:
        """Public keys, oldest first."""

    def sign(self, scheme: Scheme, id: bytes, public: bytes, message: bytes) -> bytes | None:
        """Signature, 64 bytes (ecdsa: 65, and ``message`` is the 32-byte digest); ``None`` without the key."""


class MemoryKeystore:
    """A keystore that lasts as long as the process."""

    def __init__(self, entropy: bytes = bytes(32)) -> None:
        """``entropy``: what keys without a seed are made from."""
        self._entropy = entropy
        self._generated = 0
        self._signers: dict[tuple[Scheme, bytes, bytes], Callable[[bytes], bytes]] = {}

    def generate(self, scheme: Scheme, id: bytes, seed: bytes | None) -> bytes:
        if seed is None:
            self._generated += 1
            secret = blake2_256(self._entropy + self._generated.to_bytes(8, "little"))
        else:
            secret = _secret_of(seed)
        public, signer = _MAKERS[scheme](secret)
        self._signers[scheme, id, public] = signer
        return public

    def public_keys(self, scheme: Scheme, id: bytes) -> tuple[bytes, ...]:
        return tuple(public for kind, of, public in self._signers if (kind, of) == (scheme, id))

    def sign(self, scheme: Scheme, id: bytes, public: bytes, message: bytes) -> bytes | None:
        signer = self._signers.get((scheme, id, public))
        return None if signer is None else signer(message)


class KeystoreFunctions(HostContext, complete=(functions,)):
    """Answers from ``keystore``; without one, each function is missing when called."""

    keystore: Keystore | None = None

    def _keys(self, function: str) -> Keystore:
        if self.keystore is None:
            raise MissingHostFunction(function, f"{self} without a keystore")
        return self.keystore

    @functions.ed25519_public_keys.implement
    def ed25519_public_keys(self, id: bytes) -> tuple[bytes, ...]:
        return self._keys(functions.ed25519_public_keys.name).public_keys("ed25519", id)

    @functions.ed25519_generate.implement
    def ed25519_generate(self, id: bytes, seed: bytes | None) -> bytes:
        return self._keys(functions.ed25519_generate.name).generate("ed25519", id, seed)

    @functions.ed25519_sign.implement
    def ed25519_sign(self, id: bytes, pub_key: bytes, msg: bytes) -> bytes | None:
        return self._keys(functions.ed25519_sign.name).sign("ed25519", id, pub_key, msg)

    @functions.sr25519_public_keys.implement
    def sr25519_public_keys(self, id: bytes) -> tuple[bytes, ...]:
        return self._keys(functions.sr25519_public_keys.name).public_keys("sr25519", id)

    @functions.sr25519_generate.implement
    def sr25519_generate(self, id: bytes, seed: bytes | None) -> bytes:
        return self._keys(functions.sr25519_generate.name).generate("sr25519", id, seed)

    @functions.sr25519_sign.implement
    def sr25519_sign(self, id: bytes, pub_key: bytes, msg: bytes) -> bytes | None:
        return self._keys(functions.sr25519_sign.name).sign("sr25519", id, pub_key, msg)

    @functions.ecdsa_public_keys.implement
    def ecdsa_public_keys(self, id: bytes) -> tuple[bytes, ...]:
        return self._keys(functions.ecdsa_public_keys.name).public_keys("ecdsa", id)

    @functions.ecdsa_generate.implement
    def ecdsa_generate(self, id: bytes, seed: bytes | None) -> bytes:
        return self._keys(functions.ecdsa_generate.name).generate("ecdsa", id, seed)

    @functions.ecdsa_sign.implement
    def ecdsa_sign(self, id: bytes, pub_key: bytes, msg: bytes) -> bytes | None:
        return self._keys(functions.ecdsa_sign.name).sign("ecdsa", id, pub_key, blake2_256(msg))

    @functions.ecdsa_sign_prehashed.implement
    def ecdsa_sign_prehashed(self, id: bytes, pub_key: bytes, msg: bytes) -> bytes | None:
        return self._keys(functions.ecdsa_sign_prehashed.name).sign("ecdsa", id, pub_key, msg)


def _secret_of(seed: bytes) -> bytes:
    try:
        text = seed.decode("ascii")
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise UnknownSeed("a seed must be 0x and 64 hexadecimal digits") from None
    if len(secret) != 32 or not text.startswith("0x"):
        raise UnknownSeed("a seed must be 0x and 64 hexadecimal digits")
    return secret


def _ed25519(secret: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    return key.public_key().public_bytes_raw(), key.sign


def _sr25519(secret: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    pair = sr25519.pair_from_seed(secret)
    return bytes(pair[0]), lambda message: bytes(sr25519.sign(pair, message))


def _ecdsa(secret: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    try:
        key = coincurve.PrivateKey(secret)
    except ValueError as error:
        raise UnknownSeed(f"no secp256k1 key: {error}") from None
    return key.public_key.format(compressed=True), lambda digest: key.sign_recoverable(digest, hasher=None)


_MAKERS: dict[Scheme, Callable[[bytes], tuple[bytes, Callable[[bytes], bytes]]]] = {
    "ed25519": _ed25519,
    "sr25519": _sr25519,
    "ecdsa": _ecdsa,
}
