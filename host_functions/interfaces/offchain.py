"""What offchain workers may do: ``sp_io::offchain`` [sp-io]. Never part of block execution.

``kind`` of local storage: 1 persistent, 2 local (fork aware). Times are milliseconds since 1970. Not declared:
HTTP requests, which no runtime we know imports.
"""

from typing import Annotated

from host_functions.abi import U32, U64, Bool, Bytes, Bytes32, OptionBytes, Values, Wire
from host_functions.declare import host_function

Success = Annotated[bool, Wire(("i64",), "scale", scale="Result<(), ()>")]
NetworkState = Annotated[bytes | None, Wire(("i64",), "scale", scale="Result<OpaqueNetworkState, ()>")]
"""SCALE-encoded ``OpaqueNetworkState``, ``None`` for the error."""


@host_function("offchain")
def is_validator() -> Bool:
    """Whether the node runs with a validator's role."""


@host_function("offchain")
def submit_transaction(data: Bytes) -> Success:
    """Put an encoded extrinsic into the pool; whether it was taken."""


@host_function("offchain")
def network_state() -> NetworkState:
    """Peer id and addresses of the node."""


@host_function("offchain")
def timestamp() -> U64:
    """Now."""


@host_function("offchain")
def sleep_until(deadline: U64) -> None:
    """Return no earlier than ``deadline``."""


@host_function("offchain")
def random_seed() -> Bytes32:
    """32 random bytes."""


@host_function("offchain")
def local_storage_set(kind: U32, key: Bytes, value: Bytes) -> None:
    """Store ``value`` in the node's offchain database."""


@host_function("offchain")
def local_storage_clear(kind: U32, key: Bytes) -> None:
    """Delete ``key`` from the node's offchain database."""


@host_function("offchain")
def local_storage_compare_and_set(kind: U32, key: Bytes, old_value: OptionBytes, new_value: Bytes) -> Bool:
    """Store ``new_value`` if the value is ``old_value`` (``None``: absent); whether that was so."""


@host_function("offchain")
def local_storage_get(kind: U32, key: Bytes) -> OptionBytes:
    """Value under ``key`` in the node's offchain database, or ``None``."""


@host_function("offchain")
def set_authorized_nodes(nodes: Values, authorized_only: Bool) -> None:
    """Restrict the node's peers to ``nodes`` (encoded peer ids)."""
