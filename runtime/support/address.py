"""Addresses in calls: ``sp_runtime::MultiAddress`` [sp-runtime], resolved to accounts on decoding.

Only ``MultiAddress::Id`` resolves here, as in a runtime whose lookup is ``AccountIdLookup``; other variants
are refused when the call is decoded.
"""

from __future__ import annotations

from typing import Annotated

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Codec, account_id, u8

__all__ = ["LookupSource", "lookup_source"]


class _LookupSource(Codec[bytes]):
    """Account id (32 bytes) <-> ``MultiAddress::Id``."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("MultiAddress", 33)

    def encode(self, value: bytes) -> bytes:
        return b"\x00" + account_id.encode(value)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[bytes, int]:
        variant, start = u8.decode_prefix(data, offset)
        if variant != 0:
            raise ScaleError(
                f"variant {variant} cannot be looked up, only Id (0)", what=self.name, offset=offset
            )
        return account_id.decode_prefix(data, start)


lookup_source: Codec[bytes] = _LookupSource()
LookupSource = Annotated[bytes, lookup_source]
"""Field or argument annotation: an account, on the wire a ``MultiAddress``."""
