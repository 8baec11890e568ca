"""Chunks of `AvailableData`: one per validator, committed to by the erasure root of the candidate's descriptor.

Follows ``polkadot-erasure-coding`` [polkadot-erasure-coding]: what is encoded is the SCALE form of the data, the root
is that of a layout V0 trie from the chunk's index (u32) to the hash of the chunk. Data, chunks, root and the set of
nodes in a chunk's proof are upstream's bytes; the order of those nodes is not (theirs is root first, ours sorted), and
no verifier looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pov_validator.erasure.code import CodeParams, ErasureError, ErasureFault, decode, encode
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import AvailableData
from runtime.primitives.scale import u32
from runtime.trie.build import trie_root
from runtime.trie.errors import TrieError
from runtime.trie.layout import LAYOUT_V0
from runtime.trie.proof import create_proof, verify_proof

__all__ = ["ErasureChunk", "erasure_chunks", "erasure_root", "obtain_chunks", "reconstruct"]


@dataclass(frozen=True, slots=True)
class ErasureChunk:
    """What one validator stores of a candidate. ``ErasureChunk`` of the node."""

    index: int
    """Which chunk: here the index of the validator. Not modelled: the shuffled mapping of newer node features."""
    chunk: bytes
    proof: tuple[bytes, ...]
    """Trie nodes that show the chunk's hash under the erasure root."""

    def belongs_to(self, root: bytes) -> bool:
        """Whether `root` (32 bytes) commits to this chunk at this index. ``branch_hash``."""
        try:
            key = u32.encode(self.index)
            shown = verify_proof(root, self.proof, [key], LAYOUT_V0, allow_unused=True, allow_duplicates=True)
        except (ScaleError, TrieError):
            return False
        return shown[key] == blake2_256(self.chunk)


def obtain_chunks(validators: int, data: AvailableData) -> list[bytes]:
    """The chunk of each validator. Raises `ErasureError` for fewer than two validators. ``obtain_chunks_v1``."""
    return encode(data.encode(), CodeParams.of(validators))


def erasure_root(chunks: Sequence[bytes]) -> bytes:
    """The root over all chunks, 32 bytes: ``erasure_root`` of the descriptor."""
    return trie_root(_hashes(chunks), LAYOUT_V0)


def erasure_chunks(chunks: Sequence[bytes]) -> tuple[bytes, tuple[ErasureChunk, ...]]:
    """The root, and each chunk with its proof. ``branches``."""
    store: dict[bytes, bytes] = {}
    root = trie_root(_hashes(chunks), LAYOUT_V0, store)
    return root, tuple(
        ErasureChunk(index, chunk, create_proof(store, root, [u32.encode(index)], LAYOUT_V0))
        for index, chunk in enumerate(chunks)
    )


def reconstruct(validators: int, chunks: Mapping[int, bytes]) -> AvailableData:
    """The data, from chunks by index. Raises `ErasureError`. ``reconstruct_v1``.

    From chunks that are not of one encoding anything can come out: compare the data's own erasure root.
    """
    payload = decode(chunks, CodeParams.of(validators))
    try:
        return AvailableData.decode_prefix(payload)[0]
    except ScaleError as error:
        raise ErasureError(ErasureFault.BAD_PAYLOAD, str(error)) from error


def _hashes(chunks: Sequence[bytes]) -> dict[bytes, bytes]:
    return {u32.encode(index): blake2_256(chunk) for index, chunk in enumerate(chunks)}
