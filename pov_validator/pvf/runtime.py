"""A validation function as a `Runtime`: whatever takes a runtime can have it run in a worker process."""

from __future__ import annotations

import os
from functools import cache

from host_functions.contexts.base import HostContext
from pov_validator.pvf.host import PvfHost
from pov_validator.pvf.params import ExecKind, ExecutorParams
from runtime.primitives.hashing import blake2_256

__all__ = ["PvfRuntime", "shared_host"]


@cache
def shared_host(params: ExecutorParams) -> PvfHost:
    """The host of this process for these parameters: its workers serve everybody who asks."""
    return PvfHost(params)


# Two processes that spoke to the same worker would take each other's answers.
os.register_at_fork(after_in_child=shared_host.cache_clear)


class PvfRuntime:
    """Validation code as it stands on chain. Nothing of it is looked at in this process; not even whether it is Wasm,
    which the first call, or `prepare`, will tell."""

    def __init__(
        self, code: bytes, host: PvfHost | None = None, *, kind: ExecKind = ExecKind.BACKING
    ) -> None:
        """``host``: by default the `shared_host` for Polkadot's parameters. ``kind``: who asks, which decides the
        timeout and the attempts.
        """
        self.code = code
        self.code_hash = blake2_256(code)
        self.kind = kind
        self._host = host or shared_host(ExecutorParams())

    @property
    def attempts(self) -> int:
        """How often a job may be tried that ends without saying anything about the candidate."""
        return self.kind.attempts

    def as_kind(self, kind: ExecKind) -> PvfRuntime:
        """The same code in the same host, asked by somebody else."""
        return PvfRuntime(self.code, self._host, kind=kind)

    def prepare(self) -> None:
        """Compile the code ahead of the first call. Raises `PreparationFailed`, `WorkerFailure`."""
        self._host.prepare(self.code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """See `host_functions.executor.Runtime.call`; raises what `PvfHost.execute` does.

        Any entry point can be called, but only what a validation function finds is provided.
        """
        return self._host.execute(self.code, self.code_hash, entry_point, argument, context, self.kind)

    def __repr__(self) -> str:
        return f"<validation function of {len(self.code)} bytes, code hash 0x{self.code_hash.hex()[:16]}…>"
