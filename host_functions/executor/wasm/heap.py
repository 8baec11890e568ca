"""How much memory a guest gets: ``HeapAllocStrategy`` [sc-executor]. Sizes in pages of 64 KiB.

A validator runs parachain code with `PVF_HEAP`; a node runs its own chain with `NODE_HEAP`, unless the state
says otherwise under ``:heappages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from host_functions.executor.wasm.blob import MemoryType

__all__ = ["MAX_PAGES", "NODE_HEAP", "PAGE", "PVF_HEAP", "Dynamic", "HeapAllocStrategy", "Static"]

PAGE: Final = 65536
"""Bytes of a page."""
MAX_PAGES: Final = 65536
"""Pages of the largest memory Wasm can address."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The memory starts as the blob declares it and grows to ``maximum_pages`` in all, or without limit."""

    maximum_pages: int | None

    def memory(self, declared: MemoryType) -> tuple[int, int]:
        """Pages at the start, and at most."""
        limit = MAX_PAGES if self.maximum_pages is None else self.maximum_pages
        return declared.minimum, _within(declared, max(limit, declared.minimum))


@dataclass(frozen=True, slots=True)
class Static:
    """The memory is ``extra_pages`` larger than the blob declares, from the start and for ever."""

    extra_pages: int

    def memory(self, declared: MemoryType) -> tuple[int, int]:
        """Pages at the start, and at most."""
        pages = _within(declared, declared.minimum + self.extra_pages)
        return pages, pages


HeapAllocStrategy = Dynamic | Static

PVF_HEAP: Final = Dynamic(32 + 2048)
"""What Polkadot's validators grant, before executor parameters [pvf-executor]."""
NODE_HEAP: Final = Static(2048)
"""What a Substrate node grants by default."""


def _within(declared: MemoryType, pages: int) -> int:
    """The reference rewrites the blob's own maximum; here the blob stays as it is, so its maximum holds."""
    return min(pages, MAX_PAGES if declared.maximum is None else declared.maximum)
