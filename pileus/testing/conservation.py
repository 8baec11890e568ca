"""Whether value is conserved across chains that move assets between each other.

`read_book` takes everything that counts out of one chain's state; `check_conservation` compares the books of several
chains, whose states must be of one relay fork. It shares no code with the pallet but the formats: it sums what lies
in the maps. What must hold at every moment:

* the accounts of a chain hold its total issuance, and the holders of a derivative the issuance of that;
* the escrow holds at least what is locked and what waits to be claimed;
* what a home has locked towards a chain is what stands there, plus what is on the way between the two: sent, and
  neither delivered nor given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from runtime.pallets.assets import ESCROW, Assets, InTransit
from runtime.pallets.balances import Balances
from runtime.pallets.state_messaging.lanes import Inbound, Outcome
from runtime.pallets.state_messaging.pallet import StateMessaging
from runtime.pallets.system import System
from runtime.primitives.scale import u32
from runtime.support.storage import StorageMap
from runtime.trie.iterate import iterate
from runtime.trie.layout import LAYOUT_V1, Layout, NodeStore
from runtime.trie.lookup import lookup

__all__ = ["AssetBook", "ValueNotConserved", "check_conservation", "read_book"]

K = TypeVar("K")
V = TypeVar("V")
Q = TypeVar("Q")
TWOX_64, BLAKE2_128 = 8, 16
"""Bytes of hash in front of a readable map key."""


class ValueNotConserved(AssertionError):
    """Tokens came from nowhere, or went there."""


@dataclass(frozen=True, slots=True)
class AssetBook:
    """What one chain's state says of value. Amounts in the smallest unit."""

    issuance: int
    held: int
    """Sum over all accounts."""
    escrow: int
    """Of that, in the escrow account."""
    locked: Mapping[int, int]
    """Destination -> native amount."""
    refunds: int
    """Native refunds that wait to be claimed."""
    derivatives: Mapping[int, int]
    """Home -> issuance."""
    derivatives_held: Mapping[int, int]
    """Home -> sum over all holders."""
    transit: Mapping[tuple[int, int, int], InTransit]
    inbound: Mapping[tuple[int, int], Inbound]
    """(source, lane) -> our end of it."""


def read_book(store: NodeStore, root: bytes, layout: Layout = LAYOUT_V1) -> AssetBook:
    """The book of the state with this root. Raises `TrieError`, and `ScaleError` for a state of another runtime."""

    def read(item: StorageMap[K, V, Q], hashed: int) -> dict[K, V]:
        skip = len(item.prefix) + hashed
        return {
            item.key_codec.decode(key[skip:]): item.value_codec.decode(value)
            for key, value in iterate(store, root, layout, item.prefix)
        }

    accounts = {
        who: info.data.free + info.data.reserved for who, info in read(System.Account, BLAKE2_128).items()
    }
    issuance = lookup(store, root, Balances.TotalIssuance.key(), layout)
    held_abroad: dict[int, int] = {}
    home_at = len(Assets.Foreign.prefix) + TWOX_64
    for key, value in iterate(store, root, layout, Assets.Foreign.prefix):
        home = u32.decode(key[home_at : home_at + 4])
        held_abroad[home] = held_abroad.get(home, 0) + Assets.Foreign.value_codec.decode(value)
    inbound: dict[tuple[int, int], Inbound] = {}
    lanes, windows = read(StateMessaging.InboundLanes, 0), read(StateMessaging.InboundWindows, 0)
    inbound.update(lanes)
    inbound.update(windows)
    return AssetBook(
        issuance=0 if issuance is None else Balances.TotalIssuance.codec.decode(issuance),
        held=sum(accounts.values()),
        escrow=accounts.get(ESCROW, 0),
        locked=read(Assets.Locked, TWOX_64),
        refunds=sum(read(Assets.Refunds, BLAKE2_128).values()),
        derivatives=read(Assets.ForeignIssuance, TWOX_64),
        derivatives_held=held_abroad,
        transit=read(Assets.Transit, TWOX_64),
        inbound=inbound,
    )


def check_conservation(books: Mapping[int, AssetBook]) -> None:
    """Raises `ValueNotConserved`, which says where and how much. ``books`` by parachain."""
    for para, book in books.items():
        _require(book.held == book.issuance, f"{para}: accounts hold {book.held} of {book.issuance}")
        _require(
            book.derivatives_held == dict(book.derivatives),
            f"{para}: holders have {book.derivatives_held} of the derivatives {dict(book.derivatives)}",
        )
        owed = sum(book.locked.values()) + book.refunds
        _require(book.escrow >= owed, f"{para}: the escrow has {book.escrow} and owes {owed}")
    for home in books:
        for abroad in books:
            if home == abroad:
                continue
            locked = books[home].locked.get(abroad, 0)
            standing = books[abroad].derivatives.get(home, 0)
            leaving = _on_the_way(books, home, abroad, home)
            returning = _on_the_way(books, abroad, home, home)
            _require(
                locked == standing + leaving + returning,
                f"{home} has locked {locked} towards {abroad}, where {standing} stand, with {leaving} on the way there "
                f"and {returning} on the way back",
            )


def _on_the_way(books: Mapping[int, AssetBook], source: int, dest: int, home: int) -> int:
    """What ``source`` has sent to ``dest`` of ``home``'s token and ``dest`` has not taken."""
    total = 0
    for (to, lane, nonce), transit in books[source].transit.items():
        if to != dest or transit.home != home:
            continue
        end = books[dest].inbound.get((source, lane))
        arrived = end is not None and end.is_consumed(nonce) and end.outcome_of(nonce) is Outcome.DELIVERED
        total += 0 if arrived else transit.amount
    return total


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueNotConserved(otherwise)
