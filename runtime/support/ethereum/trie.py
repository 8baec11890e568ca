"""Proofs of Ethereum's Merkle Patricia trie: what some keys hold below a root.

Follows the Yellow Paper's appendix D and appendix C (hex-prefix) [yellow-paper]. As with our storage proofs a proof is
a set of nodes, each unique and used; existence is shown by reaching the value, absence by reaching a node where the
path ends, and a node that is missing shows nothing. Nodes below a root that somebody else chose may be anything with
the right hash, so each is checked in full when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from runtime.primitives.hashing import keccak_256
from runtime.support.ethereum.rlp import Item, RlpError, as_bytes, decode, items_of
from runtime.trie.errors import BadNode, DuplicateNode, MissingNode, UnusedNode

__all__ = ["EMPTY_ROOT", "verify_ethereum_proof"]

EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""``keccak_256(RLP(""))``: root of the trie without entries."""

_HASH_LENGTH = 32
_BRANCH, _SHORT = 17, 2
"""Items of a branch, and of a leaf or an extension."""


def verify_ethereum_proof(
    root: bytes, nodes: Iterable[bytes], keys: Iterable[bytes]
) -> dict[bytes, bytes | None]:
    """What the proof ``nodes`` shows about ``keys`` below ``root``: the value, or ``None`` for "absent".

    Raises `MissingNode`, `BadNode`, `DuplicateNode` and `UnusedNode`.
    """
    items = tuple(nodes)
    store: dict[bytes, bytes] = {}
    for item in items:
        node_hash = keccak_256(item)
        if node_hash in store:
            raise DuplicateNode(node_hash)
        store[node_hash] = item
    used: dict[bytes, None] = {}
    found = {key: _lookup(store, used, root, key) for key in sorted(keys)}
    for node_hash in store:
        if node_hash not in used:
            raise UnusedNode(node_hash)
    return found


def _lookup(store: dict[bytes, bytes], used: dict[bytes, None], root: bytes, key: bytes) -> bytes | None:
    if root == EMPTY_ROOT:
        return None
    path = key.hex()
    reference, node_hash = _load(store, used, root, key), root
    while True:
        try:
            parts = items_of(reference, max_items=_BRANCH)
            if len(parts) == _BRANCH:
                if not path:
                    return as_bytes(parts[-1]) or None
                child, path = parts[int(path[0], 16)], path[1:]
            elif len(parts) == _SHORT:
                is_leaf, partial = _hex_prefix(as_bytes(parts[0]))
                if is_leaf:
                    value = as_bytes(parts[1])
                    if not value:
                        raise RlpError("a leaf without a value")
                    return value if partial == path else None
                if not partial:
                    raise RlpError("an extension without a path")
                if not path.startswith(partial):
                    return None
                child, path = parts[1], path[len(partial) :]
                if not child.payload:
                    raise RlpError("an extension without a child")
            else:
                raise RlpError(f"a node of {len(parts)} items")
            if not child.is_list:
                if not child.payload:
                    return None
                node_hash = as_bytes(child, _HASH_LENGTH)
            elif len(child.raw) >= _HASH_LENGTH:
                raise RlpError("an inline node of 32 bytes or more")
        except RlpError as error:
            raise BadNode(node_hash, str(error)) from None
        reference = child if child.is_list else _load(store, used, node_hash, key)


def _load(store: dict[bytes, bytes], used: dict[bytes, None], node_hash: bytes, key: bytes) -> Item:
    encoded = store.get(node_hash)
    if encoded is None:
        raise MissingNode(node_hash, key)
    used[node_hash] = None
    try:
        return decode(encoded)
    except RlpError as error:
        raise BadNode(node_hash, str(error)) from None


def _hex_prefix(encoded: bytes) -> tuple[bool, str]:
    """Whether it is a leaf's, and the path in hex digits."""
    digits = encoded.hex()
    if not digits or digits[0] not in "0123":
        raise RlpError("no hex-prefix encoding")
    flag = int(digits[0])
    if flag & 1:
        return flag >= 2, digits[1:]
    if digits[1] != "0":
        raise RlpError("the padding digit is not zero")
    return flag >= 2, digits[2:]
