"""Flip every bit of a small candidate: never `Valid` with another result, and never `Abstain`.

The PoV hash is recomputed after each flip, so what stands between a forged PoV and the relay chain is the validation
function alone. Both relay-state forms; the carried one includes the carried proof.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice

import pytest

from pileus.collator import Collation
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology, Traffic
from pileus.testing import bit_flips, recommit
from pov_validator import Carried, Invalid, OwnState, Valid, Verdict, validate_candidate
from runtime.primitives.parachain import PersistedValidationData, PoV

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(Parachain(id=para, collators=(Collator(f"collator-{para}"),)) for para in (2000, 2001)),
    traffic=(Traffic(source=2000, destination=2001, every=3, size=8),),
)
CHUNKS = 6


@cache
def candidate(mode: str) -> tuple[Network, Collation]:
    """A candidate that receives one message, with its network."""
    network = Network(TOPOLOGY, seed=5, relay_state=mode)  # type: ignore[arg-type]
    for _ in range(20):
        for report in network.step().candidates:
            if report.proven:
                return network, report.collation
    raise AssertionError("no message was ever received")


def judge(mode: str, pov: PoV, pvd: PersistedValidationData) -> Verdict:
    network, collation = candidate(mode)
    descriptor = replace(recommit(collation.descriptor, pov), persisted_validation_data_hash=pvd.hash())
    source = Carried() if mode == "carried" else OwnState(network.chain.database)
    runtime = network.parachains[0].runtime
    return validate_candidate(descriptor, collation.commitments.hash(), pov, pvd, runtime, source)


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_the_candidate_itself_is_valid(mode: str) -> None:
    _, collation = candidate(mode)
    uncompressed = PoV(collation.block_data.encode())
    assert isinstance(judge(mode, collation.pov, collation.pvd), Valid)
    assert isinstance(judge(mode, uncompressed, collation.pvd), Valid)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("mode", ["own", "carried"])
def test_every_bit_of_the_pov(mode: str, chunk: int) -> None:
    _, collation = candidate(mode)
    data = collation.block_data.encode()
    for bit, flipped in islice(bit_flips(data), chunk, None, CHUNKS):
        verdict = judge(mode, PoV(flipped), collation.pvd)
        assert isinstance(verdict, Invalid), (bit, verdict)


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_every_bit_of_the_validation_data(mode: str) -> None:
    """The parent head, relay parent number and storage root; the size limit alone may change without effect."""
    _, collation = candidate(mode)
    encoded = collation.pvd.encode()
    for bit, flipped in islice(bit_flips(encoded), 8 * (len(encoded) - 4)):
        try:
            pvd = PersistedValidationData.decode(flipped)
        except ValueError:
            continue
        verdict = judge(mode, collation.pov, pvd)
        assert not isinstance(verdict, Valid), bit


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_bytes_after_the_pov_are_ignored_as_cumulus_ignores_them(mode: str) -> None:
    _, collation = candidate(mode)
    verdict = judge(mode, PoV(collation.block_data.encode() + b"junk"), collation.pvd)
    assert isinstance(verdict, Valid)
    assert verdict.result.to_commitments() == collation.commitments


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_every_truncation_is_invalid(mode: str) -> None:
    _, collation = candidate(mode)
    data = collation.block_data.encode()
    for length in range(len(data)):
        assert isinstance(judge(mode, PoV(data[:length]), collation.pvd), Invalid), length
