"""RLP, the encoding of Ethereum's data structures, one level at a time.

Follows the Yellow Paper's appendix B [yellow-paper]; canonical forms only, as in ``rlp`` (pyrlp) with ``strict=True``.
An item is taken apart when somebody looks inside it, so nothing recurses over input and what is not looked at costs
nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from host_functions.errors import PileusError

__all__ = ["Item", "RlpError", "as_bytes", "as_int", "decode", "encode_int", "items_of"]


class RlpError(PileusError, ValueError):
    """Bytes that are no canonical RLP, or another structure than expected."""


class Item(NamedTuple):
    """A string or a list."""

    is_list: bool
    payload: bytes
    """The string, or the concatenated items of the list."""
    raw: bytes
    """The item as it is encoded."""


def decode(data: bytes) -> Item:
    """The item that is all of ``data``. Raises `RlpError`."""
    item, end = _decode_prefix(data, 0)
    if end != len(data):
        raise RlpError(f"{len(data) - end} bytes follow the item")
    return item


def items_of(item: Item, *, max_items: int) -> tuple[Item, ...]:
    """The items of a list, at most so many. Raises `RlpError`."""
    if not item.is_list:
        raise RlpError("a string where a list is expected")
    items: list[Item] = []
    at = 0
    while at < len(item.payload):
        if len(items) == max_items:
            raise RlpError(f"a list of more than {max_items} items")
        inner, at = _decode_prefix(item.payload, at)
        items.append(inner)
    return tuple(items)


def as_bytes(item: Item, size: int | None = None) -> bytes:
    """The string, of ``size`` bytes if given. Raises `RlpError`."""
    if item.is_list:
        raise RlpError("a list where a string is expected")
    if size is not None and len(item.payload) != size:
        raise RlpError(f"a string of {len(item.payload)} bytes where {size} are expected")
    return item.payload


def as_int(item: Item, max_bytes: int = 32) -> int:
    """The unsigned integer: big-endian without leading zeros. Raises `RlpError`."""
    data = as_bytes(item)
    if len(data) > max_bytes or data[:1] == b"\x00":
        raise RlpError("no integer of the expected size in its shortest form")
    return int.from_bytes(data, "big")


def encode_int(value: int) -> bytes:
    """RLP of a small unsigned integer: the key of a transaction's receipt."""
    if not 0 <= value < 1 << 256:
        raise RlpError("no unsigned integer of at most 32 bytes")
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return data if len(data) == 1 and data[0] < 0x80 else bytes([0x80 + len(data)]) + data


def _decode_prefix(data: bytes, at: int) -> tuple[Item, int]:
    """The item at ``at`` and the offset after it."""
    if at >= len(data):
        raise RlpError("input ended")
    first = data[at]
    if first < 0x80:
        return Item(False, data[at : at + 1], data[at : at + 1]), at + 1
    is_list = first >= 0xC0
    length = first - (0xC0 if is_list else 0x80)
    start = at + 1
    if length > 55:
        size_length = length - 55
        size = data[start : start + size_length]
        if len(size) != size_length or size[0] == 0:
            raise RlpError("a length that is cut short or has leading zeros")
        start += size_length
        length = int.from_bytes(size, "big")
        if length < 56:
            raise RlpError("a long form of a short length")
    end = start + length
    if end > len(data):
        raise RlpError(f"{length} bytes announced, {len(data) - start} there")
    payload = data[start:end]
    if not is_list and length == 1 and payload[0] < 0x80:
        raise RlpError("a long form of a single byte")
    return Item(is_list, payload, data[at:end]), end
