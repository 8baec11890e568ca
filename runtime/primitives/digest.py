"""Digest items: what a block header logs besides its roots.

Follows `sp_runtime::generic::digest` [sp-runtime], with `AdditionalData` (index 3) as proposed in
[sdk-13022]. Items 2 and 7 belonged to the retired changes tries and do not decode. What engines put inside
their items is interpreted by the engines, except for the relay-parent storage root of Cumulus, which every
part of a parachain reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from runtime.primitives.scale import H256, Bytes4, Codec, CompactU32, Struct, Variant, enum_codec

AURA: Final = b"aura"
"""Engine of slots and seals of authority round."""
NIMBUS: Final = b"nmbs"
"""Engine of the parachains whose author filter is Nimbus: names the author, and seals."""
RANDOMNESS: Final = b"rand"
"""Engine of an author's VRF output, on chains that gather randomness from their authors."""
BABE: Final = b"BABE"
"""Engine of the relay chain's block production."""
GRANDPA: Final = b"FRNK"
"""Engine of the relay chain's finality."""
BEEFY: Final = b"BEEF"
"""Engine of the relay chain's bridge-friendly finality."""
POLKADOT_V1: Final = b"POL1"
"""Relay-chain log: reverts after a lost dispute."""
CUMULUS: Final = b"CMLS"
"""`CumulusDigestItem`: core selection of a parachain block."""
RELAY_STORAGE_ROOT: Final = b"RPSR"
"""Relay parent of a parachain block, named by its storage root: see `RelayParentStorageRoot`."""
ISMP: Final = b"ISMP"
"""Commitment of the Hyperbridge message protocol."""


@dataclass(frozen=True, slots=True)
class Other(Variant):
    """Data no engine owns."""

    index: ClassVar[int] = 0
    data: bytes


@dataclass(frozen=True, slots=True)
class AdditionalData(Variant):
    """Commitment to data that travels beside the block: see `runtime.primitives.additional_data`."""

    index: ClassVar[int] = 3
    hash: H256


@dataclass(frozen=True, slots=True)
class Consensus(Variant):
    """A message from the runtime to a consensus engine."""

    index: ClassVar[int] = 4
    engine: Bytes4
    data: bytes


@dataclass(frozen=True, slots=True)
class Seal(Variant):
    """The author's signature. It is not part of what it signs, and is the last item when present."""

    index: ClassVar[int] = 5
    engine: Bytes4
    data: bytes


@dataclass(frozen=True, slots=True)
class PreRuntime(Variant):
    """A message from a consensus engine to the runtime, present before execution: for example the slot."""

    index: ClassVar[int] = 6
    engine: Bytes4
    data: bytes


@dataclass(frozen=True, slots=True)
class RuntimeEnvironmentUpdated(Variant):
    """The block changed `:code` or `:heappages`."""

    index: ClassVar[int] = 8


DigestItem: TypeAlias = Other | AdditionalData | Consensus | Seal | PreRuntime | RuntimeEnvironmentUpdated
digest_item: Final[Codec[DigestItem]] = enum_codec(DigestItem)


@dataclass(frozen=True, slots=True)
class RelayParentStorageRoot(Struct):
    """Data of the `RPSR` item, with which Cumulus names a relay parent it has no hash of [cumulus-core]."""

    storage_root: H256
    number: CompactU32

    def to_digest_item(self) -> Consensus:
        """The item as it stands in a parachain header."""
        return Consensus(RELAY_STORAGE_ROOT, self.encode())


def relay_parent_storage_root(digest: Iterable[DigestItem]) -> RelayParentStorageRoot | None:
    """The first `RPSR` item of a header, None without one.

    Raises ScaleError when its data does not decode.
    """
    for item in digest:
        if isinstance(item, Consensus) and item.engine == RELAY_STORAGE_ROOT:
            return RelayParentStorageRoot.decode(item.data)
    return None
