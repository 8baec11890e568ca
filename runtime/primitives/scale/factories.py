"""The functions that combine codecs into codecs.

Follows [parity-scale-codec] (`codec.rs`). What they return is the combinator of that name, with generated
code in front of it where that pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeVar

from runtime.primitives.scale.codec import Codec
from runtime.primitives.scale.composites import Enumeration, Err, Ok, Option, PlainEnum, Result, Tuple
from runtime.primitives.scale.generate import Compiled
from runtime.primitives.scale.sequences import Array, BTreeMap, BTreeSet, ByteVec, FixedBytes, Vec

T = TypeVar("T")
E = TypeVar("E")
K = TypeVar("K")
V = TypeVar("V")
N = TypeVar("N", bound=IntEnum)


def fixed_bytes(size: int) -> FixedBytes:
    """`[u8; size]` as bytes of exactly that length."""
    return FixedBytes(size)


def bounded_bytes(max_len: int) -> ByteVec:
    """`BoundedVec<u8, max_len>`: at most `max_len` bytes."""
    return ByteVec(max_len)


def vec(item: Codec[T], *, max_items: int | None = None) -> Codec[tuple[T, ...]]:
    """`Vec<T>`, or `BoundedVec<T, max_items>`. `vec(u8)` is a tuple of integers; bytes are `byte_vec`."""
    return Compiled(Vec(item, max_items))


def array(item: Codec[T], size: int) -> Codec[tuple[T, ...]]:
    """`[T; size]`. For `[u8; size]` as bytes use `fixed_bytes`."""
    return Array(item, size)


def btree_map(key: Codec[K], value: Codec[V], *, max_items: int | None = None) -> Codec[dict[K, V]]:
    """`BTreeMap<K, V>` as a dict; the order of Python's `<` on keys must be the order of the Rust type."""
    return BTreeMap(key, value, max_items)


def btree_set(item: Codec[T], *, max_items: int | None = None) -> Codec[tuple[T, ...]]:
    """`BTreeSet<T>` as an ascending tuple without duplicates."""
    return BTreeSet(item, max_items)


def option(item: Codec[T]) -> Codec[T | None]:
    """`Option<T>`; around a type that has None as a value, `Some(x)` is the dataclass `Some`."""
    return Compiled(Option(item))


def result(ok: Codec[T], err: Codec[E]) -> Codec[Ok[T] | Err[E]]:
    """`Result<T, E>` as `Ok` or `Err`."""
    return Result(ok, err)


def tuple_of(*members: Codec[Any]) -> Codec[Any]:
    """A tuple of the given member types."""
    return Compiled(Tuple(*members))


def enumeration(name: str, variants: Mapping[int, tuple[type | str, Codec[Any]]]) -> Codec[Any]:
    """An enum from `{index: (class or name, payload codec)}`; see `Enumeration` for how values look."""
    return Compiled(Enumeration(name, variants))


def plain_enum(members: type[N]) -> Codec[N]:
    """An enum without payloads, given as an `IntEnum` whose values are the variant indices."""
    return PlainEnum(members)
