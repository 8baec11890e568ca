"""Headers, digests, blocks and the payload of a proof of validity, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.primitives.additional_data import (
    RELAY_PROOF_KEY,
    additional_data_map,
    hash_commitments,
    hash_value,
    parse_relay_proof_entry,
    relay_proof_entry,
)
from runtime.primitives.block import Block
from runtime.primitives.digest import (
    AURA,
    AdditionalData,
    Consensus,
    DigestItem,
    Other,
    PreRuntime,
    RelayParentStorageRoot,
    RuntimeEnvironmentUpdated,
    Seal,
    digest_item,
    relay_parent_storage_root,
)
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.parachain import ValidationParamsExtensionV3
from runtime.primitives.parachain_block_data import VERSIONED_PREFIX, ParachainBlockData
from runtime.primitives.relay_keys import ACTIVE_CONFIG, CURRENT_SLOT, para_head
from runtime.primitives.scale import ScaleError, byte_vec
from runtime.primitives.scheduling_proof import (
    EMPTY,
    SchedulingInfoPayload,
    SchedulingProof,
    SignedSchedulingInfo,
    check_scheduling_proof,
)
from runtime.trie.build import trie_root
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

SLOT = PreRuntime(AURA, bytes.fromhex("8877665544332211"))
RPSR = RelayParentStorageRoot(b"\xaa" * 32, 5000)


def header_number(number: int) -> Header:
    return Header(b"\x11" * 32, number, b"\x22" * 32, b"\x33" * 32, (SLOT, RPSR.to_digest_item()))


HEADER = header_number(7)
BLOCK = Block(HEADER, (byte_vec.encode(b"\x04\x02\x00"), byte_vec.encode(b"x" * 100)))


# -- headers -----------------------------------------------------------------------------------------------


def test_header_of_a_parachain() -> None:
    encoded = HEADER.encode()
    assert encoded == bytes.fromhex(
        "11" * 32 + "1c" + "22" * 32 + "33" * 32 + "08"
        "06 61757261 20 8877665544332211"
        "04 52505352 88" + "aa" * 32 + "214e"
    )
    assert len(encoded) == 152
    assert HEADER.hash().hex() == "5ebff87215c57275693d94163d14499ac3a166cb33c97c354f77133710e1ed92"
    assert Header.decode(encoded) == HEADER


@pytest.mark.parametrize(
    "item, encoded",
    [
        (Other(b"ab"), "00 08 6162"),
        (AdditionalData(b"\x05" * 32), "03" + "05" * 32),
        (Consensus(b"FRNK", b""), "04 46524e4b 00"),
        (Seal(AURA, b"\x01"), "05 61757261 04 01"),
        (PreRuntime(AURA, b"\x01"), "06 61757261 04 01"),
        (RuntimeEnvironmentUpdated(), "08"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_digest_items(item: DigestItem, encoded: str) -> None:
    assert digest_item.encode(item).hex() == bytes.fromhex(encoded).hex()
    assert digest_item.decode(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize("index", [1, 2, 7, 9, 255])
def test_retired_and_unknown_digest_items_do_not_decode(index: int) -> None:
    with pytest.raises(ScaleError, match=f"index {index}"):
        digest_item.decode(bytes([index]) + bytes(40))


def test_the_seal_is_the_last_item_or_none() -> None:
    seal = Seal(AURA, b"s" * 64)
    sealed = replace(HEADER, digest=(*HEADER.digest, seal))
    assert sealed.without_seal() == (HEADER, seal)
    assert HEADER.without_seal() == (HEADER, None)
    misplaced = replace(HEADER, digest=(seal, *HEADER.digest))
    assert misplaced.without_seal() == (misplaced, None)
    assert sealed.hash() != HEADER.hash()


def test_relay_parent_storage_root_is_found() -> None:
    assert relay_parent_storage_root(HEADER.digest) == RPSR
    assert relay_parent_storage_root((SLOT,)) is None
    with pytest.raises(ScaleError):
        relay_parent_storage_root((Consensus(b"RPSR", b"short"),))


# -- blocks ------------------------------------------------------------------------------------------------


def test_block_keeps_extrinsics_as_they_are() -> None:
    encoded = BLOCK.encode()
    assert encoded == HEADER.encode() + b"\x08" + b"".join(BLOCK.extrinsics)
    assert Block.decode(encoded) == BLOCK
    assert BLOCK.hash() == HEADER.hash()


@pytest.mark.parametrize("extrinsic", [b"", b"\x04", b"\x04ab", b"\x01\x00"])
def test_extrinsics_must_be_complete_encodings(extrinsic: bytes) -> None:
    with pytest.raises(ScaleError):
        Block(HEADER, (extrinsic,)).encode()


PROOF = (b"node one", b"node two")


def test_version_0_has_no_prefix() -> None:
    data = ParachainBlockData(0, (BLOCK,), PROOF)
    assert data.encode() == BLOCK.encode() + b"\x08" + byte_vec.encode(PROOF[0]) + byte_vec.encode(PROOF[1])
    assert ParachainBlockData.decode(data.encode()) == data
    with pytest.raises(ScaleError, match="one block"):
        ParachainBlockData(0, (BLOCK, BLOCK), PROOF).encode()


def test_version_1_holds_many_blocks() -> None:
    data = ParachainBlockData(1, (BLOCK, BLOCK), PROOF)
    encoded = data.encode()
    assert encoded.startswith(b"VERSIONEDPBD\x01\x08" + BLOCK.encode())
    assert ParachainBlockData.decode(encoded) == data


EMPTY_PROOF = bytes(100)
"""No header, a header of zeros (98 bytes: three hashes, number 0, no log), no signature."""


def test_version_2_adds_a_scheduling_proof() -> None:
    data = ParachainBlockData(2, (BLOCK,), PROOF)
    encoded = data.encode()
    assert encoded.startswith(VERSIONED_PREFIX + b"\x02")
    assert encoded.endswith(EMPTY_PROOF)
    assert encoded[13:-100] == ParachainBlockData(1, (BLOCK,), PROOF).encode()[13:]
    assert ParachainBlockData.decode(encoded) == data
    signed = SignedSchedulingInfo(SchedulingInfoPayload(1, 2, b"peer", bytes(32)), bytes([7]) * 64)
    proof = SchedulingProof((HEADER, HEADER), HEADER, signed)
    full = ParachainBlockData(2, (BLOCK,), PROOF, scheduling_proof=proof)
    assert full.encode().endswith(
        b"\x08" + 3 * HEADER.encode() + bytes.fromhex("01 01 02 10 70656572") + bytes(32) + bytes([7]) * 64
    )
    assert ParachainBlockData.decode(full.encode()) == full
    with pytest.raises(ScaleError, match="scheduling proof"):
        ParachainBlockData(1, (BLOCK,), PROOF, scheduling_proof=proof).encode()
    with pytest.raises(ScaleError):
        ParachainBlockData(
            2, (BLOCK,), PROOF, scheduling_proof=SchedulingProof((HEADER,) * 9, HEADER, None)
        ).encode()


def test_version_3_carries_additional_data() -> None:
    data = ParachainBlockData(3, (BLOCK, BLOCK), PROOF, ({"polkadot/relay_proof": b"entry"}, None))
    encoded = data.encode()
    assert encoded.startswith(VERSIONED_PREFIX + b"\x03")
    assert encoded.endswith(
        EMPTY_PROOF + bytes.fromhex("08 01 04 50 706f6c6b61646f742f72656c61795f70726f6f66 14") + b"entry\x00"
    )
    assert ParachainBlockData.decode(encoded) == data
    for version in (0, 1, 2):
        with pytest.raises(ScaleError, match="additional data"):
            ParachainBlockData(version, (BLOCK,), PROOF, (None,)).encode()


def relay_header(parent: bytes, number: int) -> Header:
    return Header(parent, number, bytes(32), bytes(32))


def test_a_scheduling_proof_leads_from_the_scheduling_parent_to_the_relay_parent() -> None:
    internal = relay_header(bytes([1]) * 32, 5)
    middle = relay_header(internal.hash(), 6)
    newest = relay_header(middle.hash(), 7)
    extension = ValidationParamsExtensionV3(internal.hash(), newest.hash())
    proof = SchedulingProof((newest, middle), internal, None)
    check_scheduling_proof(proof, extension, 2)
    check_scheduling_proof(
        SchedulingProof((), internal, None), replace(extension, scheduling_parent=internal.hash()), 0
    )
    check_scheduling_proof(EMPTY, None, 2)
    wrong = [
        (proof, None, 2, "without a scheduling parent"),
        (proof, extension, 1, "2 headers, the runtime asks for 1"),
        (EMPTY, extension, 2, "0 headers"),
        (replace(proof, header_chain=(middle, newest)), extension, 2, "no chain"),
        (replace(proof, internal_scheduling_parent_header=newest), extension, 2, "no chain"),
        (proof, replace(extension, scheduling_parent=middle.hash()), 2, "no chain"),
        (proof, replace(extension, relay_parent=middle.hash()), 2, "not where"),
    ]
    for bad, of, offset, why in wrong:
        with pytest.raises(InvalidBlock, match=why):
            check_scheduling_proof(bad, of, offset)


@pytest.mark.parametrize("version", [4, 0, 255])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(ScaleError, match="unknown"):
        ParachainBlockData.decode(VERSIONED_PREFIX + bytes([version]) + bytes(100))
    if version:
        with pytest.raises(ScaleError, match="unknown"):
            ParachainBlockData(version, (BLOCK,), PROOF).encode()


def test_trailing_bytes_after_a_payload() -> None:
    for data in (
        ParachainBlockData(0, (BLOCK,), PROOF),
        ParachainBlockData(1, (), ()),
        ParachainBlockData(2, (), ()),
        ParachainBlockData(3, (), ()),
    ):
        encoded = data.encode()
        assert ParachainBlockData.decode_prefix(b"ab" + encoded + b"tail", 2) == (data, 2 + len(encoded))
        with pytest.raises(ScaleError, match="4 trailing"):
            ParachainBlockData.decode(encoded + b"tail")


# -- additional data ---------------------------------------------------------------------------------------


def test_relay_proof_of_one_head() -> None:
    """The entry of a small relay state, made apart from this code with other trie code."""
    state = {CURRENT_SLOT: (1234567).to_bytes(8, "little"), ACTIVE_CONFIG: bytes(range(60))}
    state |= {para_head(para): byte_vec.encode(header_number(para).encode()) for para in (1000, 2000, 2001)}
    store: dict[bytes, bytes] = {}
    root = trie_root(state, LAYOUT_V1, store)
    assert root.hex() == "87e146850250e49bf1f518943ea1338e252a860f210127112c1604ac6f0eae83"
    nodes = create_proof(store, root, [para_head(2000)], LAYOUT_V1)
    entry = relay_proof_entry(root, reversed(nodes))
    assert len(entry) == 477
    assert parse_relay_proof_entry(entry) == (root, nodes)
    assert hash_value(entry).hex() == "9390d38658767868d431e448c57599699b3be89929091135eca6499b401d0651"
    digest = hash_commitments({RELAY_PROOF_KEY: entry})
    assert digest is not None
    assert digest.hex() == "42fd4e1f415343948d47edb826068933a5701763941a47b689cf2ba51c8aea06"


def test_commitments_follow_the_order_of_keys_and_leave_the_keys_out() -> None:
    assert hash_commitments({}) is None
    assert hash_commitments({"a": b"1", "b": b"2"}) == hash_commitments({"d": b"2", "c": b"1"})
    assert hash_commitments({"a": b"1", "b": b"2"}) != hash_commitments({"a": b"2", "b": b"1"})


def test_map_is_sorted_on_the_wire() -> None:
    encoded = additional_data_map.encode({"b": b"", "a": b"\x01"})
    assert encoded == bytes.fromhex("08 0461 0401 0462 00")
    with pytest.raises(ScaleError):
        parse_relay_proof_entry(bytes(31))
