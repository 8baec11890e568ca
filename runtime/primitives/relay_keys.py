"""Well-known keys of the relay chain's state: what a parachain may read of it without knowing its metadata.

Follows `polkadot_primitives::well_known_keys` [polkadot-primitives]. A prefix is `twox_128(pallet) ++
twox_128(item)`; it stands here as a literal, beside the names it is derived from, so that it can be found
by searching for it. Map keys are `Twox64Concat`: 8 bytes of hash and then the encoded key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from runtime.primitives.hashing import twox_64_concat, twox_128
from runtime.primitives.scale import u32

KeyBuilder: TypeAlias = Callable[..., bytes]

# Babe
CURRENT_SLOT: Final = bytes.fromhex("1cb6f36e027abb2091cfb5110ab5087f06155b3cd9a8c9e5e9a23fd5dc13a5ed")
"""Babe::CurrentSlot: u64."""
EPOCH_INDEX: Final = bytes.fromhex("1cb6f36e027abb2091cfb5110ab5087f38316cbf8fa0da822a20ac1c55bf1be3")
"""Babe::EpochIndex: u64."""
CURRENT_BLOCK_RANDOMNESS: Final = bytes.fromhex(
    "1cb6f36e027abb2091cfb5110ab5087fd077dfdb8adb10f78f10a5df8742c545"
)
"""Babe::AuthorVrfRandomness: Option<[u8; 32]>."""
ONE_EPOCH_AGO_RANDOMNESS: Final = bytes.fromhex(
    "1cb6f36e027abb2091cfb5110ab5087f7ce678799d3eff024253b90e84927cc6"
)
"""Babe::NextRandomness: [u8; 32]."""
TWO_EPOCHS_AGO_RANDOMNESS: Final = bytes.fromhex(
    "1cb6f36e027abb2091cfb5110ab5087f7a414cb008e0e61e46722aa60abdd672"
)
"""Babe::Randomness: [u8; 32]."""
AUTHORITIES: Final = bytes.fromhex("1cb6f36e027abb2091cfb5110ab5087f5e0621c4869aa60c02be9adcc98a0d1d")
"""Babe::Authorities: Vec<([u8; 32], u64)>."""
NEXT_AUTHORITIES: Final = bytes.fromhex("1cb6f36e027abb2091cfb5110ab5087faacf00b9b41fda7a9268821c2a2b3e4c")
"""Babe::NextAuthorities: Vec<([u8; 32], u64)>."""

# Configuration
ACTIVE_CONFIG: Final = bytes.fromhex("06de3d8a54d27e44a9d5ce189618f22db4b49d95320d9021994c850f25b8e385")
"""Configuration::ActiveConfig: HostConfiguration, of which `AbridgedHostConfiguration` is the beginning."""

# Paras
PARAS_HEADS: Final = bytes.fromhex("cd710b30bd2eab0352ddcc26417aa1941b3c252fcb29d88eff4f3de5de4476c3")
"""Paras::Heads(ParaId): HeadData."""
PARAS_CURRENT_CODE_HASH: Final = bytes.fromhex(
    "cd710b30bd2eab0352ddcc26417aa194e2d1c22ba0a888147714a3487bd51c63"
)
"""Paras::CurrentCodeHash(ParaId): H256."""
PARAS_MOST_RECENT_CONTEXT: Final = bytes.fromhex(
    "cd710b30bd2eab0352ddcc26417aa194e3f24c2988a2aef4958067be0827b8a6"
)
"""Paras::MostRecentContext(ParaId): u32."""
PARAS_UPGRADE_GO_AHEAD_SIGNAL: Final = bytes.fromhex(
    "cd710b30bd2eab0352ddcc26417aa1949e94c040f5e73d9b7addd6cb603d15d3"
)
"""Paras::UpgradeGoAheadSignal(ParaId): UpgradeGoAhead."""
PARAS_UPGRADE_RESTRICTION_SIGNAL: Final = bytes.fromhex(
    "cd710b30bd2eab0352ddcc26417aa194f27bbb460270642b5bcaf032ea04d56a"
)
"""Paras::UpgradeRestrictionSignal(ParaId): UpgradeRestriction."""

# Hrmp
HRMP_CHANNELS: Final = bytes.fromhex("6a0da05ca59913bc38a8630590f2627cb6604cff828a6e3f579ca6c59ace013d")
"""Hrmp::HrmpChannels(HrmpChannelId): HrmpChannel, of which `AbridgedHrmpChannel` is the beginning."""
HRMP_CHANNEL_CONTENTS: Final = bytes.fromhex(
    "6a0da05ca59913bc38a8630590f2627cabe953bb90b08a3782523e6dcf0c086a"
)
"""Hrmp::HrmpChannelContents(HrmpChannelId): Vec<InboundHrmpMessage>."""
HRMP_CHANNEL_DIGESTS: Final = bytes.fromhex(
    "6a0da05ca59913bc38a8630590f2627ce0e67da63472835bb0b737093a19ad4c"
)
"""Hrmp::HrmpChannelDigests: in which blocks whom was sent something, per recipient."""
HRMP_WATERMARKS: Final = bytes.fromhex("6a0da05ca59913bc38a8630590f2627c09d487abe9aa06b94c8e59c187429a80")
"""Hrmp::HrmpWatermarks: up to which block a para has processed its horizontal messages."""
HRMP_INGRESS_CHANNELS_INDEX: Final = bytes.fromhex(
    "6a0da05ca59913bc38a8630590f2627c1d3719f5b0b12c7105c073c507445948"
)
"""Hrmp::HrmpIngressChannelsIndex(ParaId): Vec<ParaId>, ascending."""
HRMP_EGRESS_CHANNELS_INDEX: Final = bytes.fromhex(
    "6a0da05ca59913bc38a8630590f2627cf12b746dcf32e843354583c9702cc020"
)
"""Hrmp::HrmpEgressChannelsIndex(ParaId): Vec<ParaId>, ascending."""

# Dmp
DOWNWARD_MESSAGE_QUEUE_HEADS: Final = bytes.fromhex(
    "63f78c98723ddc9073523ef3beefda0c4d7fefc408aac59dbfe80a72ac8e3ce5"
)
"""Dmp::DownwardMessageQueueHeads(ParaId): H256."""
DOWNWARD_MESSAGE_QUEUES: Final = bytes.fromhex(
    "63f78c98723ddc9073523ef3beefda0ca95dac46c07a40d91506e7637ec4ba57"
)
"""Dmp::DownwardMessageQueues(ParaId): Vec<InboundDownwardMessage>."""

# Upward messages: the old queue of the Ump pallet, and the capacity that replaced it
RELAY_DISPATCH_QUEUE_SIZE: Final = bytes.fromhex(
    "f5207f03cfdce586301014700e2c2593fad157e461d71fd4c1f936839a5f1f3e"
)
"""Ump::RelayDispatchQueueSize(ParaId): (u32, u32), the count and the size in bytes."""
RELAY_DISPATCH_QUEUE_REMAINING_CAPACITY: Final = b":relay_dispatch_queue_remaining_capacity"
"""Not hashed: these bytes and the para id. (u32, u32), the count and the size in bytes."""

# Mmr
MMR_ROOT_HASH: Final = bytes.fromhex("a8c65209d47ee80f56b0011e8fd91f50d42f676807518c67bb427546ba406fa1")
"""Mmr::RootHash: H256."""


def storage_prefix(pallet: str, item: str) -> bytes:
    """The 32-byte prefix of a storage item: `twox_128` of the pallet's name, then of the item's."""
    return twox_128(pallet.encode("utf-8")) + twox_128(item.encode("utf-8"))


def _of_para(prefix: bytes, para_id: int) -> bytes:
    return prefix + twox_64_concat(u32.encode(para_id))


def _of_channel(prefix: bytes, sender: int, recipient: int) -> bytes:
    return prefix + twox_64_concat(u32.encode(sender) + u32.encode(recipient))


def para_head(para_id: int) -> bytes:
    """Key of the last included head of a parachain.

    Raises ScaleError, as all of these, for ids above 2^32 - 1.
    """
    return _of_para(PARAS_HEADS, para_id)


def current_code_hash(para_id: int) -> bytes:
    """Key of the hash of a parachain's validation code."""
    return _of_para(PARAS_CURRENT_CODE_HASH, para_id)


