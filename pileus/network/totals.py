"""What a run adds up to, block by block."""

from __future__ import annotations

from pileus.network.report import SlotReport

__all__ = ["ParaTotals", "RunTotals"]


class RunTotals:
    """What a summary counts besides the messages."""

    def __init__(self) -> None:
        self.relay_blocks = 0
        self.candidates = 0
        self.valid = 0
        """Candidates that every backer found valid."""
        self.backed = 0
        self.paras: dict[int, ParaTotals] = {}
        self.problems = 0

    def add(self, report: SlotReport) -> None:
        self.relay_blocks += 1
        self.problems += len(report.problems)
        for candidate in report.candidates:
            self.candidates += 1
            self.valid += candidate.all_valid
            self.backed += candidate.backed
            totals = self.paras.setdefault(candidate.para_id, ParaTotals())
            totals.candidates += 1
            totals.pov_bytes += candidate.parts.compressed
            totals.largest_pov = max(totals.largest_pov, candidate.parts.compressed)
        for item in report.imported:
            self.paras.setdefault(item.para_id, ParaTotals()).included += 1


class ParaTotals:
    """The same for one parachain. Bytes are of encoded PoVs."""

    def __init__(self) -> None:
        self.candidates = 0
        self.included = 0
        self.pov_bytes = 0
        self.largest_pov = 0
