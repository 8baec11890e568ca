"""Balances: whatever is transferred, nothing is created, and only dust is destroyed."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.state_machine.externalities import Externalities
from runtime.chains import demo
from runtime.chains.demo import EXISTENTIAL_DEPOSIT
from runtime.support.dispatch import DispatchError, with_storage_layer
from runtime.trie.layout import LAYOUT_V1

ACCOUNTS = [bytes([index]) * 32 for index in range(4)]
ENDOWED = 3 * EXISTENTIAL_DEPOSIT

amounts = st.one_of(
    st.integers(0, 4 * EXISTENTIAL_DEPOSIT),
    st.sampled_from([EXISTENTIAL_DEPOSIT, ENDOWED, 2**127, 2**128 - 1]),
)
transfers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), amounts, st.booleans()), max_size=12)


@given(transfers)
@example([(0, 1, ENDOWED - 1, False)])
@example([(0, 0, ENDOWED, True), (0, 3, EXISTENTIAL_DEPOSIT - 1, False), (1, 2, 2**128 - 1, True)])
@example([(0, 3, ENDOWED, False), (3, 0, ENDOWED, True)])
def test_money_is_conserved(sequence: list[tuple[int, int, int, bool]]) -> None:
    balances, system = demo.balances, demo.system
    with AuthoringContext(Externalities.recording({}, LAYOUT_V1.empty_root)).externalities():
        for account in ACCOUNTS[:3]:
            balances.endow(account, ENDOWED)
        for source, dest, amount, keep_alive in sequence:
            before = [balances.free_balance(account) for account in ACCOUNTS]
            sender, receiver = ACCOUNTS[source], ACCOUNTS[dest]

            def run(
                sender: bytes = sender,
                receiver: bytes = receiver,
                amount: int = amount,
                keep: bool = keep_alive,
            ) -> None:
                balances.transfer(sender, receiver, amount, keep_alive=keep)

            error = with_storage_layer(run)
            after = [balances.free_balance(account) for account in ACCOUNTS]
            assert sum(after) == balances.TotalIssuance.get()
            assert all(free == 0 or free >= EXISTENTIAL_DEPOSIT for free in after)
            for account, free in zip(ACCOUNTS, after, strict=True):
                assert (system.Account.get(account).providers > 0) == (free > 0)
            if isinstance(error, DispatchError):
                assert after == before
            elif source != dest:
                assert after[dest] == before[dest] + amount
                left = before[source] - amount
                assert after[source] == (left if left >= EXISTENTIAL_DEPOSIT else 0)
                assert not keep_alive or left >= EXISTENTIAL_DEPOSIT
