"""Bounds of the messaging protocol. All are configuration; every one is enforced before the work it
bounds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Start values; HRMP's where HRMP has one."""

    max_message_size: int = 102_400
    """Bytes of a payload; HRMP's ``hrmp_channel_max_message_size``."""
    max_messages_per_item: int = 256
    """Proof bytes per message hardly fall beyond this."""
    max_siblings_per_block: int = 100
    """Items in one inherent."""
    max_proof_nodes: int = 2_048
    """Trie nodes in one item."""
    max_proof_bytes: int = 256 * 1024
    """Bytes of the trie nodes in one item."""
    max_inherent_bytes: int = 10 * 1024 * 1024 // 3
    """Proofs and payloads of all items: a third of Polkadot's largest PoV."""
    max_in_flight_messages: int = 1_024
    """Messages of a lane that the destination has not acknowledged; `send` refuses more."""
    max_in_flight_bytes: int = 1024 * 1024
    """Encoded bodies of those messages."""
    max_timeout: int = 30 * 24 * 3600 * 1000
    """Milliseconds from now; 30 days."""


DEFAULT_LIMITS = Limits()
