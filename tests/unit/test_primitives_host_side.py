"""What stands behind the pure host functions, and compressed blobs."""

from __future__ import annotations

import coincurve
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from host_functions.compressed_blob import STRONG_LEVEL, InvalidBlob, PossibleBomb, compress, decompress
from host_functions.declare import functions_of
from host_functions.errors import HostError
from host_functions.interfaces import crypto, hashing, trie
from host_functions.pure import BAD_RS, BAD_SIGNATURE, BAD_V, SECP256K1_ORDER
from runtime.primitives.compressed_blob import BlobKind, split_magic
from runtime.primitives.hashing import blake2_256, twox_64, twox_64_concat
from runtime.trie.layout import LAYOUT_V1

# -- pure functions --------------------------------------------------------------------------------------------


def test_every_pure_function_is_bound() -> None:
    functions = [function for module in (crypto, hashing, trie) for function in functions_of(module)]
    assert len(functions) > 25
    for function in functions:
        assert callable(function.pure_implementation), function.name


def test_twox_words_are_little_endian() -> None:
    assert twox_64(b"").hex() == "99e9d85137db46ef"
    assert twox_64_concat(b"ab") == twox_64(b"ab") + b"ab"


SECRET = coincurve.PrivateKey(b"\x07" * 32)
COMPRESSED = SECRET.public_key.format(compressed=True)
UNCOMPRESSED = SECRET.public_key.format(compressed=False)[1:]


def sign(message: bytes) -> bytes:
    return SECRET.sign_recoverable(blake2_256(message), hasher=None)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_ecdsa(message: bytes, other: bytes) -> None:
    signature = sign(message)
    assert crypto.ecdsa_verify(signature, message, COMPRESSED)
    assert crypto.ecdsa_verify_version_1(signature, message, COMPRESSED)
    assert crypto.ecdsa_verify(signature, other, COMPRESSED) == (message == other)
    assert crypto.ecdsa_verify_prehashed(signature, blake2_256(message), COMPRESSED)
    digest = blake2_256(message)
    assert crypto.secp256k1_ecdsa_recover(signature, digest) == UNCOMPRESSED
    assert crypto.secp256k1_ecdsa_recover_compressed(signature, digest) == COMPRESSED
    # Ethereum's recovery ids are accepted by recovery and not by verification.
    shifted = signature[:64] + bytes([signature[64] + 27])
    assert crypto.secp256k1_ecdsa_recover(shifted, digest) == UNCOMPRESSED
    assert not crypto.ecdsa_verify(shifted, message, COMPRESSED)


def test_recovery_errors() -> None:
    signature, digest = sign(b"m"), blake2_256(b"m")
    order = SECP256K1_ORDER.to_bytes(32, "big")
    assert crypto.secp256k1_ecdsa_recover(signature[:64] + b"\x04", digest) == BAD_V
    assert crypto.secp256k1_ecdsa_recover(signature[:64] + b"\x1f", digest) == BAD_V
    assert crypto.secp256k1_ecdsa_recover(order + signature[32:], digest) == BAD_RS
    assert crypto.secp256k1_ecdsa_recover(bytes(65), digest) == BAD_SIGNATURE
    assert crypto.secp256k1_ecdsa_recover_compressed(bytes(64) + b"\xff", digest) == BAD_V


def test_first_versions_reduce_overflowing_components() -> None:
    """r + n fits 32 bytes only for tiny r, which no key gives; a signature made of overflows shows the rule."""
    overflowing = (SECP256K1_ORDER + 1).to_bytes(32, "big") * 2 + b"\x00"
    reduced = (1).to_bytes(32, "big") * 2 + b"\x00"
    digest = blake2_256(b"message")
    key = crypto.secp256k1_ecdsa_recover(reduced, digest)
    assert isinstance(key, bytes)
    assert crypto.secp256k1_ecdsa_recover_version_1(overflowing, digest) == key
    assert crypto.secp256k1_ecdsa_recover(overflowing, digest) == BAD_RS
    compressed = crypto.secp256k1_ecdsa_recover_compressed_version_1(overflowing, digest)
    assert isinstance(compressed, bytes)
    assert crypto.ecdsa_verify_version_1(overflowing, b"message", compressed)
    assert not crypto.ecdsa_verify(overflowing, b"message", compressed)


def test_undecodable_keys_and_signatures_are_no_signatures() -> None:
    for verify in (crypto.ed25519_verify, crypto.sr25519_verify, crypto.sr25519_verify_version_1):
        assert verify(bytes(64), b"message", b"\xff" * 32) is False
        assert verify(b"\xff" * 64, b"message", bytes(32)) is False
    assert crypto.ecdsa_verify(b"\xff" * 65, b"message", bytes(33)) is False


