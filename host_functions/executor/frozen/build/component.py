"""How a component wires its core modules: read from the binary format, as far as componentize-py uses it.

A component from componentize-py is some forty core modules (CPython, the C library, its own runtime, one module
of memory and state, and many of one function), each instantiated once, with imports wired to each other's
exports. Only this is read: which module gets which import from where, which imports are *lowered* functions of
the outside, and which core functions are *lifted* to exports. The component's types are passed over.

The format is componentize-py's output of one pinned version, so anything unexpected is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from host_functions.executor.wasm.blob import Reader
from host_functions.executor.wasm.errors import InvalidCode

__all__ = ["Component", "Instance", "Item", "Lifted", "Lowered", "Source", "read_component"]

HEADER: Final = b"\0asm\x0d\0\1\0"
FUNC, TABLE, MEMORY, GLOBAL = 0, 1, 2, 3
"""Kinds of core items; also the number of their index space."""


class Item(NamedTuple):
    """An export of a core instance, by the number of the instance."""

    instance: int
    name: str


class Lowered(NamedTuple):
    """A function of the outside, called with flat numbers."""

    interface: str
    name: str
    realloc: Item | None
    """Who allocates results."""


Source = Item | Lowered


@dataclass(frozen=True, slots=True)
class Instance:
    """A core module instantiated."""

    module: bytes
    sources: dict[tuple[str, str], Source]
    """By module and name of its imports."""


class Lifted(NamedTuple):
    """An export of the component: a core function, and what it works with."""

    function: Item
    memory: Item
    realloc: Item | None
    post_return: Item | None
    """To be called with the result once it has been read."""


@dataclass(slots=True)
class Component:
    """The wiring."""

    instances: list[Instance] = field(default_factory=list)
    exports: dict[str, Lifted] = field(default_factory=dict)


@dataclass(slots=True)
class _State:
    """Index spaces while sections are read."""

    modules: list[bytes] = field(default_factory=list)
    core: dict[int, list[Any]] = field(
        default_factory=lambda: {kind: [] for kind in (FUNC, TABLE, MEMORY, GLOBAL)}
    )
    core_instances: list[int | dict[str, Source]] = field(default_factory=list)
    """A module instantiated, by its number, or a bundle of items."""
    instances: list[str] = field(default_factory=list)
    functions: list[tuple[str, str] | Lifted] = field(default_factory=list)
    """Of the outside (interface, name), or lifted."""
    component: Component = field(default_factory=Component)


def read_component(data: bytes) -> Component:
    """The wiring of a component. Raises `InvalidCode` for what componentize-py does not write."""
    if data[:8] != HEADER:
        raise InvalidCode("not a Wasm component")
    state, reader = _State(), Reader(data, 8, len(data))
    while reader.position < reader.end:
        number, size = reader.byte(), reader.u32()
        section = Reader(data, reader.position, reader.position + size)
        reader.bytes(size)
        if number == 1:
            state.modules.append(section.bytes(size))
        elif number in _SECTIONS:
            for _ in range(section.u32()):
                _SECTIONS[number](state, section)
        elif number not in PASSED_OVER:
            raise section.fail(f"component section {number}, which is not handled")
    return state.component


PASSED_OVER: Final = (0, 4, 5, 7)
"""Custom sections, nested components (they only rename types for the exports), their instances, types."""


def _core_instance(state: _State, reader: Reader) -> None:
    if reader.byte() == 1:
        items = [(reader.name(), reader.byte(), reader.u32()) for _ in range(reader.u32())]
        state.core_instances.append({name: state.core[kind][index] for name, kind, index in items})
        return
    module = state.modules[reader.u32()]
    sources: dict[str, int | dict[str, Source]] = {}
    for _ in range(reader.u32()):
        name = reader.name()
        if reader.byte() != 0x12:
            raise reader.fail("an argument of a module that is no instance")
        sources[name] = state.core_instances[reader.u32()]
    state.core_instances.append(len(state.component.instances))
    state.component.instances.append(Instance(module, _Wiring(sources)))


class _Wiring(dict[tuple[str, str], Source]):
    """What a module is given, looked up by module and name."""

    def __init__(self, given: dict[str, int | dict[str, Source]]) -> None:
        super().__init__()
        self._given = given

    def __missing__(self, key: tuple[str, str]) -> Source:
        module, name = key
        instance = self._given[module]
        return instance[name] if isinstance(instance, dict) else Item(instance, name)


def _alias(state: _State, reader: Reader) -> None:
    sort = _sort(reader)
    target = reader.byte()
    if target == 0:
        instance, name = reader.u32(), reader.name()
        if sort == 1:
            state.functions.append((state.instances[instance], name))
    elif target == 1:
        found, name = state.core_instances[reader.u32()], reader.name()
        kind = sort[1] if isinstance(sort, tuple) else -1
        state.core[kind].append(found[name] if isinstance(found, dict) else Item(found, name))
    else:
        reader.u32(), reader.u32()


def _canon(state: _State, reader: Reader) -> None:
    kind = reader.byte()
    if kind == 0:
        reader.byte()
        function: Item = state.core[FUNC][reader.u32()]
        options = _options(state, reader)
        reader.u32()
        memory = options.get("memory")
        if memory is None:
            raise reader.fail("an export that uses no memory")
        state.functions.append(Lifted(function, memory, options.get("realloc"), options.get("post return")))
    elif kind == 1:
        reader.byte()
        outside = state.functions[reader.u32()]
        if isinstance(outside, Lifted):
            raise reader.fail("a lifted function that is lowered again")
        options = _options(state, reader)
        state.core[FUNC].append(Lowered(*outside, options.get("realloc")))
    else:
        raise reader.fail(f"canonical function of kind {kind}, which is not handled")


def _options(state: _State, reader: Reader) -> dict[str, Item]:
    options: dict[str, Item] = {}
    for _ in range(reader.u32()):
        kind = reader.byte()
        if kind == 3:
            options["memory"] = state.core[MEMORY][reader.u32()]
        elif kind in (4, 5):
            item = state.core[FUNC][reader.u32()]
            options["realloc" if kind == 4 else "post return"] = item
        elif kind > 2:  # 0 to 2 name the encoding of strings
            raise reader.fail(f"canonical option {kind}, which is not handled")
    return options


def _import(state: _State, reader: Reader) -> None:
    reader.byte()
    name = reader.name()
    kind = reader.byte()
    if kind == 5:
        reader.u32()
        state.instances.append(name)
    elif kind == 3:  # a type
        if reader.byte() == 0:
            reader.u32()
    else:
        raise reader.fail(f"import of kind {kind}, which is not handled")


def _export(state: _State, reader: Reader) -> None:
    reader.byte()
    name = reader.name()
    sort, index = _sort(reader), reader.u32()
    if sort == 1:
        function = state.functions[index]
        if not isinstance(function, Lifted):
            raise reader.fail(f"export {name} is a function of the outside")
        state.component.exports[name] = function
        state.functions.append(function)
    if reader.byte():
        _extern(reader)


def _extern(reader: Reader) -> None:
    kind = reader.byte()
    if kind == 3:
        if reader.byte() == 0:
            reader.u32()
    else:
        reader.u32()


def _sort(reader: Reader) -> int | tuple[str, int]:
    kind = reader.byte()
    return ("core", reader.byte()) if kind == 0 else kind


_SECTIONS: Final[dict[int, Callable[[_State, Reader], None]]] = {
    2: _core_instance,
    6: _alias,
    8: _canon,
    10: _import,
    11: _export,
}
