"""Deriving codecs from annotations, and the shapes of errors."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Annotated, Any, ClassVar

import pytest

from runtime.primitives.scale import (
    H256,
    I128,
    MAX_ZERO_SIZED_ITEMS,
    U8,
    U32,
    U128,
    U256,
    Bytes4,
    Codec,
    CompactU8,
    CompactU32,
    Compiled,
    ScaleError,
    Some,
    Struct,
    Variant,
    array,
    bounded_bytes,
    btree_map,
    btree_set,
    byte_vec,
    codec_of,
    compact_u32,
    decode_compact,
    encode_compact,
    enum_codec,
    enumeration,
    fixed_bytes,
    i8,
    option,
    plain_enum,
    string,
    tuple_of,
    u8,
    u16,
    u32,
    u64,
    unit,
    vec,
)


@dataclass(frozen=True, slots=True)
class Inner(Struct):
    number: U32
    data: bytes


@dataclass(frozen=True, slots=True)
class Left(Variant):
    index: ClassVar[int] = 1
    value: U8


@dataclass(frozen=True, slots=True)
class Right(Variant):
    index: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class Outer(Struct):
    tag: Bytes4
    count: CompactU32
    flag: bool
    name: str
    inner: Inner
    maybe: U32 | None
    many: tuple[Inner, ...]
    pair: tuple[U8, bytes]
    side: Left | Right
    maybe_side: Left | Right | None
    table: dict[U8, str]


OUTER = Outer(
    b"abcd",
    300,
    True,
    "ü",
    Inner(1, b"\xff"),
    None,
    (Inner(2, b""), Inner(3, b"xy")),
    (9, b"z"),
    Left(5),
    Right(),
    {2: "b", 1: "a"},
)
OUTER_BYTES = bytes.fromhex(
    "61626364" + "b104" + "01" + "08c3bc" + "01000000 04ff" + "00" + "08 02000000 00 03000000 08 7879" + "09 047a"
    "01 05" + "01 07" + "08 01 0461 02 0462"
)  # fmt: skip


class Colour(IntEnum):
    RED = 0
    BLUE = 3


def test_struct_is_its_fields_in_order() -> None:
    assert OUTER.encode() == OUTER_BYTES
    decoded = Outer.decode(OUTER_BYTES)
    assert decoded == OUTER
    assert list(decoded.table) == [1, 2]


def test_variants_carry_their_index() -> None:
    assert Left(5).encode() == b"\x01\x05"
    assert Right().encode() == b"\x07"
    assert Left.decode(b"\x01\x05") == Left(5)
    assert Right.decode_prefix(b"..\x07.", 2) == (Right(), 3)
    with pytest.raises(ScaleError):
        Left.decode(b"\x07")
    with pytest.raises(ScaleError):
        enum_codec(Left | Right).decode(b"\x00")


def test_named_alternatives() -> None:
    codec = enumeration("Mixed", {0: ("nothing", unit), 4: ("number", u32), 1: (Left, u8)})
    assert codec.encode(("nothing", None)) == b"\x00"
    assert codec.decode(b"\x04\x02\x00\x00\x00") == ("number", 2)
    with pytest.raises(ScaleError):
        codec.encode(("other", None))


def test_plain_enum() -> None:
    codec = plain_enum(Colour)
    assert codec.encode(Colour.BLUE) == b"\x03"
    assert codec.decode(b"\x00") is Colour.RED
    with pytest.raises(ScaleError):
        codec.decode(b"\x01")


def test_nested_options_tell_their_levels_apart() -> None:
    codec: Codec[Any] = option(option(u8))
    assert codec.encode(None) == b"\x00"
    assert codec.encode(Some(None)) == b"\x01\x00"
    assert codec.encode(Some(5)) == b"\x01\x01\x05"
    assert [codec.decode(data) for data in (b"\x00", b"\x01\x00", b"\x01\x01\x05")] == [
        None,
        Some(None),
        Some(5),
    ]
    with pytest.raises(ScaleError):
        codec.encode(5)


@pytest.mark.parametrize(
    "annotation",
    [int, float, object, list[bytes], set[bytes], int | str, Inner | Outer, Left | Inner],
    ids=str,
)
def test_annotations_that_fix_no_encoding(annotation: Any) -> None:
    with pytest.raises(ScaleError):
        codec_of(annotation)


def test_annotations_look_through_annotated() -> None:
    assert codec_of(Annotated[bytes, "a note"]) is byte_vec
    assert codec_of(Annotated[int, "a note", u64]) is u64


@dataclass(frozen=True, slots=True)
class Endless(Struct):
    again: Endless | None


@dataclass(frozen=True, slots=True)
class SameIndex(Variant):
    index: ClassVar[int] = 1


class NoDataclass(Struct):
    pass


def test_types_without_a_codec() -> None:
    with pytest.raises(ScaleError, match="contains itself"):
        Endless.codec()
    with pytest.raises(ScaleError, match="taken twice"):
        codec_of(Left | SameIndex)
    with pytest.raises(ScaleError, match="dataclass"):
        NoDataclass.codec()
    with pytest.raises(ScaleError):
        enumeration("Empty", {})
    # The failed derivation leaves nothing behind.
    with pytest.raises(ScaleError, match="contains itself"):
        Endless.codec()


@dataclass(frozen=True, slots=True)
class Checked(Struct):
    small: U8

    def __post_init__(self) -> None:
        if self.small > 9:
            raise ScaleError("more than nine", what="Checked.small")


@dataclass(frozen=True)
class WithoutSlots(Struct):
    value: U8 = 3


def test_constructors_are_respected() -> None:
    assert Checked.decode(b"\x09") == Checked(9)
    with pytest.raises(ScaleError, match="more than nine"):
        Checked.decode(b"\x0a")
    assert WithoutSlots.decode(b"\x05") == WithoutSlots(5)


def test_errors_name_type_path_and_position() -> None:
    with pytest.raises(ScaleError) as caught:
        Outer.decode(OUTER_BYTES[:-1])
    assert caught.value.what.endswith("Vec<u8>")
    assert caught.value.offset == len(OUTER_BYTES) - 1
    with pytest.raises(ScaleError) as caught:
        Inner.decode(b"\x01\x00\x00\x00\x08x")
    assert str(caught.value) == "Inner.data: Vec<u8> at byte 5: input ended: 2 bytes wanted, 1 left"
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ScaleError) as caught:
        Inner(1 << 32, b"").encode()
    assert (caught.value.what, caught.value.offset) == ("Inner.number: u32", None)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.what, copy.reason, str(copy)) == (caught.value.what, caught.value.reason, str(caught.value))


def test_errors_do_not_print_hostile_values() -> None:
    with pytest.raises(ScaleError) as caught:
        u32.encode(1 << 100_000)
    assert len(str(caught.value)) < 100


def test_trailing_bytes() -> None:
    with pytest.raises(ScaleError, match="1 trailing bytes"):
        Inner.decode(Inner(1, b"").encode() + b"\x00")


@pytest.mark.parametrize(
    "data", ["0100", "fd00", "02000000", "feff0000", "03ffffff3f", "07ffffffff00", "33" + "00" * 16]
)
def test_compact_is_canonical(data: str) -> None:
    with pytest.raises(ScaleError, match="shortest"):
        decode_compact(bytes.fromhex(data))


def test_compact_at_an_offset() -> None:
    assert decode_compact(b"--" + encode_compact(70_000) + b"--", 2) == (70_000, 6)
    with pytest.raises(ScaleError):
        decode_compact(b"", 0)
    with pytest.raises(ScaleError, match="out of range"):
        compact_u32.decode(encode_compact(1 << 32))
    for value in (-1, 1 << 536):
        with pytest.raises(ScaleError):
            encode_compact(value)


def test_bounds_hold_both_ways() -> None:
    for codec, longest, longer in (
        (bounded_bytes(2), b"ab", b"abc"),
        (vec(u8, max_items=2), (1, 2), (1, 2, 3)),
    ):
        assert codec.decode(codec.encode(longest)) == longest
        with pytest.raises(ScaleError, match="at most 2"):
            codec.encode(longer)
        with pytest.raises(ScaleError, match="at most 2"):
            codec.decode(b"\x0c\x01\x02\x03")


def test_items_without_bytes_have_a_cap_of_their_own() -> None:
    codec = vec(unit)
    assert codec.decode(encode_compact(MAX_ZERO_SIZED_ITEMS)) == (None,) * MAX_ZERO_SIZED_ITEMS
    with pytest.raises(ScaleError, match="claimed"):
        codec.decode(encode_compact(MAX_ZERO_SIZED_ITEMS + 1))


def test_sets_and_maps_accept_any_order_and_encode_one() -> None:
    assert btree_set(u8).decode(b"\x0c\x03\x01\x03") == (1, 3)
    assert btree_set(u8).encode((3, 1, 3)) == b"\x08\x01\x03"
    entries = btree_map(u8, u8)
    decoded = entries.decode(b"\x0c\x02\x0a\x01\x0b\x02\x0c")
    assert list(decoded.items()) == [(1, 11), (2, 12)]
    assert entries.encode(decoded) == b"\x08\x01\x0b\x02\x0c"


def test_wrong_values_are_scale_errors() -> None:
    wrong: list[tuple[Codec[Any], Any]] = [
        (u8, "1"),
        (u8, 1.0),
        (byte_vec, "text"),
        (byte_vec, [1, 2]),
        (fixed_bytes(2), b"abc"),
        (string, "\ud800"),
        (string, b"bytes"),
        (vec(u8), b"bytes"),
        (vec(u8), 7),
        (array(u8, 2), (1, 2, 3)),
        (tuple_of(u8, u8), (1,)),
        (tuple_of(u8, u8), 5),
        (btree_map(u8, u8), [(1, 2)]),
        (btree_set(tuple_of(u8)), ("text", 1)),
        (Inner.codec(), OUTER),
        (Inner.codec(), Inner(1, None)),  # type: ignore[arg-type]
        (enum_codec(Left | Right), Inner(1, b"")),
    ]
    for codec, value in wrong:
        with pytest.raises(ScaleError):
            codec.encode(value)


@dataclass(frozen=True, slots=True)
class Everything(Struct):
    """One field of every kind that generated code treats in its own way, zeros beside counts on purpose."""

    empty: bytes
    zero: U8
    empty_items: tuple[U8, ...]
    another_zero: U8
    hash: H256
    wide: U128
    wider: U256
    signed: I128
    small_signed: Annotated[int, i8]
    flag: bool
    maybe_flag: bool | None
    small: CompactU32
    middle: CompactU32
    large: CompactU32
    tiny: CompactU8
    data: bytes
    items: tuple[CompactU32, ...]
    hashes: tuple[H256, ...]
    pair: tuple[U8, U128, bool]
    side: Left | Right
    bounded: Annotated[bytes, bounded_bytes(3)]
    bounded_items: Annotated[tuple[int, ...], vec(u8, max_items=2)]
    lone: Bytes4
    between: bool
    number: Annotated[int, u16]


EVERYTHING = Everything(
    b"",
    0,
    (),
    0,
    b"h" * 32,
    (1 << 127) + 5,
    (1 << 255) + (1 << 64) + 7,
    -(1 << 100),
    -3,
    True,
    False,
    63,
    64,
    1 << 20,
    200,
    b"d" * 70,
    (0, 1 << 14) * 35,
    (b"1" * 32, b"2" * 32),
    (1, 1 << 70, False),
    Left(0),
    b"abc",
    (1, 2),
    b"lone",
    False,
    515,
)


TELLING_BYTES = (0, 1, 2, 3, 4, 5, 7, 8, 0x33, 0x7F, 0x80, 0xFC, 0xFD, 0xFE, 0xFF)
"""Tags, the modes of compact integers, and signs."""


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except ScaleError as error:
        return type(error)


def test_generated_decoder_equals_its_reference_on_every_changed_byte() -> None:
    codec = Everything.codec()
    assert isinstance(codec, Compiled)
    encoded = EVERYTHING.encode()
    assert encoded == codec.reference.encode(EVERYTHING)
    attempts = [encoded[:end] for end in range(len(encoded))]
    for position in range(len(encoded)):
        attempts += [encoded[:position] + bytes([byte]) + encoded[position + 1 :] for byte in TELLING_BYTES]
    accepted = 0
    for data in attempts:
        result = outcome(codec.decode_prefix, data)
        assert result == outcome(codec.reference.decode_prefix, data)
        if result is not ScaleError:
            accepted += 1
            value, end = result
            assert codec.encode(value) == data[:end]
    assert 0 < accepted < len(attempts)


WRONG_VALUES: list[Any] = [
    None, 0, 1, -1, True, 1 << 7, 1 << 8, 1 << 32, 1 << 127, 1 << 128, 1 << 256, -(1 << 127) - 1, -129, 1.0, "text",
    b"", b"abc", b"abcde", bytearray(b"lone"), b"h" * 31, b"h" * 33, (), (1,), (1, 2, 3), [1, 2], (b"1" * 31,), (None,),
    (1, 2, True), (1, 2, 3), (1, 1 << 128, True), Left(256), Right(), Inner(1, b""), {1: 2},
]  # fmt: skip


def test_generated_encoder_equals_its_reference_on_wrong_values() -> None:
    codec = Everything.codec()
    assert isinstance(codec, Compiled)
    refused = 0
    for field in fields(Everything):
        for wrong in WRONG_VALUES:
            value = replace(EVERYTHING, **{field.name: wrong})
            result = outcome(codec.encode, value)
            assert result == outcome(codec.reference.encode, value), (field.name, wrong)
            refused += result is ScaleError
    assert refused > 500


def test_generated_code_stands_in_front_of_its_reference() -> None:
    codec = Outer.codec()
    assert isinstance(codec, Compiled)
    assert codec.reference.encode(OUTER) == OUTER_BYTES
    assert codec.reference.decode(OUTER_BYTES) == OUTER
    assert codec.decoder().__name__ == "decode Outer"
