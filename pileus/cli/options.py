"""Arguments and options that several verbs share, declared once so that they read and behave alike."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = ["CaseOption", "FileArgument", "HexArgument", "JsonOption"]

FileArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="JSON file, or - for standard input.", show_default=False)
]

HexArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="HEX", help="Hex, with or without 0x, or - for standard input.", show_default=False
    ),
]

CaseOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--case", metavar="ID", help="The case with this id, when FILE is a list of cases."),
]

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
