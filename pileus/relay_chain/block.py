"""Relay blocks: a real header with a BABE pre-digest and seal, around the model's body.

Follows [sp-runtime] for the header and [sp-consensus-babe] for its digest items, with secondary slots only: the
validator ``slot % validators`` authors, no VRF. The body is the model's own: each backed candidate, as
``BackedCandidate`` bytes, is one opaque extrinsic, and so is each vote on new validation code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pileus.relay_chain.pvf_checks import SignedPvfCheck
from pileus.relay_chain.statements import BackedCandidate
from runtime.primitives.digest import BABE, PreRuntime, Seal
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import U32, U64, Variant, byte_vec
from runtime.trie.build import ordered_root
from runtime.trie.layout import LAYOUT_V0

__all__ = [
    "RelayBlock",
    "SecondaryPlainPreDigest",
    "extrinsics_of",
    "extrinsics_root",
    "slot_of",
    "unsealed_header",
]


@dataclass(frozen=True, slots=True)
class SecondaryPlainPreDigest(Variant):
    """``PreDigest::SecondaryPlain`` of BABE: who authors, and in which slot."""

    index: ClassVar[int] = 2
    authority_index: U32
    slot: U64


@dataclass(frozen=True, slots=True)
class RelayBlock:
    """A block with what the model knows about it. Its post-state is the one at ``header.state_root``."""

    header: Header
    hash: bytes
    """``blake2_256`` of the sealed header, 32 bytes."""
    slot: int
    backed: tuple[BackedCandidate, ...]
    """Candidates that this block backs: from here on pending availability."""
    included: tuple[CommittedCandidateReceipt, ...]
    """Candidates that became available in this block, so that ``Paras::Heads`` has their heads."""
    pending: tuple[CommittedCandidateReceipt, ...]
    """Candidates pending availability after this block; at most one per para."""
    pvf_checks: tuple[SignedPvfCheck, ...] = ()
    """Votes on new validation code."""

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def state_root(self) -> bytes:
        return self.header.state_root

    @property
    def parent_hash(self) -> bytes:
        return self.header.parent_hash

    def pending_of(self, para_id: int) -> CommittedCandidateReceipt | None:
        """The candidate of a para that is backed and not yet included here."""
        for candidate in self.pending:
            if candidate.descriptor.para_id == para_id:
                return candidate
        return None


def extrinsics_of(
    backed: Sequence[BackedCandidate], pvf_checks: Sequence[SignedPvfCheck] = ()
) -> tuple[bytes, ...]:
    """The body of a block, each extrinsic with its length prefix."""
    return tuple(byte_vec.encode(extrinsic.encode()) for extrinsic in (*backed, *pvf_checks))


def extrinsics_root(extrinsics: Sequence[bytes]) -> bytes:
    """Root over the body, 32 bytes. Relay chains have ``system_version`` 1, which is layout V0 here [RFC-42]."""
    return ordered_root(extrinsics, LAYOUT_V0)


def genesis_header(state_root: bytes) -> Header:
    """The header of block 0."""
    return Header(EMPTY_HASH, 0, state_root, extrinsics_root(()))


def unsealed_header(
    parent: RelayBlock, slot: int, authority_index: int, state_root: bytes, extrinsics: Sequence[bytes]
) -> Header:
    """The header that the author of `slot` signs."""
    pre_digest = PreRuntime(BABE, SecondaryPlainPreDigest(authority_index, slot).encode())
    return Header(parent.hash, parent.number + 1, state_root, extrinsics_root(extrinsics), (pre_digest,))


def sealed(header: Header, signature: bytes) -> Header:
    """`header` with the author's sr25519 signature (64 bytes over its hash) as the last digest item."""
    return Header(
        header.parent_hash,
        header.number,
        header.state_root,
        header.extrinsics_root,
        (*header.digest, Seal(BABE, signature)),
    )


def slot_of(header: Header) -> int | None:
    """The slot in the BABE pre-digest of a header of this model; None without one. Raises `ScaleError`."""
    for item in header.digest:
        if isinstance(item, PreRuntime) and item.engine == BABE:
            return SecondaryPlainPreDigest.decode(item.data).slot
    return None
