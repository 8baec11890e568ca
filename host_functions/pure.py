"""The pure host functions: hashing, signature verification and trie roots, bound for the whole process.

What they return depends on their arguments alone, so every context shares them. Host side: third-party
libraries are welcome here and only here. `host_functions.declare` loads this module by name at the first
call of a pure function. Follows `sp_io::{hashing, crypto, trie}` [sp-io]. Key generation and
signing need a keystore (`host_functions.contexts.keystore`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import coincurve
import sr25519
import xxhash
from Crypto.Hash import keccak
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from host_functions.errors import HostError
from host_functions.interfaces import crypto, hashing, trie
from runtime.trie.build import ordered_root, trie_root
from runtime.trie.errors import TrieError
from runtime.trie.layout import BLAKE2B_256, KECCAK_256, Hasher, Layout
from runtime.trie.trie_proof import verify_trie_proof

# -- hashing ------------------------------------------------------------------------------------------------


@hashing.keccak_256.bind_pure
def keccak_256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


@hashing.keccak_512.bind_pure
def keccak_512(data: bytes) -> bytes:
    return keccak.new(digest_bits=512, data=data).digest()


@hashing.sha2_256.bind_pure
def sha2_256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@hashing.blake2_128.bind_pure
def blake2_128(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@hashing.blake2_256.bind_pure
def blake2_256(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _twox(data: bytes, words: int) -> bytes:
    # xxhash prints digests big-endian; Substrate writes each word little-endian.
    return b"".join([xxhash.xxh64_digest(data, seed)[::-1] for seed in range(words)])


@hashing.twox_64.bind_pure
def twox_64(data: bytes) -> bytes:
    return _twox(data, 1)


@hashing.twox_128.bind_pure
def twox_128(data: bytes) -> bytes:
    return _twox(data, 2)


@hashing.twox_256.bind_pure
def twox_256(data: bytes) -> bytes:
    return _twox(data, 4)


# -- signatures --------------------------------------------------------------------------------------------


@crypto.ed25519_verify.bind_pure
def ed25519_verify(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    """RFC 8032 verification. It differs from the ZIP-215 rules of newer nodes on malformed points only."""
    try:
        Ed25519PublicKey.from_public_bytes(pub_key).verify(sig, msg)
    except (InvalidSignature, ValueError):
        return False
    return True


@crypto.sr25519_verify.bind_pure
def sr25519_verify(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    try:
        return bool(sr25519.verify(sig, msg, pub_key))
    except ValueError:  # a signature without the Schnorrkel mark, or bytes that are no point
        return False


@crypto.sr25519_verify_version_1.bind_pure
def sr25519_verify_version_1(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    """As version 2.

    Signatures from before schnorrkel 0.8 (2019), which hash another transcript, are refused.
    """
    return sr25519_verify(sig, msg, pub_key)


SECP256K1_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
BAD_RS: Final = 0
"""`EcdsaVerifyError`: r or s is not below the order of the group."""
BAD_V: Final = 1
"""`EcdsaVerifyError`: the last byte names no recovery id."""
BAD_SIGNATURE: Final = 2
"""`EcdsaVerifyError`: no key made this signature."""


def _reduced(sig: bytes) -> bytes:
    """The signature with r and s reduced, as the first versions of the host functions parse it."""
    parts = (int.from_bytes(part, "big") % SECP256K1_ORDER for part in (sig[:32], sig[32:64]))
    return b"".join([part.to_bytes(32, "big") for part in parts]) + sig[64:]


def _recover(sig: bytes, digest: bytes) -> coincurve.PublicKey | int:
    """The key that signed `digest`, or the index of the `EcdsaVerifyError`; recovery ids are 0 to 3."""
    if len(sig) != 65 or sig[64] > 3:
        return BAD_V
    if any(int.from_bytes(part, "big") >= SECP256K1_ORDER for part in (sig[:32], sig[32:64])):
        return BAD_RS
    try:
        return coincurve.PublicKey.from_signature_and_message(sig, digest, hasher=None)
    except ValueError:
        return BAD_SIGNATURE


def _recovered(sig: bytes, digest: bytes, *, compressed: bool) -> bytes | int:
    # Ethereum writes recovery ids as 27 and 28.
    if len(sig) == 65 and sig[64] > 26:
        sig = sig[:64] + bytes([sig[64] - 27])
    key = _recover(sig, digest)
    if isinstance(key, int):
        return key
    # The uncompressed form starts with a 04 that the host function leaves out.
    return key.format(compressed=True) if compressed else key.format(compressed=False)[1:]


def _is_signer(sig: bytes, digest: bytes, pub_key: bytes) -> bool:
    key = _recover(sig, digest)
    return not isinstance(key, int) and key.format(compressed=True) == pub_key


@crypto.ecdsa_verify.bind_pure
def ecdsa_verify(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    return _is_signer(sig, blake2_256(msg), pub_key)


@crypto.ecdsa_verify_version_1.bind_pure
def ecdsa_verify_version_1(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    return _is_signer(_reduced(sig), blake2_256(msg), pub_key)


@crypto.ecdsa_verify_prehashed.bind_pure
def ecdsa_verify_prehashed(sig: bytes, msg: bytes, pub_key: bytes) -> bool:
    return _is_signer(sig, msg, pub_key)


@crypto.secp256k1_ecdsa_recover.bind_pure
def secp256k1_ecdsa_recover(sig: bytes, msg: bytes) -> bytes | int:
    return _recovered(sig, msg, compressed=False)


@crypto.secp256k1_ecdsa_recover_version_1.bind_pure
def secp256k1_ecdsa_recover_version_1(sig: bytes, msg: bytes) -> bytes | int:
    return _recovered(_reduced(sig), msg, compressed=False)


@crypto.secp256k1_ecdsa_recover_compressed.bind_pure
def secp256k1_ecdsa_recover_compressed(sig: bytes, msg: bytes) -> bytes | int:
    return _recovered(sig, msg, compressed=True)


@crypto.secp256k1_ecdsa_recover_compressed_version_1.bind_pure
def secp256k1_ecdsa_recover_compressed_version_1(sig: bytes, msg: bytes) -> bytes | int:
    return _recovered(_reduced(sig), msg, compressed=True)


# -- tries -------------------------------------------------------------------------------------------------


def _layout(hasher: Hasher, version: int) -> Layout:
    try:
        return Layout(hasher, version)
    except ValueError as error:
        raise HostError(f"the guest asked for a trie of {error}") from None


@trie.blake2_256_root.bind_pure
def blake2_256_root(input: Sequence[tuple[bytes, bytes]], version: int) -> bytes:
    # Of equal keys the last wins, as in the map the reference collects them into.
    return trie_root(dict(input), _layout(BLAKE2B_256, version))


@trie.blake2_256_root_version_1.bind_pure
def blake2_256_root_version_1(input: Sequence[tuple[bytes, bytes]]) -> bytes:
    return blake2_256_root(input, 0)


@trie.blake2_256_ordered_root.bind_pure
def blake2_256_ordered_root(input: Sequence[bytes], version: int) -> bytes:
    return ordered_root(input, _layout(BLAKE2B_256, version))


@trie.blake2_256_ordered_root_version_1.bind_pure
def blake2_256_ordered_root_version_1(input: Sequence[bytes]) -> bytes:
    return blake2_256_ordered_root(input, 0)


@trie.keccak_256_root.bind_pure
def keccak_256_root(input: Sequence[tuple[bytes, bytes]], version: int) -> bytes:
    return trie_root(dict(input), _layout(KECCAK_256, version))


@trie.keccak_256_root_version_1.bind_pure
def keccak_256_root_version_1(input: Sequence[tuple[bytes, bytes]]) -> bytes:
    return keccak_256_root(input, 0)


@trie.keccak_256_ordered_root.bind_pure
def keccak_256_ordered_root(input: Sequence[bytes], version: int) -> bytes:
    return ordered_root(input, _layout(KECCAK_256, version))


@trie.keccak_256_ordered_root_version_1.bind_pure
def keccak_256_ordered_root_version_1(input: Sequence[bytes]) -> bytes:
    return keccak_256_ordered_root(input, 0)


def _proves(root: bytes, proof: Sequence[bytes], key: bytes, value: bytes, layout: Layout) -> bool:
    try:
        verify_trie_proof(root, proof, [(key, value)], layout)
    except TrieError:
        return False
    return True


@trie.blake2_256_verify_proof.bind_pure
def blake2_256_verify_proof(
    root: bytes, proof: Sequence[bytes], key: bytes, value: bytes, version: int
) -> bool:
    return _proves(root, proof, key, value, _layout(BLAKE2B_256, version))


@trie.blake2_256_verify_proof_version_1.bind_pure
def blake2_256_verify_proof_version_1(root: bytes, proof: Sequence[bytes], key: bytes, value: bytes) -> bool:
    return blake2_256_verify_proof(root, proof, key, value, 0)


@trie.keccak_256_verify_proof.bind_pure
def keccak_256_verify_proof(
    root: bytes, proof: Sequence[bytes], key: bytes, value: bytes, version: int
) -> bool:
    return _proves(root, proof, key, value, _layout(KECCAK_256, version))


@trie.keccak_256_verify_proof_version_1.bind_pure
def keccak_256_verify_proof_version_1(root: bytes, proof: Sequence[bytes], key: bytes, value: bytes) -> bool:
    return keccak_256_verify_proof(root, proof, key, value, 0)
