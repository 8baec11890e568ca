"""How a verb says that it did not succeed.

A verb returns normally when what was asked holds. Otherwise it raises one of these (or any `PileusError`),
and `pileus.cli.app` prints one line and exits with the status.
"""

from __future__ import annotations

from host_functions.errors import PileusError

__all__ = ["DoesNotHold", "UnreadableInput"]


class DoesNotHold(PileusError):
    """The input was understood and what it claims is not so. Exit status 1."""


class UnreadableInput(PileusError):
    """The input could not be understood: missing file, malformed JSON, bad hex, undecodable bytes. Exit
    status 2.
    """
