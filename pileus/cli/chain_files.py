"""Chain specs and runtime blobs as arguments, and the cache their compiled code goes to.

What cannot be run is unreadable input (exit status 2); what runs and fails is an answer (exit status 1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, TypeAlias

import typer

from host_functions.compressed_blob import BlobError
from host_functions.executor.wasm import CompileCache, InvalidCode
from host_functions.executor.wasm.cache import UnsafeCache
from pileus.chain_spec import BadChainSpec, RuntimeFile, hasher_of, parse_runtime_file
from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import describe, read_input
from pileus.cli.layouts import HASHERS, HasherName
from pileus.cli.output import warn
from runtime.trie.layout import Hasher

__all__ = [
    "VERSION_TIMEOUT",
    "ChainHasherOption",
    "RuntimeArgument",
    "chain_hasher",
    "code_of",
    "compile_cache",
    "hasher_name",
    "read_runtime_file",
    "refusals_of",
]

BUILD_FIRST = "'pileus runtime build {}' makes a blob of a Python runtime"
VERSION_TIMEOUT = 30.0
"""Seconds that ``Core_version`` may take. It needs some milliseconds."""

RuntimeArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Raw chain spec or runtime blob, also gzipped, or - for standard input.",
        show_default=False,
    ),
]

ChainHasherOption: TypeAlias = Annotated[
    HasherName | None,
    typer.Option("--hasher", help="Hash function of the chain, if not the one its runtime imports."),
]


def chain_hasher(chosen: HasherName | None, code: bytes) -> Hasher:
    """The hash function of a chain, as chosen or as its runtime tells. Raises `BlobError` and `InvalidCode`."""
    return hasher_of(code) if chosen is None else HASHERS[chosen]


def hasher_name(hasher: Hasher) -> HasherName:
    """What the option calls it."""
    return next(name for name, known in HASHERS.items() if known == hasher)


def read_runtime_file(source: str) -> RuntimeFile:
    """The chain spec or blob in a file, or on standard input for ``-``."""
    try:
        return parse_runtime_file(read_input(source))
    except UnreadableInput as error:
        if isinstance(error.__cause__, FileNotFoundError) and _is_python(source):
            raise UnreadableInput(f"{error}; {BUILD_FIRST.format(source)}") from error
        raise
    except BadChainSpec as error:
        hint = f"; {BUILD_FIRST.format(source)}" if _is_python(source) else ""
        raise UnreadableInput(f"{describe(source)}: {error}{hint}") from error


def _is_python(source: str) -> bool:
    """Whether somebody means a Python runtime, by its file or by the name of its module."""
    if source.endswith(".py"):
        return True
    package, *rest = source.split(".")
    return all(map(str.isidentifier, (package, *rest))) and find_spec(package) is not None


def code_of(file: RuntimeFile, source: str) -> bytes:
    """The runtime in ``file``; a state without one is unreadable here."""
    if file.code is None:
        raise UnreadableInput(f"{describe(source)}: the state has no runtime under :code")
    return file.code


@contextlib.contextmanager
def refusals_of(source: str) -> Iterator[None]:
    """Code that is refused before it runs is input that cannot be read."""
    try:
        yield
    except (BlobError, InvalidCode) as error:
        raise UnreadableInput(f"{describe(source)}: {error}") from error


def compile_cache() -> CompileCache | None:
    """The user's cache, or none, with a warning, where it cannot be used: that costs time only."""
    try:
        return CompileCache.default()
    except UnsafeCache as error:
        warn(f"compiled code is not kept: {error}")
    except OSError as error:
        warn(f"compiled code is not kept: {error.filename or 'cache directory'}: {error.strerror or error}")
    return None
