"""The PVF host: validation functions prepared and executed in worker processes.

`PvfHost` knows the jobs, and its `WorkerPool` the processes: whoever asks gets an idle one, preferably one that has the
code loaded already. Code that was never compiled is prepared first, by a process that executes nothing. Every process
is replaced after anything out of order: a death, a deadline, a word that no worker says.

Follows the node's PVF host [polkadot-pvf]: preparation apart from execution, CPU time as the soft limit inside and
`WALL_CLOCK_FACTOR` times as much of the time that passes as the hard limit outside. Differs in that a guest may ask
the host something in the middle of a job: reads of relay state are answered by the caller's context, because what they
are answered from, and whose failure it is when they are not, is the validator's and not the sandbox's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from host_functions.abi import wire_of
from host_functions.contexts.base import HostContext, OverriddenContext
from host_functions.declare import HostFunction, functions_of
from host_functions.errors import DeadlineExceeded
from host_functions.executor.directories import cache_directory
from host_functions.interfaces import additional_data, logging, relay_chain_state, storage_proof_size
from host_functions.tracing import observed
from pov_validator.pvf.errors import PossiblyInvalid, PreparationFailed, PreparationFailure, WorkerFailure
from pov_validator.pvf.outcome import REASONS, conclude
from pov_validator.pvf.params import WALL_CLOCK_FACTOR, ExecKind, ExecutorParams, PrepareKind
from pov_validator.pvf.pool import GONE, START_TIMEOUT, Executor, WorkerPool
from pov_validator.pvf.process import PROGRAM, WorkerProcess
from pov_validator.pvf.protocol import (
    TIMED_OUT,
    Answer,
    AnswerFailed,
    Broken,
    Execute,
    HostCall,
    Prepare,
    Prepared,
    ProtocolViolation,
    Refused,
    Returned,
    Started,
    Stop,
    Stopped,
    from_python,
)

__all__ = ["PvfHost"]

RELAY_FUNCTIONS: Final[tuple[HostFunction[..., Any], ...]] = (
    *functions_of(relay_chain_state),
    *functions_of(additional_data),
    *functions_of(storage_proof_size),
)
"""What `ExecutorParams.relay_state` turns on."""

OUT_OF_MEMORY_MARK: Final = "memory allocation of"
"""What the engine says before it aborts for want of memory."""


class PvfHost:
    """Worker processes for one set of executor parameters. May be shared between threads; close it, or let it go."""

    def __init__(
        self,
        params: ExecutorParams | None = None,
        *,
        cache: Path | None = None,
        workers: int = 2,
        program: str = PROGRAM,
    ) -> None:
        """``cache``: directory of compiled code, by default the user's. ``workers``: processes that execute at the
        same time, at most. ``program``: what the interpreter of a worker runs."""
        self.params = params or ExecutorParams()
        self._cache = cache or cache_directory()
        self._pool = WorkerPool(self.params, self._cache, workers, program)
        self._preparing = threading.Lock()

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes that execute or wait to, sorted."""
        return self._pool.pids

    def close(self) -> None:
        """End all processes, also those in the middle of a job, which fails. May be called again."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- preparing -----------------------------------------------------------------------------------------

    def prepare(self, code: bytes, kind: PrepareKind = PrepareKind.PRECHECK) -> None:
        """Compile ``code`` (as it stands on chain) and keep the result, or load what is kept. One job at a time.

        Raises `PreparationFailed`, `WorkerFailure`.
        """
        seconds = self.params.preparation_timeout(kind)
        with self._preparing:
            worker = self._pool.preparer()
            try:
                deadline = time.monotonic() + WALL_CLOCK_FACTOR * seconds
                worker.tell(
                    Prepare(code, round(seconds * 1000), self.params.refuse_unknown_imports), deadline
                )
                message = worker.hear(deadline)
                match message:
                    case Prepared():
                        refusal = None
                    case Refused(failure, detail) if failure in PreparationFailure.__members__:
                        refusal = PreparationFailed(PreparationFailure[failure], detail)
                    case other:
                        raise ProtocolViolation(f"the worker answered {type(other).__name__}")
            except TimeoutError:
                worker.kill()
                raise _timed_out(seconds) from None
            except ProtocolViolation as error:
                worker.kill()
                raise PreparationFailed(PreparationFailure.JOB_DIED, str(error)) from None
            except GONE:
                raise _died_preparing(worker, seconds) from None
            except BaseException:
                worker.kill()
                raise
            self._pool.put_back(worker, code)
        if refusal is not None:
            raise refusal

    # -- executing -----------------------------------------------------------------------------------------

    def execute(
        self,
        code: bytes,
        code_hash: bytes,
        entry_point: str,
        argument: bytes,
        context: HostContext,
        kind: ExecKind = ExecKind.BACKING,
    ) -> bytes:
        """Call ``entry_point`` of ``code``, prepared or not. ``context`` answers what the guest asks of the relay
        chain, and hears what it logs; everything else the worker answers itself. Observers of host calls see what
        leaves the worker.

        Raises `SandboxError` as the guest deserves it, `PossiblyInvalid`, `PreparationFailed`, `WorkerFailure`, and
        whatever ``context`` raised.
        """
        try:
            return self._execute(code, code_hash, entry_point, argument, context, kind)
        except _NeverBegan:
            # It was dying when it was given the job, of something that happened before.
            return self._execute(code, code_hash, entry_point, argument, context, kind)

    def _execute(
        self,
        code: bytes,
        code_hash: bytes,
        entry_point: str,
        argument: bytes,
        context: HostContext,
        kind: ExecKind,
    ) -> bytes:
        """As `execute`, with one process."""
        executor = self._pool.acquire(code_hash)
        try:
            self._load(executor, code, code_hash)
            seconds = self.params.execution_timeout(kind)
            remote = self._remote(context)
            job = Execute(
                executor.slots[code_hash],
                code_hash,
                entry_point,
                argument,
                max(1, round(seconds * 1000)),
                tuple(remote),
                ()
                if self.params.relay_state
                else tuple(f.name for f in RELAY_FUNCTIONS if f.name not in remote),
                context.resolve(logging.max_level)() & 7,
            )
            seen = observed(context, "pvf", entry_point)
            with seen.externalities():
                message, failure = self._run(executor.process, job, remote, seen, seconds)
        except PreparationFailed:
            raise  # by another process; this one only waited
        except BaseException:
            # Whatever it is doing now is nobody's business any more.
            executor.process.kill()
            raise
        finally:
            self._pool.release(executor)
        if failure is not None:
            raise failure
        return conclude(message, entry_point, context, seconds)

    def _run(
        self,
        process: WorkerProcess,
        job: Execute,
        remote: Mapping[str, HostFunction[..., Any]],
        context: HostContext,
        seconds: float,
    ) -> tuple[Returned | Stopped, Exception | None]:
        """The end of the job, and what the context raised in it."""
        self._begin(process, job)
        patience = WALL_CLOCK_FACTOR * seconds
        deadline = time.monotonic() + patience
        failure: Exception | None = None
        try:
            while True:
                message = process.hear(deadline)
                match message:
                    case Stopped(kind) if kind not in REASONS and not (kind == Stop.HOST_CALL and failure):
                        raise ProtocolViolation(f"it stopped for reason {kind}")
                    case Returned() | Stopped():
                        return message, failure
                    case HostCall() if failure is None:
                        function, arguments = _checked(message, remote)
                        asked = time.monotonic()
                        reply: Answer | AnswerFailed
                        try:
                            reply = Answer(from_python(context.resolve(function)(*arguments)))
                        except Exception as error:
                            failure, reply = error, AnswerFailed()
                        # How long the answer takes is a matter of this validator's disk, and no fault of the guest.
                        taken = time.monotonic() - asked
                        deadline += taken
                        patience -= taken
                        if patience < 0:
                            raise WorkerFailure("answering the guest's host calls takes too long")
                        process.tell(reply, deadline)
                    case Broken(detail):
                        raise WorkerFailure(f"the worker failed: {detail}")
                    case other:
                        raise ProtocolViolation(f"{type(other).__name__} in the middle of a job")
        except (TimeoutError, ProtocolViolation, *GONE) as error:
            if failure is not None:
                raise failure from None
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(job.entry_point, WALL_CLOCK_FACTOR * seconds) from None
            if isinstance(error, ProtocolViolation):
                raise PossiblyInvalid(f"ambiguous worker behaviour: {error}") from None
            if self._pool.closed:
                raise WorkerFailure("the PVF host was closed in the middle of a job") from None
            raise PossiblyInvalid(f"ambiguous worker death: the process {process.last_words()}") from None

    def _begin(self, process: WorkerProcess, job: Execute) -> None:
        """Hand over the job and wait until the guest is entered. Up to there the candidate is not in play."""
        deadline = time.monotonic() + START_TIMEOUT
        try:
            process.tell(job, deadline)
            message = process.hear(deadline)
        except TimeoutError:
            raise WorkerFailure(f"the worker has not begun the job after {START_TIMEOUT:g} s") from None
        except ProtocolViolation as error:
            raise WorkerFailure(f"the worker did not begin the job: {error}") from None
        except GONE:
            if self._pool.closed:
                raise WorkerFailure("the PVF host was closed in the middle of a job") from None
            raise _NeverBegan(f"the worker did not begin the job: it {process.last_words()}") from None
        if not isinstance(message, Started):
            raise WorkerFailure(f"the worker answered {type(message).__name__} when it should begin the job")

    def _remote(self, context: HostContext) -> dict[str, HostFunction[..., Any]]:
        """What the worker must ask us, by import name: relay state, and what the caller's context overrides."""
        functions = list(RELAY_FUNCTIONS) if self.params.relay_state else []
        while isinstance(context, OverriddenContext):
            functions += context.replaced
            context = context.base
        return {function.name: function for function in functions}

    def _load(self, executor: Executor, code: bytes, code_hash: bytes) -> None:
        """Have ``code`` in a slot of the process, compiling it first if nobody ever did."""
        if code_hash in executor.slots:
            executor.slots.move_to_end(code_hash)
            return
        slot = executor.free_slot()
        if not executor.load(slot, code):
            self.prepare(code, PrepareKind.PREPARE)
            if not executor.load(slot, code):
                raise WorkerFailure(f"prepared code is not found in {self._cache}")
        executor.slots[code_hash] = slot


