"""Structs and enum variants as frozen dataclasses, and codecs derived from type annotations.

Follows [parity-scale-codec] (`derive`): a struct is its fields in order, an enum variant one index byte and
then its fields. The codec of a class is derived at first use and kept; deriving it for a type that contains
itself is an error, because decoding such a type would recurse over input.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self, TypeVar

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale.codec import Codec
from runtime.primitives.scale.composites import Fields
from runtime.primitives.scale.factories import btree_map, enumeration, option, tuple_of, vec
from runtime.primitives.scale.generate import Compiled
from runtime.primitives.scale.integers import boolean, unit
from runtime.primitives.scale.sequences import byte_vec, string

S = TypeVar("S", bound="Struct")


class Struct:
    """Base of dataclasses with a SCALE form. Annotations give the codecs, see `codec_of`::

    @dataclass(frozen=True, slots=True)
    class InboundDownwardMessage(Struct):
        sent_at: U32
        msg: bytes
    """

    __slots__ = ()

    @classmethod
    def codec(cls) -> Codec[Self]:
        """The codec of this class, derived at first use."""
        codec = _DERIVED.get(cls)
        return _derive(cls) if codec is None else codec

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The value `data` encodes, all of it. Raises ScaleError."""
        return cls.codec().decode(data)

    @classmethod
    def decode_prefix(cls, data: bytes, offset: int = 0) -> tuple[Self, int]:
        """The value encoded from `offset` (bytes) on and the offset after it. Raises ScaleError."""
        return cls.codec().decode_prefix(data, offset)

    def encode(self) -> bytes:
        """The encoding of this value. Raises ScaleError when a field holds no value of its type."""
        return type(self).codec().encode(self)


class Variant(Struct):
    """Base of dataclasses that are one alternative of an enum: the byte `index`, then the fields."""

    __slots__ = ()
    index: ClassVar[int]


_DERIVED: dict[type, Codec[Any]] = {}
_PAYLOADS: dict[type, Codec[Any]] = {}
_in_derivation: list[type] = []


def _derive(cls: type[Struct]) -> Codec[Any]:
    codec: Codec[Any] = payload_of(cls)
    if issubclass(cls, Variant):
        codec = enumeration(cls.__name__, {cls.index: (cls, codec)})
    _DERIVED[cls] = codec
    return codec


def payload_of(cls: type[S]) -> Codec[S]:
    """The codec of the fields of `cls`; for a variant that is its encoding without the index byte."""
    known = _PAYLOADS.get(cls)
    if known is not None:
        return known
    if "__dataclass_fields__" not in cls.__dict__:
        raise ScaleError("a Struct must be a dataclass", what=cls.__name__)
    if cls in _in_derivation:
        raise ScaleError("a type that contains itself has no codec", what=cls.__name__)
    _in_derivation.append(cls)
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = []
        for name in _field_names(cls):
            try:
                fields.append((name, codec_of(hints[name])))
            except ScaleError as error:
                raise error.within(f"{cls.__name__}.{name}") from None
    finally:
        _in_derivation.pop()
    codec = Compiled(Fields(cls, fields))
    _PAYLOADS[cls] = codec
    return codec


def _field_names(dataclass: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(dataclass)]


def codec_of(annotation: Any) -> Codec[Any]:
    """The codec an annotation stands for.

    `Annotated[..., codec]` is that codec; bytes, str, bool and None are `Vec<u8>`, `String`, `bool` and
    `()`; `X | None` is an option, `tuple[X, ...]` a vector, `tuple[A, B]` a tuple, `dict[K, V]` a
    `BTreeMap`; a Struct is its own codec and a union of Variants an enum. Raises ScaleError for everything
    else: a bare int, for example, fixes no encoding.
    """
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation.codec()
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        for extra in arguments[1:]:
            if isinstance(extra, Codec):
                return extra
        return codec_of(arguments[0])
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return vec(codec_of(arguments[0]))
    if origin is tuple:
        return tuple_of(*[codec_of(argument) for argument in arguments])
    if origin is dict:
        return btree_map(codec_of(arguments[0]), codec_of(arguments[1]))
    if origin is typing.Union or origin is types.UnionType:
        return _codec_of_union([argument for argument in arguments if argument is not type(None)], arguments)
    raise ScaleError("this annotation fixes no encoding", what=str(annotation))


def _codec_of_union(members: Sequence[Any], arguments: Sequence[Any]) -> Codec[Any]:
    item = codec_of(members[0]) if len(members) == 1 else _enum_of(members)
    return option(item) if len(members) < len(arguments) else item


def _enum_of(members: Sequence[Any]) -> Codec[Any]:
    variants: dict[int, tuple[type | str, Codec[Any]]] = {}
    for member in members:
        if not (isinstance(member, type) and issubclass(member, Variant)):
            raise ScaleError("an enum is a union of Variant classes", what=str(member))
        if member.index in variants:
            raise ScaleError(f"index {member.index} is taken twice", what=member.__name__)
        variants[member.index] = (member, payload_of(member))
    return enumeration(" | ".join(member.__name__ for member in members), variants)


def enum_codec(variants: Any) -> Codec[Any]:
    """The codec of an enum, given the union of its Variant classes: `enum_codec(Seal | PreRuntime)`."""
    return codec_of(variants)


_PLAIN: dict[Any, Codec[Any]] = {bytes: byte_vec, str: string, bool: boolean, None: unit, type(None): unit}
