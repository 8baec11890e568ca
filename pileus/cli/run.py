"""``pileus run``: a topology, running, with a timeline to read and optionally a record on disk."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.options import JsonOption
from pileus.cli.output import print_json
from pileus.network.record import RecordError, RunRecorder
from pileus.network.run import Network
from pileus.network.summary import summary_of
from pileus.network.timeline import slot_lines, summary_tables
from pileus.network.topology import (
    Execution,
    RelayStateMode,
    Topology,
    TopologyError,
    read_topology,
    with_execution,
)

__all__ = ["run"]


def run(
    topology: Annotated[
        str,
        typer.Argument(
            metavar="TOPOLOGY.toml", help="Network to run, in zombienet's shape.", show_default=False
        ),
    ],
    blocks: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Relay blocks to build; else settings.blocks of the file."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Seed of the run; else settings.seed of the file."),
    ] = None,
    relay_state: Annotated[
        RelayStateMode | None,
        typer.Option(
            help="Where validators read relay state: own (their database), carried (a proof in the PoV) or "
            "fallback (the first, else the second); else settings.relay_state of the file."
        ),
    ] = None,
    execution: Annotated[
        Execution | None,
        typer.Option(
            help="Which engine runs Python runtimes: native, wasm (frozen into a blob), or both (every call "
            "compared); else parachains.execution of the file."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep a record of the run in this new or empty directory."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a relay chain with parachains and show what happens.

    The same topology and seed give the same bytes. Exit status 1 if any candidate was not valid for every validator
    that judged it. With --out, `pileus pov validate` and `pileus pov inspect` work on the record.
    """
    text, plan = _read(topology)
    if execution is not None:
        plan = with_execution(plan, execution)
    try:
        network = Network(
            plan,
            seed=plan.settings.seed if seed is None else seed,
            relay_state=plan.settings.relay_state if relay_state is None else relay_state,
            directory=Path(topology).parent,
        )
    except TopologyError as error:
        raise UnreadableInput(f"{topology}: {error}") from error
    recorder = _start_record(out, network, text)
    _run(network, plan.settings.blocks if blocks is None else blocks, recorder, Console(quiet=as_json))
    summary = summary_of(network)
    if as_json:
        print_json(summary)
    else:
        _show_end(summary, out)
    total, valid = summary["candidates"]["total"], summary["candidates"]["valid_for_every_backer"]
    if valid != total:
        raise DoesNotHold(f"{total - valid} of {total} candidates were not valid for every backer")


def _read(path: str) -> tuple[str, Topology]:
    try:
        return read_topology(Path(path))
    except TopologyError as error:
        raise UnreadableInput(str(error)) from error


def _start_record(out: str | None, network: Network, text: str) -> RunRecorder | None:
    if out is None:
        return None
    try:
        return RunRecorder(Path(out), network, text)
    except RecordError as error:
        raise UnreadableInput(str(error)) from error


def _run(network: Network, blocks: int, recorder: RunRecorder | None, console: Console) -> None:
    progress = Progress(
        TextColumn("relay blocks"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
    )
    with progress if console.is_terminal and not console.quiet else nullcontext():
        task = progress.add_task("", total=blocks)
        for report in network.run(blocks):
            if recorder is not None:
                recorder.record(report)
            for line in slot_lines(report):
                console.print(line, soft_wrap=True)
            progress.advance(task)
    if recorder is not None:
        recorder.finish()


def _show_end(summary: dict[str, Any], out: str | None) -> None:
    console = Console()
    for table in summary_tables(summary):
        console.print()
        console.print(table)
    candidates = summary["candidates"]
    console.print(
        f"\n{candidates['total']} candidates, {candidates['valid_for_every_backer']} valid for every backer; "
        f"relay state: {summary['relay_state']}; seed {summary['seed']}",
        highlight=False,
    )
    if out is not None:
        console.print(f"recorded in {out}", highlight=False, markup=False, soft_wrap=True)
