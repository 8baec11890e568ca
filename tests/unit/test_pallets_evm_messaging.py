"""Messages logged by a contract on an EVM parachain, over the whole chain of trust, and each refusal by name.

The Ethereum side (receipts trie, RLP header) is built by py-trie and pyrlp, the Substrate side as `pallet_ethereum`
lays it out, and the relay state holds the sibling's head. The receiving chain is the demo runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import rlp
from hypothesis import event, given
from hypothesis import strategies as st
from trie import HexaryTrie

from host_functions.contexts import AuthoringContext, OffchainContext
from host_functions.errors import StateUnavailable
from host_functions.interfaces import hashing, storage
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayStateReader
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.chains import demo
from runtime.pallets.evm_messaging.pallet import EvmItemRefused, GatewaySet
from runtime.pallets.evm_messaging.types import (
    MESSAGE_SENT,
    VERSION,
    CurrentBlock,
    EarlierBlock,
    EthereumBlockReference,
    EvmItem,
    LogPosition,
    body_of,
    topics_of,
)
from runtime.pallets.evm_messaging.verify import HEAD_REFUSALS, Refusal
from runtime.pallets.mailbox import MAX_LETTER, RECIPIENT
from runtime.pallets.state_messaging.events import MessageConsumed
from runtime.pallets.state_messaging.lanes import InboundLane, Outcome
from runtime.pallets.state_messaging.types import MessageBody
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import NONE, ROOT, BadOrigin, Origin, OriginKind
from runtime.support.ethereum.block import block_hash_key, current_block_key
from runtime.support.ethereum.receipt import Log
from runtime.support.sibling_ancestry import HeaderChain, HeadReference, HeadRefusal, NewestHead
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, SIBLING, LANE = 2001, 2004, 3
NOW = 1_700_000_000_000
GATEWAY, USER, STRANGER = bytes([0x6A]) * 20, bytes([0x75]) * 20, bytes([0x73]) * 20
ALICE = Origin(OriginKind.SIGNED, bytes(range(32)))
evm, messaging, system = demo.evm_messaging, demo.state_messaging, demo.system


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def dynamic(data: bytes) -> bytes:
    return word(len(data)) + data + bytes(-len(data) % 32)


def abi(sender: bytes, recipient: bytes, timeout: int, payload: bytes) -> bytes:
    """What Solidity's ``abi.encode(sender, recipient, timeout, payload)`` gives."""
    tail = dynamic(recipient)
    return bytes(12) + sender + word(128) + word(timeout) + word(128 + len(tail)) + tail + dynamic(payload)


def log_of(
    nonce: int, payload: bytes = b"", *, lane: int = LANE, timeout: int = 0, **changes: Any
) -> list[Any]:
    parts = {
        "address": GATEWAY,
        "topics": list(topics_of(ME, lane, nonce)),
        "data": abi(USER, RECIPIENT, timeout, payload or b"letter %d" % nonce),
    }
    parts.update(changes)
    return [parts["address"], parts["topics"], parts["data"]]


def receipt(*logs: list[Any], kind: int = 2, status: int = 1) -> bytes:
    payload = rlp.encode([status, 21_000, bytes(256), list(logs)])
    return payload if kind == 0 else bytes([kind]) + payload


TRANSFER = [STRANGER, [bytes(32), bytes(32)], bytes(32)]
RECEIPTS = (
    receipt(TRANSFER, kind=0),
    receipt(TRANSFER, log_of(1), log_of(2), kind=2),
    receipt(kind=1),
    receipt(log_of(3), kind=0),
    receipt(log_of(4), kind=2, status=0),
    receipt(log_of(4, address=STRANGER)),
    receipt(log_of(4, topics=[MESSAGE_SENT])),
    receipt(log_of(4, topics=[bytes(32), *topics_of(ME, LANE, 4)[1:]])),
    receipt(log_of(4, topics=list(topics_of(ME + 1, LANE, 4)))),
    receipt(log_of(4, lane=LANE + 1)),
    b"\x02 no receipt",
    *(receipt(TRANSFER, kind=2) for _ in range(130)),
    receipt(
        log_of(4, data=b"no abi"),
        log_of(5, b"after"),
        log_of(6, timeout=NOW),
        log_of(7, bytes(MAX_LETTER + 1)),
    ),
)
"""Messages 1 to 3 and then 4 to 7, and what is none."""
LAST = len(RECEIPTS) - 1


