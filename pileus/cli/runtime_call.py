"""``pileus runtime call``: one runtime API, asked of a real runtime over its genesis state.

A query as a node's ``state_call``: the runtime may write, and nothing of it remains [sc-client].
"""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from host_functions.contexts import OffchainContext
from host_functions.errors import SandboxError
from host_functions.executor.wasm import CompileCache, Static, WasmRuntime
from host_functions.executor.wasm.heap import NODE_HEAP, HeapAllocStrategy
from host_functions.executor.wasm.runtime import version_reader
from host_functions.state_machine import FullBackend, Storage, build_state
from pileus.chain_spec import version_of
from pileus.cli.chain_files import (
    VERSION_TIMEOUT,
    ChainHasherOption,
    RuntimeArgument,
    chain_hasher,
    code_of,
    compile_cache,
    read_runtime_file,
    refusals_of,
)
from pileus.cli.errors import UnreadableInput
from pileus.cli.inputs import STANDARD_INPUT, argument_hex, describe, shorten
from pileus.cli.output import hex_text
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import u64
from runtime.trie.layout import Hasher, Layout

__all__ = ["runtime_call"]

HEAP_PAGES = b":heappages"
"""[sp-core] ``well_known_keys::HEAP_PAGES``: pages the chain wants for the guest's heap, a u64."""

ApiArgument = Annotated[
    str, typer.Argument(metavar="API", help="Function name, as Core_version.", show_default=False)
]
ArgumentsArgument = Annotated[
    str,
    typer.Argument(
        metavar="[HEXARGS]",
        help="SCALE-encoded arguments in hex, or - for standard input.",
        show_default=False,
    ),
]
StateOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        "--state",
        metavar="STATE",
        help="Raw chain spec or state to call it on, instead of FILE's own.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.01, max=3600.0, help="Stop the call after this."),
]


def runtime_call(
    file: RuntimeArgument,
    api: ApiArgument,
    arguments: ArgumentsArgument = "",
    state: StateOption = None,
    hasher: ChainHasherOption = None,
    timeout: TimeoutOption = 60.0,
) -> None:
    """Call a runtime API and print its result in hex.

    The state is the genesis state of the chain spec, empty for a bare runtime blob. Nothing that the call
    writes is kept. If the runtime panics, its own message is shown (exit 1).
    """
    if [file, arguments, state].count(STANDARD_INPUT) > 1:
        raise UnreadableInput("standard input (-) can be read once only")
    argument = argument_hex(arguments, "HEXARGS")
    found = read_runtime_file(file)
    code = code_of(found, file)
    over = found if state is None else read_runtime_file(state)
    if over.spec is None and state is not None:
        raise UnreadableInput(f"{describe(state)}: a runtime blob, which has no state")
    storage = Storage() if over.spec is None else over.spec.genesis
    cache = compile_cache()
    with refusals_of(file):
        runtime = WasmRuntime(code, heap=heap_of(storage), cache=cache, timeout=timeout)
        if api not in runtime.blob.entry_points:
            raise UnreadableInput(
                f"{describe(file)}: the runtime has no function {shorten(api)!r}"
                + alternatives(api, runtime.blob.entry_points)
            )
        layout = Layout(chain_hasher(hasher, over.code or code), 1)
        if over.spec is not None:  # a state is written as its own runtime would have written it
            layout = layout_of_state(over.code or code, layout.hasher, cache, timeout)
        root, nodes = build_state(storage, layout)
        context = OffchainContext(
            FullBackend(nodes, root, layout), version_of=version_reader(cache, VERSION_TIMEOUT)
        )
        print(hex_text(runtime.call(api, argument, context)))


def heap_of(storage: Storage) -> HeapAllocStrategy:
    """What the state grants the guest; a value that is no number is ignored, as nodes do."""
    try:
        return Static(u64.decode_prefix(storage.top[HEAP_PAGES])[0])
    except (KeyError, ScaleError):
        return NODE_HEAP


def layout_of_state(code: bytes, hasher: Hasher, cache: CompileCache | None, timeout: float) -> Layout:
    """How a state of ``code`` is written; code without a version (a bare validation function) has none."""
    try:
        version, _ = version_of(code, cache=cache, timeout=timeout)
    except (SandboxError, ScaleError):
        return Layout(hasher, 1)
    return Layout(hasher, version.state_version)


def alternatives(api: str, known: tuple[str, ...]) -> str:
    """The functions a misspelt name may mean."""
    close = difflib.get_close_matches(api, known, n=3) if len(api) < 200 else []
    return f" (did you mean {', '.join(close)}?)" if close else ""
