"""Types shared by relay chain, validators and parachains: messages, PVF input and output, candidates.

Follows `polkadot_parachain_primitives` and `polkadot_primitives` [polkadot-primitives], [cumulus-core].
Field order is consensus: `ValidationResult` and `CandidateCommitments` hold the same data in different
orders. Sizes are in bytes. Not modelled: version 3 descriptors, whose use of the reserved bytes is not
settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import (
    H256,
    H512,
    U8,
    U16,
    U32,
    Codec,
    Struct,
    Variant,
    bounded_bytes,
    byte_vec,
    codec_of,
    enum_codec,
    fixed_bytes,
    plain_enum,
    u32,
    vec,
)

ParaId: TypeAlias = U32
MAX_MESSAGES: Final = 16 * 1024
"""Most upward and most horizontal messages of one candidate."""
EMPTY_MQC_HEAD: Final = bytes(32)
"""Head of a message queue chain before its first message."""
ApprovedPeerId: TypeAlias = Annotated[bytes, bounded_bytes(64)]
"""Network identity of a collator."""
UMP_SEPARATOR: Final = b""
"""The empty upward message: what follows it are signals to the relay chain, not messages."""


# -- messages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutboundHrmpMessage(Struct):
    """A message to another parachain, as a candidate emits it."""

    recipient: ParaId
    data: bytes


@dataclass(frozen=True, slots=True)
class InboundDownwardMessage(Struct):
    """A message from the relay chain; `sent_at` is a relay block number."""

    sent_at: U32
    msg: bytes


@dataclass(frozen=True, slots=True)
class InboundHrmpMessage(Struct):
    """A message from another parachain; `sent_at` is the relay block number it was included at."""

    sent_at: U32
    data: bytes


@dataclass(frozen=True, slots=True)
class MqcLink(Struct):
    """What one link of a message queue chain hashes."""

    head: H256
    sent_at: U32
    message_hash: H256


def mqc_head(head: bytes, sent_at: int, message: bytes) -> bytes:
    """The head (32 bytes) of a message queue chain after `message`, given the head before it.

    The inner hash is over the SCALE encoding of the message, length prefix included.
    """
    return mqc_head_of_hash(head, sent_at, blake2_256(byte_vec.encode(message)))


def mqc_head_of_hash(head: bytes, sent_at: int, message_hash: bytes) -> bytes:
    """As `mqc_head`, for a message that is known by its hash only."""
    return blake2_256(MqcLink(head, sent_at, message_hash).encode())


@dataclass(frozen=True, slots=True)
class SelectCore(Variant):
    """The core to back a candidate on: an index into the cores assigned at an offset of the claim queue."""

    index: ClassVar[int] = 0
    core_selector: U8
    claim_queue_offset: U8


@dataclass(frozen=True, slots=True)
class ApprovedPeer(Variant):
    """The collator peer that earns the reputation for this candidate."""

    index: ClassVar[int] = 1
    peer_id: ApprovedPeerId


UMPSignal: TypeAlias = SelectCore | ApprovedPeer
ump_signal: Final[Codec[UMPSignal]] = enum_codec(UMPSignal)


def split_upward_messages(messages: Iterable[bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Messages proper, and the encoded signals after the first separator [RFC-103]."""
    upward = tuple(messages)
    if UMP_SEPARATOR not in upward:
        return upward, ()
    position = upward.index(UMP_SEPARATOR)
    return upward[:position], upward[position + 1 :]


# -- relay-chain state a parachain reads -------------------------------------------------------------------


class UpgradeGoAhead(IntEnum):
    """The relay chain's answer to a scheduled code upgrade."""

    ABORT = 0
    GO_AHEAD = 1


class UpgradeRestriction(IntEnum):
    """Why a parachain may not schedule an upgrade now."""

    PRESENT = 0


upgrade_go_ahead: Final = plain_enum(UpgradeGoAhead)
upgrade_restriction: Final = plain_enum(UpgradeRestriction)


@dataclass(frozen=True, slots=True)
class AsyncBackingParams(Struct):
    """How far parachain blocks may run ahead of their inclusion."""

    max_candidate_depth: U32
    allowed_ancestry_len: U32


@dataclass(frozen=True, slots=True)
class AbridgedHostConfiguration(Struct):
    """The first fields (44 bytes) of the `HostConfiguration` of the relay chain: use `decode_prefix`."""

    max_code_size: U32
    max_head_data_size: U32
    max_upward_queue_count: U32
    max_upward_queue_size: U32
    max_upward_message_size: U32
    max_upward_message_num_per_candidate: U32
    hrmp_max_message_num_per_candidate: U32
    validation_upgrade_cooldown: U32
    validation_upgrade_delay: U32
    async_backing_params: AsyncBackingParams


