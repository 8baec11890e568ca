"""What a dishonest collator makes of its own candidate's relay proof, and stands by.

Everything that can be made to agree again is: the header's commitment to the additional data, the seal, head data, PoV
hash, erasure root. What remains to be found out is what only an execution finds out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from host_functions.compressed_blob import POV_BOMB_LIMIT, compress
from pileus.collator import Collation
from pileus.network.parachain import dev_keypair
from pileus.testing.tampering import reseal
from pileus.verdicts.play import Play
from pileus.verdicts.setup import Candidate
from pov_validator.erasure import erasure_root, obtain_chunks
from runtime.primitives.additional_data import (
    RELAY_PROOF_KEY,
    hash_commitments,
    parse_relay_proof_entry,
    relay_proof_entry,
)
from runtime.primitives.block import Block
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.digest import AdditionalData
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import AvailableData, PoV
from runtime.primitives.parachain_block_data import ParachainBlockData

__all__ = ["relay_proof_of", "with_relay_proof"]


def relay_proof_of(candidate: Candidate) -> tuple[bytes, ...]:
    """The nodes of the relay proof that the candidate carries. Raises `ValueError` if it carries none."""
    data = candidate.collation.block_data.additional_data
    if not data or data[0] is None:
        raise ValueError("the candidate carries no relay proof")
    return parse_relay_proof_entry(data[0][RELAY_PROOF_KEY])[1]


def with_relay_proof(play: Play, candidate: Candidate, nodes: Iterable[bytes], label: str = "") -> Candidate:
    """The candidate with other nodes in its relay proof."""
    collation = candidate.collation
    root = collation.pvd.relay_parent_storage_root
    additional = {RELAY_PROOF_KEY: relay_proof_entry(root, tuple(nodes))}
    commitment = hash_commitments(additional)
    if commitment is None:
        raise ValueError("a commitment to nothing")
    header = collation.block.header
    digest = tuple(
        AdditionalData(commitment) if isinstance(item, AdditionalData) else item for item in header.digest
    )
    keypair = dev_keypair(f"collator-{collation.para_id}")
    block = Block(reseal(replace(header, digest=digest), keypair), collation.block.extrinsics)
    data = ParachainBlockData(3, (block,), collation.block_data.proof, (additional,))
    return Candidate(label, _recommitted(play, collation, block, data), honest=False, past=candidate.past)


def _recommitted(play: Play, collation: Collation, block: Block, data: ParachainBlockData) -> Collation:
    """The collation with other block data, and a descriptor and commitments that agree with them."""
    encoded = data.encode()
    pov = PoV(compress(encoded, BlobKind.POV, POV_BOMB_LIMIT) or encoded)
    head_data = block.header.encode()
    chunks = obtain_chunks(len(play.validators), AvailableData(pov, collation.pvd))
    return replace(
        collation,
        block=block,
        block_data=data,
        pov=pov,
        commitments=replace(collation.commitments, head_data=head_data),
        descriptor=replace(
            collation.descriptor,
            pov_hash=pov.hash(),
            para_head=blake2_256(head_data),
            erasure_root=erasure_root(chunks),
        ),
    )
