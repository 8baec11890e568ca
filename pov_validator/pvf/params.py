"""What validators grant a validation function: executor parameters, timeouts, and who asks.

Follows ``ExecutorParams`` of ``polkadot-primitives`` and the limits of the node's PVF host [polkadot-pvf]. Sizes are
in bytes, memory in pages of 64 KiB, times in seconds of CPU time. Not modelled: parameters that change between
sessions: a `PvfHost` has one set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from host_functions.compressed_blob import VALIDATION_CODE_BOMB_LIMIT
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import Codec, decode_compact, u8, u32, u64

__all__ = ["WALL_CLOCK_FACTOR", "ExecKind", "ExecutorParams", "PrepareKind"]

WALL_CLOCK_FACTOR: Final = 4
"""A job is killed from outside when it takes this many times its timeout of the time that passes: CPU time does not
count what a job waits, and a stuck one does not count at all."""
PAGE: Final = 65536
HEAP_ESTIMATE: Final = 32
"""Pages for the code's own data, granted on top of `ExecutorParams.max_memory_pages`."""
MAX_ENCODED_PARAMS: Final = 64
"""Parameters that are looked at in an encoded set: there are eight kinds, each at most a few times."""
MAX_PAGES: Final = 65_536
"""Pages of the largest memory Wasm can address."""
MAX_TIMEOUT: Final = float(1 << 20)
"""Seconds; twelve days are enough for anything."""
MIB: Final = 1024 * 1024


class ExecKind(Enum):
    """Why a candidate is executed; ``PvfExecKind``."""

    BACKING = "backing"
    """Once, quickly: a backer who is not sure does not back."""
    APPROVAL = "approval"
    """Approval checking and disputes: patiently, and a second time if the first says nothing about the candidate."""

    @property
    def attempts(self) -> int:
        """Executions at most, as ``validate_candidate_with_retry`` has it [polkadot-candidate-validation]."""
        return 1 if self is ExecKind.BACKING else 2


class PrepareKind(Enum):
    """Why code is compiled; ``PvfPrepKind``."""

    PRECHECK = "precheck"
    """Before the relay chain accepts it: strictly, since every validator must manage."""
    PREPARE = "prepare"
    """To execute it: leniently, since it was accepted before."""