class Recording(dict[bytes, bytes]):
    """A database of py-trie that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = super().__getitem__(key)
        self.read[key] = value
        return value


@dataclass(frozen=True)
class World:
    """An EVM parachain of two blocks: the messages are in the Ethereum block 9 of the first."""

    trie: HexaryTrie
    database: Recording
    rlp_header: bytes
    old: Header
    newest: Header
    nodes: dict[bytes, bytes]

    def item(
        self,
        first: int,
        *positions: tuple[int, int],
        earlier: bool = False,
        head: HeadReference | None = None,
        lane: int = LANE,
    ) -> EvmItem:
        """An honest item; ``earlier``: from the newest state, in which the block is an earlier one."""
        block: EthereumBlockReference = EarlierBlock(9, self.rlp_header) if earlier else CurrentBlock()
        key = block_hash_key(9) if earlier else current_block_key()
        at = self.newest if earlier else self.old
        reference = head or (NewestHead(self.newest.hash()) if earlier else HeaderChain((self.old.encode(),)))
        logs = tuple(LogPosition(*position) for position in positions)
        state_nodes = create_proof(self.nodes, at.state_root, [key], LAYOUT_V1)
        receipt_nodes = self.receipts([position[0] for position in positions])
        return EvmItem(VERSION, SIBLING, reference, block, lane, first, logs, state_nodes, receipt_nodes)

    def receipts(self, transactions: Sequence[int]) -> tuple[bytes, ...]:
        self.database.read.clear()
        for transaction in transactions:
            self.trie.get(rlp.encode(transaction))
        return tuple(sorted({*self.database.read.values()}))


def keccak(data: bytes) -> bytes:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with OffchainContext(state.backend).externalities():
        return hashing.keccak_256(data)


@cache
def world() -> World:
    database = Recording()
    trie = HexaryTrie(database)
    for index, encoded in enumerate(RECEIPTS):
        trie[rlp.encode(index)] = encoded
    fields = [bytes([1]) * 32, bytes([2]) * 32, bytes(20), bytes([3]) * 32, bytes([4]) * 32, trie.root_hash]
    rlp_header = rlp.encode([*fields, bytes(256), 0, 9, 10**7, 10**6, NOW // 1000, b"", bytes(32), bytes(8)])
    scale_header = b"".join(fields) + bytes(256) + bytes(32) + (9).to_bytes(32, "little") + bytes(100)
    filler = {b"filler %d" % index: bytes(40) for index in range(40)}
    with OffchainContext(Externalities.recording({}, LAYOUT_V1.empty_root).backend).externalities():
        current, hash_key = current_block_key(), block_hash_key(9)
    old_root, nodes = build_state(Storage({**filler, current: scale_header, hash_key: keccak(rlp_header)}))
    old = Header(bytes(32), 20, old_root, bytes(32))
    newest_root, more = build_state(Storage({**filler, current: b"short", hash_key: keccak(rlp_header)}))
    newest = Header(old.hash(), 21, newest_root, bytes(32))
    return World(trie, database, rlp_header, old, newest, {**nodes, **more})


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        if root not in self:
            raise StateUnavailable(root)
        return self


@cache
def relay_state() -> tuple[bytes, dict[bytes, bytes]]:
    entries = {relay_keys.para_head(SIBLING): byte_vec.encode(world().newest.encode())}
    return build_state(Storage({**entries, **{b"relay %d" % index: bytes(40) for index in range(40)}}))


def embedded() -> RelayStateReader:
    root, nodes = relay_state()
    return EmbeddedRelayNode(Database(nodes), root)


def carried() -> RelayStateReader:
    root, nodes = relay_state()
    return CarriedProof(root, create_proof(nodes, root, [relay_keys.para_head(SIBLING)], LAYOUT_V1))


FORMS = pytest.mark.parametrize("relay", [embedded, carried])


@contextmanager
def receiving(
    relay: Callable[[], RelayStateReader] = embedded, gateway: bytes | None = GATEWAY
) -> Iterator[Externalities]:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, relay()).externalities():
        demo.parachain_info.ParachainId.put(ME)
        demo.timestamp.Now.put(NOW)
        system.Number.put(1)
        system.ExecutionPhase.put(ApplyExtrinsic(2))
        if gateway is not None:
            evm.set_gateway(ROOT, SIBLING, gateway)
        yield state


def events(kind: type) -> list[Any]:
    raw = storage.get(system.Events.key())
    records = [] if raw is None else demo.pallets.decode_events(raw)
    return [record.event for record in records if isinstance(record.event, kind)]


def consumed() -> list[tuple[int, Outcome]]:
    return [(event.nonce, Outcome(event.outcome)) for event in events(MessageConsumed)]


def reasons() -> list[str]:
    return [Refusal(event.reason).name for event in events(EvmItemRefused)]


FIRST = ((1, 1), (1, 2), (3, 0))
"""Positions of messages 1 to 3."""
THEN = ((LAST, 0), (LAST, 1), (LAST, 2), (LAST, 3))


@FORMS
@pytest.mark.parametrize("earlier", [False, True])
def test_logs_are_delivered_like_messages(relay: Callable[[], RelayStateReader], earlier: bool) -> None:
    with receiving(relay):
        evm.submit(ALICE, world().item(1, *FIRST, earlier=earlier))
        assert reasons() == []
        assert consumed() == [(1, Outcome.DELIVERED), (2, Outcome.DELIVERED), (3, Outcome.DELIVERED)]
        letter = demo.mailbox.LastLetter.get(SIBLING)
        assert letter is not None
        assert (letter.nonce, letter.sender, letter.payload) == (3, USER, b"letter 3")
        end = messaging.inbound(SIBLING, LANE)
        assert isinstance(end, InboundLane)
        assert end.last_delivered == 3


@FORMS
def test_what_the_gateway_should_not_have_taken_is_consumed_and_fails(
    relay: Callable[[], RelayStateReader],
) -> None:
    with receiving(relay):
        evm.submit(ALICE, world().item(1, *FIRST))
        evm.submit(ALICE, world().item(4, *THEN, earlier=True))
        assert reasons() == []
        assert consumed()[3:] == [
            (4, Outcome.FAILED),
            (5, Outcome.DELIVERED),
            (6, Outcome.EXPIRED),
            (7, Outcome.FAILED),
        ]


def test_a_head_that_something_was_proven_under_is_remembered() -> None:
    with receiving():
        evm.submit(ALICE, world().item(1, *FIRST))
        assert messaging.remembered_head(SIBLING, world().old.hash()) is not None


GOOD = world().item(1, *FIRST)
EARLIER = world().item(1, *FIRST, earlier=True)
JUNK = bytes(50)


def added(nodes: tuple[bytes, ...], junk: bytes = JUNK) -> tuple[bytes, ...]:
    return tuple(sorted((*nodes, junk)))


@pytest.mark.parametrize(
    "item, reason",
    [
        pytest.param(replace(GOOD, version=2), "WRONG_VERSION", id="version"),
        pytest.param(replace(GOOD, source=ME), "SOURCE_IS_SELF", id="from ourselves"),
        pytest.param(replace(GOOD, logs=()), "EMPTY_ITEM", id="no logs"),
        pytest.param(
            replace(GOOD, logs=tuple(LogPosition(0, i) for i in range(257))),
            "TOO_MANY_MESSAGES",
            id="257 logs",
        ),
        pytest.param(
            replace(GOOD, state_nodes=tuple(b"%5d" % i for i in range(2_050))), "TOO_LARGE", id="2 050 nodes"
        ),
        pytest.param(replace(GOOD, receipt_nodes=(bytes(400_000),)), "TOO_LARGE", id="400 kB"),
        pytest.param(replace(EARLIER, block=EarlierBlock(9, bytes(2_049))), "TOO_LARGE", id="header of 2 kB"),
        pytest.param(
            replace(GOOD, state_nodes=GOOD.state_nodes[::-1]), "NODES_NOT_SORTED", id="state nodes unsorted"
        ),
        pytest.param(
            replace(GOOD, receipt_nodes=(*GOOD.receipt_nodes, GOOD.receipt_nodes[-1])),
            "NODES_NOT_SORTED",
            id="receipt node doubled",
        ),
        pytest.param(replace(GOOD, logs=GOOD.logs[::-1]), "LOGS_NOT_SORTED", id="logs unsorted"),
        pytest.param(replace(GOOD, logs=GOOD.logs[:1] * 2), "LOGS_NOT_SORTED", id="log doubled"),
        pytest.param(replace(GOOD, first_nonce=0), "NONCE_OUT_OF_RANGE", id="nonce 0"),
        pytest.param(replace(GOOD, first_nonce=2**64 - 2), "NONCE_OUT_OF_RANGE", id="nonce beyond 2^64"),
        pytest.param(replace(GOOD, lane=128), "LANE_NOT_ORDERED", id="unordered lane"),
        pytest.param(replace(GOOD, source=SIBLING + 1), "NO_GATEWAY", id="a sibling without gateway"),
        pytest.param(replace(GOOD, first_nonce=2), "GAP", id="gap"),
        pytest.param(
            replace(GOOD, head=NewestHead(world().old.hash())), "HEAD_MISMATCH", id="stale head as newest"
        ),
        pytest.param(replace(GOOD, head=HeaderChain(())), "HEAD_EVIDENCE_TOO_LARGE", id="no headers"),
        pytest.param(
            replace(GOOD, state_nodes=GOOD.state_nodes[1:]), "STATE_PROOF_INCOMPLETE", id="state node missing"
        ),
        pytest.param(
            replace(GOOD, state_nodes=added(GOOD.state_nodes)), "STATE_UNUSED_NODE", id="state junk"
        ),
        pytest.param(
            replace(EARLIER, block=EarlierBlock(8, world().rlp_header)),
            "NO_BLOCK",
            id="other number",
        ),
        pytest.param(
            replace(EARLIER, block=EarlierBlock(9, world().rlp_header + b"\0")),
            "BAD_BLOCK",
            id="other header",
        ),
        pytest.param(
            replace(GOOD, receipt_nodes=GOOD.receipt_nodes[1:]),
            "RECEIPT_PROOF_INCOMPLETE",
            id="receipt node missing",
        ),
        pytest.param(
            replace(GOOD, receipt_nodes=added(GOOD.receipt_nodes)), "RECEIPT_UNUSED_NODE", id="receipt junk"
        ),
        pytest.param(world().item(1, (5_000, 0)), "NO_RECEIPT", id="no such transaction"),
        pytest.param(world().item(1, (10, 0)), "BAD_RECEIPT", id="no receipt at the key"),
        pytest.param(world().item(1, (4, 0)), "FAILED_TRANSACTION", id="reverted transaction"),
        pytest.param(world().item(1, (2, 0)), "NO_LOG", id="receipt without logs"),
        pytest.param(world().item(1, (1, 3)), "NO_LOG", id="log index too high"),
        pytest.param(world().item(1, (1, 0)), "WRONG_CONTRACT", id="another contract's event"),
        pytest.param(world().item(1, (5, 0)), "WRONG_CONTRACT", id="another contract's message"),
        pytest.param(world().item(1, (6, 0)), "WRONG_TOPICS", id="topics missing"),
        pytest.param(world().item(1, (7, 0)), "WRONG_TOPICS", id="another event"),
        pytest.param(world().item(1, (8, 0)), "WRONG_TOPICS", id="another destination"),
        pytest.param(world().item(1, (9, 0)), "WRONG_TOPICS", id="another lane"),
        pytest.param(world().item(1, (1, 2)), "WRONG_TOPICS", id="another nonce"),
    ],
)
def test_each_refusal(item: EvmItem, reason: str) -> None:
    with receiving():
        evm.submit(ALICE, item)
        assert reasons() == [reason]
        assert consumed() == []
        assert messaging.inbound(SIBLING, LANE) == InboundLane()
        evm.submit(ALICE, GOOD)
        assert len(consumed()) == 3


def test_replays_and_suspension_and_blocking() -> None:
    with receiving():
        evm.submit(ALICE, GOOD)
        evm.submit(ALICE, GOOD)
        evm.submit(ALICE, world().item(3, *FIRST[2:]))
        messaging.set_lane_suspended(ROOT, SIBLING, LANE, True)
        evm.submit(ALICE, world().item(4, *THEN))
        messaging.set_lane_suspended(ROOT, SIBLING, LANE, False)
        messaging.set_source_blocked(ROOT, SIBLING, True)
        evm.submit(ALICE, world().item(4, *THEN))
        assert reasons() == ["STALE", "STALE", "LANE_SUSPENDED", "SOURCE_BLOCKED"]
        assert len(consumed()) == 3


def test_a_sibling_whose_state_has_no_or_another_block() -> None:
    """The newest state's `CurrentBlock` is too short for a header, and it has no block 8."""
    with receiving():
        newest = NewestHead(world().newest.hash())
        nodes = create_proof(world().nodes, world().newest.state_root, [current_block_key()], LAYOUT_V1)
        evm.submit(ALICE, replace(GOOD, head=newest, state_nodes=nodes))
        nodes = create_proof(world().nodes, world().newest.state_root, [block_hash_key(8)], LAYOUT_V1)
        evm.submit(ALICE, replace(EARLIER, block=EarlierBlock(8, world().rlp_header), state_nodes=nodes))
        assert reasons() == ["BAD_BLOCK", "NO_BLOCK"]


