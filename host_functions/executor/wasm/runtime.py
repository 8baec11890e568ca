"""A Wasm blob as a `Runtime`: compiled once, a fresh instance per call.

A call in the legacy style allocates the argument on the guest's heap and enters the function with its address
and length; in the style of [RFC-145] it enters with the length, and the guest fetches the argument. The result
is read where the returned packed pointer says. Nothing survives the call but what the context keeps.

Follows ``sc_executor_wasmtime`` with ``InstantiationStrategy::RecreateInstanceCopyOnWrite`` [sc-executor].
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final, Literal, NamedTuple

import wasmtime

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, BlobError, decompress
from host_functions.contexts.base import HostContext
from host_functions.contexts.families import Misc, VersionReader
from host_functions.errors import GuestPanic, HostError, SandboxError
from host_functions.executor.archive import archived_version
from host_functions.executor.wasm import raw, stock
from host_functions.executor.wasm.allocator import FreeingBumpAllocator
from host_functions.executor.wasm.blob import CallingStyle, parse_blob
from host_functions.executor.wasm.cache import CompileCache, compile_module
from host_functions.executor.wasm.engine import EngineConfig, deadline, engine_for
from host_functions.executor.wasm.errors import (
    DeadlineExceeded,
    InvalidCode,
    OutOfFuel,
    OutOfMemory,
    StackExhausted,
)
from host_functions.executor.wasm.execution import Execution, current_execution
from host_functions.executor.wasm.exports import Exports
from host_functions.executor.wasm.heap import NODE_HEAP, PAGE, HeapAllocStrategy
from host_functions.executor.wasm.helper import Helper, hashes_are_pure
from host_functions.executor.wasm.manifest import check_interface, manifest_of
from host_functions.executor.wasm.marshal import binding_of
from host_functions.executor.wasm.memory import GuestFault, GuestMemory, RawMemory, StockMemory
from host_functions.executor.wasm.stack_meter import HEIGHT_EXPORT
from host_functions.executor.wasm.style import calling_style
from host_functions.executor.wasm.version import decode_runtime_version, embedded_version
from host_functions.tracing.observe import observed
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.version import RuntimeVersion

__all__ = ["Linking", "Snapshot", "WasmRuntime", "embedded_version_reader", "version_reader"]

Linking = Literal["fast", "raw", "stock"]
"""How host functions are bound, the same to the guest: through wasmtime's public interface (``stock``), with
callbacks of our own (``raw``), and with what is called most inside Wasm (``fast``), where that is possible."""

HEAP_BASE: Final = "__heap_base"
MAX_TABLE_ELEMENTS: Final = 1 << 20
LOW: Final = 0xFFFF_FFFF
UNLIMITED_FUEL: Final = 1 << 62


class _Meter(NamedTuple):
    """Fuel for a call, and who wants to know what is left of it."""

    fuel: int
    left: Callable[[int], None]


class Snapshot(NamedTuple):
    """All of an instance that can change, where tables cannot."""

    memory: bytes
    globals: dict[str, int | float]
    """By the name they are exported under, without sign or with."""


class _Taken(NamedTuple):
    """What `WasmRuntime.snapshot` wants of a call."""

    then: tuple[str, *tuple[int, ...]]
    found: list[tuple[Snapshot, bytes]]


class WasmRuntime:
    """A compiled blob. May be shared between threads."""

    def __init__(
        self,
        code: bytes,
        *,
        heap: HeapAllocStrategy = NODE_HEAP,
        timeout: float | None = None,
        cache: CompileCache | None = None,
        bomb_limit: int = CODE_BLOB_BOMB_LIMIT,
        linking: Linking = "fast",
        engine: EngineConfig | None = None,
    ) -> None:
        """``code``: as it stands on chain, compressed or not.

        ``timeout``: seconds a call may take. ``cache``: where compiled code is kept, ``None`` for nowhere.
        ``bomb_limit``: bytes of Wasm that ``code`` may decompress to. ``engine``: how the code is compiled and
        stopped; unless it is said, so that a ``timeout`` can be kept if there is one.

        Raises `BlobError` and `InvalidCode` for code that cannot be run.
        """
        self.code = code
        self.code_hash = blake2_256(code)
        self.blob = parse_blob(decompress(code, bomb_limit))
        check_interface(self.blob)
        self._frozen = manifest_of(self.blob) is not None
        self._legacy = calling_style(self.blob) is CallingStyle.LEGACY
        self._config = engine or EngineConfig(interruptible=timeout is not None)
        self.timeout = timeout
        """Seconds the next call may take, where the engine is interruptible."""
        self._entry_points = frozenset(self.blob.entry_points)
        self._heap = heap
        self._linking = linking
        self._link_lock = threading.Lock()
        bindings = [(wanted, binding_of(wanted)) for wanted in self.blob.imports]
        if cache is None:
            self._module = compile_module(self._config, self.blob.code)
        else:
            self._module = cache.module(self._config, self.blob.code, self.code_hash)
        callbacks = (stock if linking == "stock" else raw).callbacks_of(bindings)
        self._linker = callbacks.linker(engine_for(self._config))
        self._helped_linker = None
        if linking == "fast" and self._legacy and self.blob.memory_is_imported:
            self._helped_linker = callbacks.linker(engine_for(self._config))
        self._callbacks = callbacks  # must live as long as the linkers

    @cached_property
    def version(self) -> RuntimeVersion:
        """From the blob's own section, else from ``Core_version``. Raises `SandboxError`, `ScaleError`."""
        embedded = embedded_version(self.blob)
        return embedded or decode_runtime_version(self.call("Core_version", b"", Misc(max_level=0)))

    def _state_version(self) -> int:
        """That in which the runtime's storage root is computed when it does not say; 0 if it has no version."""
        if embedded_version(self.blob) is None and "Core_version" not in self.blob.entry_points:
            return 0
        return self.version.state_version

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """See `host_functions.executor.Runtime.call`.

        Raises `GuestPanic`, `Trap`, `OutOfMemory`, `DeadlineExceeded`, and whatever a host function raised.
        """
        return self._call(entry_point, argument, context, None)

    def call_metered(
        self, entry_point: str, argument: bytes, context: HostContext, fuel: int = UNLIMITED_FUEL
    ) -> tuple[bytes, int]:
        """As `call`, with at most ``fuel`` units; the result, and the units that were used.

        Needs a metered engine. The number depends on the blob, the argument and the host's answers alone. Raises
        `OutOfFuel`.
        """
        if not self._config.metered:
            raise ValueError("fuel is counted by an engine with EngineConfig(metered=True) only")
        left: list[int] = []
        result = self._call(entry_point, argument, context, None, _Meter(fuel, left.append))
        return result, fuel - left[0]

    def snapshot(
        self, entry_point: str, argument: bytes, context: HostContext, *, then: tuple[str, *tuple[int, ...]]
    ) -> tuple[bytes, Snapshot, bytes]:
        """As `call`, and the state in which the call left the instance: for freezing a guest.

        ``then``: a function of the same instance and its arguments, called without input when the state was taken;
        what it returns comes last.
        """
        taken = _Taken(then, [])
        result = self._call(entry_point, argument, context, taken)
        return result, *taken.found[0]

    def _call(
        self,
        entry_point: str,
        argument: bytes,
        context: HostContext,
        take: _Taken | None,
        meter: _Meter | None = None,
    ) -> bytes:
        if entry_point not in self._entry_points:
            raise GuestPanic(entry_point, "the blob exports no such function")
        context = observed(context, "wasm", entry_point)
        execution = Execution(entry_point, context, argument, self._state_version)
        store = wasmtime.Store(engine_for(self._config))
        token = current_execution.set(execution)
        try:
            with (
                context.externalities(),
                self._failures_of(execution, meter),
                deadline(self._config, store, self.timeout),
            ):
                return self._run(execution, store, take, meter)
        finally:
            current_execution.reset(token)
            store.close()

    @contextmanager
    def _failures_of(self, execution: Execution, meter: _Meter | None) -> Iterator[None]:
        """Errors of the engine, said as the guest's; what a host function raised, as it was."""
        try:
            yield
        except BaseException as error:
            if execution.failure is not None:
                raise _python_failure(execution.failure) if self._frozen else execution.failure from None
            if isinstance(error, GuestFault):
                raise execution.trapped(str(error)) from None
            fault = None if execution.helper is None else execution.helper.fault(execution)
            if fault is not None:
                raise fault from None
            if isinstance(error, wasmtime.Trap):
                if error.trap_code is wasmtime.TrapCode.INTERRUPT and self.timeout is not None:
                    raise DeadlineExceeded(execution.entry_point, self.timeout) from None
                if error.trap_code is wasmtime.TrapCode.OUT_OF_FUEL and meter is not None:
                    raise OutOfFuel(execution.entry_point, meter.fuel) from None
                raise execution.trapped(_reason(error.message)) from None
            if isinstance(error, wasmtime.WasmtimeError):
                raise execution.trapped(_reason(str(error))) from None
            raise

    def _run(
        self,
        execution: Execution,
        store: wasmtime.Store,
        take: _Taken | None,
        meter: _Meter | None,
    ) -> bytes:
        if self._config.metered:
            store.set_fuel(UNLIMITED_FUEL)  # instantiation is not the guest's work
        instance, guest_memory = self._instantiate(execution, store)
        exports = Exports(instance, store)
        most = self._pages[1]
        memory = (StockMemory if self._linking == "stock" else RawMemory)(guest_memory, store, most)
        execution.memory = memory
        function = exports.get(execution.entry_point)
        if not isinstance(function, wasmtime.Func):
            raise InvalidCode(f"{execution.entry_point} is no function")
        length = len(execution.argument)
        arguments = (*self._placed(execution, exports, store), length) if self._legacy else (length,)
        if meter is not None:
            store.set_fuel(meter.fuel)
        try:
            packed = int(function(store, *map(_signed, arguments)))
        except wasmtime.Trap as trap:
            self._explain(trap, exports, store)
            raise
        if meter is not None:
            meter.left(store.get_fuel())
        result = memory.read(packed & LOW, packed >> 32 & LOW)
        if take is not None:
            state = _snapshot(memory, instance, store)
            name, *numbers = take.then
            function = exports.get(name)
            if not isinstance(function, wasmtime.Func):
                raise InvalidCode(f"{name} is no function")
            execution.argument = b""
            packed = int(function(store, *numbers))
            take.found.append((state, memory.read(packed & LOW, packed >> 32 & LOW)))
        return result

    def _explain(self, trap: wasmtime.Trap, exports: Exports, store: wasmtime.Store) -> None:
        """Raise the reason behind a trap that the guest's own stack count made; do nothing for others."""
        limit, height = self._config.stack_values, exports.get(HEIGHT_EXPORT)
        if limit is None or trap.trap_code is not wasmtime.TrapCode.UNREACHABLE:
            return
        if isinstance(height, wasmtime.Global) and int(height.value(store)) & LOW > limit:
            raise GuestFault(f"the stack is full: more than {limit} values") from None

    def _placed(self, execution: Execution, exports: Exports, store: wasmtime.Store) -> tuple[int]:
        """The address of the argument, on the heap that now begins."""
        heap_base = exports.get(HEAP_BASE)
        if not isinstance(heap_base, wasmtime.Global) or str(heap_base.type(store).content) != "i32":
            raise InvalidCode(f"the blob does not export {HEAP_BASE} as an i32")
        base = int(heap_base.value(store)) & LOW
        memory, helper = execution.memory, execution.helper
        execution.allocator = (
            FreeingBumpAllocator(memory, base) if helper is None else helper.heap(memory, base)
        )
        address = execution.allocator.allocate(len(execution.argument))
        memory.write(address, execution.argument)
        return (address,)

    @cached_property
    def _pages(self) -> tuple[int, int]:
        """Pages of memory at the start, and at most. A guest with a heap of its own grows its memory itself."""
        least, most = self._heap.memory(self.blob.memory)
        return (least if self._legacy else self.blob.memory.minimum), most

    def _instantiate(
        self, execution: Execution, store: wasmtime.Store
    ) -> tuple[wasmtime.Instance, wasmtime.Memory]:
        least, most = self._pages
        store.set_limits(memory_size=most * PAGE, table_elements=MAX_TABLE_ELEMENTS)
        if self.blob.memory_is_imported:
            memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(least, most)))
            linker = self._linker
            if self._helped_linker is not None and hashes_are_pure(execution.context):
                linker = self._helped_linker
                execution.helper = Helper(self._config, store, memory)
            with self._link_lock:
                linker.define(store, "env", "memory", memory)
                if execution.helper is not None:
                    execution.helper.define(linker, store)
                return linker.instantiate(store, self._module), memory
        instance = self._linker.instantiate(store, self._module)
        exported = Exports(instance, store).get("memory")
        if not isinstance(exported, wasmtime.Memory):
            raise InvalidCode("the blob's export 'memory' is no memory")
        exported.grow(store, least - self.blob.memory.minimum)
        return instance, exported

    def __repr__(self) -> str:
        return f"<Wasm runtime of {len(self.code)} bytes, code hash 0x{self.code_hash.hex()[:16]}…>"


