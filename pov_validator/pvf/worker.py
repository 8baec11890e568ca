"""A worker process: compiles validation functions, or runs them. Everything a stranger's code can break is in here.

The process is started by `pov_validator.pvf.process` with one socket and serves one job after the other. It gives up
what it does not need: core dumps, memory beyond its limit, and, when it only executes, writing to files. It ends when
the host does, whatever it is doing then.

Follows the prepare and execute workers of the node's PVF host [polkadot-pvf]. Not modelled: namespaces, Landlock and
seccomp; a process per job (a fresh *instance* per job, and a fresh process after any that did not end in order).
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import wasmtime

from host_functions.compressed_blob import BlobError
from host_functions.contexts.validation import ValidationContext
from host_functions.declare import HostFunction, registry
from host_functions.errors import DeadlineExceeded, GuestPanic, HostError, MissingHostFunction, PileusError
from host_functions.executor.wasm.cache import CompileCache
from host_functions.executor.wasm.engine import STACK_OF_THE_HOST, EngineConfig
from host_functions.executor.wasm.errors import AllocatorError, InvalidCode, OutOfMemory, Trap
from host_functions.executor.wasm.heap import Dynamic
from host_functions.executor.wasm.not_served import reason_not_served
from host_functions.executor.wasm.runtime import WasmRuntime, embedded_version_reader
from pov_validator.pvf.errors import PreparationFailure
from pov_validator.pvf.protocol import (
    TIMED_OUT,
    Answer,
    Broken,
    Channel,
    Configure,
    Execute,
    FromWorker,
    HostCall,
    Line,
    Load,
    Loaded,
    NotPrepared,
    Prepare,
    Prepared,
    ProtocolViolation,
    Ready,
    Refused,
    Returned,
    Started,
    Stop,
    Stopped,
    decoded,
    from_python,
    from_worker,
    to_worker,
)

__all__ = ["main"]

MAX_FROM_HOST: Final = 1 << 30
"""Bytes of the longest message from the host, which is trusted not to send longer ones."""
MAX_LOG: Final = 1 << 20
"""Bytes of log that go back to the host; the newest lines."""
MAX_DETAIL: Final = 16_384
TICK: Final = 0.01


class NotInCache(PileusError):
    """Executing never compiles."""


class Artifacts(CompileCache):
    """The cache as an executing process sees it: what is not there is not made."""

    def module(self, config: EngineConfig, code: bytes, code_hash: bytes | None = None) -> wasmtime.Module:
        module = None if code_hash is None else self.load(config, code_hash)
        if module is None:
            raise NotInCache
        return module


class HostCallFailed(HostError):
    """The host could not answer. It knows why; this only stops the guest."""


class Worker:
    """Serves jobs until the host hangs up."""

    def __init__(self, channel: Channel, configuration: Configure) -> None:
        self._channel = channel
        self._directory = Path(configuration.cache)
        self._heap = Dynamic(configuration.memory_pages)
        self._bomb_limit = configuration.code_bomb_limit
        self._engine = EngineConfig(
            interruptible=True,
            bulk_memory=configuration.bulk_memory,
            stack=configuration.stack,
            stack_values=configuration.stack_values,
            cpu_time=True,
        )
        self._loaded: dict[int, WasmRuntime] = {}

    def serve(self) -> None:
        """Raises `EOFError` when the host is gone, `ProtocolViolation` when it talks nonsense."""
        self._say(Ready())
        while True:
            match decoded(to_worker, self._channel.receive()):
                case Prepare() as job:
                    self._say(self._prepare(job))
                case Load() as job:
                    self._say(self._load(job))
                case Execute() as job:
                    self._say(self._execute(job))
                case other:
                    raise ProtocolViolation(f"{type(other).__name__} between jobs")

    def _say(self, message: FromWorker) -> None:
        self._channel.send(from_worker.encode(message))

    def _runtime(self, code: bytes, cache: CompileCache) -> WasmRuntime:
        return WasmRuntime(
            code, heap=self._heap, cache=cache, bomb_limit=self._bomb_limit, engine=self._engine
        )

    def _prepare(self, job: Prepare) -> Prepared | Refused:
        with end_after(job.timeout / 1000):
            try:
                cache = CompileCache(self._directory)
                runtime = self._runtime(job.code, cache)
                unknown = [
                    wanted.name
                    for wanted in runtime.blob.imports
                    if wanted.name not in registry() and reason_not_served(wanted.name) is None
                ]
                if job.refuse_unknown_imports and unknown:
                    return Refused(
                        PreparationFailure.PREVALIDATION.name,
                        f"no host function is called {unknown[0]}"[:300],
                    )
                if cache.load(self._engine, runtime.code_hash) is None:
                    return Refused(PreparationFailure.IO_ERROR.name, "the compiled code cannot be kept")
            except BlobError as error:
                return Refused(PreparationFailure.PREVALIDATION.name, str(error)[:MAX_DETAIL])
            except InvalidCode as error:
                engine_says = str(error).startswith("the engine refuses")
                failure = PreparationFailure.PREPARATION if engine_says else PreparationFailure.PREVALIDATION
                return Refused(failure.name, str(error)[:MAX_DETAIL])
            except MemoryError:
                return Refused(PreparationFailure.OUT_OF_MEMORY.name, "the compiler's memory is used up")
            except (OSError, PileusError) as error:
                return Refused(PreparationFailure.IO_ERROR.name, str(error)[:MAX_DETAIL])
        return Prepared()

    def _load(self, job: Load) -> Loaded | NotPrepared | Broken:
        self._loaded.pop(job.slot, None)
        try:
            self._loaded[job.slot] = self._runtime(job.code, Artifacts(self._directory))
        except (NotInCache, BlobError, InvalidCode):
            # Of the last two preparation knows more.
            return NotPrepared()
        except (MemoryError, OSError, PileusError) as error:
            return Broken(f"{type(error).__name__}: {error}"[:MAX_DETAIL])
        return Loaded()

    def _execute(self, job: Execute) -> Returned | Stopped | Broken:
        runtime = self._loaded.get(job.slot)
        if runtime is None or runtime.code_hash != job.code_hash:
            raise ProtocolViolation(f"slot {job.slot} does not hold the code 0x{job.code_hash.hex()}")
        functions = registry()
        base = ValidationContext(version_of=embedded_version_reader, max_level=job.max_level)
        context = base.override(
            {
                **{functions[name]: self._remote(functions[name]) for name in job.remote},
                **{functions[name]: _withheld(name) for name in job.withheld},
            }
        )
        runtime.timeout = job.timeout / 1000
        self._say(Started())
        try:
            result = runtime.call(job.entry_point, job.argument, context)
        except ProtocolViolation:
            raise
        except PileusError as error:
            kind, detail = _reason(error)
            return Stopped(kind, detail[:MAX_DETAIL], _lines(base.lines))
        except Exception as error:
            # Out of memory, or a fault of a host function: ours, whatever the guest did to provoke it.
            return Broken(f"{type(error).__name__} in a host function or the engine: {error}"[:MAX_DETAIL])
        return Returned(result, _lines(base.lines))

    def _remote(self, function: HostFunction[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            self._say(HostCall(function.name, tuple(from_python(argument) for argument in arguments)))
            reply = decoded(to_worker, self._channel.receive())
            if isinstance(reply, Answer):
                return reply.value.python
            raise HostCallFailed(f"{function.name}: the host could not answer")

        return ask


def _withheld(name: str) -> Callable[..., Any]:
    def missing(*_: Any) -> Any:
        raise MissingHostFunction(name, "validators with these executor parameters")

    return missing


def _reason(error: PileusError) -> tuple[int, str]:
    match error:
        case GuestPanic():
            return Stop.PANIC, error.message
        case Trap():
            return Stop.TRAP, error.reason
        case AllocatorError():
            return Stop.ALLOCATOR, error.reason
        case OutOfMemory():
            return Stop.OUT_OF_MEMORY, error.reason
        case DeadlineExceeded():
            return Stop.DEADLINE, ""
        case MissingHostFunction():
            return Stop.MISSING_FUNCTION, error.function
        case HostCallFailed():
            return Stop.HOST_CALL, ""
        case InvalidCode():
            return Stop.CONSTRUCTION, str(error)
        case _:
            return Stop.OTHER, f"{type(error).__name__}: {error}"


def _lines(lines: Sequence[Any]) -> tuple[Line, ...]:
    """The newest lines, as many as `MAX_LOG` has room for."""
    kept: list[Line] = []
    room = MAX_LOG
    for level, target, message in reversed(lines):
        room -= len(target.encode()) + len(message.encode()) + 16
        if room < 0:
            break
        kept.append(Line(level, target, message))
    return tuple(reversed(kept))


@contextlib.contextmanager
def end_after(seconds: float) -> Any:
    """End the process if the ``with`` block takes more than ``seconds`` of CPU time. The compiler cannot be asked."""
    done = threading.Event()
    limit = time.process_time() + seconds

    def watch() -> None:
        while not done.wait(TICK):
            if time.process_time() > limit:
                os._exit(TIMED_OUT)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _give_up(configuration: Configure) -> None:
    """What the process will not need: a guest that breaks out finds it gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a stricter limit is in force already
        resource.setrlimit(resource.RLIMIT_DATA, (configuration.data_limit, configuration.data_limit))
    if not configuration.may_write:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main(descriptor: int) -> None:
    """Serve on the socket ``descriptor``. Does not return."""
    channel = Channel(socket.socket(fileno=descriptor), MAX_FROM_HOST)

    def end_with_the_host() -> None:
        channel.wait_for_hangup()
        os._exit(0)

    threading.Thread(target=end_with_the_host, daemon=True).start()
    configuration = decoded(to_worker, channel.receive())
    if not isinstance(configuration, Configure):
        raise ProtocolViolation(f"{type(configuration).__name__} before Configure")
    _give_up(configuration)
    status = 1

    def serve() -> None:
        nonlocal status
        try:
            Worker(channel, configuration).serve()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            status = 0

    # Guests run on the stack of this thread.
    threading.stack_size(_whole_pages(configuration.stack + 2 * STACK_OF_THE_HOST))
    thread = threading.Thread(target=serve, name="jobs")
    thread.start()
    thread.join()
    os._exit(status)


def _whole_pages(size: int) -> int:
    page = resource.getpagesize()
    return -(-size // page) * page