def test_a_sibling_that_keeps_a_block_under_another_number() -> None:
    with OffchainContext(Externalities.recording({}, LAYOUT_V1.empty_root).backend).externalities():
        key = block_hash_key(8)
    state_root, state_nodes = build_state(Storage({key: keccak(world().rlp_header)}))
    head = Header(bytes(32), 30, state_root, bytes(32))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(head.encode())}))
    with receiving(lambda: EmbeddedRelayNode(Database(nodes), root)):
        proof = create_proof(state_nodes, state_root, [key], LAYOUT_V1)
        block = EarlierBlock(8, world().rlp_header)
        evm.submit(ALICE, replace(EARLIER, head=NewestHead(head.hash()), block=block, state_nodes=proof))
        assert reasons() == ["BAD_BLOCK"]


def test_malformed_nodes_under_correct_hashes_are_named() -> None:
    """A hostile sibling chooses all its roots."""
    nonsense = b"\xff" * 40
    head = Header(bytes(32), 30, LAYOUT_V1.digest(nonsense), bytes(32))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(head.encode())}))
    with receiving(lambda: EmbeddedRelayNode(Database(nodes), root)):
        evm.submit(ALICE, replace(GOOD, head=NewestHead(head.hash()), state_nodes=(nonsense,)))
        assert reasons() == ["STATE_PROOF_MALFORMED"]
    fields = [bytes(32)] * 2 + [bytes(20), bytes(32), bytes(32), keccak(nonsense)]
    scale_header = b"".join(fields) + bytes(256 + 32 + 32)
    with OffchainContext(Externalities.recording({}, LAYOUT_V1.empty_root).backend).externalities():
        key = current_block_key()
    state_root, state_nodes = build_state(Storage({key: scale_header}))
    head = Header(bytes(32), 30, state_root, bytes(32))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(head.encode())}))
    with receiving(lambda: EmbeddedRelayNode(Database(nodes), root)):
        proof = create_proof(state_nodes, state_root, [key], LAYOUT_V1)
        item = replace(GOOD, head=NewestHead(head.hash()), state_nodes=proof, receipt_nodes=(nonsense,))
        evm.submit(ALICE, item)
        assert reasons() == ["RECEIPT_PROOF_MALFORMED"]