@dataclass(frozen=True, slots=True)
class AbridgedHrmpChannel(Struct):
    """The first fields of an `HrmpChannel`: its limits, its load and the head of its message chain."""

    max_capacity: U32
    max_total_size: U32
    max_message_size: U32
    msg_count: U32
    total_size: U32
    mqc_head: H256 | None


@dataclass(frozen=True, slots=True)
class HrmpChannelId(Struct):
    """A channel, named by its two ends."""

    sender: ParaId
    recipient: ParaId


# -- the validation function -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersistedValidationData(Struct):
    """Inputs of a validation that stay available without the relay chain's state."""

    parent_head: bytes
    relay_parent_number: U32
    relay_parent_storage_root: H256
    max_pov_size: U32

    def hash(self) -> bytes:
        """The hash in the candidate descriptor, 32 bytes."""
        return blake2_256(self.encode())


@dataclass(frozen=True, slots=True)
class ValidationParamsExtensionV3(Variant):
    """Extension for candidates whose scheduling parent differs from their relay parent."""

    index: ClassVar[int] = 3
    relay_parent: H256
    scheduling_parent: H256


class TrailingOption(Codec[Any]):
    """An optional last field: no bytes for None, and whatever is left for a value."""

    __slots__ = ("item",)

    def __init__(self, item: Codec[Any]) -> None:
        self.item = item
        super().__init__(f"TrailingOption<{item.name}>", 0, nullable=True)

    def encode(self, value: Any) -> bytes:
        return b"" if value is None else self.item.encode(value)

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[Any, int]:
        return (None, offset) if offset == len(data) else self.item.decode_prefix(data, offset)


@dataclass(frozen=True, slots=True)
class ValidationParams(Struct):
    """Argument of `validate_block`. `block_data` is the decompressed payload of the PoV."""

    parent_head: bytes
    block_data: bytes
    relay_parent_number: U32
    relay_parent_storage_root: H256
    extension: Annotated[
        ValidationParamsExtensionV3 | None, TrailingOption(codec_of(ValidationParamsExtensionV3))
    ] = None


UpwardMessages: TypeAlias = Annotated[tuple[bytes, ...], vec(byte_vec, max_items=MAX_MESSAGES)]
HorizontalMessages: TypeAlias = Annotated[
    tuple[OutboundHrmpMessage, ...], vec(OutboundHrmpMessage.codec(), max_items=MAX_MESSAGES)
]


@dataclass(frozen=True, slots=True)
class ValidationResult(Struct):
    """Result of `validate_block`. Horizontal messages ascend by recipient."""

    head_data: bytes
    new_validation_code: bytes | None
    upward_messages: UpwardMessages
    horizontal_messages: HorizontalMessages
    processed_downward_messages: U32
    hrmp_watermark: U32

    def to_commitments(self) -> CandidateCommitments:
        """The same outputs in the order the relay chain hashes them in."""
        return CandidateCommitments(
            self.upward_messages,
            self.horizontal_messages,
            self.new_validation_code,
            self.head_data,
            self.processed_downward_messages,
            self.hrmp_watermark,
        )


@dataclass(frozen=True, slots=True)
class CandidateCommitments(Struct):
    """The outputs of a candidate, as the relay chain commits to them."""

    upward_messages: UpwardMessages
    horizontal_messages: HorizontalMessages
    new_validation_code: bytes | None
    head_data: bytes
    processed_downward_messages: U32
    hrmp_watermark: U32

    def hash(self) -> bytes:
        """The commitments hash of the candidate receipt, 32 bytes."""
        return blake2_256(self.encode())


@dataclass(frozen=True, slots=True)
class CollationInfo(Struct):
    """Answer of `CollectCollationInfo_collect_collation_info`, version 2 and 3 of the runtime API."""

    upward_messages: tuple[bytes, ...]
    horizontal_messages: tuple[OutboundHrmpMessage, ...]
    new_validation_code: bytes | None
    processed_downward_messages: U32
    hrmp_watermark: U32
    head_data: bytes

    def to_commitments(self) -> CandidateCommitments:
        """The outputs of the candidate, with the horizontal messages by recipient, as the relay chain wants them."""
        return CandidateCommitments(
            self.upward_messages,
            tuple(sorted(self.horizontal_messages, key=lambda message: message.recipient)),
            self.new_validation_code,
            self.head_data,
            self.processed_downward_messages,
            self.hrmp_watermark,
        )


@dataclass(frozen=True, slots=True)
class CollationInfoV1(Struct):
    """Answer of version 1, whose function takes no argument: without the head data."""

    upward_messages: tuple[bytes, ...]
    horizontal_messages: tuple[OutboundHrmpMessage, ...]
    new_validation_code: bytes | None
    processed_downward_messages: U32
    hrmp_watermark: U32

    def with_head(self, head_data: bytes) -> CollationInfo:
        """As the later versions answer; the head data of their time were the encoded header."""
        return CollationInfo(
            self.upward_messages,
            self.horizontal_messages,
            self.new_validation_code,
            self.processed_downward_messages,
            self.hrmp_watermark,
            head_data,
        )


