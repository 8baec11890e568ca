"""The version of a runtime, as `Core_version` and the `runtime_version` section report it.

Follows `sp_version::RuntimeVersion` [sp-version] in its present form. Not modelled: the shorter forms of
runtimes built before 2022, which lack the last one or two fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from runtime.primitives.hashing import blake2_64
from runtime.primitives.scale import U8, U32, Bytes8, Struct

ApiId: TypeAlias = Bytes8


@dataclass(frozen=True, slots=True)
class RuntimeVersion(Struct):
    """Names, versions and offered runtime APIs.

    `system_version` decides the state versions of state and extrinsics.
    """

    spec_name: str
    impl_name: str
    authoring_version: U32
    spec_version: U32
    impl_version: U32
    apis: tuple[tuple[ApiId, U32], ...]
    transaction_version: U32
    system_version: U8

    def has_api(self, name: str, version: int) -> bool:
        """Whether the runtime offers exactly this version of the runtime API trait `name`."""
        return (api_id(name), version) in self.apis

    @property
    def state_version(self) -> int:
        """State version (0 or 1) of the state trie [RFC-42]."""
        return min(self.system_version, 1)

    @property
    def extrinsics_root_state_version(self) -> int:
        """State version (0 or 1) of the extrinsics root [RFC-42]."""
        return 1 if self.system_version >= 2 else 0


def api_id(name: str) -> bytes:
    """The identifier of a runtime API trait, 8 bytes: BLAKE2b-64 of its name."""
    return blake2_64(name.encode("utf-8"))
