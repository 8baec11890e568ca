"""Where compiled code is kept when nobody says where. Apart from the cache itself, whose module loads the engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["ENVIRONMENT", "cache_directory"]

ENVIRONMENT: Final = "PILEUS_CACHE"
"""Environment variable that names another directory."""


def cache_directory() -> Path:
    """The directory in `ENVIRONMENT`, else ``$XDG_CACHE_HOME/pileus``, else ``~/.cache/pileus``."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pileus"
