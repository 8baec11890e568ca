"""sr25519 keypairs from secret URIs, signatures and VRF outputs without randomness.

Follows schnorrkel 0.11 (`MiniSecretKey::expand` in Ed25519 mode, hard derivation, `sign`, `vrf_sign`) and [sp-core]
(`sr25519`, `DeriveJunction`). One thing is different on purpose: the witness of a signature is a hash of
the secret nonce and of the whole transcript, without fresh randomness, so that signing the same message
twice gives the same bytes. For test keys only, see the package. Not modelled: mnemonic phrases, passwords,
soft derivation, signing contexts of others.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Final, Self

from host_functions.errors import PileusError
from pileus.keyring.merlin import Transcript
from pileus.keyring.ristretto import L, compress, from_uniform_bytes, multiply, multiply_base
from runtime.primitives.scale import string, u64

DEV_MINI_SECRET: Final = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
"""Mini secret of the development phrase ("bottom drive obey lake …"), the root of `//Alice` and others."""
SIGNING_CONTEXT: Final = b"substrate"

_URI: Final = re.compile(r"(?P<root>0x[0-9a-fA-F]{64})?(?P<path>(//[^/]+)*)")


class InvalidUri(PileusError, ValueError):
    """A secret URI of a form this keyring does not know."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"secret URI {uri!r}: {reason}")
        self.uri = uri
        self.reason = reason


def junction_chain_code(junction: str) -> bytes:
    """The 32-byte chain code of `//junction`: a number as u64, else a string, hashed if longer."""
    number = int(junction) if junction.isascii() and junction.isdigit() else 1 << 64
    encoded = u64.encode(number) if number < 1 << 64 else string.encode(junction)
    if len(encoded) > 32:
        return hashlib.blake2b(encoded, digest_size=32).digest()
    return encoded.ljust(32, b"\x00")


def _expand(mini_secret: bytes) -> tuple[int, bytes]:
    """The secret scalar and the secret nonce. The scalar is stored divided by the cofactor, 8."""
    digest = hashlib.sha512(mini_secret).digest()
    # RFC 8032 clamping: a multiple of the cofactor with bit 254 as its highest.
    clamped = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return clamped >> 3, digest[32:]


def hard_derive(mini_secret: bytes, chain_code: bytes) -> bytes:
    """The mini secret (32 bytes) one hard junction below another."""
    scalar, _ = _expand(mini_secret)
    transcript = Transcript(b"SchnorrRistrettoHDKD")
    transcript.append_message(b"sign-bytes", b"")
    transcript.append_message(b"chain-code", chain_code)
    transcript.append_message(b"secret-key", scalar.to_bytes(32, "little"))
    return transcript.challenge_bytes(b"HDKD-hard", 32)


@cache
def _signing_context() -> Transcript:
    transcript = Transcript(b"SigningContext")
    transcript.append_message(b"", SIGNING_CONTEXT)
    return transcript


class Keypair:
    """An sr25519 keypair. `public_key` is 32 bytes; `uri` says where it came from."""

    __slots__ = ("_nonce", "_scalar", "public_key", "uri")

    def __init__(self, mini_secret: bytes, uri: str) -> None:
        scalar, self._nonce = _expand(mini_secret)
        self._scalar = scalar % L
        self.public_key = compress(multiply_base(self._scalar))
        self.uri = uri

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The keypair of a 32-byte mini secret. Raises InvalidUri for another length."""
        uri = "0x" + seed.hex()
        if len(seed) != 32:
            raise InvalidUri(uri, f"a seed has 32 bytes, not {len(seed)}")
        return cls(seed, uri)

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """The keypair of `//Alice`, `//Alice//stash` or `0x<seed>//0`; without a seed, of the dev phrase.

        Raises InvalidUri, in particular for mnemonic phrases, passwords (`///`) and soft junctions (`/`).
        """
        match = _URI.fullmatch(uri)
        if match is None or not uri:
            raise InvalidUri(uri, "expected hard junctions such as //Alice, optionally after a 0x seed")
        secret = bytes.fromhex(match["root"][2:]) if match["root"] else DEV_MINI_SECRET
        for junction in match["path"].split("//")[1:]:
            secret = hard_derive(secret, junction_chain_code(junction))
        return cls(secret, uri)

    def sign(self, message: bytes) -> bytes:
        """The signature of `message` in the context `substrate`, 64 bytes; the same for the same message."""
        transcript = _signing_context().clone()
        transcript.append_message(b"sign-bytes", message)
        transcript.append_message(b"proto-name", b"Schnorr-sig")
        transcript.append_message(b"sign:pk", self.public_key)
        witness = self._witness(transcript)
        commitment = compress(multiply_base(witness))
        transcript.append_message(b"sign:R", commitment)
        challenge = int.from_bytes(transcript.challenge_bytes(b"sign:c", 64), "little")
        response = bytearray(((challenge * self._scalar + witness) % L).to_bytes(32, "little"))
        response[31] |= 0x80  # what tells a Schnorrkel signature from an Ed25519 one
        return commitment + bytes(response)

    def vrf_sign(self, transcript: Transcript) -> tuple[bytes, bytes]:
        """The VRF output of this key on a transcript (32 bytes), and the proof that it is (64 bytes)."""
        named = transcript.clone()
        named.append_message(b"vrf-nm-pk", self.public_key)
        point = from_uniform_bytes(named.challenge_bytes(b"VRFHash", 64))
        output = compress(multiply(self._scalar, point))
        proof = Transcript(b"VRF")
        proof.append_message(b"proto-name", b"DLEQProof")
        proof.append_message(b"vrf:h", compress(point))
        witness = self._witness(proof)
        proof.append_message(b"vrf:R=g^r", compress(multiply_base(witness)))
        proof.append_message(b"vrf:h^r", compress(multiply(witness, point)))
        proof.append_message(b"vrf:pk", self.public_key)
        proof.append_message(b"vrf:h^sk", output)
        challenge = int.from_bytes(proof.challenge_bytes(b"prove", 64), "little") % L
        response = (witness - challenge * self._scalar) % L
        return output, challenge.to_bytes(32, "little") + response.to_bytes(32, "little")

    def _witness(self, transcript: Transcript) -> int:
        """The secret one-time scalar. Two messages never share one, or the secret key could be computed."""
        digest = hashlib.blake2b(transcript.snapshot(), key=self._nonce, person=b"pileus-witness").digest()
        return int.from_bytes(digest, "little") % L

    def __repr__(self) -> str:
        return f"<Keypair 0x{self.public_key.hex()}>"
