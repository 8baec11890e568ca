"""Arguments for any declared host function, from its declaration alone: the wire type says what can arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from host_functions.abi import Wire, wire_of
from host_functions.declare import HostFunction

__all__ = ["arguments_of"]

KEYS = (b"", b"\x00", b"a", b"ab", b"\xff" * 32)

_SCALE: Final[dict[str, Callable[[], st.SearchStrategy[Any]]]] = {
    "Option<Vec<u8>>": lambda: st.none() | st.binary(max_size=80),
    "Option<u32>": lambda: st.none() | st.integers(0, 2**32 - 1),
    "Vec<Vec<u8>>": lambda: st.lists(st.binary(max_size=40), max_size=4).map(tuple),
    "Vec<(Vec<u8>, Vec<u8>)>": lambda: st.lists(
        st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=4
    ).map(tuple),
}


def arguments_of(function: HostFunction[..., Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Tuples of arguments that ``function`` can be called with.

    Raises `TypeError` for a parameter whose wire form no strategy is known of.
    """
    return st.tuples(*(_of_wire(function, name, wire_of(hint)) for name, hint in function.parameters.items()))


def _of_wire(function: HostFunction[..., Any], name: str, wire: Wire) -> st.SearchStrategy[Any]:
    if wire.form == "fat":
        return st.sampled_from(KEYS) | st.binary(max_size=80)
    if wire.form == "thin":
        return st.binary(min_size=wire.size, max_size=wire.size)
    if wire.form == "out":
        return st.integers(0, 64).map(bytearray)
    if wire.form == "value":
        # Small numbers are the ids and indices that mean something; the largest are what breaks.
        largest = 2 ** (64 if wire.types == ("i64",) else 32) - 1
        return st.integers(0, 5) | st.integers(1990, 2010) | st.integers(0, largest)
    if wire.scale not in _SCALE:
        raise TypeError(
            f"{function.name}: no strategy for {name}, which travels as {wire.scale or wire.form}"
        )
    return _SCALE[wire.scale]()
