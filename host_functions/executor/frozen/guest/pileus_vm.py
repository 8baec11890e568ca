"""What runs inside the Python VM: loads a runtime from its sources, then answers its entry points.

This file and its neighbours are compiled into the VM and run there, under the VM's own CPython; the host never
imports them. Loading happens once, when a runtime is frozen; the state of the interpreter afterwards is the
blob. Everything a module does at import therefore happens then, without a host but for pure functions.
"""

import builtins
import gc
import json
import sys
import warnings
from contextlib import suppress
from importlib.machinery import BuiltinImporter, ModuleSpec
from types import CodeType, ModuleType
from typing import Any

import pileus_links
import pileus_objects
import pileus_preload
import pileus_report
import pileus_slim
import pileus_table
import wit_world

assert pileus_preload.LOADED
assert not sys.modules.keys() & set(pileus_table.UNWANTED), "their code is cut out of the VM"

ENTRY_POINTS: list[Any] = []
"""Callables by index; the blob's exports know the index."""
OBJECTS = 0xFFFF_FFFF
"""The index under which the host that freezes asks for `pileus_objects.addresses`. No export has it."""


DECLARATIONS = "host_functions.declare"
"""Passes docstrings on, and nobody reads them."""


class Sources:
    """Finder and loader of the modules of one archive."""

    def __init__(self, modules: list[tuple[str, bool, str, str]]) -> None:
        self.documented = any("__doc__" in source for name, _, _, source in modules if name != DECLARATIONS)
        """The runtime reads docstrings, so they stay."""
        self._modules = {name: (is_package, file, source) for name, is_package, file, source in modules}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        found = self._modules.get(name)
        if found is None:
            return None
        is_package, file, _ = found
        return ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]

    def forget(self) -> None:
        """Keep no source: the modules refer to their loader."""
        self._modules.clear()

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        _, file, source = self._modules[module.__name__]
        module.__file__ = file
        code: CodeType = compile(source, file, "exec", dont_inherit=True, optimize=0)
        pileus_report.SOURCES[file] = source.encode()
        exec(pileus_slim.bare(code, docstrings=self.documented), module.__dict__)


class NoOutput:
    """Standard output and error, which a guest does not have."""

    def write(self, text: str) -> int:
        raise RuntimeError(
            "a frozen runtime cannot print: host_functions.interfaces.logging.log tells the host"
        )

    def flush(self) -> None:
        return None


def close_the_doors() -> None:
    """What leads to the system would trap without a word; so that it says what is wrong instead."""
    sys.stdout = sys.stderr = NoOutput()
    # Of what stops nobody the interpreter tells standard error: a ``__del__`` that raises, a coroutine not awaited.
    sys.unraisablehook = lambda problem: None
    warnings.simplefilter("ignore")
    for name in ("open", "input", "breakpoint", "exit", "quit", "help"):
        builtins.__dict__.pop(name, None)


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
            if type(answer) is not bytes:
                raise TypeError(f"an entry point returns bytes, not {type(answer).__name__}")
        except BaseException as error:
            raise pileus_links.abort(pileus_report.report(error)) from None
        return answer


def prepare() -> None:
    """Do now what a process does at first use; each call begins here, and would do it again.

    Codecs write themselves out as Python source and compile it when they are first needed; storage items hash
    their names.
    """
    from runtime.primitives.scale import Struct
    from runtime.primitives.scale.generate import Compiled

    pending: list[Any] = [Struct]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        with suppress(Exception):  # one without fields, or wrong ones: that is for its first use to say
            kind.codec()
    pileus_links.prepare()
    storage = sys.modules.get("runtime.support.storage")
    for found in gc.get_objects():
        kind = type(found)  # and not what it says of itself
        if issubclass(kind, Compiled):
            found.encoder()
            found.decoder()
        elif storage is not None and issubclass(kind, storage.Item) and found.name:
            with suppress(Exception):
                found.prefix  # noqa: B018  (it is remembered)


def load(archive: bytes) -> bytes:
    close_the_doors()
    description = json.loads(archive)
    sources = Sources(description["modules"])
    for name, *_ in description["modules"]:
        if name in sys.modules:
            raise ImportError(f"module {name} has the name of a part of the Python VM: rename it")
    # The finders of files would trap: there are none here.
    sys.meta_path[:] = [BuiltinImporter, sources]
    pileus_links.install()
    for name in [description["runtime"], *(name for name, *_ in description["modules"])]:
        __import__(name)
    sys.meta_path[:] = [NoMore()]
    entry_points: Any = getattr(sys.modules[description["runtime"]], "ENTRY_POINTS", None)
    if not hasattr(entry_points, "items"):
        raise TypeError(f"module {description['runtime']} is not a runtime: it has no table ENTRY_POINTS")
    table = dict(entry_points.items())
    for name, function in table.items():
        if type(name) is not str or not callable(function):
            raise TypeError(
                f"ENTRY_POINTS has {name!r}: {function!r}; it is names, and functions from bytes to bytes"
            )
    names = sorted(table)
    ENTRY_POINTS[:] = [table[name] for name in names]
    prepare()
    version = table["Core_version"](b"") if "Core_version" in table else b""
    if type(version) is not bytes:
        raise TypeError(f"Core_version returns bytes, not {type(version).__name__}")
    pileus_links.STATE_VERSION[0] = min(version[-1], 1) if version else 0  # system_version comes last
    answer = json.dumps({"entry_points": names, "version": version.hex()}).encode()
    pileus_slim.strip(pileus_report.SOURCES, documented=sources.documented)
    sources.forget()
    del description, archive, sources
    gc.collect()
    gc.freeze()
    return answer
