"""Balances: accounts hold an amount of the native token and transfer it.

Follows ``pallet_balances`` [pallet-balances]: an account below the existential deposit does not exist, and
what is left in it when it dies (dust) is burnt. Not modelled: reserves, locks, freezes and holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runtime.pallets.system import AccountData, AccountInfo, System
from runtime.primitives.scale import U128, AccountId, CompactU128, Variant, u128
from runtime.support.address import LookupSource
from runtime.support.dispatch import ArithmeticError_, Origin, TokenError, call, ensure_signed
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageValue
from runtime.support.weights import Weight

_MAX_BALANCE = 2**128 - 1

TRANSFER_WEIGHT = Weight(150_000_000, 7_186)
"""Proof size: two accounts of a state with a few million keys, as ``pallet_balances``' benchmark has it (3
593 each).
"""


@dataclass(frozen=True, slots=True)
class Endowed(Variant):
    """An account was created with a balance."""

    index: ClassVar[int] = 0
    account: AccountId
    free_balance: U128


@dataclass(frozen=True, slots=True)
class DustLost(Variant):
    """An account died and the rest of its balance was burnt."""

    index: ClassVar[int] = 1
    account: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class Transfer(Variant):
    """An amount moved from one account to another."""

    index: ClassVar[int] = 2
    sender: AccountId
    recipient: AccountId
    amount: U128


@dataclass(frozen=True, slots=True)
class FeePaid(Variant):
    """An account paid for a call, and the amount was burnt. Ours: FRAME has ``TransactionPayment`` for it."""

    index: ClassVar[int] = 100
    account: AccountId
    amount: U128


class Balances(Pallet):
    """The native token."""

    TotalIssuance = StorageValue(u128, default=0)

    Event = Endowed | DustLost | Transfer | FeePaid

    def __init__(self, system: System, *, existential_deposit: int) -> None:
        self.system = system
        self.existential_deposit = existential_deposit

    def endow(self, who: bytes, amount: int) -> None:
        """Create ``amount`` in an account. For genesis; deposits no event."""
        account = self.system.Account.get(who)
        self._set_free(who, account, account.data.free + amount)
        self.TotalIssuance.put(self.TotalIssuance.get() + amount)

    def free_balance(self, who: bytes) -> int:
        """Spendable balance."""
        return self.system.Account.get(who).data.free

    def transfer(self, source: bytes, dest: bytes, value: int, *, keep_alive: bool) -> None:
        """Move ``value``. Raises `DispatchError`; then nothing has changed that the storage layer does not
        undo.

        As in ``fungible::Mutate::transfer``, a transfer to oneself is checked like any other and does nothing,
        and moving nothing is always possible.
        """
        sender = self.system.Account.get(source)
        if value > sender.data.free:
            raise TokenError(TokenError.Kind.FUNDS_UNAVAILABLE)
        remaining = sender.data.free - value
        if value and keep_alive and remaining < self.existential_deposit:
            raise TokenError(TokenError.Kind.NOT_EXPENDABLE)
        receiver = self.system.Account.get(dest)
        received = receiver.data.free + value
        if received > _MAX_BALANCE:
            raise ArithmeticError_(ArithmeticError_.Kind.OVERFLOW)
        if value and received < self.existential_deposit:
            raise TokenError(TokenError.Kind.BELOW_MINIMUM)
        if source == dest:
            return
        if value:
            self._set_free(source, sender, remaining)
            if self._set_free(dest, receiver, received):
                self.deposit_event(Endowed(dest, received))
        self.deposit_event(Transfer(source, dest, value))

    def charge_fee(self, who: bytes, fee: int) -> None:
        """Burn ``fee`` from an account, which stays alive. Raises `TokenError`."""
        account = self.system.Account.get(who)
        remaining = account.data.free - fee
        if remaining < self.existential_deposit:
            raise TokenError(TokenError.Kind.FUNDS_UNAVAILABLE)
        self._set_free(who, account, remaining)
        self.TotalIssuance.put(self.TotalIssuance.get() - fee)
        self.deposit_event(FeePaid(who, fee))

    def _set_free(self, who: bytes, account: AccountInfo, free: int) -> bool:
        """Write a balance over ``account``, which is what is stored; whether that created it. Burns dust."""
        data = account.data
        alive = free >= self.existential_deposit
        changed = AccountData(free, data.reserved, data.frozen, data.flags)
        self.system.set_account_data(who, account, changed, alive=alive)
        if not alive and free:
            self.TotalIssuance.put(self.TotalIssuance.get() - free)
            self.deposit_event(DustLost(who, free))
        return alive and account.providers == 0

    @call(0, weight=TRANSFER_WEIGHT)
    def transfer_allow_death(self, origin: Origin, dest: LookupSource, value: CompactU128) -> None:
        """Transfer, even if it kills the sender's account."""
        self.transfer(ensure_signed(origin), dest, value, keep_alive=False)

    @call(3, weight=TRANSFER_WEIGHT)
    def transfer_keep_alive(self, origin: Origin, dest: LookupSource, value: CompactU128) -> None:
        """Transfer, but not if the sender would fall below the existential deposit."""
        self.transfer(ensure_signed(origin), dest, value, keep_alive=True)