class _NeverBegan(WorkerFailure):
    """The process was gone before the guest was entered."""


def _checked(
    message: HostCall, remote: Mapping[str, HostFunction[..., Any]]
) -> tuple[HostFunction[..., Any], list[Any]]:
    """The called function and its arguments, as the declaration wants them. Raises `ProtocolViolation`."""
    function = remote.get(message.function)
    if function is None:
        raise ProtocolViolation("a call of a function that is not the host's")
    arguments = [argument.python for argument in message.arguments]
    wires = [wire_of(annotation) for annotation in function.parameters.values()]
    if len(arguments) != len(wires):
        raise ProtocolViolation(f"{function.name} called with {len(arguments)} arguments")
    for wire, argument in zip(wires, arguments, strict=True):
        fits = (
            isinstance(argument, int)
            if wire.form == "value"
            else isinstance(argument, bytes) and wire.size in (0, len(argument))
        )
        if not fits:
            raise ProtocolViolation(f"{function.name} called with an argument of the wrong type")
    return function, arguments


def _timed_out(seconds: float) -> PreparationFailed:
    return PreparationFailed(PreparationFailure.TIMED_OUT, f"stopped after {seconds:g} s")


def _died_preparing(worker: WorkerProcess, seconds: float) -> PreparationFailed:
    words = worker.last_words()
    if worker.status == TIMED_OUT:
        return _timed_out(seconds)
    if OUT_OF_MEMORY_MARK in worker.error_output:
        return PreparationFailed(PreparationFailure.OUT_OF_MEMORY, words)
    return PreparationFailed(PreparationFailure.JOB_DIED, f"the process {words}")
