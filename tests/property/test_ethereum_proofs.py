"""Ethereum's encodings and proofs, judged by the libraries others use: ``rlp`` (pyrlp) and py-trie (``trie``).

What those make, ours reads; what they refuse, ours refuses; and a damaged proof never shows anything else.
"""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rlp.exceptions import DecodingError
from rlp.sedes import big_endian_int
from trie import HexaryTrie
from trie.exceptions import MissingTrieNode

from host_functions.contexts import OffchainContext
from host_functions.state_machine.externalities import Externalities
from runtime.primitives.hashing import keccak_256
from runtime.support.ethereum.block import block_hash_key, from_current_block, from_rlp_header
from runtime.support.ethereum.receipt import Log, decode_receipt
from runtime.support.ethereum.rlp import Item, RlpError, as_int, decode, encode_int, items_of
from runtime.support.ethereum.trie import EMPTY_ROOT, verify_ethereum_proof
from runtime.trie.errors import BadNode, DuplicateNode, MissingNode, TrieError, UnusedNode
from runtime.trie.layout import LAYOUT_V1

# RLP.

nested = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=12)


def unfold(item: Item) -> Any:
    """The item as pyrlp gives it."""
    if not item.is_list:
        return item.payload
    return [unfold(inner) for inner in items_of(item, max_items=1 << 20)]


@given(nested)
def test_what_pyrlp_encodes_is_read(value: Any) -> None:
    assert unfold(decode(rlp.encode(value))) == value


