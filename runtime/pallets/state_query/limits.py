"""Bounds of state queries. All are configuration; every one is enforced before the work it bounds."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.support.sibling_ancestry import DEFAULT_ANCESTRY_LIMITS, AncestryLimits


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Start values."""

    max_keys: int = 64
    """Keys of one query."""
    max_key_bytes: int = 256
    """Of a key, a prefix or the start of a page."""
    max_page_entries: int = 256
    """Entries of one page; a longer map takes several queries."""
    max_answer_bytes: int = 64 * 1024
    """Keys and values of one answer."""
    max_context_bytes: int = 256
    """What the asker gets back with the answer."""
    max_open: int = 128
    """Open queries of the chain; the list of them is read once per block while there is any."""
    max_open_per_asker: int = 32
    max_lifetime: int = 14_400
    """Blocks until a query expires; a day at 6 s."""
    max_expiries_per_block: int = 8
    max_answers_per_block: int = 32
    max_proof_nodes: int = 1_024
    """Trie nodes of one answer."""
    max_proof_bytes: int = 256 * 1024
    """Bytes of the trie nodes of one answer."""
    max_inherent_bytes: int = 10 * 1024 * 1024 // 6
    """Proofs of all answers of a block: a sixth of Polkadot's largest PoV."""
    ancestry: AncestryLimits = DEFAULT_ANCESTRY_LIMITS


DEFAULT_QUERY_LIMITS = QueryLimits()
