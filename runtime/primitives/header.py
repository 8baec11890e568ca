"""The block header of the relay chain and of every ordinary parachain.

Follows `sp_runtime::generic::Header` [sp-runtime] with a 32-bit block number. A block hash is the hash of the
encoded header, the seal included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from runtime.primitives.digest import DigestItem, Seal, digest_item
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import H256, CompactU32, Struct, vec

EMPTY_HASH: Final = bytes(32)
"""The default hash: parent of a genesis block."""

MAX_DIGEST_ITEMS: Final = 1 << 16
"""Items of a header's log that are decoded. Upstream the guest's memory is the bound; a header has a handful."""


@dataclass(frozen=True, slots=True)
class Header(Struct):
    """Parent, number, the two roots and the log of one block. Hashes are 32 bytes."""

    parent_hash: H256
    number: CompactU32
    state_root: H256
    extrinsics_root: H256
    digest: Annotated[tuple[DigestItem, ...], vec(digest_item, max_items=MAX_DIGEST_ITEMS)] = ()

    def hash(self, hasher: Callable[[bytes], bytes] = blake2_256) -> bytes:
        """The block hash, 32 bytes."""
        return hasher(self.encode())

    def without_seal(self) -> tuple[Header, Seal | None]:
        """The header as its author signed it, and the seal if the last digest item is one."""
        if self.digest and isinstance(self.digest[-1], Seal):
            return replace(self, digest=self.digest[:-1]), self.digest[-1]
        return self, None