# -- candidates --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoV(Struct):
    """A proof of validity. `block_data` is usually compressed, and hash and size are over that form."""

    block_data: bytes

    def hash(self) -> bytes:
        """The PoV hash of the candidate descriptor, 32 bytes."""
        return blake2_256(self.encode())


@dataclass(frozen=True, slots=True)
class AvailableData(Struct):
    """What approval checkers and dispute participants recover: all they have."""

    pov: PoV
    validation_data: PersistedValidationData


def collator_signature_payload(
    relay_parent: bytes,
    para_id: int,
    persisted_validation_data_hash: bytes,
    pov_hash: bytes,
    validation_code_hash: bytes,
) -> bytes:
    """What the collator of a version 1 descriptor signs, 132 bytes. Hashes are 32 bytes."""
    return (
        relay_parent + u32.encode(para_id) + persisted_validation_data_hash + pov_hash + validation_code_hash
    )


@dataclass(frozen=True, slots=True)
class CandidateDescriptorV1(Struct):
    """The descriptor with a collator and its signature, 292 bytes."""

    para_id: ParaId
    relay_parent: H256
    collator: H256
    persisted_validation_data_hash: H256
    pov_hash: H256
    erasure_root: H256
    signature: H512
    para_head: H256
    validation_code_hash: H256


@dataclass(frozen=True, slots=True)
class CandidateDescriptorV2(Struct):
    """The descriptor with core and session [RFC-103], 292 bytes. The reserved bytes of version 0 are zero."""

    para_id: ParaId
    relay_parent: H256
    version: U8
    core_index: U16
    session_index: U32
    reserved1: Annotated[bytes, fixed_bytes(25)]
    persisted_validation_data_hash: H256
    pov_hash: H256
    erasure_root: H256
    reserved2: H512
    para_head: H256
    validation_code_hash: H256


CandidateDescriptor: TypeAlias = CandidateDescriptorV1 | CandidateDescriptorV2


class DescriptorVersion(Enum):
    """What a descriptor is to who judges it."""

    V1 = 1
    V2 = 2
    UNKNOWN = 0
    """The reserved bytes are zero, and the version is none that is known: nobody may accept it."""


def descriptor_version(descriptor: CandidateDescriptor) -> DescriptorVersion:
    """The version of a descriptor, as ``CandidateDescriptorV2::version`` tells it from the bytes.

    A version 1 descriptor whose key and signature happen to be zero where the reserved bytes are is none.
    """
    if isinstance(descriptor, CandidateDescriptorV1):
        return DescriptorVersion.V1
    if any(descriptor.reserved1) or any(descriptor.reserved2):
        return DescriptorVersion.V1
    return DescriptorVersion.UNKNOWN if descriptor.version else DescriptorVersion.V2


class CandidateDescriptorCodec(Codec[CandidateDescriptor]):
    """Both versions, which share their length: version 1 if one of the reserved bytes of version 2 is not zero."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("CandidateDescriptor", CandidateDescriptorV2.codec().min_size)

    def encode(self, value: CandidateDescriptor) -> bytes:
        if not isinstance(value, CandidateDescriptorV1 | CandidateDescriptorV2):
            raise ScaleError(f"a {type(value).__name__} instead of a descriptor", what=self.name)
        return value.encode()

    def decode_prefix(self, data: bytes, offset: int = 0) -> tuple[CandidateDescriptor, int]:
        descriptor, end = CandidateDescriptorV2.decode_prefix(data, offset)
        if not any(descriptor.reserved1) and not any(descriptor.reserved2):
            return descriptor, end
        return CandidateDescriptorV1.decode_prefix(data, offset)


candidate_descriptor: Final = CandidateDescriptorCodec()
AnyDescriptor: TypeAlias = Annotated[CandidateDescriptor, candidate_descriptor]


@dataclass(frozen=True, slots=True)
class CandidateReceipt(Struct):
    """A candidate by its descriptor and the hash of its outputs."""

    descriptor: AnyDescriptor
    commitments_hash: H256

    def hash(self) -> bytes:
        """The candidate hash, 32 bytes."""
        return blake2_256(self.encode())


@dataclass(frozen=True, slots=True)
class CommittedCandidateReceipt(Struct):
    """A candidate with its outputs in full, as a backed candidate carries it."""

    descriptor: AnyDescriptor
    commitments: CandidateCommitments

    def to_plain(self) -> CandidateReceipt:
        """The receipt with the outputs replaced by their hash."""
        return CandidateReceipt(self.descriptor, self.commitments.hash())

    def hash(self) -> bytes:
        """The candidate hash, 32 bytes."""
        return self.to_plain().hash()
