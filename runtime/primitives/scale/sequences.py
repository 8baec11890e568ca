"""Byte strings and collections: everything whose encoding starts with a count, and fixed-size arrays.

Follows [PS-scale] and [parity-scale-codec] (`codec.rs`, `bit_vec.rs`). Counts are `Compact<u32>` and are
compared with the bytes that are left before anything is allocated. Vectors decode to tuples; `Vec<u8>` and
`[u8; n]` are bytes, never tuples of integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale.codec import Codec, check_count, input_ended, not_a_value
from runtime.primitives.scale.integers import compact_u32, decode_compact

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def _take(what: str, data: bytes, offset: int, size: int) -> tuple[bytes, int]:
    end = offset + size
    if end > len(data):
        raise input_ended(what, data, offset, size)
    return data[offset:end], end


class FixedBytes(Codec[bytes]):
    """`[u8; size]`: the bytes themselves, no length."""

    __slots__ = ("size",)

    def __init__(self, size: int, name: str | None = None) -> None:
        self.size = size
        super().__init__(name or f"[u8; {size}]", size)

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise not_a_value(self.name, value)
        if len(value) != self.size:
            raise ScaleError(f"{len(value)} bytes instead of {self.size}", what=self.name)
        return value

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bytes, int]:
        return _take(self.name, data, offset, self.size)


class ByteVec(Codec[bytes]):
    """`Vec<u8>`: a compact length in bytes, then the bytes. `max_len` bounds it as `BoundedVec` does."""

    __slots__ = ("max_len",)

    def __init__(self, max_len: int | None = None) -> None:
        self.max_len = max_len
        super().__init__("Vec<u8>" if max_len is None else f"BoundedVec<u8, {max_len}>", 1)

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise not_a_value(self.name, value)
        if self.max_len is not None and len(value) > self.max_len:
            raise ScaleError(f"{len(value)} bytes, at most {self.max_len} allowed", what=self.name)
        return compact_u32.encode(len(value)) + value

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bytes, int]:
        length, start = decode_compact(data, offset, compact_u32.high)
        if self.max_len is not None and length > self.max_len:
            raise ScaleError(f"{length} bytes, at most {self.max_len} allowed", what=self.name, offset=offset)
        end = start + length
        if end > len(data):
            raise input_ended(self.name, data, start, length)
        return data[start:end], end


class String(Codec[str]):
    """`String`: UTF-8 in a `Vec<u8>`; anything that is not UTF-8 is an error."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("String", 1)

    def encode(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise not_a_value(self.name, value)
        try:
            return byte_vec.encode(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise ScaleError("a lone surrogate has no UTF-8 form", what=self.name) from None

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[str, int]:
        raw, end = byte_vec.decode_prefix(data, offset)
        try:
            return raw.decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise ScaleError("not UTF-8", what=self.name, offset=end - len(raw) + error.start) from None


class Vec(Codec[tuple[T, ...]]):
    """`Vec<T>`: a compact count, then the items. `max_items` bounds it as `BoundedVec` does."""

    __slots__ = ("item", "max_items")

    def __init__(self, item: Codec[T], max_items: int | None = None) -> None:
        self.item = item
        self.max_items = max_items
        super().__init__(
            f"Vec<{item.name}>" if max_items is None else f"BoundedVec<{item.name}, {max_items}>", 1
        )

    def encode(self, value: Sequence[T]) -> bytes:
        count = _count_of(self.name, value)
        if self.max_items is not None and count > self.max_items:
            raise ScaleError(f"{count} items, at most {self.max_items} allowed", what=self.name)
        encode = self.item.encoder()
        return b"".join([compact_u32.encode(count), *[encode(item) for item in value]])

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[tuple[T, ...], int]:
        count, position = compact_u32.decode_prefix(data, offset)
        if self.max_items is not None and count > self.max_items:
            raise ScaleError(
                f"{count} items, at most {self.max_items} allowed", what=self.name, offset=offset
            )
        check_count(count, self.item.min_size, self.name, data, position)
        decode = self.item.decoder()
        items: list[T] = []
        for _ in range(count):
            item, position = decode(data, position)
            items.append(item)
        return tuple(items), position


class Array(Codec[tuple[T, ...]]):
    """`[T; size]`: the items, no count."""

    __slots__ = ("item", "size")

    def __init__(self, item: Codec[T], size: int) -> None:
        self.item = item
        self.size = size
        super().__init__(f"[{item.name}; {size}]", item.min_size * size)

    def encode(self, value: Sequence[T]) -> bytes:
        count = _count_of(self.name, value)
        if count != self.size:
            raise ScaleError(f"{count} items instead of {self.size}", what=self.name)
        encode = self.item.encoder()
        return b"".join([encode(item) for item in value])

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[tuple[T, ...], int]:
        decode = self.item.decoder()
        items: list[T] = []
        for _ in range(self.size):
            item, offset = decode(data, offset)
            items.append(item)
        return tuple(items), offset


class BTreeSet(Codec[tuple[T, ...]]):
    """`BTreeSet<T>`: a vector in ascending order without duplicates.

    Decoding sorts and removes duplicates, as collecting into a `BTreeSet` does; it does not refuse them.
    """

    __slots__ = ("items",)

    def __init__(self, item: Codec[T], max_items: int | None = None) -> None:
        self.items = Vec(item, max_items)
        super().__init__(f"BTreeSet<{item.name}>", 1)

    def encode(self, value: Iterable[T]) -> bytes:
        return self.items.encode(_ascending(self.name, value))

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[tuple[T, ...], int]:
        items, end = self.items.decode_prefix(data, offset)
        return _ascending(self.name, items), end


class BTreeMap(Codec[dict[K, V]]):
    """`BTreeMap<K, V>`: a vector of pairs in ascending key order. The decoded dict iterates in that order.

    Decoding accepts any order and lets the last of equal keys win, as inserting into a `BTreeMap` does.
    `max_items` bounds the pairs.
    """

    __slots__ = ("key", "max_items", "value")

    def __init__(self, key: Codec[K], value: Codec[V], max_items: int | None = None) -> None:
        self.key = key
        self.value = value
        self.max_items = max_items
        super().__init__(f"BTreeMap<{key.name}, {value.name}>", 1)

    def encode(self, value: Mapping[K, V]) -> bytes:
        if not isinstance(value, Mapping):
            raise not_a_value(self.name, value)
        self._check_size(len(value), None)
        parts = [compact_u32.encode(len(value))]
        for key in _ascending(self.name, value):
            parts += (self.key.encode(key), self.value.encode(value[key]))
        return b"".join(parts)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[dict[K, V], int]:
        count, position = compact_u32.decode_prefix(data, offset)
        self._check_size(count, offset)
        check_count(count, self.key.min_size + self.value.min_size, self.name, data, position)
        entries: dict[K, V] = {}
        for _ in range(count):
            key, position = self.key.decode_prefix(data, position)
            entries[key], position = self.value.decode_prefix(data, position)
        return {key: entries[key] for key in _ascending(self.name, entries)}, position

    def _check_size(self, count: int, offset: int | None) -> None:
        if self.max_items is not None and count > self.max_items:
            raise ScaleError(
                f"{count} items, at most {self.max_items} allowed", what=self.name, offset=offset
            )


class BitVec(Codec[tuple[bool, ...]]):
    """`BitVec<u8, Lsb0>`: a compact count of bits, then the bits, lowest bit of each byte first.

    Padding bits of the last byte are zero when encoded and ignored when decoded, as in the reference.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("BitVec<u8, Lsb0>", 1)

    def encode(self, value: Sequence[bool]) -> bytes:
        count = _count_of(self.name, value)
        packed = 0
        for index, bit in enumerate(value):
            if bit not in (0, 1):
                raise not_a_value(self.name, bit)
            packed |= int(bit) << index
        return compact_u32.encode(count) + packed.to_bytes((count + 7) >> 3, "little")

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[tuple[bool, ...], int]:
        count, start = compact_u32.decode_prefix(data, offset)
        raw, end = _take(self.name, data, start, (count + 7) >> 3)
        return tuple(raw[index >> 3] >> (index & 7) & 1 == 1 for index in range(count)), end


def _count_of(what: str, value: object) -> int:
    # Text and bytes are sequences too; as a list of items they are always a mistake of the caller.
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise not_a_value(what, value)
    return len(value)


def _ascending(what: str, values: Iterable[T]) -> tuple[T, ...]:
    try:
        return tuple(sorted(dict.fromkeys(values)))  # type: ignore[type-var]
    except TypeError:
        raise ScaleError("items have no order", what=what) from None


byte_vec: Final = ByteVec()
string: Final = String()
bit_vec: Final = BitVec()
h160: Final = FixedBytes(20, "H160")
h256: Final = FixedBytes(32, "H256")
h512: Final = FixedBytes(64, "H512")
account_id: Final = FixedBytes(32, "AccountId32")
