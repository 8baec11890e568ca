"""Real parachain runtimes: authoring, ``Core_execute_block`` and ``validate_block`` agree on every block.

The genesis states and the runtimes in them are those of public networks; one key of ours takes the collators' place.
That the blob's own ``validate_block`` accepts our PoV is the judgement of code that nobody here wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, decompress
from host_functions.contexts import ValidationContext
from host_functions.errors import SandboxError
from host_functions.executor.wasm import CompileCache, WasmRuntime, parse_blob
from host_functions.state_machine import Storage
from pileus.chain_spec import CODE, ChainSpec, parse_runtime_file
from pileus.collator import Collation
from pileus.real_runtimes import ModelRelay, RealParachain, Stage, author_and_validate, bare_spec
from pileus.testing.tampering import bit_flips
from pov_validator.validate import validation_params
from runtime.primitives.block import Block
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.parachain import ValidationResult
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.trie.layout import KECCAK_256

QUICK = {
    "asset-hub-polkadot-genesis": ("Unsealed", "compact"),
    "kilt-spiritnet-genesis": ("Aura", "compact"),
    "moonriver-genesis": ("Nimbus", "plain"),
}
"""One of each kind of consensus, with the container its validation function takes."""
SLOW = {
    "collectives-genesis": ("Aura", "compact"),
    "kusama-asset-hub-genesis": ("Unsealed", "plain"),
    "kusama-bridgehub-genesis": ("Aura", "compact"),
    "kusama-coretime-genesis": ("Aura", "compact"),
    "polkadot-bridgehub-genesis": ("Aura", "compact"),
    "polkadot-coretime-genesis": ("Aura", "compact"),
    "rococo-asset-hub-genesis": ("Aura", "compact"),
    "rococo-bridgehub-genesis": ("Aura", "compact"),
}
EVERY = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
BLOCKS = 3
FLIPS = 20

Specs = Callable[[str], ChainSpec]


@cache
def load_spec(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


@pytest.fixture(scope="session")
def spec(vectors_dir: Path) -> Specs:
    return lambda name: load_spec(vectors_dir / "files" / f"{name}.json.gz")


@pytest.fixture(scope="session")
def compiled() -> CompileCache:
    return CompileCache.default()


def test_every_genesis_with_a_validation_function_is_listed(vectors_dir: Path) -> None:
    found = set()
    for path in (vectors_dir / "files").glob("*-genesis.json.gz"):
        code = load_spec(path).code
        if code and "validate_block" in parse_blob(decompress(code, CODE_BLOB_BOMB_LIMIT)).entry_points:
            found.add(path.name.removesuffix(".json.gz"))
    assert found == set(QUICK) | set(SLOW)


@pytest.mark.parametrize("name", EVERY)
def test_three_ways_to_a_block_agree(spec: Specs, compiled: CompileCache, name: str) -> None:
    report = author_and_validate(spec(name), blocks=BLOCKS, flips=FLIPS, cache=compiled)
    assert report.passed, report.reason
    assert {result.stage: result.count for result in report.stages} == {
        Stage.STARTS: 1,
        Stage.AUTHORED: BLOCKS,
        Stage.EXECUTED: BLOCKS,
        Stage.VALIDATED: BLOCKS,
        Stage.INCLUDED: BLOCKS,
        Stage.FLIPS_REFUSED: FLIPS,
    }
    assert [block.number for block in report.blocks] == [1, 2, 3]
    assert report.para is not None
    consensus, _ = (QUICK | SLOW)[name]
    assert type(report.para.node.consensus_at(report.para.node.best_hash)).__name__ == consensus


def authored(para: RealParachain, relay: ModelRelay) -> Collation:
    collator = para.collator(relay)
    for _ in range(4):
        collation = collator.collate(relay.best_block_hash())
        if collation is not None:
            return collation
        relay.advance()
    raise AssertionError("never the collator's turn")


@pytest.fixture(scope="module")
def candidate(spec: Specs, compiled: CompileCache) -> Callable[[str], tuple[RealParachain, Collation]]:
    @cache
    def make(name: str) -> tuple[RealParachain, Collation]:
        para = RealParachain.from_spec(spec(name), cache=compiled)
        return para, authored(para, ModelRelay([para]))

    return make


def verdict(para: RealParachain, collation: Collation, payload: bytes) -> ValidationResult:
    params = validation_params(collation.pvd, payload).encode()
    return ValidationResult.decode(para.runtime.call("validate_block", params, ValidationContext()))


def resealed(para: RealParachain, header: Header) -> Header:
    """The changed header, signed by the author all the same: only execution can tell."""
    unsealed, _ = header.without_seal()
    engine = para.node.consensus_at(para.node.genesis_hash)
    return engine.seal(unsealed, para.keypair, para.node.digest)


def with_header(collation: Collation, header: Header) -> ParachainBlockData:
    block = Block(header, collation.block.extrinsics)
    return replace(collation.block_data, blocks=(block,))


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


Candidate = Callable[[str], tuple[RealParachain, Collation]]


@pytest.mark.parametrize("name", QUICK)
def test_the_honest_payload_is_accepted_in_its_own_container_only(candidate: Candidate, name: str) -> None:
    para, collation = candidate(name)
    honest = collation.block_data
    result = verdict(para, collation, honest.encode())
    assert result.head_data == collation.block.header.encode()
    assert result.to_commitments() == collation.commitments
    plain = tuple(sorted(collation.proposal.proof_nodes.values()))
    assert (honest.proof == plain) == (QUICK[name][1] == "plain")
    assert honest.version == 0
    with pytest.raises(SandboxError, match="block data"):
        verdict(para, collation, replace(honest, version=1).encode())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    "field, panic",
    [
        ("parent_hash", "Invalid parent hash"),
        ("state_root", "Storage root must match"),
        ("extrinsics_root", "Transaction trie root must be valid"),
    ],
)
def test_a_changed_header_is_refused_by_name(candidate: Candidate, name: str, field: str, panic: str) -> None:
    para, collation = candidate(name)
    header = collation.block.header
    changed = resealed(para, replace(header, **{field: flipped(getattr(header, field))}))
    with pytest.raises(SandboxError, match=panic):
        verdict(para, collation, with_header(collation, changed).encode())


def test_a_changed_seal_is_refused_by_name(candidate: Candidate) -> None:
    para, collation = candidate("kilt-spiritnet-genesis")
    header, seal = collation.block.header.without_seal()
    assert seal is not None
    changed = replace(header, digest=(*header.digest, replace(seal, data=flipped(seal.data))))
    with pytest.raises(SandboxError, match="Invalid AuRa seal"):
        verdict(para, collation, with_header(collation, changed).encode())


@pytest.mark.parametrize("name", QUICK)
def test_every_node_of_the_proof_is_needed(candidate: Candidate, name: str) -> None:
    """A witness without one of its items proves another trie, or not enough of this one."""
    para, collation = candidate(name)
    items = collation.block_data.proof
    unneeded = 0
    for left_out in range(len(items)):
        payload = replace(collation.block_data, proof=items[:left_out] + items[left_out + 1 :])
        try:
            assert verdict(para, collation, payload.encode()).to_commitments() == collation.commitments
            unneeded += 1
        except SandboxError:
            continue
    # Plain nodes are a set, and inherents that were only created, in a transaction rolled back, are not in it.
    assert unneeded == 0


def test_a_node_refuses_what_the_runtime_refuses(spec: Specs, compiled: CompileCache) -> None:
    """Full nodes import by ``Core_execute_block``; what is wrong with a block is said in the runtime's own words."""
    para = RealParachain.from_spec(spec("kilt-spiritnet-genesis"), cache=compiled)
    relay = ModelRelay([para])
    collation = authored(para, relay)
    node, block = para.node, collation.block
    reader = relay.relay_state_prover(collation.descriptor.relay_parent)
    header = block.header
    for field, panic in (
        ("state_root", "Storage root must match that calculated"),
        ("extrinsics_root", "Transaction trie root must be valid"),
    ):
        changed = replace(header, **{field: flipped(getattr(header, field))})
        with pytest.raises(SandboxError, match=f"Core_execute_block: panicked at .*{panic}"):
            node.import_block(Block(resealed(para, changed), block.extrinsics), reader)
    with pytest.raises(InvalidBlock, match="Invalid AuRa seal"):
        node.import_block(Block(replace(header, state_root=bytes(32)), block.extrinsics), reader)
    with pytest.raises(InvalidBlock, match=r"parent 0x\w+ is not imported"):
        orphan = replace(header, parent_hash=flipped(header.parent_hash))
        node.import_block(Block(resealed(para, orphan), block.extrinsics), reader)
    with pytest.raises(SandboxError, match="Core_execute_block: panicked at"):
        node.import_block(Block(header, block.extrinsics[:-1]), reader)
    assert node.best_hash == node.genesis_hash
    imported = node.import_block(block, reader)
    assert imported.proof_size == collation.proposal.storage_proof_size
    assert node.best_hash == header.hash()
    assert node.import_block(block, reader) is imported


