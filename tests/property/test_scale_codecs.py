"""Laws of every codec: round trips, bounds, and generated code against the combinators that define it.

The codecs are random types built from the factories, and the codec of every Struct of the primitives.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import runtime.primitives
from runtime.primitives import block, extrinsic, parachain
from runtime.primitives.scale import (
    MAX_ZERO_SIZED_ITEMS,
    Codec,
    Compiled,
    Err,
    Ok,
    ScaleError,
    Some,
    Struct,
    array,
    bit_vec,
    boolean,
    bounded_bytes,
    btree_map,
    btree_set,
    byte_vec,
    codec_of,
    compact,
    compact_u8,
    compact_u32,
    compact_u128,
    composites,
    fixed_bytes,
    h256,
    i8,
    i64,
    i128,
    integers,
    option,
    option_bool,
    result,
    sequences,
    string,
    tuple_of,
    u8,
    u16,
    u32,
    u64,
    u128,
    u256,
    unit,
    vec,
)

# -- values of any codec -------------------------------------------------------------------------------------


def near_powers(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers of a range, with the neighbours of powers of two often among them."""
    edges = sorted(
        {edge for bits in range(537) for edge in ((1 << bits) - 1, 1 << bits) if low <= edge <= high}
    )
    return st.sampled_from(edges) | st.integers(low, high)


def sequences_of(codec: Codec[Any], size: int | None = None) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values_of(codec), min_size=size or 0, max_size=4 if size is None else size).map(tuple)


def values_of(codec: Codec[Any]) -> st.SearchStrategy[Any]:
    """Values of the type a codec encodes."""
    match codec:
        case Compiled():
            return values_of(codec.reference)
        case integers.FixedInt():
            return near_powers(codec.low, codec.high)
        case integers.Compact():
            return near_powers(0, codec.high)
        case integers.Boolean():
            return st.booleans()
        case integers.OptionBool():
            return st.none() | st.booleans()
        case integers.Unit():
            return st.none()
        case sequences.FixedBytes():
            return st.binary(min_size=codec.size, max_size=codec.size)
        case sequences.ByteVec():
            return st.binary(max_size=min(codec.max_len or 100, 100))
        case sequences.String():
            return st.text(max_size=20)
        case sequences.BitVec():
            return st.lists(st.booleans(), max_size=20).map(tuple)
        case sequences.Vec():
            return sequences_of(codec.item)
        case sequences.Array():
            return sequences_of(codec.item, codec.size)
        case sequences.BTreeSet():
            return sequences_of(codec.items.item).map(lambda items: tuple(sorted(set(items))))
        case sequences.BTreeMap():
            return st.dictionaries(values_of(codec.key), values_of(codec.value), max_size=4)
        case composites.Option():
            item = values_of(codec.item)
            return st.none() | (st.builds(Some, item) if codec.wrapped else item)
        case composites.Result():
            return st.builds(Ok, values_of(codec.ok)) | st.builds(Err, values_of(codec.err))
        case composites.Tuple():
            return st.tuples(*map(values_of, codec.members))
        case composites.PlainEnum():
            return st.sampled_from(list(codec.members))
        case composites.Fields():
            return st.builds(codec.cls, *(values_of(field) for _, field in codec.fields))
        case composites.Enumeration():
            return st.one_of(
                values_of(payload) if isinstance(kind, type) else st.tuples(st.just(kind), values_of(payload))
                for kind, payload in codec.variants.values()
            )
        case parachain.TrailingOption():
            return st.none() | values_of(codec.item)
        case parachain.CandidateDescriptorCodec():
            return descriptors()
        case extrinsic.EraCodec():
            return st.just(extrinsic.IMMORTAL) | st.builds(
                extrinsic.Era.mortal, st.integers(0, 1 << 17), st.integers(0, 1 << 32)
            )
        case block.OpaqueExtrinsicCodec():
            return st.binary(max_size=100).map(byte_vec.encode)
    raise NotImplementedError(codec)


def descriptors() -> st.SearchStrategy[parachain.CandidateDescriptor]:
    """Both versions, as far as their bytes tell them apart."""
    v1 = values_of(parachain.CandidateDescriptorV1.codec())
    v2 = values_of(parachain.CandidateDescriptorV2.codec())
    zeroed = v2.map(lambda value: type(value)(*as_version_zero(value)))
    return zeroed | v1.filter(lambda value: any(value.signature))


