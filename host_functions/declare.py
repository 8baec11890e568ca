"""Declaring host functions: one signature, many contexts.

A declaration is a function signature with a docstring and no body::

    @host_function("storage", version=1)
    def get(key: Bytes) -> OptionBytes:
        \"\"\"Value under ``key`` in the top trie, or ``None``.\"\"\"

It becomes a `HostFunction`. Calling it in guest code dispatches, in this order:

1. to the innermost `HostFunction.replace_implementation` in force. This is the guest's own override, as
   ``cumulus_pallet_parachain_system::validate_block`` replaces the storage functions inside the blob [cumulus-vb];
2. to the current context (`host_functions.contexts.HostContext.externalities`), which is the host's answer;
3. for *pure* functions (hashing, signature verification: the arguments alone decide) to the process-wide
   implementation, which also answers outside any context.

From the same declaration come the import name (``ext_storage_get_version_1``), the Wasm type
(`host_functions.abi.wasm_signature`) and the completeness checks of contexts.

Follows ``sp_runtime_interface::runtime_interface`` [sp-runtime-interface]. Not modelled here: marshalling,
which is the executor's.
"""

from __future__ import annotations

import contextlib
import importlib
import typing
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from host_functions.errors import NoExternalities

__all__ = [
    "HostFunction",
    "Watcher",
    "current_context",
    "current_watcher",
    "functions_of",
    "host_function",
    "registry",
    "replace_implementations",
]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_PURE_PROVIDER = "host_functions.pure"
"""Module that binds the pure functions. Loaded by name on first need, because a guest frozen into Wasm must
be able to import this module without it."""


class Resolver(Protocol):
    """What dispatch needs of a context: the implementation it provides for a host function."""

    def resolve(self, function: HostFunction[..., Any], /) -> Callable[..., Any]: ...


class Watcher(Protocol):
    """Who wants to see the calls that the guest answers itself (`host_functions.tracing`)."""

    def watch(
        self, function: HostFunction[..., Any], implementation: Callable[..., Any], /
    ) -> Callable[..., Any]:
        """What to install instead of a replacement; it must do what the replacement does."""


current_context: ContextVar[Resolver | None] = ContextVar("current_context", default=None)
"""The context that answers host calls of this thread or task; set by `HostContext.externalities`."""

current_watcher: ContextVar[Watcher | None] = ContextVar("current_watcher", default=None)
"""Asked when a replacement is installed and when a runtime is entered, and never when a function is called."""

_registry: dict[str, HostFunction[..., Any]] = {}


class HostFunction(Generic[P, R]):
    """One host function: callable by the guest, implemented by contexts, linked by executors."""

    def __init__(
        self, declaration: Callable[P, R], interface: str, version: int, method: str, *, pure: bool
    ) -> None:
        self.interface = interface
        self.method = method
        self.version = version
        self.name = f"ext_{interface}_{method}_version_{version}"
        self.pure = pure
        hints = typing.get_type_hints(declaration, include_extras=True)
        self.result: Any = hints.pop("return")
        self.parameters: dict[str, Any] = hints
        self.__name__ = declaration.__name__
        self.__qualname__ = declaration.__qualname__
        self.__module__ = declaration.__module__
        self.__doc__ = declaration.__doc__
        self.__wrapped__ = declaration
        self._replacement: ContextVar[Callable[P, R] | None] = ContextVar(self.name, default=None)
        self._pure_implementation: Callable[P, R] | None = None
        if self.name in _registry:
            raise TypeError(
                f"{self.name} is declared twice: {_registry[self.name].__module__} and {self.__module__}"
            )
        _registry[self.name] = self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        replacement = self._replacement.get()
        if replacement is not None:
            return replacement(*args, **kwargs)
        context = current_context.get()
        if context is not None:
            # As in `original_implementation`, without the call: this is every storage access.
            implementation: Callable[P, R] = context.resolve(self)
            return implementation(*args, **kwargs)
        return self.original_implementation(*args, **kwargs)

    def original_implementation(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the host past any replacement, as ``ExchangeableFunction`` lets a replacement do.

        Raises `NoExternalities` outside a context and `MissingHostFunction` if the context lacks the
        function.
        """
        context = current_context.get()
        if context is not None:
            implementation: Callable[P, R] = context.resolve(self)
            return implementation(*args, **kwargs)
        if self.pure:
            return self.pure_implementation(*args, **kwargs)
        raise NoExternalities(self.name)

    @property
    def answered_by(self) -> HostFunction[..., Any]:
        """The function whose answer a context gives: this one, unless it is another's wire form."""
        return self

    @property
    def pure_implementation(self) -> Callable[P, R]:
        """The process-wide implementation of a pure function; `TypeError` for one that is not pure."""
        if not self.pure:
            raise TypeError(f"{self.name} is not pure: only a context can answer it")
        if self._pure_implementation is None:
            importlib.import_module(_PURE_PROVIDER)
        if self._pure_implementation is None:
            raise TypeError(f"{_PURE_PROVIDER} binds no implementation of {self.name}")
        return self._pure_implementation

    def bind_pure(self, implementation: Callable[P, R]) -> Callable[P, R]:
        """Decorator: the process-wide implementation of a function declared ``pure=True``."""
        if not self.pure:
            raise TypeError(f"{self.name} is not declared pure")
        self._pure_implementation = implementation
        return implementation

    def implement(self, method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        """Decorator for a method of a `HostContext`: this method answers the function in that context."""
        setattr(method, "__host_function__", self)  # noqa: B010  (mypy: functions have no such attribute)
        return method

    @contextlib.contextmanager
    def replace_implementation(self, implementation: Callable[P, R]) -> Iterator[None]:
        """Within the ``with`` block, calls go to ``implementation``. Nests; restores on error; local to the
        task.

        The scope is this thread or task only, so one validation never sees another's replacement.
        """
        watcher = current_watcher.get()
        if watcher is not None:
            implementation = watcher.watch(self, implementation)
        token = self._replacement.set(implementation)
        try:
            yield
        finally:
            self._replacement.reset(token)

    def current_replacement(self) -> Callable[P, R] | None:
        """The replacement in force for this thread or task, if there is one."""
        return self._replacement.get()

    def __repr__(self) -> str:
        return f"<host function {self.name}>"


def host_function(
    interface: str, *, version: int = 1, method: str | None = None, pure: bool = False
) -> Callable[[Callable[P, R]], HostFunction[P, R]]:
    """Declare a host function of ``interface``.

    ``method`` is the name on the wire where it differs from the Python name (older versions, ``…_into``
    forms). ``pure`` functions are decided by their arguments alone, so every context inherits one
    implementation. Raises `TypeError` if a function of the same wire name and version exists.
    """

    def declare(declaration: Callable[P, R]) -> HostFunction[P, R]:
        return HostFunction(declaration, interface, version, method or declaration.__name__, pure=pure)

    return declare


def registry() -> Mapping[str, HostFunction[..., Any]]:
    """Every declared host function by import name, in declaration order."""
    return dict(_registry)


def functions_of(interface_module: ModuleType) -> tuple[HostFunction[..., Any], ...]:
    """The host functions that an interface module declares, in order."""
    return tuple(value for value in vars(interface_module).values() if isinstance(value, HostFunction))


@contextlib.contextmanager
def replace_implementations(
    implementations: Mapping[HostFunction[..., Any], Callable[..., Any]],
) -> Iterator[None]:
    """`HostFunction.replace_implementation` for many functions at once."""
    with contextlib.ExitStack() as stack:
        for function, implementation in implementations.items():
            stack.enter_context(function.replace_implementation(implementation))
        yield
