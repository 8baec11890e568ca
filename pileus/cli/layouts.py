"""The trie layout a file asks for by words: hasher name and state version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from runtime.trie.layout import BLAKE2B_256, KECCAK_256, Hasher, Layout

__all__ = ["HasherName", "layout_of"]

HasherName: TypeAlias = Literal["blake2_256", "keccak_256"]

HASHERS: Final[Mapping[HasherName, Hasher]] = {"blake2_256": BLAKE2B_256, "keccak_256": KECCAK_256}


def layout_of(hasher: HasherName, state_version: Literal[0, 1]) -> Layout:
    """The layout with this hasher and state version."""
    return Layout(HASHERS[hasher], state_version)
