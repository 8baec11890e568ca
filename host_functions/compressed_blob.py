"""Compressed runtimes and proofs of validity: zstd behind an 8-byte prefix.

Follows `sp_maybe_compressed_blob` [sp-maybe-compressed-blob] and [RFC-135]. Compressed bytes come from
strangers, so decompression stops at a bomb limit that the caller names, before more than the limit is in
memory. Sizes are in bytes. Host side: the guest sees decompressed bytes only.
"""

from __future__ import annotations

from typing import Final

import zstandard

from host_functions.errors import PileusError
from runtime.primitives.compressed_blob import BlobKind, split_magic

STRONG_LEVEL: Final = 22
"""Level of `compress_strongly_as` of the reference, for runtimes. Costs the better part of a second."""
WEAK_LEVEL: Final = 3
"""Level of `compress_weakly_as` of the reference, for what is compressed once per block."""
CODE_BLOB_BOMB_LIMIT: Final = 50 * 1024 * 1024
"""Largest runtime after decompression."""
MAX_VALIDATION_CODE_COMPRESSION_RATIO: Final = 10
"""Validation code may decompress to this many times ``max_code_size`` [polkadot-primitives]. It was 4 before 2025."""
MAX_CODE_SIZE: Final = 3 * 1024 * 1024
"""The ``max_code_size`` of Polkadot, compressed, and the largest that its runtime can be configured with
(``polkadot_primitives::MAX_CODE_SIZE``)."""
VALIDATION_CODE_BOMB_LIMIT: Final = MAX_VALIDATION_CODE_COMPRESSION_RATIO * MAX_CODE_SIZE
"""Largest validation code of Polkadot after decompression: ``validation_code_bomb_limit`` of its runtime API."""
POV_BOMB_LIMIT: Final = 4 * 10 * 1024 * 1024
"""Largest PoV payload after decompression: four times the largest PoV."""

# A 4-byte block can expand to 128 KiB, so a step of 512 bytes cannot exceed the limit by more than 16 MiB.
_STEP: Final = 512


class BlobError(PileusError):
    """A blob that cannot be decompressed."""


class InvalidBlob(BlobError):
    """What follows a known prefix is not a sequence of complete zstd frames."""


class PossibleBomb(BlobError):
    """The decompressed data exceeds `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the decompressed data exceeds {limit} bytes")
        self.limit = limit


def decompress(blob: bytes, limit: int) -> bytes:
    """The decompressed payload, at most `limit` bytes; without a known prefix `blob` itself, of any size.

    Raises InvalidBlob and PossibleBomb, and MemoryError. Several frames in a row decompress to their concatenation.
    """
    kind, payload = split_magic(blob)
    if kind is None:
        return blob
    parts: list[bytes] = []
    total = position = 0
    # One for all frames: it is their number, not their content, that would take time.
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    try:
        while position < len(payload):
            if frame.eof:
                frame = decompressor.decompressobj()
            step = payload[position : position + _STEP]
            parts.append(frame.decompress(step))
            position += len(step) - len(frame.unused_data)
            total += len(parts[-1])
            if total > limit:
                raise PossibleBomb(limit)
    except zstandard.ZstdError as error:
        if "Allocation error" in str(error):
            raise MemoryError(str(error)) from None  # ours, and no fault of the blob
        raise InvalidBlob(f"invalid zstd frame: {error}") from None
    if not frame.eof:
        raise InvalidBlob("the last zstd frame is incomplete")
    return b"".join(parts)


def compress(data: bytes, kind: BlobKind, limit: int, *, level: int = WEAK_LEVEL) -> bytes | None:
    """`data` compressed, with the prefix of `kind`; None above `limit` bytes, which no decoder accepts."""
    if len(data) > limit:
        return None
    # Streaming, as the reference does it: the frame does not state the size of its content.
    frame = zstandard.ZstdCompressor(level=level).compressobj()
    return kind.value + frame.compress(data) + frame.flush()
