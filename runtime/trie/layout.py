"""The parameters of a chain's tries: the hash function and when a value is stored apart from its node.

[sp-trie] ``LayoutV0`` / ``LayoutV1``: the two layouts share one node format, so any code reads both, and a
chain that switched to V1 carries unmigrated V0 nodes until they are written again. The layout matters only to
writers: under V1 a value of 33 bytes or more is a store entry of its own, and its node holds the hash
[PS-trie].

The hash function is a parameter too (Blake2b-256 for Substrate chains, Keccak-256 for bridges to EVM chains).
Nothing here models prefixed databases: stores are keyed by hash alone, as proofs are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from runtime.primitives.hashing import blake2_256, keccak_256

__all__ = [
    "BLAKE2B_256",
    "EMPTY_NODE",
    "HASH_LENGTH",
    "KECCAK_256",
    "LAYOUT_V0",
    "LAYOUT_V1",
    "MAX_INLINE_VALUE",
    "Hasher",
    "Layout",
    "NodeStore",
]

HASH_LENGTH: Final = 32
"""Bytes of every trie hash; also the size from which an encoded node is referred to by its hash."""

EMPTY_NODE: Final = b"\x00"
"""The encoding of the trie without entries; its hash is the empty root."""

MAX_INLINE_VALUE: Final = 33
"""[sp-core] ``TRIE_VALUE_NODE_THRESHOLD``: under V1, values of this many bytes or more are detached."""

NEVER: Final = 1 << 64
"""A length no value reaches: the V0 threshold."""


class NodeStore(Protocol):
    """The read side of a node database: hash to encoded node (or detached value), `KeyError` when missing."""

    def __getitem__(self, node: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Hasher:
    """A 256-bit hash function, with the hash of the empty trie as a constant."""

    name: str
    digest: Callable[[bytes], bytes] = field(compare=False, repr=False)
    empty_root: bytes = field(repr=False)
    """``digest(EMPTY_NODE)``, stated so that building a layout calls no host function."""


BLAKE2B_256: Final = Hasher(
    "blake2b_256",
    blake2_256,
    bytes.fromhex("03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"),
)
KECCAK_256: Final = Hasher(
    "keccak_256",
    keccak_256,
    bytes.fromhex("bc36789e7a1e281436464229828f817d6612f7b477d66591ff96a9e064bcc98a"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a chain writes its tries.

    `state_version` is 0 or 1 as in ``RuntimeVersion`` ([RFC-42] maps ``system_version`` to it).
    """

    hasher: Hasher
    state_version: int
    digest: Callable[[bytes], bytes] = field(init=False, repr=False, compare=False)
    """The hasher's function, kept here because every inner loop uses it."""
    empty_root: bytes = field(init=False, repr=False, compare=False)
    """Root of the trie without entries."""
    threshold: int = field(init=False, repr=False, compare=False)
    """Length in bytes from which values are detached; unreachable under V0."""

    def __post_init__(self) -> None:
        if self.state_version not in (0, 1):
            raise ValueError(f"state version {self.state_version} is neither 0 nor 1")
        object.__setattr__(self, "digest", self.hasher.digest)
        object.__setattr__(self, "empty_root", self.hasher.empty_root)
        object.__setattr__(self, "threshold", MAX_INLINE_VALUE if self.state_version else NEVER)

    def hashes_value(self, value: bytes) -> bool:
        """Whether a writer stores `value` apart from its node."""
        return len(value) >= self.threshold


LAYOUT_V0: Final = Layout(BLAKE2B_256, 0)
LAYOUT_V1: Final = Layout(BLAKE2B_256, 1)
