"""What a parachain learns from the relay-chain proof in its inherent.

Follows ``cumulus_pallet_parachain_system::relay_state_snapshot`` [cumulus-relay-snapshot]. The proof is a
plain storage proof against ``relay_parent_storage_root``; nodes nobody asks for are ignored, as there. A key
the proof does not cover makes the block invalid: a collator must not be able to suppress a value by leaving
out a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHostConfiguration,
    AbridgedHrmpChannel,
    UpgradeGoAhead,
    UpgradeRestriction,
    upgrade_go_ahead,
    upgrade_restriction,
)
from runtime.primitives.scale import Codec, h256, u32, u64, vec
from runtime.trie.errors import TrieError
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.lookup import lookup

T = TypeVar("T")
_paras = vec(u32)


class RelayChainStateProof:
    """Reads of relay-chain state, proven at one root."""

    def __init__(self, para_id: int, storage_root: bytes, nodes: Sequence[bytes]) -> None:
        """``nodes`` is untrusted. Raises `InvalidBlock` if the root's node is not among them."""
        self.para_id = para_id
        self._root = storage_root
        self._nodes = {blake2_256(node): node for node in nodes}
        if storage_root not in self._nodes:
            raise InvalidBlock(
                "relay chain state proof: RootMismatch, the storage root's node is not in the proof"
            )

    def read_raw(self, key: bytes) -> bytes | None:
        """Value under ``key``, ``None`` if proven absent. Raises `InvalidBlock` if the proof does not say."""
        try:
            return lookup(self._nodes, self._root, key, LAYOUT_V1, strict=True)
        except TrieError as error:
            raise InvalidBlock(f"relay chain state proof: {error}") from None

    def read_optional(self, key: bytes, codec: Codec[T]) -> T | None:
        """Decoded value under ``key``. Raises `InvalidBlock`.

        Trailing bytes are allowed, as ``Decode::decode`` allows them: newer relay chains append fields.
        """
        raw = self.read_raw(key)
        if raw is None:
            return None
        try:
            return codec.decode_prefix(raw)[0]
        except ScaleError as error:
            raise InvalidBlock(f"relay chain state proof, key 0x{key.hex()}: {error}") from None

    def read_entry(self, key: bytes, codec: Codec[T], what: str) -> T:
        """As `read_optional`, for a value that must be there."""
        value = self.read_optional(key, codec)
        if value is None:
            raise InvalidBlock(f"relay chain state proof: {what} is absent")
        return value

    def host_configuration(self) -> AbridgedHostConfiguration:
        """Limits the relay chain imposes."""
        return self.read_entry(
            relay_keys.ACTIVE_CONFIG, AbridgedHostConfiguration.codec(), "the host configuration"
        )

    def current_slot(self) -> int:
        """Slot of the relay parent."""
        return self.read_entry(relay_keys.CURRENT_SLOT, u64, "the current slot")

    def dmq_mqc_head(self) -> bytes:
        """Head of our downward message queue chain, 32 bytes."""
        head = self.read_optional(relay_keys.dmq_mqc_head(self.para_id), h256)
        return EMPTY_MQC_HEAD if head is None else head

    def ingress_channels(self) -> dict[int, AbridgedHrmpChannel]:
        """Open HRMP channels towards us, by sender."""
        senders = self.read_optional(relay_keys.hrmp_ingress_channel_index(self.para_id), _paras) or ()
        return {sender: self._channel(sender, self.para_id) for sender in senders}

    def _channel(self, sender: int, recipient: int) -> AbridgedHrmpChannel:
        key = relay_keys.hrmp_channel(sender, recipient)
        return self.read_entry(key, AbridgedHrmpChannel.codec(), f"HRMP channel {sender}->{recipient}")

    def upgrade_go_ahead(self) -> UpgradeGoAhead | None:
        """The relay chain's word on a scheduled code upgrade."""
        return self.read_optional(relay_keys.upgrade_go_ahead_signal(self.para_id), upgrade_go_ahead)

    def upgrade_restriction(self) -> UpgradeRestriction | None:
        """Whether we may not schedule a code upgrade now."""
        return self.read_optional(relay_keys.upgrade_restriction_signal(self.para_id), upgrade_restriction)
