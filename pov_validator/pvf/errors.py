"""How the execution of a validation function in a worker process can fail, beside what the guest itself does wrong.

::

    PileusError
    ├─ HostError
    │  ├─ PreparationFailed      the code did not compile: says nothing about a candidate      .kind .deterministic
    │  └─ WorkerFailure          this host could not do its part: no process, no disk, no memory
    └─ SandboxError
       └─ PossiblyInvalid        the worker died, or said what no worker says, in the middle of a job

Follows ``PrepareError`` and ``ValidationError`` of the node's PVF host [polkadot-pvf]: `WorkerFailure` is
``InternalValidationError``, `PossiblyInvalid` is ``PossiblyInvalidError``. The last is the delicate one. A candidate
that brings the engine down must not leave everybody undecided, so after a second attempt that ends the same way it
counts against the candidate.
"""

from __future__ import annotations

from enum import Enum

from host_functions.errors import HostError, SandboxError

__all__ = ["PossiblyInvalid", "PreparationFailed", "PreparationFailure", "WorkerFailure"]


class PreparationFailure(Enum):
    """What went wrong; named as ``PrepareError``."""

    PREVALIDATION = "Prevalidation"
    """Not Wasm, not a runtime, a compressed bomb, or an import with another signature than the host's."""
    PREPARATION = "Preparation"
    """The engine refuses it: invalid, or beyond the Wasm that validators accept."""
    OUT_OF_MEMORY = "OutOfMemory"
    TIMED_OUT = "TimedOut"
    JOB_DIED = "JobDied"
    IO_ERROR = "IoErr"

    @property
    def deterministic(self) -> bool:
        """Whether every validator meets it with this code: then pre-checking votes against the code."""
        return self in (
            PreparationFailure.PREVALIDATION,
            PreparationFailure.PREPARATION,
            PreparationFailure.OUT_OF_MEMORY,
        )


class PreparationFailed(HostError):
    """Code could not be prepared. Code is checked before the relay chain accepts it, so a validator that meets this
    with a candidate at hand suspects itself, and abstains."""

    def __init__(self, failure: PreparationFailure, detail: str) -> None:
        super().__init__(f"the validation code cannot be prepared: {failure.value}: {detail}")
        self.failure = failure
        self.detail = detail


class WorkerFailure(HostError):
    """The host failed, not the guest."""


class PossiblyInvalid(SandboxError):
    """A job ended in a way that is likely, but not certain, to be the candidate's doing."""
