"""The candidate descriptor of before [RFC-103], in which the collator signs what it offers."""

from __future__ import annotations

from pileus.keyring import Keypair
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    CandidateCommitments,
    CandidateDescriptorV1,
    PersistedValidationData,
    PoV,
    collator_signature_payload,
)

__all__ = ["signed_descriptor"]


def signed_descriptor(
    keypair: Keypair,
    para_id: int,
    relay_parent: bytes,
    pvd: PersistedValidationData,
    pov: PoV,
    commitments: CandidateCommitments,
    erasure_root: bytes,
    validation_code_hash: bytes,
) -> CandidateDescriptorV1:
    """The descriptor, signed by the collator's key."""
    payload = collator_signature_payload(relay_parent, para_id, pvd.hash(), pov.hash(), validation_code_hash)
    return CandidateDescriptorV1(
        para_id=para_id,
        relay_parent=relay_parent,
        collator=keypair.public_key,
        persisted_validation_data_hash=pvd.hash(),
        pov_hash=pov.hash(),
        erasure_root=erasure_root,
        signature=keypair.sign(payload),
        para_head=blake2_256(commitments.head_data),
        validation_code_hash=validation_code_hash,
    )
