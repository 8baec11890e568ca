"""A dishonest collator, who holds the real aura key: every forgery is sealed well, and refused with its reason.

Most tampering dies at the seal; here the seal is always good, so each check behind it has to do its own work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from pileus.collator import Collation
from pileus.network.parachain import dev_keypair
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology, Traffic
from pileus.testing import reseal
from pov_validator import Abstain, Carried, Invalid, OwnState, Valid, Verdict, validate_candidate
from runtime.chains import demo
from runtime.primitives.additional_data import (
    RELAY_PROOF_KEY,
    hash_commitments,
    parse_relay_proof_entry,
    relay_proof_entry,
)
from runtime.primitives.block import Block
from runtime.primitives.digest import AURA, AdditionalData, Consensus, PreRuntime
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import PoV
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.primitives.scale import u64

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(Parachain(id=para, collators=(Collator(f"collator-{para}"),)) for para in (2000, 2001)),
    traffic=(Traffic(source=2000, destination=2001, every=3, size=8),),
)
KEY = dev_keypair("collator-2001")
Forgery = Callable[[ParachainBlockData], ParachainBlockData]


@cache
def candidate(mode: str) -> tuple[Network, Collation]:
    network = Network(TOPOLOGY, seed=5, relay_state=mode)  # type: ignore[arg-type]
    for _ in range(20):
        for report in network.step().candidates:
            if report.proven:
                return network, report.collation
    raise AssertionError("no message was ever received")


def judge(mode: str, data: ParachainBlockData, *, own: bool | None = None) -> Verdict:
    """Judge a PoV whose descriptor claims whatever its header claims."""
    network, collation = candidate(mode)
    head = data.blocks[-1].header.encode() if data.blocks else b""
    commitments = replace(collation.commitments, head_data=head)
    pov = PoV(data.encode())
    descriptor = replace(collation.descriptor, pov_hash=pov.hash(), para_head=blake2_256(head))
    carried = mode == "carried" if own is None else not own
    source = Carried() if carried else OwnState(network.chain.database)
    runtime = network.parachains[0].runtime
    return validate_candidate(descriptor, commitments.hash(), pov, collation.pvd, runtime, source)


def with_header(change: Callable[[Header], Header]) -> Forgery:
    def forge(data: ParachainBlockData) -> ParachainBlockData:
        block = data.blocks[0]
        return replace(data, blocks=(Block(reseal(change(block.header), KEY), block.extrinsics),))

    return forge


def with_extrinsics(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Forgery:
    def forge(data: ParachainBlockData) -> ParachainBlockData:
        block = data.blocks[0]
        return replace(data, blocks=(Block(block.header, change(block.extrinsics)),))

    return forge


def with_digest(change: Callable[[tuple[object, ...]], tuple[object, ...]]) -> Forgery:
    return with_header(lambda header: replace(header, digest=change(header.digest)))  # type: ignore[arg-type]


def flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


UNSIGNED = Extrinsic.bare(demo.system.call_of(demo.system.remark, b"!").encode()).encode()

FORGERIES: dict[str, tuple[Forgery, str]] = {
    "state root": (
        with_header(lambda h: replace(h, state_root=flip(h.state_root))),
        "Storage root must match",
    ),
    "extrinsics root": (
        with_header(lambda h: replace(h, extrinsics_root=flip(h.extrinsics_root))),
        "Transaction trie must be valid",
    ),
    "parent hash": (
        with_header(lambda h: replace(h, parent_hash=flip(h.parent_hash))),
        "Invalid parent hash",
    ),
    "number": (with_header(lambda h: replace(h, number=h.number + 1)), "does not follow"),
    "an extrinsic more": (with_extrinsics(lambda xts: (*xts, UNSIGNED)), "must be signed"),
    "an inherent less": (
        with_extrinsics(lambda xts: xts[1:]),
        "set_validation_data inherent needs to be present",
    ),
    "an inherent twice": (with_extrinsics(lambda xts: (xts[0], *xts)), "updated only once"),
    "messages left out": (with_extrinsics(lambda xts: xts[:2]), "must match that calculated"),
    "inherents in another order": (
        with_extrinsics(lambda xts: (xts[1], xts[0], *xts[2:])),
        "Storage root must match",
    ),
    "garbage extrinsic": (with_extrinsics(lambda xts: (*xts, b"\x04\x04")), "does not decode"),
    "a witness item less": (lambda data: replace(data, proof=data.proof[:-1]), ""),
    "a witness item more": (lambda data: replace(data, proof=(*data.proof, b"\x00")), ""),
    "no witness": (lambda data: replace(data, proof=()), ""),
    "witness items swapped": (lambda data: replace(data, proof=(*data.proof[1:], data.proof[0])), ""),
    "no seal": (
        lambda data: replace(
            data, blocks=(Block(data.blocks[0].header.without_seal()[0], data.blocks[0].extrinsics),)
        ),
        "must have a seal",
    ),
    "another author": (
        lambda data: replace(
            data,
            blocks=(Block(reseal(data.blocks[0].header, dev_keypair("mallory")), data.blocks[0].extrinsics),),
        ),
        "not the slot author's signature",
    ),
    "a later slot": (
        with_digest(
            lambda items: tuple(
                PreRuntime(AURA, u64.encode(u64.decode(i.data) + 1)) if isinstance(i, PreRuntime) else i
                for i in items
            )
        ),
        "slot",
    ),
    "a relay digest less": (
        with_digest(lambda items: tuple(i for i in items if not isinstance(i, Consensus))),
        "Number of digest items",
    ),
    "a digest item more": (
        with_digest(lambda items: (*items[:-1], Consensus(b"xxxx", b""), items[-1])),
        "Number of digest items",
    ),
    "no block": (lambda data: replace(data, blocks=(), additional_data=()), "no block"),
    "the block twice": (lambda data: replace(data, blocks=data.blocks * 2), "block"),
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.parametrize("mode", ["own", "carried"])
def test_a_sealed_forgery_is_refused_with_its_reason(mode: str, name: str) -> None:
    forge, reason = FORGERIES[name]
    _, collation = candidate(mode)
    forged = forge(collation.block_data)
    assert forged != collation.block_data
    verdict = judge(mode, forged)
    assert isinstance(verdict, Invalid)
    assert reason in verdict.detail


def test_the_judge_accepts_what_is_not_forged() -> None:
    for mode in ("own", "carried"):
        _, collation = candidate(mode)
        assert isinstance(judge(mode, collation.block_data), Valid)


# The carried proof.


def carried_nodes(data: ParachainBlockData) -> tuple[bytes, tuple[bytes, ...]]:
    additional = data.additional_data[0]
    assert additional is not None
    return parse_relay_proof_entry(additional[RELAY_PROOF_KEY])


def with_carried(data: ParachainBlockData, additional: dict[str, bytes] | None) -> ParachainBlockData:
    """Replace the additional data, with a header that commits to it."""
    block = data.blocks[0]
    commitment = None if additional is None else hash_commitments(additional)
    digest = tuple(item for item in block.header.digest[:-1] if not isinstance(item, AdditionalData))
    if commitment is not None:
        digest = (*digest, AdditionalData(commitment))
    header = reseal(replace(block.header, digest=(*digest, block.header.digest[-1])), KEY)
    return replace(data, blocks=(Block(header, block.extrinsics),), additional_data=(additional,))


@pytest.mark.parametrize("own", [True, False])
def test_one_candidate_both_answerers(own: bool) -> None:
    """A candidate that carries its proof is judged the same by a validator that asks its own state."""
    _, collation = candidate("carried")
    verdict = judge("carried", collation.block_data, own=own)
    assert isinstance(verdict, Valid)
    assert verdict.result.to_commitments() == collation.commitments


def test_each_carried_node_is_needed() -> None:
    _, collation = candidate("carried")
    root, nodes = carried_nodes(collation.block_data)
    assert len(nodes) > 2
    for position in range(len(nodes)):
        entry = relay_proof_entry(root, nodes[:position] + nodes[position + 1 :])
        forged = with_carried(collation.block_data, {RELAY_PROOF_KEY: entry})
        assert isinstance(judge("carried", forged), Invalid)
        # Whoever reads its own state sees that the header commits to less than was read.
        verdict = judge("carried", forged, own=True)
        assert isinstance(verdict, Invalid)
        assert "Digest item must match" in verdict.detail


def test_no_carried_node_may_be_added() -> None:
    _, collation = candidate("carried")
    root, nodes = carried_nodes(collation.block_data)
    entry = relay_proof_entry(root, tuple(sorted((*nodes, b"\x42\x01\x04\x01"))))
    forged = with_carried(collation.block_data, {RELAY_PROOF_KEY: entry})
    for own in (True, False):
        verdict = judge("carried", forged, own=own)
        assert isinstance(verdict, Invalid)
        assert "Digest item must match" in verdict.detail


def test_the_carried_root_is_not_trusted() -> None:
    _, collation = candidate("carried")
    _, nodes = carried_nodes(collation.block_data)
    forged = with_carried(collation.block_data, {RELAY_PROOF_KEY: relay_proof_entry(bytes(32), nodes)})
    assert isinstance(judge("carried", forged), Invalid)


def test_data_and_digest_stand_or_fall_together() -> None:
    _, collation = candidate("carried")
    data = collation.block_data
    for own in (True, False):
        assert isinstance(judge("carried", replace(data, additional_data=(None,)), own=own), Invalid)
        assert isinstance(judge("carried", replace(data, additional_data=()), own=own), Invalid)
        assert isinstance(judge("carried", with_carried(data, None), own=own), Invalid)
        verdict = judge("carried", with_carried(data, {}), own=own)
        assert isinstance(verdict, Invalid)
        assert "without an entry" in verdict.detail


def test_reads_without_a_carried_proof_cannot_be_judged_by_carried_proof() -> None:
    """The candidate of the ``own`` form carries nothing: valid by a validator's own state, not judged without."""
    _, collation = candidate("own")
    assert isinstance(judge("own", collation.block_data), Valid)
    assert isinstance(judge("own", collation.block_data, own=False), Invalid)


def test_a_validator_without_the_state_abstains() -> None:
    network, collation = candidate("own")
    empty = Network(TOPOLOGY, seed=6, relay_state="own")
    verdict = validate_candidate(
        collation.descriptor,
        collation.commitments.hash(),
        collation.pov,
        collation.pvd,
        network.parachains[0].runtime,
        OwnState(empty.chain.database),
    )
    assert isinstance(verdict, Abstain)
