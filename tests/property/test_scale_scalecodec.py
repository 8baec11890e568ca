"""Our codec against `scalecodec`, an independent implementation, on the types it encodes correctly.

It is no oracle for refusals: it accepts compact integers in longer forms and any option tag, and it shows
bytes as text when they happen to be UTF-8.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.scale import (
    Codec,
    ScaleError,
    array,
    boolean,
    btree_map,
    compact_u32,
    compact_u128,
    decode_compact,
    h256,
    i16,
    i64,
    i128,
    option,
    tuple_of,
    u8,
    u16,
    u32,
    u64,
    u128,
    vec,
)


@pytest.fixture(scope="module")
def peer() -> RuntimeConfigurationObject:
    configuration = RuntimeConfigurationObject()
    configuration.update_type_registry(load_type_registry_preset("legacy"))
    return configuration


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def same(value: Any) -> Any:
    return value


TYPES: dict[str, tuple[Codec[Any], st.SearchStrategy[Any], Any]] = {
    "u8": (u8, unsigned(8), same),
    "u16": (u16, unsigned(16), same),
    "u32": (u32, unsigned(32), same),
    "u64": (u64, unsigned(64), same),
    "u128": (u128, unsigned(128), same),
    "i16": (i16, signed(16), same),
    "i64": (i64, signed(64), same),
    "i128": (i128, signed(128), same),
    "bool": (boolean, st.booleans(), same),
    "Compact<u32>": (compact_u32, unsigned(32), same),
    "Compact<u128>": (compact_u128, unsigned(128), same),
    "H256": (h256, st.binary(min_size=32, max_size=32), lambda value: "0x" + value.hex()),
    "Option<u32>": (option(u32), st.none() | unsigned(32), same),
    "Vec<u16>": (vec(u16), st.lists(unsigned(16)).map(tuple), list),
    "Vec<Compact<u32>>": (vec(compact_u32), st.lists(unsigned(32)).map(tuple), list),
    "Vec<Option<u64>>": (vec(option(u64)), st.lists(st.none() | unsigned(64)).map(tuple), list),
    "[u32; 3]": (array(u32, 3), st.tuples(*[unsigned(32)] * 3), list),
    "(u32, u64)": (tuple_of(u32, u64), st.tuples(unsigned(32), unsigned(64)), same),
    "BTreeMap<u32, u16>": (
        btree_map(u32, u16),
        st.dictionaries(unsigned(32), unsigned(16)).map(lambda value: dict(sorted(value.items()))),
        lambda value: list(value.items()),
    ),
}


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_equal_bytes_and_values(peer: RuntimeConfigurationObject, name: str, data: st.DataObject) -> None:
    codec, values, as_peer = TYPES[name]
    value = data.draw(values)
    encoded = codec.encode(value)
    encoder = peer.create_scale_object(name)
    assert bytes(encoder.encode(as_peer(value)).data) == encoded
    decoder = peer.create_scale_object(name, ScaleBytes(encoded))
    assert decoder.decode() == as_peer(value)
    assert codec.decode(encoded) == value


def test_where_the_peer_is_wrong(peer: RuntimeConfigurationObject) -> None:
    """Why it is no oracle for refusals: it reads `01 00` as zero, which the reference refuses."""
    assert peer.create_scale_object("Compact<u32>", ScaleBytes(b"\x01\x00")).decode() == 0
    with pytest.raises(ScaleError):
        decode_compact(b"\x01\x00")
