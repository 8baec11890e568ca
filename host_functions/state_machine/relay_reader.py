"""What an execution needs of whoever answers its reads of the relay chain's state.

The answerers are the host's (`host_functions.relay_state`). `Externalities` knows them because their reads
count towards the proof size and are taken back with a host-level transaction. Follows ``RelayStateReader`` of
``cumulus-primitives-additional-data`` [sdk-13022].
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["RelayStateReader"]


class RelayStateReader(Protocol):
    """Answers reads of the relay chain's state for one block, and knows what they touched."""

    def read(self, key: bytes, /) -> bytes | None:
        """Value under ``key``, ``None`` if provably absent. Raises `StateUnavailable` or `WitnessMissing`."""

    def proof_size(self) -> int:
        """Bytes of the touched nodes, each with its compact length prefix."""

    def nodes(self) -> tuple[bytes, ...]:
        """The touched nodes and detached values, sorted, each once."""

    def additional_data(self) -> dict[str, bytes] | None:
        """Root and proof of what was read, as the block carries them; ``None`` if nothing was read."""

    def commitment(self) -> bytes | None:
        """Hash of `additional_data` for the block's header, 32 bytes; ``None`` if nothing was read."""

    def start_transaction(self) -> None:
        """Open a transaction of the host."""

    def commit_transaction(self) -> None:
        """Keep what was touched since `start_transaction`."""

    def rollback_transaction(self) -> None:
        """Forget what was touched since `start_transaction`."""
