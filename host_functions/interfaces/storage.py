"""Top-trie storage: ``sp_io::storage`` [sp-io].

Keys under ``:child_storage:`` belong to child tries and are refused by `set` and `clear`. Versions as real
blobs import them; `root` and `clear_prefix` name the newest, older versions carry their number.
"""

from host_functions.abi import U32, Bool, Buffer, Bytes, OptionBytes, OptionU32, Removal, RemovedFrom
from host_functions.declare import host_function


@host_function("storage")
def set(key: Bytes, value: Bytes) -> None:
    """Store ``value`` under ``key``."""


@host_function("storage")
def get(key: Bytes) -> OptionBytes:
    """Value under ``key``, or ``None``. ``None`` is proven absence; a state that cannot answer raises."""


@host_function("storage")
def read(key: Bytes, value_out: Buffer, value_offset: U32) -> OptionU32:
    """Copy the value from ``value_offset`` on into ``value_out``; bytes the value has from there on, or
    ``None``.
    """


@host_function("storage")
def clear(key: Bytes) -> None:
    """Delete ``key``."""


@host_function("storage")
def exists(key: Bytes) -> Bool:
    """Whether ``key`` has a value. Does not load a value that is stored apart from its node (layout V1)."""


@host_function("storage", version=1, method="clear_prefix")
def clear_prefix_version_1(prefix: Bytes) -> None:
    """Delete every key that starts with ``prefix``."""


@host_function("storage", version=2)
def clear_prefix(prefix: Bytes, limit: OptionU32) -> Removal:
    """Delete keys starting with ``prefix``: all of the overlay, and at most ``limit`` of the backend."""


@host_function("storage", version=3, method="clear_prefix")
def clear_prefix_from(prefix: Bytes, limit: OptionU32, cursor: OptionBytes) -> RemovedFrom:
    """As `clear_prefix`, beginning in the backend with the key ``cursor`` that an earlier call returned."""


@host_function("storage")
def append(key: Bytes, value: Bytes) -> None:
    """Append one SCALE-encoded item to the SCALE vector under ``key``; start a new vector if there is
    none.
    """


@host_function("storage", version=1, method="root")
def root_version_1() -> Bytes:
    """Storage root in state version 0, child roots included."""


@host_function("storage", version=2)
def root(state_version: U32) -> Bytes:
    """Storage root of the current changes in ``state_version`` (0 or 1), child roots included. 32 bytes."""


@host_function("storage")
def changes_root(parent_hash: Bytes) -> OptionBytes:
    """Root of the retired changes trie; always ``None``."""


@host_function("storage")
def next_key(key: Bytes) -> OptionBytes:
    """The smallest key greater than ``key``, or ``None``."""


@host_function("storage")
def start_transaction() -> None:
    """Open a nested storage transaction."""


@host_function("storage")
def rollback_transaction() -> None:
    """Discard the innermost transaction. Traps when none is open."""


@host_function("storage")
def commit_transaction() -> None:
    """Merge the innermost transaction into the one around it. Traps when none is open."""
