"""The host functions as guest code calls them, on top of the functions that the VM imports.

`install` makes the table the current context of `host_functions.declare`, so guest code calls its declarations
as it does natively, and ``replace_implementation`` works the same. Values become the plain shapes that cross
into the adapter, and back. See ``host_functions.executor.frozen.build.bindings``, which generates the table.
"""

from collections.abc import Callable
from typing import Any

from pileus_table import TABLE
from wit_world.imports import host

Function = Callable[..., Any]

FUNCTIONS: dict[str, tuple[Function, tuple[str, ...], str]] = {
    name: (getattr(host, f"h{number}"), shapes, into) for name, number, shapes, into in TABLE
}
STATE_VERSION = [0]
"""Of the loaded runtime."""
LINKS: dict[str, Function] = {}
"""By import name of the declaration."""
TYPED: dict[str, Function] = {}
"""The same, as guest code calls them."""


class Links:
    """The context of a frozen guest."""

    def resolve(self, function: Any) -> Function:
        found = TYPED.get(function.name)
        if found is None:
            plain = LINKS.get(function.name)
            if plain is None:
                from host_functions.errors import MissingHostFunction

                raise MissingHostFunction(function.name, "the host interface of frozen runtimes")
            found = TYPED[function.name] = typed(function, plain)
        return found


def abort(message: str) -> SystemExit:
    """Stop the guest with a message for the host."""
    FUNCTIONS["ext_panic_handler_abort_on_panic_version_1"][0](message.encode("utf-8", "replace"))
    return SystemExit()  # not reached: the host does not come back


def install() -> None:
    from host_functions.declare import current_context

    LINKS.update({name: linked(*entry) for name, entry in FUNCTIONS.items()})
    LINKS.update(answered_by_others())
    current_context.set(Links())


def prepare() -> None:
    """Make now what calls need."""
    from host_functions.declare import registry

    for function in registry().values():
        if function.name in LINKS:
            Links().resolve(function)


def typed(function: Any, plain: Function) -> Function:
    """``plain`` with the parameters of the declaration, by position or name. It checks what would trap at the door.

    A block makes tens of thousands of calls, so the checks are written out.
    """
    from host_functions.abi import wire_of

    lines = [f"def {function.__name__}({', '.join(function.parameters)}):"]
    for name, annotation in function.parameters.items():
        wire = wire_of(annotation)
        if wire.form in ("fat", "thin"):
            lines.append(f" if type({name}) is not bytes: {name} = _bytes({name!r}, {name})")
        elif wire.scale == "Option<Vec<u8>>":
            lines.append(f" if {name} is not None: {name} = _bytes({name!r}, {name})")
        elif wire.scale == "Option<u32>":
            lines.append(f" if {name} is not None: {name} = _number({name!r}, {name}, 32)")
        elif wire.form == "value":
            bits = 32 if wire.types == ("i32",) else 64
            lines.append(f" if type({name}) is not int or not 0 <= {name} < {1 << bits}:")
            lines.append(f"  {name} = _number({name!r}, {name}, {bits})")
    lines.append(f" return _plain({', '.join(function.parameters)})")

    def as_bytes(name: str, value: Any) -> bytes:
        if not isinstance(value, bytes):
            raise TypeError(f"{function.name}: {name} is bytes, not {type(value).__name__}")
        return bytes(memoryview(value))

    def as_number(name: str, value: Any, bits: int) -> int:
        if not isinstance(value, int):
            raise TypeError(f"{function.name}: {name} is a number, not {type(value).__name__}")
        number = int.__index__(value)
        if not 0 <= number < 1 << bits:
            raise ValueError(f"{function.name}: {name} has {bits} bits, and {number} does not fit")
        return number

    made: dict[str, Any] = {"_plain": plain, "_bytes": as_bytes, "_number": as_number}
    exec("\n".join(lines), made)
    return made[function.__name__]  # type: ignore[no-any-return]


def linked(function: Function, shapes: tuple[str, ...], into: str) -> Function:
    """``function`` with arguments and result as declared."""
    encoders = [encoder(shape) for shape in shapes]
    if any(encoders):
        plain = function

        def function(*arguments: Any) -> Any:
            return plain(
                *[
                    argument if encode is None else encode(argument)
                    for encode, argument in zip(encoders, arguments, strict=True)
                ]
            )

    if into == "bool":
        return lambda *arguments: bool(function(*arguments))
    if into == "CHECKED":
        return lambda *arguments: checked(*function(*arguments))
    if into == "CURSOR":
        return lambda *arguments: removal(*function(*arguments))
    if into == "ENCODED":
        return root_of(function, len(shapes))
    return function


def root_of(function: Function, count: int) -> Function:
    """A storage root: the host takes the state version from the runtime's version and is not told."""

    def root(*arguments: Any) -> Any:
        if arguments[count] != STATE_VERSION[0]:
            raise ValueError(
                f"the storage root in state version {arguments[count]}, but the runtime's version says"
                f" {STATE_VERSION[0]}"
            )
        return function(*arguments[:count])

    return root


def encoder(shape: str) -> Function | None:
    from runtime.primitives.scale import byte_vec, option, tuple_of, u32, vec

    if shape.startswith("bytes:"):
        return exactly(int(shape[6:]))
    return {
        "": None,
        "cursor": None,
        "limit": lambda limit: -1 if limit is None else limit,
        "Option<u32>": option(u32).encode,
        "Option<Vec<u8>>": option(byte_vec).encode,
        "Vec<Vec<u8>>": vec(byte_vec).encode,
        "Vec<(Vec<u8>, Vec<u8>)>": vec(tuple_of(byte_vec, byte_vec)).encode,
    }[shape]


def exactly(size: int) -> Function:
    def check(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"a host function takes {size} bytes, not {len(value)}")
        return value

    return check


def checked(code: int, value: bytes) -> Any:
    return value if code == 0 else -1 - code


def removal(backend: int, unique: int, loops: int, cursor: bytes) -> Any:
    from host_functions.abi import RemovalCounts

    return RemovalCounts(cursor or None, backend, unique, loops)


def answered_by_others() -> dict[str, Function]:
    """What this interface offers in another way than the declaration asks."""
    from host_functions.abi import MultiRemovalResults
    from host_functions.interfaces import child_storage, storage

    def read(get: Any) -> Function:
        def function(*arguments: Any) -> int | None:
            *key, value_out, value_offset = arguments
            value = LINKS[get.name](*key)
            if value is None:
                return None
            rest = value[value_offset:]
            copied = min(len(rest), len(value_out))
            value_out[:copied] = rest[:copied]
            return len(rest)

        return function

    def remove(remove_from: Any) -> Function:
        def function(*arguments: Any) -> Any:
            counts = LINKS[remove_from.name](*arguments, None)
            return MultiRemovalResults(all_removed=counts.cursor is None, loops=counts.loops)

        return function

    return {
        storage.read.name: read(storage.get),
        child_storage.read.name: read(child_storage.get),
        storage.clear_prefix.name: remove(storage.clear_prefix_from),
        child_storage.clear_prefix.name: remove(child_storage.clear_prefix_from),
        child_storage.storage_kill.name: remove(child_storage.storage_kill_from),
    }
