"""An EVM parachain among the laboratory's chains: its gateway's logs arrive in order whatever is skipped or lost.

The sibling's blocks carry what `pallet_ethereum` would have written for its contracts: a receipts trie by py-trie, an
RLP header by pyrlp. Every block of the receiving chain is executed again with own relay state and with carried proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import rlp
from trie import HexaryTrie

from host_functions.interfaces import hashing, storage
from pileus.collator.ancestry import head_reference
from pileus.testing.lab import ALICE, Action, Lab, LabBlock
from runtime.chains import demo
from runtime.pallets.assets import NAME as ASSETS
from runtime.pallets.assets import AssetMessage
from runtime.pallets.evm_messaging.pallet import EvmItemRefused
from runtime.pallets.evm_messaging.types import (
    VERSION,
    CurrentBlock,
    EarlierBlock,
    EvmItem,
    LogPosition,
    topics_of,
)
from runtime.pallets.evm_messaging.verify import Refusal
from runtime.pallets.mailbox import RECIPIENT
from runtime.pallets.state_messaging.events import MessageConsumed
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.primitives.header import Header
from runtime.support.dispatch import ROOT, Origin, OriginKind
from runtime.support.ethereum.block import block_hash_key, current_block_key
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

EVM, ME, LANE = 2000, 2001, 3
GATEWAY, USER = bytes([0x6A]) * 20, bytes([0x75]) * 20
SOMEBODY = Origin(OriginKind.SIGNED, ALICE)
evm = demo.evm_messaging


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def dynamic(data: bytes) -> bytes:
    return word(len(data)) + data + bytes(-len(data) % 32)


class Recording(dict[bytes, bytes]):
    """A database of py-trie that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        self.read[key] = value = super().__getitem__(key)
        return value


@dataclass
class EthereumBlock:
    """One Ethereum block: a transaction for each message, between others."""

    number: int
    first_nonce: int
    messages: list[tuple[bytes, bytes]]
    """Recipient and payload."""
    trie: HexaryTrie = field(init=False)
    header: bytes = field(init=False)
    scale: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.trie = HexaryTrie(Recording())
        other = [bytes(20), [bytes(32)], b""]
        for position, (recipient, payload) in enumerate(self.messages):
            tail = dynamic(recipient)
            data = bytes(12) + USER + word(128) + word(0) + word(128 + len(tail)) + tail + dynamic(payload)
            log = [GATEWAY, list(topics_of(ME, LANE, self.first_nonce + position)), data]
            receipt: list[Any] = [1, 21_000, bytes(256), [other, log]]
            self.trie[rlp.encode(2 * position)] = b"\x02" + rlp.encode([1, 21_000, bytes(256), [other]])
            self.trie[rlp.encode(2 * position + 1)] = b"\x02" + rlp.encode(receipt)
        roots = [bytes([1]) * 32, bytes(32), bytes(20), bytes(32), bytes(32), self.trie.root_hash]
        self.header = rlp.encode([*roots, bytes(256), 0, self.number, 0, 0, 0, b"", bytes(32), bytes(8)])
        self.scale = b"".join(roots) + bytes(256 + 32) + self.number.to_bytes(32, "little") + bytes(100)

    def write(self) -> None:
        """What the sibling's pallet writes when its block ends."""
        storage.set(current_block_key(), self.scale)
        storage.set(block_hash_key(self.number), hashing.keccak_256(self.header))

    def receipts(self) -> tuple[bytes, ...]:
        self.trie.db.read.clear()
        for position in range(len(self.messages)):
            self.trie.get(rlp.encode(2 * position + 1))
        return tuple(sorted({*self.trie.db.read.values()}))


def lab_with_gateway() -> Lab:
    lab = Lab((EVM, ME))
    lab.step({ME: [lambda: evm.set_gateway(ROOT, EVM, GATEWAY)]})
    return lab


