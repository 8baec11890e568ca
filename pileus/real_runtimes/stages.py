"""How far a parachain runtime gets with us, stage by stage, and the reason where it stops.

Each block is made three times: authored through the runtime's APIs, executed by ``Core_execute_block`` as a full node
imports it, and checked by the blob's own ``validate_block`` over nothing but the PoV. The three must agree on state
root, head and outputs. Then the relay chain takes the candidate, and bits of the PoV are flipped: no flip may be
accepted with another result.

Nothing that a runtime does raises here; it ends the stage that it happened in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from host_functions.compressed_blob import BlobError
from host_functions.contexts import ValidationContext
from host_functions.errors import PileusError, SandboxError
from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import ChainSpec
from pileus.collator import Collation
from pileus.real_runtimes.dev_genesis import NoAuthorSlot
from pileus.real_runtimes.model_relay import ModelRelay
from pileus.real_runtimes.parachain import RealParachain
from pileus.relay_chain.interface import RelayChainInterface
from pov_validator import Carried, Valid, validate_candidate
from pov_validator.validate import validation_params
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain import ValidationResult
from runtime.trie.layout import Hasher

__all__ = ["BlockResult", "IncludingRelay", "Report", "Stage", "StageResult", "author_and_validate"]

PATIENCE = 12
"""Relay slots to wait for the collator's turn: two of a chain with the longest slots in use, and then some."""