def most_recent_context(para_id: int) -> bytes:
    """Key of the relay block number the last included head was built on."""
    return _of_para(PARAS_MOST_RECENT_CONTEXT, para_id)


def upgrade_go_ahead_signal(para_id: int) -> bytes:
    """Key of the answer to a scheduled upgrade."""
    return _of_para(PARAS_UPGRADE_GO_AHEAD_SIGNAL, para_id)


def upgrade_restriction_signal(para_id: int) -> bytes:
    """Key of the reason against scheduling an upgrade."""
    return _of_para(PARAS_UPGRADE_RESTRICTION_SIGNAL, para_id)


def hrmp_channel(sender: int, recipient: int) -> bytes:
    """Key of a channel."""
    return _of_channel(HRMP_CHANNELS, sender, recipient)


def hrmp_channel_contents(sender: int, recipient: int) -> bytes:
    """Key of the messages waiting in a channel."""
    return _of_channel(HRMP_CHANNEL_CONTENTS, sender, recipient)


def hrmp_channel_digests(para_id: int) -> bytes:
    """Key of the relay blocks in which a para was sent horizontal messages, and by whom."""
    return _of_para(HRMP_CHANNEL_DIGESTS, para_id)


def hrmp_watermark(para_id: int) -> bytes:
    """Key of the relay block up to which a para has processed its horizontal messages."""
    return _of_para(HRMP_WATERMARKS, para_id)