@example(b"\x81\x05")
@example(b"\xb8\x01\x05")
@example(b"\xb9\x00\x40" + bytes(64))
@example(b"\xf8\x00")
@example(b"\x82\x05")
@example(b"")
@given(st.binary(max_size=60))
def test_what_pyrlp_refuses_is_refused_and_nothing_else(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
    except DecodingError:
        with pytest.raises(RlpError):
            unfold(decode(data))
    else:
        assert unfold(decode(data)) == expected


@given(st.integers(0, 2**64))
def test_integers_are_pyrlps(value: int) -> None:
    assert encode_int(value) == rlp.encode(value, sedes=big_endian_int)
    assert as_int(decode(encode_int(value))) == value


def test_integers_out_of_form_are_refused() -> None:
    for item, size in ((b"\x82\x00\x01", 32), (b"\x00", 32), (b"\x82\x01\x00", 1), (b"\xc0", 32)):
        with pytest.raises(RlpError):
            as_int(decode(item), size)
    for value in (-1, 2**256):
        with pytest.raises(RlpError):
            encode_int(value)


def test_lists_are_bounded() -> None:
    with pytest.raises(RlpError, match="more than 3"):
        items_of(decode(rlp.encode([b"a"] * 4)), max_items=3)


def test_depth_costs_nothing() -> None:
    """A million nested lists are one item to whoever does not look inside."""
    data = b"\xc0"
    for _ in range(2_000):
        data = rlp.codec.length_prefix(len(data), 0xC0) + data
    assert decode(data).is_list


# The trie.

keys = st.integers(0, 300).map(encode_int) | st.binary(min_size=1, max_size=3)
values = st.binary(min_size=1, max_size=40)
models = st.dictionaries(keys, values, max_size=20)


class Recording(dict[bytes, bytes]):
    """A database of py-trie that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = super().__getitem__(key)
        self.read[key] = value
        return value


def built(model: dict[bytes, bytes]) -> tuple[HexaryTrie, Recording]:
    database = Recording()
    trie = HexaryTrie(database)
    for key, value in model.items():
        trie[key] = value
    return trie, database


def prove(trie: HexaryTrie, database: Recording, asked: list[bytes]) -> tuple[bytes, ...]:
    """The nodes that py-trie reads to answer for these keys."""
    database.read.clear()
    for key in asked:
        trie.get(key)
    return tuple(sorted({value for node, value in database.read.items() if value != b"\x80"}))


def verify(root: bytes, nodes: tuple[bytes, ...], asked: list[bytes]) -> dict[bytes, bytes | None]:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with OffchainContext(state.backend).externalities():
        return verify_ethereum_proof(root, nodes, asked)


@example({}, [b"\x00"])
@example({b"\x01": b"short"}, [b"\x01", b"\x02"])
@example({b"\x01": b"a", b"\x01\x02": b"b"}, [b"\x01", b"\x01\x02", b"\x01\x02\x03"])
@given(models, st.lists(keys, min_size=1, max_size=6))
def test_a_proof_from_py_trie_shows_what_py_trie_reads(model: dict[bytes, bytes], asked: list[bytes]) -> None:
    trie, database = built(model)
    asked += sorted(model)[:3]
    assert verify(trie.root_hash, prove(trie, database, asked), asked) == {
        key: model.get(key) for key in asked
    }


@given(models, st.lists(keys, min_size=1, max_size=3), st.data())
def test_without_a_node_nothing_is_shown(
    model: dict[bytes, bytes], asked: list[bytes], data: st.DataObject
) -> None:
    trie, database = built(model)
    nodes = prove(trie, database, asked)
    assume(nodes)
    left = list(nodes)
    left.remove(data.draw(st.sampled_from(nodes)))
    with pytest.raises(MissingNode):
        verify(trie.root_hash, tuple(left), asked)


@given(models, st.lists(keys, min_size=1, max_size=3), st.data())
def test_a_damaged_proof_shows_nothing(
    model: dict[bytes, bytes], asked: list[bytes], data: st.DataObject
) -> None:
    trie, database = built(model)
    nodes = list(prove(trie, database, asked))
    assume(nodes)
    at = data.draw(st.integers(0, len(nodes) - 1))
    node = bytearray(nodes[at])
    node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
    nodes[at] = bytes(node)
    with pytest.raises(TrieError):
        verify(trie.root_hash, tuple(nodes), asked)


@given(models, st.lists(keys, min_size=1, max_size=3), st.binary(max_size=40))
def test_a_node_too_many_is_refused(model: dict[bytes, bytes], asked: list[bytes], junk: bytes) -> None:
    trie, database = built(model)
    nodes = prove(trie, database, asked)
    with pytest.raises(DuplicateNode if junk in nodes else UnusedNode):
        verify(trie.root_hash, (*nodes, junk), asked)


@given(st.binary(max_size=80), keys)
@example(rlp.encode([b"\x20", b""]), b"\x01")
@example(rlp.encode([b"\x00", b"\x11" * 32]), b"\x01")
@example(rlp.encode([b"\x00\x01", b""]), b"\x01")
@example(rlp.encode([b"\x40", b"v"]), b"\x01")
@example(rlp.encode([b"\x25", b"v"]), b"\x01")
@example(rlp.encode([[b"\x20"], b"v"]), b"\x01")
@example(rlp.encode([b""] * 16 + [[b"v"]]), b"\x01")
@example(rlp.encode([b"v"] * 17), b"\x01")
@example(rlp.encode([[b"\x20", b"v" * 40]] * 16 + [b""]), b"\x01")
def test_a_root_that_was_made_up_is_an_answer_or_a_named_failure(node: bytes, key: bytes) -> None:
    """A hostile chain chooses its root: whatever the node is, we read what py-trie would, or refuse."""
    try:
        ours = verify(keccak_256_of(node), (node,), [key])[key]
    except (BadNode, MissingNode, UnusedNode):
        return
    theirs = HexaryTrie({keccak_256_of(node): node}, keccak_256_of(node))
    try:
        assert (theirs.get(key) or None) == ours
    except MissingTrieNode:
        pytest.fail("ours answers where py-trie has no node")


def test_a_node_of_32_bytes_is_never_inline() -> None:
    """Else one trie would have two encodings, and two roots."""
    leaf = [b"\x20", b"v" * 32]
    for children, inline in (([leaf] * 16, False), ([[b"\x20", b"v"]] * 16, True)):
        node = rlp.encode([*children, b""])
        if inline:
            assert verify(keccak_256_of(node), (node,), [b"\x10"]) == {b"\x10": None}
        else:
            with pytest.raises(BadNode, match="inline node of 32 bytes or more"):
                verify(keccak_256_of(node), (node,), [b"\x10"])


def keccak_256_of(data: bytes) -> bytes:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with OffchainContext(state.backend).externalities():
        return keccak_256(data)


def test_the_empty_root_is_py_tries() -> None:
    assert HexaryTrie({}).root_hash == EMPTY_ROOT == keccak_256_of(rlp.encode(b""))


# Receipts and headers.

addresses, hashes = st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)
logs = st.lists(st.tuples(addresses, st.lists(hashes, max_size=4), st.binary(max_size=100)), max_size=4)


@given(st.sampled_from([0, 1, 2, 3, 4, 0x7F]), st.booleans(), logs)
def test_receipts_of_every_type_are_read(kind: int, succeeded: bool, logged: list[Any]) -> None:
    payload = rlp.encode([int(succeeded), 21_000, bytes(256), [list(log) for log in logged]])
    receipt = decode_receipt(payload if kind == 0 else bytes([kind]) + payload)
    assert (receipt.type, receipt.succeeded) == (kind, succeeded)
    assert receipt.logs == tuple(Log(address, tuple(topics), data) for address, topics, data in logged)


GOOD = [b"\x01", b"\x52\x08", bytes(256), [[bytes(20), [bytes(32)], b""]]]


@pytest.mark.parametrize(
    "receipt",
    [
        b"",
        b"\x01",
        b"\x00" + rlp.encode(GOOD),
        b"\x80",
        rlp.encode(GOOD) + b"\x00",
        rlp.encode(GOOD[:3]),
        rlp.encode([*GOOD, b""]),
        rlp.encode([b"\x02", *GOOD[1:]]),
        rlp.encode([bytes(32), *GOOD[1:]]),
        rlp.encode([GOOD[0], b"\x00\x01", *GOOD[2:]]),
        rlp.encode([*GOOD[:2], bytes(255), GOOD[3]]),
        rlp.encode([*GOOD[:3], b"logs"]),
        rlp.encode([*GOOD[:3], [[bytes(19), [], b""]]]),
        rlp.encode([*GOOD[:3], [[bytes(20), [bytes(31)], b""]]]),
        rlp.encode([*GOOD[:3], [[bytes(20), [bytes(32)] * 5, b""]]]),
        rlp.encode([*GOOD[:3], [[bytes(20), []]]]),
        rlp.encode([*GOOD[:3], [[bytes(20), [], [b""]]]]),
        rlp.encode([*GOOD[:3], [GOOD[3][0]] * 4_097]),
    ],
)
def test_what_is_no_receipt_is_refused(receipt: bytes) -> None:
    with pytest.raises(RlpError):
        decode_receipt(receipt)


@given(st.binary(max_size=60), st.data())
def test_a_receipt_with_a_flipped_byte_is_read_or_refused(junk: bytes, data: st.DataObject) -> None:
    encoded = bytearray(data.draw(st.sampled_from([rlp.encode(GOOD), b"\x02" + rlp.encode(GOOD)])) + junk[:1])
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode_receipt(bytes(encoded))
    except RlpError:
        return


HEADER = [bytes([index]) * 32 for index in range(2)] + [bytes(20), *(bytes([9 + i]) * 32 for i in range(3))]
HEADER += [bytes(256), b"", b"\x01\x00", b"\x05", b"\x05", b"\x05", b"extra", bytes(32), bytes(8)]


def test_the_rlp_header_gives_number_and_receipts_root() -> None:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with OffchainContext(state.backend).externalities():
        for fields in (HEADER, [*HEADER, b"\x07"]):
            encoded = rlp.encode(fields)
            block = from_rlp_header(encoded, keccak_256(encoded))
            assert (block.number, block.receipts_root) == (256, bytes([11]) * 32)
        for fields in (HEADER[:14], [*HEADER, *[b""] * 7]):
            encoded = rlp.encode(fields)
            with pytest.raises(RlpError):
                from_rlp_header(encoded, keccak_256(encoded))
        with pytest.raises(RlpError, match="another block"):
            from_rlp_header(rlp.encode(HEADER), bytes(32))


def test_the_current_block_gives_the_same() -> None:
    header = b"".join(HEADER[:6]) + bytes(256) + bytes(32) + (256).to_bytes(32, "little") + bytes(100)
    block = from_current_block(header)
    assert (block.number, block.receipts_root) == (256, bytes([11]) * 32)
    for cut in (0, 179, 499):
        with pytest.raises(ValueError, match="input ended"):
            from_current_block(header[:cut])


def test_frontiers_key_of_a_block_hash() -> None:
    """``twox_128("Ethereum")`` begins every key of a Frontier chain's Ethereum pallet."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with OffchainContext(state.backend).externalities():
        key = block_hash_key(258)
    assert len(key) == 32 + 8 + 32
    assert key[-32:] == b"\x02\x01" + bytes(30)
