"""The verdict matrix of one scenario: roles x answerers x verdicts, what is expected, and what is wrong.

A *cell* holds what the judges of one role, in one condition, said about one candidate; usually they said the same.
Under the cells stand *outcomes*: what became of the candidate on the relay chain. The last outcome is the flags:

* ``disagree``: of the honest participants one says valid and another invalid;
* ``slash``: an honest validator stands on the losing side of a dispute.

What is expected is a table in the scenario, in the same words; any difference is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pileus.verdicts.answerers import Answerer
from pileus.verdicts.play import Play
from pileus.verdicts.setup import Judged
from pov_validator import Invalid, Valid, Verdict
from pov_validator.roles import Role

__all__ = ["FLAGS", "Column", "Matrix", "Row", "column_of", "differences", "parse_table", "short"]

FLAGS = "> flags"
NOTHING = "-"

Table = Mapping[str, Mapping[Answerer, str]]
"""Row -> answerer -> what stands there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of a column: judges of one role in one condition, about one candidate."""

    label: str
    text: str
    """Their verdicts in short; several if they differ."""
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A scenario under one answerer."""

    answerer: Answerer
    rows: tuple[Row, ...]
    outcomes: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    payload_bytes: int | None
    """Of the first candidate: its PoV's uncompressed payload."""

    @property
    def entries(self) -> Mapping[str, str]:
        """Row label -> text, as in a table of expectations."""
        outcomes = {f"> {name}": value for name, value in self.outcomes}
        return {
            **{row.label: row.text for row in self.rows},
            **outcomes,
            FLAGS: ", ".join(self.flags) or NOTHING,
        }


@dataclass(frozen=True, slots=True)
class Matrix:
    """A scenario, played under every answerer."""

    name: str
    columns: tuple[Column, ...]
    differences: tuple[str, ...]
    """What is not as expected; empty for a scenario that holds."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows of all columns: judges first, in the order of their roles, then outcomes, then the flags."""
        seen: dict[str, None] = {}
        for column in self.columns:
            seen.update(dict.fromkeys(column.entries))
        judges = [label for label in seen if not label.startswith(">")]
        outcomes = [label for label in seen if label.startswith(">") and label != FLAGS]
        return (*sorted(judges, key=_role_order), *outcomes, FLAGS)


def short(verdict: Verdict) -> str:
    """A verdict in the words of the tables."""
    if isinstance(verdict, Valid):
        return "valid"
    word = "invalid" if isinstance(verdict, Invalid) else "abstains"
    return f"{word} {verdict.reason.value}"


def column_of(play: Play, payload_bytes: int | None) -> Column:
    """What was judged in a play that is over, by role and condition."""
    grouped: dict[str, list[Judged]] = {}
    for judged in play.judged:
        grouped.setdefault(_label(judged), []).append(judged)
    rows = tuple(
        Row(label, " / ".join(sorted({short(one.judgement.verdict) for one in group})), tuple(group))
        for label, group in grouped.items()
    )
    return Column(play.answerer, rows, tuple(play.outcomes), tuple(_flags(play)), payload_bytes)


def _label(judged: Judged) -> str:
    condition = f", {judged.condition}" if judged.condition else ""
    candidate = f" ({judged.candidate})" if judged.candidate else ""
    return f"{judged.judgement.role.value}{condition}{candidate}"


def _role_order(label: str) -> tuple[int, bool]:
    """Roles in the order in which they come; the ordinary judges of each before those set apart."""
    return next((at, "," in label) for at, role in enumerate(Role) if label.startswith(role.value))


def _flags(play: Play) -> Sequence[str]:
    flags = []
    for candidate in dict.fromkeys(judged.candidate for judged in play.judged):
        kinds = {
            type(judged.judgement.verdict)
            for judged in play.judged
            if judged.candidate == candidate and judged.honest
        }
        if {Valid, Invalid} <= kinds and "disagree" not in flags:
            flags.append("disagree")
    if play.honest_offences:
        flags.append("slash")
    return flags


def parse_table(text: str) -> Table:
    """The expectations of a scenario: a line of answerers, then rows, columns apart by two spaces or more.

    Raises `ValueError` for a row with more or fewer columns than answerers.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    answerers = [Answerer(name) for name in lines[0].split()]
    table: dict[str, dict[Answerer, str]] = {}
    for line in lines[1:]:
        label, *cells = re.split(r"\s{2,}", line.strip())
        if len(cells) != len(answerers):
            raise ValueError(f"{len(cells)} cells for {len(answerers)} answerers: {line.strip()!r}")
        table[label] = dict(zip(answerers, cells, strict=True))
    return table


def differences(columns: Sequence[Column], expected: Table) -> tuple[str, ...]:
    """Where the columns are not what the table says. A cell that does not come up is a ``-`` in the table."""
    found: list[str] = []
    for column in columns:
        entries = column.entries
        for label in dict.fromkeys((*expected, *entries)):
            wanted = expected.get(label, {}).get(column.answerer, NOTHING)
            there = entries.get(label, NOTHING)
            if wanted != there:
                found.append(f"{label}, {column.answerer.value}: expected {wanted}, found {there}")
    return tuple(found)
