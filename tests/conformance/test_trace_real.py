"""Traces of real parachain runtimes: author and full node answer every host call of their blobs the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_functions.executor.wasm import CompileCache
from host_functions.tracing import Match, align
from pileus.chain_spec import parse_runtime_file
from pileus.real_runtimes import ModelRelay, RealParachain
from pileus.replay import CONTEXTS, ReplayedCandidate, replay
from runtime.primitives.parachain import CommittedCandidateReceipt


@pytest.mark.parametrize("name", ["kilt-spiritnet-genesis", "moonriver-genesis"])
def test_real_blobs_in_every_context(vectors_dir: Path, name: str) -> None:
    """Kilt takes a compact proof and Aura's authors, Moonriver plain nodes and Nimbus'."""
    spec = parse_runtime_file((vectors_dir / "files" / f"{name}.json.gz").read_bytes()).spec
    assert spec is not None
    para = RealParachain.from_spec(spec, cache=CompileCache.default())
    relay = ModelRelay([para])
    collator = para.collator(relay)
    collation = collator.collate(relay.best_block_hash())
    for _ in range(4):
        if collation is not None:
            break
        relay.advance()
        collation = collator.collate(relay.best_block_hash())
    assert collation is not None
    candidate = ReplayedCandidate(
        CommittedCandidateReceipt(collation.descriptor, collation.commitments).to_plain(),
        collation.pov,
        collation.pvd,
        para.runtime,
        relay.chain.database,
    )
    replayed = {context: replay(candidate, context) for context in CONTEXTS}
    assert all(one.succeeded for one in replayed.values()), replayed
    assert {call.engine for call in replayed["author"].trace.calls} == {"wasm"}
    alignment = align(replayed["author"].trace, replayed["import"].trace)
    assert alignment.difference is None
    assert alignment.count(Match.SAME) > 100
    # The blob brings its own storage: of its validate_block the host sees signatures and logs, and no storage.
    seen = {call.function for call in replayed["validate-own"].trace.calls}
    assert not any("storage" in function for function in seen)
