"""Aura: authorities take turns, one slot each, and seal their blocks with sr25519.

Follows ``pallet_aura`` and the seal check of ``cumulus_pallet_aura_ext`` [pallet-aura]: digest engine
``aura``, the slot as a pre-runtime digest (u64), the seal over the hash of the header without it. Not
modelled: changing authorities, several blocks in one slot.
"""

from __future__ import annotations

from collections.abc import Iterable

from host_functions.interfaces import crypto
from runtime.pallets.system import System
from runtime.primitives.digest import AURA, DigestItem, PreRuntime
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.scale import account_id, u64, vec
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageValue
from runtime.support.weights import Weight


class Aura(Pallet):
    """Block authorship by slot."""

    Authorities = StorageValue(vec(account_id), default=())
    CurrentSlot = StorageValue(u64, default=0)

    def __init__(self, system: System, *, slot_duration: int, relay_slot_duration: int = 6_000) -> None:
        """Durations in milliseconds."""
        self.system = system
        self.slot_duration = slot_duration
        self.relay_slot_duration = relay_slot_duration

    def on_initialize(self, number: int) -> Weight:
        """Take the slot from the pre-runtime digest: slots only go forward."""
        slot = slot_of(self.system.Digest.get())
        current = self.CurrentSlot.get()
        if slot <= current:
            raise InvalidBlock(f"Slot must increase: {slot} after {current}")
        self.CurrentSlot.put(slot)
        # A validator reads the authorities before the block, to check the seal. Reading them here too puts
        # them into the PoV, and keeps the proof size the same on both sides.
        self.Authorities.get()
        return Weight(5_000_000, 1_517)

    def check_timestamp(self, now: int) -> None:
        """The timestamp's slot must be the block's. Milliseconds."""
        slot = self.CurrentSlot.get()
        if now // self.slot_duration != slot:
            raise InvalidBlock(f"Timestamp slot must match CurrentSlot: {now} ms is not in slot {slot}")

    def check_relay_slot(self, relay_slot: int) -> None:
        """The block may not be ahead of the relay parent: ``FixedVelocityConsensusHook`` for one block per
        relay slot.

        The author works at most in the slot after the relay parent's.
        """
        latest = (relay_slot + 1) * self.relay_slot_duration // self.slot_duration
        slot = self.CurrentSlot.get()
        if slot > latest:
            raise InvalidBlock(f"parachain slot {slot} is ahead of relay chain slot {relay_slot}")

    def verify_and_strip_seal(self, header: Header) -> Header:
        """The header without its seal, once the seal is found to be the slot author's.

        Reads the authorities of the current state, which must be that of the parent block. Raises
        `InvalidBlock`.
        """
        unsealed, seal = header.without_seal()
        if seal is None:
            raise InvalidBlock("Header must have a seal as its last digest item")
        if seal.engine != AURA or len(seal.data) != 64:
            raise InvalidBlock("Invalid AuRa seal: not an aura seal of 64 bytes")
        author = self.author_of(slot_of(unsealed.digest))
        if not crypto.sr25519_verify(seal.data, unsealed.hash(self.system.hashing), author):
            raise InvalidBlock("Invalid AuRa seal: not the slot author's signature")
        return unsealed

    def author_of(self, slot: int) -> bytes:
        """The authority whose turn ``slot`` is, 32 bytes."""
        authorities = self.Authorities.get()
        if not authorities:
            raise InvalidBlock("no authorities are set")
        return authorities[slot % len(authorities)]


def slot_of(digest: Iterable[DigestItem]) -> int:
    """The slot in the aura pre-runtime item. Raises `InvalidBlock` unless there is exactly one.

    ``pallet_aura`` takes the first and leaves it to the nodes to refuse a second. Then a block can pass every
    validator and be included that no node imports, so here the runtime refuses it too.
    """
    slots = [item.data for item in digest if isinstance(item, PreRuntime) and item.engine == AURA]
    if len(slots) != 1:
        raise InvalidBlock(f"Header has {len(slots) or 'no'} aura pre-runtime digests, not one")
    try:
        return u64.decode(slots[0])
    except ScaleError as error:
        raise InvalidBlock(f"aura pre-runtime digest: {error}") from None
