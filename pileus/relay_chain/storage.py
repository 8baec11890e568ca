"""The relay chain's storage items that the model reads and writes, typed.

Keys and value types are the real ones [polkadot-primitives], see `runtime.primitives.relay_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pileus.relay_chain.state import StateDatabase
from runtime.primitives import relay_keys
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHostConfiguration,
    InboundDownwardMessage,
    InboundHrmpMessage,
    OutboundHrmpMessage,
    mqc_head,
)
from runtime.primitives.scale import H256, U32, U128, Struct, byte_vec, tuple_of, u32, u64, vec

__all__ = ["HrmpChannel", "RelayState", "RelayStateBuilder"]


@dataclass(frozen=True, slots=True)
class HrmpChannel(Struct):
    """A channel between two paras. Its first fields are an `AbridgedHrmpChannel`, which is what paras read."""

    max_capacity: U32
    """Messages."""
    max_total_size: U32
    """Bytes of all messages that wait."""
    max_message_size: U32
    msg_count: U32
    total_size: U32
    mqc_head: H256 | None
    sender_deposit: U128
    recipient_deposit: U128


_DOWNWARD_MESSAGES = vec(InboundDownwardMessage.codec())
_HORIZONTAL_MESSAGES = vec(InboundHrmpMessage.codec())
_DIGEST = vec(tuple_of(u32, vec(u32)))
_PARAS = vec(u32)


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

    def hrmp_channel(self, sender: int, recipient: int) -> HrmpChannel | None:
        """The channel from one para to another; ``None`` if none is open."""
        value = self.get(relay_keys.hrmp_channel(sender, recipient))
        return None if value is None else HrmpChannel.decode(value)

    def hrmp_messages(self, sender: int, recipient: int) -> tuple[InboundHrmpMessage, ...]:
        """Messages that wait in a channel, oldest first."""
        value = self.get(relay_keys.hrmp_channel_contents(sender, recipient))
        return () if value is None else _HORIZONTAL_MESSAGES.decode(value)

    def hrmp_senders(self, para_id: int) -> tuple[int, ...]:
        """The paras that have a channel to this one, ascending."""
        return _PARAS.decode(self.get(relay_keys.hrmp_ingress_channel_index(para_id)) or b"\0")

    def hrmp_recipients(self, para_id: int) -> tuple[int, ...]:
        """The paras that this one has a channel to, ascending."""
        return _PARAS.decode(self.get(relay_keys.hrmp_egress_channel_index(para_id)) or b"\0")

    def hrmp_digest(self, para_id: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """The blocks with messages to the para that it has not processed, ascending, and who sent them."""
        value = self.get(relay_keys.hrmp_channel_digests(para_id))
        return () if value is None else _DIGEST.decode(value)

    def hrmp_watermark(self, para_id: int) -> int | None:
        """The block up to which the para has processed its messages; ``None`` before its first candidate."""
        value = self.get(relay_keys.hrmp_watermark(para_id))
        return None if value is None else u32.decode(value)

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

    def open_hrmp_channel(self, sender: int, recipient: int, limits: HrmpChannel) -> None:
        """Open an empty channel."""
        self.set(relay_keys.hrmp_channel(sender, recipient), limits.encode())
        ingress = sorted({*self.hrmp_senders(recipient), sender})
        egress = sorted({*self.hrmp_recipients(sender), recipient})
        self.set(relay_keys.hrmp_ingress_channel_index(recipient), _PARAS.encode(tuple(ingress)))
        self.set(relay_keys.hrmp_egress_channel_index(sender), _PARAS.encode(tuple(egress)))

    def queue_hrmp_messages(self, sender: int, messages: Sequence[OutboundHrmpMessage], sent_at: int) -> None:
        """Put a candidate's horizontal messages into their channels. ``queue_outbound_hrmp``."""
        for message in messages:
            channel = self.hrmp_channel(sender, message.recipient)
            if channel is None:
                continue
            head = mqc_head(channel.mqc_head or EMPTY_MQC_HEAD, sent_at, message.data)
            self._set_channel(
                sender,
                message.recipient,
                replace(
                    channel,
                    msg_count=channel.msg_count + 1,
                    total_size=channel.total_size + len(message.data),
                    mqc_head=head,
                ),
                (*self.hrmp_messages(sender, message.recipient), InboundHrmpMessage(sent_at, message.data)),
            )
            digest = self.hrmp_digest(message.recipient)
            if digest and digest[-1][0] == sent_at:
                digest = (*digest[:-1], (sent_at, (*digest[-1][1], sender)))
            else:
                digest = (*digest, (sent_at, (sender,)))
            self._set_digest(message.recipient, digest)

    def prune_hrmp_messages(self, recipient: int, watermark: int) -> None:
        """Drop what a para has processed, up to a block. ``prune_hrmp``."""
        digest = self.hrmp_digest(recipient)
        senders = sorted({sender for number, who in digest if number <= watermark for sender in who})
        for sender in senders:
            channel = self.hrmp_channel(sender, recipient)
            waiting = self.hrmp_messages(sender, recipient)
            left = tuple(message for message in waiting if message.sent_at > watermark)
            if channel is not None:
                size = sum(len(message.data) for message in left)
                self._set_channel(
                    sender, recipient, replace(channel, msg_count=len(left), total_size=size), left
                )
        if senders:
            self._set_digest(recipient, tuple(entry for entry in digest if entry[0] > watermark))
        self.set(relay_keys.hrmp_watermark(recipient), u32.encode(watermark))

    def _set_channel(
        self, sender: int, recipient: int, channel: HrmpChannel, messages: tuple[InboundHrmpMessage, ...]
    ) -> None:
        self.set(relay_keys.hrmp_channel(sender, recipient), channel.encode())
        contents = relay_keys.hrmp_channel_contents(sender, recipient)
        self.set(contents, _HORIZONTAL_MESSAGES.encode(messages) if messages else None)

    def _set_digest(self, recipient: int, digest: tuple[tuple[int, tuple[int, ...]], ...]) -> None:
        self.set(relay_keys.hrmp_channel_digests(recipient), _DIGEST.encode(digest) if digest else None)

    def _set_queue(self, para_id: int, queue: Sequence[InboundDownwardMessage]) -> None:
        key = relay_keys.downward_message_queue(para_id)
        self.set(key, _DOWNWARD_MESSAGES.encode(tuple(queue)) if queue else None)
