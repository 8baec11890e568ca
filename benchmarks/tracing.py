"""What observers of host calls cost: off, on, and as `pileus trace` uses them.

The floor is the same validation with the hooks taken out: engines do not ask whether somebody observes, and a
replacement is installed without asking either. `off` is the product as it is while nobody observes; its goal is what
the design promises. The subject is PoV validation of a block that delivers messages, natively.

    python benchmarks/tracing.py [--rounds N] [--only NAME] [--json]
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Contender, Row, main, measure
from blocks import Subject, network

from host_functions.declare import HostFunction
from host_functions.executor import native
from host_functions.tracing import Trace, observing

WITH_HOOKS = (native.observed, HostFunction.replace_implementation)


@contextlib.contextmanager
def replace_without_hook(self: HostFunction[..., Any], implementation: Callable[..., Any]) -> Iterator[None]:
    """`HostFunction.replace_implementation` as it was before there were observers."""
    token = self._replacement.set(implementation)
    try:
        yield
    finally:
        self._replacement.reset(token)


WITHOUT_HOOKS = (lambda context, engine, entry_point: context, replace_without_hook)


def using(hooks: tuple[Any, Any], run: Callable[[], object]) -> Callable[[], object]:
    """Run with these hooks. All contenders switch, so that switching costs them the same."""

    def switched() -> object:
        native.observed, HostFunction.replace_implementation = hooks
        try:
            return run()
        finally:
            native.observed, HostFunction.replace_implementation = WITH_HOOKS

    return switched


def candidate_with_messages() -> Subject:
    """The first candidate that delivers a message."""
    running = network(1)
    first, second = running.parachains
    for _ in range(12):
        second.submit_message(first.para_id, b"x" * 100)
        for candidate in running.step().candidates:
            if candidate.proven:
                return Subject(running, candidate.collation)
    raise SystemExit("no candidate delivers a message")


def observers(rounds: int) -> list[Row]:
    """Off and on, beside a validation without hooks."""
    subject = candidate_with_messages()

    def observed(*, pure: bool) -> None:
        with observing(Trace("benchmark"), pure=pure):
            subject.validate()

    return measure(
        "observers of a validation",
        Contender("no hooks", using(WITHOUT_HOOKS, subject.validate)),
        [
            Contender("off", using(WITH_HOOKS, subject.validate), goal=1.02),
            Contender("on: a Trace", using(WITH_HOOKS, lambda: observed(pure=False))),
            Contender("on: a Trace, hashes too", using(WITH_HOOKS, lambda: observed(pure=True))),
        ],
        rounds,
    )


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", [observers]))
