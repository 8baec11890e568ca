"""The validation functions that validators have: what the relay chain's state holds, compiled when first needed.

A Python runtime is no Wasm: what stands for its code in relay state is a canonical archive of its source, and its
validators are handed the runtime itself. Not modelled: preparation in advance, and pruning of code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from host_functions.compressed_blob import VALIDATION_CODE_BOMB_LIMIT, BlobError
from host_functions.executor import Runtime
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmRuntime
from host_functions.executor.wasm.heap import PVF_HEAP

__all__ = ["ValidationCodes"]


class ValidationCodes(Mapping[bytes, Runtime]):
    """Runtimes by code hash (32 bytes). Code that is not on chain, or cannot be run, is not there."""

    def __init__(
        self,
        on_chain: Callable[[bytes], bytes | None],
        known: Mapping[bytes, Runtime],
        cache: CompileCache | None,
    ) -> None:
        """`on_chain` gives the code with a hash as the relay chain has it; `known` needs no compiling."""
        self._on_chain = on_chain
        self._runtimes: dict[bytes, Runtime] = dict(known)
        self._cache = cache

    def __getitem__(self, code_hash: bytes) -> Runtime:
        if code_hash not in self._runtimes:
            code = self._on_chain(code_hash)
            if code is None:
                raise KeyError(code_hash)
            try:
                self._runtimes[code_hash] = WasmRuntime(
                    code, heap=PVF_HEAP, cache=self._cache, bomb_limit=VALIDATION_CODE_BOMB_LIMIT
                )
            except (BlobError, InvalidCode) as error:
                raise KeyError(code_hash) from error
        return self._runtimes[code_hash]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._runtimes)

    def __len__(self) -> int:
        """Runtimes that have been needed so far."""
        return len(self._runtimes)
