"""Measuring by ratio: every contender against a floor that is run beside it.

Absolute times on a shared machine mean little: it has slow phases of seconds. All contenders therefore run once per
round, in turn, and what is reported is the median over the rounds of each contender's time divided by the floor's
time of the same round. A contender may have a goal: the ratio that it should not exceed.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

SAMPLE_SECONDS = 0.004
"""A sample repeats its contender until it lasts about this long."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to measure. `goal` is the largest acceptable ratio to the floor."""

    name: str
    run: Callable[[], object]
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured: median microseconds per run and median ratio to the floor."""

    subject: str
    name: str
    microseconds: float
    ratio: float
    goal: float | None

    @property
    def met(self) -> bool:
        return self.goal is None or self.ratio <= self.goal


def measure(subject: str, floor: Contender, contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Run all in turn for `rounds` rounds. The first row is the floor itself."""
    everything = [floor, *contenders]
    repeats = [_repeats(contender.run) for contender in everything]
    samples: list[list[float]] = [[] for _ in everything]
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            for contender, repeat, times in zip(everything, repeats, samples, strict=True):
                times.append(_time(contender.run, repeat))
    finally:
        gc.unfreeze()
    rows = []
    for contender, times in zip(everything, samples, strict=True):
        ratios = [own / base for own, base in zip(times, samples[0], strict=True)]
        rows.append(
            Row(
                subject,
                contender.name,
                statistics.median(times) * 1e6,
                statistics.median(ratios),
                contender.goal,
            )
        )
    return rows


def _time(run: Callable[[], object], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - start) / repeat


def _repeats(run: Callable[[], object]) -> int:
    run()
    return max(1, int(SAMPLE_SECONDS / max(_time(run, 1), 1e-9)))


def main(description: str, benchmarks: Iterable[Callable[[int], list[Row]]]) -> int:
    """Command line of a benchmark module: run all, print a table or JSON; exit status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds per subject (default 15)")
    parser.add_argument("--only", default="", help="run the subjects whose function name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for benchmark in benchmarks:
        if arguments.only in getattr(benchmark, "__name__", ""):
            found = benchmark(arguments.rounds)
            rows += found
            if not arguments.json:
                print_table(found)
    if arguments.json:
        json.dump([{**asdict(row), "met": row.met} for row in rows], sys.stdout, indent=2)
        print()
    return 0 if all(row.met for row in rows) else 1


def print_table(rows: list[Row]) -> None:
    print(rows[0].subject)
    for row in rows:
        goal = "" if row.goal is None else f"  goal <= {row.goal:g}  {'met' if row.met else 'MISSED'}"
        print(f"  {row.name:<36} {row.microseconds:>12.1f} us  {row.ratio:>7.2f} x{goal}")
    print(flush=True)
