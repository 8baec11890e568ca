"""`ParachainBlockData`: the payload of a proof of validity, what a collator hands to the validators.

Follows [cumulus-pbd] for versions 0 (a single block without prefix) and 1 (several blocks), [sdk-10472] for version 2,
which adds a scheduling proof, and [sdk-13022] for version 3, which adds the additional data of every block to that.
Version numbers after 1 differ between polkadot-sdk's branches: one for speculative messaging uses 2 and 3 for other
fields, which are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from runtime.primitives.additional_data import AdditionalDataMap, additional_data_map
from runtime.primitives.block import Block, opaque_extrinsics
from runtime.primitives.errors import ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import Codec, byte_vec, compact_u32, option, u8, vec
from runtime.primitives.scheduling_proof import EMPTY, SchedulingProof

VERSIONED_PREFIX: Final = b"VERSIONEDPBD"
"""First bytes of every version but 0, where a parent hash stands instead."""

CompactProof: TypeAlias = tuple[bytes, ...]
"""Items of a compact trie proof, see `runtime.trie.compact`."""

MAX_BLOCKS: Final = 1024
"""Blocks of one payload that are decoded; bundles of today have at most some twelve."""
MAX_ITEMS: Final = 1 << 20
"""Items of the proof that are decoded, and extrinsics and digest items of all blocks.

Upstream the memory of the guest bounds what a payload may unfold to. Here a number must: a payload that compresses to a
kilobyte may hold forty million empty items, each of which becomes an object.
"""

_NAME: Final = "ParachainBlockData"
_blocks: Final[Codec[tuple[Block, ...]]] = vec(Block.codec(), max_items=MAX_BLOCKS)
_proof: Final = vec(byte_vec, max_items=MAX_ITEMS)
_scheduling_proof: Final = SchedulingProof.codec()
_additional_data: Final = vec(option(additional_data_map), max_items=MAX_BLOCKS)


@dataclass(frozen=True, slots=True)
class ParachainBlockData:
    """The blocks of a candidate, a compact proof of the state they need, and their additional data."""

    version: int
    """0 to 3."""
    blocks: tuple[Block, ...]
    proof: CompactProof
    additional_data: tuple[AdditionalDataMap | None, ...] = ()
    """Version 3 only: empty, or one entry per block."""
    scheduling_proof: SchedulingProof = EMPTY
    """Versions 2 and 3 only."""

    def encode(self) -> bytes:
        """The bytes of the payload, uncompressed. Raises ScaleError for what the version cannot express."""
        if self.version != 3 and self.additional_data:
            raise ScaleError(f"version {self.version} carries no additional data", what=_NAME)
        if self.version < 2 and self.scheduling_proof != EMPTY:
            raise ScaleError(f"version {self.version} carries no scheduling proof", what=_NAME)
        if self.version == 0:
            if len(self.blocks) != 1:
                raise ScaleError(f"version 0 holds one block, not {len(self.blocks)}", what=_NAME)
            return self.blocks[0].encode() + _proof.encode(self.proof)
        _check_version(self.version, None)
        head = (
            VERSIONED_PREFIX + bytes([self.version]) + _blocks.encode(self.blocks) + _proof.encode(self.proof)
        )
        if self.version == 1:
            return head
        head += _scheduling_proof.encode(self.scheduling_proof)
        return head if self.version == 2 else head + _additional_data.encode(self.additional_data)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The payload of `data`, all of it. Raises ScaleError, also on trailing bytes."""
        value, end = cls.decode_prefix(data)
        if end != len(data):
            raise ScaleError(f"{len(data) - end} trailing bytes", what=_NAME, offset=end)
        return value

    @classmethod
    def decode_prefix(cls, data: bytes, offset: int = 0) -> tuple[Self, int]:
        """The payload at `offset` and the offset after it. Raises ScaleError.

        The reference decodes a payload this way: it ignores what follows, so a validator must as well.
        """
        start = offset + len(VERSIONED_PREFIX)
        if data[offset:start] != VERSIONED_PREFIX:
            header, position = Header.decode_prefix(data, offset)
            extrinsics, position = opaque_extrinsics.decode_prefix(data, position)
            proof, position = _proof.decode_prefix(data, position)
            return cls(0, (Block(header, extrinsics),), proof), position
        version, position = u8.decode_prefix(data, start)
        _check_version(version, start)
        blocks, position = _decode_blocks(data, position)
        proof, position = _proof.decode_prefix(data, position)
        if version == 1:
            return cls(version, blocks, proof), position
        scheduling_proof, position = _scheduling_proof.decode_prefix(data, position)
        if version == 2:
            return cls(version, blocks, proof, (), scheduling_proof), position
        additional_data, position = _additional_data.decode_prefix(data, position)
        return cls(version, blocks, proof, additional_data, scheduling_proof), position


def _decode_blocks(data: bytes, offset: int) -> tuple[tuple[Block, ...], int]:
    """As `_blocks` decodes, except that the items are counted as they come."""
    count, position = compact_u32.decode_prefix(data, offset)
    if count > MAX_BLOCKS:
        raise ScaleError(f"{count} blocks, at most {MAX_BLOCKS} allowed", what=_NAME, offset=offset)
    blocks: list[Block] = []
    items = 0
    for _ in range(count):
        block, position = Block.decode_prefix(data, position)
        items += len(block.extrinsics) + len(block.header.digest)
        if items > MAX_ITEMS:
            raise ScaleError(
                f"more than {MAX_ITEMS} extrinsics and digest items", what=_NAME, offset=position
            )
        blocks.append(block)
    return tuple(blocks), position


def _check_version(version: int, offset: int | None) -> None:
    if version not in (1, 2, 3):
        raise ScaleError(f"unknown version {version}", what=_NAME, offset=offset)
