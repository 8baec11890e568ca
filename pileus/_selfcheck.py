"""Whether the other three packages Python finds are really ours.

Pileus installs four packages side by side, one with the generic name ``runtime``. A folder of that name
earlier on ``sys.path`` (the current directory, under ``python -m``) would silently replace the guest by
something else, and the first sign would be an unrelated ImportError. Start-up compares locations and says
so in one line instead.

Does not model: installations that spread the four packages over several folders; no installer does that.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["shadowed_package"]

SIBLINGS = ("runtime", "host_functions", "pov_validator")


def shadowed_package() -> str | None:
    """One line naming the first package that a foreign one shadows, or None when all are ours."""
    home = Path(__file__).resolve().parent.parent
    for name in SIBLINGS:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return f"package '{name}' is not installed beside pileus in {home}: reinstall pileus"
        # A namespace package (a plain folder) has no origin, only locations.
        found = Path(spec.origin or next(iter(spec.submodule_search_locations or ["?"]))).resolve()
        if not found.is_relative_to(home / name):
            return f"package '{name}' of pileus is shadowed by {found}: rename it or run from another folder"
    return None
