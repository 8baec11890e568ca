"""A frozen blob in the PVF workers, exactly as a real blob: prepared, metered, bounded, judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from host_functions.contexts import ValidationContext
from host_functions.errors import GuestPanic
from host_functions.executor.frozen.freeze import FrozenBlob
from host_functions.executor.wasm import DeadlineExceeded, OutOfMemory, Trap
from pileus.collator import Collation
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pileus.testing import recommit
from pov_validator import Carried, Invalid, OwnState, Valid, Verdict, validate_candidate
from pov_validator.pvf import ExecutorParams, PvfHost, PvfRuntime
from runtime.primitives.parachain import PoV
from runtime.primitives.scale import u32

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[PvfHost]:
    with PvfHost(ExecutorParams()) as started:
        yield started


@pytest.mark.parametrize("carried", [False, True])
def test_candidates_of_a_frozen_runtime(demo_blob: FrozenBlob, host: PvfHost, carried: bool) -> None:
    """Relay reads leave the worker for the validator's own state, or are answered from the proof that is carried."""
    topology = Topology(
        relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
        parachains=(Parachain(id=2000, collators=(Collator("charlie"),), execution="both"),),
    )
    network = Network(topology, seed=0, relay_state="carried" if carried else "own")
    collations = [one.collation for report in network.run(4) for one in report.candidates]
    assert len(collations) == 2
    runtime = PvfRuntime(demo_blob.code, host)
    source = Carried() if carried else OwnState(network.chain.database)

    def judge(collation: Collation, pov: PoV) -> Verdict:
        descriptor = recommit(collation.descriptor, pov)
        return validate_candidate(
            descriptor, collation.commitments.hash(), pov, collation.pvd, runtime, source
        )

    for collation in collations:
        verdict = judge(collation, collation.pov)
        assert isinstance(verdict, Valid), verdict
        assert verdict.result.to_commitments() == collation.commitments
        flipped = bytearray(collation.pov.block_data)
        flipped[len(flipped) // 2] ^= 1
        assert isinstance(judge(collation, PoV(bytes(flipped))), Invalid)


def test_failures_keep_their_class_across_the_process(trouble_blob: FrozenBlob, host: PvfHost) -> None:
    runtime = PvfRuntime(trouble_blob.code, host)
    with pytest.raises(GuestPanic, match=r"(?s)Odd: it went wrong with 01.*trouble\.py"):
        runtime.call("Trouble_fail", b"\x01", ValidationContext())
    with pytest.raises(OutOfMemory):
        runtime.call("Trouble_allocate", u32.encode(2**30), ValidationContext())
    with pytest.raises(Trap, match=r"RecursionError|stack"):
        runtime.call("Trouble_recurse", b"", ValidationContext())
    with pytest.raises(DeadlineExceeded):
        runtime.call("Trouble_spin", b"", ValidationContext())
    assert runtime.call("Trouble_echo", b"still here", ValidationContext()) == b"still here"
