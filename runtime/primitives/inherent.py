"""Inherent data: what a block author knows of the outside world, and the report of checking it.

Follows `sp_inherents` [sp-inherents]. A map from 8-byte identifiers to encoded values; each pallet decodes
its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Bytes8, Codec, Struct

T = TypeVar("T")

TIMESTAMP: Final = b"timstap0"
"""Milliseconds since 1970, u64."""
AURA: Final = b"auraslot"
"""Slot, u64."""
NIMBUS: Final = b"author__"
"""The author's Nimbus key, 32 bytes."""
PARACHAIN_V0: Final = b"sysi1337"
"""`parachain_inherent.ParachainInherentDataV0`."""
PARACHAIN: Final = b"sysi1338"
"""`parachain_inherent.RawParachainInherentData`."""
STATE_MESSAGING: Final = b"statmsg0"
"""Messages with state proofs that this block should deliver."""
STATE_QUERY: Final = b"statqry0"
"""Answers with state proofs to queries that the runtime has opened."""


@dataclass(frozen=True, slots=True)
class InherentData(Struct):
    """Encoded inherent data by identifier.

    The map is filled in place; the wire order is that of the identifiers.
    """

    data: dict[Bytes8, bytes] = field(default_factory=dict)

    def put_data(self, identifier: bytes, value: bytes) -> None:
        """Add the encoded `value`. Raises ScaleError when the identifier is taken or not 8 bytes long."""
        if identifier in self.data:
            raise ScaleError(f"inherent data for {identifier!r} exists", what="InherentData")
        self.replace_data(identifier, value)

    def replace_data(self, identifier: bytes, value: bytes) -> None:
        """Set the encoded `value`. Raises ScaleError when the identifier is not 8 bytes long."""
        if len(identifier) != 8:
            raise ScaleError(f"identifier of {len(identifier)} bytes instead of 8", what="InherentData")
        self.data[identifier] = value

    def get_data(self, identifier: bytes, codec: Codec[T]) -> T | None:
        """The decoded value, None when there is none. Raises ScaleError when it does not decode."""
        value = self.data.get(identifier)
        return None if value is None else codec.decode(value)


@dataclass(frozen=True, slots=True)
class CheckInherentsResult(Struct):
    """Answer of `BlockBuilder_check_inherents`; `errors` holds the encoded error of each pallet."""

    okay: bool
    fatal_error: bool
    errors: InherentData
