"""Hash functions of the runtime, and the storage hashers that keep the key readable.

Follows `sp_core::hashing` and `frame_support::hash` [sp-core], [frame-support]. BLAKE2b and SHA-256 are in
the standard library, so the guest computes them itself; xxHash and Keccak are not, and are host functions.
Every function takes the bytes to hash and returns the digest; nothing here streams.
"""

from __future__ import annotations

import hashlib

from host_functions.interfaces import hashing as host

# Copying a prepared state costs less than constructing one from keyword arguments.
_blake2_64 = hashlib.blake2b(digest_size=8).copy
_blake2_128 = hashlib.blake2b(digest_size=16).copy
_blake2_256 = hashlib.blake2b(digest_size=32).copy
_blake2_512 = hashlib.blake2b(digest_size=64).copy


def blake2_64(data: bytes) -> bytes:
    """BLAKE2b with an 8-byte digest."""
    state = _blake2_64()
    state.update(data)
    return state.digest()


def blake2_128(data: bytes) -> bytes:
    """BLAKE2b with a 16-byte digest."""
    state = _blake2_128()
    state.update(data)
    return state.digest()


def blake2_256(data: bytes) -> bytes:
    """BLAKE2b with a 32-byte digest: block hashes, extrinsic hashes, trie nodes."""
    state = _blake2_256()
    state.update(data)
    return state.digest()


def blake2_512(data: bytes) -> bytes:
    """BLAKE2b with a 64-byte digest."""
    state = _blake2_512()
    state.update(data)
    return state.digest()


def blake2_128_concat(data: bytes) -> bytes:
    """Storage hasher `Blake2_128Concat`: the 16-byte digest, then `data` itself."""
    return blake2_128(data) + data


def sha2_256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def twox_64(data: bytes) -> bytes:
    """xxHash64 with seed 0, little-endian, 8 bytes. Not cryptographic."""
    return host.twox_64(data)


def twox_128(data: bytes) -> bytes:
    """Two xxHash64 digests with seeds 0 and 1, 16 bytes. Not cryptographic."""
    return host.twox_128(data)


def twox_256(data: bytes) -> bytes:
    """Four xxHash64 digests with seeds 0 to 3, 32 bytes. Not cryptographic."""
    return host.twox_256(data)


def twox_64_concat(data: bytes) -> bytes:
    """Storage hasher `Twox64Concat`: the 8-byte digest, then `data` itself."""
    return host.twox_64(data) + data


def keccak_256(data: bytes) -> bytes:
    """Keccak-256 with the original padding, as Ethereum uses it, 32 bytes."""
    return host.keccak_256(data)


def keccak_512(data: bytes) -> bytes:
    """Keccak-512 with the original padding, 64 bytes."""
    return host.keccak_512(data)