@dataclass(frozen=True, slots=True)
class ExecutorParams:
    """One set of executor parameters, with Polkadot's defaults."""

    max_memory_pages: int = 2048
    """Pages of heap; ``MaxMemoryPages``."""
    stack_logical_max: int = 65_536
    """Values on the stack; ``StackLogicalMax``."""
    stack_native_max: int = 256 * MIB
    """Bytes of machine stack; ``StackNativeMax``."""
    preparation_memory: int = 4096 * MIB
    """Bytes that the compiler may allocate; ``PrecheckingMaxMemory``, for every preparation."""
    precheck_timeout: float = 60.0
    prepare_timeout: float = 360.0
    backing_timeout: float = 2.0
    approval_timeout: float = 12.0
    bulk_memory: bool = False
    """Whether the bulk memory instructions are accepted; ``WasmExtBulkMemory``."""
    relay_state: bool = True
    """Whether the host answers reads of the relay chain's state: the proposal's counterpart of
    ``EnabledHostFunction``. Without, a candidate finds exactly what Polkadot provides today."""
    refuse_unknown_imports: bool = False
    """Whether code that imports a function nobody knows is refused when it is prepared. Polkadot accepts it and stops
    the candidate that calls the function, and so do we unless this is set."""
    code_bomb_limit: int = VALIDATION_CODE_BOMB_LIMIT
    """Bytes that code may decompress to; ``validation_code_bomb_limit``."""

    @property
    def memory_pages(self) -> int:
        """Pages of memory a guest may have in all."""
        return self.max_memory_pages + HEAP_ESTIMATE

    @property
    def memory_bytes(self) -> int:
        """The same in bytes: nothing that a guest says is longer."""
        return self.memory_pages * PAGE

    def execution_timeout(self, kind: ExecKind) -> float:
        return self.backing_timeout if kind is ExecKind.BACKING else self.approval_timeout

    def preparation_timeout(self, kind: PrepareKind) -> float:
        return self.precheck_timeout if kind is PrepareKind.PRECHECK else self.prepare_timeout

    @classmethod
    def decode(cls, data: bytes) -> ExecutorParams:
        """Polkadot's defaults with the changes that an encoded ``ExecutorParams`` makes. Raises `ScaleError`.

        A parameter that this host does not know is an error: it could not judge as the others do. So are values
        that the relay chain itself refuses (``ExecutorParams::check_consistency``).
        """
        params = cls()
        count, offset = decode_compact(data, 0)
        if count > MAX_ENCODED_PARAMS:
            raise ScaleError(f"{count} parameters announced", what="ExecutorParams", offset=0)
        seen: set[bytes] = set()
        for _ in range(count):
            begin = offset
            index, offset = u8.decode_prefix(data, offset)
            if index in _SCALARS:
                codec, change = _SCALARS[index]
                value, offset = codec.decode_prefix(data, offset)
                params = change(params, value)
            elif index in _TIMEOUTS:
                kind, offset = u8.decode_prefix(data, offset)
                milliseconds, offset = u64.decode_prefix(data, offset)
                if kind >= len(_TIMEOUTS[index]):
                    raise ScaleError(f"no timeout of kind {kind}", what="ExecutorParams", offset=offset)
                params = _TIMEOUTS[index][kind](params, milliseconds / 1000)
            elif index == BULK_MEMORY:
                params = replace(params, bulk_memory=True)
            else:
                raise ScaleError(f"unknown parameter {index}", what="ExecutorParams", offset=offset)
            name = data[begin : begin + (2 if index in _TIMEOUTS else 1)]
            if name in seen:
                raise ScaleError(f"parameter {index} a second time", what="ExecutorParams", offset=begin)
            seen.add(name)
        if offset != len(data):
            raise ScaleError(f"{len(data) - offset} trailing bytes", what="ExecutorParams", offset=offset)
        params._check()
        return params

    def _check(self) -> None:
        """Raises `ScaleError` for values that no relay chain sets."""
        for name, value, least, most in (
            ("MaxMemoryPages", self.max_memory_pages, 0, MAX_PAGES),
            ("StackLogicalMax", self.stack_logical_max, 1024, 2 * 65_536),
            ("StackNativeMax", self.stack_native_max, 128 * self.stack_logical_max, 1 << 32),
            ("PrecheckingMaxMemory", self.preparation_memory, 256 * MIB, 16_384 * MIB),
            ("PvfPrepTimeout", self.precheck_timeout, 0.001, MAX_TIMEOUT),
            ("PvfPrepTimeout", self.prepare_timeout, 0.001, MAX_TIMEOUT),
            ("PvfExecTimeout", self.backing_timeout, 0.001, MAX_TIMEOUT),
            ("PvfExecTimeout", self.approval_timeout, 0.001, MAX_TIMEOUT),
        ):
            if not least <= value <= most:
                raise ScaleError(f"{name} is {value:g}, outside {least:g} to {most:g}", what="ExecutorParams")


_SCALARS: Final[dict[int, tuple[Codec[int], Callable[[ExecutorParams, Any], ExecutorParams]]]] = {
    1: (u32, lambda params, value: replace(params, max_memory_pages=value)),
    2: (u32, lambda params, value: replace(params, stack_logical_max=value)),
    3: (u32, lambda params, value: replace(params, stack_native_max=value)),
    4: (u64, lambda params, value: replace(params, preparation_memory=value)),
}
_TIMEOUTS: Final[dict[int, tuple[Callable[[ExecutorParams, float], ExecutorParams], ...]]] = {
    5: (
        lambda params, value: replace(params, precheck_timeout=value),
        lambda params, value: replace(params, prepare_timeout=value),
    ),
    6: (
        lambda params, value: replace(params, backing_timeout=value),
        lambda params, value: replace(params, approval_timeout=value),
    ),
}
BULK_MEMORY: Final = 7
