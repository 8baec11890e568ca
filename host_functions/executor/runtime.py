"""What every engine offers: a runtime entered by API name with SCALE bytes.

The counterpart of ``sp_core::traits::CodeExecutor`` [sc-executor]. Node-side code drives Python runtimes,
frozen runtimes and real blobs through this one protocol.
"""

from __future__ import annotations

from typing import Protocol

from host_functions.contexts.base import HostContext

__all__ = ["Runtime"]


class Runtime(Protocol):
    """A runtime that can be called."""

    @property
    def code(self) -> bytes:
        """What stands under ``:code``: the Wasm blob, or a canonical archive of a Python runtime's source."""

    @property
    def code_hash(self) -> bytes:
        """``blake2_256`` of `code`, 32 bytes: the validation code hash of a candidate."""

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """Call ``entry_point`` (``Core_version``, ``validate_block`` …) with SCALE bytes; SCALE bytes come
        back.

        Raises `SandboxError` when the guest fails, `HostError` when the context could not answer a host call.
        """
