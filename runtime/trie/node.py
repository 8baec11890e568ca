"""The node codec: bytes of one trie node to its parts and back.

[PS-trie], [sp-trie] ``NodeCodec``. A node is ``header ++ partial key ++ bitmap ++ value ++ children``; the
header's first bits say which of the last three are there, its remaining bits hold the length of the partial
key in nibbles.

Nibble paths are strings of hex digits throughout `runtime.trie`: ``bytes.hex()``, ``str.startswith`` and
slicing work on them at C speed. A decoded node is a plain tuple (`DecodedNode`), since a million of them are
made while a block is validated. A child is referred to by 32 bytes (the hash of its encoding) or by any other
length (its encoding itself, which a writer uses for encodings below 32 bytes).

Acceptance is that of the reference, which ignores bytes after a complete node and accepts an inline child of
any length but 32; what a writer never produces is refused where the node is used to write
(`runtime.trie.trie`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import decode_compact, encode_compact
from runtime.trie.errors import BadNode
from runtime.trie.layout import EMPTY_NODE, HASH_LENGTH

__all__ = [
    "BRANCH",
    "EMPTY",
    "ESCAPE",
    "HASHED",
    "INLINE",
    "DecodedNode",
    "Outline",
    "decode_header",
    "decode_node",
    "encode_children",
    "encode_header",
    "encode_node",
    "encode_partial",
    "encode_reference",
    "outline",
]

EMPTY: Final = 0
BRANCH: Final = 1
INLINE: Final = 2
HASHED: Final = 4
"""Kinds of node, as flags: a node that is not a `BRANCH` and not `EMPTY` is a leaf and has a value, `INLINE`
or `HASHED`; a branch may have one."""

ESCAPE: Final = 1
"""First byte of an item of a compact proof whose value follows as the next item. Not a node header."""

DecodedNode: TypeAlias = tuple[str, bytes | None, bytes | None, int, Sequence[bytes], int, int]
"""``(partial, value, value_hash, bitmap, children, children_at, end)``.

`partial` is in hex digits; at most one of `value` (inline) and `value_hash` is not None; bit i of `bitmap` is
set when child i exists; `children` has the references of the existing ones in order; their encodings take the
bytes from `children_at` to `end`. The empty node has no partial key, no value and no children."""

Outline: TypeAlias = tuple[int, int, int, int, int, int]
"""``(kind, nibbles, partial_at, bitmap, value_at, children_at)``.