def as_version_zero(value: Any) -> list[Any]:
    fixed = {"version": 0, "reserved1": bytes(25), "reserved2": bytes(64)}
    return [fixed.get(name, getattr(value, name)) for name in value.__dataclass_fields__]


# -- any codec -----------------------------------------------------------------------------------------------

LEAVES: list[Codec[Any]] = [
    u8, u16, u32, u64, u128, u256, i8, i64, i128, boolean, option_bool, unit, compact, compact_u8, compact_u32,
    compact_u128, byte_vec, string, h256, bit_vec, fixed_bytes(0), fixed_bytes(3), bounded_bytes(70),
    codec_of(parachain.UMPSignal), parachain.InboundHrmpMessage.codec(), parachain.upgrade_go_ahead,
]  # fmt: skip
ORDERED: list[Codec[Any]] = [u8, u32, u128, i64, string, byte_vec, h256, tuple_of(u32, string)]


def larger(codecs: st.SearchStrategy[Codec[Any]]) -> st.SearchStrategy[Codec[Any]]:
    return st.one_of(
        codecs.map(option),
        codecs.map(vec),
        st.builds(vec, codecs, max_items=st.just(4)),
        st.builds(array, codecs, st.integers(0, 3)),
        st.builds(result, codecs, codecs),
        st.lists(codecs, max_size=5).map(lambda members: tuple_of(*members)),
        st.sampled_from(ORDERED).map(btree_set),
        st.builds(btree_map, st.sampled_from(ORDERED), codecs),
    )


random_codecs = st.recursive(st.sampled_from(LEAVES), larger, max_leaves=8)


def struct_classes() -> list[type[Struct]]:
    """Every Struct defined in `runtime.primitives`."""
    classes = []
    for info in pkgutil.walk_packages(runtime.primitives.__path__, "runtime.primitives."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, Struct) and value.__module__ == info.name:
                if "__dataclass_fields__" in vars(value):
                    classes.append(value)
    return classes


STRUCTS = struct_classes()
any_codec = random_codecs | st.sampled_from(STRUCTS).map(lambda cls: cls.codec())


@st.composite
def codec_and_value(draw: st.DrawFn) -> tuple[Codec[Any], Any]:
    codec = draw(any_codec)
    return codec, draw(values_of(codec))


@st.composite
def codec_and_damaged(draw: st.DrawFn) -> tuple[Codec[Any], bytes]:
    """A codec and an encoding of it that was truncated, extended or changed in a bit, or any bytes."""
    codec, value = draw(codec_and_value())
    data = bytearray(codec.encode(value))
    match draw(st.sampled_from(("truncated", "extended", "flipped", "invented"))):
        case "truncated":
            del data[draw(st.integers(0, len(data))) :]
        case "extended":
            data += draw(st.binary(min_size=1, max_size=9))
        case "flipped" if data:
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
        case _:
            data[:] = draw(st.binary(max_size=60))
    return codec, bytes(data)


def outcome(function: Any, *arguments: Any) -> Any:
    """The result, or the class of the error when it is a ScaleError; everything else escapes."""
    try:
        return function(*arguments)
    except ScaleError:
        return ScaleError


def type_names(codec: Codec[Any]) -> str:
    """The names of all types inside a codec: what `Codec.name` does not show of structs and enums."""
    match codec:
        case Compiled():
            return type_names(codec.reference)
        case composites.Fields():
            return " ".join(type_names(field) for _, field in codec.fields)
        case composites.Enumeration():
            return " ".join(type_names(payload) for _, payload in codec.variants.values())
        case _:
            return codec.name


# -- laws ----------------------------------------------------------------------------------------------------


def test_every_struct_is_found() -> None:
    names = {cls.__name__ for cls in STRUCTS}
    assert {"Header", "Block", "ValidationParams", "CandidateReceipt", "RuntimeVersion", "Seal"} <= names


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_struct_round_trip(cls: type[Struct], data: st.DataObject) -> None:
    value = data.draw(values_of(cls.codec()))
    encoded = value.encode()
    assert cls.decode(encoded) == value
    assert cls.decode_prefix(b"before" + encoded, 6) == (value, 6 + len(encoded))


