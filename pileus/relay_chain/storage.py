"""The relay chain's storage items that the model reads and writes, typed.

Keys and value types are the real ones [polkadot-primitives], see `runtime.primitives.relay_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pileus.relay_chain.state import StateDatabase
from runtime.primitives import relay_keys
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHostConfiguration,
    InboundDownwardMessage,
    mqc_head,
)
from runtime.primitives.scale import byte_vec, u32, u64, vec

__all__ = ["RelayState", "RelayStateBuilder"]

_DOWNWARD_MESSAGES = vec(InboundDownwardMessage.codec())


class RelayState:
    """The state at one root, by meaning. Every read may raise `StateUnavailable`."""

    def __init__(self, database: StateDatabase, root: bytes) -> None:
        self._database = database
        self.root = root

    def get(self, key: bytes) -> bytes | None:
        """The value under a raw key."""
        return self._database.get(self.root, key)

    def para_head(self, para_id: int) -> bytes | None:
        """Head data of the para's last included block; ``None`` for a para that is not registered."""
        value = self.get(relay_keys.para_head(para_id))
        return None if value is None else byte_vec.decode(value)

    def code_hash(self, para_id: int) -> bytes | None:
        """Hash of the para's validation code, 32 bytes."""
        return self.get(relay_keys.current_code_hash(para_id))

    def host_configuration(self) -> AbridgedHostConfiguration:
        """The limits in force."""
        return AbridgedHostConfiguration.decode_prefix(self.get(relay_keys.ACTIVE_CONFIG) or b"")[0]

    def epoch_index(self) -> int:
        """Number of the epoch, which in this model is also the session index."""
        return u64.decode(self.get(relay_keys.EPOCH_INDEX) or b"")

    def downward_messages(self, para_id: int) -> tuple[InboundDownwardMessage, ...]:
        """Messages from the relay chain that the para has not processed, oldest first."""
        value = self.get(relay_keys.downward_message_queue(para_id))
        return () if value is None else _DOWNWARD_MESSAGES.decode(value)

    def downward_mqc_head(self, para_id: int) -> bytes:
        """Head of the chain over all downward messages ever sent to the para, 32 bytes; zero before the first."""
        return self.get(relay_keys.dmq_mqc_head(para_id)) or EMPTY_MQC_HEAD


class RelayStateBuilder(RelayState):
    """A state under construction: what was written is what is read, the rest is the base state's."""

    def __init__(self, database: StateDatabase, root: bytes) -> None:
        super().__init__(database, root)
        self._changes: dict[bytes, bytes | None] = {}

    @property
    def changes(self) -> Mapping[bytes, bytes | None]:
        """What differs from the base state; ``None`` deletes."""
        return self._changes

    def get(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else super().get(key)

    def set(self, key: bytes, value: bytes | None) -> None:
        """Write a raw value, or delete with ``None``."""
        self._changes[key] = value

    def update(self, entries: Mapping[bytes, bytes]) -> None:
        """Write several raw values."""
        self._changes.update(entries)

    def set_current_slot(self, slot: int) -> None:
        self.set(relay_keys.CURRENT_SLOT, u64.encode(slot))

    def note_new_head(self, para_id: int, head_data: bytes, context: int) -> None:
        """A candidate was included: its head, and the number of the relay parent it was built on."""
        self.set(relay_keys.para_head(para_id), byte_vec.encode(head_data))
        self.set(relay_keys.most_recent_context(para_id), u32.encode(context))

    def queue_downward_message(self, para_id: int, message: bytes, sent_at: int) -> None:
        """Append to the para's queue and to the chain over it."""
        queue = (*self.downward_messages(para_id), InboundDownwardMessage(sent_at, message))
        self._set_queue(para_id, queue)
        head = mqc_head(self.downward_mqc_head(para_id), sent_at, message)
        self.set(relay_keys.dmq_mqc_head(para_id), head)

    def prune_downward_messages(self, para_id: int, processed: int) -> None:
        """Drop the oldest messages. The chain over the queue does not change."""
        if processed:
            self._set_queue(para_id, self.downward_messages(para_id)[processed:])

    def _set_queue(self, para_id: int, queue: Sequence[InboundDownwardMessage]) -> None:
        key = relay_keys.downward_message_queue(para_id)
        self.set(key, _DOWNWARD_MESSAGES.encode(tuple(queue)) if queue else None)
