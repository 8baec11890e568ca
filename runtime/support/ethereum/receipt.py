"""Transaction receipts and the logs in them.

Follows [EIP-2718] (typed receipts), [EIP-658] (status) and the Yellow Paper 4.3.1 [yellow-paper]. Every type that
exists has the same payload: status, cumulative gas, bloom, logs. Receipts from before Byzantium, with a state root in
place of the status, are refused: no parachain is that old.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.support.ethereum.rlp import RlpError, as_bytes, as_int, decode, items_of

__all__ = ["Log", "Receipt", "decode_receipt"]

MAX_LOGS = 4_096
"""Logs of one receipt that are looked at; block gas limits allow fewer."""
MAX_TOPICS = 4
MAX_TYPE = 0x7F
"""[EIP-2718]: the first byte of a typed receipt is at most this; a legacy one begins with an RLP list's."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a contract logged."""

    address: bytes
    """Of the contract, 20 bytes."""
    topics: tuple[bytes, ...]
    """At most four, of 32 bytes."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt, as far as it concerns us."""

    type: int
    """Transaction type; 0 for legacy ones."""
    succeeded: bool
    logs: tuple[Log, ...]


def decode_receipt(encoded: bytes) -> Receipt:
    """A receipt as it is in the receipts trie: ``type ++ RLP`` or, for legacy ones, RLP. Raises `RlpError`."""
    if not encoded:
        raise RlpError("an empty receipt")
    kind = encoded[0]
    if kind > MAX_TYPE:
        kind, payload = 0, encoded
    elif kind == 0:
        raise RlpError("a legacy receipt in an envelope")
    else:
        payload = encoded[1:]
    fields = items_of(decode(payload), max_items=4)
    if len(fields) != 4:
        raise RlpError(f"a receipt of {len(fields)} fields")
    status, gas, bloom, logs = fields
    succeeded = as_int(status, 1)
    if succeeded > 1:
        raise RlpError("a status that is neither 0 nor 1")
    as_int(gas)
    as_bytes(bloom, 256)
    decoded = []
    for log in items_of(logs, max_items=MAX_LOGS):
        parts = items_of(log, max_items=3)
        if len(parts) != 3:
            raise RlpError(f"a log of {len(parts)} fields")
        address, topics, data = parts
        decoded.append(
            Log(
                as_bytes(address, 20),
                tuple(as_bytes(topic, 32) for topic in items_of(topics, max_items=MAX_TOPICS)),
                as_bytes(data),
            )
        )
    return Receipt(kind, succeeded == 1, tuple(decoded))
