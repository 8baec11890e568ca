"""``pileus trace``: the host calls of a recorded candidate, in one context or aligned between two."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from host_functions.tracing import Alignment, HostCall, Match, align
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.options import JsonOption
from pileus.cli.output import print_json, visible
from pileus.network.record import RecordError
from pileus.network.recorded import RecordedRun
from pileus.replay import CONTEXTS, Replayed, ReplayedCandidate, UnknownContext, replay

__all__ = ["trace"]


def trace(
    record: Annotated[
        str,
        typer.Argument(
            metavar="RECORD", help="Record of a run: the --out of pileus run.", show_default=False
        ),
    ],
    candidate: Annotated[
        str, typer.Option("--candidate", metavar="PARA-NUMBER", help="Which candidate, for example 2000-3.")
    ],
    context: Annotated[
        str | None,
        typer.Option(metavar="CONTEXT", help=f"Who executes it: {', '.join(CONTEXTS)}; else as in the run."),
    ] = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="CONTEXT_A CONTEXT_B",
            help="Align the calls of two contexts and name the first differing one.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every host call of a recorded candidate: what was asked, what came back, which proof nodes it touched.

    With --diff, exit status 1 if the two contexts differ, or if neither gets as far as a host call. Without, 1 if the
    context cannot execute the candidate or finds it invalid.
    """
    if diff is not None and context is not None:
        raise UnreadableInput("--context and --diff exclude each other")
    replayed, mode, hint = _open(record, candidate)
    try:
        if diff is None:
            _show(replay(replayed, context or f"validate-{mode}"), hint, as_json)
        else:
            first, second = (replay(replayed, name) for name in diff)
            _show_both(first, second, hint, as_json)
    except UnknownContext as error:
        raise UnreadableInput(str(error)) from error


def _open(directory: str, label: str) -> tuple[ReplayedCandidate, str, str]:
    """The candidate, where its run read relay state, and what to say if its runtime is not here."""
    try:
        run = RecordedRun(Path(directory))
        recorded = run.candidate(label)
        candidate = ReplayedCandidate(
            recorded.receipt, recorded.pov, recorded.pvd, recorded.load_runtime(), run.relay_node()
        )
    except RecordError as error:
        raise UnreadableInput(str(error)) from error
    return candidate, run.relay_state, recorded.runtime_hint()


def _show(replayed: Replayed, hint: str, as_json: bool) -> None:
    if as_json:
        print_json({**_outcome(replayed), "calls": [asdict(call) for call in replayed.trace.calls]})
    else:
        for call in replayed.trace.calls:
            print(visible(_line(call)))
        print(visible(f"{replayed.context}: {len(replayed.trace)} host calls; {replayed.outcome}"))
        if replayed.trace.dropped:
            print(f"{replayed.trace.dropped} more calls are not shown")
    if not replayed.succeeded:
        raise DoesNotHold(f"{replayed.context}: {replayed.outcome}{hint}")


def _show_both(first: Replayed, second: Replayed, hint: str, as_json: bool) -> None:
    alignment = align(first.trace, second.trace)
    found = alignment.difference
    if as_json:
        print_json(
            {
                "first": _outcome(first),
                "second": _outcome(second),
                "agree": found is None,
                "counts": {match.value: alignment.count(match) for match in Match},
                "first_difference": None if found is None else alignment.pairs.index(found),
                "pairs": [
                    {
                        "match": pair.match.value,
                        "first": None if pair.first is None else asdict(pair.first),
                        "second": None if pair.second is None else asdict(pair.second),
                    }
                    for pair in alignment.pairs
                ],
            }
        )
    else:
        _print_alignment(alignment)
        for replayed in (first, second):
            print(visible(f"{replayed.context}: {len(replayed.trace)} host calls; {replayed.outcome}"))
        if alignment.truncated:
            print(f"{alignment.truncated} calls were too many to be compared")
        for line in alignment.report().splitlines():
            print(visible(line))
    if found is not None:
        raise DoesNotHold(f"{first.context} and {second.context} differ: {alignment.explain(found)}")
    # Two contexts that never began agree on nothing, which is not an answer to what was asked.
    if not (first.succeeded or second.succeeded or first.trace.calls or second.trace.calls):
        raise DoesNotHold(f"neither context executes the candidate: {first.outcome}{hint}")


def _print_alignment(alignment: Alignment) -> None:
    found = alignment.difference
    for pair in alignment.pairs:
        mark = ">" if pair is found else "." if pair.match is Match.AROUND else " "
        for line in alignment.lines(pair):
            print(visible(f"{mark} {line}"))


def _line(call: HostCall) -> str:
    who = "guest" if call.answered_by == "guest" else call.context
    return f"{call.position:>5} {'  ' * call.depth}{who:<18} {call}"


def _outcome(replayed: Replayed) -> dict[str, Any]:
    return {
        "context": replayed.context,
        "outcome": replayed.outcome,
        "succeeded": replayed.succeeded,
        "host_calls": len(replayed.trace),
        "dropped": replayed.trace.dropped,
    }
