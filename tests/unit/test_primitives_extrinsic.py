"""The envelope of extrinsics, eras and signed payloads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.extrinsic import (
    IMMORTAL,
    Address20,
    Ecdsa,
    Era,
    Extrinsic,
    ExtrinsicSignature,
    Id,
    SignedPayload,
    Sr25519,
    era_codec,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import ScaleError, byte_vec

CALL = b"\x05\x03call"
PAYLOAD = SignedPayload(CALL, Era.mortal(64, 42), 3, 70_000, 100, 7, b"g" * 32, b"b" * 32)


def test_bare() -> None:
    extrinsic = Extrinsic.bare(CALL)
    assert extrinsic.encode() == bytes([(len(CALL) + 1) << 2, 4]) + CALL
    assert Extrinsic.decode(extrinsic.encode()) == extrinsic
    assert not extrinsic.is_signed
    newer = Extrinsic.decode(byte_vec.encode(b"\x05" + CALL))
    assert (newer.version, newer.call) == (5, CALL)
    assert Extrinsic.decode(newer.encode()) == newer


def test_signed() -> None:
    extrinsic = Extrinsic.signed(PAYLOAD, Id(b"a" * 32), Sr25519(b"s" * 64))
    body = (
        b"\x84\x00"
        + b"a" * 32
        + b"\x01"
        + b"s" * 64
        + bytes.fromhex("a502 0c")
        + bytes.fromhex("c2450400")
        + CALL
    )
    assert extrinsic.encode() == byte_vec.encode(body)
    assert Extrinsic.decode(extrinsic.encode()) == extrinsic
    assert extrinsic.is_signed


@given(
    st.sampled_from([Id(b"a" * 32), Address20(b"e" * 20)]), st.binary(max_size=300), st.integers(0, 2**32 - 1)
)
def test_round_trip(address: Id | Address20, call: bytes, nonce: int) -> None:
    signature = ExtrinsicSignature(address, Ecdsa(b"e" * 65), IMMORTAL, nonce, 2**128 - 1)
    extrinsic = Extrinsic(signature, call)
    assert Extrinsic.decode(extrinsic.encode()) == extrinsic


@pytest.mark.parametrize("body", ["", "03", "45", "85", "c4", "84", "8405", "8401" + "00" * 200])
def test_forms_that_are_not_modelled(body: str) -> None:
    with pytest.raises(ScaleError):
        Extrinsic.decode(byte_vec.encode(bytes.fromhex(body)))


def test_versions_that_do_not_encode() -> None:
    signed = Extrinsic.signed(PAYLOAD, Id(b"a" * 32), Sr25519(b"s" * 64))
    for extrinsic in (replace(signed, version=5), Extrinsic(None, CALL, 3), Extrinsic(None, CALL, 6)):
        with pytest.raises(ScaleError, match="version"):
            extrinsic.encode()


@given(st.binary(max_size=200))
def test_hostile_bytes(data: bytes) -> None:
    for attempt in (data, byte_vec.encode(b"\x84" + data), byte_vec.encode(data)):
        try:
            extrinsic = Extrinsic.decode(attempt)
        except ScaleError:
            continue
        assert extrinsic.encode() == attempt


def test_signed_payload() -> None:
    encoded = PAYLOAD.encode()
    assert encoded == CALL + bytes.fromhex("a5020cc2450400 64000000 07000000") + b"g" * 32 + b"b" * 32
    assert PAYLOAD.signing_bytes() == encoded
    # 256 bytes are signed as they are, one more by hash.
    longest = replace(PAYLOAD, call=b"c" * (256 - len(encoded) + len(CALL)))
    assert longest.signing_bytes() == longest.encode()
    longer = replace(longest, call=longest.call + b"c")
    assert longer.signing_bytes() == blake2_256(longer.encode())


# -- eras: the expectations are those of sp_runtime's own tests --------------------------------------------


def test_eras_as_the_reference_encodes_them() -> None:
    assert IMMORTAL.encode() == b"\x00"
    assert Era.mortal(64, 42) == Era(64, 42)
    assert Era.mortal(64, 42).encode() == bytes([5 + 42 % 16 * 16, 42 // 16])
    assert Era.mortal(32768, 20000).encode() == bytes([14 + 2500 % 16 * 16, 2500 // 16])
    assert Era.mortal(200, 513) == Era(256, 1)
    assert Era.mortal(2, 1) == Era(4, 1)
    assert Era.mortal(4, 5) == Era(4, 1)
    assert Era.mortal(1_000_000, 1_000_001) == Era(65536, 1_000_001 % 65536 // 16 * 16)


def test_birth_and_death() -> None:
    era = Era.mortal(4, 6)
    assert {(era.birth(block), era.death(block)) for block in range(6, 10)} == {(6, 10)}
    assert (era.birth(5), era.birth(10)) == (2, 10)
    assert (IMMORTAL.birth(9), IMMORTAL.death(9)) == (0, 2**64 - 1)
    assert IMMORTAL.is_immortal
    assert not era.is_immortal


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 40))
def test_a_new_era_contains_the_block_it_was_made_for(period: int, current: int) -> None:
    era = Era.mortal(period, current)
    assert era_codec.decode(era.encode()) == era
    assert era.birth(current) <= current < era.death(current)
    assert era.death(current) - era.birth(current) == era.period


@given(st.binary(min_size=2, max_size=2))
def test_era_bytes(data: bytes) -> None:
    try:
        era, end = era_codec.decode_prefix(data)
    except ScaleError:
        return
    assert era.encode() == data[:end]


@pytest.mark.parametrize(
    "era", [Era(3, 0), Era(2, 1), Era(64, 64), Era(1 << 17, 0), Era(65536, 1), Era(0, 1)]
)
def test_eras_without_an_encoding(era: Era) -> None:
    with pytest.raises(ScaleError):
        era.encode()