def test_relay_state_that_is_gone_is_no_refusal() -> None:
    root, nodes = relay_state()
    with receiving(lambda: EmbeddedRelayNode(Database({root: nodes[root]}), root)):
        with pytest.raises(StateUnavailable):
            evm.submit(ALICE, GOOD)


def test_only_governance_names_gateways_and_only_accounts_pay() -> None:
    with receiving(gateway=None):
        evm.submit(ALICE, GOOD)
        assert reasons() == ["NO_GATEWAY"]
        for origin in (ALICE, NONE):
            with pytest.raises(BadOrigin):
                evm.set_gateway(origin, SIBLING, STRANGER)
        with pytest.raises(BadOrigin):
            evm.submit(NONE, GOOD)
        evm.set_gateway(ROOT, SIBLING, STRANGER)
        evm.submit(ALICE, GOOD)
        evm.set_gateway(ROOT, SIBLING, None)
        evm.submit(ALICE, GOOD)
        assert reasons()[1:] == ["WRONG_CONTRACT", "NO_GATEWAY"]
        assert events(GatewaySet) == [GatewaySet(SIBLING, STRANGER), GatewaySet(SIBLING, None)]


def test_every_refusal_of_a_head_has_its_place() -> None:
    assert [Refusal(HEAD_REFUSALS + refusal).value for refusal in HeadRefusal] == list(range(64, 77))
    assert Refusal.HEAD_MISMATCH == HEAD_REFUSALS + HeadRefusal.HEAD_MISMATCH
    assert Refusal.HEAD_DUPLICATE_NODE == HEAD_REFUSALS + HeadRefusal.DUPLICATE_NODE


