"""The sources a frozen runtime is made of: its module, and what that imports, found without running any of it.

A guest may have modules of its own, the guest's part of this project, and the part of the standard library in
`host_functions.executor.frozen.guest_modules`. Anything else is refused with the chain of imports that leads to
it. Imports inside functions count, because a frozen guest can load nothing later; imports under
``if TYPE_CHECKING`` do not.

Files are named relative to where their package lies, so that a blob does not depend on the machine.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from host_functions.errors import PileusError
from host_functions.executor.frozen.guest_modules import ALLOWED, SUPPORTED_FOR_DECLARE

__all__ = ["GuestModule", "ImportRefused", "collect_sources"]

ROOT: Final = Path(__file__).resolve().parents[3]
"""Where the packages of this project lie."""
GUEST_PARTS: Final = (
    "runtime",
    "host_functions.abi",
    "host_functions.declare",
    "host_functions.errors",
    "host_functions.interfaces",
    "host_functions.state_machine",
)
INSTALLED: Final = frozenset(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Where the standard library and installed packages lie; there, nothing takes its place."""
PROJECT: Final = ("runtime", "host_functions", "pov_validator", "pileus")
ALWAYS: Final = (
    "host_functions.abi",
    "host_functions.declare",
    "host_functions.errors",
    "host_functions.interfaces.child_storage",
    "host_functions.interfaces.storage",
    "runtime.primitives.scale",
)
"""What the VM itself needs of the guest."""
DISPATCHER: Final = "host_functions.declare"


class ImportRefused(PileusError):
    """A runtime imports something a guest may not have, or that is not there."""

    def __init__(self, chain: Sequence[str], reason: str) -> None:
        super().__init__(f"{' -> '.join(chain)}: {reason}")
        self.chain = tuple(chain)
        self.reason = reason


class GuestModule(NamedTuple):
    """One module of a runtime."""

    name: str
    is_package: bool
    file: str
    """Path relative to where its package lies, with slashes."""
    source: str


def collect_sources(runtime: str, paths: Sequence[Path] | None = None) -> tuple[GuestModule, ...]:
    """The modules of the runtime in module ``runtime``, sorted by name.

    ``paths``: where to look for modules of the runtime's own, else ``sys.path``. Raises `ImportRefused`.
    """
    if runtime.partition(".")[0] in sys.stdlib_module_names:
        raise ImportRefused((runtime,), "a runtime cannot have the name of a module of the standard library")
    search = [ROOT, *(map(Path, sys.path) if paths is None else paths)]
    collected = _Collector(search)
    for name in (runtime, *ALWAYS):
        collected.add(name, ())
    return tuple(collected.modules[name] for name in sorted(collected.modules))


class _Collector:
    def __init__(self, search: Sequence[Path]) -> None:
        self._search = search
        self._own: Path | None = None
        """Where the runtime itself was found: its own modules lie there."""
        self.modules: dict[str, GuestModule] = {}

    def add(self, name: str, chain: tuple[str, ...]) -> None:
        """Collect ``name`` and what it imports. ``chain``: the modules that led here, the last imports it."""
        if name in self.modules:
            return
        chain = (*chain, name)
        if name in ALLOWED:
            self._refuse_namesake(name, chain)
            return
        if name in SUPPORTED_FOR_DECLARE and chain[-2:-1] == (DISPATCHER,):
            return
        base, path = self._locate(name, chain)
        source = _read(path, chain)
        is_package = path.name == "__init__.py"
        self.modules[name] = GuestModule(name, is_package, path.relative_to(base).as_posix(), source)
        parent = name.rpartition(".")[0]
        if parent:
            self.add(parent, chain)
        try:
            tree = ast.parse(source, str(path))
        except (SyntaxError, ValueError) as error:
            raise ImportRefused(chain, f"does not parse: {error}") from None
        except (RecursionError, MemoryError):
            raise ImportRefused(chain, "does not parse: its expressions are nested too deeply") from None
        hidden = _hidden_import(tree)
        if hidden is not None:
            raise ImportRefused(
                chain, f"{hidden}, through which it may import what nobody sees: write import"
            )
        package = name if is_package else parent
        for wanted, optional in _imports(tree, package):
            if optional and self._find(wanted) is None:
                continue  # a name in the module before the dot, not a module
            self.add(wanted, chain)

    def _locate(self, name: str, chain: tuple[str, ...]) -> tuple[Path, Path]:
        root = name.partition(".")[0]
        if root in PROJECT and not _is_guest(name):
            raise ImportRefused(chain, f"{name} is of the host side, which no guest may import")
        if root in sys.stdlib_module_names:
            raise ImportRefused(
                chain,
                f"a frozen runtime may not import {name}: it has no clock, randomness, I/O, threads or view of the"
                " interpreter, and only the part of the standard library that needs none",
            )
        found = self._find(name)
        if found is None:
            raise ImportRefused(chain, f"there is no module {name}")
        base, path = found
        if root not in PROJECT:
            if self._own is None:
                self._own = base
            elif base != self._own:
                raise ImportRefused(
                    chain,
                    f"{name} is an installed package; a frozen runtime has only the standard library, the guest's"
                    " part of Pileus, and modules beside its own",
                )
        return base, path

    def _refuse_namesake(self, name: str, chain: tuple[str, ...]) -> None:
        """A module beside the runtime that Python may import in place of one of the standard library; the VM never
        does, so the engines would differ."""
        if self._own is None or self._own.resolve() in INSTALLED:
            return
        root = name.partition(".")[0]
        for path in (self._own / root / "__init__.py", self._own / f"{root}.py"):
            if path.is_file():
                raise ImportRefused(
                    chain,
                    f"{path.relative_to(self._own)} beside the runtime has the name of a module of the standard"
                    " library, which a frozen runtime gets instead: rename it",
                )

    def _find(self, name: str) -> tuple[Path, Path] | None:
        if os.sep in name:
            return None  # a path finds the files of a module, too, and names it otherwise
        relative = Path(*name.split("."))
        for base in self._search:
            for path in (base / relative / "__init__.py", (base / relative).with_suffix(".py")):
                if path.is_file():
                    return base, path
        return None


def _is_guest(name: str) -> bool:
    return name == "host_functions" or any(f"{name}.".startswith(f"{part}.") for part in GUEST_PARTS)


def _read(path: Path, chain: tuple[str, ...]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(chain, f"cannot be read: {error}") from None


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, bool]]:
    """Imported modules; True with those that may be a name of the module instead."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, False
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            yield module, False
            for alias in node.names:
                yield f"{module}.{alias.name}", True
        pending.extend(ast.iter_child_nodes(node))


def _hidden_import(tree: ast.Module) -> str | None:
    """Where a source imports without an import statement: the VM has more modules than a guest may have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("__import__", "__builtins__"):
            return f"line {node.lineno} uses {node.id}"
    return None


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)
