"""``pileus runtime precheck``: would validators accept this validation code?

Before a relay chain lets a parachain run new code, its validators compile it under strict limits and vote
[polkadot-pvf]. This is that check: the same worker process, limits and classes of errors as validation has here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from host_functions.compressed_blob import MAX_CODE_SIZE, MAX_VALIDATION_CODE_COMPRESSION_RATIO
from host_functions.executor.directories import cache_directory
from pileus.cli.chain_files import RuntimeArgument, code_of, read_runtime_file
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.inputs import argument_hex
from pileus.cli.options import JsonOption
from pileus.cli.output import print_fields, print_json
from pov_validator.pvf import ExecutorParams, PreparationFailed, PvfHost
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256

__all__ = ["runtime_precheck"]

ParamsOption = Annotated[
    str,
    typer.Option(
        "--executor-params",
        metavar="HEX",
        help="The relay chain's ExecutorParams, SCALE-encoded; Polkadot's defaults if not given.",
    ),
]

MaxCodeSizeOption = Annotated[
    int,
    typer.Option(
        "--max-code-size",
        metavar="BYTES",
        min=1,
        max=2**32 - 1,
        help="The relay chain's max_code_size. Compressed code may be ten times as large when it is decompressed.",
    ),
]


def runtime_precheck(
    file: RuntimeArgument,
    executor_params: ParamsOption = "00",
    max_code_size: MaxCodeSizeOption = MAX_CODE_SIZE,
    json: JsonOption = False,
) -> None:
    """Compile a validation function as validators do before they accept it.

    FILE: a raw chain spec, whose genesis runtime is checked, or a runtime blob. Exit status 0 if validators would vote
    for the code, 1 with the reason if they would vote against it, or could not tell.
    """
    code = code_of(read_runtime_file(file), file)
    try:
        params = ExecutorParams.decode(argument_hex(executor_params, "--executor-params"))
    except ScaleError as error:
        raise UnreadableInput(f"--executor-params: {error}") from None
    failure = check(code, params, max_code_size)
    report = {
        "code_hash": blake2_256(code),
        "code_size": len(code),
        "accepted": failure is None,
        "failure": None if failure is None else failure[0],
        "detail": None if failure is None else failure[1],
        "deterministic": None if failure is None else failure[2],
    }
    if json:
        print_json(report)
    else:
        print_fields(
            [
                ("code hash", f"0x{blake2_256(code).hex()}"),
                ("size", f"{len(code)} bytes"),
                (
                    "pre-checking",
                    "accepts" if failure is None else "rejects" if failure[2] else "cannot tell",
                ),
            ]
        )
    if failure is not None:
        raise DoesNotHold(f"{failure[0]}: {failure[1]}")


def check(code: bytes, params: ExecutorParams, max_code_size: int) -> tuple[str, str, bool] | None:
    """``None`` for code that is accepted; else the failure, what is wrong, and whether every validator meets it."""
    if len(code) > max_code_size:
        return "CodeTooLarge", f"{len(code)} bytes, more than {max_code_size}", True
    params = replace(params, code_bomb_limit=max_code_size * MAX_VALIDATION_CODE_COMPRESSION_RATIO)
    with PvfHost(params, cache=cache_directory(), workers=1) as host:
        try:
            host.prepare(code)
        except PreparationFailed as error:
            return error.failure.value, error.detail, error.failure.deterministic
    return None
