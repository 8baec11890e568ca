"""Erasure coding: the reference's bytes, any third of the chunks recovers, and nothing else passes for a chunk.

The expected hashes were computed with the C program in the repository of [reed-solomon-novelpoly]; the interpolation
oracle knows nothing of transforms: it is Lagrange's formula over polynomials with the textbook product.
"""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pov_validator.erasure import (
    ErasureChunk,
    ErasureError,
    ErasureFault,
    erasure_chunks,
    erasure_root,
    obtain_chunks,
    reconstruct,
    recovery_threshold,
)
from pov_validator.erasure.code import CodeParams, decode, encode
from pov_validator.erasure.field import lanes_of_one, multiply, scale
from pov_validator.roles import Unavailable, recover
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import AvailableData, PersistedValidationData, PoV

PVD = PersistedValidationData(b"parent head", 7, bytes(range(32)), 5 * 1024 * 1024)


def sample(size: int) -> bytes:
    return bytes((i * i + i * 7 + 3) % 256 for i in range(size))


@pytest.mark.parametrize(
    "validators, size, expected",
    [
        (2, 10, "e69b83c715c1bbc733f636a47ec41aaf019aeb614bd38d10480e5b703a6ae17b"),
        (6, 1000, "b650289834b6e3b419f4771e7e2df7057f26644e9d1d4c99c8788e8fe6b9fc3e"),
        (10, 256, "06531aca7e878b2cf074936ab29fdd43b8a78a190433627988b292be0765731e"),
        (33, 1001, "45b94dc4b1d92ed872bd2fa090a5656e4e2207681c2671f3c666ca74bf74d4d7"),
        (1000, 5000, "f5a16a022dc5801e34cf1eec191a95f00aa564b88237d68ca6e316132d8fe0db"),
    ],
)
def test_the_chunks_are_those_of_the_reference(validators: int, size: int, expected: str) -> None:
    assert blake2_256(b"".join(encode(sample(size), CodeParams.of(validators)))).hex() == expected


def test_four_data_chunks_of_one_symbol_in_eight() -> None:
    assert (
        b"".join(encode(bytes(range(1, 9)), CodeParams(8, 8, 4))).hex() == "01020304050607080051025904540654"
    )


@pytest.mark.parametrize(
    "validators, threshold, n, k",
    [(2, 1, 2, 1), (3, 1, 4, 1), (4, 2, 4, 2), (7, 3, 8, 2), (10, 4, 16, 4), (1000, 334, 1024, 256)],
)
def test_the_parameters_are_powers_of_two(validators: int, threshold: int, n: int, k: int) -> None:
    assert recovery_threshold(validators) == threshold
    assert CodeParams.of(validators) == CodeParams(validators, n, k)


CANTOR = (
    1, 44234, 15374, 5694, 50562, 60718, 37196, 16402, 27800, 4312, 27250, 47360, 64952, 64308, 65336, 39198,
)  # fmt: skip


def polynomial(symbol: int) -> int:
    result = 0
    for bit, element in enumerate(CANTOR):
        result ^= element * (symbol >> bit & 1)
    return result


def textbook_product(left: int, right: int) -> int:
    result = 0
    for bit in range(16):
        if right >> bit & 1:
            result ^= left << bit
    for bit in reversed(range(16, 31)):
        if result >> bit & 1:
            result ^= 0x1002D << (bit - 16)
    return result


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_multiplication_is_that_of_the_field(left: int, right: int) -> None:
    assert polynomial(multiply(left, right)) == textbook_product(polynomial(left), polynomial(right))


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=9), st.integers(0, 0xFFFF))
def test_scaling_a_vector_scales_each_lane(lanes: list[int], factor: int) -> None:
    vector = sum(lane << 16 * position for position, lane in enumerate(lanes))
    scaled = scale(vector, factor, lanes_of_one(len(lanes)))
    assert [scaled >> 16 * position & 0xFFFF for position in range(len(lanes))] == [
        multiply(lane, factor) for lane in lanes
    ]


