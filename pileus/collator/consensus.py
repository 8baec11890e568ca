"""Whose turn a block is and how its author signs it, by what the runtime offers.

Three ways, told apart by the runtime APIs in the version: Aura (``AuraApi``) as ``sc_consensus_aura`` and
``cumulus_client_consensus_aura``, Nimbus (``NimbusApi``, earlier ``AuthorFilterAPI``) as ``nimbus_consensus``,
and none, for chains whose blocks anybody may make unsigned [sc-consensus-aura], [nimbus]. Both engines sign with
sr25519 here. Nimbus chains that gather randomness from their authors (``VrfApi``) want a VRF output in the digest: of
the author's VRF key, which here is the same, on the last author's output. Not modelled: Aura over ed25519.

Time is the relay parent's: its slot in milliseconds, of which Aura takes the slot of its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from host_functions.interfaces import crypto
from pileus.keyring import Keypair
from pileus.keyring.merlin import Transcript
from runtime.primitives.digest import AURA, NIMBUS, RANDOMNESS, Consensus, DigestItem, PreRuntime, Seal
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import Header
from runtime.primitives.inherent import AURA as AURA_INHERENT
from runtime.primitives.inherent import NIMBUS as NIMBUS_INHERENT
from runtime.primitives.scale import account_id, boolean, h256, option, u32, u64, vec
from runtime.primitives.version import RuntimeVersion, api_id

__all__ = ["Aura", "Claim", "ConsensusEngine", "Digest", "Nimbus", "Query", "Unsealed", "consensus_of"]

RELAY_SLOT_DURATION: Final = 6_000
"""Milliseconds."""
SIGNATURE_LENGTH: Final = 64

Query = Callable[[str, bytes], bytes]
"""A runtime API on the state of the parent block: name and SCALE arguments to SCALE result."""
Digest = Callable[[bytes], bytes]
"""The chain's hash function for headers."""

_authorities = vec(account_id)
_last_output = option(h256)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one block."""

    timestamp: int
    """Milliseconds since 1970."""
    pre_digest: tuple[DigestItem, ...] = ()
    """What the header says before execution."""
    inherents: dict[bytes, bytes] = field(default_factory=dict)
    """Inherent data of the engine, encoded, by identifier."""


class ConsensusEngine(Protocol):
    """How blocks of a chain come to an author."""

    def claim(
        self, query: Query, parent: Header, relay_slot: int, relay_number: int, keypair: Keypair
    ) -> Claim | None:
        """The claim of ``keypair`` on a block over ``parent``; ``None`` if it is not its turn.

        ``relay_slot`` and ``relay_number`` are those of the relay parent.
        """

    def seal(self, header: Header, keypair: Keypair, digest: Digest) -> Header:
        """The header with its author's seal."""

    def unseal(self, query: Query, header: Header, digest: Digest) -> Header:
        """The header as it was executed, once its author is found to have sealed it. Raises `InvalidBlock`."""


class Aura:
    """Authorities take turns by slot."""

    def __init__(self) -> None:
        self._slot_duration: int | None = None
        """Milliseconds; a constant of the runtime's code, so asked for once."""

    def claim(
        self, query: Query, parent: Header, relay_slot: int, relay_number: int, keypair: Keypair
    ) -> Claim | None:
        del relay_number
        timestamp = relay_slot * RELAY_SLOT_DURATION
        if self._slot_duration is None:
            self._slot_duration = u64.decode(query("AuraApi_slot_duration", b""))
        slot = timestamp // max(self._slot_duration, 1)
        before = _slots(parent)
        if before and slot <= _slot(before[0]):
            return None
        authorities = _authorities.decode(query("AuraApi_authorities", b""))
        if not authorities or authorities[slot % len(authorities)] != keypair.public_key:
            return None
        encoded = u64.encode(slot)
        return Claim(timestamp, (PreRuntime(AURA, encoded),), {AURA_INHERENT: encoded})

    def seal(self, header: Header, keypair: Keypair, digest: Digest) -> Header:
        return _sealed(header, keypair, digest, AURA)

    def unseal(self, query: Query, header: Header, digest: Digest) -> Header:
        unsealed, seal = header.without_seal()
        authorities = _authorities.decode(query("AuraApi_authorities", b""))
        slots = _slots(unsealed)
        if seal is None or not _is_signature(seal, AURA) or len(slots) != 1 or not authorities:
            raise InvalidBlock("the header has no aura slot and seal")
        author = authorities[_slot(slots[0]) % len(authorities)]
        if not crypto.sr25519_verify(seal.data, unsealed.hash(digest), author):
            raise InvalidBlock("Invalid AuRa seal: not the slot author's signature")
        return unsealed


