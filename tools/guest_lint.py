"""Guest purity lint: what the type checker and import-linter cannot see.

The guest (the state transition function) must compute the same bytes on every machine, so it may not use
floats, the order of a set, object identities, or a clock, and must not swallow errors it does not name. This
checks the syntax tree of every guest module and prints ``path:line: what``; exit status 1 when there is any.

Does not model: aliases (``h = hash``) and values whose type only inference knows; review stays review.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

GUEST = (
    "runtime",
    "host_functions/errors.py",
    "host_functions/declare.py",
    "host_functions/abi.py",
    "host_functions/interfaces",
    "host_functions/state_machine",
)
"""Paths below the repository root that hold guest code."""

FIRST_PARTY = ("runtime", *(part.removesuffix(".py").replace("/", ".") for part in GUEST[1:]))
"""Packages guest code may import besides the standard library."""

BANNED_MODULES = frozenset(
    "asyncio concurrent contextvars ctypes datetime gc http importlib inspect io locale logging"
    " multiprocessing os pathlib pickle platform random secrets select selectors shutil signal socket ssl"
    " subprocess sys tempfile threading time urllib uuid weakref".split()
)
"""Standard modules with a clock, randomness, I/O, threads, or a view of the interpreter itself."""

EXTRA_MODULES = {"host_functions/declare.py": frozenset({"importlib", "contextvars", "inspect"})}
"""The dispatcher alone may hold context-local state and load the ambient implementations late."""

ORDERED_CONSUMERS = frozenset("list tuple iter enumerate next zip map filter bytes join".split())
"""Callables whose result shows the order of what they are given (``sorted``, ``len``, ``sum`` do not)."""

Finding = tuple[int, str]


def is_set(node: ast.expr, local_sets: frozenset[str]) -> bool:
    """Whether an expression is visibly a set: display, comprehension, call, set algebra, or a local one."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(node.left, local_sets) or is_set(node.right, local_sets)
    return isinstance(node, ast.Name) and node.id in local_sets


def scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Each module, class or function body with the nodes that are directly its own."""
    pending: list[ast.AST] = [tree]
    while pending:
        scope = pending.pop()
        own: list[ast.AST] = []
        stack = list(ast.iter_child_nodes(scope))
        while stack:
            node = stack.pop()
            own.append(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                pending.append(node)
            else:
                stack.extend(ast.iter_child_nodes(node))
        yield scope, own


def names_of_sets(own: list[ast.AST]) -> frozenset[str]:
    """Names that are only ever assigned sets in one scope."""
    sets: set[str] = set()
    others: set[str] = set()
    for node in own:
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            (sets if is_set(node.value, frozenset()) else others).update(names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            (sets if annotation.startswith(("set", "frozenset")) else others).add(node.target.id)
    return frozenset(sets - others)


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module == "host_functions":
        return [f"host_functions.{alias.name}" for alias in node.names]
    return [node.module or "."]


def import_problem(module: str, allowed: frozenset[str]) -> str | None:
    root = module.partition(".")[0]
    if root in allowed or module == "." or any(f"{module}.".startswith(f"{own}.") for own in FIRST_PARTY):
        return None
    if root in BANNED_MODULES:
        return f"guest code must not import {root}"
    if root not in sys.stdlib_module_names and root != "__future__":
        return f"guest code may import only the standard library and the guest itself, not {module}"
    return None


def node_problem(node: ast.AST, local_sets: frozenset[str], allowed: frozenset[str]) -> Iterator[Finding]:
    line = getattr(node, "lineno", 0)
    match node:
        case ast.Constant(value=float() | complex()):
            yield line, f"float literal {ast.unparse(node)}"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            yield line, "true division `/` makes a float; use `//`"
        case ast.Call(func=ast.Name(id=("hash" | "id" | "float") as name)):
            yield line, f"{name}() differs between processes or machines"
        case ast.Global(names=names):
            yield line, f"`global {', '.join(names)}`: guest state lives in storage"
        case ast.ExceptHandler(type=None):
            yield line, "bare `except` swallows errors it does not name"
        case ast.ExceptHandler(type=caught) if caught is not None:
            names = [
                ast.unparse(item) for item in (caught.elts if isinstance(caught, ast.Tuple) else [caught])
            ]
            if {"Exception", "BaseException"} & set(names):
                yield line, f"`except {ast.unparse(caught)}` swallows errors it does not name"
        case ast.Import() | ast.ImportFrom(level=0):
            yield from ((line, text) for name in imported(node) if (text := import_problem(name, allowed)))
        case ast.For(iter=source) | ast.comprehension(iter=source) if is_set(source, local_sets):
            yield source.lineno, "iteration over a set has no defined order; use sorted()"
        case ast.Starred(value=source) if is_set(source, local_sets):
            yield line, "unpacking a set has no defined order; use sorted()"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in ORDERED_CONSUMERS:
            if any(is_set(argument, local_sets) for argument in node.args):
                yield line, f"{name}() of a set has no defined order; use sorted()"


def lint_source(source: str, path: str) -> list[Finding]:
    """Violations in one module's text; `path` (posix, below the root) selects the exceptions it enjoys."""
    allowed = EXTRA_MODULES.get(path, frozenset())
    found: list[Finding] = []
    for _, own in scopes(ast.parse(source, path)):
        local_sets = names_of_sets(own)
        for node in own:
            found.extend(node_problem(node, local_sets, allowed))
    return sorted(found)


def guest_files(root: Path) -> Iterator[Path]:
    for part in GUEST:
        path = root / part
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []


def main(root: Path) -> int:
    files = list(guest_files(root))
    count = 0
    for file in files:
        relative = file.relative_to(root).as_posix()
        for line, text in lint_source(file.read_text(encoding="utf-8"), relative):
            print(f"{relative}:{line}: {text}")
            count += 1
    print(f"guest lint: {count} violations in {len(files)} modules", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