@given(st.data())
def test_chunks_are_values_of_the_polynomial_through_the_data(data: st.DataObject) -> None:
    validators = data.draw(st.integers(2, 40))
    params = CodeParams.of(validators)
    symbols = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=params.k, max_size=params.k))
    chunks = encode(b"".join(symbol.to_bytes(2, "big") for symbol in symbols), params)
    point = data.draw(st.integers(0, validators - 1))
    value = 0
    for own, symbol in enumerate(symbols):
        term = polynomial(symbol)
        for other in range(params.k):
            if other != own:
                inverse = inverse_of(polynomial(own ^ other))
                term = textbook_product(term, textbook_product(polynomial(point ^ other), inverse))
        value ^= term
    assert polynomial(int.from_bytes(chunks[point], "big")) == value


def inverse_of(element: int) -> int:
    """The inverse, as the 2^16 - 2nd power."""
    result, square = 1, element
    for _ in range(15):
        square = textbook_product(square, square)
        result = textbook_product(result, square)
    assert textbook_product(result, element) == 1
    return result


@given(st.data())
def test_any_third_recovers_and_one_chunk_less_than_the_code_needs_does_not(data: st.DataObject) -> None:
    validators = data.draw(st.integers(2, 70))
    available = AvailableData(PoV(data.draw(st.binary(max_size=300))), PVD)
    chunks = obtain_chunks(validators, available)
    assert len(chunks) == validators
    order = data.draw(st.permutations(range(validators)))
    third = order[: recovery_threshold(validators)]
    assert reconstruct(validators, {index: chunks[index] for index in third}) == available
    params = CodeParams.of(validators)
    assert reconstruct(validators, {index: chunks[index] for index in order[: params.k]}) == available
    with pytest.raises(ErasureError) as caught:
        reconstruct(validators, {index: chunks[index] for index in order[: params.k - 1]})
    assert caught.value.fault is ErasureFault.NOT_ENOUGH_CHUNKS


@pytest.mark.parametrize("validators", [4, 6, 7])
def test_every_third_of_a_small_set_recovers(validators: int) -> None:
    available = AvailableData(PoV(sample(100)), PVD)
    chunks = obtain_chunks(validators, available)
    for third in combinations(range(validators), recovery_threshold(validators)):
        assert reconstruct(validators, {index: chunks[index] for index in third}) == available


def test_a_thousand_validators_recover_a_large_pov() -> None:
    available = AvailableData(PoV(sample(200_000)), PVD)
    chunks = obtain_chunks(1000, available)
    third = random.Random(3).sample(range(1000), recovery_threshold(1000))
    assert reconstruct(1000, {index: chunks[index] for index in third}) == available


@given(st.integers(2, 40), st.binary(max_size=100), st.data())
def test_each_chunk_is_proven_and_no_other_is(validators: int, pov: bytes, data: st.DataObject) -> None:
    chunks = obtain_chunks(validators, AvailableData(PoV(pov), PVD))
    root, proven = erasure_chunks(chunks)
    assert root == erasure_root(chunks)
    chosen = data.draw(st.sampled_from(proven))
    assert chosen.belongs_to(root)
    flipped = bytearray(chosen.chunk)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not ErasureChunk(chosen.index, bytes(flipped), chosen.proof).belongs_to(root)
    assert not ErasureChunk(validators, chosen.chunk, chosen.proof).belongs_to(root)
    assert not ErasureChunk(1 << 32, chosen.chunk, chosen.proof).belongs_to(root)
    for left_out in range(len(chosen.proof)):
        less = chosen.proof[:left_out] + chosen.proof[left_out + 1 :]
        assert not ErasureChunk(chosen.index, chosen.chunk, less).belongs_to(root)
    other = data.draw(st.sampled_from(proven))
    if other.chunk != chosen.chunk:
        assert not ErasureChunk(chosen.index, other.chunk, chosen.proof).belongs_to(root)


