"""A worker process as the host sees it: started, spoken to with a deadline, killed, and never left behind.

The process starts from nothing, so that it inherits no memory, no file and no signal handler: a plain interpreter
without site packages' start-up files, its module path the host's. It has a session of its own, so that Ctrl-C reaches
the host alone, which then ends it; should the host be killed, the process notices the hang-up and ends itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from typing import Any, Final

from pov_validator.pvf.protocol import Channel, FromWorker, ToWorker, decoded, from_worker, to_worker

__all__ = ["PROGRAM", "WorkerProcess"]

PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from pov_validator.pvf.worker import main; main(int(sys.argv[1]))"
)
LIBRARY_PATHS: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that is left of the environment: where the interpreter's own libraries may lie."""
MAX_LAST_WORDS: Final = 65_536
"""Bytes of what a dying process wrote to its error stream."""


class WorkerProcess:
    """One process. Not for use by several threads at once."""

    def __init__(self, limit: int, program: str = PROGRAM) -> None:
        """``limit``: bytes of the longest message that is taken from it. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        errors, errors_of_child = os.pipe()
        # A process that writes more than a pipe holds is not read, and must not wait for it.
        os.set_blocking(errors_of_child, False)
        os.set_blocking(errors, False)
        try:
            self._popen = subprocess.Popen(  # noqa: S603  (our own interpreter and program)
                self._command(theirs.fileno(), program),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors_of_child,
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in LIBRARY_PATHS if name in os.environ},
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(errors)
            raise
        finally:
            theirs.close()
            os.close(errors_of_child)
        self._errors = errors
        self.error_output = ""
        """What it wrote to its error stream; known after `last_words`."""
        self._channel = Channel(ours, limit)
        self._end = weakref.finalize(self, _end, self._popen, self._channel, errors, os.getpid())

    @staticmethod
    def _command(descriptor: int, program: str) -> Sequence[str]:
        path = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
        return [sys.executable, "-I", "-S", "-c", program, str(descriptor), json.dumps(path)]

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tell(self, message: ToWorker, deadline: float) -> None:
        """Raises `TimeoutError`, and `OSError` when the process is gone."""
        self._channel.send(to_worker.encode(message), deadline)

    def hear(self, deadline: float) -> FromWorker:
        """Its next message. Raises `TimeoutError`, `EOFError` or `OSError` when it is gone, `ProtocolViolation`."""
        message: Any = decoded(from_worker, self._channel.receive(deadline))
        heard: FromWorker = message
        return heard

    def last_words(self) -> str:
        """How it ended, and what it wrote to its error stream: text of a stranger, bounded. Ends it if need be."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1)
        status = self._popen.poll()
        try:
            self.error_output = os.read(self._errors, MAX_LAST_WORDS).decode("utf-8", "replace").strip()
        except OSError:
            self.error_output = ""
        self.kill()
        if status is None:
            ended = "was killed"
        elif status < 0:
            ended = f"died of signal {-status}"
        else:
            ended = f"ended with status {status}"
        return f"{ended}: {self.error_output.splitlines()[-1][:300]!r}" if self.error_output else ended

    def is_idle(self) -> bool:
        """Whether it lives, and has said nothing unasked. Its socket knows of a death before the process table does."""
        return self._popen.poll() is None and self._channel.is_quiet()

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; ``None`` while it runs."""
        return self._popen.poll()

    def kill(self) -> None:
        """End it now. May be called again."""
        self._end()


def _end(popen: subprocess.Popen[bytes], channel: Channel, errors: int, host: int) -> None:
    if os.getpid() != host:
        return  # a forked child of the host: the process is not its own
    channel.close()
    os.close(errors)
    popen.kill()
    popen.wait()
