"""Deterministic sr25519 signatures against the library that verifies them."""

from __future__ import annotations

import pytest
import sr25519
from Crypto.Hash import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

from host_functions.interfaces import crypto
from pileus.keyring import DEV_MINI_SECRET, InvalidUri, Keypair
from pileus.keyring.keypair import hard_derive, junction_chain_code
from pileus.keyring.merlin import Transcript, keccak_f1600
from pileus.keyring.ristretto import L, compress, from_uniform_bytes, multiply, multiply_base

ALICE = Keypair.from_uri("//Alice")
seeds = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(
    "name, public_key",
    [
        ("Alice", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"),
        ("Bob", "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48"),
        ("Charlie", "90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22"),
        ("Dave", "306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20"),
        ("Eve", "e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e"),
        ("Ferdie", "1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c"),
        ("Alice//stash", "be5ddb1579b72e84524fc29e78609e3caf42e85aa118ebfe0b0ad404b5bdd25f"),
    ],
)
def test_development_accounts(name: str, public_key: str) -> None:
    pair = Keypair.from_uri(f"//{name}")
    assert pair.public_key.hex() == public_key
    assert pair.uri == f"//{name}"


@given(seeds, st.binary(max_size=400))
@example(bytes(32), b"")
@example(bytes(32), b"m" * 166)
def test_signatures_verify_and_repeat(seed: bytes, message: bytes) -> None:
    pair = Keypair.from_seed(seed)
    assert pair.public_key == sr25519.pair_from_seed(seed)[0]
    signature = pair.sign(message)
    assert len(signature) == 64
    assert sr25519.verify(signature, message, pair.public_key)
    assert crypto.sr25519_verify(signature, message, pair.public_key)
    assert Keypair.from_seed(seed).sign(message) == signature


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_a_witness_serves_one_message_only(first: bytes, second: bytes) -> None:
    one, other = ALICE.sign(first), ALICE.sign(second)
    assert (one[:32] == other[:32]) == (first == second)
    if first != second:
        assert not crypto.sr25519_verify(one, second, ALICE.public_key)


def test_two_keys_never_share_a_witness() -> None:
    bob = Keypair.from_uri("//Bob")
    assert ALICE.sign(b"message")[:32] != bob.sign(b"message")[:32]


@given(st.binary(max_size=40), st.integers(0, 511))
def test_a_changed_bit_breaks_the_signature(message: bytes, bit: int) -> None:
    signature = bytearray(ALICE.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert not crypto.sr25519_verify(bytes(signature), message, ALICE.public_key)


@given(seeds, seeds)
def test_hard_derivation_equals_the_library(seed: bytes, chain_code: bytes) -> None:
    public, secret = sr25519.pair_from_seed(seed)
    _, derived_public, _ = sr25519.hard_derive_keypair((chain_code, public, secret), b"")
    assert Keypair.from_seed(hard_derive(seed, chain_code)).public_key == derived_public


def test_junctions() -> None:
    assert junction_chain_code("Alice") == b"\x14Alice".ljust(32, b"\x00")
    assert junction_chain_code("7") == b"\x07".ljust(32, b"\x00")
    assert junction_chain_code(str(1 << 64)) != junction_chain_code("0")
    assert len(junction_chain_code("a junction longer than thirty-two bytes")) == 32


def test_uris() -> None:
    seed = "0x" + DEV_MINI_SECRET.hex()
    assert Keypair.from_uri(f"{seed}//Alice").public_key == ALICE.public_key
    assert Keypair.from_uri(seed).public_key == Keypair.from_seed(DEV_MINI_SECRET).public_key
    for uri in (
        "",
        "Alice",
        "/Alice",
        "//Alice/soft",
        "//Alice///password",
        "//",
        "0x00//Alice",
        "bottom drive",
    ):
        with pytest.raises(InvalidUri):
            Keypair.from_uri(uri)
    with pytest.raises(InvalidUri):
        Keypair.from_seed(bytes(31))


def test_secrets_stay_out_of_messages() -> None:
    assert ALICE.public_key.hex() in repr(ALICE)
    assert str(ALICE._scalar) not in repr(ALICE)


@given(st.binary(max_size=135))
def test_permutation_is_that_of_keccak_256(data: bytes) -> None:
    """One block of the Keccak sponge with our permutation."""
    padded = bytearray(data.ljust(136, b"\x00"))
    padded[len(data)] ^= 0x01
    padded[135] ^= 0x80
    digest = keccak_f1600(bytes(padded) + bytes(64))[:32]
    assert digest == keccak.new(digest_bits=256, data=data).digest()


def test_small_multiples_of_the_base_point() -> None:
    """The first vectors of RFC 9496, appendix A.1."""
    expected = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    ]
    assert [compress(multiply_base(scalar)).hex() for scalar in range(4)] == expected
    assert compress(multiply_base(L - 1)) != compress(multiply_base(1))


@pytest.mark.parametrize(
    "uniform, encoded",
    [
        (
            "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1"
            "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6",
            "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46",
        ),
        (
            "f116b34b8f17ceb56e8732a60d913dd10cce47a6d53bee9204be8b44f6678b27"
            "0102a56902e2488c46120e9276cfe54638286b9e4b3cdb470b542d46c2068d38",
            "f26e5b6f7d362d2d2a94c5d0e7602cb4773c95a2e5c31a64f133189fa76ed61b",
        ),
    ],
)
def test_points_from_uniform_bytes(uniform: str, encoded: str) -> None:
    """RFC 9496, appendix A.3."""
    assert compress(from_uniform_bytes(bytes.fromhex(uniform))).hex() == encoded


@settings(max_examples=20)
@given(st.integers(0, L - 1), st.integers(0, L - 1))
def test_multiples_of_any_point(first: int, second: int) -> None:
    assert compress(multiply(first, multiply_base(second))) == compress(multiply_base(first * second % L))


@settings(max_examples=10)
@given(seeds, st.binary(max_size=64))
def test_vrf_outputs_are_proven(seed: bytes, message: bytes) -> None:
    """The proof says that output and public key are the same multiple of input and base point, and names the witness.

    That it is schnorrkel's proof, byte for byte, the runtime of a Moonbeam network judges, whose blocks need it.
    """
    pair = Keypair.from_seed(seed)
    transcript = Transcript(b"test")
    transcript.append_message(b"message", message)
    output, proof = pair.vrf_sign(transcript)
    assert (output, proof) == Keypair.from_seed(seed).vrf_sign(transcript)
    named = transcript.clone()
    named.append_message(b"vrf-nm-pk", pair.public_key)
    point = from_uniform_bytes(named.challenge_bytes(b"VRFHash", 64))
    challenge, response = (int.from_bytes(half, "little") for half in (proof[:32], proof[32:]))
    # What a verifier computes from the points; here through the secret, as points are not decoded.
    secret = pair._scalar
    assert compress(multiply(secret, point)) == output
    witness = (response + challenge * secret) % L
    check = Transcript(b"VRF")
    for label, content in (
        (b"proto-name", b"DLEQProof"),
        (b"vrf:h", compress(point)),
        (b"vrf:R=g^r", compress(multiply_base(witness))),
        (b"vrf:h^r", compress(multiply(witness, point))),
        (b"vrf:pk", pair.public_key),
        (b"vrf:h^sk", output),
    ):
        check.append_message(label, content)
    assert int.from_bytes(check.challenge_bytes(b"prove", 64), "little") % L == challenge
