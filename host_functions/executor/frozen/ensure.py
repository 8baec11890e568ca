"""The Python VM, found or, where the tool for it is installed, made and kept."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from host_functions.executor.frozen.vm import MissingVm, cached_vm_path, find_vm, store_vm

__all__ = ["ensure_vm"]


def ensure_vm(say: Callable[[str], None]) -> bytes:
    """The VM module. ``say`` hears once of a damaged file, and of the building, which takes half a minute.

    Raises `MissingVm` without componentize-py, `BuildError` if it fails.
    """
    try:
        return find_vm(say)
    except MissingVm:
        if importlib.util.find_spec("componentize_py") is None:
            raise
    # Late: the builder is for those who have its tool.
    from host_functions.executor.frozen.build.vm import build_vm

    say("building the Python VM (once)")
    code = build_vm()
    store_vm(code, cached_vm_path())
    return code
