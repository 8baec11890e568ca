"""From componentize-py's component to the VM module.

The component has the shape of one pinned version (`COMPONENTIZE_PY`): each core module instantiated once, no
start function, imports of the host interface only. Every step here refuses anything else, so a new version
fails loudly and not subtly.

The snapshot holds a random seed for the hashes of strings, so two builds are two different VMs. The same VM
always does the same; that no runtime depends on the seed is for the lint of the guest, and for a test that
compares VMs.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import wasmtime

from host_functions.errors import PileusError
from host_functions.executor.frozen.build.bindings import (
    ADAPTER_EXPORTS,
    HOST_INTERFACE,
    WORLD,
    adapter_text,
    link_table,
    wit_text,
)
from host_functions.executor.frozen.build.component import Component, Item, Lowered, Source, read_component
from host_functions.executor.frozen.build.instructions import STAND_INS
from host_functions.executor.frozen.build.join import Part, join
from host_functions.executor.frozen.build.reach import UNWANTED, cut_unreachable
from host_functions.executor.frozen.guest_modules import PRELOADED
from host_functions.executor.frozen.interface import INTERFACE_VERSION, interface_digest
from host_functions.executor.frozen.module import Export, Kind, Module, read_module, write_module
from host_functions.executor.frozen.vm import (
    COMPONENTIZE_PY,
    GLOBAL_EXPORT,
    GUEST_FILES,
    MANIFEST_SECTION,
    vm_key,
)
from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["BuildError", "build_vm"]

APP: Final = "pileus_vm"
TIMEOUT: Final = 600
"""Seconds componentize-py may take; it needs about ten."""


class BuildError(PileusError):
    """The Python VM could not be built."""


def build_vm() -> bytes:
    """The VM module. Takes some fifteen seconds. Raises `BuildError`."""
    found = _installed_version()
    if found != COMPONENTIZE_PY:
        raise BuildError(
            f"building the Python VM needs componentize-py {COMPONENTIZE_PY},"
            f" {'which is not installed' if found is None else f'not {found}'}: pip install 'pileus[build]'"
        )
    component = _componentize()
    try:
        return _joined(read_component(component))
    except (InvalidCode, KeyError, IndexError) as error:
        raise BuildError(f"the component of componentize-py {found} has another shape: {error}") from error


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        return None


def _componentize() -> bytes:
    with tempfile.TemporaryDirectory(prefix="pileus-vm-") as name:
        directory = Path(name)
        for file in GUEST_FILES:
            shutil.copy(file, directory)
        (directory / "pileus_table.py").write_text(f"{link_table()}UNWANTED = {UNWANTED!r}\n")
        (directory / "pileus_preload.py").write_text(_preload(PRELOADED))
        (directory / "wit").mkdir()
        (directory / "wit" / "vm.wit").write_text(wit_text())
        command = [_executable(), "-q", "-d", "wit", "-w", WORLD, "componentize", "--stub-wasi"]
        # Else it would add the site-packages of the active virtual environment to the guest's path.
        environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        try:
            finished = subprocess.run(  # noqa: S603  (a fixed command)
                [*command, "-p", ".", APP, "-o", "vm.wasm"],
                cwd=directory,
                env=environment,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"componentize-py: {error}") from error
        if finished.returncode:
            raise BuildError(f"componentize-py failed: {finished.stderr.decode(errors='replace')[-2000:]}")
        return (directory / "vm.wasm").read_bytes()


def _executable() -> str:
    beside = Path(sys.executable).with_name("componentize-py")
    return str(beside) if beside.exists() else "componentize-py"


def _preload(modules: Iterable[str]) -> str:
    return "\n".join((*(f"import {name}" for name in modules), "LOADED = True", ""))


def _joined(component: Component) -> bytes:
    load, call = component.exports["load"], component.exports["call"]
    memory = _named(load.memory)
    parts = {
        f"core {number}": _part(read_module(instance.module), instance.sources)
        for number, instance in enumerate(component.instances)
    }
    stand_ins, allocator = "stand-ins", _exporter(parts, "malloc_usable_size")
    state = _exporter(parts, "__stack_pointer")
    parts[stand_ins] = Part(_assembled(STAND_INS), {("vm", "memory"): memory})
    if call.realloc is None or load.post_return is None:
        raise InvalidCode("the component gives no way to allocate in it, or to give back a result")
    parts["adapter"] = Part(
        _assembled(adapter_text()),
        {
            ("vm", "memory"): memory,
            ("vm", "realloc"): _named(call.realloc),
            ("vm", "copy"): (stand_ins, "copy"),
            ("vm", "fill"): (stand_ins, "fill"),
            ("vm", "full"): (stand_ins, "full"),
            **{("vm", name): (allocator, name) for name in ("malloc", "malloc_usable_size", "free")},
            **{("vm", name): (state, name) for name in ("__stack_pointer", "__stack_low")},
            ("vm", "load"): _named(load.function),
            ("vm", "loaded"): _named(load.post_return),
            ("vm", "call"): _named(call.function),
        },
    )
    exports = {"memory": memory, **{name: ("adapter", name) for name in ADAPTER_EXPORTS}}
    joined = join(parts, exports, stand_ins)
    cut_unreachable(joined)
    module = joined.module
    _export_mutable_globals(module)
    module.custom.append((MANIFEST_SECTION, _manifest()))
    return write_module(module)


def _exporter(parts: Mapping[str, Part], name: str) -> str:
    """The one part that exports ``name``."""
    found = [part for part in parts if any(export.name == name for export in parts[part].module.exports)]
    if len(found) != 1:
        raise InvalidCode(f"{len(found)} parts export {name}")
    return found[0]


def _part(module: Module, sources: Mapping[tuple[str, str], Source]) -> Part:
    given = {}
    for wanted in module.imports:
        source = sources[wanted.module, wanted.name]
        if isinstance(source, Lowered):
            if source.interface != HOST_INTERFACE:
                raise InvalidCode(f"the component imports {source.name} of {source.interface}")
            given[wanted.module, wanted.name] = ("adapter", source.name)
        else:
            given[wanted.module, wanted.name] = _named(source)
    return Part(module, given)


def _named(item: Item) -> tuple[str, str]:
    return f"core {item.instance}", item.name


def _assembled(text: str) -> Module:
    return read_module(bytes(wasmtime.wat2wasm(text)))


def _export_mutable_globals(module: Module) -> None:
    """So that freezing can see their values; a frozen blob exports none of them."""
    for index, one in enumerate(module.globals):
        if one.type[1]:
            module.exports.append(Export(f"{GLOBAL_EXPORT}{index}", Kind.GLOBAL, index))


def _manifest() -> bytes:
    return json.dumps(
        {
            "key": vm_key(),
            "componentize_py": COMPONENTIZE_PY,
            "interface_version": INTERFACE_VERSION,
            "interface_digest": interface_digest().hex(),
        },
        sort_keys=True,
    ).encode()
