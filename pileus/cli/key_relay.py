"""``pileus key relay``: the well-known storage keys of the relay chain, by name.

The names are those of `runtime.primitives.relay_keys` (polkadot-primitives' own [polkadot-primitives]), in
any case and with ``-`` or ``_``; ``heads`` is accepted for ``para_head`` because the storage item is called
so.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Annotated

import typer

from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import shorten
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_fields, print_json
from runtime.primitives.errors import ScaleError
from runtime.primitives.relay_keys import WELL_KNOWN, KeyBuilder

__all__ = ["key_relay"]

NAMES = {name.lower(): name for name in WELL_KNOWN} | {"heads": "para_head"}

NameArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="E.g. heads, or active-config.", show_default=False)
]
NumbersArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[PARA_ID]...", help="What the key is of.", show_default=False)
]
ListOption = Annotated[bool, typer.Option("--list", help="List the names and what each needs.")]


def key_relay(
    name: NameArgument = None,
    numbers: NumbersArgument = None,
    listing: ListOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print a well-known storage key of the relay chain, for example: pileus key relay heads 2000."""
    if listing:
        print_names(as_json)
        return
    if name is None:
        raise UnreadableInput("NAME is missing; pileus key relay --list shows the names")
    known = find(name)
    builder = WELL_KNOWN[known]
    parameters = parameters_of(builder)
    if len(numbers or []) != len(parameters):
        usage = " ".join([known, *(parameter.upper() for parameter in parameters)])
        raise UnreadableInput(
            f"expected {len(parameters)} number{'' if len(parameters) == 1 else 's'} after the name, "
            f"got {len(numbers or [])}: {usage}"
        )
    arguments = [number(text, what) for text, what in zip(numbers or [], parameters, strict=True)]
    try:
        key = builder(*arguments)
    except ScaleError as error:
        raise UnreadableInput(f"{known}: {error}") from error
    if as_json:
        print_json({"name": known, "arguments": arguments, "key": key})
    else:
        print(hex_text(key))


def print_names(as_json: bool) -> None:
    rows = {name: parameters_of(builder) for name, builder in sorted(WELL_KNOWN.items())}
    if as_json:
        print_json(rows)
    else:
        print_fields((name.lower(), " ".join(part.upper() for part in parts)) for name, parts in rows.items())


def find(name: str) -> str:
    wanted = name.lower().replace("-", "_")
    if wanted in NAMES:
        return NAMES[wanted]
    close = get_close_matches(wanted[:80], NAMES, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "pileus key relay --list shows the names"
    raise UnreadableInput(f"no well-known relay key is called {shorten(name)!r}; {hint}")


def parameters_of(builder: KeyBuilder) -> list[str]:
    return list(inspect.signature(builder).parameters)


def number(text: str, what: str) -> int:
    """A non-negative integer, decimal or hex with 0x."""
    try:
        value = int(text, 0)
    except ValueError as error:
        raise UnreadableInput(f"{what}: expected a number, got {shorten(text)!r}") from error
    if value < 0:
        raise UnreadableInput(f"{what}: expected a number from 0, got {shorten(text)!r}")
    return value
