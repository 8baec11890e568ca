"""Pallets: one concern of a runtime with its storage, calls, events, errors and hooks.

A pallet reads top-down: storage items, `Event` variants, the `Error` enum, hooks, calls. Its class name is
its name in storage keys; its index in the runtime (`runtime.support.construct.Pallets`) numbers its calls,
events and errors.

Follows ``frame_support::pallet`` [frame-support]. Not modelled: several instances of one pallet, genesis
configuration traits (a pallet that needs genesis state has a method that writes it), ``on_idle`` and
``on_poll``.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from runtime.primitives.inherent import InherentData
from runtime.primitives.scale import Codec, Variant, codec_of
from runtime.support.dispatch import CallSpec, ModuleError, call_spec
from runtime.support.weights import Weight

__all__ = ["Call", "EventSink", "Pallet", "PalletCall"]


class EventSink(Protocol):
    """Where pallets deposit events: the system pallet."""

    def deposit_event_of(self, pallet_index: int, event: Variant) -> None: ...


@dataclass(frozen=True, slots=True)
class PalletCall:
    """A dispatchable method with the codecs of its arguments."""

    spec: CallSpec
    method: Callable[..., None]
    arguments: tuple[tuple[str, Codec[Any]], ...]
    weight: Callable[..., Weight]
    """From the arguments to the weight before dispatch."""
    fee: Callable[..., int] | None
    """From the arguments to what the signer pays before dispatch; ``None`` for nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded call: what a transaction or an inherent asks for."""

    pallet: Pallet
    function: PalletCall
    arguments: tuple[Any, ...]

    def encode(self) -> bytes:
        """SCALE of ``RuntimeCall``: pallet index, call index, arguments."""
        head = bytes([self.pallet.index, self.function.spec.index])
        return head + b"".join(
            codec.encode(value)
            for (_, codec), value in zip(self.function.arguments, self.arguments, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.pallet.name}.{self.function.spec.name}"


class Pallet:
    """Base of every pallet."""

    name: ClassVar[str]
    """Class name; the first half of every storage prefix."""
    calls: ClassVar[Mapping[int, str]]
    """Call index -> method name."""

    class Error(enum.IntEnum):
        """Errors of the pallet, by index. A pallet with errors defines its own."""

    Event: ClassVar[Any] = None
    """Union of the pallet's event classes, each a `Variant`; ``None`` for a pallet without events."""

    index: int
    """Position in the runtime, set when the runtime is constructed."""
    events: EventSink

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__name__
        calls: dict[int, str] = {}
        for name in dir(cls):
            spec = call_spec(getattr(cls, name))
            if spec is None:
                continue
            if spec.index in calls:
                raise TypeError(
                    f"{cls.__name__}: calls {calls[spec.index]} and {name} both have index {spec.index}"
                )
            calls[spec.index] = name
        cls.calls = dict(sorted(calls.items()))

    def attach(self, index: int, events: EventSink) -> None:
        """Take the place in the runtime. Called once by the runtime's construction."""
        self.index = index
        self.events = events
        self._functions = {number: self._function(getattr(self, name)) for number, name in self.calls.items()}

    def _function(self, method: Callable[..., None]) -> PalletCall:
        hints = dict(_annotations(method))
        spec = call_spec(method)
        if spec is None:
            raise TypeError(f"{self.name}.{method.__name__} is not a call")
        arguments = tuple((name, codec_of(hint)) for name, hint in hints.items())
        weight = getattr(self, spec.weight) if isinstance(spec.weight, str) else spec.weight
        return PalletCall(
            spec, method, arguments, weight, None if spec.fee is None else getattr(self, spec.fee)
        )

    def function(self, index: int) -> PalletCall | None:
        """The call with this index, or ``None``."""
        return self._functions.get(index)

    def call_of(self, method: Callable[..., None], *arguments: Any) -> Call:
        """A call of one of this pallet's ``@call`` methods: ``balances.call_of(balances.transfer_all,
        dest)``.
        """
        spec = call_spec(method)
        function = None if spec is None else self._functions.get(spec.index)
        if function is None or function.spec is not spec:
            raise TypeError(f"{method!r} is not a call of {self.name}")
        return Call(self, function, arguments)

    def deposit_event(self, event: Variant) -> None:
        """Record an event of this pallet in the block."""
        self.events.deposit_event_of(self.index, event)

    def fail(self, error: enum.IntEnum) -> ModuleError:
        """The exception for one of this pallet's errors: ``raise self.fail(self.Error.TooLarge)``."""
        return ModuleError(self.index, error)

    # Hooks. The default of each does nothing.

    def on_initialize(self, number: int) -> Weight:
        """Runs before the extrinsics of block ``number``; returns what it cost."""
        return Weight()

    def on_finalize(self, number: int) -> None:
        """Runs after the extrinsics of block ``number``."""

    def create_inherent(self, data: InherentData) -> Call | None:
        """The pallet's inherent from the author's data, or ``None`` for none."""
        return None

    def is_inherent(self, call: Call) -> bool:
        """Whether ``call`` is an inherent of this pallet: allowed unsigned, and first in the block."""
        return False


def _annotations(method: Callable[..., None]) -> list[tuple[str, Any]]:
    """The parameters of a call after ``origin``, with their annotations resolved."""
    hints = typing.get_type_hints(method, include_extras=True)
    hints.pop("return", None)
    hints.pop("origin", None)
    return list(hints.items())
