"""A set of files, each examined in a process of its own.

A runtime from outside may hang for ever, eat the memory, or bring down the engine and with it the process. Then its row
says so, and the others are none the worse.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from host_functions.compressed_blob import BlobError
from host_functions.errors import PileusError
from host_functions.executor.wasm import CompileCache, InvalidCode
from pileus.chain_spec import (
    MAX_SPEC_BYTES,
    BadChainSpec,
    ChainSpec,
    RuntimeFile,
    parse_runtime_file,
    version_of,
)
from pileus.compat.examine import examine
from pileus.compat.matrix import Kind, Row
from pileus.relay_chain.real.genesis import active_validator_keys

__all__ = ["Options", "examine_all", "files_of", "read_file"]

VERSION_TIMEOUT: Final = 30.0
"""Seconds that ``Core_version`` may take, for code without a section that says it."""
SUFFIXES: Final = (".json", ".json.gz", ".wasm", ".wasm.gz")
"""Of a directory's files those with one of these names are examined."""


@dataclass(frozen=True, slots=True)
class Options:
    """How thorough to be."""

    relay: Path | None = None
    """The relay chain of all parachains; if not given, those relay chains of the set that include them."""
    blocks: int = 3
    flips: int = 20
    seed: int = 0
    timeout: float = 300.0
    """Seconds that pass until an examination is given up."""
    jobs: int = 2
    """Examinations at the same time."""


def files_of(argument: Path) -> tuple[Path, ...]:
    """The file itself, or what there is to examine in a directory, by name. Raises `OSError`."""
    if not argument.is_dir():
        return (argument,)
    return tuple(
        sorted(path for path in argument.iterdir() if path.name.endswith(SUFFIXES) and path.is_file())
    )


def examine_all(files: Sequence[Path], options: Options) -> Iterator[Row]:
    """The row of each file, in order."""
    unreadable: dict[Path, Row] = {}
    relays: list[tuple[int, Path]] = []
    for file in files:
        try:
            content = read_file(file)
        except BadChainSpec as error:
            unreadable[file] = Row(str(file), Kind.UNREADABLE, reason=str(error))
            continue
        if options.relay is None and (state_version := _relay_state_version(content)) is not None:
            relays.append((state_version, file))
    # There are parachain runtimes that cannot read states of version 1, and none that cannot read those of version 0.
    chosen = [options.relay] if options.relay is not None else [file for _, file in sorted(relays)]
    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        yield from pool.map(
            lambda file: unreadable.get(file) or _examine_apart(file, relays=chosen, options=options), files
        )


def read_file(path: Path) -> RuntimeFile:
    """What a file holds. Raises `BadChainSpec`, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SPEC_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadChainSpec(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_runtime_file(data)


def _relay_state_version(content: RuntimeFile) -> int | None:
    """The state version of a relay chain with the parachains pallets of today; ``None`` for anything else."""
    if content.spec is None or content.code is None:
        return None
    try:
        active_validator_keys(content.spec.genesis.top)
        return version_of(content.code, timeout=VERSION_TIMEOUT)[0].state_version
    except (PileusError, BlobError, InvalidCode):
        return None  # its own row will tell


def _examine_apart(file: Path, *, relays: Sequence[Path], options: Options) -> Row:
    """The row of a file, made in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(file, relays, options, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(options.timeout):
            return _stopped(file, f"not finished after {options.timeout:g} seconds")
        row: Row = ours.recv()
    except EOFError:
        process.join()
        return _stopped(
            file, f"it brought down the process that examined it ({_exit_text(process.exitcode)})"
        )
    finally:
        process.kill()
        process.join()
        ours.close()
    return row


def _work(file: Path, relays: Sequence[Path], options: Options, answer: Connection) -> None:
    try:
        row = _examine_here(file, relays, options)
    except Exception as error:
        row = _stopped(file, f"internal error, please report: {type(error).__name__}: {error}")
    answer.send(row)
    answer.close()


def _examine_here(file: Path, relays: Sequence[Path], options: Options) -> Row:
    content = read_file(file)
    return examine(
        str(file),
        content.spec,
        content.code,
        relays=[(_name(relay), spec) for relay in relays if (spec := _spec(relay)) is not None],
        blocks=options.blocks,
        flips=options.flips,
        seed=options.seed,
        cache=CompileCache.if_usable(),
    )


def _spec(relay: Path) -> ChainSpec | None:
    return read_file(relay).spec


def _name(relay: Path) -> str:
    return relay.name.removesuffix(".gz").removesuffix(".json")


def _stopped(file: Path, reason: str) -> Row:
    return Row(str(file), Kind.STOPPED, reason=reason)


def _exit_text(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
