"""``pileus runtime build``: a Python runtime as one Wasm blob.

The blob imports host functions only, exports the runtime's entry points in the calling style of RFC-145, and
carries its version in the sections where Substrate hosts look for it. The same sources and the same Python VM
give the same bytes every time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from host_functions.executor.frozen.ensure import ensure_vm
from host_functions.executor.frozen.freeze import freeze
from host_functions.executor.frozen.sources import ImportRefused
from pileus.cli.chain_files import compile_cache
from pileus.cli.errors import DoesNotHold, UnreadableInput
from pileus.cli.options import JsonOption
from pileus.cli.output import hex_text, print_fields, print_json, warn
from runtime.primitives.hashing import blake2_256

__all__ = ["runtime_build"]

ModuleArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE",
        help="Module of the runtime, as runtime.chains.demo, or its file.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Where to write it, else NAME.wasm here.", show_default=False
    ),
]
CompressedOption = Annotated[
    bool, typer.Option("--compressed", help="Compress it, as real runtimes are on chain.")
]


def runtime_build(
    module: ModuleArgument,
    out: OutputOption = None,
    compressed: CompressedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Freeze a Python runtime into one Wasm blob.

    The runtime's module has a table ENTRY_POINTS. It may import its own modules, the guest's part of Pileus and
    the part of the standard library that has no clock, randomness or I/O; anything else is refused with the chain
    of imports that leads there.
    """
    name, paths = _module_and_paths(module)
    cache = compile_cache()
    try:
        blob = freeze(name, paths=paths, vm=ensure_vm(warn), cache=cache)
    except ImportRefused as error:
        if error.chain == (name,) and error.reason.startswith("there is no module"):
            raise UnreadableInput(
                f"there is no module {name} here, nor among the installed packages"
            ) from None
        raise DoesNotHold(str(error)) from None
    code = blob.compressed(cache) if compressed else blob.code
    file = out or Path(f"{name.rpartition('.')[2]}{'.compact.compressed' if compressed else ''}.wasm")
    file.write_bytes(code)
    version = blob.version
    report: dict[str, Any] = {
        "runtime": name,
        "file": str(file),
        "spec": None if version is None else f"{version.spec_name}-{version.spec_version}",
        "code_hash": blake2_256(code),
        "code_size": len(code),
        "wasm_size": len(blob.code),
        "entry_points": list(blob.entry_points),
        "modules": list(blob.modules),
    }
    if as_json:
        print_json(report)
        return
    size = f"{len(blob.code)} bytes"
    if compressed:
        size = f"{len(code)} bytes compressed, {size} of Wasm"
    print_fields(
        (
            ("runtime", name),
            ("spec", report["spec"] or "none: no Core_version"),
            ("modules", len(blob.modules)),
            ("entry points", len(blob.entry_points)),
            ("code hash", hex_text(report["code_hash"])),
            ("size", size),
            ("written to", file),
        )
    )


def _module_and_paths(given: str) -> tuple[str, list[Path] | None]:
    """Module name, and where to look for it: the working directory and what Python has, or a file's folder."""
    if given.endswith(".py"):
        file = Path(given)
        if not file.is_file():
            raise UnreadableInput(f"{given}: no such file")
        folder = file.resolve().parent
        if file.name == "__init__.py":
            return folder.name, [folder.parent]
        return file.stem, [folder]
    if Path(given).is_file() or os.sep in given:
        raise UnreadableInput(f"{given}: expected a Python module, or its file, which ends in .py")
    return given, [Path.cwd(), *map(Path, sys.path)]
