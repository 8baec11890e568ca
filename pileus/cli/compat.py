"""``pileus compat``: which chain specs and runtime blobs work here, how far the others get, and why they stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pileus.chain_spec import BadChainSpec
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.options import JsonOption
from pileus.cli.output import print_json, visible
from pileus.compat import Column, Kind, Options, Row, examine_all
from pileus.compat.matrix import APPLICABLE
from pileus.compat.processes import files_of, read_file
from pileus.relay_chain.real import UnsuitableRelayChain
from pileus.relay_chain.real.genesis import active_validator_keys

__all__ = ["compat"]

WIDTH = 200
"""Columns of the table where the output is no terminal."""


def compat(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC|DIR...",
            help="Raw chain specs, states or runtime blobs, also gzipped; of a directory all of them.",
            show_default=False,
        ),
    ],
    relay: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Relay chain to put every parachain under; else the relay chains among SPEC, else the model.",
        ),
    ] = None,
    blocks: Annotated[int, typer.Option(min=1, max=1000, help="Blocks to make on each chain.")] = 3,
    flips: Annotated[int, typer.Option(min=0, max=100_000, help="Bits to flip, one after the other.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Chooses the bits.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds for each file.")] = 300,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files examined at the same time.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Show how well runtimes work here.

    A parachain is authored on, executed, validated by its own validate_block and included by a relay chain; a relay
    chain makes blocks and includes a parachain of ours; another chain makes blocks; a blob that is no parachain's is
    compiled and described.
    Each file is examined in a process of its own. Exit status 0 if everything passes, 1 if something does not, 2 if a
    file cannot be read or there is none.
    """
    files = _files(specs)
    chosen = None if relay is None else _relay(relay)
    options = Options(chosen, blocks, flips, seed, timeout, min(jobs, len(files)))
    rows = list(examine_all(files, options))
    if as_json:
        print_json([row.to_json() for row in rows])
    else:
        _show(rows)
    _conclude(rows)


def _files(arguments: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for argument in arguments:
        found = files_of(Path(argument))
        if not found:
            raise UnreadableInput(f"{argument}: there is no chain spec and no runtime in this directory")
        files += (file for file in found if file not in files)
    return files


def _relay(argument: str) -> Path:
    """The file of the relay chain, once it is known to hold one."""
    path = Path(argument)
    try:
        content = read_file(path)
        if content.spec is None:
            raise UnsuitableRelayChain("a runtime blob, which has no genesis")
        if content.code is None:
            raise UnsuitableRelayChain("the state has no runtime under :code")
        active_validator_keys(content.spec.genesis.top)
    except (BadChainSpec, UnsuitableRelayChain) as error:
        raise UnreadableInput(f"--relay {argument}: {error}") from error
    return path


def _conclude(rows: Sequence[Row]) -> None:
    failed = [row for row in rows if not row.passed]
    if not failed:
        return
    first = f"{failed[0].file}: {failed[0].reason}"
    message = f"{len(failed)} of {len(rows)} do not pass, the first is {first}"
    if any(row.kind is Kind.UNREADABLE for row in rows):
        raise UnreadableInput(message)
    raise DoesNotHold(message)


def _show(rows: Sequence[Row]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    table = Table(
        title=f"{sum(row.passed for row in rows)} of {len(rows)} pass", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("file", overflow="fold", min_width=26)
    table.add_column("runtime", overflow="fold", min_width=24)
    for column in Column:
        table.add_column(column.value, justify="right")
    for heading in ("ms: author", "execute", "validate"):
        table.add_column(heading, justify="right")
    table.add_column("included by", overflow="fold")
    for row in rows:
        table.add_row(
            Text(visible(_short(row.file))),
            Text(visible(row.runtime or row.kind.value)),
            *(_cell(row, column) for column in Column),
            *map(_milliseconds, (row.timings.author, row.timings.execute, row.timings.validate)),
            Text(visible(str(row.details.get("relay", "")))),
        )
    console.print(table)
    for row in rows:
        if row.reason is not None:
            console.print(Text(f"{visible(row.file)}: {visible(row.reason)}"), soft_wrap=True)


def _short(file: str) -> str:
    return Path(file).name.removesuffix(".gz").removesuffix(".json")


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f}"


def _cell(row: Row, column: Column) -> Text:
    """A number for what passed, a word for what did not: colour only helps."""
    cell = row.cells.get(column)
    if cell is None:
        return Text("" if column in APPLICABLE[row.kind] else "-")
    if not cell.passed:
        return Text("FAILED", style="bold red")
    counted = column not in (Column.COMPILES, Column.METADATA, Column.GENESIS)
    return Text(str(cell.count) if counted else "yes", style="green")
