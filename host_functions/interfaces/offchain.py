"""What offchain workers may do: ``sp_io::offchain`` [sp-io]. Never part of block execution.

``kind`` of local storage: 1 persistent, 2 local (fork aware). Times are milliseconds since 1970. Errors of HTTP
requests are numbers: 1 deadline reached, 2 I/O error, 3 no such request.
"""

from collections.abc import Sequence
from typing import Annotated

from host_functions.abi import U32, U64, Bool, Buffer, Bytes, Bytes32, KeyValues, OptionBytes, Values, Wire
from host_functions.declare import host_function

Success = Annotated[bool, Wire(("i64",), "scale", scale="Result<(), ()>")]
NetworkState = Annotated[bytes | None, Wire(("i64",), "scale", scale="Result<OpaqueNetworkState, ()>")]
"""SCALE-encoded ``OpaqueNetworkState``, ``None`` for the error."""
OptionDeadline = Annotated[int | None, Wire(("i64",), "scale", scale="Option<u64>")]
RequestIds = Annotated[Sequence[int], Wire(("i64",), "scale", scale="Vec<u16>")]
OptionRequestId = Annotated[int | None, Wire(("i64",), "scale", scale="Result<u16, ()>")]
"""``None`` for the error."""
OptionHttpError = Annotated[int | None, Wire(("i64",), "scale", scale="Result<(), HttpError>")]
"""``None`` if it went well."""
RequestStatuses = Annotated[Sequence[int], Wire(("i64",), "scale", scale="Vec<HttpRequestStatus>")]
"""0 deadline reached, 1 I/O error, 2 no such request; else the HTTP status of the response, 100 and above."""
ReadOrHttpError = Annotated[tuple[bool, int], Wire(("i64",), "scale", scale="Result<u32, HttpError>")]
"""Whether it went well, and the bytes read or the error."""


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


@host_function("offchain")
def http_request_start(method: Bytes, uri: Bytes, meta: Bytes) -> OptionRequestId:
    """Begin a request; its number."""


@host_function("offchain")
def http_request_add_header(request_id: U32, name: Bytes, value: Bytes) -> Success:
    """Add a header to a request that was begun."""


@host_function("offchain")
def http_request_write_body(request_id: U32, chunk: Bytes, deadline: OptionDeadline) -> OptionHttpError:
    """Send a piece of the body; an empty one ends it."""


@host_function("offchain")
def http_response_wait(ids: RequestIds, deadline: OptionDeadline) -> RequestStatuses:
    """Wait until the responses to ``ids`` begin, or the deadline is reached."""


@host_function("offchain")
def http_response_headers(request_id: U32) -> KeyValues:
    """Headers of a response; none if there is no response."""


@host_function("offchain")
def http_response_read_body(request_id: U32, buffer: Buffer, deadline: OptionDeadline) -> ReadOrHttpError:
    """Read a piece of the response's body into ``buffer``; 0 bytes at its end."""
