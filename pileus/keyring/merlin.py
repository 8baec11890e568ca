"""Merlin transcripts: the hash that Schnorrkel signatures are made over.

Follows Merlin 1.0, which is STROBE-128 1.0.2 with four of its operations over Keccak-f[1600] (FIPS 202). Only
appending messages and drawing challenges are modelled; the witness of a signature is made in
`pileus.keyring.keypair`.
"""

from __future__ import annotations

import struct
from typing import Final

_MASK: Final = (1 << 64) - 1
_ROUND_CONSTANTS: Final = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)  # fmt: skip
# Lanes are numbered x + 5y. Step rho turns each by its own amount; step pi then moves it to y + 5(2x + 3y).
_ROTATIONS: Final = (
    0,
    1,
    62,
    28,
    27,
    36,
    44,
    6,
    55,
    20,
    3,
    10,
    43,
    25,
    39,
    41,
    45,
    15,
    21,
    8,
    18,
    2,
    61,
    56,
    14,
)
_SOURCES: Final = (0, 6, 12, 18, 24, 3, 9, 10, 16, 22, 1, 7, 13, 19, 20, 4, 5, 11, 17, 23, 2, 8, 14, 15, 21)
_RHO_PI: Final = tuple((lane, lane % 5, _ROTATIONS[lane], 64 - _ROTATIONS[lane]) for lane in _SOURCES)
# Step chi combines each lane with the next two of its row.
_CHI: Final = tuple(
    (lane, lane // 5 * 5 + (lane + 1) % 5, lane // 5 * 5 + (lane + 2) % 5) for lane in range(25)
)
_LANES: Final = struct.Struct("<25Q")


def keccak_f1600(state: bytes | bytearray) -> bytes:
    """The Keccak permutation of a 200-byte state."""
    a = list(_LANES.unpack(state))
    for constant in _ROUND_CONSTANTS:
        c0, c1, c2, c3, c4 = (a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5))
        d = (
            c4 ^ (c1 << 1 | c1 >> 63),
            c0 ^ (c2 << 1 | c2 >> 63),
            c1 ^ (c3 << 1 | c3 >> 63),
            c2 ^ (c4 << 1 | c4 >> 63),
            c3 ^ (c0 << 1 | c0 >> 63),
        )
        b = [
            (lane << left | (lane & _MASK) >> right) & _MASK
            for lane, left, right in [(a[source] ^ d[x], left, right) for source, x, left, right in _RHO_PI]
        ]
        a = [b[lane] ^ (~b[after] & b[second]) for lane, after, second in _CHI]
        a[0] ^= constant
    return _LANES.pack(*a)


# Flags of STROBE operations.
_INWARD: Final = 1
_APPLICATION: Final = 2
_CIPHER: Final = 4
_META: Final = 16


class Transcript:
    """A Merlin transcript: label, messages, challenges. `clone` it to continue from a common beginning."""

    __slots__ = ("_begin", "_position", "_state")

    RATE: Final = 166
    """Bytes absorbed between two permutations: 200, less twice the security level of 16 bytes, less 2."""

    def __init__(self, label: bytes) -> None:
        seed = bytes([1, self.RATE + 2, 1, 0, 1, 96]) + b"STROBEv1.0.2"
        self._state = bytearray(keccak_f1600(seed.ljust(200, b"\x00")))
        self._position = 0
        self._begin = 0
        self._operate(_META | _APPLICATION)
        self._absorb(b"Merlin v1.0")
        self.append_message(b"dom-sep", label)

    def clone(self) -> Transcript:
        """An independent transcript in the same state."""
        copy = Transcript.__new__(Transcript)
        copy._state = bytearray(self._state)
        copy._position = self._position
        copy._begin = self._begin
        return copy

    def snapshot(self) -> bytes:
        """Everything the transcript depends on, as bytes."""
        return bytes(self._state) + bytes([self._position, self._begin])

    def append_message(self, label: bytes, message: bytes) -> None:
        """Absorb a labelled message."""
        self._frame(label, len(message))
        self._operate(_APPLICATION)
        self._absorb(message)

    def challenge_bytes(self, label: bytes, size: int) -> bytes:
        """Draw `size` bytes that depend on everything absorbed so far."""
        self._frame(label, size)
        self._operate(_INWARD | _APPLICATION | _CIPHER)
        drawn = bytearray()
        for _ in range(size):
            drawn.append(self._state[self._position])
            self._state[self._position] = 0
            self._advance()
        return bytes(drawn)

    def _frame(self, label: bytes, size: int) -> None:
        # Label and length are one operation of metadata in two parts.
        self._operate(_META | _APPLICATION)
        self._absorb(label + size.to_bytes(4, "little"))

    def _operate(self, flags: int) -> None:
        previous = self._begin
        self._begin = self._position + 1
        self._absorb(bytes([previous, flags]))
        # Operations with a cipher start in a fresh block.
        if flags & _CIPHER and self._position != 0:
            self._permute()

    def _absorb(self, data: bytes) -> None:
        for byte in data:
            self._state[self._position] ^= byte
            self._advance()

    def _advance(self) -> None:
        self._position += 1
        if self._position == self.RATE:
            self._permute()

    def _permute(self) -> None:
        state = self._state
        state[self._position] ^= self._begin
        state[self._position + 1] ^= 0x04
        state[self.RATE + 1] ^= 0x80
        self._state = bytearray(keccak_f1600(state))
        self._position = 0
        self._begin = 0