@given(st.integers(4, 20), st.data())
def test_a_corrupted_chunk_gives_other_data_which_the_root_does_not_commit_to(
    validators: int, data: st.DataObject
) -> None:
    params = CodeParams.of(validators)
    payload = data.draw(st.binary(min_size=1, max_size=60))
    chunks = encode(payload, params)
    chosen = data.draw(st.permutations(range(validators)))[: params.k]
    received = {index: chunks[index] for index in chosen}
    bad = data.draw(st.sampled_from(chosen))
    received[bad] = bytes([received[bad][0] ^ 0x80]) + received[bad][1:]
    decoded = decode(received, params)
    assert erasure_root(encode(decoded, params)) != erasure_root(chunks)


@pytest.mark.parametrize(
    "chunks, fault",
    [
        ({}, ErasureFault.NOT_ENOUGH_CHUNKS),
        ({0: b"ab", 6: b"ab"}, ErasureFault.CHUNK_INDEX_OUT_OF_BOUNDS),
        ({-1: b"ab", 0: b"ab"}, ErasureFault.CHUNK_INDEX_OUT_OF_BOUNDS),
        ({0: b"ab", 1: b"abcd"}, ErasureFault.NON_UNIFORM_CHUNKS),
        ({0: b"", 1: b""}, ErasureFault.NON_UNIFORM_CHUNKS),
        ({0: b"abc", 1: b"abc"}, ErasureFault.UNEVEN_LENGTH),
        ({0: b"\xff\xff", 1: b"\xff\xff"}, ErasureFault.BAD_PAYLOAD),
    ],
)
def test_chunks_that_cannot_be_decoded_are_refused_by_name(
    chunks: dict[int, bytes], fault: ErasureFault
) -> None:
    with pytest.raises(ErasureError) as caught:
        reconstruct(6, chunks)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    "validators, fault",
    [
        (0, ErasureFault.NOT_ENOUGH_VALIDATORS),
        (1, ErasureFault.NOT_ENOUGH_VALIDATORS),
        (65537, ErasureFault.TOO_MANY_VALIDATORS),
    ],
)
def test_there_must_be_two_validators_and_as_many_points(validators: int, fault: ErasureFault) -> None:
    with pytest.raises(ErasureError) as caught:
        obtain_chunks(validators, AvailableData(PoV(b""), PVD))
    assert caught.value.fault is fault


def test_nothing_cannot_be_encoded() -> None:
    with pytest.raises(ErasureError) as caught:
        encode(b"", CodeParams.of(2))
    assert caught.value.fault is ErasureFault.BAD_PAYLOAD


@given(
    st.integers(-1, 1 << 33), st.binary(max_size=8), st.lists(st.binary(max_size=60), max_size=4), st.data()
)
def test_whatever_is_handed_out_is_a_chunk_or_is_not(
    index: int, chunk: bytes, proof: list[bytes], data: st.DataObject
) -> None:
    """Nothing raises, and nothing made up belongs to a root that commits to something else."""
    root, chunks = erasure_chunks(obtain_chunks(7, AvailableData(PoV(b"pov"), PVD)))
    mixed = [*proof, *data.draw(st.lists(st.sampled_from(chunks[0].proof + chunks[5].proof), max_size=3))]
    made_up = ErasureChunk(index, chunk, tuple(mixed))
    assert not made_up.belongs_to(root)
    assert recovered(root, [made_up, *chunks[4:]]) == AvailableData(PoV(b"pov"), PVD)
    assert recovered(root, [made_up, *chunks[5:]]) is None


def recovered(root: bytes, chunks: list[ErasureChunk]) -> AvailableData | None:
    try:
        return recover(root, 7, chunks)
    except Unavailable:
        return None
