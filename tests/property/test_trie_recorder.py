"""Recorder laws: it is the set of distinct items read, its size is their encoding's, and a rollback forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.scale import byte_vec
from runtime.trie import Recorder
from runtime.trie.errors import NoTransaction

items = st.dictionaries(
    st.binary(min_size=1, max_size=2), st.binary(max_size=80) | st.just(bytes(20_000)), max_size=12
)
steps = st.lists(st.sampled_from(["read", "read", "read", "start", "commit", "rollback"]), max_size=40)


@given(base=items, steps=steps, picks=st.randoms(use_true_random=False))
def test_transactions(base: dict[bytes, bytes], steps: list[str], picks: object) -> None:
    import random

    assert isinstance(picks, random.Random)
    recorder = Recorder(base)
    model: list[dict[bytes, bytes]] = [{}]
    for step in steps:
        if step == "read" and base:
            hash_ = picks.choice(sorted(base))
            assert recorder[hash_] == base[hash_]
            model[-1][hash_] = base[hash_]
        elif step == "start":
            recorder.start_transaction()
            model.append(dict(model[-1]))
        elif step in ("commit", "rollback"):
            close = recorder.commit_transaction if step == "commit" else recorder.rollback_transaction
            if len(model) == 1:
                with pytest.raises(NoTransaction):
                    close()
                continue
            close()
            kept = model.pop()
            if step == "commit":
                model[-1] = kept
        assert recorder == model[-1]
        assert recorder.encoded_size == sum(len(byte_vec.encode(item)) for item in model[-1].values())
        assert recorder.nodes() == tuple(sorted(model[-1].values()))


@given(base=items, hash_=st.binary(min_size=3, max_size=3))
def test_a_missing_item_is_not_recorded(base: dict[bytes, bytes], hash_: bytes) -> None:
    recorder = Recorder(base)
    with pytest.raises(KeyError):
        recorder[hash_]
    assert not recorder
    assert recorder.encoded_size == 0


@given(base=items)
def test_looking_without_reading(base: dict[bytes, bytes]) -> None:
    recorder = Recorder(base)
    assert not any(hash_ in recorder for hash_ in base)
    assert all(recorder.get(hash_) is None for hash_ in base)
    assert not recorder