def test_another_hash_function_is_another_chain(spec: Specs, compiled: CompileCache) -> None:
    """With the wrong one everything looks plausible until ``validate_block`` computes the parent's hash itself."""
    report = author_and_validate(spec("kilt-spiritnet-genesis"), hasher=KECCAK_256, blocks=1, cache=compiled)
    assert not report.passed
    assert report.reason is not None
    assert report.reason.startswith("authored: ")
    assert "compact: validate_block: panicked at 'Invalid parent hash'" in report.reason


def test_a_relay_runtime_is_no_parachain(spec: Specs, compiled: CompileCache) -> None:
    report = author_and_validate(spec("local-testnet-genesis"), cache=compiled)
    assert [result.passed for result in report.stages] == [False]
    assert report.reason == "starts: no parachain runtime: it has no validate_block"


@pytest.mark.parametrize(
    "name",
    [
        "kilt-spiritnet-genesis",
        "moonriver-genesis",
        *(pytest.param(name, marks=pytest.mark.slow) for name in [*SLOW, "asset-hub-polkadot-genesis"]),
    ],
)
def test_a_bare_runtime_gets_a_genesis_it_can_begin_with(
    spec: Specs, compiled: CompileCache, name: str
) -> None:
    """The code of each network without its genesis; no PoV carries the code, for want of a neighbour or otherwise."""
    code = spec(name).code
    assert code is not None
    bare = bare_spec(WasmRuntime(code, cache=compiled))
    report = author_and_validate(bare, blocks=2, flips=5, cache=compiled)
    assert report.passed, report.reason
    assert report.para is not None
    assert report.para.para_id == bare.para_id == 2000
    assert all(block.pov_bytes < 10_000 for block in report.blocks)


