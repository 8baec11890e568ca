"""Additional data: what travels beside a block and is committed to by one digest item.

Follows [sdk-13022] (`sp-additional-data`, `cumulus-primitives-additional-data`). A map from producer names
to bytes; the digest commits to the values in key order and not to the names. The one producer so far is the
relay-state proof: the trie nodes of the relay chain that a block's reads touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, TypeAlias

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import Codec, btree_map, btree_set, byte_vec, h256, string, tuple_of, vec

RELAY_PROOF_KEY: Final = "polkadot/relay_proof"
"""Producer of the relay-state proof."""

MAX_PRODUCERS: Final = 64
"""Entries of a map that are decoded; there is one producer so far."""

MAX_NODES: Final = 1 << 16
"""Trie nodes of one relay proof that are decoded. A read of one key touches about ten."""

AdditionalDataMap: TypeAlias = dict[str, bytes]
additional_data_map: Final[Codec[AdditionalDataMap]] = btree_map(string, byte_vec, max_items=MAX_PRODUCERS)
AnnotatedAdditionalDataMap: TypeAlias = Annotated[AdditionalDataMap, additional_data_map]
"""`AdditionalDataMap` for the fields of a `Struct`."""

_relay_proof: Final[Codec[tuple[bytes, tuple[bytes, ...]]]] = tuple_of(
    h256, btree_set(byte_vec, max_items=MAX_NODES)
)
_hashes: Final = vec(h256)


def relay_proof_entry(root: bytes, nodes: Iterable[bytes]) -> bytes:
    """The value under `RELAY_PROOF_KEY`: relay storage root (32 bytes), touched nodes in order, once each."""
    return _relay_proof.encode((root, tuple(nodes)))


def parse_relay_proof_entry(entry: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Root and nodes of a relay-proof entry. Raises ScaleError.

    The root is what the author claims; a validator uses the root of its `ValidationParams` instead.
    """
    return _relay_proof.decode(entry)


def hash_value(value: bytes) -> bytes:
    """The commitment to one producer's value, 32 bytes."""
    return blake2_256(value)


def hash_commitments(data: Mapping[str, bytes]) -> bytes | None:
    """The hash in the digest item of a whole map, 32 bytes; None for an empty map, which has no item."""
    if not data:
        return None
    return blake2_256(_hashes.encode(tuple(hash_value(data[key]) for key in sorted(data))))