class Nimbus:
    """Whoever the runtime's author filter admits; the author is named in the block."""

    def __init__(self, api: str, version: int, *, pre_digest: bool, with_vrf: bool = False) -> None:
        """``api`` and ``version`` of the trait with ``can_author``; ``with_vrf``: authors give VRF outputs.

        ``pre_digest``: whether the node names the author in the digest; else the runtime does, when the author's
        inherent is applied.
        """
        self._api = api
        self._with_parent = api == "NimbusApi" or version >= 2
        self._pre_digest = pre_digest
        self._with_vrf = with_vrf

    def claim(
        self, query: Query, parent: Header, relay_slot: int, relay_number: int, keypair: Keypair
    ) -> Claim | None:
        public_key = keypair.public_key
        question = account_id.encode(public_key) + u32.encode(relay_number)
        if self._with_parent:
            question += parent.encode()
        if not boolean.decode(query(f"{self._api}_can_author", question)):
            return None
        pre_digest = [PreRuntime(NIMBUS, public_key)] if self._pre_digest else []
        if self._with_vrf:
            last_output = _last_output.decode(query("VrfApi_get_last_vrf_output", b""))
            if last_output is not None:
                transcript = Transcript(RANDOMNESS)
                transcript.append_message(b"last vrf output", last_output)
                pre_digest.append(PreRuntime(RANDOMNESS, b"".join(keypair.vrf_sign(transcript))))
        return Claim(relay_slot * RELAY_SLOT_DURATION, tuple(pre_digest), {NIMBUS_INHERENT: public_key})

    def seal(self, header: Header, keypair: Keypair, digest: Digest) -> Header:
        return _sealed(header, keypair, digest, NIMBUS)

    def unseal(self, query: Query, header: Header, digest: Digest) -> Header:
        del query  # whether the author may author is for the runtime to say, as it executes the block
        unsealed, seal = header.without_seal()
        authors = [
            item.data
            for item in unsealed.digest
            if isinstance(item, PreRuntime | Consensus) and item.engine == NIMBUS
        ]
        if seal is None or not _is_signature(seal, NIMBUS) or not authors:
            raise InvalidBlock("the header has no nimbus author and seal")
        if len(authors[0]) != account_id.min_size or not crypto.sr25519_verify(
            seal.data, unsealed.hash(digest), authors[0]
        ):
            raise InvalidBlock("Invalid nimbus seal: not the author's signature")
        return unsealed


class Unsealed:
    """Any collator, whenever it likes; nobody signs."""

    def claim(
        self, query: Query, parent: Header, relay_slot: int, relay_number: int, keypair: Keypair
    ) -> Claim | None:
        del query, parent, relay_number, keypair
        return Claim(relay_slot * RELAY_SLOT_DURATION)

    def seal(self, header: Header, keypair: Keypair, digest: Digest) -> Header:
        del keypair, digest
        return header

    def unseal(self, query: Query, header: Header, digest: Digest) -> Header:
        del query, digest
        if header.without_seal()[1] is not None:
            raise InvalidBlock("the header is sealed, and blocks of this chain are not")
        return header


def consensus_of(version: RuntimeVersion, author_calls: Callable[[], tuple[str, ...]]) -> ConsensusEngine:
    """The engine of a runtime.

    ``author_calls`` gives the names of the calls of its pallet ``AuthorInherent``. Asked for Nimbus only, whose first
    form (until 2022) had ``set_author`` and no pre-runtime digest, which the version does not tell.
    """
    offered = dict(version.apis)
    for api in ("NimbusApi", "AuthorFilterAPI"):
        if api_id(api) in offered:
            return Nimbus(
                api,
                offered[api_id(api)],
                pre_digest="set_author" not in author_calls(),
                with_vrf=api_id("VrfApi") in offered,
            )
    return Aura() if api_id("AuraApi") in offered else Unsealed()


def _sealed(header: Header, keypair: Keypair, digest: Digest, engine: bytes) -> Header:
    return replace(header, digest=(*header.digest, Seal(engine, keypair.sign(header.hash(digest)))))


def _is_signature(seal: Seal, engine: bytes) -> bool:
    return seal.engine == engine and len(seal.data) == SIGNATURE_LENGTH


def _slots(header: Header) -> list[bytes]:
    return [item.data for item in header.digest if isinstance(item, PreRuntime) and item.engine == AURA]


def _slot(data: bytes) -> int:
    try:
        return u64.decode(data)
    except ScaleError as error:
        raise InvalidBlock(f"aura pre-runtime digest: {error}") from None
