"""The Ethereum block of a parachain that runs Frontier's pallets: what its Substrate state says of it.

Follows ``pallet_ethereum`` [frontier]: ``Ethereum::CurrentBlock`` is the SCALE encoding of the block that this
Substrate block made, and ``Ethereum::BlockHash(number)`` the Keccak-256 of the RLP header of it and of earlier ones.
Only what leads to the receipts is read: of the current block the header's fixed-size beginning, of an earlier one the
RLP header.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.primitives.hashing import keccak_256, twox_64_concat
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import H160, H256, Struct, u256
from runtime.support.ethereum.rlp import RlpError, as_bytes, as_int, decode, items_of

__all__ = ["EthereumBlock", "block_hash_key", "current_block_key", "from_current_block", "from_rlp_header"]

MIN_HEADER_FIELDS, MAX_HEADER_FIELDS = 15, 21
"""Frontier's header has the 15 fields of the Yellow Paper; forks of Ethereum appended more."""


@dataclass(frozen=True, slots=True)
class EthereumBlock:
    """What proofs need of a block."""

    number: int
    receipts_root: bytes


@dataclass(frozen=True, slots=True)
class _HeaderStart(Struct):
    """``ethereum::Header`` up to the fields we read; all of fixed size."""

    parent_hash: H256
    ommers_hash: H256
    beneficiary: H160
    state_root: H256
    transactions_root: H256
    receipts_root: H256


_AFTER_BLOOM = 180 + 256 + 32
"""Offset of the number: behind the logs' bloom and the difficulty."""


def current_block_key() -> bytes:
    """Key of ``Ethereum::CurrentBlock``."""
    return storage_prefix("Ethereum", "CurrentBlock")


def block_hash_key(number: int) -> bytes:
    """Key of ``Ethereum::BlockHash(number)``: the map key is a U256, ``Twox64Concat``."""
    return storage_prefix("Ethereum", "BlockHash") + twox_64_concat(u256.encode(number))


def from_current_block(value: bytes) -> EthereumBlock:
    """From the value of ``CurrentBlock``. Raises `ScaleError` when it is too short for a header."""
    start, _ = _HeaderStart.decode_prefix(value)
    number, _ = u256.decode_prefix(value, _AFTER_BLOOM)
    return EthereumBlock(number, start.receipts_root)


def from_rlp_header(encoded: bytes, block_hash: bytes) -> EthereumBlock:
    """From the preimage of a block hash. Raises `RlpError`, also when the hash is another's."""
    if keccak_256(encoded) != block_hash:
        raise RlpError("the header of another block")
    fields = items_of(decode(encoded), max_items=MAX_HEADER_FIELDS)
    if len(fields) < MIN_HEADER_FIELDS:
        raise RlpError(f"a header of {len(fields)} fields")
    return EthereumBlock(as_int(fields[8]), as_bytes(fields[5], 32))
