"""Roots and proofs of tries that are not the state: ``sp_io::trie`` [sp-io]. All pure."""

from host_functions.abi import U32, Bool, Bytes, Bytes32, KeyValues, Values
from host_functions.declare import host_function


@host_function("trie", version=1, method="blake2_256_root", pure=True)
def blake2_256_root_version_1(input: KeyValues) -> Bytes32:
    """As `blake2_256_root` in state version 0."""


@host_function("trie", version=2, pure=True)
def blake2_256_root(input: KeyValues, version: U32) -> Bytes32:
    """Root of the trie of these key/value pairs."""


@host_function("trie", version=1, method="blake2_256_ordered_root", pure=True)
def blake2_256_ordered_root_version_1(input: Values) -> Bytes32:
    """As `blake2_256_ordered_root` in state version 0."""


@host_function("trie", version=2, pure=True)
def blake2_256_ordered_root(input: Values, version: U32) -> Bytes32:
    """Root of the trie ``Compact(index) -> value``, the form of the extrinsics root."""


@host_function("trie", version=1, method="keccak_256_root", pure=True)
def keccak_256_root_version_1(input: KeyValues) -> Bytes32:
    """As `keccak_256_root` in state version 0."""


@host_function("trie", version=2, pure=True)
def keccak_256_root(input: KeyValues, version: U32) -> Bytes32:
    """As `blake2_256_root` with Keccak-256."""


@host_function("trie", version=1, method="keccak_256_ordered_root", pure=True)
def keccak_256_ordered_root_version_1(input: Values) -> Bytes32:
    """As `keccak_256_ordered_root` in state version 0."""


@host_function("trie", version=2, pure=True)
def keccak_256_ordered_root(input: Values, version: U32) -> Bytes32:
    """As `blake2_256_ordered_root` with Keccak-256."""


@host_function("trie", version=1, method="blake2_256_verify_proof", pure=True)
def blake2_256_verify_proof_version_1(root: Bytes32, proof: Values, key: Bytes, value: Bytes) -> Bool:
    """As `blake2_256_verify_proof` in state version 0."""


@host_function("trie", version=2, pure=True)
def blake2_256_verify_proof(root: Bytes32, proof: Values, key: Bytes, value: Bytes, version: U32) -> Bool:
    """Whether ``proof`` (form of ``sp_trie::verify_trie_proof``) shows ``value`` under ``key``."""


@host_function("trie", version=1, method="keccak_256_verify_proof", pure=True)
def keccak_256_verify_proof_version_1(root: Bytes32, proof: Values, key: Bytes, value: Bytes) -> Bool:
    """As `keccak_256_verify_proof` in state version 0."""


@host_function("trie", version=2, pure=True)
def keccak_256_verify_proof(root: Bytes32, proof: Values, key: Bytes, value: Bytes, version: U32) -> Bool:
    """As `blake2_256_verify_proof` with Keccak-256."""
