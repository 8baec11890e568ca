"""Child-trie storage: ``sp_io::default_child_storage`` [sp-io].

``storage_key`` names the child trie; its root lives in the top trie under ``:child_storage:default:`` ++
storage_key.
"""

from host_functions.abi import U32, Bool, Buffer, Bytes, OptionBytes, OptionU32, Removal, RemovedFrom
from host_functions.declare import host_function

_INTERFACE = "default_child_storage"


@host_function(_INTERFACE)
def get(storage_key: Bytes, key: Bytes) -> OptionBytes:
    """Value under ``key`` in the child trie, or ``None``."""


@host_function(_INTERFACE)
def read(storage_key: Bytes, key: Bytes, value_out: Buffer, value_offset: U32) -> OptionU32:
    """As `storage.read`, in the child trie."""


@host_function(_INTERFACE)
def set(storage_key: Bytes, key: Bytes, value: Bytes) -> None:
    """Store ``value`` under ``key`` in the child trie."""


@host_function(_INTERFACE)
def clear(storage_key: Bytes, key: Bytes) -> None:
    """Delete ``key`` from the child trie."""


@host_function(_INTERFACE, version=1, method="storage_kill")
def storage_kill_version_1(storage_key: Bytes) -> None:
    """Delete the whole child trie."""


@host_function(_INTERFACE, version=2, method="storage_kill")
def storage_kill_version_2(storage_key: Bytes, limit: OptionU32) -> Bool:
    """Delete the child trie, at most ``limit`` keys of the backend; whether all were removed."""


@host_function(_INTERFACE, version=3)
def storage_kill(storage_key: Bytes, limit: OptionU32) -> Removal:
    """Delete the child trie, at most ``limit`` keys of the backend."""


@host_function(_INTERFACE, version=4, method="storage_kill")
def storage_kill_from(storage_key: Bytes, limit: OptionU32, cursor: OptionBytes) -> RemovedFrom:
    """As `storage_kill`, beginning in the backend with the key ``cursor`` that an earlier call returned."""


@host_function(_INTERFACE)
def exists(storage_key: Bytes, key: Bytes) -> Bool:
    """Whether ``key`` has a value in the child trie."""


@host_function(_INTERFACE, version=1, method="clear_prefix")
def clear_prefix_version_1(storage_key: Bytes, prefix: Bytes) -> None:
    """Delete every key of the child trie that starts with ``prefix``."""


@host_function(_INTERFACE, version=2)
def clear_prefix(storage_key: Bytes, prefix: Bytes, limit: OptionU32) -> Removal:
    """As `storage.clear_prefix`, in the child trie."""


@host_function(_INTERFACE, version=3, method="clear_prefix")
def clear_prefix_from(
    storage_key: Bytes, prefix: Bytes, limit: OptionU32, cursor: OptionBytes
) -> RemovedFrom:
    """As `storage.clear_prefix_from`, in the child trie."""


@host_function(_INTERFACE, version=1, method="root")
def root_version_1(storage_key: Bytes) -> Bytes:
    """Root of the child trie in state version 0."""


@host_function(_INTERFACE, version=2)
def root(storage_key: Bytes, state_version: U32) -> Bytes:
    """Root of the child trie in ``state_version``. 32 bytes."""


@host_function(_INTERFACE)
def next_key(storage_key: Bytes, key: Bytes) -> OptionBytes:
    """The smallest key of the child trie greater than ``key``, or ``None``."""
