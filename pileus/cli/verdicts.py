"""``pileus verdicts``: what every role says in every scenario, under every answerer, and whether it is as expected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.options import JsonOption
from pileus.cli.output import print_fields, print_json
from pileus.verdicts import SCENARIOS, UnknownScenario, run_scenario, scenario_named
from pileus.verdicts.records import write_documents
from pileus.verdicts.report import matrix_json, matrix_lines

__all__ = ["verdicts"]


def verdicts(
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="Which one; without, they are listed.")
    ] = None,
    run_all: Annotated[bool, typer.Option("--all", help="All scenarios, one after the other.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Decides the relay chain's randomness, so all hashes.")
    ] = 0,
    write_docs: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Write the documents of record into this directory, and nothing else."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play scenarios and print roles x answerers x verdicts.

    A flag says that honest participants disagree, or that an honest validator would be slashed. Exit status 1 if
    anything is not as the scenario expects.
    """
    if sum((scenario is not None, run_all, write_docs is not None)) > 1:
        raise UnreadableInput("a scenario, --all and --write-docs exclude each other")
    if write_docs is not None:
        if Path(write_docs).exists() and not Path(write_docs).is_dir():
            raise UnreadableInput(f"{write_docs} is not a directory")
        for path in write_documents(Path(write_docs), seed):
            print(path)
        return
    if scenario is None and not run_all:
        _list(as_json)
        return
    try:
        chosen = list(SCENARIOS.values()) if scenario is None else [scenario_named(scenario)]
    except UnknownScenario as error:
        raise UnreadableInput(str(error)) from error
    wrong = 0
    results = []
    for one in chosen:
        matrix = run_scenario(one, seed)
        wrong += len(matrix.differences)
        if as_json:
            results.append(matrix_json(one, matrix))
        else:
            print("\n".join(matrix_lines(one, matrix)), end="\n\n")
    if as_json:
        print_json({"seed": seed, "scenarios": results})
    elif not wrong:
        print(f"{len(chosen)} scenario{'s' * (len(chosen) != 1)}, every cell as expected; seed {seed}")
    if wrong:
        raise DoesNotHold(f"{wrong} cells are not as expected")


def _list(as_json: bool) -> None:
    if as_json:
        print_json([{"scenario": one.name, "title": one.title} for one in SCENARIOS.values()])
    else:
        print_fields((one.name, one.title) for one in SCENARIOS.values())
