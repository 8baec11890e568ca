"""Ristretto255: multiples of points, their 32-byte encoding, and points from hashes.

Follows RFC 9496 (encoding, derivation) over the twisted Edwards curve of RFC 8032 (group law). Only what making
keys, signatures and VRF outputs needs; decoding points is not modelled. Nothing here runs in constant time.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeAlias

P: Final = (1 << 255) - 19
"""Modulus of the field."""
L: Final = (1 << 252) + 27742317777372353535851937790883648493
"""Order of the group: scalars are integers modulo this."""

D: Final = -121665 * pow(121666, -1, P) % P
SQRT_M1: Final = pow(2, (P - 1) // 4, P)

_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y: Final = 4 * pow(5, -1, P) % P

Point: TypeAlias = tuple[int, int, int, int]
"""Extended coordinates: x = X/Z, y = Y/Z, T = XY/Z."""
AffineTriple: TypeAlias = tuple[int, int, int]
"""y + x, y - x and 2dxy of an affine point, which is what adding it needs."""

_IDENTITY: Final[Point] = (0, 1, 1, 0)
_BASE: Final[Point] = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)

_WINDOW_BITS: Final = 4
_WINDOWS: Final = 64
"""Windows of four bits that a 253-bit scalar has."""


def _triple(point: Point) -> AffineTriple:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y + x) % P, (y - x) % P, 2 * D * x * y % P


def _add(point: Point, other: AffineTriple) -> Point:
    """The sum; the formulas are complete, so equal points and the identity need no case of their own."""
    x, y, z, t = point
    plus, minus, product = other
    a = (y - x) * minus
    b = (y + x) * plus
    c = t * product
    d = z + z
    e, f, g, h = b - a, (d - c) % P, (d + c) % P, (b + a) % P
    e %= P
    return e * f % P, g * h % P, f * g % P, e * h % P


@cache
def _table() -> tuple[tuple[AffineTriple, ...], ...]:
    """Row w holds 0, 1, …, 15 times 16^w times the base point. Built once, at the first multiplication."""
    rows: list[tuple[AffineTriple, ...]] = []
    unit = _BASE
    for _ in range(_WINDOWS):
        step = _triple(unit)
        row = [_IDENTITY]
        for _ in range(1 << _WINDOW_BITS):
            row.append(_add(row[-1], step))
        rows.append(tuple(_triple(point) for point in row[:-1]))
        unit = row[-1]
    return tuple(rows)


def multiply_base(scalar: int) -> Point:
    """`scalar` times the base point, for 0 <= scalar < L."""
    point = _IDENTITY
    for row in _table():
        point = _add(point, row[scalar & 15])
        scalar >>= _WINDOW_BITS
    return point


def multiply(scalar: int, point: Point) -> Point:
    """`scalar` times a point, for 0 <= scalar < L."""
    step = _triple(point)
    result = _IDENTITY
    for position in range(scalar.bit_length() - 1, -1, -1):
        result = _add(result, _triple(result))
        if scalar >> position & 1:
            result = _add(result, step)
    return result


def _inverse_sqrt(value: int) -> int:
    """The non-negative 1/sqrt(value), or 1/sqrt(i value) where value is no square; 0 for 0."""
    root = value * value % P * value % P
    root = root * pow(root * root * value, (P - 5) // 8, P) % P
    check = value * root * root % P
    if check in (P - 1, P - SQRT_M1):
        root = root * SQRT_M1 % P
    return P - root if root & 1 else root


_INVSQRT_A_MINUS_D: Final = _inverse_sqrt(-1 - D)


def compress(point: Point) -> bytes:
    """The canonical 32 bytes of a point's coset: steps 1 to 11 of RFC 9496, section 4.3.2."""
    x, y, z, t = point
    u1 = (z + y) * (z - y) % P
    u2 = x * y % P
    invsqrt = _inverse_sqrt(u1 * u2 * u2)
    den1 = invsqrt * u1 % P
    den2 = invsqrt * u2 % P
    z_inv = den1 * den2 * t % P
    if t * z_inv % P & 1:
        x, y = y * SQRT_M1 % P, x * SQRT_M1 % P
        den_inv = den1 * _INVSQRT_A_MINUS_D % P
    else:
        den_inv = den2
    if x * z_inv % P & 1:
        y = -y
    s = den_inv * (z - y) % P
    return (P - s if s & 1 else s).to_bytes(32, "little")


_ONE_MINUS_D_SQUARED: Final = (1 - D * D) % P
_D_MINUS_ONE_SQUARED: Final = (D - 1) ** 2 % P
_SQRT_A_D_MINUS_ONE: Final = 25063068953384623474111414158702152701244531502492656460079210482610430750235


def from_uniform_bytes(data: bytes) -> Point:
    """The point that 64 uniform bytes stand for: RFC 9496, section 4.3.4."""
    first, second = (_map(int.from_bytes(half, "little") % (1 << 255) % P) for half in (data[:32], data[32:]))
    return _add(first, _triple(second))


def _map(t: int) -> Point:
    r = SQRT_M1 * t * t % P
    u = (r + 1) * _ONE_MINUS_D_SQUARED % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = _sqrt_ratio(u, v)
    c = P - 1
    if not was_square:
        s = s * t % P
        s = s if s & 1 else P - s  # minus the non-negative one
        c = r
    n = (c * (r - 1) * _D_MINUS_ONE_SQUARED - v) % P
    w0, w1, w2, w3 = 2 * s * v % P, n * _SQRT_A_D_MINUS_ONE % P, (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def _sqrt_ratio(u: int, v: int) -> tuple[bool, int]:
    """Whether u/v is a square, and the non-negative root of it, or of i u/v: RFC 9496, section 4.2."""
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    if check in (-u % P, -u * SQRT_M1 % P):
        root = root * SQRT_M1 % P
    return check in (u, -u % P), P - root if root & 1 else root
