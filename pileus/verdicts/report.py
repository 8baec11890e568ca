"""The matrix as text for people and as JSON values for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pileus.network.record import verdict_json
from pileus.verdicts.matrix import FLAGS, Column, Matrix, Row
from pileus.verdicts.scenario import Scenario
from pileus.verdicts.setup import Judged

__all__ = ["PROOF_BYTES", "READS", "matrix_json", "matrix_lines", "sizes"]

PAYLOAD_BYTES = "PoV payload, bytes"
PROOF_BYTES = "relay proof, bytes"
READS = "relay reads"


def sizes(column: Column) -> Mapping[str, str]:
    """What the candidate costs: bytes of the uncompressed PoV, of the relay proof in it, and relay reads."""
    judgements = [one.judgement for row in column.rows for one in row.judged if one.judgement.reads.count]
    proofs = [one.judgement.relay_proof_bytes for row in column.rows for one in row.judged]
    return {
        PAYLOAD_BYTES: "-" if column.payload_bytes is None else str(column.payload_bytes),
        PROOF_BYTES: str(max(proofs, default=0)),
        READS: str(max((judgement.reads.count or 0 for judgement in judgements), default=0)),
    }


def matrix_lines(
    scenario: Scenario, matrix: Matrix, shown: Sequence[str] = (PAYLOAD_BYTES, PROOF_BYTES, READS)
) -> Iterable[str]:
    """Title, table, sizes, and what is not as expected. `shown` are the sizes that are."""
    yield f"{scenario.name}: {scenario.title}"
    rows = [
        ("", *(column.answerer.value for column in matrix.columns)),
        *((label, *(column.entries.get(label, "-") for column in matrix.columns)) for label in matrix.labels),
        *((f"  {name}", *(sizes(column)[name] for column in matrix.columns)) for name in shown),
    ]
    widths = [max(len(row[at]) for row in rows) + 2 for at in range(len(rows[0]))]
    for row in rows:
        mark = "! " if row[0] == FLAGS and any(cell != "-" for cell in row[1:]) else "  "
        yield mark + "".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
    yield f"  {scenario.because} {' '.join(f'[{tag}]' for tag in scenario.sources)}"
    for difference in matrix.differences:
        yield f"  NOT AS EXPECTED  {difference}"


def matrix_json(scenario: Scenario, matrix: Matrix) -> dict[str, Any]:
    """Everything about a matrix."""
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "because": scenario.because,
        "sources": list(scenario.sources),
        "as_expected": not matrix.differences,
        "differences": list(matrix.differences),
        "answerers": {column.answerer.value: _column_json(column) for column in matrix.columns},
    }


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "cells": [_row_json(row) for row in column.rows],
        "outcomes": dict(column.outcomes),
        "flags": list(column.flags),
        "pov_payload_bytes": column.payload_bytes,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {"cell": row.label, "verdict": row.text, "judges": [_judged_json(judged) for judged in row.judged]}


def _judged_json(judged: Judged) -> dict[str, Any]:
    judgement = judged.judgement
    return {
        "judge": judged.judge,
        "honest": judged.honest,
        **verdict_json(judgement.verdict),
        "pov_bytes": judgement.pov_bytes,
        "relay_proof_bytes": judgement.relay_proof_bytes,
        "relay_reads": judgement.reads.count,
        "relay_nodes": len(judgement.reads.nodes),
        "fell_back": judgement.reads.fell_back,
    }
