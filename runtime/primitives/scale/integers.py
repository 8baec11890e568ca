"""Integers: fixed width, compact, and the one-byte booleans.

Follows [PS-scale] and [parity-scale-codec] (`codec.rs`, `compact.rs`). A compact integer has exactly one
valid encoding, the shortest; longer forms are refused as the reference refuses them. Floats are not
modelled: consensus code has none.
"""

from __future__ import annotations

from typing import Final

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale.codec import Codec, input_ended, not_a_value

MAX_COMPACT: Final = (1 << 536) - 1
"""Largest compact integer: the four-bit-plus-six length field reaches 67 bytes."""

_ONE_BYTE: Final = tuple(bytes([value]) for value in range(256))


class FixedInt(Codec[int]):
    """A little-endian integer of a fixed number of bytes, two's complement when signed."""

    __slots__ = ("high", "low", "signed", "size")

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        self.size = bits >> 3
        self.signed = signed
        self.low = -(1 << (bits - 1)) if signed else 0
        self.high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
        super().__init__(f"{'i' if signed else 'u'}{bits}", self.size)

    def encode(self, value: int) -> bytes:
        if not isinstance(value, int):
            raise not_a_value(self.name, value)
        if not self.low <= value <= self.high:
            raise ScaleError("integer out of range", what=self.name)
        return value.to_bytes(self.size, "little", signed=self.signed)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[int, int]:
        end = offset + self.size
        if end > len(data):
            raise input_ended(self.name, data, offset, self.size)
        return int.from_bytes(data[offset:end], "little", signed=self.signed), end


class Boolean(Codec[bool]):
    """`00` is false, `01` is true, every other byte is an error."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("bool", 1)

    def encode(self, value: bool) -> bytes:
        if not isinstance(value, bool):
            raise not_a_value(self.name, value)
        return b"\x01" if value else b"\x00"

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bool, int]:
        if offset >= len(data):
            raise input_ended(self.name, data, offset, 1)
        tag = data[offset]
        if tag > 1:
            raise ScaleError(f"byte {tag} is no boolean", what=self.name, offset=offset)
        return tag == 1, offset + 1


class OptionBool(Codec[bool | None]):
    """`OptionBool` of the reference: `00` is None, `01` is true, `02` is false."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("OptionBool", 1, nullable=True)

    def encode(self, value: bool | None) -> bytes:
        if value is None:
            return b"\x00"
        if not isinstance(value, bool):
            raise not_a_value(self.name, value)
        return b"\x01" if value else b"\x02"

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bool | None, int]:
        if offset >= len(data):
            raise input_ended(self.name, data, offset, 1)
        tag = data[offset]
        if tag > 2:
            raise ScaleError(f"byte {tag} is no OptionBool", what=self.name, offset=offset)
        return (None, True, False)[tag], offset + 1


class Unit(Codec[None]):
    """The empty tuple: no bytes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("()", 0, nullable=True)

    def encode(self, value: None) -> bytes:
        if value is not None:
            raise not_a_value(self.name, value)
        return b""

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[None, int]:
        return None, offset


def encode_compact(value: int) -> bytes:
    """The compact encoding of `value`, 0 <= value < 2^536. Raises ScaleError out of that range."""
    if not isinstance(value, int):
        raise not_a_value("Compact", value)
    if 0 <= value < 1 << 6:
        return _ONE_BYTE[value << 2]
    if 0 <= value < 1 << 14:
        return (value << 2 | 0b01).to_bytes(2, "little")
    if 0 <= value < 1 << 30:
        return (value << 2 | 0b10).to_bytes(4, "little")
    if not 0 <= value <= MAX_COMPACT:
        raise ScaleError("integer out of range", what="Compact")
    size = (value.bit_length() + 7) >> 3
    return _ONE_BYTE[(size - 4) << 2 | 0b11] + value.to_bytes(size, "little")


def decode_compact(data: bytes, offset: int = 0, high: int = MAX_COMPACT) -> tuple[int, int]:
    """The compact integer at `offset`, at most `high`, and the offset after it.

    Raises ScaleError, also on any but the shortest form.
    """
    if offset >= len(data):
        raise input_ended("Compact", data, offset, 1)
    first = data[offset]
    mode = first & 0b11
    if mode == 0b00:
        value, end, least = first >> 2, offset + 1, 0
    elif mode == 0b01:
        end, least = offset + 2, 1 << 6
        value = int.from_bytes(data[offset:end], "little") >> 2
    elif mode == 0b10:
        end, least = offset + 4, 1 << 14
        value = int.from_bytes(data[offset:end], "little") >> 2
    else:
        size = (first >> 2) + 4
        # Four bytes are for what the six-bit modes cannot hold; more bytes for what one byte less cannot.
        end, least = offset + 1 + size, 1 << 30 if size == 4 else 1 << (8 * (size - 1))
        value = int.from_bytes(data[offset + 1 : end], "little")
    if end > len(data):
        raise input_ended("Compact", data, offset, end - offset)
    if value < least:
        raise ScaleError("not the shortest form", what="Compact", offset=offset)
    if value > high:
        raise ScaleError("integer out of range", what="Compact", offset=offset)
    return value, end


class Compact(Codec[int]):
    """A compact integer no larger than the integer type of `bits` bits it stands for."""

    __slots__ = ("high",)

    def __init__(self, bits: int | None = None) -> None:
        self.high = MAX_COMPACT if bits is None else (1 << bits) - 1
        super().__init__("Compact" if bits is None else f"Compact<u{bits}>", 1)

    def encode(self, value: int) -> bytes:
        encoded = encode_compact(value)
        if value > self.high:
            raise ScaleError("integer out of range", what=self.name)
        return encoded

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[int, int]:
        return decode_compact(data, offset, self.high)


u8: Final = FixedInt(8)
u16: Final = FixedInt(16)
u32: Final = FixedInt(32)
u64: Final = FixedInt(64)
u128: Final = FixedInt(128)
u256: Final = FixedInt(256)
i8: Final = FixedInt(8, signed=True)
i16: Final = FixedInt(16, signed=True)
i32: Final = FixedInt(32, signed=True)
i64: Final = FixedInt(64, signed=True)
i128: Final = FixedInt(128, signed=True)
boolean: Final = Boolean()
option_bool: Final = OptionBool()
unit: Final = Unit()
compact: Final = Compact()
compact_u8: Final = Compact(8)
compact_u16: Final = Compact(16)
compact_u32: Final = Compact(32)
compact_u64: Final = Compact(64)
compact_u128: Final = Compact(128)