class Stage(Enum):
    """What a runtime must do for us, in order."""

    STARTS = "starts"
    """Compiles, tells its version and metadata, and has a genesis."""
    AUTHORED = "authored"
    EXECUTED = "executed"
    VALIDATED = "validated"
    INCLUDED = "included"
    FLIPS_REFUSED = "flips refused"


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage, over all blocks."""

    stage: Stage
    passed: bool
    count: int
    """Blocks that passed; of the last stage, flipped bits that were refused."""
    reason: str | None = None
    """What went wrong."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """One block that all three ways agree on."""

    number: int
    hash: bytes
    state_root: bytes
    extrinsics: int
    pov_bytes: int
    """Of the payload, not compressed."""
    proof_nodes: int
    author_seconds: float
    execute_seconds: float
    validate_seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found out about one runtime."""

    para: RealParachain | None
    """``None`` if it does not start."""
    start_seconds: float
    stages: tuple[StageResult, ...]
    """Those that were tried: the last one is where it stopped."""
    blocks: tuple[BlockResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every stage was tried and passed."""
        return len(self.stages) == len(Stage) and all(result.passed for result in self.stages)

    @property
    def reason(self) -> str | None:
        """Where it stopped and why; ``None`` if it did not."""
        failed = [f"{result.stage.value}: {result.reason}" for result in self.stages if not result.passed]
        return failed[0] if failed else None


class IncludingRelay(RelayChainInterface, Protocol):
    """A relay chain that can be told what to do next."""

    def advance(self, slots: int = 1) -> None:
        """Build a block ``slots`` after the best one, with no candidate in it."""

    def include(self, collation: Collation) -> str | None:
        """Have the candidate backed and included; the reason if the relay chain does not take it."""


class _Stopped(Exception):
    """A stage did not pass."""


class _Progress:
    """The stages so far."""

    def __init__(self) -> None:
        self.counts: dict[Stage, int] = {}
        self.failed: tuple[Stage, str] | None = None

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count the stage once more, or note why it did not pass."""
        self.counts.setdefault(stage, 0)
        try:
            yield
        except _Stopped as stopped:
            self.failed = stage, str(stopped)
            raise
        except (PileusError, NoAuthorSlot, BlobError) as error:
            self.failed = stage, str(error) or type(error).__name__
            raise _Stopped from error
        self.counts[stage] += 1

    def results(self) -> tuple[StageResult, ...]:
        failed, reason = self.failed or (None, None)
        return tuple(
            StageResult(stage, stage is not failed, count, reason if stage is failed else None)
            for stage, count in self.counts.items()
        )


def author_and_validate(
    spec: ChainSpec,
    *,
    relay: Callable[[RealParachain], IncludingRelay] | None = None,
    blocks: int = 3,
    flips: int = 20,
    seed: int = 0,
    para_id: int | None = None,
    hasher: Hasher | None = None,
    cache: CompileCache | None = None,
) -> Report:
    """Author ``blocks`` blocks on the chain's own genesis, each judged three ways and included.

    ``relay``: makes the relay chain the parachain is registered on, the model if not given. ``flips``: bits of the last
    PoV that are flipped, chosen by ``seed``. The rest as `RealParachain.from_spec`.
    """
    progress = _Progress()
    results: list[BlockResult] = []
    para = None
    started = time.perf_counter()
    took = 0.0
    try:
        with progress.stage(Stage.STARTS):
            para = RealParachain.from_spec(spec, para_id=para_id, hasher=hasher, cache=cache)
            chain = ModelRelay([para]) if relay is None else relay(para)
            took = time.perf_counter() - started
        collation = None
        for _ in range(blocks):
            collation = _one_block(para, chain, progress, results)
        if collation is not None:
            with progress.stage(Stage.FLIPS_REFUSED):
                refused = _flip_bits(para, collation, flips, random.Random(seed))
            progress.counts[Stage.FLIPS_REFUSED] = refused
    except _Stopped:
        pass
    return Report(para, took, progress.results(), tuple(results))


def _one_block(
    para: RealParachain, relay: IncludingRelay, progress: _Progress, results: list[BlockResult]
) -> Collation:
    node = para.node
    with progress.stage(Stage.AUTHORED):
        collation, author_seconds = _authored(para, relay)
    with progress.stage(Stage.EXECUTED):
        started = time.perf_counter()
        reader = relay.relay_state_prover(collation.descriptor.relay_parent)
        node.import_block(collation.block, reader)
        execute_seconds = time.perf_counter() - started
        if collation.proposal.changes.root != node.best_header.state_root:
            raise _Stopped("Core_execute_block and authoring give different states")
    runtime = node.runtime_at(collation.block.header.parent_hash)
    with progress.stage(Stage.VALIDATED):
        started = time.perf_counter()
        verdict = validate_candidate(
            collation.descriptor,
            collation.commitments.hash(),
            collation.pov,
            collation.pvd,
            runtime,
            Carried(),
        )
        validate_seconds = time.perf_counter() - started
        if not isinstance(verdict, Valid):
            raise _Stopped(str(verdict))
        if verdict.result.head_data != collation.block.header.encode():
            raise _Stopped("validate_block returned another head")
    with progress.stage(Stage.INCLUDED):
        refusal = relay.include(collation)
        if refusal is not None:
            raise _Stopped(refusal)
    results.append(
        BlockResult(
            number=collation.block.header.number,
            hash=node.best_hash,
            state_root=collation.block.header.state_root,
            extrinsics=len(collation.block.extrinsics),
            pov_bytes=len(collation.block_data.encode()),
            proof_nodes=len(collation.proposal.proof_nodes),
            author_seconds=author_seconds,
            execute_seconds=execute_seconds,
            validate_seconds=validate_seconds,
        )
    )
    return collation


def _authored(para: RealParachain, relay: IncludingRelay) -> tuple[Collation, float]:
    """A candidate on the best relay block in which it is the collator's turn, and how long it took to make."""
    collator = para.collator(relay)
    for _ in range(PATIENCE):
        started = time.perf_counter()
        collation = collator.collate(relay.best_block_hash())
        if collation is not None:
            return collation, time.perf_counter() - started
        relay.advance()
    raise _Stopped(f"it is not the collator's turn in any of {PATIENCE} relay slots")


def _flip_bits(para: RealParachain, collation: Collation, count: int, chance: random.Random) -> int:
    """How many of ``count`` flipped bits of the payload ``validate_block`` refused. None may change the result."""
    runtime = para.node.runtime_at(collation.block.header.parent_hash)
    payload = collation.block_data.encode()
    refused = 0
    for bit in chance.sample(range(8 * len(payload)), min(count, 8 * len(payload))):
        flipped = bytearray(payload)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        params = validation_params(collation.pvd, bytes(flipped)).encode()
        try:
            answer = ValidationResult.decode(runtime.call("validate_block", params, ValidationContext()))
        except (SandboxError, ScaleError):
            refused += 1
            continue
        if answer.to_commitments() != collation.commitments:
            raise _Stopped(f"a flip of bit {bit} of the PoV is accepted with another result")
    return refused
