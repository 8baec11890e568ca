"""Queries and answers on the wire and in state.

What a runtime asks, what a collator or anyone else brings as the answer, and what the inherent carries. Version 1;
field order is SCALE order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from runtime.primitives.scale import U8, U16, U32, U64, U128, AccountId, Struct, Variant, bounded_bytes
from runtime.support.sibling_ancestry import HeadReference

VERSION = 1

MAX_ASKER_LENGTH = 32
AskerName = Annotated[bytes, bounded_bytes(MAX_ASKER_LENGTH)]
"""Name under which a pallet's `QueryHandler` is registered."""


@dataclass(frozen=True, slots=True)
class Keys(Variant):
    """The values under some keys; each present or provably absent."""

    index: ClassVar[int] = 0
    keys: tuple[bytes, ...]
    """Strictly ascending."""


@dataclass(frozen=True, slots=True)
class Page(Variant):
    """The first entries below a prefix, and whether there are more."""

    index: ClassVar[int] = 1
    prefix: bytes
    after: bytes | None
    """Only keys greater than this one, which starts with the prefix; ``None`` for the beginning."""
    max_entries: U16


Question: TypeAlias = Keys | Page


@dataclass(frozen=True, slots=True)
class Query(Struct):
    """An open query, as it is in state."""

    asker: AskerName
    source: U32 | None
    """Parachain whose state is asked for; ``None`` for the relay chain, at the relay parent of the answering block."""
    at: U32 | None
    """Block number of the sibling; ``None`` for its newest included head at the time of the answer."""
    question: Question
    context: bytes
    """The asker's own; comes back with the answer."""
    not_before: U32
    """The sibling's newest included block when the query was opened: an answer for "newest" is at least as new."""
    expires_at: U32
    """Our last block that takes an answer."""
    depositor: AccountId | None
    deposit: U128
    """Held from the depositor until the query is closed."""


@dataclass(frozen=True, slots=True)
class KeysAnswer:
    """Values by key; ``None`` where the state provably has none."""

    values: dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Entries in key order, and the first key that did not fit; with ``None`` the map has no more."""

    entries: tuple[tuple[bytes, bytes], ...]
    next_key: bytes | None


Answer: TypeAlias = KeysAnswer | PageAnswer


@dataclass(frozen=True, slots=True)
class AnswerItem(Struct):
    """An answer as it travels: the evidence only, for the runtime reads the values out of it itself."""

    id: U64
    head: HeadReference | None
    """The sibling's head that the nodes are against; ``None`` for the relay chain, whose root every block knows."""
    nodes: tuple[bytes, ...]
    """Trie nodes: unique, all used, in ascending order of their bytes. Empty for keys of relay state, which
    ``read_relay_state`` reads.
    """

    def proof_bytes(self) -> int:
        """Bytes of nodes and of the evidence for the head."""
        return sum(map(len, self.nodes)) + (0 if self.head is None else self.head.proof_bytes())


@dataclass(frozen=True, slots=True)
class QueryInherent(Struct):
    """The author's answers for this block. Empty is always valid."""

    version: U8
    items: tuple[AnswerItem, ...]
    """By strictly increasing id."""


EMPTY_INHERENT = QueryInherent(VERSION, ())
