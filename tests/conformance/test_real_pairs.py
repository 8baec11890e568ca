"""A real parachain runtime under a real relay runtime: both networks' own code, and only the signatures are ours.

Every relay genesis at hand that has the parachains pallets of today includes every parachain genesis at hand that can
read its state. The quick part takes one pair.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from host_functions.executor.wasm import CompileCache
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.collator import Collation
from pileus.metadata import StorageItem
from pileus.real_runtimes import RealParachain, RealRelay, Stage, author_and_validate
from pileus.relay_chain.inclusion import RefusalReason
from pileus.relay_chain.real import UnsuitableRelayChain
from pileus.relay_chain.real.coretime import Assigned as CoreAssigned
from pileus.relay_chain.real.coretime import (
    AssignmentState,
    CoreDescriptor,
    Task,
    WorkState,
    core_entries,
    sells_coretime,
)
from pileus.relay_chain.real.parachain_host import GroupRotation
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import twox_256
from runtime.primitives.parachain import CandidateDescriptorV1
from runtime.primitives.relay_keys import ACTIVE_CONFIG, storage_prefix
from runtime.primitives.scale import u32

RELAYS = ["rococo-genesis", pytest.param("development-genesis", marks=pytest.mark.slow)]
PARAS = [
    "rococo-asset-hub-genesis",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "asset-hub-polkadot-genesis",
            "collectives-genesis",
            "kilt-spiritnet-genesis",
            "kusama-asset-hub-genesis",
            "kusama-bridgehub-genesis",
            "kusama-coretime-genesis",
            "moonriver-genesis",
            "polkadot-bridgehub-genesis",
            "polkadot-coretime-genesis",
            "rococo-bridgehub-genesis",
        )
    ),
]


@cache
def load(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


def spec_of(vectors_dir: Path, name: str) -> ChainSpec:
    return load(vectors_dir / "files" / f"{name}.json.gz")


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("para", PARAS)
def test_a_real_relay_runtime_includes_a_real_parachain(vectors_dir: Path, relay: str, para: str) -> None:
    cache = CompileCache.default()
    report = author_and_validate(
        spec_of(vectors_dir, para),
        relay=lambda one: RealRelay.from_spec(spec_of(vectors_dir, relay), [one], cache=cache),
        flips=5,
        cache=cache,
    )
    assert report.passed, report.reason
    assert {result.stage: result.count for result in report.stages}[Stage.INCLUDED] == 3


def next_collation(para: RealParachain, relay: RealRelay) -> Collation:
    collation = para.collator(relay).collate(relay.best_block_hash())
    assert collation is not None
    return collation


def test_forged_candidates_of_a_real_parachain(vectors_dir: Path) -> None:
    cache = CompileCache.default()
    para = RealParachain.from_spec(spec_of(vectors_dir, "rococo-asset-hub-genesis"), cache=cache)
    relay = RealRelay.from_spec(spec_of(vectors_dir, "rococo-genesis"), [para], cache=cache)
    collation = next_collation(para, relay)
    assert isinstance(collation.descriptor, CandidateDescriptorV1)
    before = relay.chain.best

    # A head that the validators did not sign: the runtime filters it, and says nothing.
    backed = relay.chain.back(collation, carried=False).backed
    assert backed is not None
    commitments = backed.candidate.commitments
    head = commitments.head_data[:-9] + bytes([commitments.head_data[-9] ^ 1]) + commitments.head_data[-8:]
    forged = replace(
        backed, candidate=replace(backed.candidate, commitments=replace(commitments, head_data=head))
    )
    built = relay.chain.build_block([forged], parent=before.hash)
    assert built.block.backed == ()
    assert [refusal.reason for refusal in built.refused] == [RefusalReason.PARA_HEAD_MISMATCH]

    # An output that the block does not have: no validator signs it, so the relay runtime never sees it.
    lying = replace(collation, commitments=replace(collation.commitments, processed_downward_messages=1))
    assert relay.chain.back(lying, carried=False).backed is None
    assert relay.include(lying) is not None

    # The honest one is as good as before, on the block that it was made for.
    honest = relay.chain.build_block([backed], parent=before.hash)
    assert honest.block.backed == (backed,)


def test_a_core_for_a_para_is_what_the_coretime_runtimes_take() -> None:
    """The bytes that rococo-1014000, rococo-1015000 and paseo-2003001 schedule para 2000 by."""
    work = WorkState((CoreAssigned(Task(2000), AssignmentState()),))
    assert CoreDescriptor(None, work).encode().hex() == "00010402d007000000e100e100000000e1"
    assert sells_coretime(b"...\x3cCoreDescriptors...")
    assert not sells_coretime(b"...CoreDescriptor...")


@pytest.mark.parametrize(
    "now, frequency, core, group",
    [(11, 0, 1, 1), (10, 10, 1, 1), (20, 10, 1, 2), (30, 10, 2, 1), (29, 10, 2, 0)],
)
def test_groups_rotate_over_the_cores(now: int, frequency: int, core: int, group: int) -> None:
    assert GroupRotation(10, frequency, now).group_of_core(core, 3) == group


class CoretimeMetadata:
    """Says of core descriptors and of the number of cores what the metadata of the two generations say.

    No relay chain that sells coretime is among the chain specs at hand; those of Rococo 1014000 and 1015000 and of
    Paseo 2003001 were tried by hand.
    """

    def __init__(self, pallet: str, hashers: tuple[str, ...]) -> None:
        self._pallet = pallet
        self._hashers = hashers

    def has_item(self, pallet: str, name: str) -> bool:
        return (pallet, name) == (self._pallet, "CoreDescriptors")

    def item(self, pallet: str, name: str) -> StorageItem:
        hashers = self._hashers if name == "CoreDescriptors" else ()
        return StorageItem(storage_prefix(pallet, name), hashers, (), "type", None)

    def storage_key(self, pallet: str, name: str, *keys: bytes) -> bytes:
        return storage_prefix(pallet, name) + b"".join(twox_256(key) for key in keys)

    def field_span(self, type_name: str, data: bytes, *path: str) -> tuple[int, int]:
        assert path == ("scheduler_params", "num_cores")
        if len(data) < 8:
            raise ScaleError("too short", what=type_name)
        return 4, 8


@pytest.mark.parametrize("present, cores", [(0, 2), (1, 2), (5, 5)])
def test_every_para_gets_a_core_in_either_generation(present: int, cores: int) -> None:
    configuration = b"head" + u32.encode(present) + b"tail"
    top = {ACTIVE_CONFIG: configuration}
    first = "00010402d007000000e100e100000000e1"
    second = "00010402d107000000e100e100000000e1"
    old = core_entries(CoretimeMetadata("CoretimeAssignmentProvider", ("Twox256",)), top, [2000, 2001])  # type: ignore[arg-type]
    prefix = storage_prefix("CoretimeAssignmentProvider", "CoreDescriptors")
    assert old == {
        ACTIVE_CONFIG: b"head" + u32.encode(cores) + b"tail",
        prefix + twox_256(u32.encode(0)): bytes.fromhex(first),
        prefix + twox_256(u32.encode(1)): bytes.fromhex(second),
    }
    new = core_entries(CoretimeMetadata("ParaScheduler", ()), top, [2000, 2001])  # type: ignore[arg-type]
    assert new == {
        ACTIVE_CONFIG: b"head" + u32.encode(cores) + b"tail",
        storage_prefix("ParaScheduler", "CoreDescriptors"): bytes.fromhex(
            f"0800000000{first}01000000{second}"
        ),
    }
    assert core_entries(CoretimeMetadata("Elsewhere", ()), top, [2000]) == {}  # type: ignore[arg-type]
    with pytest.raises(UnsuitableRelayChain, match=r"Configuration\.ActiveConfig"):
        core_entries(CoretimeMetadata("ParaScheduler", ()), {}, [2000])  # type: ignore[arg-type]
