"""Putting pallets together: the runtime's call and event types.

Follows ``frame_support::construct_runtime`` [frame-support]. The order of the pallets is the order of their
hooks; each pallet's index numbers its calls and events on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Codec, Variant, codec_of, compact_u32, h256, vec
from runtime.support.dispatch import DispatchError, Origin, with_storage_layer
from runtime.support.pallet import Call, EventSink, Pallet

__all__ = ["EventRecord", "Pallets"]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of a block: ``frame_system::EventRecord``."""

    phase: Any
    """`ApplyExtrinsic`, `Finalization` or `Initialization` of the system pallet."""
    pallet: str
    event: Variant

    def __str__(self) -> str:
        return f"{self.pallet}.{type(self.event).__name__}"


class Pallets:
    """The pallets of one runtime, by index."""

    def __init__(self, pallets: Mapping[int, Pallet], *, events: EventSink, phase: Codec[Any]) -> None:
        """``events`` receives what pallets deposit; ``phase`` decodes the phase of an event record."""
        names = [pallet.name for pallet in pallets.values()]
        if len({*names}) != len(names):
            raise TypeError(f"two pallets of the same name: {', '.join(sorted(names))}")
        self._pallets = dict(pallets)
        self._phase = phase
        self._topics = vec(h256)
        for index, pallet in self._pallets.items():
            pallet.attach(index, events)

    def __iter__(self) -> Any:
        return iter(self._pallets.values())

    def decode_call(self, data: bytes) -> Call:
        """A ``RuntimeCall`` from all of ``data``. Raises `ScaleError`."""
        if len(data) < 2:
            raise ScaleError("input ended: a call starts with two index bytes", what="RuntimeCall", offset=0)
        pallet = self._pallets.get(data[0])
        if pallet is None:
            raise ScaleError(f"no pallet has index {data[0]}", what="RuntimeCall", offset=0)
        function = pallet.function(data[1])
        if function is None:
            raise ScaleError(f"no call has index {data[1]}", what=f"RuntimeCall {pallet.name}", offset=1)
        offset = 2
        arguments: list[Any] = []
        for name, codec in function.arguments:
            try:
                value, offset = codec.decode_prefix(data, offset)
            except ScaleError as error:
                raise error.within(f"{pallet.name}.{function.spec.name}({name})") from None
            arguments.append(value)
        if offset != len(data):
            what = f"RuntimeCall {pallet.name}.{function.spec.name}"
            raise ScaleError(f"{len(data) - offset} trailing bytes", what=what, offset=offset)
        return Call(pallet, function, tuple(arguments))

    def dispatch(self, call: Call, origin: Origin) -> DispatchError | None:
        """Run a call in its own storage layer; a failed call leaves no changes."""
        return with_storage_layer(lambda: call.function.method(origin, *call.arguments))

    def decode_events(self, data: bytes) -> tuple[EventRecord, ...]:
        """The value of ``System::Events``. Raises `ScaleError`."""
        count, offset = compact_u32.decode_prefix(data, 0)
        if count > len(data):
            raise ScaleError(
                f"{count} items claimed, at most {len(data)} fit", what="Vec<EventRecord>", offset=0
            )
        records: list[EventRecord] = []
        for _ in range(count):
            phase, offset = self._phase.decode_prefix(data, offset)
            pallet = self._pallets.get(data[offset]) if offset < len(data) else None
            if pallet is None or pallet.Event is None:
                raise ScaleError("no such pallet with events", what="EventRecord", offset=offset)
            event, offset = codec_of(pallet.Event).decode_prefix(data, offset + 1)
            _, offset = self._topics.decode_prefix(data, offset)
            records.append(EventRecord(phase, pallet.name, event))
        if offset != len(data):
            raise ScaleError(f"{len(data) - offset} trailing bytes", what="Vec<EventRecord>", offset=offset)
        return tuple(records)
