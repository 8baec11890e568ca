"""Choices and products: `Option`, `Result`, tuples, structs and enums.

Follows [PS-scale] and [parity-scale-codec] (`codec.rs`). Every tag byte that names no alternative is an
error, as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale.codec import Codec, input_ended, not_a_value

T = TypeVar("T")
E = TypeVar("E")
N = TypeVar("N", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    """`Some(value)` where None alone would be ambiguous: an option of a type that has None as a value."""

    value: T


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The success alternative of a `Result`."""

    value: T


@dataclass(frozen=True, slots=True)
class Err(Generic[E]):
    """The error alternative of a `Result`."""

    error: E


def _tag(what: str, data: bytes, offset: int) -> int:
    if offset >= len(data):
        raise input_ended(what, data, offset, 1)
    return data[offset]


class Option(Codec[Any]):
    """`Option<T>`: `00`, or `01` and the value.

    None is `None`; `Some(x)` is x, or `Some(x)` if x may be None.
    """

    __slots__ = ("item", "wrapped")

    def __init__(self, item: Codec[Any]) -> None:
        self.item = item
        self.wrapped = item.nullable
        super().__init__(f"Option<{item.name}>", 1, nullable=True)

    def encode(self, value: Any) -> bytes:
        if value is None:
            return b"\x00"
        if not self.wrapped:
            return b"\x01" + self.item.encode(value)
        if not isinstance(value, Some):
            raise not_a_value(self.name, value)
        return b"\x01" + self.item.encode(value.value)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[Any, int]:
        tag = _tag(self.name, data, offset)
        if tag == 0:
            return None, offset + 1
        if tag != 1:
            raise ScaleError(f"byte {tag} is no option tag", what=self.name, offset=offset)
        value, end = self.item.decode_prefix(data, offset + 1)
        return (Some(value) if self.wrapped else value), end


class Result(Codec[Ok[T] | Err[E]]):
    """`Result<T, E>`: `00` and the value, or `01` and the error."""

    __slots__ = ("err", "ok")

    def __init__(self, ok: Codec[T], err: Codec[E]) -> None:
        self.ok = ok
        self.err = err
        super().__init__(f"Result<{ok.name}, {err.name}>", 1 + min(ok.min_size, err.min_size))

    def encode(self, value: Ok[T] | Err[E]) -> bytes:
        if isinstance(value, Ok):
            return b"\x00" + self.ok.encode(value.value)
        if isinstance(value, Err):
            return b"\x01" + self.err.encode(value.error)
        raise not_a_value(self.name, value)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[Ok[T] | Err[E], int]:
        tag = _tag(self.name, data, offset)
        if tag == 0:
            value, end = self.ok.decode_prefix(data, offset + 1)
            return Ok(value), end
        if tag == 1:
            error, end = self.err.decode_prefix(data, offset + 1)
            return Err(error), end
        raise ScaleError(f"byte {tag} is no result tag", what=self.name, offset=offset)


class Tuple(Codec[tuple[Any, ...]]):
    """`(A, B, …)`: the members, one after the other."""

    __slots__ = ("members",)

    def __init__(self, *members: Codec[Any]) -> None:
        self.members = members
        size = sum(member.min_size for member in members)
        super().__init__(f"({', '.join(member.name for member in members)})", size)

    def encode(self, value: Sequence[Any]) -> bytes:
        if not isinstance(value, tuple | list):
            raise not_a_value(self.name, value)
        if len(value) != len(self.members):
            raise ScaleError(f"{len(value)} members instead of {len(self.members)}", what=self.name)
        return b"".join([member.encode(item) for member, item in zip(self.members, value, strict=True)])

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[tuple[Any, ...], int]:
        values: list[Any] = []
        for member in self.members:
            value, offset = member.decode_prefix(data, offset)
            values.append(value)
        return tuple(values), offset


class Enumeration(Codec[Any]):
    """An enum: one byte with the index of the alternative, then its payload.

    An alternative named by a class has instances of that class as its values; one named by a string has pairs
    `(name, payload)`.
    """

    __slots__ = ("by_class", "by_name", "variants")

    def __init__(self, name: str, variants: Mapping[int, tuple[type | str, Codec[Any]]]) -> None:
        self.variants: Final = dict(variants)
        self.by_class: Final[dict[type, tuple[bytes, Codec[Any]]]] = {}
        self.by_name: Final[dict[str, tuple[bytes, Codec[Any]]]] = {}
        for index, (alternative, payload) in variants.items():
            if not 0 <= index <= 255:
                raise ScaleError(f"variant index {index} does not fit a byte", what=name)
            entry = (bytes([index]), payload)
            if isinstance(alternative, str):
                self.by_name[alternative] = entry
            else:
                self.by_class[alternative] = entry
        if len(self.by_class) + len(self.by_name) != len(variants) or not variants:
            raise ScaleError("an enum needs alternatives, each with its own name or class", what=name)
        super().__init__(name, 1 + min(payload.min_size for _, payload in variants.values()))

    def encode(self, value: Any) -> bytes:
        entry = self.by_class.get(type(value))
        payload = value
        if entry is None and isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            entry = self.by_name.get(value[0])
            payload = value[1]
        if entry is None:
            raise not_a_value(self.name, value)
        return entry[0] + entry[1].encode(payload)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[Any, int]:
        index = _tag(self.name, data, offset)
        variant = self.variants.get(index)
        if variant is None:
            raise ScaleError(f"no variant has index {index}", what=self.name, offset=offset)
        alternative, codec = variant
        payload, end = codec.decode_prefix(data, offset + 1)
        return ((alternative, payload) if isinstance(alternative, str) else payload), end


class Fields(Codec[T]):
    """The fields of a dataclass in order, each with its codec."""

    __slots__ = ("cls", "fields")

    def __init__(self, cls: type[T], fields: Sequence[tuple[str, Codec[Any]]]) -> None:
        super().__init__(cls.__name__, sum(codec.min_size for _, codec in fields))
        self.cls: Final = cls
        self.fields: Final = tuple(fields)

    def encode(self, value: T) -> bytes:
        if not isinstance(value, self.cls):
            raise not_a_value(self.name, value)
        parts: list[bytes] = []
        for name, codec in self.fields:
            try:
                parts.append(codec.encode(getattr(value, name)))
            except ScaleError as error:
                raise error.within(f"{self.name}.{name}") from None
        return b"".join(parts)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[T, int]:
        values: list[Any] = []
        for name, codec in self.fields:
            try:
                value, offset = codec.decode_prefix(data, offset)
            except ScaleError as error:
                raise error.within(f"{self.name}.{name}") from None
            values.append(value)
        return self.cls(*values), offset


class PlainEnum(Codec[N]):
    """An enum whose alternatives carry nothing, as the members of an `IntEnum`: one byte."""

    __slots__ = ("members",)

    def __init__(self, members: type[N]) -> None:
        self.members: Final = members
        super().__init__(members.__name__, 1)

    def encode(self, value: N) -> bytes:
        if not isinstance(value, self.members):
            raise not_a_value(self.name, value)
        return bytes([value])

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[N, int]:
        index = _tag(self.name, data, offset)
        try:
            return self.members(index), offset + 1
        except ValueError:
            raise ScaleError(f"no variant has index {index}", what=self.name, offset=offset) from None
