"""What an offchain worker finds: a node without surroundings.

Nothing here reaches outside the process, and nothing depends on when or where it runs. The clock and the
random seed are what the caller says, transactions are collected for the caller to look at, there is no
network, so that no HTTP request begins and every other is unknown, and the offchain database is a dictionary that lasts
as long as the context. Sleeping returns at once and moves the clock.

Follows ``sp_io::offchain`` [sp-io]. Not modelled: forks of the ``local`` kind of storage.
"""

from __future__ import annotations

from collections.abc import Sequence

from host_functions.contexts.base import HostContext
from host_functions.errors import PileusError
from host_functions.interfaces import offchain, transaction_index

__all__ = ["OffchainWorker", "TransactionIndex", "UnknownStorageKind"]

STORAGE_KINDS = (1, 2)
"""``StorageKind``: persistent, local."""
NO_SUCH_REQUEST = 3
"""``HttpError::Invalid``."""
STATUS_INVALID = 2
"""``HttpRequestStatus::Invalid``."""


class UnknownStorageKind(PileusError):
    """A number that names no kind of offchain storage; polkadot-sdk traps [sp-io]."""


class OffchainWorker(HostContext, complete=(offchain,)):
    """Answers for offchain workers. Every attribute may be set by the caller."""

    def __init__(
        self, *, is_validator: bool = False, timestamp: int = 0, random_seed: bytes = bytes(32)
    ) -> None:
        """``timestamp``: milliseconds since 1970; ``random_seed``: 32 bytes, the same at each call."""
        self.has_validator_role = is_validator
        self.now = timestamp
        self.seed = random_seed
        self.submitted: list[bytes] = []
        """Encoded extrinsics, in order; all are taken."""
        self.offchain_storage: dict[tuple[int, bytes], bytes] = {}
        """(kind, key) -> value."""

    @offchain.is_validator.implement
    def is_validator(self) -> bool:
        return self.has_validator_role

    @offchain.submit_transaction.implement
    def submit_transaction(self, data: bytes) -> bool:
        self.submitted.append(data)
        return True

    @offchain.network_state.implement
    def network_state(self) -> bytes | None:
        return None

    @offchain.timestamp.implement
    def timestamp(self) -> int:
        return self.now

    @offchain.sleep_until.implement
    def sleep_until(self, deadline: int) -> None:
        self.now = max(self.now, deadline)

    @offchain.random_seed.implement
    def random_seed(self) -> bytes:
        return self.seed

    @offchain.local_storage_set.implement
    def local_storage_set(self, kind: int, key: bytes, value: bytes) -> None:
        self.offchain_storage[_place(kind, key)] = value

    @offchain.local_storage_clear.implement
    def local_storage_clear(self, kind: int, key: bytes) -> None:
        self.offchain_storage.pop(_place(kind, key), None)

    @offchain.local_storage_compare_and_set.implement
    def local_storage_compare_and_set(
        self, kind: int, key: bytes, old_value: bytes | None, new_value: bytes
    ) -> bool:
        place = _place(kind, key)
        if self.offchain_storage.get(place) != old_value:
            return False
        self.offchain_storage[place] = new_value
        return True

    @offchain.local_storage_get.implement
    def local_storage_get(self, kind: int, key: bytes) -> bytes | None:
        return self.offchain_storage.get(_place(kind, key))

    @offchain.set_authorized_nodes.implement
    def set_authorized_nodes(self, nodes: Sequence[bytes], authorized_only: bool) -> None:
        """Nobody connects here, so there is nobody to refuse."""

    @offchain.http_request_start.implement
    def http_request_start(self, method: bytes, uri: bytes, meta: bytes) -> int | None:
        return None

    @offchain.http_request_add_header.implement
    def http_request_add_header(self, request_id: int, name: bytes, value: bytes) -> bool:
        return False

    @offchain.http_request_write_body.implement
    def http_request_write_body(self, request_id: int, chunk: bytes, deadline: int | None) -> int | None:
        return NO_SUCH_REQUEST

    @offchain.http_response_wait.implement
    def http_response_wait(self, ids: Sequence[int], deadline: int | None) -> Sequence[int]:
        return [STATUS_INVALID] * len(ids)

    @offchain.http_response_headers.implement
    def http_response_headers(self, request_id: int) -> Sequence[tuple[bytes, bytes]]:
        return ()

    @offchain.http_response_read_body.implement
    def http_response_read_body(
        self, request_id: int, buffer: bytearray, deadline: int | None
    ) -> tuple[bool, int]:
        return False, NO_SUCH_REQUEST


class TransactionIndex(HostContext, complete=(transaction_index,)):
    """Accepts the marks and forgets them: a workbench keeps every block's body anyway."""

    @transaction_index.index.implement
    def index(self, extrinsic: int, size: int, context_hash: bytes) -> None:
        """No part of the state."""

    @transaction_index.renew.implement
    def renew(self, extrinsic: int, context_hash: bytes) -> None:
        """No part of the state."""


def _place(kind: int, key: bytes) -> tuple[int, bytes]:
    if kind not in STORAGE_KINDS:
        raise UnknownStorageKind(f"offchain storage has no kind {kind}")
    return kind, key
