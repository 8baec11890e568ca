"""Key codecs of the messaging pallet: big-endian and unhashed, so that neighbours in a lane are so in the trie."""

from __future__ import annotations

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Codec, h256, tuple_of


class _BigEndian(Codec[int]):
    """Unsigned integer, big-endian: the order of the numbers is the order of the keys."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__(f"u{8 * size} big-endian", size)
        self.size = size

    def encode(self, value: int) -> bytes:
        if not 0 <= value < 1 << (8 * self.size):
            raise ScaleError("out of range", what=self.name)
        return value.to_bytes(self.size, "big")

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[int, int]:
        end = offset + self.size
        if end > len(data):
            raise ScaleError("input ended", what=self.name, offset=offset)
        return int.from_bytes(data[offset:end], "big"), end


para_key: Codec[int] = _BigEndian(4)
lane_key: Codec[tuple[int, int]] = tuple_of(_BigEndian(4), _BigEndian(1))
"""(parachain, lane)."""
position_key: Codec[tuple[int, int, int]] = tuple_of(_BigEndian(4), _BigEndian(1), _BigEndian(8))
"""(parachain, lane, nonce)."""
slot_key: Codec[tuple[int, int]] = tuple_of(_BigEndian(4), _BigEndian(1))
"""(parachain, slot of the ring)."""
head_key: Codec[tuple[int, bytes]] = tuple_of(_BigEndian(4), h256)
"""(parachain, hash of a head)."""
