"""How a broken rule is told."""

from __future__ import annotations

__all__ = ["NonConformance"]


class NonConformance(AssertionError):
    """A context breaks a rule that every context must obey. The message says which call shows it."""