The partial key starts at `partial_at`; between it and `value_at` lies the bitmap of a branch; the value (its
compact length, or its hash) takes the bytes up to `children_at`."""

_PREFIXES: Final = (
    # kind, its leading bits, bits left for the length
    (INLINE, 0b01_000000, 6),
    (BRANCH, 0b10_000000, 6),
    (BRANCH | INLINE, 0b11_000000, 6),
    (HASHED, 0b001_00000, 5),
    (BRANCH | HASHED, 0b0001_0000, 4),
)
_PREFIX_OF: Final = {kind: (prefix, (1 << bits) - 1) for kind, prefix, bits in _PREFIXES}


def _header_table() -> list[tuple[int, int, bool] | None]:
    """First byte to (kind, nibbles, whether more length bytes follow); None for a byte that starts no
    node."""
    table: list[tuple[int, int, bool] | None] = [None] * 256
    table[EMPTY_NODE[0]] = (EMPTY, 0, False)
    for kind, prefix, bits in _PREFIXES:
        for nibbles in range(1 << bits):
            table[prefix | nibbles] = (kind, nibbles, nibbles == (1 << bits) - 1)
    return table


HEADERS: Final = _header_table()


def _popcount_table() -> bytes:
    """Number of set bits of every 16-bit number, one byte each: indexing it is faster than
    ``int.bit_count``."""
    successor = bytes(range(1, 256)) + b"\x00"
    table = b"\x00"
    while len(table) < 1 << 16:
        table += table.translate(successor)
    return table


POPCOUNT: Final = _popcount_table()

BIT: Final = {digit: 1 << index for index, digit in enumerate("0123456789abcdef")}
"""Hex digit to its bit in a child bitmap."""

_LOW_DIGITS: Final = ["".join("01234567"[bit] for bit in range(8) if byte >> bit & 1) for byte in range(256)]
_HIGH_DIGITS: Final = ["".join("89abcdef"[bit] for bit in range(8) if byte >> bit & 1) for byte in range(256)]


def digits_of(bitmap: int) -> str:
    """The hex digits of the children that a bitmap names, in order."""
    return _LOW_DIGITS[bitmap & 0xFF] + _HIGH_DIGITS[bitmap >> 8]


BYTE: Final = [bytes((value,)) for value in range(256)]

REFERENCE_LENGTH: Final = 1 + HASH_LENGTH
"""Bytes of an encoded reference by hash: the compact length 0x80, then the hash."""

HASH_PREFIX: Final = 0x80
HASH_PREFIXES: Final = [b"\x80" * count for count in range(17)]
HASHES: Final[list[Callable[[bytes, int], tuple[Any, ...]]]] = [
    Struct("x32s" * count).unpack_from for count in range(17)
]
"""``HASHES[n](data, at)``: the n hashes of a run of n references by hash, in one C call."""


def shared_nibbles(key: bytes, following: bytes) -> int:
    """Length of the common prefix of two keys in nibbles. Integers find it at C speed."""
    length = len(key)
    if length != len(following):
        length = min(length, len(following))
        key = key[:length]
        following = following[:length]
    difference = int.from_bytes(key, "big") ^ int.from_bytes(following, "big")
    return 2 * length - (difference.bit_length() + 3 >> 2)


def decode_header(data: bytes, at: int = 0) -> tuple[int, int, int]:
    """The node header at `at`: ``(kind, nibbles of the partial key, offset after it)``.

    The length is not bounded here, as in the reference: a decoder finds the key bytes missing.
    """
    try:
        entry = HEADERS[data[at]]
        if entry is None:
            raise BadNode(None, f"0x{data[at]:02x} starts no node")
        kind, nibbles, more = entry
        at += 1
        while more:
            length = data[at]
            nibbles += length
            at += 1
            more = length == 255
    except IndexError:
        raise BadNode(None, "ends in its header") from None
    return kind, nibbles, at


def decode_length(data: bytes, at: int) -> tuple[int, int]:
    """The compact length at `at` and the offset after it; canonical forms only, as the reference."""
    try:
        return decode_compact(data, at)
    except ScaleError as error:
        raise BadNode(None, f"length at byte {at}: {error.reason}") from None


def outline(data: bytes, at: int = 0) -> Outline:
    """Where the parts of the node at `at` are, after checking all but the children. Raises BadNode."""
    try:
        entry = HEADERS[data[at]]
        if entry is None:
            raise BadNode(None, f"0x{data[at]:02x} starts no node")
        kind, nibbles, more = entry
        at += 1
        if more:
            # One length byte suffices for 255 nibbles more than the header holds.
            nibbles += data[at]
            at += 1
            if data[at - 1] == 0xFF:
                kind, nibbles, at = decode_header(data, at - 2)
        partial_at = at
        if nibbles:
            if nibbles & 1 and data[at] > 0x0F:
                raise BadNode(None, "the padding nibble is not zero")
            at += nibbles + 1 >> 1
        bitmap = 0
        if kind & BRANCH:
            bitmap = data[at] | data[at + 1] << 8
            if not bitmap:
                raise BadNode(None, "a branch without children")
            at += 2
        value_at = at
        if kind & INLINE:
            # Nearly every inline value is shorter than 64 bytes, where the compact length is one byte.
            length = data[at]
            if length & 3:
                length, at = decode_length(data, at)
            else:
                length >>= 2
                at += 1
            at += length
        elif kind & HASHED:
            at += HASH_LENGTH
    except IndexError:
        raise BadNode(None, "ends too early") from None
    if at > len(data):
        raise BadNode(None, "ends in its value")
    return kind, nibbles, partial_at, bitmap, value_at, at


def decode_node(data: bytes) -> DecodedNode:
    """Take one node apart. Bytes after the node are ignored, as the reference does. Raises BadNode."""
    kind, nibbles, partial_at, bitmap, value_at, at = outline(data)
    partial = ""
    if nibbles:
        partial = data[partial_at : partial_at + (nibbles + 1 >> 1)].hex()
        if nibbles & 1:
            partial = partial[1:]
    value = value_hash = None
    if kind & INLINE:
        length = data[value_at]
        value = data[value_at + 1 : at] if not length & 3 else data[decode_length(data, value_at)[1] : at]
    elif kind & HASHED:
        value_hash = data[value_at:at]
    if not bitmap:
        return partial, value, value_hash, 0, (), at, at
    count = POPCOUNT[bitmap]
    if len(data) - at == REFERENCE_LENGTH * count and data[at::REFERENCE_LENGTH] == HASH_PREFIXES[count]:
        return partial, value, value_hash, bitmap, HASHES[count](data, at), at, len(data)
    children, end = decode_children(data, at, count)
    return partial, value, value_hash, bitmap, children, at, end


def decode_children(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """`count` length-prefixed child references from `at` on, and the offset after them."""
    children = []
    try:
        for _ in range(count):
            length = data[at]
            if length & 3:
                length, at = decode_length(data, at)
            else:
                length >>= 2
                at += 1
            end = at + length
            children.append(data[at:end])
            at = end
    except IndexError:
        raise BadNode(None, "ends too early") from None
    if at > len(data):
        raise BadNode(None, "ends in a child reference")
    return children, at


def find_child(data: bytes, at: int, count: int, rank: int) -> bytes:
    """Reference number `rank` of a run of references from `at` on, the first `count` of which are checked.

    Empty when `rank` is not among them.
    """
    found = b""
    for index in range(count):
        length = data[at]
        if length & 3:
            length, at = decode_length(data, at)
        else:
            length >>= 2
            at += 1
        end = at + length
        if index == rank:
            found = data[at:end]
        at = end
    if at > len(data):
        raise BadNode(None, "ends in a child reference")
    return found


def encode_header(kind: int, nibbles: int) -> bytes:
    """The header of a node of `kind` with a partial key of `nibbles` nibbles."""
    if kind == EMPTY:
        return EMPTY_NODE
    prefix, most = _PREFIX_OF[kind]
    if nibbles < most:
        return BYTE[prefix | nibbles]
    full, rest = divmod(nibbles - most, 255)
    return BYTE[prefix | most] + b"\xff" * full + BYTE[rest]


def encode_partial(partial: str) -> bytes:
    """The bytes of a partial key: an odd number of nibbles is padded with a leading zero."""
    return bytes.fromhex("0" + partial if len(partial) & 1 else partial)


def encode_reference(child: bytes) -> bytes:
    """One child reference as it stands in its branch: length-prefixed."""
    length = len(child)
    if length == HASH_LENGTH:
        return b"\x80" + child
    return (BYTE[length << 2] if length < 64 else encode_compact(length)) + child


def encode_children(children: Sequence[bytes]) -> bytes:
    """All child references of a branch. None may be longer than a hash."""
    if sum(map(len, children)) == HASH_LENGTH * len(children):
        return b"\x80" + b"\x80".join(children)
    return b"".join(map(encode_reference, children))


def encode_node(
    partial: str, value: bytes | None, value_hash: bytes | None, bitmap: int, children: Sequence[bytes]
) -> bytes:
    """The inverse of `decode_node` for what a writer produces.

    Raises BadNode for a partial key without a value and children: no trie contains that node.
    """
    kind = (BRANCH if bitmap else EMPTY) | (
        INLINE if value is not None else HASHED if value_hash is not None else EMPTY
    )
    if kind == EMPTY:
        if partial:
            raise BadNode(None, "a partial key without a value or children")
        return EMPTY_NODE
    nibbles = len(partial)
    parts = [encode_header(kind, nibbles)]
    if nibbles:
        parts.append(encode_partial(partial))
    if bitmap:
        parts.append(bitmap.to_bytes(2, "little"))
    if value is not None:
        length = len(value)
        parts.append(BYTE[length << 2] if length < 64 else encode_compact(length))
        parts.append(value)
    elif value_hash is not None:
        parts.append(value_hash)
    if bitmap:
        parts.append(encode_children(children))
    return b"".join(parts)
