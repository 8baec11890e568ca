"""Timestamp: the time of the block, as its author says it, within the bounds of the slot.

Follows ``pallet_timestamp`` [pallet-timestamp]. The clock is the author's: the state transition function has
none.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.primitives.errors import InvalidBlock
from runtime.primitives.inherent import TIMESTAMP, InherentData
from runtime.primitives.scale import CompactU64, boolean, u64
from runtime.support.dispatch import Origin, call, ensure_none
from runtime.support.pallet import Call, Pallet
from runtime.support.storage import StorageValue
from runtime.support.weights import DispatchClass, Weight


class Timestamp(Pallet):
    """The block's time, in milliseconds since the Unix epoch."""

    Now = StorageValue(u64, default=0)
    DidUpdate = StorageValue(boolean, default=False)

    def __init__(self, *, minimum_period: int, on_timestamp_set: Callable[[int], None]) -> None:
        """``minimum_period``: milliseconds between blocks. ``on_timestamp_set``: the consensus pallet's
        check.
        """
        self.minimum_period = minimum_period
        self.on_timestamp_set = on_timestamp_set

    @call(0, weight=Weight(9_000_000, 1_493), dispatch_class=DispatchClass.MANDATORY)
    def set(self, origin: Origin, now: CompactU64) -> None:
        """Set the time. Inherent, once in every block, never backwards."""
        ensure_none(origin)
        if self.DidUpdate.exists():
            raise InvalidBlock("Timestamp must be updated only once in the block")
        previous = self.Now.get()
        if previous and now < previous + self.minimum_period:
            raise InvalidBlock(
                f"Timestamp must increment by at least {self.minimum_period} ms: {previous} to {now}"
            )
        self.Now.put(now)
        self.DidUpdate.put(True)
        self.on_timestamp_set(now)

    def on_finalize(self, number: int) -> None:
        if not self.DidUpdate.exists():
            raise InvalidBlock("Timestamp must be updated once in the block")
        self.DidUpdate.kill()

    def create_inherent(self, data: InherentData) -> Call | None:
        now = data.get_data(TIMESTAMP, u64)
        if now is None:
            raise InvalidBlock("the author's inherent data has no timestamp (timstap0)")
        previous = self.Now.get()
        return self.call_of(self.set, max(now, previous + self.minimum_period) if previous else now)

    def is_inherent(self, call: Call) -> bool:
        return call.function.spec.name == "set"
