"""Hypothesis strategies for what Pileus is about: host calls, headers, states, relay states.

House style: plural nouns, keyword-only options, arguments checked early. Needs the extra ``pileus[testing]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from host_functions.conformance.arguments import arguments_of
from host_functions.conformance.examples import states
from host_functions.declare import HostFunction
from host_functions.state_machine.genesis import Storage
from runtime.primitives import relay_keys
from runtime.primitives.digest import AURA, DigestItem, PreRuntime
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, u64

__all__ = ["headers", "host_call_arguments", "para_ids", "relay_states", "storages"]


def host_call_arguments(function: HostFunction[..., Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Tuples of arguments for a declared host function. Raises `TypeError` for wire forms without a strategy."""
    return arguments_of(function)


def para_ids() -> st.SearchStrategy[int]:
    """Ids of parachains: mostly few and small, so that two draws meet."""
    return st.sampled_from((1000, 2000, 2001)) | st.integers(0, 2**32 - 1)


def headers(*, max_digest_items: int = 2) -> st.SearchStrategy[Header]:
    """Headers that decode; nothing else about them is true. Raises `ValueError` for a negative limit."""
    if max_digest_items < 0:
        raise ValueError(f"max_digest_items must not be negative, got {max_digest_items}")
    hashes = st.binary(min_size=32, max_size=32)
    items: st.SearchStrategy[DigestItem] = st.builds(
        PreRuntime, st.just(AURA), st.integers(0, 2**64 - 1).map(u64.encode)
    )
    digest = st.lists(items, max_size=max_digest_items).map(tuple)
    return st.builds(Header, hashes, st.integers(0, 2**32 - 1), hashes, hashes, digest)


def storages() -> st.SearchStrategy[Storage]:
    """Small states with child tries, with keys that share beginnings and values of every kind."""
    return states()


def relay_states(*, paras: Sequence[int] = (1000, 2000, 2001)) -> st.SearchStrategy[dict[bytes, bytes]]:
    """Entries of a relay chain's state: heads of some of ``paras``, the current slot, and neighbours.

    Raises `ValueError` without ``paras``.
    """
    if not paras:
        raise ValueError("paras must not be empty")
    heads = st.dictionaries(st.sampled_from(list(paras)), headers())
    other = st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(max_size=40), max_size=4)
    return st.builds(_relay_state, heads, st.integers(0, 2**64 - 1), other)


def _relay_state(heads: dict[int, Header], slot: int, other: dict[bytes, bytes]) -> dict[bytes, bytes]:
    written = {relay_keys.para_head(para): byte_vec.encode(head.encode()) for para, head in heads.items()}
    return {**other, relay_keys.CURRENT_SLOT: u64.encode(slot), **written}