def test_trie_functions() -> None:
    pairs = [(b"k", b"\x07" * 33)]
    # Worked examples of the two state versions.
    assert trie.blake2_256_root_version_1(pairs).hex() == (
        "85a080578553fa6c3ccc3992d5802066a36b22fc515b809275a0f95c90cc8f78"
    )
    assert trie.blake2_256_root(pairs, 1).hex() == (
        "c0397d2d339a26673f04c82ba00b621c17819d96692e067440bcff99f42c8690"
    )
    assert trie.blake2_256_root([(b"k", b"old"), *pairs], 1) == trie.blake2_256_root(pairs, 1)
    assert trie.blake2_256_root([], 0) == LAYOUT_V1.empty_root
    assert trie.keccak_256_ordered_root([b"a"], 0) == trie.keccak_256_root([(b"\x00", b"a")], 0)
    assert trie.blake2_256_ordered_root_version_1([b"a"]) == trie.blake2_256_root([(b"\x00", b"a")], 0)
    with pytest.raises(HostError, match="state version 2"):
        trie.blake2_256_root(pairs, 2)


def test_proof_of_a_single_leaf() -> None:
    root = trie.blake2_256_root([(b"k", b"v")], 0)
    # The proof leaves the value out: a leaf of two nibbles with an empty value.
    proof = [bytes.fromhex("426b00")]
    assert trie.blake2_256_verify_proof_version_1(root, proof, b"k", b"v")
    assert not trie.blake2_256_verify_proof(root, proof, b"k", b"w", 0)
    assert not trie.blake2_256_verify_proof(root, [], b"k", b"v", 0)
    assert not trie.blake2_256_verify_proof(root, [b"\xff"], b"k", b"v", 1)
    assert not trie.keccak_256_verify_proof_version_1(root, proof, b"k", b"v")


# -- compressed blobs --------------------------------------------------------------------------------------------

LIMIT = 1 << 20


@given(st.binary(max_size=300), st.sampled_from(list(BlobKind)))
def test_blob_round_trip(data: bytes, kind: BlobKind) -> None:
    blob = compress(data, kind, LIMIT)
    assert blob is not None
    assert split_magic(blob)[0] is kind
    assert decompress(blob, LIMIT) == data
    assert decompress(blob + blob[8:], LIMIT) == data + data


def test_blobs_without_a_prefix_pass_through() -> None:
    for blob in (b"", b"\x00asm", bytes.fromhex("52bc537646db8e")):
        assert split_magic(blob) == (None, blob)
        assert decompress(blob, 0) == blob


@given(st.binary(max_size=60), st.integers(0, 7), st.data())
def test_damaged_blobs_are_refused_or_harmless(data: bytes, bit: int, draw: st.DataObject) -> None:
    blob = bytearray(compress(data, BlobKind.POV, LIMIT) or b"")
    blob[draw.draw(st.integers(8, len(blob) - 1))] ^= 1 << bit
    try:
        assert len(decompress(bytes(blob), LIMIT)) <= LIMIT
    except (InvalidBlob, PossibleBomb):
        pass


def test_incomplete_and_trailing_frames() -> None:
    blob = compress(b"data" * 100, BlobKind.WASM_CODE, LIMIT)
    assert blob is not None
    for broken in (blob[:-1], blob + b"x", blob[:8], blob[:8] + b"nonsense"):
        with pytest.raises(InvalidBlob):
            decompress(broken, LIMIT)


def test_bombs_are_stopped_at_the_limit() -> None:
    data = bytes(LIMIT + 1)
    assert compress(data, BlobKind.POV, LIMIT) is None
    for content in (data, bytes(200_000_000)):
        bomb = BlobKind.POV.value + zstandard.ZstdCompressor().compress(content)
        with pytest.raises(PossibleBomb) as caught:
            decompress(bomb, LIMIT)
        assert caught.value.limit == LIMIT
    exact = compress(bytes(LIMIT), BlobKind.POV, LIMIT)
    assert exact is not None
    assert decompress(exact, LIMIT) == bytes(LIMIT)


def test_stronger_compression_decompresses_alike() -> None:
    blob = compress(b"runtime" * 1000, BlobKind.WASM_CODE, LIMIT, level=STRONG_LEVEL)
    assert blob is not None
    assert decompress(blob, LIMIT) == b"runtime" * 1000
