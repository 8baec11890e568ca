"""Items of EVM messaging on the wire, and a message as a log. Version 1; field order is SCALE order.

The log is that of one Solidity event, which the gateway contract of a sibling emits::

    event MessageSent(uint32 indexed dest, uint8 indexed lane, uint64 indexed nonce,
                      address sender, bytes recipient, uint64 timeout, bytes payload);

``nonce`` counts from 1 for each (dest, lane); ``timeout`` is in milliseconds of the destination's clock, 0 for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from runtime.pallets.state_messaging.lanes import MAX_PARTY_LENGTH
from runtime.pallets.state_messaging.types import MessageBody
from runtime.primitives.scale import U8, U16, U32, U64, Struct, Variant
from runtime.support.ethereum.receipt import Log
from runtime.support.sibling_ancestry import HeadReference

VERSION = 1

MESSAGE_SENT: Final = bytes.fromhex("1b5f4548541876631d787bc30cf3ce1bd02636bc2fb2400026b740c10a9571a2")
"""First topic: ``keccak_256("MessageSent(uint32,uint8,uint64,address,bytes,uint64,bytes)")``."""

_WORD = 32


@dataclass(frozen=True, slots=True)
class CurrentBlock(Variant):
    """The Ethereum block that the cited Substrate block made: ``Ethereum::CurrentBlock``."""

    index: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class EarlierBlock(Variant):
    """An Ethereum block whose hash the state keeps: ``Ethereum::BlockHash(number)``."""

    index: ClassVar[int] = 1
    number: U64
    header: bytes
    """RLP, the preimage of the hash."""


EthereumBlockReference: TypeAlias = CurrentBlock | EarlierBlock


@dataclass(frozen=True, slots=True)
class LogPosition(Struct):
    """Where in its block a log is."""

    transaction: U32
    """Index of the transaction in the block: the key of its receipt."""
    log: U16
    """Index of the log in the receipt."""


@dataclass(frozen=True, slots=True)
class EvmItem(Struct):
    """Messages of one lane that were logged in one Ethereum block."""

    version: U8
    source: U32
    head: HeadReference
    block: EthereumBlockReference
    lane: U8
    first_nonce: U64
    """Must be the receiver's ``last_delivered + 1``."""
    logs: tuple[LogPosition, ...]
    """One for each message, by nonce; strictly increasing, as the chain logged them."""
    state_nodes: tuple[bytes, ...]
    """Substrate trie nodes from the head's state root to the entry of `block`: unique, all used, ascending."""
    receipt_nodes: tuple[bytes, ...]
    """Ethereum trie nodes from the block's receipts root to the receipts: unique, all used, ascending."""

    def proof_bytes(self) -> int:
        """Bytes of nodes, headers and evidence; the messages are in the receipts."""
        header = len(self.block.header) if isinstance(self.block, EarlierBlock) else 0
        nodes = sum(map(len, self.state_nodes)) + sum(map(len, self.receipt_nodes))
        return nodes + header + self.head.proof_bytes()


def topics_of(dest: int, lane: int, nonce: int) -> tuple[bytes, ...]:
    """The topics of a message's log: everything that names its place."""
    return (MESSAGE_SENT, *(value.to_bytes(_WORD, "big") for value in (dest, lane, nonce)))


def body_of(log: Log, max_payload: int) -> MessageBody | None:
    """The message in the data of a log, ``None`` if it is no strict ABI encoding of one within the limits.

    Canonical only: offsets and padding are what Solidity's encoder makes of them.
    """
    data = log.data
    if len(data) < 4 * _WORD or data[:12] != bytes(12):
        return None
    recipient = _tail(data, 1, 4 * _WORD)
    if recipient is None or len(recipient) > MAX_PARTY_LENGTH:
        return None
    payload_at = 4 * _WORD + _WORD + _padded(len(recipient))
    payload = _tail(data, 3, payload_at)
    if payload is None or len(payload) > max_payload:
        return None
    timeout = int.from_bytes(data[2 * _WORD : 3 * _WORD], "big")
    if timeout >> 64 or len(data) != payload_at + _WORD + _padded(len(payload)):
        return None
    return MessageBody(data[12:_WORD], recipient, timeout or None, payload)


def _tail(data: bytes, position: int, at: int) -> bytes | None:
    """The bytes whose offset is in word ``position``; it must be ``at``."""
    if int.from_bytes(data[position * _WORD : (position + 1) * _WORD], "big") != at:
        return None
    start = at + _WORD
    length = int.from_bytes(data[at:start], "big")
    end = start + length
    if end > len(data) or any(data[end : start + _padded(length)]):
        return None
    return data[start:end]


def _padded(length: int) -> int:
    return -(-length // _WORD) * _WORD