def item(lab: Lab, block: EthereumBlock, *, at: int | None = None) -> EvmItem:
    """What a relayer hands in: from the newest head as an earlier block, or at head ``at`` as the current one."""
    node = lab[EVM]
    newest = Header.decode(lab.relay.best.heads[EVM])

    def get_header(block_hash: bytes) -> bytes:
        header = node.header(block_hash)
        return b"" if header is None else header.encode()

    reference, head = head_reference(
        newest,
        newest.number if at is None else at,
        lambda keys, block_hash: tuple(node.read_proof(keys, block_hash)),
        get_header,
        LAYOUT_V1,
    )
    key = lab[ME].read(lambda: block_hash_key(block.number) if at is None else current_block_key())
    assert isinstance(key, bytes)
    return EvmItem(
        VERSION,
        EVM,
        reference,
        EarlierBlock(block.number, block.header) if at is None else CurrentBlock(),
        LANE,
        block.first_nonce,
        tuple(LogPosition(2 * position + 1, 1) for position in range(len(block.messages))),
        create_proof(node.nodes, head.state_root, [key], LAYOUT_V1),
        block.receipts(),
    )


def submit(one: EvmItem) -> Action:
    return lambda: evm.submit(SOMEBODY, one)


def consumed(block: LabBlock) -> list[tuple[int, Outcome]]:
    return [(e.nonce, Outcome(e.outcome)) for e in block.events if isinstance(e, MessageConsumed)]


def refused(block: LabBlock) -> list[Refusal]:
    return [Refusal(e.reason) for e in block.events if isinstance(e, EvmItemRefused)]


def letters(*numbers: int) -> list[tuple[bytes, bytes]]:
    return [(RECIPIENT, b"letter %d" % number) for number in numbers]


def test_29_logs_of_skipped_blocks_arrive_in_order() -> None:
    """Three Ethereum blocks, of which relay state never shows the first two; then late ones out of turn."""
    lab = lab_with_gateway()
    blocks = [
        EthereumBlock(7, 1, letters(1, 2)),
        EthereumBlock(8, 3, letters(3)),
        EthereumBlock(9, 4, letters(4, 5, 6)),
    ]
    numbers = []
    for block in blocks:
        built = lab.step({EVM: [block.write]}, only=[EVM])[EVM]
        numbers.append(built.header.number)
    items = [item(lab, blocks[0]), item(lab, blocks[1], at=numbers[1]), item(lab, blocks[2])]
    out_of_turn = lab.build(ME, [submit(items[2]), submit(items[1])])
    assert refused(out_of_turn) == [Refusal.GAP, Refusal.GAP]
    block = lab.step({ME: [submit(one) for one in items] + [submit(items[0])]})[ME]
    assert consumed(block) == [(nonce, Outcome.DELIVERED) for nonce in range(1, 7)]
    assert refused(block) == [Refusal.STALE]
    letter = lab[ME].read(lambda: demo.mailbox.LastLetter.get(EVM))
    assert (letter.nonce, letter.sender, letter.payload) == (6, USER, b"letter 6")  # type: ignore[attr-defined]


def test_29_a_contract_is_no_pallet_and_mints_nothing() -> None:
    """The gateway says who called it, 20 bytes; the assets pallet takes messages of its like only."""
    lab = lab_with_gateway()
    payload = AssetMessage(1, EVM, ALICE, ALICE, demo.UNIT).encode()
    block = EthereumBlock(7, 1, [(ASSETS, payload), (b"nobody", b""), (RECIPIENT, b"after")])
    lab.step({EVM: [block.write]})
    taken = lab.build(ME, [submit(item(lab, block))])
    assert consumed(taken) == [(1, Outcome.FAILED), (2, Outcome.FAILED), (3, Outcome.DELIVERED)]


def test_47_logs_of_an_abandoned_fork_are_refused() -> None:
    lab = lab_with_gateway()
    before = lab.relay.best
    block = EthereumBlock(7, 1, letters(1))
    lab.step({EVM: [block.write]})
    stale = item(lab, block)
    other = lab.build(EVM, on=before)
    fork = lab.relay.include({EVM: other.header}, parent=before)
    taken = lab.build(ME, [submit(stale)], on=fork)
    assert refused(taken) == [Refusal.HEAD_MISMATCH]
    assert consumed(taken) == []
