"""The parachain inherent: what a collator tells the runtime about the relay chain, and inbound messages.

Follows `cumulus_primitives_parachain_inherent` and `cumulus_pallet_parachain_system::parachain_inherent`
[cumulus-inherent]. The node provides the raw forms under two identifiers; the runtime turns them into the
two arguments of `set_validation_data`, in which messages past a size limit stand as their hash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    ApprovedPeerId,
    InboundDownwardMessage,
    InboundHrmpMessage,
    ParaId,
    PersistedValidationData,
)
from runtime.primitives.scale import H256, U32, Struct, btree_set, byte_vec

StorageProof: TypeAlias = Annotated[tuple[bytes, ...], btree_set(byte_vec)]
"""Trie nodes in ascending order, each once."""


# -- what the node provides --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParachainInherentDataV0(Struct):
    """Raw data under `inherent.PARACHAIN_V0`, which every parachain runtime understands."""

    validation_data: PersistedValidationData
    relay_chain_state: StorageProof
    downward_messages: tuple[InboundDownwardMessage, ...]
    horizontal_messages: dict[ParaId, tuple[InboundHrmpMessage, ...]]


@dataclass(frozen=True, slots=True)
class RawParachainInherentData(Struct):
    """Raw data under `inherent.PARACHAIN`: version 0 and what newer runtimes check besides."""

    validation_data: PersistedValidationData
    relay_chain_state: StorageProof
    downward_messages: tuple[InboundDownwardMessage, ...]
    horizontal_messages: dict[ParaId, tuple[InboundHrmpMessage, ...]]
    relay_parent_descendants: tuple[Header, ...] = ()
    collator_peer_id: ApprovedPeerId | None = None

    def without_messages(self) -> ParachainInherentData:
        """The first argument of `set_validation_data`."""
        return ParachainInherentData(
            self.validation_data,
            self.relay_chain_state,
            self.relay_parent_descendants,
            self.collator_peer_id,
        )


# -- what the runtime receives -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParachainInherentData(Struct):
    """First argument of `set_validation_data` (`BasicParachainInherentData`): everything but the messages."""

    validation_data: PersistedValidationData
    relay_chain_state: StorageProof
    relay_parent_descendants: tuple[Header, ...] = ()
    collator_peer_id: ApprovedPeerId | None = None


@dataclass(frozen=True, slots=True)
class HashedMessage(Struct):
    """A message known by the hash that enters the message queue chain."""

    sent_at: U32
    msg_hash: H256

    @classmethod
    def of(cls, sent_at: int, message: bytes) -> HashedMessage:
        """The hash of the SCALE-encoded `message`, as `mqc_head` takes it."""
        return cls(sent_at, blake2_256(byte_vec.encode(message)))


@dataclass(frozen=True, slots=True)
class InboundMessageId(Struct):
    """A place in a queue that counts from its end, because the relay chain removes messages at its beginning."""

    sent_at: U32
    reverse_idx: U32
    """Messages of the same relay block behind this one."""

    def processed(self, sent_at: Sequence[int]) -> int:
        """How many messages of a queue, sent in these relay blocks, lie up to this place
        (``drop_processed_messages``)."""
        end = bisect_right(sent_at, self.sent_at)
        if end and sent_at[end - 1] == self.sent_at:
            return max(end - self.reverse_idx, 0)
        return end


@dataclass(frozen=True, slots=True)
class AbridgedDownwardMessages(Struct):
    """Downward messages in order: the first ones in full, the rest as hashes."""

    full_messages: tuple[InboundDownwardMessage, ...] = ()
    hashed_messages: tuple[HashedMessage, ...] = ()

    @classmethod
    def abridge(
        cls, messages: Sequence[InboundDownwardMessage], size_limit: int, after: InboundMessageId
    ) -> tuple[AbridgedDownwardMessages, int]:
        """Of the messages behind `after`, keep the first in full until one exceeds what is left of `size_limit` bytes.

        Also returns what is left.
        """
        messages = messages[after.processed([message.sent_at for message in messages]) :]
        count, left = _fitting([len(message.msg) for message in messages], size_limit)
        hashed = tuple(HashedMessage.of(message.sent_at, message.msg) for message in messages[count:])
        return cls(tuple(messages[:count]), hashed), left


@dataclass(frozen=True, slots=True)
class AbridgedHrmpMessages(Struct):
    """Horizontal messages with their senders, by `sent_at` and sender: first in full, then as hashes."""

    full_messages: tuple[tuple[ParaId, InboundHrmpMessage], ...] = ()
    hashed_messages: tuple[tuple[ParaId, HashedMessage], ...] = ()

    @classmethod
    def abridge(
        cls, messages: Mapping[int, Sequence[InboundHrmpMessage]], size_limit: int, after: InboundMessageId
    ) -> tuple[AbridgedHrmpMessages, int]:
        """Order the queues of all senders as one, then as `AbridgedDownwardMessages.abridge`."""
        ordered = sorted(
            ((sender, message) for sender, queue in messages.items() for message in queue),
            key=lambda entry: (entry[1].sent_at, entry[0]),
        )
        ordered = ordered[after.processed([message.sent_at for _, message in ordered]) :]
        count, left = _fitting([len(message.data) for _, message in ordered], size_limit)
        hashed = tuple(
            (sender, HashedMessage.of(item.sent_at, item.data)) for sender, item in ordered[count:]
        )
        return cls(tuple(ordered[:count]), hashed), left


@dataclass(frozen=True, slots=True)
class InboundMessagesData(Struct):
    """Second argument of `set_validation_data`: the messages."""

    downward_messages: AbridgedDownwardMessages = AbridgedDownwardMessages()
    horizontal_messages: AbridgedHrmpMessages = AbridgedHrmpMessages()


def _fitting(sizes: Sequence[int], limit: int) -> tuple[int, int]:
    """How many of the first items fit into `limit` bytes together, and the bytes left after them."""
    for count, size in enumerate(sizes):
        if size > limit:
            return count, limit
        limit -= size
    return len(sizes), limit