@settings(max_examples=15)
@given(st.data())
def test_a_damaged_genesis_ends_in_a_report(vectors_dir: Path, data: st.DataObject) -> None:
    """Whatever a genesis holds, the runtime's panic or our refusal is the reason of a stage; nothing escapes."""
    genesis = load_spec(vectors_dir / "files" / "asset-hub-polkadot-genesis.json.gz").genesis
    top = dict(genesis.top)
    keys = sorted(key for key in top if key != CODE)
    for key in data.draw(st.sets(st.sampled_from(keys), min_size=1, max_size=3)):
        value = data.draw(st.none() | st.binary(max_size=80))
        if value is None:
            del top[key]
        else:
            top[key] = value
    report = author_and_validate(ChainSpec(Storage(top)), blocks=1, flips=2, cache=CompileCache.default())
    assert report.passed == (report.reason is None)
    if report.reason is not None:
        assert report.stages[-1].reason in report.reason
        assert "\n" not in report.reason.replace("\n  left:", "").replace("\n right:", "")  # assert_eq!


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nexus.json", "gargantua.paseo.json"])
def test_a_keccak_chain(more_chain: Callable[[str], Path], compiled: CompileCache, name: str) -> None:
    """No npm package has one: put the chain specs of the Hyperbridge repository there."""
    report = author_and_validate(load_spec(more_chain(name)), cache=compiled)
    assert report.passed, report.reason
    assert report.para is not None
    assert report.para.genesis.layout.hasher == KECCAK_256


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_no_flipped_bit_is_accepted_with_another_result(candidate: Candidate, name: str) -> None:
    """One bit of each byte, every byte; which bit follows from the position."""
    para, collation = candidate(name)
    payload = collation.block_data.encode()
    for bit, changed in bit_flips(payload):
        if bit % 8 != (bit // 8) % 8:
            continue
        try:
            result = verdict(para, collation, changed)
        except SandboxError:
            continue
        assert result.to_commitments() == collation.commitments, bit
