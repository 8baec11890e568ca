"""A block: a header and its extrinsics as opaque bytes.

Follows `sp_runtime::generic::Block` and `sp_runtime::OpaqueExtrinsic` [sp-runtime]. Extrinsics keep the
exact bytes they arrived in, their own length prefix included, because those bytes are what the extrinsics
root commits to; only the runtime looks inside, see `runtime.primitives.extrinsic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import Codec, Struct, byte_vec, vec


class OpaqueExtrinsicCodec(Codec[bytes]):
    """An extrinsic as the bytes of its full encoding: a compact length and that many bytes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("OpaqueExtrinsic", 1)

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise ScaleError(f"a {type(value).__name__} instead of bytes", what=self.name)
        try:
            byte_vec.decode(value)
        except ScaleError as error:
            raise ScaleError(
                f"bytes that are not one encoded extrinsic ({error.reason})", what=self.name
            ) from None
        return value

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bytes, int]:
        _, end = byte_vec.decode_prefix(data, offset)
        return data[offset:end], end


MAX_EXTRINSICS: Final = 1 << 20
"""Extrinsics of a block that are decoded. Upstream the guest's memory is the bound."""

opaque_extrinsic: Final = OpaqueExtrinsicCodec()
opaque_extrinsics: Final = vec(opaque_extrinsic, max_items=MAX_EXTRINSICS)


@dataclass(frozen=True, slots=True)
class Block(Struct):
    """A header and the full encodings of its extrinsics, in order."""

    header: Header
    extrinsics: Annotated[tuple[bytes, ...], opaque_extrinsics]

    def hash(self) -> bytes:
        """The block hash, 32 bytes: the hash of the header."""
        return self.header.hash()
