"""Extrinsics: the envelope around a call, signed or bare, and the payload a signer signs.

Follows `sp_runtime::generic::UncheckedExtrinsic` [sp-runtime], versions 4 (signed and bare) and 5 (bare),
with the transaction extensions of a plain chain: mortality, nonce, tip. Calls stay opaque bytes. Not
modelled: general transactions (version 5 with extensions) and extensions that add bytes of their own, such
as the metadata hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self, TypeAlias

from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import (
    H160,
    H256,
    H512,
    U32,
    AccountId,
    Codec,
    CompactU32,
    CompactU128,
    Struct,
    Variant,
    byte_vec,
    fixed_bytes,
    u8,
)

EXTRINSIC_FORMAT_VERSION: Final = 4
"""Version of the signed form, and the default of bare ones."""
SIGNED_BIT: Final = 0b1000_0000
VERSION_MASK: Final = 0b0011_1111
MAX_SIGNED_BYTES: Final = 256
"""Longer payloads are signed by their hash."""


# -- who signs, and how ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Id(Variant):
    """The account itself."""

    index: ClassVar[int] = 0
    account: AccountId


@dataclass(frozen=True, slots=True)
class Raw(Variant):
    """Bytes a chain gives a meaning to."""

    index: ClassVar[int] = 2
    data: bytes


@dataclass(frozen=True, slots=True)
class Address32(Variant):
    """A 32-byte representation."""

    index: ClassVar[int] = 3
    data: H256


@dataclass(frozen=True, slots=True)
class Address20(Variant):
    """A 20-byte representation."""

    index: ClassVar[int] = 4
    data: H160


MultiAddress: TypeAlias = Id | Raw | Address32 | Address20
"""Who signed. Account indices (index 1) are not modelled."""


@dataclass(frozen=True, slots=True)
class Ed25519(Variant):
    """A signature over the Ed25519 curve."""

    index: ClassVar[int] = 0
    signature: H512


@dataclass(frozen=True, slots=True)
class Sr25519(Variant):
    """A Schnorrkel signature."""

    index: ClassVar[int] = 1
    signature: H512


@dataclass(frozen=True, slots=True)
class Ecdsa(Variant):
    """A recoverable secp256k1 signature, the recovery byte last."""

    index: ClassVar[int] = 2
    signature: Annotated[bytes, fixed_bytes(65)]


MultiSignature: TypeAlias = Ed25519 | Sr25519 | Ecdsa


# -- how long it is valid ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Era:
    """The blocks a transaction is valid in: `period` blocks from `phase` on, modulo the period.

    Period 0 is the immortal era. Periods are powers of two from 4 to 65 536 blocks; for long periods the
    phase is rounded down to a multiple of `quantize_factor`.
    """

    period: int = 0
    phase: int = 0

    @classmethod
    def mortal(cls, period: int, current: int) -> Era:
        """The era of at least `period` blocks (rounded up, at most 65 536) that block `current` lies in."""
        rounded = min(max(1 << max(period - 1, 0).bit_length(), 4), 1 << 16)
        factor = max(rounded >> 12, 1)
        return cls(rounded, current % rounded // factor * factor)

    @property
    def is_immortal(self) -> bool:
        return self.period == 0

    def birth(self, current: int) -> int:
        """The block number this era began at, seen from block `current`; 0 when immortal."""
        if self.period == 0:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase

    def death(self, current: int) -> int:
        """The first block number after this era, seen from block `current`; 2^64 - 1 when immortal."""
        return (1 << 64) - 1 if self.period == 0 else self.birth(current) + self.period

    def encode(self) -> bytes:
        """One byte when immortal, two when mortal.

        Raises ScaleError for a period or phase that has no encoding.
        """
        return era_codec.encode(self)


IMMORTAL: Final = Era()


class EraCodec(Codec[Era]):
    """`00`, or 16 bits little-endian: log2(period) - 1 in the low four, the quantised phase above."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("Era", 1)

    def encode(self, value: Era) -> bytes:
        if not isinstance(value, Era):
            raise ScaleError(f"a {type(value).__name__} instead of an era", what=self.name)
        if value.period == 0 and value.phase == 0:
            return b"\x00"
        factor = max(value.period >> 12, 1)
        power_of_two = value.period & (value.period - 1) == 0
        if not (power_of_two and 4 <= value.period <= 1 << 16):
            raise ScaleError("the period is no power of two from 4 to 65536", what=self.name)
        if not 0 <= value.phase < value.period or value.phase % factor:
            raise ScaleError("the phase is out of range or not quantised", what=self.name)
        low = value.period.bit_length() - 2
        return (low | value.phase // factor << 4).to_bytes(2, "little")

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[Era, int]:
        first, end = u8.decode_prefix(data, offset)
        if first == 0:
            return IMMORTAL, end
        second, end = u8.decode_prefix(data, end)
        encoded = first | second << 8
        period = 2 << (encoded & 0b1111)
        phase = (encoded >> 4) * max(period >> 12, 1)
        if period < 4 or phase >= period:
            raise ScaleError("invalid period and phase", what=self.name, offset=offset)
        return Era(period, phase), end


era_codec: Final = EraCodec()


# -- the envelope ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExtrinsicSignature(Struct):
    """Who signed an extrinsic, the signature, and the extensions it covers.

    The tip is in the smallest unit.
    """

    address: MultiAddress
    signature: MultiSignature
    era: Annotated[Era, era_codec]
    nonce: CompactU32
    tip: CompactU128


@dataclass(frozen=True, slots=True)
class SignedPayload:
    """What a signer signs: the call, the extensions, and what they imply without being transmitted."""

    call: bytes
    era: Era
    nonce: int
    tip: int
    spec_version: int
    transaction_version: int
    genesis_hash: bytes
    era_birth_hash: bytes
    """Hash of the block at `era.birth`; the genesis hash when immortal."""

    def encode(self) -> bytes:
        """The payload in full. Raises ScaleError for values out of range."""
        implied = _Implied(
            self.era,
            self.nonce,
            self.tip,
            self.spec_version,
            self.transaction_version,
            self.genesis_hash,
            self.era_birth_hash,
        )
        return self.call + implied.encode()

    def signing_bytes(self) -> bytes:
        """The bytes to sign: the payload, or its BLAKE2b-256 hash when it is longer than 256 bytes."""
        payload = self.encode()
        return blake2_256(payload) if len(payload) > MAX_SIGNED_BYTES else payload


@dataclass(frozen=True, slots=True)
class _Implied(Struct):
    era: Annotated[Era, era_codec]
    nonce: CompactU32
    tip: CompactU128
    spec_version: U32
    transaction_version: U32
    genesis_hash: H256
    era_birth_hash: H256


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """An extrinsic: a call with a signature, or a bare one (an inherent or an unsigned transaction).

    `encode` and `decode` are the full form with the compact length in front, as blocks and pools carry it.
    """

    signature: ExtrinsicSignature | None
    call: bytes
    version: int = EXTRINSIC_FORMAT_VERSION
    """4, or 5 for bare extrinsics of newer chains."""

    @classmethod
    def bare(cls, call: bytes) -> Self:
        """An inherent or unsigned transaction."""
        return cls(None, call)

    @classmethod
    def signed(cls, payload: SignedPayload, address: MultiAddress, signature: MultiSignature) -> Self:
        """The extrinsic whose `payload` was signed."""
        extensions = ExtrinsicSignature(address, signature, payload.era, payload.nonce, payload.tip)
        return cls(extensions, payload.call)

    @property
    def is_signed(self) -> bool:
        return self.signature is not None

    def encode(self) -> bytes:
        """The full encoding. Raises ScaleError for a version this form does not have."""
        if self.signature is None:
            if self.version not in (4, 5):
                raise ScaleError(f"no bare extrinsic has version {self.version}", what="Extrinsic")
            return byte_vec.encode(bytes([self.version]) + self.call)
        if self.version != EXTRINSIC_FORMAT_VERSION:
            raise ScaleError(f"no signed extrinsic has version {self.version}", what="Extrinsic")
        return byte_vec.encode(bytes([SIGNED_BIT | self.version]) + self.signature.encode() + self.call)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The extrinsic of a full encoding, all of it. Raises ScaleError."""
        body = byte_vec.decode(data)
        first, offset = u8.decode_prefix(body)
        version, form = first & VERSION_MASK, first & ~VERSION_MASK
        if form == 0 and version in (4, 5):
            return cls(None, body[offset:], version)
        if form == SIGNED_BIT and version == EXTRINSIC_FORMAT_VERSION:
            signature, offset = ExtrinsicSignature.decode_prefix(body, offset)
            return cls(signature, body[offset:], version)
        raise ScaleError(
            f"extrinsic format {first:#04x} is not modelled", what="Extrinsic", offset=len(data) - len(body)
        )