@FORMS
@pytest.mark.parametrize("earlier", [False, True])
def test_the_declared_proof_size_covers_what_is_read(
    relay: Callable[[], RelayStateReader], earlier: bool
) -> None:
    for item in (world().item(1, *FIRST, earlier=earlier), replace(GOOD, receipt_nodes=())):
        with receiving(relay) as state:
            before = state.storage_proof_size()
            evm.submit(ALICE, item)
            storage.root(1)
            read = state.storage_proof_size() - before
        assert read + len(item.encode()) <= evm.item_weight(item).proof_size
        assert evm.item_fee(item) > 0


@given(st.data(), st.booleans())
def test_a_damaged_item_delivers_what_was_logged_or_nothing(data: st.DataObject, earlier: bool) -> None:
    encoded = bytearray(world().item(1, *FIRST, earlier=earlier).encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        item = EvmItem.decode(bytes(encoded))
    except ValueError:
        event("undecodable")
        return
    with receiving():
        evm.submit(ALICE, item)
        event(reasons()[0] if reasons() else "delivered")
        honest = {nonce: LAST_COMMITMENTS[nonce] for nonce in (1, 2, 3)}
        for one in events(MessageConsumed):
            assert honest[one.nonce] == one.commitment


def commitments() -> dict[int, bytes]:
    with receiving():
        evm.submit(ALICE, GOOD)
        return {event.nonce: event.commitment for event in events(MessageConsumed)}


LAST_COMMITMENTS = commitments()


# The log.


def test_the_first_topic_is_the_events_signature() -> None:
    assert keccak(b"MessageSent(uint32,uint8,uint64,address,bytes,uint64,bytes)") == MESSAGE_SENT


recipients = st.binary(max_size=32)


@given(st.binary(min_size=20, max_size=20), recipients, st.integers(0, 2**64 - 1), st.binary(max_size=100))
def test_what_solidity_encodes_is_read(sender: bytes, recipient: bytes, timeout: int, payload: bytes) -> None:
    body = body_of(Log(GATEWAY, (), abi(sender, recipient, timeout, payload)), 100)
    assert body == MessageBody(sender, recipient, timeout or None, payload)


@given(recipients, st.binary(max_size=70), st.data())
def test_data_that_is_off_by_a_byte_is_another_message_or_none(
    recipient: bytes, payload: bytes, data: st.DataObject
) -> None:
    encoded = bytearray(abi(USER, recipient, 7, payload))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    body = body_of(Log(GATEWAY, (), bytes(encoded)), 100)
    if body is not None:
        # Strict: there is one encoding of each message, so this is it.
        assert abi(body.sender, body.recipient, body.timeout or 0, body.payload) == bytes(encoded)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        abi(USER, b"r", 0, b"p")[:-1],
        abi(USER, b"r", 0, b"p") + bytes(32),
        abi(USER, bytes(33), 0, b"p"),
        abi(USER, b"r", 0, bytes(101)),
        abi(USER, b"r", 2**64, b"p"),
        b"\x01" + abi(USER, b"r", 0, b"p")[1:],
        abi(USER, b"r", 0, b"p").replace(word(128), word(2**255), 1),
        abi(USER, b"", 0, b"").replace(word(160), word(128), 1),
    ],
)
def test_data_out_of_form_is_no_message(data: bytes) -> None:
    assert body_of(Log(GATEWAY, (), data), 100) is None
