"""The interface of a SCALE codec, and the bounds every codec shares.

Follows [parity-scale-codec] (traits `Encode` and `Decode`). A codec is a value: `u32`, `vec(u32)` and
`Header.codec()` are all instances of `Codec`. Codecs nest as types nest, so the depth of the calls is a
property of the type and never of the input. Recursive types are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.primitives.errors import ScaleError

T = TypeVar("T")

MAX_ZERO_SIZED_ITEMS = 65_536
"""Most items of a collection whose items occupy no bytes: nothing in the input bounds such a count."""


class Codec(Generic[T]):
    """How values of one type become bytes and back.

    `name` is the type as Rust spells it, `min_size` the length in bytes of its shortest encoding. `nullable`
    says that None is one of its values, which decides how an `option` around it represents `Some`.
    """

    __slots__ = ("min_size", "name", "nullable")

    def __init__(self, name: str, min_size: int, *, nullable: bool = False) -> None:
        self.name = name
        self.min_size = min_size
        self.nullable = nullable

    def encode(self, value: T) -> bytes:
        """The encoding of `value`. Raises ScaleError when the value is not one of this type."""
        raise NotImplementedError

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[T, int]:
        """The value encoded from `offset` (bytes) on and the offset after it. Raises ScaleError."""
        raise NotImplementedError

    def decode(self, data: bytes) -> T:
        """The value `data` encodes, all of it: trailing bytes are a ScaleError."""
        value, end = self.decode_prefix(data, 0)
        if end != len(data):
            raise ScaleError(f"{len(data) - end} trailing bytes", what=self.name, offset=end)
        return value

    def encoder(self) -> Callable[[T], bytes]:
        """The fastest callable that does `encode`; for loops that call it many times."""
        return self.encode

    def decoder(self) -> Callable[[bytes, int], tuple[T, int]]:
        """The fastest callable that does `decode_prefix`; for loops that call it many times."""
        return self.decode_prefix

    def __repr__(self) -> str:
        return f"<Codec {self.name}>"


def input_ended(what: str, data: bytes, offset: int, wanted: int) -> ScaleError:
    """The error for an input with fewer than `wanted` bytes left at `offset`."""
    left = max(len(data) - offset, 0)
    return ScaleError(f"input ended: {wanted} bytes wanted, {left} left", what=what, offset=offset)


def not_a_value(what: str, value: object) -> ScaleError:
    """The error for encoding `value` as a type it does not belong to.

    Never prints the value: it may be huge.
    """
    return ScaleError(f"a {type(value).__name__} that is not a value of this type", what=what)


def check_count(count: int, min_size: int, what: str, data: bytes, offset: int) -> None:
    """Refuse a claimed item count that the rest of the input cannot hold, before any item is read."""
    limit = (len(data) - offset) // min_size if min_size else MAX_ZERO_SIZED_ITEMS
    if count > limit:
        raise ScaleError(f"{count} items claimed, at most {limit} fit", what=what, offset=offset)
