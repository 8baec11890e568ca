"""Balances against a model of ``fungible::Mutate::transfer``: result, events and accounts of every transfer.

The model is written from the reference's rules (``can_withdraw``, ``can_deposit``, then the move), not from the pallet.
"""

from __future__ import annotations

from hypothesis import event, example, given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.state_machine.externalities import Externalities
from runtime.chains import demo
from runtime.pallets.balances import DustLost, Endowed, Transfer
from runtime.pallets.system import ApplyExtrinsic, KilledAccount, NewAccount
from runtime.support.dispatch import Origin, OriginKind
from runtime.trie.layout import LAYOUT_V1

ED = demo.EXISTENTIAL_DEPOSIT
MAX = 2**128 - 1
WHO = [bytes([index]) * 32 for index in range(3)]
START = {WHO[0]: 5 * ED, WHO[1]: MAX - 20 * ED}

amounts = st.one_of(
    st.sampled_from([0, 1, ED - 1, ED, ED + 1, 4 * ED, 4 * ED + 1, 5 * ED, 5 * ED + 1, MAX - 20 * ED, MAX]),
    st.integers(0, 6 * ED),
    st.integers(0, MAX),
)
moves = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), amounts, st.booleans()), max_size=8)


def reference(
    free: dict[bytes, int], source: bytes, dest: bytes, amount: int, keep_alive: bool
) -> tuple[str | None, list[object]]:
    """Apply a transfer to ``free``: the encoded error or ``None``, and the events."""
    had = free.get(source, 0)
    if amount:
        if amount > had:
            return "0700", []  # BalanceLow -> FundsUnavailable
        if keep_alive and had - amount < ED:
            return "0708", []  # ReducedToZero -> NotExpendable
        if free.get(dest, 0) + amount > MAX:
            return "0801", []
        if free.get(dest, 0) + amount < ED:
            return "0702", []
    if source == dest:
        return None, []
    events: list[object] = []
    if amount:
        left = had - amount
        if left < ED:
            del free[source]
            events.append(KilledAccount(source))
            if left:
                events.append(DustLost(source, left))
        else:
            free[source] = left
        if dest not in free:
            events += [NewAccount(dest), Endowed(dest, amount)]
        free[dest] = free.get(dest, 0) + amount
    return None, [*events, Transfer(source, dest, amount)]


@given(moves)
@example([(0, 0, 5 * ED, True), (0, 0, 5 * ED, False), (1, 1, MAX - 20 * ED, False)])
@example([(0, 2, 0, True), (2, 0, 0, False), (2, 0, 0, True), (2, 0, 1, False)])
@example([(0, 2, 5 * ED - 1, False), (2, 0, ED, True), (0, 2, ED, False)])
@example([(0, 1, 5 * ED, True), (0, 1, 4 * ED, True), (0, 1, 4 * ED + 1, False)])
def test_transfers_follow_the_reference(sequence: list[tuple[int, int, int, bool]]) -> None:
    balances, system = demo.balances, demo.system
    free = dict(START)
    with AuthoringContext(Externalities.recording({}, LAYOUT_V1.empty_root)).externalities():
        for account, amount in START.items():
            balances.endow(account, amount)
        system.ExecutionPhase.put(ApplyExtrinsic(0))
        for source, dest, amount, keep_alive in sequence:
            method = balances.transfer_keep_alive if keep_alive else balances.transfer_allow_death
            call = balances.call_of(method, WHO[dest], amount)
            system.Events.kill()
            error = demo.pallets.dispatch(call, Origin(OriginKind.SIGNED, WHO[source]))
            expected, events = reference(free, WHO[source], WHO[dest], amount, keep_alive)
            event(f"outcome: {expected}")
            assert (None if error is None else error.encode().hex()) == expected
            raw = demo.host.get(system.Events.key())
            records = demo.pallets.decode_events(raw or b"\x00")
            assert [record.event for record in records] == events
            assert {who: balances.free_balance(who) for who in WHO} == {who: free.get(who, 0) for who in WHO}
            assert [system.Account.contains_key(who) for who in WHO] == [who in free for who in WHO]
            assert balances.TotalIssuance.get() == sum(free.values())
