"""Hashes: ``sp_io::hashing`` [sp-io]. All pure."""

from host_functions.abi import Bytes, Bytes8, Bytes16, Bytes32, Bytes64
from host_functions.declare import host_function


@host_function("hashing", pure=True)
def keccak_256(data: Bytes) -> Bytes32:
    """Keccak-256 (the original padding, not SHA3)."""


@host_function("hashing", pure=True)
def keccak_512(data: Bytes) -> Bytes64:
    """Keccak-512 (the original padding, not SHA3)."""


@host_function("hashing", pure=True)
def sha2_256(data: Bytes) -> Bytes32:
    """SHA-256."""


@host_function("hashing", pure=True)
def blake2_128(data: Bytes) -> Bytes16:
    """BLAKE2b with 128-bit output."""


@host_function("hashing", pure=True)
def blake2_256(data: Bytes) -> Bytes32:
    """BLAKE2b with 256-bit output."""


@host_function("hashing", pure=True)
def twox_256(data: Bytes) -> Bytes32:
    """Four xxHash64 digests, seeds 0 to 3, each little-endian."""


@host_function("hashing", pure=True)
def twox_128(data: Bytes) -> Bytes16:
    """Two xxHash64 digests, seeds 0 and 1, each little-endian."""


@host_function("hashing", pure=True)
def twox_64(data: Bytes) -> Bytes8:
    """xxHash64, seed 0, little-endian."""
