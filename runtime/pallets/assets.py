"""Assets: fungible tokens that move between parachains over messages, and are never in two places.

A chain's native token is locked at home when it leaves, and stands abroad as a derivative, named by its home; on the
way back the derivative is burnt and the native token released. A derivative moves between its chain and its home
only: through a third chain it would be that chain's promise. The sender's amount is kept as in transit until the
outcome of its message is final; whatever the outcome is but "delivered" gives it back.

Two chains agree on what is where at every moment (`pileus.testing.conservation` checks it): what a home has locked
towards a chain is what stands there, plus what is on the way between them. A chain can therefore inflate nothing but
promises of its own: home releases at most what it has locked towards the chain that asks.

Pileus's own, in the manner of reserve transfers; no code or format of XCM. Not modelled: assets other than a chain's
native token, metadata, approvals, fees for delivery.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from runtime.pallets.balances import Balances
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_messaging.pallet import StateMessaging
from runtime.pallets.state_messaging.types import Message, MessageBody, SentMessage
from runtime.pallets.state_messaging.weights import PATH
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.scale import (
    U8,
    U32,
    U64,
    U128,
    AccountId,
    Codec,
    CompactU128,
    Struct,
    Variant,
    account_id,
    tuple_of,
    u8,
    u32,
    u64,
    u128,
)
from runtime.support.dispatch import (
    ArithmeticError_,
    DispatchError,
    Origin,
    TokenError,
    call,
    ensure_signed,
    with_storage_layer,
)
from runtime.support.pallet import Pallet
from runtime.support.sibling_ancestry import MAX_HEAD_BYTES
from runtime.support.sibling_state import sibling_head
from runtime.support.storage import StorageDoubleMap, StorageMap
from runtime.support.weights import Weight

NAME = b"assets"
"""Sender and recipient of the messages: shorter than an account, so nobody can sign for it."""

ESCROW = b"modlpy/asset".ljust(32, b"\0")
"""Account that holds what is locked. It has the existential deposit from genesis on, so that releasing the last of it
leaves no dust to be burnt.
"""

_MAX_BALANCE = 2**128 - 1
_position: Codec[tuple[int, int, int]] = tuple_of(u32, u8, u64)


@dataclass(frozen=True, slots=True)
class AssetMessage(Struct):
    """Payload of a transfer."""

    version: U8
    home: U32
    """Parachain whose native token it is."""
    sender: AccountId
    beneficiary: AccountId
    amount: U128


VERSION = 1


@dataclass(frozen=True, slots=True)
class InTransit(Struct):
    """A transfer whose outcome is not known yet."""

    home: U32
    sender: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class TransferSent(Variant):
    """An amount left: locked if ``home`` is this chain, else burnt."""

    index: ClassVar[int] = 0
    dest: U32
    nonce: U64
    home: U32
    sender: AccountId
    beneficiary: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class TransferReceived(Variant):
    """An amount arrived: released if ``home`` is this chain, else minted."""

    index: ClassVar[int] = 1
    source: U32
    nonce: U64
    home: U32
    beneficiary: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class TransferSettled(Variant):
    """The outcome of a transfer is final. ``outcome`` is an `Outcome`; all but `Outcome.DELIVERED` gave the amount
    back.
    """

    index: ClassVar[int] = 2
    dest: U32
    nonce: U64
    outcome: U8
    amount: U128


@dataclass(frozen=True, slots=True)
class RefundKept(Variant):
    """A refund would have left its account below the existential deposit; `Assets.claim_refund` gives it out."""

    index: ClassVar[int] = 3
    account: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class ForeignTransferred(Variant):
    """A derivative moved between accounts of this chain."""

    index: ClassVar[int] = 4
    home: U32
    sender: AccountId
    recipient: AccountId
    amount: U128


class Assets(Pallet):
    """Native tokens of other chains here, and ours at other chains."""

    Foreign: StorageDoubleMap[int, bytes, int, int] = StorageDoubleMap(
        (twox_64_concat, u32), (blake2_128_concat, account_id), u128, default=0
    )
    """(home, account) -> balance of the derivative."""
    ForeignIssuance = StorageMap(twox_64_concat, u32, u128, default=0)
    """Home -> all of its derivative on this chain."""
    Locked = StorageMap(twox_64_concat, u32, u128, default=0)
    """Destination -> native amount locked towards it, what is in transit included."""
    Transit = StorageMap(twox_64_concat, _position, InTransit.codec())
    """(dest, lane, nonce) -> what was sent with that message; gone when its outcome is final."""
    Refunds = StorageMap(blake2_128_concat, account_id, u128, default=0)
    """Native refunds that their accounts could not take."""

    Event = TransferSent | TransferReceived | TransferSettled | RefundKept | ForeignTransferred

    class Error(enum.IntEnum):
        """Why a transfer is refused, here or at its destination."""

        ZeroAmount = 0
        NotThroughHere = 1
        """A derivative goes home and nowhere else."""
        NotFromAssets = 2
        """The message was not sent by the sibling's assets pallet."""
        BadPayload = 3
        NotLocked = 4
        """The sibling returns more than was ever locked towards it."""
        NothingToClaim = 5
        UnknownDestination = 6
        """The relay chain has no head of it, so nothing could ever be proven about what became of the transfer."""

    def __init__(
        self,
        parachain_info: ParachainInfo,
        balances: Balances,
        messaging: StateMessaging,
        *,
        lane: int = 0,
    ) -> None:
        """Registers with ``messaging``; transfers go out on ``lane``."""
        self.parachain_info = parachain_info
        self.balances = balances
        self.messaging = messaging
        self.lane = lane
        messaging.register(NAME, self)

    def build_genesis(self) -> None:
        """Bring the escrow account to life."""
        self.balances.endow(ESCROW, self.balances.existential_deposit)

    # Sending.

    @call(0, weight=Weight(300_000_000, 13 * PATH + MAX_HEAD_BYTES))
    def transfer(
        self,
        origin: Origin,
        dest: U32,
        home: U32,
        beneficiary: AccountId,
        amount: CompactU128,
        timeout: U64 | None,
    ) -> None:
        """Send ``amount`` of ``home``'s token to an account on ``dest``. Without being delivered before ``timeout``
        (milliseconds, of the destination's clock) it comes back.
        """
        sender = ensure_signed(origin)
        if not amount:
            raise self.fail(self.Error.ZeroAmount)
        self._check_destination(dest)
        if home == self.parachain_info.ParachainId.get():
            self.balances.transfer(sender, ESCROW, amount, keep_alive=False)
            self.Locked.insert(dest, self.Locked.get(dest) + amount)
        elif home == dest:
            self._burn(home, sender, amount)
        else:
            raise self.fail(self.Error.NotThroughHere)
        payload = AssetMessage(VERSION, home, sender, beneficiary, amount).encode()
        message = self.messaging.send_message(dest, self.lane, MessageBody(NAME, NAME, timeout, payload))
        self.Transit.insert((dest, self.lane, message.nonce), InTransit(home, sender, amount))
        self.deposit_event(TransferSent(dest, message.nonce, home, sender, beneficiary, amount))

    @call(1, weight=Weight(120_000_000, 4 * PATH))
    def transfer_foreign(self, origin: Origin, home: U32, recipient: AccountId, amount: CompactU128) -> None:
        """Move a derivative within this chain."""
        sender = ensure_signed(origin)
        if not amount:
            raise self.fail(self.Error.ZeroAmount)
        self._burn(home, sender, amount)
        self._mint(home, recipient, amount)
        self.deposit_event(ForeignTransferred(home, sender, recipient, amount))

    @call(2, weight=Weight(150_000_000, 4 * PATH))
    def claim_refund(self, origin: Origin) -> None:
        """Take what was kept of one's refunds."""
        who = ensure_signed(origin)
        amount = self.Refunds.get(who)
        if not amount:
            raise self.fail(self.Error.NothingToClaim)
        self.balances.transfer(ESCROW, who, amount, keep_alive=True)
        self.Refunds.remove(who)

    # Receiving: `MessageHandler`.

    def on_message(self, message: Message) -> None:
        """Mint what its home has locked, or release what was burnt. Raises `DispatchError`; the sender is refunded."""
        if message.body.sender != NAME:
            raise self.fail(self.Error.NotFromAssets)
        try:
            payload = AssetMessage.decode(message.body.payload)
        except ScaleError:
            raise self.fail(self.Error.BadPayload) from None
        if payload.version != VERSION or not payload.amount:
            raise self.fail(self.Error.BadPayload)
        if payload.home == message.source:
            self._mint(payload.home, payload.beneficiary, payload.amount)
        elif payload.home == self.parachain_info.ParachainId.get():
            self._unlock(message.source, payload.amount)
            self.balances.transfer(ESCROW, payload.beneficiary, payload.amount, keep_alive=True)
        else:
            raise self.fail(self.Error.NotThroughHere)
        self.deposit_event(
            TransferReceived(message.source, message.nonce, payload.home, payload.beneficiary, payload.amount)
        )

    def on_outcome(self, sent: SentMessage, outcome: Outcome) -> None:
        """Forget a transfer that arrived; give back any other."""
        transit = self.Transit.take((sent.dest, sent.lane, sent.nonce))
        if transit is None:
            return
        if outcome is not Outcome.DELIVERED:
            if transit.home == sent.dest:
                self._mint(transit.home, transit.sender, transit.amount)
            else:
                self._unlock(sent.dest, transit.amount)
                self._refund(transit.sender, transit.amount)
        self.deposit_event(TransferSettled(sent.dest, sent.nonce, outcome, transit.amount))

    def message_weight(self, payload_length: int) -> Weight:
        """Three accounts, the ledger of one home, and our id."""
        return Weight(200_000_000, 6 * PATH)

    def outcome_weight(self) -> Weight:
        """The same and the transfer's entry."""
        return Weight(200_000_000, 7 * PATH)

    # The ledger.

    def _check_destination(self, dest: int) -> None:
        try:
            known = sibling_head(dest) is not None
        except ScaleError:
            known = False
        if not known:
            raise self.fail(self.Error.UnknownDestination)

    def _refund(self, who: bytes, amount: int) -> None:
        error: DispatchError | None = with_storage_layer(
            lambda: self.balances.transfer(ESCROW, who, amount, keep_alive=True)
        )
        if error is not None:
            # The account is gone and the amount too small to revive it: it waits in the escrow.
            self.Refunds.insert(who, self.Refunds.get(who) + amount)
            self.deposit_event(RefundKept(who, amount))

    def _unlock(self, dest: int, amount: int) -> None:
        locked = self.Locked.get(dest)
        if amount > locked:
            raise self.fail(self.Error.NotLocked)
        if amount == locked:
            self.Locked.remove(dest)
        else:
            self.Locked.insert(dest, locked - amount)

    def _mint(self, home: int, who: bytes, amount: int) -> None:
        issuance = self.ForeignIssuance.get(home) + amount
        if issuance > _MAX_BALANCE:
            raise ArithmeticError_(ArithmeticError_.Kind.OVERFLOW)
        self.ForeignIssuance.insert(home, issuance)
        self.Foreign.insert(home, who, self.Foreign.get(home, who) + amount)

    def _burn(self, home: int, who: bytes, amount: int) -> None:
        balance = self.Foreign.get(home, who)
        if amount > balance:
            raise TokenError(TokenError.Kind.FUNDS_UNAVAILABLE)
        if amount == balance:
            self.Foreign.remove(home, who)
        else:
            self.Foreign.insert(home, who, balance - amount)
        issuance = self.ForeignIssuance.get(home) - amount
        if issuance:
            self.ForeignIssuance.insert(home, issuance)
        else:
            self.ForeignIssuance.remove(home)
