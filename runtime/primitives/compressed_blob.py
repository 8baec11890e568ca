"""Compressed blobs: the 8 bytes that say what is compressed.

Follows `sp_maybe_compressed_blob` [sp-maybe-compressed-blob] and [RFC-135]. This is the framing only, which
a runtime may need to recognise; the zstd behind it is `host_functions.compressed_blob`, on the host side.
"""

from __future__ import annotations

from enum import Enum


class BlobKind(Enum):
    """What a magic prefix announces; the value is the prefix."""

    LEGACY = bytes.fromhex("52bc537646db8e05")
    """Code or a proof of validity, from before the kinds were told apart."""
    POV = bytes.fromhex("52bc537646db8e06")
    WASM_CODE = bytes.fromhex("52bc537646db8e07")
    POLKAVM_CODE = bytes.fromhex("52bc537646db8e08")


MAGIC_SIZE = 8
"""Bytes of every prefix."""

_KINDS = {kind.value: kind for kind in BlobKind}


def split_magic(blob: bytes) -> tuple[BlobKind | None, bytes]:
    """The kind and the compressed payload; `(None, blob)` when no prefix matches: it is not compressed."""
    kind = _KINDS.get(blob[:MAGIC_SIZE])
    return (None, blob) if kind is None else (kind, blob[MAGIC_SIZE:])
