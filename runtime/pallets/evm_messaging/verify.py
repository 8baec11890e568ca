"""Checking an item of EVM messaging, cheapest checks first.

From the trusted head of the sibling over its Ethereum block to the receipts, and from each receipt to the log that is
the message; or one `Refusal`. Nothing is written here.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from itertools import pairwise

from runtime.pallets.evm_messaging.types import (
    VERSION,
    EarlierBlock,
    EthereumBlockReference,
    EvmItem,
    body_of,
    topics_of,
)
from runtime.pallets.state_messaging.lanes import VERSION as MESSAGE_VERSION
from runtime.pallets.state_messaging.lanes import Inbound, InboundWindow, is_unordered
from runtime.pallets.state_messaging.limits import Limits
from runtime.pallets.state_messaging.types import Message, MessageBody
from runtime.primitives.errors import ScaleError
from runtime.support.ethereum.block import (
    EthereumBlock,
    block_hash_key,
    current_block_key,
    from_current_block,
    from_rlp_header,
)
from runtime.support.ethereum.receipt import Log, decode_receipt
from runtime.support.ethereum.rlp import RlpError, encode_int
from runtime.support.ethereum.trie import verify_ethereum_proof
from runtime.support.sibling_ancestry import HeadRefusal, HeadRefused, check_reference
from runtime.support.sibling_state import SiblingHead, read_sibling
from runtime.trie.errors import TrieError, fault_of
from runtime.trie.layout import Layout

MAX_HEADER = 2_048
"""Bytes of an RLP header; Frontier's have about 600."""


class Refusal(enum.IntEnum):
    """Why an item was refused; the index is what the event carries."""

    WRONG_VERSION = 0
    SOURCE_IS_SELF = 1
    EMPTY_ITEM = 2
    """No logs."""
    TOO_MANY_MESSAGES = 3
    TOO_LARGE = 4
    """More nodes or bytes than the limits allow."""
    NODES_NOT_SORTED = 5
    """One of the two node lists is not in strictly ascending order: unsorted or doubled."""
    LOGS_NOT_SORTED = 6
    """The positions do not strictly increase."""
    NONCE_OUT_OF_RANGE = 7
    LANE_NOT_ORDERED = 8
    """Logs of contracts use ordered lanes."""
    NO_GATEWAY = 9
    """We know no gateway contract of this sibling."""
    SOURCE_BLOCKED = 10
    LANE_SUSPENDED = 11
    STALE = 12
    """The first message is consumed already."""
    GAP = 13
    """The item does not start at the receiver's next nonce."""
    STATE_PROOF_INCOMPLETE = 14
    STATE_PROOF_MALFORMED = 15
    STATE_UNUSED_NODE = 16
    STATE_DUPLICATE_NODE = 17
    NO_BLOCK = 18
    """The sibling's state provably has no such Ethereum block."""
    BAD_BLOCK = 19
    """What it has is no Ethereum block, or the header is another block's."""
    RECEIPT_PROOF_INCOMPLETE = 20
    RECEIPT_PROOF_MALFORMED = 21
    RECEIPT_UNUSED_NODE = 22
    RECEIPT_DUPLICATE_NODE = 23
    NO_RECEIPT = 24
    """The block provably has no such transaction."""
    BAD_RECEIPT = 25
    FAILED_TRANSACTION = 26
    NO_LOG = 27
    """The receipt has no such log."""
    WRONG_CONTRACT = 28
    """The log is not the gateway's."""
    WRONG_TOPICS = 29
    """The log is no message, or one of another destination, lane or nonce."""

    # The head, as `HeadRefusal` in the same order.
    HEAD_EVIDENCE_TOO_LARGE = 64
    HEAD_NODES_NOT_SORTED = 65
    UNKNOWN_SIBLING = 66
    BAD_HEAD = 67
    HEAD_MISMATCH = 68
    HEAD_NOT_REMEMBERED = 69
    BAD_HEADER = 70
    NOT_AN_ANCESTOR = 71
    HEAD_TOO_OLD = 72
    HEAD_PROOF_INCOMPLETE = 73
    HEAD_PROOF_MALFORMED = 74
    HEAD_UNUSED_NODE = 75
    HEAD_DUPLICATE_NODE = 76


HEAD_REFUSALS = 64