@given(codec_and_value(), st.binary(max_size=5), st.binary(max_size=5))
def test_round_trip(case: tuple[Codec[Any], Any], before: bytes, after: bytes) -> None:
    codec, value = case
    encoded = codec.encode(value)
    assert len(encoded) >= codec.min_size
    assert codec.decode(encoded) == value
    if "Trailing" not in type_names(codec):
        assert codec.decode_prefix(before + encoded + after, len(before)) == (value, len(before + encoded))
    if after and "Trailing" not in type_names(codec):
        with pytest.raises(ScaleError):
            codec.decode(encoded + after)


@given(codec_and_value())
def test_generated_code_equals_combinators(case: tuple[Codec[Any], Any]) -> None:
    codec, value = case
    if isinstance(codec, Compiled):
        encoded = codec.reference.encode(value)
        assert codec.encode(value) == encoded
        assert codec.decode_prefix(encoded) == codec.reference.decode_prefix(encoded) == (value, len(encoded))


@given(codec_and_damaged())
@example((vec(u32), bytes.fromhex("02000000")))
@example((vec(u32), bytes.fromhex("0100")))
@example((vec(boolean), bytes.fromhex("0402")))
@example((codec_of(tuple[parachain.InboundHrmpMessage, ...]), b"\x04" * 3))
def test_damaged_input_is_refused_or_decodes_alike(case: tuple[Codec[Any], bytes]) -> None:
    codec, data = case
    decoded = outcome(codec.decode_prefix, data)
    if isinstance(codec, Compiled):
        assert decoded == outcome(codec.reference.decode_prefix, data)
    if decoded is not ScaleError:
        value, end = decoded
        assert end <= len(data)
        if not any(part in type_names(codec) for part in ("BTree", "BitVec")):
            assert codec.encode(value) == data[:end]


@given(any_codec, codec_and_value())
def test_values_of_another_type_do_not_encode(codec: Codec[Any], case: tuple[Codec[Any], Any]) -> None:
    _, value = case
    encoded = outcome(codec.encode, value)
    if isinstance(codec, Compiled):
        assert encoded == outcome(codec.reference.encode, value)
    if encoded is not ScaleError:
        assert outcome(codec.decode, encoded) is not ScaleError


@given(codec_and_damaged())
def test_errors_say_where(case: tuple[Codec[Any], bytes]) -> None:
    codec, data = case
    caught: list[ScaleError] = []
    try:
        codec.decode(data)
    except ScaleError as error:
        caught.append(error)
    for error in caught:
        assert error.what
        assert error.reason
        assert error.offset is not None
        assert 0 <= error.offset <= len(data)


@given(any_codec, st.sampled_from((1 << 17, 1 << 29, (1 << 30) - 1, (1 << 32) - 1)), st.binary(max_size=10))
def test_claimed_counts_are_bounded(item: Codec[Any], count: int, rest: bytes) -> None:
    """A count the input cannot hold is refused before anything is read or allocated for it."""
    assert count > MAX_ZERO_SIZED_ITEMS
    for codec in (vec(item), btree_map(u8, item)):
        with pytest.raises(ScaleError, match="items claimed"):
            codec.decode(compact_u32.encode(count) + rest)


@given(st.integers(0, integers.MAX_COMPACT))
@example(1 << 6)
@example((1 << 14) - 1)
@example(1 << 30)
@example(integers.MAX_COMPACT)
def test_compact_takes_the_shortest_form(value: int) -> None:
    encoded = compact.encode(value)
    if value < 1 << 6:
        expected = 1
    elif value < 1 << 14:
        expected = 2
    elif value < 1 << 30:
        expected = 4
    else:
        expected = 1 + (value.bit_length() + 7) // 8
    assert len(encoded) == expected
    # Every longer form of the same number is refused.
    longer = [
        (value << 2 | mode).to_bytes(size, "little") for mode, size in ((1, 2), (2, 4)) if size > len(encoded)
    ]
    longer += [
        bytes([(size - 4) << 2 | 3]) + value.to_bytes(size, "little")
        for size in range(max(4, len(encoded)), 68)
        if size + 1 > len(encoded)
    ]
    for form in longer:
        assert outcome(compact.decode, form) is ScaleError


@given(
    st.sampled_from([*LEAVES[:9], compact_u8, compact_u32, compact_u128]), st.integers(-(1 << 300), 1 << 300)
)
def test_integers_out_of_range_do_not_encode(codec: Any, value: int) -> None:
    low = 0 if isinstance(codec, integers.Compact) else codec.low
    assert (outcome(codec.encode, value) is ScaleError) == (not low <= value <= codec.high)
