"""A genesis in which one key of ours may author: what a chain spec for development differs in.

A public chain's genesis names collators whose keys nobody here has. What is changed is what the runtime's consensus
reads, found through its metadata: the authorities of Aura (and the copy in AuraExt, against which validators check
seals), or one mapping of an author id to an account for Nimbus, with the filter that lets every candidate author.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from host_functions.state_machine import Storage
from pileus.metadata import Metadata
from runtime.primitives.errors import ScaleError
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import account_id, u8, u32, u128, vec

__all__ = ["NoAuthorSlot", "with_author", "with_balances"]

MAPPINGS: Final = ("MappingWithDeposit", "Mapping")
"""What the map from author ids to accounts has been called, newest first."""
AUTHOR_KEY: Final = 32
ALL_PERCENT: Final = 100
MANY: Final = 1_000

BALANCE: Final = 16
"""Bytes of a balance, in nearly every runtime; another length does not encode."""
ACCOUNT_DATA: Final = 4 * BALANCE
"""Bytes of ``AccountData``, the end of ``AccountInfo``: free, reserved, frozen, and frozen or flags."""
ACCOUNT_INFO: Final = 80
"""Bytes of ``AccountInfo`` since 2021: nonce and three counters before the data."""
PROVIDERS: Final = {69: 4, 72: 4, 76: 8, ACCOUNT_INFO: 8, 84: 12}
"""Length of ``AccountInfo`` -> where the counter stands that keeps an account alive: after a nonce of 4 bytes alone
(2020), after one more counter (since), and after a nonce of 8 bytes (KILT and others)."""

_authorities = vec(account_id)


class NoAuthorSlot(ValueError):
    """The genesis has no author whose place a key could take."""


def with_author(genesis: Storage, metadata: Metadata, public_key: bytes) -> Storage:
    """``genesis`` with the collator's sr25519 key in it. A chain without authors stays as it is.

    Raises `NoAuthorSlot`.
    """
    top = dict(genesis.top)
    for pallet in ("Aura", "AuraExt"):
        if pallet in metadata.pallets:  # whose storage older runtimes may leave out of their metadata
            top[storage_prefix(pallet, "Authorities")] = _authorities.encode((public_key,))
    for item in MAPPINGS:
        if metadata.has_item("AuthorMapping", item):
            top = _with_nimbus_author(top, metadata, item, public_key)
            break
    return Storage(top, genesis.children)


def _with_keys(registration: bytes, value_type: str, metadata: Metadata, public_key: bytes) -> bytes:
    """Later runtimes register the author's VRF key as well."""
    try:
        start, end = metadata.field_span(value_type, registration, "keys")
    except ScaleError:
        return registration
    return (
        registration[:start] + public_key + registration[end:] if end - start == AUTHOR_KEY else registration
    )


def with_balances(genesis: Storage, metadata: Metadata, balances: Mapping[bytes, int]) -> Storage:
    """``genesis`` with accounts that hold ``balances``, in the smallest unit, by account id.

    Raises `UnknownName` for a runtime without accounts, `ScaleError` for accounts of another form and for balances that
    do not fit into 16 bytes, alone or in all.
    """
    if not balances:
        return genesis
    top = dict(genesis.top)
    prefix = metadata.storage_key("System", "Account")
    # How long a nonce is, and how many counters follow, is seen from an account that is there.
    length = next((len(value) for key, value in top.items() if key.startswith(prefix)), ACCOUNT_INFO)
    provided = PROVIDERS.get(length)
    if provided is None:
        raise ScaleError(f"accounts of {length} bytes are of no known form", what="AccountInfo")
    issued = 0
    for account, free in balances.items():
        info = bytearray(length)
        info[provided] = 1
        info[-ACCOUNT_DATA : BALANCE - ACCOUNT_DATA] = u128.encode(free)
        top[metadata.storage_key("System", "Account", account)] = bytes(info)
        issued += free
    total = storage_prefix("Balances", "TotalIssuance")
    before = int.from_bytes(top.get(total, b""), "little")
    top[total] = u128.encode(before + issued)
    return Storage(top, genesis.children)


def _with_nimbus_author(
    genesis: Mapping[bytes, bytes], metadata: Metadata, item: str, public_key: bytes
) -> dict[bytes, bytes]:
    """One author id gives way to ours: its account keeps its place among the candidates."""
    top = dict(genesis)
    prefix = metadata.storage_key("AuthorMapping", item)
    mapped = sorted(key for key in top if key.startswith(prefix))
    if not mapped:
        raise NoAuthorSlot(f"the genesis maps no author id to an account (AuthorMapping.{item})")
    old_id = mapped[0][-AUTHOR_KEY:]
    registration = _with_keys(
        top.pop(mapped[0]), metadata.item("AuthorMapping", item).value_type, metadata, public_key
    )
    top[metadata.storage_key("AuthorMapping", item, public_key)] = registration
    if metadata.has_item("AuthorMapping", "NimbusLookup"):
        lookup = metadata.storage_key("AuthorMapping", "NimbusLookup")
        top.update(
            {key: public_key for key, value in top.items() if key.startswith(lookup) and value == old_id}
        )
    if metadata.has_item("AuthorFilter", "EligibleRatio"):
        top[metadata.storage_key("AuthorFilter", "EligibleRatio")] = u8.encode(ALL_PERCENT)
    if metadata.has_item("AuthorFilter", "EligibleCount"):
        top[metadata.storage_key("AuthorFilter", "EligibleCount")] = u32.encode(MANY)
    return top