class Refused(Exception):
    """The item is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


def of_head(refusal: HeadRefusal) -> Refusal:
    """The refusal of an item for that of its head."""
    return Refusal(HEAD_REFUSALS + refusal)


def check_shape(item: EvmItem, limits: Limits, own_para: int) -> None:
    """Sizes, counts and order: decided by the item alone. Raises `Refused`."""
    if item.version != VERSION:
        raise Refused(Refusal.WRONG_VERSION)
    if item.source == own_para:
        raise Refused(Refusal.SOURCE_IS_SELF)
    if not item.logs:
        raise Refused(Refusal.EMPTY_ITEM)
    if len(item.logs) > limits.max_messages_per_item:
        raise Refused(Refusal.TOO_MANY_MESSAGES)
    nodes = (*item.state_nodes, *item.receipt_nodes)
    too_large = (
        len(nodes) > limits.max_proof_nodes
        or sum(map(len, nodes)) > limits.max_proof_bytes + limits.max_message_size
        or (isinstance(item.block, EarlierBlock) and len(item.block.header) > MAX_HEADER)
    )
    if too_large:
        raise Refused(Refusal.TOO_LARGE)
    for ordered in (item.state_nodes, item.receipt_nodes):
        if any(first >= second for first, second in pairwise(ordered)):
            raise Refused(Refusal.NODES_NOT_SORTED)
    positions = [(position.transaction, position.log) for position in item.logs]
    if any(first >= second for first, second in pairwise(positions)):
        raise Refused(Refusal.LOGS_NOT_SORTED)
    if item.first_nonce == 0 or item.first_nonce + len(item.logs) > 2**64:
        raise Refused(Refusal.NONCE_OUT_OF_RANGE)
    if is_unordered(item.lane):
        raise Refused(Refusal.LANE_NOT_ORDERED)
    try:
        check_reference(item.head)
    except HeadRefused as refused:
        raise Refused(of_head(refused.refusal)) from None


def check_cursor(item: EvmItem, end: Inbound) -> None:
    """The item continues our end of the lane. Raises `Refused`."""
    if isinstance(end, InboundWindow):
        raise Refused(Refusal.LANE_NOT_ORDERED)
    if end.suspended:
        raise Refused(Refusal.LANE_SUSPENDED)
    if item.first_nonce <= end.last_delivered:
        raise Refused(Refusal.STALE)
    if item.first_nonce > end.last_delivered + 1:
        raise Refused(Refusal.GAP)


def prove_block(
    head: SiblingHead, reference: EthereumBlockReference, nodes: Sequence[bytes], layout: Layout
) -> EthereumBlock:
    """The Ethereum block as the sibling's state has it. Raises `Refused`."""
    earlier = reference if isinstance(reference, EarlierBlock) else None
    key = current_block_key() if earlier is None else block_hash_key(earlier.number)
    try:
        value = read_sibling(head, [key], nodes, layout)[key]
    except TrieError as error:
        raise Refused(Refusal(Refusal.STATE_PROOF_INCOMPLETE + fault_of(error))) from None
    if value is None:
        raise Refused(Refusal.NO_BLOCK)
    try:
        if earlier is None:
            return from_current_block(value)
        block = from_rlp_header(earlier.header, value)
    except (RlpError, ScaleError):
        raise Refused(Refusal.BAD_BLOCK) from None
    if block.number != earlier.number:
        raise Refused(Refusal.BAD_BLOCK)
    return block


def prove_messages(
    item: EvmItem, block: EthereumBlock, gateway: bytes, own_para: int, limits: Limits
) -> tuple[tuple[Message, bytes], ...]:
    """The messages that the gateway logged in the block, with their commitments. Raises `Refused`."""
    keys = {position.transaction: encode_int(position.transaction) for position in item.logs}
    try:
        receipts = verify_ethereum_proof(block.receipts_root, item.receipt_nodes, keys.values())
    except TrieError as error:
        raise Refused(Refusal(Refusal.RECEIPT_PROOF_INCOMPLETE + fault_of(error))) from None
    logs = {transaction: _logs(receipts[key]) for transaction, key in keys.items()}
    proven: list[tuple[Message, bytes]] = []
    for nonce, position in enumerate(item.logs, item.first_nonce):
        of_transaction = logs[position.transaction]
        if position.log >= len(of_transaction):
            raise Refused(Refusal.NO_LOG)
        log = of_transaction[position.log]
        if log.address != gateway:
            raise Refused(Refusal.WRONG_CONTRACT)
        if log.topics != topics_of(own_para, item.lane, nonce):
            raise Refused(Refusal.WRONG_TOPICS)
        # A message that the gateway should not have taken is consumed like any other, and fails for want of a
        # recipient: refused, it would block its lane for ever.
        body = body_of(log, limits.max_message_size) or MessageBody(gateway, b"", None, b"")
        message = Message(MESSAGE_VERSION, item.source, own_para, item.lane, nonce, body)
        proven.append((message, message.commitment()))
    return tuple(proven)


def _logs(encoded: bytes | None) -> tuple[Log, ...]:
    if encoded is None:
        raise Refused(Refusal.NO_RECEIPT)
    try:
        receipt = decode_receipt(encoded)
    except RlpError:
        raise Refused(Refusal.BAD_RECEIPT) from None
    if not receipt.succeeded:
        raise Refused(Refusal.FAILED_TRANSACTION)
    return receipt.logs
