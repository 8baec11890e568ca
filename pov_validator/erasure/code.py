"""The systematic Reed-Solomon code of the availability system.

Chunk i holds, for each column, the value at point i of the one polynomial of degree < k that takes the data symbols at
the points 0 to k - 1; so the first k chunks are the data, and any k chunks determine it. Follows
[reed-solomon-novelpoly], byte for byte: n and k are powers of two, the transforms are those of Lin, Han and Chung in
their polynomial basis [lin-han-chung], symbols are big-endian and lie row by row in the data.

In a Cantor basis that paper becomes short. Its subspace polynomials s_i map a point to the point shifted right by i
bits, so the twiddle factors of the transforms are shifted indices, and all their derivatives are one. Vectors run over
the columns: n/2 log2 k multiplications of whole chunks encode, n log2 n decode.

Not modelled: recovery from the systematic chunks as a protocol of its own; they are simply recognised as complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from host_functions.errors import PileusError
from pov_validator.erasure.field import BITS, lanes_of_one, log_table, scale, scale_log

__all__ = [
    "MAX_CHUNKS",
    "CodeParams",
    "ErasureError",
    "ErasureFault",
    "decode",
    "encode",
    "recovery_threshold",
]

MAX_CHUNKS: Final = 1 << BITS
"""As many points as the field has."""
SYMBOL: Final = BITS // 8
"""Bytes."""


class ErasureFault(Enum):
    """What is wrong. Named as the errors of ``polkadot-erasure-coding`` [polkadot-erasure-coding]."""

    TOO_MANY_VALIDATORS = "TooManyValidators"
    NOT_ENOUGH_VALIDATORS = "NotEnoughValidators"
    NOT_ENOUGH_CHUNKS = "NotEnoughChunks"
    NON_UNIFORM_CHUNKS = "NonUniformChunks"
    UNEVEN_LENGTH = "UnevenLength"
    CHUNK_INDEX_OUT_OF_BOUNDS = "ChunkIndexOutOfBounds"
    BAD_PAYLOAD = "BadPayload"


class ErasureError(PileusError):
    """Data that cannot be encoded, or chunks that cannot be decoded."""

    def __init__(self, fault: ErasureFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


def recovery_threshold(validators: int) -> int:
    """Chunks that are enough whichever they are: f + 1, where f is a third. Raises `ErasureError`.

    The code itself may need fewer, see `CodeParams.k`.
    """
    if validators < 2:
        raise ErasureError(
            ErasureFault.NOT_ENOUGH_VALIDATORS, f"{validators} validators, needed are at least 2"
        )
    if validators > MAX_CHUNKS:
        raise ErasureError(
            ErasureFault.TOO_MANY_VALIDATORS, f"{validators} validators, the field has {MAX_CHUNKS}"
        )
    return (validators - 1) // 3 + 1


@dataclass(frozen=True, slots=True)
class CodeParams:
    """The code for a number of validators."""

    chunks: int
    """Chunks in use, one per validator."""
    n: int
    """Points of the code: `chunks` rounded up to a power of two."""
    k: int
    """Chunks that determine the data: `recovery_threshold` rounded down to a power of two."""

    @classmethod
    def of(cls, validators: int) -> CodeParams:
        """Raises `ErasureError` for fewer than two and for too many."""
        threshold = recovery_threshold(validators)
        return cls(validators, 1 << (validators - 1).bit_length(), 1 << (threshold.bit_length() - 1))

    def columns(self, size: int) -> int:
        """Symbols of each chunk for data of `size` bytes."""
        return -(-size // (SYMBOL * self.k))


def encode(data: bytes, params: CodeParams) -> list[bytes]:
    """The chunks of `data`, which is padded with zeros. Raises `ErasureError` for no data at all."""
    if not data:
        raise ErasureError(ErasureFault.BAD_PAYLOAD, "there is nothing to encode")
    columns = params.columns(len(data))
    padded = data.ljust(columns * params.k * SYMBOL, b"\0")
    chunks = [_deal(padded, row, params.k) for row in range(params.k)]
    ones = lanes_of_one(columns)
    coefficients = [int.from_bytes(chunk, "big") for chunk in chunks]
    _interpolate(coefficients, ones)
    for shift in range(params.k, params.chunks, params.k):
        values = coefficients.copy()
        _evaluate(values, shift, ones)
        chunks += [value.to_bytes(columns * SYMBOL, "big") for value in values]
    return chunks[: params.chunks]


def decode(chunks: Mapping[int, bytes], params: CodeParams) -> bytes:
    """The data with its padding, from at least ``params.k`` chunks by index. Raises `ErasureError`.

    Whether the chunks are those of one encoding is not known here: encode again and compare.
    """
    size = _check(chunks, params)
    missing = [row for row in range(params.k) if row not in chunks]
    rows = {row: chunks[row] for row in range(params.k) if row in chunks}
    if missing:
        rows |= _restore(chunks, missing, size, params)
    data = bytearray(size * params.k)
    for row, chunk in rows.items():
        for offset in range(SYMBOL):
            data[row * SYMBOL + offset :: params.k * SYMBOL] = chunk[offset::SYMBOL]
    return bytes(data)


def _check(chunks: Mapping[int, bytes], params: CodeParams) -> int:
    """The size in bytes that all chunks have."""
    for index in chunks:
        if not 0 <= index < params.chunks:
            raise ErasureError(
                ErasureFault.CHUNK_INDEX_OUT_OF_BOUNDS, f"chunk {index} is none of 0..{params.chunks}"
            )
    sizes = sorted({len(chunk) for chunk in chunks.values()})
    if len(chunks) < params.k:
        raise ErasureError(
            ErasureFault.NOT_ENOUGH_CHUNKS, f"{len(chunks)} chunks, needed are {params.k} of {params.chunks}"
        )
    if len(sizes) != 1 or sizes[0] == 0:
        raise ErasureError(ErasureFault.NON_UNIFORM_CHUNKS, f"chunks of {sizes[0]} to {sizes[-1]} bytes")
    if sizes[0] % SYMBOL:
        raise ErasureError(ErasureFault.UNEVEN_LENGTH, f"chunks of {sizes[0]} bytes")
    return sizes[0]


def _restore(
    chunks: Mapping[int, bytes], missing: list[int], size: int, params: CodeParams
) -> dict[int, bytes]:
    """The missing rows of the data.

    The error locator is the polynomial with a zero at each erased point. Times it, the data's polynomial is known at
    every point; at an erased one, the derivative of that product is the data times the derivative of the locator.
    """
    ones = lanes_of_one(size // SYMBOL)
    erased = [point for point in range(params.n) if point not in chunks]
    logs = log_table()

    def locator(point: int) -> int:
        """Logarithm of the locator's value at a received point, and of its derivative's at an erased one."""
        return sum(logs[point ^ other] for other in erased if other != point)

    product = [0] * params.n
    for point, chunk in chunks.items():
        product[point] = scale_log(int.from_bytes(chunk, "big"), locator(point), ones)
    _interpolate(product, ones)
    derivative = _differentiate(product)
    _evaluate(derivative, 0, ones)
    return {row: scale_log(derivative[row], -locator(row), ones).to_bytes(size, "big") for row in missing}


def _deal(data: bytes, row: int, rows: int) -> bytes:
    """Every `rows`-th symbol of `data`, from `row` on."""
    chunk = bytearray(len(data) // rows)
    for offset in range(SYMBOL):
        chunk[offset::SYMBOL] = data[row * SYMBOL + offset :: rows * SYMBOL]
    return bytes(chunk)


def _interpolate(values: list[int], ones: int) -> None:
    """In place: values at the points 0, 1, … to coefficients in the basis of [lin-han-chung], Algorithm 2."""
    for level in range((len(values) - 1).bit_length()):
        half = 1 << level
        for start in range(0, len(values), 2 * half):
            for position in range(start, start + half):
                values[position + half] ^= values[position]
                values[position] ^= scale(values[position + half], start >> level, ones)


def _evaluate(values: list[int], first: int, ones: int) -> None:
    """In place: coefficients to values at the points from `first` on, Algorithm 1."""
    for level in reversed(range((len(values) - 1).bit_length())):
        half = 1 << level
        for start in range(0, len(values), 2 * half):
            for position in range(start, start + half):
                values[position] ^= scale(values[position + half], (first + start) >> level, ones)
                values[position + half] ^= values[position]


def _differentiate(coefficients: list[int]) -> list[int]:
    """Coefficients of the formal derivative: taking out any one factor of a basis polynomial, in turn."""
    result = [0] * len(coefficients)
    for index, coefficient in enumerate(coefficients):
        rest = index
        while rest:
            factor = rest & -rest
            result[index ^ factor] ^= coefficient
            rest ^= factor
    return result
