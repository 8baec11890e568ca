"""SCALE, the encoding of everything that crosses a consensus boundary.

Follows [PS-scale] and [parity-scale-codec]; canonical forms only, bounded counts, no recursion over input.
The lower-case names are codecs, the factories combine them, and the CapCase aliases put a codec into the
annotation of a `Struct` field. Floats, recursive types and `DecodeWithMemTracking` are not modelled.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale.codec import MAX_ZERO_SIZED_ITEMS, Codec
from runtime.primitives.scale.composites import Err, Ok, Some
from runtime.primitives.scale.factories import (
    array,
    bounded_bytes,
    btree_map,
    btree_set,
    enumeration,
    fixed_bytes,
    option,
    plain_enum,
    result,
    tuple_of,
    vec,
)
from runtime.primitives.scale.generate import Compiled
from runtime.primitives.scale.integers import (
    MAX_COMPACT,
    boolean,
    compact,
    compact_u8,
    compact_u16,
    compact_u32,
    compact_u64,
    compact_u128,
    decode_compact,
    encode_compact,
    i8,
    i16,
    i32,
    i64,
    i128,
    option_bool,
    u8,
    u16,
    u32,
    u64,
    u128,
    u256,
    unit,
)
from runtime.primitives.scale.sequences import account_id, bit_vec, byte_vec, h160, h256, h512, string
from runtime.primitives.scale.structs import Struct, Variant, codec_of, enum_codec

U8: TypeAlias = Annotated[int, u8]
U16: TypeAlias = Annotated[int, u16]
U32: TypeAlias = Annotated[int, u32]
U64: TypeAlias = Annotated[int, u64]
U128: TypeAlias = Annotated[int, u128]
U256: TypeAlias = Annotated[int, u256]
I8: TypeAlias = Annotated[int, i8]
I16: TypeAlias = Annotated[int, i16]
I32: TypeAlias = Annotated[int, i32]
I64: TypeAlias = Annotated[int, i64]
I128: TypeAlias = Annotated[int, i128]
Bool: TypeAlias = Annotated[bool, boolean]
CompactU8: TypeAlias = Annotated[int, compact_u8]
CompactU16: TypeAlias = Annotated[int, compact_u16]
CompactU32: TypeAlias = Annotated[int, compact_u32]
CompactU64: TypeAlias = Annotated[int, compact_u64]
CompactU128: TypeAlias = Annotated[int, compact_u128]
Bytes: TypeAlias = Annotated[bytes, byte_vec]
H160: TypeAlias = Annotated[bytes, h160]
H256: TypeAlias = Annotated[bytes, h256]
H512: TypeAlias = Annotated[bytes, h512]
AccountId: TypeAlias = Annotated[bytes, account_id]
Bytes4: TypeAlias = Annotated[bytes, fixed_bytes(4)]
Bytes8: TypeAlias = Annotated[bytes, fixed_bytes(8)]

__all__ = [
    "H160",
    "H256",
    "H512",
    "I8",
    "I16",
    "I32",
    "I64",
    "I128",
    "MAX_COMPACT",
    "MAX_ZERO_SIZED_ITEMS",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "U256",
    "AccountId",
    "Bool",
    "Bytes",
    "Bytes4",
    "Bytes8",
    "Codec",
    "CompactU8",
    "CompactU16",
    "CompactU32",
    "CompactU64",
    "CompactU128",
    "Compiled",
    "Err",
    "Ok",
    "ScaleError",
    "Some",
    "Struct",
    "Variant",
    "account_id",
    "array",
    "bit_vec",
    "boolean",
    "bounded_bytes",
    "btree_map",
    "btree_set",
    "byte_vec",
    "codec_of",
    "compact",
    "compact_u8",
    "compact_u16",
    "compact_u32",
    "compact_u64",
    "compact_u128",
    "decode_compact",
    "encode_compact",
    "enum_codec",
    "enumeration",
    "fixed_bytes",
    "h160",
    "h256",
    "h512",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "option",
    "option_bool",
    "plain_enum",
    "result",
    "string",
    "tuple_of",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "u256",
    "unit",
    "vec",
]
