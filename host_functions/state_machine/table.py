"""Which method of `Externalities` answers which host function.

One table for everybody who answers storage: contexts delegate by it, and the guest's ``validate_block``
replaces host functions by it. Complete by construction over the interfaces ``storage``,
``default_child_storage`` and ``storage_proof_size``; importing this module fails if a method is missing or
takes other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from host_functions.declare import HostFunction, functions_of
from host_functions.interfaces import child_storage, storage, storage_proof_size
from host_functions.state_machine.externalities import Externalities

__all__ = ["STORAGE_TABLE", "storage_implementations"]


def _method_of(function: HostFunction[..., Any], prefix: str) -> str:
    name = prefix + function.__name__
    method = getattr(Externalities, name, None)
    if method is None:
        raise TypeError(f"Externalities has no method {name}, which should answer {function.name}")
    code = method.__code__
    taken = code.co_varnames[1 : code.co_argcount]
    if taken != tuple(function.parameters):
        declared = ", ".join(function.parameters)
        raise TypeError(f"Externalities.{name}({', '.join(taken)}) answers {function.name}({declared})")
    return name


STORAGE_TABLE: Mapping[HostFunction[..., Any], str] = MappingProxyType(
    {
        function: _method_of(function, prefix)
        for interface, prefix in ((storage, ""), (child_storage, "child_"), (storage_proof_size, ""))
        for function in functions_of(interface)
    }
)
"""Host function -> name of the `Externalities` method."""


def storage_implementations(state: Externalities) -> dict[HostFunction[..., Any], Callable[..., Any]]:
    """The storage host functions answered by ``state``, to replace or override with."""
    return {function: getattr(state, method) for function, method in STORAGE_TABLE.items()}
