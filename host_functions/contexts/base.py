"""What a context is: the answers to host functions in one place of execution.

A context states its answers in one of four ways, which combine:

* methods marked ``@fn.implement``;
* ``delegates={"state": STORAGE_TABLE}`` in the class statement: the functions of the table are answered by
  methods of the attribute ``self.state``;
* ``@SomeContext.answers(fn)`` on a function outside the class, which is how a prototype adds its own host function to
  the contexts that nodes use;
* `HostContext.override`, which composes: the same context with some answers replaced.

Pure functions (hashing, signature verification) need no answer: every context inherits them. With
``complete=(storage, child_storage)`` the class statement itself fails if an interface is not fully answered,
so a forgotten function is an error at import and not a trap in the middle of a block.

Follows ``sp_externalities`` and the host-function registration of ``sc-executor`` [sc-executor].
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from host_functions.declare import HostFunction, current_context, functions_of
from host_functions.errors import MissingHostFunction

__all__ = ["HostContext", "OverriddenContext"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="HostContext")

AnyFunction = HostFunction[..., Any]
AnyImplementation = Callable[..., Any]


class HostContext:
    """Base of every context. See the module text for how a subclass answers host functions."""

    _answers: ClassVar[Mapping[AnyFunction, tuple[str, ...]]] = {}
    """Host function -> attribute path from the instance to the callable that answers it, bases included."""

    _own_answers: ClassVar[Mapping[AnyFunction, tuple[str, ...]]] = {}
    """The part of `_answers` that this class statement itself says."""

    _bound: dict[AnyFunction, AnyImplementation]

    def __init_subclass__(
        cls,
        *,
        complete: Iterable[ModuleType] = (),
        delegates: Mapping[str, Mapping[AnyFunction, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        own: dict[AnyFunction, tuple[str, ...]] = {}
        for attribute, table in (delegates or {}).items():
            own.update({function: (attribute, method) for function, method in table.items()})
        for name, member in vars(cls).items():
            function = getattr(member, "__host_function__", None)
            if isinstance(function, HostFunction):
                _check_parameters(cls, name, member, function)
                own[function] = (name,)
        cls._own_answers = own
        answers = cls._answers = cls._collected()
        missing = [
            function.name
            for interface in complete
            for function in functions_of(interface)
            if function not in answers and not function.pure
        ]
        if missing:
            raise TypeError(f"{cls.__name__} is declared complete but does not answer: {', '.join(missing)}")

    def __new__(cls, *args: Any, **kwargs: Any) -> HostContext:
        self = super().__new__(cls)
        self._bound = {}
        return self

    @classmethod
    def _collected(cls) -> dict[AnyFunction, tuple[str, ...]]:
        """What this class and its bases say, the nearest last."""
        answers: dict[AnyFunction, tuple[str, ...]] = {}
        for base in reversed(cls.__mro__):
            answers.update(vars(base).get("_own_answers", {}))
        return answers

    @classmethod
    def answers(
        cls, function: HostFunction[P, R]
    ) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
        """Decorator: what it decorates answers ``function`` in this context and those derived from it, for good.

        It takes the context and then what the declaration takes. Raises `TypeError` for other parameters, and for a
        function that the context answers already: replacing an answer is what `override` is for.
        """

        def add(implementation: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
            name = getattr(implementation, "__name__", "implementation")
            if function in cls._answers:
                raise TypeError(f"{cls.__name__} answers {function.name} already: use override()")
            _check_parameters(cls, name, implementation, function)
            attribute = f"_answer_{function.name}"
            setattr(cls, attribute, implementation)
            cls._own_answers = {**cls._own_answers, function: (attribute,)}
            for changed in _with_subclasses(cls):
                changed._answers = changed._collected()
            return implementation

        return add

    @classmethod
    def provides(cls) -> tuple[str, ...]:
        """Import names this context answers itself, sorted. Pure functions come on top."""
        return tuple(sorted(function.name for function in cls._answers))

    def resolve(self, function: AnyFunction) -> AnyImplementation:
        """The implementation of ``function`` here. Raises `MissingHostFunction`."""
        implementation = self._bound.get(function)
        if implementation is None:
            implementation = self._bound[function] = self._find(function.answered_by)
        return implementation

    def _find(self, function: AnyFunction) -> AnyImplementation:
        path = self._answers.get(function)
        if path is None:
            if function.pure:
                return function.pure_implementation
            raise MissingHostFunction(function.name, str(self))
        found: Any = self
        for attribute in path:
            found = getattr(found, attribute)
        implementation: AnyImplementation = found
        return implementation

    def override(self, replacements: Mapping[AnyFunction, AnyImplementation]) -> OverriddenContext:
        """This context with some answers replaced; it stays unchanged itself. Overrides compose."""
        return OverriddenContext(self, replacements)

    @contextlib.contextmanager
    def externalities(self) -> Iterator[None]:
        """Answer the host calls of this thread or task within the ``with`` block. Nests."""
        with self.scope():
            token = current_context.set(self)
            try:
                yield
            finally:
                current_context.reset(token)

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """What surrounds each `externalities` block; for a context that has something to open and close."""
        return contextlib.nullcontext()

    def __str__(self) -> str:
        return type(self).__name__


class OverriddenContext(HostContext):
    """A context seen through replacements: the host-level override of the proposal."""

    def __init__(self, base: HostContext, replacements: Mapping[AnyFunction, AnyImplementation]) -> None:
        for function in replacements:
            if not isinstance(function, HostFunction):
                raise TypeError(f"override() takes host functions as keys, not {function!r}")
            if function.answered_by is not function:
                raise TypeError(f"{function.name} is a wire form: override {function.answered_by.name}")
        self.base = base
        self._replacements = dict(replacements)

    @property
    def replaced(self) -> tuple[AnyFunction, ...]:
        """The functions that this context answers instead of `base`."""
        return tuple(self._replacements)

    def _find(self, function: AnyFunction) -> AnyImplementation:
        replacement = self._replacements.get(function)
        return self.base.resolve(function) if replacement is None else replacement

    def scope(self) -> contextlib.AbstractContextManager[None]:
        return self.base.scope()

    def __str__(self) -> str:
        return f"{self.base} with {', '.join(function.name for function in self._replacements)} overridden"


def _with_subclasses(cls: type[HostContext]) -> Iterator[type[HostContext]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)


def _check_parameters(cls: type, name: str, member: Any, function: AnyFunction) -> None:
    """A method must take what the declaration takes; says which differs at class definition."""
    declared = list(function.parameters)
    taken = list(inspect.signature(member).parameters)[1:]
    if taken != declared:
        raise TypeError(
            f"{cls.__name__}.{name}({', '.join(taken)}) implements {function.name}({', '.join(declared)})"
        )
