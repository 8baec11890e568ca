"""What a relay chain's block author tells the runtime: time, slot, and what happened to parachains.

The parachains inherent follows ``polkadot_primitives::InherentData`` [polkadot-primitives] under ``parachn0``. The
identifiers of earlier and other runtimes are provided beside it, because a runtime takes what it knows and ignores the
rest: ``newheads`` (the parachains of 2020, whose inherent is mandatory), ``uncles00``, ``finalnum``, ``babeslot``.

Not modelled: dispute statements; the set is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pileus.keyring import Keypair
from pileus.relay_chain.statements import BackedCandidate, SigningContext
from runtime.primitives.header import Header
from runtime.primitives.inherent import AURA, TIMESTAMP, InherentData
from runtime.primitives.scale import H512, U32, Struct, bit_vec, u32, u64, unit, vec

__all__ = ["ParachainsInherentData", "SignedBitfield", "relay_inherent_data", "sign_bitfield"]

PARACHAINS: Final = b"parachn0"
NEW_HEADS: Final = b"newheads"
UNCLES: Final = b"uncles00"
FINAL_NUMBER: Final = b"finalnum"
BABE_SLOT: Final = b"babeslot"

_NOTHING: Final = b"\x00"
"""An empty ``Vec`` of whatever."""


@dataclass(frozen=True, slots=True)
class SignedBitfield(Struct):
    """``UncheckedSigned<AvailabilityBitfield>``: which cores' candidates a validator has its chunk of."""

    bits: Annotated[tuple[bool, ...], bit_vec]
    """One per core."""
    validator_index: U32
    signature: H512


@dataclass(frozen=True, slots=True)
class ParachainsInherentData(Struct):
    """``InherentData`` of the parachains inherent."""

    bitfields: tuple[SignedBitfield, ...]
    backed_candidates: tuple[BackedCandidate, ...]
    disputes: Annotated[tuple[None, ...], vec(unit, max_items=0)]
    parent_header: Header


def sign_bitfield(
    bits: Sequence[bool], validator_index: int, keypair: Keypair, context: SigningContext
) -> SignedBitfield:
    """The validator's word on every core, bound to the session and to the block that the next one is built on."""
    payload = bit_vec.encode(tuple(bits)) + context.encode()
    return SignedBitfield(tuple(bits), validator_index, keypair.sign(payload))


def relay_inherent_data(parachains: ParachainsInherentData, *, slot: int, slot_duration: int) -> InherentData:
    """All inherent data of the relay block in `slot`. `slot_duration` in milliseconds."""
    data = InherentData()
    data.put_data(TIMESTAMP, u64.encode(slot * slot_duration))
    data.put_data(PARACHAINS, parachains.encode())
    data.put_data(NEW_HEADS, _NOTHING)
    data.put_data(UNCLES, _NOTHING)
    data.put_data(FINAL_NUMBER, u32.encode(parachains.parent_header.number))
    data.put_data(BABE_SLOT, u64.encode(slot))
    data.put_data(AURA, u64.encode(slot))
    return data