def hrmp_ingress_channel_index(para_id: int) -> bytes:
    """Key of the list of paras that have a channel to this one."""
    return _of_para(HRMP_INGRESS_CHANNELS_INDEX, para_id)


def hrmp_egress_channel_index(para_id: int) -> bytes:
    """Key of the list of paras that this one has a channel to."""
    return _of_para(HRMP_EGRESS_CHANNELS_INDEX, para_id)


def dmq_mqc_head(para_id: int) -> bytes:
    """Key of the head of the downward message chain."""
    return _of_para(DOWNWARD_MESSAGE_QUEUE_HEADS, para_id)


def downward_message_queue(para_id: int) -> bytes:
    """Key of the downward messages waiting."""
    return _of_para(DOWNWARD_MESSAGE_QUEUES, para_id)


def relay_dispatch_queue_size(para_id: int) -> bytes:
    """Key of the load of the old upward queue."""
    return _of_para(RELAY_DISPATCH_QUEUE_SIZE, para_id)


def relay_dispatch_queue_remaining_capacity(para_id: int) -> bytes:
    """Key of the room left for upward messages."""
    return RELAY_DISPATCH_QUEUE_REMAINING_CAPACITY + u32.encode(para_id)


def _plain(key: bytes) -> KeyBuilder:
    def build() -> bytes:
        return key

    return build


WELL_KNOWN: Final[Mapping[str, KeyBuilder]] = MappingProxyType(
    {
        "ACTIVE_CONFIG": _plain(ACTIVE_CONFIG),
        "AUTHORITIES": _plain(AUTHORITIES),
        "CURRENT_BLOCK_RANDOMNESS": _plain(CURRENT_BLOCK_RANDOMNESS),
        "CURRENT_SLOT": _plain(CURRENT_SLOT),
        "EPOCH_INDEX": _plain(EPOCH_INDEX),
        "MMR_ROOT_HASH": _plain(MMR_ROOT_HASH),
        "NEXT_AUTHORITIES": _plain(NEXT_AUTHORITIES),
        "ONE_EPOCH_AGO_RANDOMNESS": _plain(ONE_EPOCH_AGO_RANDOMNESS),
        "TWO_EPOCHS_AGO_RANDOMNESS": _plain(TWO_EPOCHS_AGO_RANDOMNESS),
        "current_code_hash": current_code_hash,
        "dmq_mqc_head": dmq_mqc_head,
        "downward_message_queue": downward_message_queue,
        "hrmp_channel": hrmp_channel,
        "hrmp_channel_contents": hrmp_channel_contents,
        "hrmp_channel_digests": hrmp_channel_digests,
        "hrmp_egress_channel_index": hrmp_egress_channel_index,
        "hrmp_ingress_channel_index": hrmp_ingress_channel_index,
        "hrmp_watermark": hrmp_watermark,
        "most_recent_context": most_recent_context,
        "para_head": para_head,
        "relay_dispatch_queue_remaining_capacity": relay_dispatch_queue_remaining_capacity,
        "relay_dispatch_queue_size": relay_dispatch_queue_size,
        "upgrade_go_ahead_signal": upgrade_go_ahead_signal,
        "upgrade_restriction_signal": upgrade_restriction_signal,
    }
)
"""Key builders by name, as polkadot-sdk names them. A builder takes the map key (para ids), or nothing."""
