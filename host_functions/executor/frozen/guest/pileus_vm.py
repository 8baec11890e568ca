"""What runs inside the Python VM: loads a runtime from its sources, then answers its entry points.

This file and its neighbours are compiled into the VM and run there, under the VM's own CPython; the host never
imports them. Loading happens once, when a runtime is frozen; the state of the interpreter afterwards is the
blob. Everything a module does at import therefore happens then, without a host but for pure functions.
"""

import gc
import json
import sys
from importlib.machinery import BuiltinImporter, ModuleSpec
from types import CodeType, ModuleType
from typing import Any

import pileus_links
import pileus_objects
import pileus_preload
import pileus_report
import pileus_table
import wit_world

assert pileus_preload.LOADED
assert not sys.modules.keys() & set(pileus_table.UNWANTED), "their code is cut out of the VM"

ENTRY_POINTS: list[Any] = []
"""Callables by index; the blob's exports know the index."""
OBJECTS = 0xFFFF_FFFF
"""The index under which the host that freezes asks for `pileus_objects.addresses`. No export has it."""


class Sources:
    """Finder and loader of the modules of one archive."""

    def __init__(self, modules: list[tuple[str, bool, str, str]]) -> None:
        self._modules = {name: (is_package, file, source) for name, is_package, file, source in modules}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        found = self._modules.get(name)
        if found is None:
            return None
        is_package, file, _ = found
        return ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        _, file, source = self._modules[module.__name__]
        module.__file__ = file
        code: CodeType = compile(source, file, "exec", dont_inherit=True, optimize=0)
        pileus_report.SOURCES[file] = source
        exec(code, module.__dict__)


class NoMore:
    """The finder of modules after loading: whatever is to be had is there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        return None


class WitWorld(wit_world.WitWorld):  # type: ignore[misc]
    """The exports of the component."""

    def load(self, archive: bytes) -> bytes:
        """Import the modules of ``archive``; JSON of the names of the runtime's entry points, in their order."""
        try:
            return load(archive)
        except BaseException as error:  # whatever it is, the host must learn of it
            raise pileus_links.abort(pileus_report.report(error)) from None

    def call(self, index: int, argument: bytes) -> bytes:
        """Answer entry point number ``index``."""
        try:
            entry_point = pileus_objects.addresses if index == OBJECTS else ENTRY_POINTS[index]
            answer: bytes = entry_point(argument)
        except BaseException as error:
            raise pileus_links.abort(pileus_report.report(error)) from None
        return answer


def prepare() -> None:
    """Do now what a process does at first use; each call begins here, and would do it again.

    Codecs write themselves out as Python source and compile it when they are first needed.
    """
    from runtime.primitives.scale import Struct
    from runtime.primitives.scale.generate import Compiled

    pending: list[Any] = [Struct]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        try:
            kind.codec()
        except (AttributeError, TypeError, ValueError):
            continue  # an abstract base has no fields to encode
    for found in gc.get_objects():
        if isinstance(found, Compiled):
            found.encoder()
            found.decoder()


def load(archive: bytes) -> bytes:
    description = json.loads(archive)
    sources = Sources(description["modules"])
    # The finders of files would trap: there are none here.
    sys.meta_path[:] = [BuiltinImporter, sources]
    pileus_links.install()
    for name in [description["runtime"], *(name for name, *_ in description["modules"])]:
        __import__(name)
    sys.meta_path[:] = [NoMore()]
    entry_points: Any = getattr(sys.modules[description["runtime"]], "ENTRY_POINTS", None)
    if not hasattr(entry_points, "items"):
        raise TypeError(f"module {description['runtime']} is not a runtime: it has no table ENTRY_POINTS")
    ENTRY_POINTS[:] = [function for _, function in sorted(entry_points.items())]
    prepare()
    version = entry_points["Core_version"](b"") if "Core_version" in entry_points else b""
    pileus_links.STATE_VERSION[0] = min(version[-1], 1) if version else 0  # system_version comes last
    answer = json.dumps({"entry_points": sorted(entry_points), "version": version.hex()}).encode()
    del description, archive
    gc.collect()
    gc.freeze()
    return answer
