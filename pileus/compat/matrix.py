"""The matrix as plain data: what was tried with each file, how far it got, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

__all__ = ["Cell", "Column", "Kind", "Row", "Timings"]


class Kind(Enum):
    """What a file holds."""

    PARACHAIN = "parachain"
    """A runtime with a validation function, with its genesis or with one made for it."""
    RELAY_CHAIN = "relay chain"
    """A genesis with validators and the parachains pallets of today."""
    CHAIN = "chain"
    """Any other genesis with a runtime: a chain of its own, or a relay chain of before 2021."""
    BLOB = "blob"
    """Any other code without a genesis."""
    UNREADABLE = "unreadable"
    """None of these."""
    STOPPED = "stopped"
    """Not known: the examination came to no end."""


class Column(Enum):
    """What is tried, in order."""

    COMPILES = "compiles"
    METADATA = "metadata"
    """Version and metadata are told, and decode."""
    GENESIS = "genesis"
    """Root and hash of block 0."""
    AUTHORED = "authored"
    EXECUTED = "executed"
    """``Core_execute_block`` gives the state that authoring gave."""
    VALIDATED = "validated"
    """The blob's own ``validate_block`` accepts the PoV, and returns the head and the outputs that we say."""
    INCLUDED = "included"
    """A parachain: its candidates on a relay chain. A relay chain: candidates of a parachain of ours."""
    FLIPS_REFUSED = "flips refused"
    """No flipped bit, of the PoV or of the block, is accepted with another result."""


APPLICABLE: Final[Mapping[Kind, frozenset[Column]]] = {
    Kind.PARACHAIN: frozenset(Column),
    Kind.RELAY_CHAIN: frozenset(Column) - {Column.VALIDATED},
    Kind.CHAIN: frozenset(Column) - {Column.VALIDATED, Column.INCLUDED},
    Kind.BLOB: frozenset({Column.COMPILES, Column.METADATA}),
    Kind.UNREADABLE: frozenset(),
    Kind.STOPPED: frozenset(),
}
"""What can be asked of each kind."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of one row."""

    passed: bool
    count: int
    """Blocks, or flipped bits; 1 where there is nothing to count."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. ``None`` for what was not reached."""

    compile: float | None = None
    """Or load from the cache of compiled code."""
    author: float | None = None
    """The fastest block."""
    execute: float | None = None
    validate: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Everything found out about one file."""

    file: str
    kind: Kind
    cells: Mapping[Column, Cell] = field(default_factory=dict)
    """Only what was tried."""
    reason: str | None = None
    """Why it stopped; ``None`` if it did not."""
    chain: str | None = None
    """The id in the chain spec."""
    runtime: str | None = None
    """Name and version."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: sizes, hashes, formats, the relay chain of `Column.INCLUDED`."""
    timings: Timings = Timings()

    @property
    def passed(self) -> bool:
        """Whether everything that can be asked of it was tried and passed."""
        done = {column for column, cell in self.cells.items() if cell.passed}
        return self.reason is None and done == APPLICABLE[self.kind]

    def to_json(self) -> dict[str, Any]:
        """As JSON values. A column that does not apply is ``null``, one that was not reached is absent."""
        applicable = APPLICABLE[self.kind]
        columns: dict[str, Any] = {}
        for column in Column:
            if column in self.cells:
                columns[column.value] = asdict(self.cells[column])
            elif column not in applicable:
                columns[column.value] = None
        return {
            "file": self.file,
            "kind": self.kind.value,
            "chain": self.chain,
            "runtime": self.runtime,
            "passed": self.passed,
            "reason": self.reason,
            "columns": columns,
            "seconds": asdict(self.timings),
            **self.details,
        }
