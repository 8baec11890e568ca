"""The validation functions that validators have: what the relay chain's state holds, run in worker processes.

A Python runtime is no Wasm: what stands for its code in relay state is a canonical archive of its source, and its
validators are handed the runtime itself. All other code is a stranger's. Not modelled: pruning of code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from host_functions.executor import Runtime
from host_functions.executor.archive import MAGIC
from pov_validator.pvf import PvfHost, PvfRuntime

__all__ = ["ValidationCodes"]


class ValidationCodes(Mapping[bytes, Runtime]):
    """Runtimes by code hash (32 bytes). Code that is not on chain is not there, nor an archive that is not known."""

    def __init__(
        self,
        on_chain: Callable[[bytes], bytes | None],
        known: Mapping[bytes, Runtime],
        host: PvfHost | None = None,
    ) -> None:
        """`on_chain` gives the code with a hash as the relay chain has it; `known` needs no worker.

        `known` may grow. `host` runs the workers; by default those that this process shares.
        """
        self._on_chain = on_chain
        self._known = known
        self._runtimes: dict[bytes, Runtime] = {}
        self._host = host

    def __getitem__(self, code_hash: bytes) -> Runtime:
        if code_hash in self._known:
            return self._known[code_hash]
        if code_hash not in self._runtimes:
            code = self._on_chain(code_hash)
            if code is None or code.startswith(MAGIC):
                raise KeyError(code_hash)
            self._runtimes[code_hash] = PvfRuntime(code, self._host)
        return self._runtimes[code_hash]

    def __iter__(self) -> Iterator[bytes]:
        return iter({**self._known, **self._runtimes})

    def __len__(self) -> int:
        """Runtimes that are known or have been needed so far."""
        return len({**self._known, **self._runtimes})
