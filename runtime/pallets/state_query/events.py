"""Events of the query pallet. The index of each is what a node sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from runtime.pallets.state_query.types import AskerName
from runtime.primitives.scale import H256, U8, U32, U64, Bool, Variant


@dataclass(frozen=True, slots=True)
class QueryOpened(Variant):
    """A pallet asked."""

    index: ClassVar[int] = 0
    id: U64
    asker: AskerName
    source: U32 | None
    at: U32 | None


@dataclass(frozen=True, slots=True)
class QueryAnswered(Variant):
    """An answer was proven and handed over; the query is closed."""

    index: ClassVar[int] = 1
    id: U64
    head: H256 | None
    """Hash of the sibling's head."""
    present: U32
    """Entries found."""
    absent: U32
    """Keys shown to have no value."""
    handled: Bool
    """Whether the asker's handler succeeded."""


@dataclass(frozen=True, slots=True)
class QueryExpired(Variant):
    """Nobody answered in time; the query is closed."""

    index: ClassVar[int] = 2
    id: U64
    handled: Bool


@dataclass(frozen=True, slots=True)
class AnswerRefused(Variant):
    """An answer was refused and changed nothing. ``reason`` is a `verify.Refusal`."""

    index: ClassVar[int] = 3
    id: U64
    reason: U8


@dataclass(frozen=True, slots=True)
class HeadNoted(Variant):
    """A sibling's newest head is remembered."""

    index: ClassVar[int] = 4
    source: U32
    number: U32
    hash: H256


QueryEvent: TypeAlias = QueryOpened | QueryAnswered | QueryExpired | AnswerRefused | HeadNoted
