"""Messages, validation functions, candidates and the parachain inherent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.primitives.hashing import blake2_256
from runtime.primitives.inherent import TIMESTAMP, CheckInherentsResult, InherentData
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    MAX_MESSAGES,
    AbridgedHostConfiguration,
    AbridgedHrmpChannel,
    ApprovedPeer,
    AsyncBackingParams,
    CandidateCommitments,
    CandidateDescriptorV1,
    CandidateDescriptorV2,
    CandidateReceipt,
    CommittedCandidateReceipt,
    DescriptorVersion,
    InboundDownwardMessage,
    InboundHrmpMessage,
    OutboundHrmpMessage,
    PersistedValidationData,
    PoV,
    SelectCore,
    UpgradeGoAhead,
    ValidationParams,
    ValidationParamsExtensionV3,
    ValidationResult,
    candidate_descriptor,
    descriptor_version,
    mqc_head,
    split_upward_messages,
    ump_signal,
    upgrade_go_ahead,
)
from runtime.primitives.parachain_inherent import (
    AbridgedDownwardMessages,
    AbridgedHrmpMessages,
    HashedMessage,
    InboundMessageId,
    ParachainInherentDataV0,
    RawParachainInherentData,
)
from runtime.primitives.scale import ScaleError, option, u32, u64
from runtime.primitives.version import RuntimeVersion, api_id

VALIDATION_DATA = PersistedValidationData(b"head", 5000, b"\xaa" * 32, 1 << 20)
RESULT = ValidationResult(b"head", b"code", (b"up",), (OutboundHrmpMessage(2001, b"data"),), 3, 9)


def test_message_queue_chain() -> None:
    head = mqc_head(EMPTY_MQC_HEAD, 10, b"hello")
    assert head.hex() == "24f0822b1a1e7e8a28d0e1d2255f2709ea3dd25eeb4a3cfae6d5ec794bb14309"
    assert mqc_head(head, 11, b"hello") != head


def test_upward_signals() -> None:
    select, peer = SelectCore(1, 2), ApprovedPeer(b"peer")
    assert ump_signal.encode(select) == b"\x00\x01\x02"
    assert ump_signal.encode(peer) == b"\x01\x10peer"
    assert split_upward_messages([b"m", b"", select.encode(), peer.encode()]) == (
        (b"m",),
        (select.encode(), peer.encode()),
    )
    assert split_upward_messages((b"m", b"n")) == ((b"m", b"n"), ())
    assert split_upward_messages(()) == ((), ())
    with pytest.raises(ScaleError):
        ApprovedPeer(b"p" * 65).encode()


def test_upgrade_signal() -> None:
    assert upgrade_go_ahead.decode(b"\x01") is UpgradeGoAhead.GO_AHEAD
    assert option(upgrade_go_ahead).encode(UpgradeGoAhead.ABORT) == b"\x01\x00"


def test_abridged_types_are_prefixes() -> None:
    config = AbridgedHostConfiguration(1, 2, 3, 4, 5, 6, 7, 8, 9, AsyncBackingParams(10, 11))
    encoded = config.encode()
    assert encoded == b"".join(u32.encode(number) for number in range(1, 12))
    assert AbridgedHostConfiguration.decode_prefix(encoded + b"the rest") == (config, 44)
    channel = AbridgedHrmpChannel(1, 2, 3, 4, 5, None)
    assert channel.encode() == b"".join(u32.encode(number) for number in range(1, 6)) + b"\x00"


def test_validation_params() -> None:
    params = ValidationParams(b"h" * 152, b"\xde\xad", 5000, b"\xaa" * 32)
    encoded = params.encode()
    assert encoded == b"\x61\x02" + b"h" * 152 + bytes.fromhex("08dead 88130000") + b"\xaa" * 32
    assert len(encoded) == 193
    assert ValidationParams.decode(encoded) == params
    extended = replace(params, extension=ValidationParamsExtensionV3(b"r" * 32, b"s" * 32))
    assert extended.encode() == encoded + b"\x03" + b"r" * 32 + b"s" * 32
    assert ValidationParams.decode(extended.encode()) == extended
    for tail in (b"\x00", b"\x03" + b"r" * 32, b"\x04" + b"r" * 64, b"\x03" + b"r" * 65):
        with pytest.raises(ScaleError):
            ValidationParams.decode(encoded + tail)


def test_result_and_commitments_hold_the_same_in_different_orders() -> None:
    assert RESULT.encode() == bytes.fromhex(
        "10 68656164 01 10 636f6465 04 08 7570 04 d1070000 10 64617461 03000000 09000000"
    )
    commitments = RESULT.to_commitments()
    assert commitments.encode() == bytes.fromhex(
        "04 08 7570 04 d1070000 10 64617461 01 10 636f6465 10 68656164 03000000 09000000"
    )
    assert commitments.hash() == blake2_256(commitments.encode())
    for field in CandidateCommitments.__dataclass_fields__:
        assert getattr(commitments, field) == getattr(RESULT, field)


def test_too_many_messages() -> None:
    with pytest.raises(ScaleError, match="at most 16384"):
        replace(RESULT, upward_messages=(b"",) * (MAX_MESSAGES + 1)).encode()
    full = replace(RESULT, upward_messages=(b"",) * MAX_MESSAGES)
    assert ValidationResult.decode(full.encode()) == full


V2 = CandidateDescriptorV2(
    2000, b"r" * 32, 0, 5, 77, bytes(25), b"v" * 32, b"p" * 32, b"e" * 32, bytes(64), b"h" * 32, b"c" * 32
)
V1 = CandidateDescriptorV1(
    2000, b"r" * 32, b"k" * 32, b"v" * 32, b"p" * 32, b"e" * 32, b"s" * 64, b"h" * 32, b"c" * 32
)


def test_descriptors_share_their_length_and_are_told_apart() -> None:
    assert len(V1.encode()) == len(V2.encode()) == 292
    for descriptor in (V1, V2):
        assert candidate_descriptor.decode(descriptor.encode()) == descriptor
    assert descriptor_version(V1) is DescriptorVersion.V1
    assert descriptor_version(V2) is DescriptorVersion.V2
    unknown = candidate_descriptor.decode(replace(V2, version=1).encode())
    assert descriptor_version(unknown) is DescriptorVersion.UNKNOWN
    for reserved in ({"reserved1": bytes(24) + b"\x01"}, {"reserved2": b"\x01" + bytes(63)}):
        filled = replace(V2, **reserved)  # type: ignore[arg-type]
        assert descriptor_version(filled) is DescriptorVersion.V1
        assert isinstance(candidate_descriptor.decode(filled.encode()), CandidateDescriptorV1)
    assert V2.encode()[36:43] == bytes.fromhex("00 0500 4d000000")


def test_candidate_hash_is_that_of_the_plain_receipt() -> None:
    committed = CommittedCandidateReceipt(V2, RESULT.to_commitments())
    receipt = CandidateReceipt(V2, RESULT.to_commitments().hash())
    assert committed.to_plain() == receipt
    assert committed.hash() == receipt.hash() == blake2_256(V2.encode() + receipt.commitments_hash)
    assert CommittedCandidateReceipt.decode(committed.encode()) == committed


def test_pov_hash_covers_the_length() -> None:
    assert PoV(b"ab").hash() == blake2_256(b"\x08ab")
    assert VALIDATION_DATA.hash() == blake2_256(VALIDATION_DATA.encode())


# -- inherents ---------------------------------------------------------------------------------------------------


def test_inherent_data() -> None:
    data = InherentData()
    data.put_data(b"zzzzzzzz", b"")
    data.put_data(TIMESTAMP, u64.encode(6000))
    assert data.encode() == b"\x08timstap0\x20" + u64.encode(6000) + b"zzzzzzzz\x00"
    assert InherentData.decode(data.encode()) == data
    assert data.get_data(TIMESTAMP, u64) == 6000
    assert data.get_data(b"nothing.", u64) is None
    with pytest.raises(ScaleError, match="exists"):
        data.put_data(TIMESTAMP, b"")
    with pytest.raises(ScaleError, match="bytes instead of 8"):
        data.put_data(b"short", b"")
    with pytest.raises(ScaleError):
        data.get_data(b"zzzzzzzz", u64)
    assert InherentData() == InherentData({})
    assert CheckInherentsResult(True, False, InherentData()).encode() == b"\x01\x00\x00"


RAW = RawParachainInherentData(
    VALIDATION_DATA,
    (b"node a", b"node b"),
    (InboundDownwardMessage(1, b"d" * 10), InboundDownwardMessage(2, b"e" * 10)),
    {
        2001: (InboundHrmpMessage(5, b"f" * 4), InboundHrmpMessage(7, b"g" * 4)),
        2000: (InboundHrmpMessage(5, b"h" * 4),),
    },
)


def test_raw_inherent_extends_version_0() -> None:
    older = ParachainInherentDataV0(
        RAW.validation_data, RAW.relay_chain_state, RAW.downward_messages, RAW.horizontal_messages
    )
    assert RAW.encode() == older.encode() + b"\x00\x00"
    assert RawParachainInherentData.decode(RAW.encode()) == RAW
    assert RAW.without_messages().encode() == VALIDATION_DATA.encode() + bytes.fromhex(
        "08 18 6e6f64652061 18 6e6f64652062 00 00"
    )


BEGINNING = InboundMessageId(0, 0)


@pytest.mark.parametrize(
    "limit, full, left", [(0, 0, 0), (9, 0, 9), (10, 1, 0), (19, 1, 9), (20, 2, 0), (99, 2, 79)]
)
def test_messages_that_do_not_fit_stand_as_hashes(limit: int, full: int, left: int) -> None:
    messages = RAW.downward_messages
    abridged, rest = AbridgedDownwardMessages.abridge(messages, limit, BEGINNING)
    assert rest == left
    assert abridged.full_messages == messages[:full]
    assert abridged.hashed_messages == tuple(
        HashedMessage.of(item.sent_at, item.msg) for item in messages[full:]
    )


def test_horizontal_messages_are_ordered_by_relay_block_and_sender() -> None:
    abridged, left = AbridgedHrmpMessages.abridge(RAW.horizontal_messages, 8, BEGINNING)
    assert left == 0
    assert abridged.full_messages == (
        (2000, InboundHrmpMessage(5, b"h" * 4)),
        (2001, InboundHrmpMessage(5, b"f" * 4)),
    )
    assert abridged.hashed_messages == ((2001, HashedMessage(7, blake2_256(b"\x10gggg"))),)


def test_hashing_stops_at_the_first_message_that_does_not_fit() -> None:
    """A later, smaller message may not overtake it."""
    messages = (InboundDownwardMessage(1, b"d" * 10), InboundDownwardMessage(2, b"e"))
    abridged, left = AbridgedDownwardMessages.abridge(messages, 5, BEGINNING)
    assert (abridged.full_messages, left) == ((), 5)


@pytest.mark.parametrize(
    "place, left",
    [((4, 0), 4), ((5, 0), 2), ((5, 1), 3), ((5, 9), 4), ((6, 0), 2), ((7, 0), 1), ((7, 3), 4), ((9, 0), 0)],
)
def test_what_was_taken_before_is_left_out(place: tuple[int, int], left: int) -> None:
    messages = tuple(InboundDownwardMessage(at, bytes([at])) for at in (5, 5, 7, 8))
    abridged, _ = AbridgedDownwardMessages.abridge(messages, 100, InboundMessageId(*place))
    assert abridged.full_messages == messages[4 - left :]


# -- version -------------------------------------------------------------------------------------------------------


def test_runtime_version() -> None:
    version = RuntimeVersion("node", "impl", 1, 2, 3, ((api_id("Core"), 5),), 4, 1)
    assert api_id("Core").hex() == "df6acb689907609b"
    assert version.encode() == bytes.fromhex(
        "10 6e6f6465 10 696d706c 01000000 02000000 03000000 04 df6acb689907609b 05000000 04000000 01"
    )
    assert version.has_api("Core", 5)
    assert not version.has_api("Core", 4)
    assert not version.has_api("Metadata", 5)
    assert [
        (other.state_version, other.extrinsics_root_state_version)
        for other in (replace(version, system_version=number) for number in range(4))
    ] == [(0, 0), (1, 0), (1, 1), (1, 1)]