def _snapshot(memory: GuestMemory, instance: wasmtime.Instance, store: wasmtime.Store) -> Snapshot:
    exports, values = instance.exports(store), {}
    for name in exports:
        if isinstance(exported := exports[name], wasmtime.Global):
            values[name] = exported.value(store)
    return Snapshot(memory.read(0, memory.size), values)


def version_reader(cache: CompileCache | None = None, timeout: float | None = None) -> VersionReader:
    """What nodes answer ``misc::runtime_version`` with: ``None`` for code that has, or tells, no version.

    Runs ``Core_version`` of code without a version section, for ``timeout`` seconds at most.
    """

    def version_of(code: bytes) -> bytes | None:
        try:
            return WasmRuntime(code, cache=cache, timeout=timeout).version.encode()
        except (BlobError, InvalidCode, SandboxError, HostError, ScaleError):
            return None

    return version_of


def embedded_version_reader(code: bytes) -> bytes | None:
    """What validators answer it with: the version section or ``None``, without running the code [pvf-executor].

    Compiling strangers' code in the middle of a validation would cost more than the candidate may. The archive of a
    Python runtime has its version too, so that all engines answer alike.
    """
    archived = archived_version(code)
    if archived is not None:
        return archived
    try:
        version = embedded_version(parse_blob(decompress(code, CODE_BLOB_BOMB_LIMIT)))
    except (BlobError, InvalidCode):
        return None
    return None if version is None else version.encode()


def _python_failure(error: BaseException) -> BaseException:
    """What the Python in a frozen guest reports as its own exception, told apart as the engine's are."""
    if isinstance(error, GuestPanic):
        kind, _, text = error.message.partition("\n")[0].partition(": ")
        if kind == "MemoryError":
            return OutOfMemory(
                f"{error.entry_point}: Python has no memory left{f' ({text})' if text else ''}"
            )
        if kind == "RecursionError":
            return StackExhausted(error.entry_point, error.message)
    return error


def _signed(value: int) -> int:
    return value - ((value & 1 << 31) << 1)


def _reason(message: str) -> str:
    """The last line of the engine's message; the others are addresses."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ")[:300] if lines else "trap"
