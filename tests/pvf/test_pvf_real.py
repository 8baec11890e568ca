"""A real parachain's candidates, judged through worker processes as Polkadot's validators would judge them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host_functions.contexts import ValidationContext
from host_functions.errors import SandboxError
from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.collator import Collation
from pileus.real_runtimes import ModelRelay, RealParachain
from pileus.testing.tampering import recommit
from pileus.testing.transfers import collate_next, endowed, sender_of, transfers
from pov_validator import (
    Abstain,
    AbstainReason,
    Carried,
    Invalid,
    Valid,
    Verdict,
    validate_candidate,
)
from pov_validator.pvf import ExecKind, ExecutorParams, PvfHost, PvfRuntime
from pov_validator.validate import validation_params
from runtime.primitives.parachain import PoV

CHAIN = "kilt-spiritnet-genesis"
TRANSFERS = 10
FLIPS = 25


@pytest.fixture(scope="module")
def spec(vectors_dir: Path) -> ChainSpec:
    spec = parse_runtime_file((vectors_dir / "files" / f"{CHAIN}.json.gz").read_bytes()).spec
    assert spec is not None
    return spec


@pytest.fixture(scope="module")
def para(spec: ChainSpec) -> RealParachain:
    return RealParachain.from_spec(spec, cache=CompileCache.default(), balances=endowed(spec))


@pytest.fixture(scope="module")
def collation(spec: ChainSpec, para: RealParachain) -> Collation:
    return collate_next(para, ModelRelay([para]), transfers(para, sender_of(spec), TRANSFERS))


@pytest.fixture(scope="module")
def host() -> Iterator[PvfHost]:
    with PvfHost(workers=1) as host:
        yield host


def judge(collation: Collation, runtime: PvfRuntime, pov: PoV | None = None) -> Verdict:
    descriptor = collation.descriptor if pov is None else recommit(collation.descriptor, pov)
    return validate_candidate(
        descriptor, collation.commitments.hash(), pov or collation.pov, collation.pvd, runtime, Carried()
    )


def test_an_honest_candidate_is_valid(para: RealParachain, collation: Collation, host: PvfHost) -> None:
    assert len(collation.block.extrinsics) >= TRANSFERS
    for kind in ExecKind:
        verdict = judge(collation, PvfRuntime(para.runtime.code, host, kind=kind))
        assert isinstance(verdict, Valid), verdict
        assert verdict.commitments == collation.commitments


def test_worker_and_process_agree_on_flipped_bits(
    para: RealParachain, collation: Collation, host: PvfHost
) -> None:
    """The same result or the same error, to the word, for a random sample of damage."""
    runtime = PvfRuntime(para.runtime.code, host)
    payload = collation.block_data.encode()
    picks = random.Random(7)
    for _ in range(FLIPS):
        flipped = bytearray(payload)
        flipped[picks.randrange(len(payload))] ^= 1 << picks.randrange(8)
        params = validation_params(collation.pvd, bytes(flipped)).encode()
        outcomes = []
        for each in (runtime, para.runtime):
            context = ValidationContext()
            try:
                outcome: object = each.call("validate_block", params, context)
            except SandboxError as error:
                outcome = (type(error), str(error))
            outcomes.append((outcome, list(context.lines)))
        assert outcomes[0] == outcomes[1]
        verdict = judge(collation, runtime, PoV(bytes(flipped)))
        assert isinstance(verdict, Valid | Invalid)
        assert isinstance(verdict, Invalid) or outcomes[0][0] == verdict.result.encode()
    assert len(host.pids) == 1, "no panic cost a process"


def test_code_that_is_too_large_for_this_validator(para: RealParachain, collation: Collation) -> None:
    with PvfHost(ExecutorParams(code_bomb_limit=100_000), workers=1) as strict:
        verdict = judge(collation, PvfRuntime(para.runtime.code, strict))
    assert isinstance(verdict, Abstain), verdict
    assert verdict.reason is AbstainReason.PREPARATION_FAILED


def test_a_blob_under_other_hashes_is_not_run(
    para: RealParachain, collation: Collation, host: PvfHost
) -> None:
    runtime = PvfRuntime(para.runtime.code, host)
    other = replace(collation.descriptor, validation_code_hash=bytes(32))
    verdict = validate_candidate(
        other, collation.commitments.hash(), collation.pov, collation.pvd, runtime, Carried()
    )
    assert isinstance(verdict, Abstain)
    assert verdict.reason is AbstainReason.VALIDATION_CODE_UNAVAILABLE
