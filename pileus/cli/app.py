"""The ``pileus`` command: assembles the verbs and turns errors into one line and an exit status.

A new verb is a function in its own module and one line in `build_app`. Verbs raise; only this module prints
errors.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from pileus._selfcheck import shadowed_package
from pileus.cli.output import visible

__all__ = ["build_app", "main"]

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, the shells' convention."""

READER_LEFT = 141
"""Exit status when the reader of our output left (``| head``): 128 + SIGPIPE. Not 0: it saw no result."""

INTERNAL_ERROR = 70
"""Exit status for a bug of ours: EX_SOFTWARE of sysexits.h, apart from the documented 0, 1 and 2."""

TRACEBACK_FLAG = "--traceback"


def build_app() -> typer.Typer:
    """The whole command tree."""
    # Imported here and not above: with a foreign `runtime` on the path these imports are what fails, and
    # `main` must have had its chance to say so.
    from pileus.cli import (
        chain_genesis,
        compat,
        header_decode,
        key_relay,
        key_storage,
        pov,
        proof_verify,
        run,
        runtime_build,
        runtime_call,
        runtime_inspect,
        runtime_precheck,
        scale_decode,
        trace,
        trie_root,
        verdicts,
    )

    app = typer.Typer(
        name="pileus",
        help="A workbench for parachain messaging by state proofs, byte-compatible with polkadot-sdk.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(global_options)

    app.command("run")(run.run)
    app.command("compat")(compat.compat)
    povs = _group(app, "pov", "Candidates of a recorded run.")
    povs.command("validate")(pov.pov_validate)
    povs.command("inspect")(pov.pov_inspect)
    app.command("trace")(trace.trace)
    app.command("verdicts")(verdicts.verdicts)
    runtimes = _group(app, "runtime", "Runtimes: Wasm blobs, alone or in a chain spec, and Python ones.")
    runtimes.command("build")(runtime_build.runtime_build)
    runtimes.command("inspect")(runtime_inspect.runtime_inspect)
    runtimes.command("call")(runtime_call.runtime_call)
    runtimes.command("precheck")(runtime_precheck.runtime_precheck)
    _group(app, "chain", "Real chains, by their raw chain specs.").command("genesis")(
        chain_genesis.chain_genesis
    )
    _group(app, "trie", "State tries.").command("root")(trie_root.trie_root)
    _group(app, "proof", "Storage proofs.").command("verify")(proof_verify.proof_verify)
    _group(app, "header", "Block headers.").command("decode")(header_decode.header_decode)
    _group(app, "scale", "SCALE-encoded values.").command("decode")(scale_decode.scale_decode)
    keys = _group(app, "key", "Storage keys.")
    keys.command("relay")(key_relay.key_relay)
    keys.command("storage")(key_storage.key_storage)
    return app


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"pileus {importlib.metadata.version('pileus')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
]
TracebackOption = Annotated[
    bool, typer.Option(TRACEBACK_FLAG, help="On an error, print the traceback too (anywhere on the line).")
]


def global_options(version: VersionOption = False, show_traceback: TracebackOption = False) -> None:
    # Nothing to do: --version has its callback, and `main` takes --traceback from the whole line, because it
    # must work for errors of parsing too. Both stand here to be in --help.
    del version, show_traceback


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    show_traceback = TRACEBACK_FLAG in given
    given = [argument for argument in given if argument != TRACEBACK_FLAG]
    _open_streams()
    if shadow := shadowed_package():
        return _fail(shadow, 2)
    from host_functions.errors import PileusError
    from pileus.cli.errors import UnreadableInput

    try:
        status = build_app()(given, standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # typer's answer to Ctrl-C within a verb, which prints nothing
            return _fail("interrupted", INTERRUPTED)
        return status if isinstance(status, int) else 0
    except (BrokenPipeError, SystemExit):
        # typer exits by itself on a broken pipe, and only then. Python would complain again closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return READER_LEFT
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except typer.TyperException as error:
        message = error.format_message()
        if "\n" in message:  # a group without a verb: the message is the group's help
            print(message, file=sys.stderr)
            return error.exit_code
        return _fail(f"{message} (try --help)", error.exit_code)
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        if isinstance(error, UnreadableInput):
            return _fail(str(error), 2)
        if isinstance(error, PileusError):
            return _fail(str(error) or type(error).__name__, 1)
        if isinstance(error, UnicodeEncodeError):
            return _fail(f"text that is not valid Unicode: {error.object[error.start : error.end]!a}", 2)
        if isinstance(error, OSError):
            return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)
        return _fail(f"internal error, please report: {type(error).__name__}: {error}", INTERNAL_ERROR)


def _group(app: typer.Typer, name: str, description: str) -> typer.Typer:
    group = typer.Typer(help=description, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name)
    return group


def _open_streams() -> None:
    """Standard streams that can be used: a closed one reads and writes nothing, as ``/dev/null`` does, and what
    the terminal's encoding lacks is written as an escape instead of ending the run."""
    sys.stdin = sys.stdin or open(os.devnull)
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _fail(message: str, status: int) -> int:
    """One line on standard error, whatever the message contains."""
    print(f"pileus: {visible(' '.join(message.split()))}", file=sys.stderr)
    return status
