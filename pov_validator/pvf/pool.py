"""The worker processes of a PVF host: started when needed, kept while they behave, replaced after anything else.

Those that execute and the one that compiles are apart, as in the node's PVF host [polkadot-pvf]: a process that
compiles needs another limit of memory, and is the only one that may write into the cache.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from pov_validator.pvf.errors import WorkerFailure
from pov_validator.pvf.params import ExecutorParams
from pov_validator.pvf.process import WorkerProcess
from pov_validator.pvf.protocol import (
    FRAME_OVERHEAD,
    Broken,
    Configure,
    Load,
    Loaded,
    NotPrepared,
    ProtocolViolation,
    Ready,
)

__all__ = ["GONE", "START_TIMEOUT", "Executor", "WorkerPool"]

START_TIMEOUT: Final = 60.0
"""Seconds that pass until a process must have started, or loaded compiled code. Generous: nothing of a candidate is
in play, and a machine may be busy."""
SLOTS: Final = 8
"""Validation functions that a process keeps loaded."""
WORKER_MEMORY: Final = 1 << 30
"""Bytes that an executing process may use beside the guest's memory and stack: the interpreter, copies of the PoV."""
SMALL_CODE: Final = 64 * 1024
"""Bytes of code up to which the process that compiled it is kept for another one."""
GONE = (EOFError, OSError)
"""How a process that is no more shows on its channel."""


class WorkerPool:
    """Processes for one set of executor parameters. May be shared between threads."""

    def __init__(self, params: ExecutorParams, cache: Path, workers: int, program: str) -> None:
        """``cache``: directory of compiled code. ``workers``: processes that execute at the same time, at most.
        ``program``: what the interpreter of a worker runs."""
        self.params = params
        self._cache = cache
        self._workers = workers
        self._program = program
        self._idle: list[Executor] = []
        self._busy: set[Executor] = set()
        self._starting = 0
        self._idle_preparer: WorkerProcess | None = None
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether all processes were ended for good."""
        return self._closed

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes that execute or wait to, sorted."""
        with self._changed:
            return tuple(sorted(executor.process.pid for executor in (*self._idle, *self._busy)))

    def close(self) -> None:
        """End all processes, also those in the middle of a job, which fails. May be called again."""
        with self._changed:
            self._closed = True
            for executor in (*self._idle, *self._busy):
                executor.process.kill()
            if self._idle_preparer is not None:
                self._idle_preparer.kill()
            self._idle.clear()
            self._changed.notify_all()

    # -- executing -----------------------------------------------------------------------------------------

    def acquire(self, code_hash: bytes) -> Executor:
        """An idle process, of those that there are the one that knows the code best; else a new one, or one that
        somebody releases. Raises `WorkerFailure`.
        """
        with self._changed:
            while True:
                if self._closed:
                    raise WorkerFailure("the PVF host is closed")
                if self._idle:
                    executor = max(self._idle, key=lambda idle: code_hash in idle.slots)
                    self._idle.remove(executor)
                    if executor.process.is_idle():
                        self._busy.add(executor)
                        return executor
                    executor.process.kill()  # somebody killed it while it waited: nobody's fault
                elif len(self._busy) + self._starting < self._workers:
                    self._starting += 1
                    break
                else:
                    self._changed.wait()
        started: Executor | None = None
        try:
            limit = self.params.stack_native_max + self.params.memory_bytes + WORKER_MEMORY
            started = Executor(self._start(limit, may_write=False))
        finally:
            with self._changed:
                self._starting -= 1
                if started is not None:
                    self._busy.add(started)
                self._changed.notify()
        return started

    def release(self, executor: Executor) -> None:
        """Give back what `acquire` gave; killed, if it is not to be used again."""
        with self._changed:
            self._busy.discard(executor)
            if self._closed:
                executor.process.kill()
            elif executor.process.status is None:
                self._idle.append(executor)
            self._changed.notify()

    # -- preparing -----------------------------------------------------------------------------------------

    def preparer(self) -> WorkerProcess:
        """The process that compiled last, or a new one; for one thread at a time. Raises `WorkerFailure`."""
        with self._changed:
            if self._closed:
                raise WorkerFailure("the PVF host is closed")
            worker, self._idle_preparer = self._idle_preparer, None
        if worker is not None:
            if worker.is_idle():
                return worker
            worker.kill()
        return self._start(self.params.preparation_memory, may_write=True)

    def put_back(self, worker: WorkerProcess, code: bytes) -> None:
        """Keep it for the next code, unless this one was so large that the compiler will hold on to much memory."""
        with self._changed:
            if self._closed or len(code) > SMALL_CODE:
                worker.kill()
            else:
                self._idle_preparer = worker

    def _start(self, data_limit: int, *, may_write: bool) -> WorkerProcess:
        params = self.params
        configuration = Configure(
            str(self._cache),
            params.memory_pages,
            params.stack_logical_max,
            params.stack_native_max,
            params.bulk_memory,
            params.code_bomb_limit,
            data_limit,
            may_write,
        )
        deadline = time.monotonic() + START_TIMEOUT
        try:
            worker = WorkerProcess(params.memory_bytes + FRAME_OVERHEAD, self._program)
        except OSError as error:
            raise WorkerFailure(f"no worker process: {error}") from None
        try:
            worker.tell(configuration, deadline)
            message = worker.hear(deadline)
            if isinstance(message, Ready):
                return worker
            reason = f"it began with {type(message).__name__}"
        except (TimeoutError, ProtocolViolation, *GONE) as error:
            reason = worker.last_words() if isinstance(error, GONE) else str(error)
        except BaseException:
            worker.kill()
            raise
        worker.kill()
        raise WorkerFailure(f"a worker process did not start: {reason}")


class Executor:
    """A process that executes, and what it has loaded."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.slots: OrderedDict[bytes, int] = OrderedDict()
        """Code hash -> slot; the last used comes last."""

    def free_slot(self) -> int:
        """A slot to load into; its former content is forgotten."""
        for slot in range(SLOTS):
            if slot not in self.slots.values():
                return slot
        return self.slots.popitem(last=False)[1]

    def load(self, slot: int, code: bytes) -> bool:
        """Whether the compiled form of ``code`` is there to be loaded. Raises `WorkerFailure`."""
        deadline = time.monotonic() + START_TIMEOUT
        try:
            self.process.tell(Load(slot, code), deadline)
            message = self.process.hear(deadline)
        except TimeoutError:
            raise WorkerFailure(f"the worker has not loaded the code after {START_TIMEOUT:g} s") from None
        except ProtocolViolation as error:
            raise WorkerFailure(f"the worker cannot load the code: {error}") from None
        except GONE:
            raise WorkerFailure(f"the worker cannot load the code: it {self.process.last_words()}") from None
        match message:
            case Loaded():
                return True
            case NotPrepared():
                return False
            case Broken(detail):
                raise WorkerFailure(f"the worker cannot load the code: {detail}")
            case other:
                raise WorkerFailure(
                    f"the worker answered {type(other).__name__} when it should load the code"
                )
