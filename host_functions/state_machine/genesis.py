"""A state from nothing: what a chain starts with.

Follows ``sp_core::storage::Storage`` [sp-core] and ``sp_state_machine::Backend::full_storage_root`` over an
empty state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from host_functions.state_machine.backend import FullBackend
from runtime.trie.layout import LAYOUT_V1, Layout

__all__ = ["Storage", "build_state"]


@dataclass(frozen=True, slots=True)
class Storage:
    """All keys and values of a state."""

    top: Mapping[bytes, bytes] = field(default_factory=dict)
    children: Mapping[bytes, Mapping[bytes, bytes]] = field(default_factory=dict)
    """By storage key, without ``:child_storage:default:``; their roots are not part of `top`."""


def build_state(storage: Storage, layout: Layout = LAYOUT_V1) -> tuple[bytes, dict[bytes, bytes]]:
    """Root (32 bytes) and node store of ``storage``, written as ``layout.state_version`` says.

    A parachain's genesis should hold ``:c`` and ``:extrinsic_index`` beside ``:code``: without a sibling that
    stays, deleting ``:extrinsic_index`` in each block collapses a branch and pulls the whole code into every
    proof.
    """
    return FullBackend({}, layout.empty_root, layout).delta_root(
        dict(storage.top), storage.children, layout.state_version
    )
