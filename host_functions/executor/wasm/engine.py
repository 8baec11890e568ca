"""The wasmtime engine: which Wasm is accepted, how it is compiled, and the clock that stops it.

What Polkadot's executor refuses is refused here: SIMD, bulk memory, reference types, multiple values, and
everything younger; NaNs are canonical, so a float cannot tell machines apart [pvf-executor]. The stack is limited
in bytes, and, where guests are not trusted, first in values, which are the same everywhere
(`EngineConfig.stack_values`).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Final

import wasmtime
from wasmtime import _ffi as ffi

__all__ = [
    "MAX_WASM_STACK",
    "STACK_OF_THE_HOST",
    "TICK",
    "EngineConfig",
    "deadline",
    "engine_for",
    "gate_for",
]

MAX_WASM_STACK: Final = 1024 * 1024
"""Bytes of stack a guest may use. It is the calling thread's own stack, hence well below what one has by default."""
STACK_OF_THE_HOST: Final = 1024 * 1024
"""Bytes that host functions may need on top of it."""
TICK: Final = 0.005
"""Seconds between two looks at the deadlines."""
_NEVER: Final = 1 << 62
"""Ticks until the deadline of a call that has none."""

_COMPONENT_SETTINGS: Final = (
    "component_model_async",
    "component_model_async_stackful",
    "component_model_more_async_builtins",
    "component_model",
)
_YOUNGER_FEATURES: Final = (
    "gc",
    "function_references",
    "exceptions",
    "threads",
    "relaxed_simd",
    "simd",
    "reference_types",
    "bulk_memory",
    "multi_value",
    "memory64",
    "tail_call",
)
"""In this order: wasmtime aborts the process when a feature goes before one that builds on it."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What of the engine can be chosen; each combination compiles to other machine code."""

    interruptible: bool = False
    """Whether calls can have a timeout. Costs some speed, in loops above all."""
    metered: bool = False
    """Whether calls count the steps they take, in wasmtime's units of fuel. Costs some speed."""
    bulk_memory: bool = False
    """Whether guests may use the bulk memory instructions: the executor parameter ``WasmExtBulkMemory``."""
    stack: int = MAX_WASM_STACK
    """Bytes of stack a guest may use. More than `MAX_WASM_STACK` needs a thread that has them."""
    stack_values: int | None = None
    """Values a guest may have on its stack, which it then counts itself; ``None`` for no such limit. Measuring the code
    takes about as long as compiling it."""
    cpu_time: bool = False
    """Whether timeouts count the process's CPU time instead of the time that passes, so that a busy machine does not
    shorten them. For processes that do nothing else than to run one guest."""

    @property
    def identifier(self) -> str:
        """Part of the key of compiled code: the engine's version and every setting that changes the code."""
        accepted = "-bulk" if self.bulk_memory else ""
        metered = "" if self.stack_values is None else f"-stack{self.stack_values}"
        kind = "interruptible" if self.interruptible else "plain"
        counted = "-metered" if self.metered else ""
        return f"wasmtime-{version('wasmtime')}-{kind}{counted}{accepted}{metered}-1"


def _config(config: EngineConfig, *, multi_memory: bool) -> wasmtime.Config:
    settings = wasmtime.Config()
    settings.cranelift_opt_level = "speed"
    settings.cranelift_nan_canonicalization = True
    # The engine wants it above the other, although no guest here runs on a stack of its own.
    ffi.wasmtime_config_async_stack_size_set(settings.ptr(), config.stack + STACK_OF_THE_HOST)
    settings.max_wasm_stack = config.stack
    settings.memory_init_cow = True
    settings.epoch_interruption = config.interruptible
    settings.consume_fuel = config.metered
    for name in _COMPONENT_SETTINGS:
        getattr(ffi, f"wasmtime_config_wasm_{name}_set")(settings.ptr(), False)
    for name in _YOUNGER_FEATURES:
        setattr(settings, f"wasm_{name}", config.bulk_memory and name == "bulk_memory")
    settings.wasm_multi_memory = multi_memory
    return settings


@cache
def engine_for(config: EngineConfig) -> wasmtime.Engine:
    """The engine of this process for ``config``. It alone runs code, and links our own helper modules, which
    use a second memory; guests pass `gate_for` first."""
    return _closed_at_exit(wasmtime.Engine(_config(config, multi_memory=True)))


@cache
def gate_for(config: EngineConfig) -> wasmtime.Engine:
    """An engine to validate guests with: nothing beyond what Polkadot's executor accepts."""
    return _closed_at_exit(wasmtime.Engine(_config(config, multi_memory=False)))


def _closed_at_exit(engine: wasmtime.Engine) -> wasmtime.Engine:
    """An engine lives as long as the process; let go while the interpreter still can."""
    atexit.register(engine.close)
    return engine


class _Clock:
    """Counts an engine's epoch up while a deadline is pending. One thread per engine, asleep otherwise."""

    def __init__(self, engine: wasmtime.Engine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._now = now
        self._pending = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._changed:
            self._pending += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pileus-deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._pending -= 1

    def _run(self) -> None:
        counted = self._now()
        while True:
            with self._changed:
                while not self._pending:
                    self._changed.wait()
                    counted = self._now()
            time.sleep(TICK)
            # On a busy machine a sleep takes longer than asked; deadlines are about time, not about sleeps.
            while counted + TICK <= self._now():
                counted += TICK
                self._engine.increment_epoch()


@cache
def _clock_for(config: EngineConfig) -> _Clock:
    return _Clock(engine_for(config), time.process_time if config.cpu_time else time.monotonic)


# A forked child has the clock but not its thread, so it makes a new one.
os.register_at_fork(after_in_child=_clock_for.cache_clear)


@contextlib.contextmanager
def deadline(config: EngineConfig, store: wasmtime.Store, seconds: float | None) -> Iterator[None]:
    """Interrupt the guest in ``store`` if the ``with`` block takes longer than ``seconds``."""
    if not config.interruptible:
        yield
        return
    if seconds is None:
        store.set_epoch_deadline(_NEVER)
        yield
        return
    store.set_epoch_deadline(int(seconds / TICK) + 1)
    clock = _clock_for(config)
    clock.start()
    try:
        yield
    finally:
        clock.stop()
