"""Bounds of the messaging protocol. All are configuration; every one is enforced before the work it
bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.pallets.state_messaging.lanes import OUTCOME_WINDOW


@dataclass(frozen=True, slots=True)
class Limits:
    """Start values; HRMP's where HRMP has one."""

    max_message_size: int = 102_400
    """Bytes of a payload; HRMP's ``hrmp_channel_max_message_size``."""
    max_messages_per_item: int = 256
    """Proof bytes per message hardly fall beyond this. Also bounds the runs of an unordered lane, the
    acknowledgements and the timeout claims of one item."""
    max_tail: int = 256
    """Commitments behind the bodies of a batch in head mode, 32 bytes each."""
    max_siblings_per_block: int = 100
    """Items in one inherent."""
    max_proof_nodes: int = 2_048
    """Trie nodes in one item."""
    max_proof_bytes: int = 256 * 1024
    """Bytes of the trie nodes in one item."""
    max_node_size: int = 64 * 1024
    """Bytes of one trie node."""
    max_inherent_bytes: int = 10 * 1024 * 1024 // 3
    """Proofs and payloads of all items: a third of Polkadot's largest PoV."""
    max_in_flight_messages: int = OUTCOME_WINDOW
    """Messages of a lane that the destination has not acknowledged; `send` refuses more. Not above the number
    of outcomes that a destination remembers."""
    max_in_flight_bytes: int = 1024 * 1024
    """Encoded bodies of those messages."""
    max_prune_per_block: int = 512
    """Messages released by acknowledgements in one block."""
    max_timeout: int = 30 * 24 * 3600 * 1000
    """Milliseconds from now; 30 days."""
    remembered_heads: int = 32
    """Heads of one sibling that stay usable: about three minutes at one block in six seconds."""

    def __post_init__(self) -> None:
        if not 0 < self.max_in_flight_messages <= OUTCOME_WINDOW:
            raise ValueError(f"max_in_flight_messages must be 1 to {OUTCOME_WINDOW}")
        if not 0 < self.remembered_heads <= 255:
            raise ValueError("remembered_heads must be 1 to 255")


DEFAULT_LIMITS = Limits()
