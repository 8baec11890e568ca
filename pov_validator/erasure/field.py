"""GF(2^16) as the availability system uses it, and vectors over it that multiply in a few big-integer operations.

The field is GF(2)[x] / (x^16 + x^5 + x^3 + x^2 + 1). An element is written by its coordinates in a *Cantor basis*
b_0 = 1, b_i^2 + b_i = b_(i-1): bit i of a symbol says whether b_i is part of the sum, so adding is XOR and a symbol is
not the polynomial its bits would spell. Follows the field of [reed-solomon-novelpoly], whose choice of basis is part
of the bytes on the wire.

A *vector* is an `int` of 16-bit lanes: one operation works on all columns of a chunk at once.
"""

from __future__ import annotations

from array import array
from functools import cache, lru_cache
from typing import Final

__all__ = ["BITS", "ORDER", "lanes_of_one", "log_table", "multiply", "scale", "scale_log"]

BITS: Final = 16
"""Bits of a symbol."""
ORDER: Final = (1 << BITS) - 1
"""Elements other than zero; logarithms are modulo this."""

_REDUCTION: Final = 0x2D
"""What x^16 reduces to."""
_BASIS: Final = (
    1, 44234, 15374, 5694, 50562, 60718, 37196, 16402, 27800, 4312, 27250, 47360, 64952, 64308, 65336, 39198,
)  # fmt: skip
"""The Cantor basis as polynomials. Each has two candidates, b and b + 1; these are the ones in use."""


@cache
def _tables() -> tuple[array[int], array[int]]:
    """Logarithms by symbol, and symbols by logarithm, to the base x."""
    log_of_polynomial = array("H", bytes(2 << BITS))
    power = 1
    for exponent in range(ORDER):
        log_of_polynomial[power] = exponent
        power <<= 1
        if power >> BITS:
            power ^= 1 << BITS | _REDUCTION
    polynomials = [0]
    for element in _BASIS:
        polynomials += [polynomial ^ element for polynomial in polynomials]
    logs = array("H", [log_of_polynomial[polynomial] for polynomial in polynomials])
    symbols = array("H", bytes(2 << BITS))
    for symbol in range(1, 1 << BITS):
        symbols[logs[symbol]] = symbol
    return logs, symbols


def log_table() -> array[int]:
    """The logarithm of each symbol; the entry of zero, which has none, means nothing."""
    return _tables()[0]


def multiply(left: int, right: int) -> int:
    """The product of two symbols."""
    if not left or not right:
        return 0
    logs, symbols = _tables()
    return symbols[(logs[left] + logs[right]) % ORDER]


@lru_cache(maxsize=1 << 14)
def _images(factor: int) -> tuple[int, ...]:
    """Where multiplying by `factor` takes each basis element."""
    return tuple(multiply(1 << bit, factor) for bit in range(BITS))


def lanes_of_one(lanes: int) -> int:
    """The vector with a one in each of its lanes."""
    return ((1 << BITS * lanes) - 1) // ORDER


def scale(vector: int, factor: int, ones: int) -> int:
    """Each lane of `vector` times the symbol `factor`; `ones` is `lanes_of_one` for at least as many lanes.

    Multiplying is linear over the coordinates: each bit plane of the vector contributes the image of its basis element.
    """
    if factor == 1:
        return vector
    result = 0
    if factor:
        for bit, image in enumerate(_images(factor)):
            result ^= (vector >> bit & ones) * image
    return result


def scale_log(vector: int, exponent: int, ones: int) -> int:
    """As `scale`, with the logarithm of the factor, not reduced."""
    return scale(vector, _tables()[1][exponent % ORDER], ones)
