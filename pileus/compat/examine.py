"""One file, tried column by column until something does not work.

What a chain spec is decides what is asked of it: a parachain is put under a relay chain and judged by its own
validation function (`pileus.real_runtimes.stages`), a relay chain makes blocks and includes a parachain of ours, any
other chain makes blocks. Whatever the runtime does ends as the reason in the row.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from host_functions.compressed_blob import BlobError
from host_functions.contexts import OffchainContext
from host_functions.errors import PileusError, SandboxError
from host_functions.executor import NativeRuntime
from host_functions.executor.wasm import CompileCache, InvalidCode, WasmRuntime
from host_functions.state_machine import FullBackend, Storage
from pileus.chain_spec import ChainSpec, build_genesis, hasher_of
from pileus.collator import Collator, ParachainNode
from pileus.compat.matrix import Cell, Column, Kind, Row, Timings
from pileus.keyring import Keypair
from pileus.metadata import Metadata
from pileus.real_runtimes import RealParachain, RealRelay, Stage, author_and_validate, bare_spec
from pileus.real_runtimes.own_chain import OwnChain
from pileus.real_runtimes.parachain import CALL_TIMEOUT
from pileus.real_runtimes.stages import IncludingRelay, Report
from pileus.relay_chain.real import ParaRegistration, UnsuitableRelayChain
from pileus.relay_chain.real.genesis import active_validator_keys
from runtime.chains.demo import GenesisConfig
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import byte_vec

__all__ = ["examine"]

DEMO: Final = "runtime.chains.demo"
DEMO_PARA: Final = 2000
MODEL: Final = "model"
"""The relay chain model, where no real relay chain is given."""
COLUMNS: Final = {
    Stage.AUTHORED: Column.AUTHORED,
    Stage.EXECUTED: Column.EXECUTED,
    Stage.VALIDATED: Column.VALIDATED,
    Stage.INCLUDED: Column.INCLUDED,
    Stage.FLIPS_REFUSED: Column.FLIPS_REFUSED,
}
PARACHAIN_ENTRY_POINT: Final = "validate_block"
VERSION_ENTRY_POINT: Final = "Core_version"
RELAY_ENTRY_POINT: Final = "ParachainHost_availability_cores"

RUNTIME_FAULTS: Final = (PileusError, BlobError, ValueError)
"""What a runtime, or a genesis that does not suit it, can make our code raise."""


class _Examination:
    """A row in the making."""

    def __init__(self, file: str, kind: Kind, chain: str | None) -> None:
        self.file = file
        self.kind = kind
        self.chain = chain
        self.runtime: str | None = None
        self.cells: dict[Column, Cell] = {}
        self.details: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.reason: str | None = None

    def attempt(self, column: Column, work: Callable[[], int]) -> bool:
        """Fill a cell with what `work` counts; false, and the reason noted, if it fails."""
        try:
            self.cells[column] = Cell(True, work())
        except RUNTIME_FAULTS as error:
            self.fail(column, str(error) or type(error).__name__)
            return False
        return True

    def fail(self, column: Column, reason: str, count: int = 0) -> None:
        self.cells[column] = Cell(False, count)
        self.reason = f"{column.value}: {reason}"

    def fastest(self, what: str, seconds: float) -> None:
        self.seconds[what] = min(seconds, self.seconds.get(what, seconds))

    def row(self) -> Row:
        return Row(
            self.file,
            self.kind,
            self.cells,
            self.reason,
            self.chain,
            self.runtime,
            self.details,
            Timings(**self.seconds),
        )


def examine(
    file: str,
    spec: ChainSpec | None,
    code: bytes | None,
    *,
    relays: Sequence[tuple[str, ChainSpec]] = (),
    blocks: int = 3,
    flips: int = 20,
    seed: int = 0,
    cache: CompileCache | None = None,
) -> Row:
    """The row of one file that was read: a chain spec, or a blob (`spec` is ``None``).

    A parachain's blob without a genesis gets one made for it. `relays` are tried in turn, by name, until one includes
    the parachain; without any it is the model relay chain. `blocks` are made; `flips` bits are flipped in the last PoV,
    or in the first block, chosen by `seed`.
    """
    chain = None if spec is None else spec.id or spec.name
    examination = _Examination(file, Kind.BLOB if spec is None else Kind.CHAIN, chain)
    if code is None:
        return Row(file, Kind.UNREADABLE, reason="the state has no runtime under :code", chain=chain)
    runtime = _compile(examination, code, cache)
    if runtime is None:
        return examination.row()
    if spec is None:
        if not _describe(examination, runtime, Storage()) or not _is_parachain(runtime):
            return examination.row()
        try:
            spec = bare_spec(runtime)
        except RUNTIME_FAULTS as error:
            examination.kind = Kind.PARACHAIN
            examination.fail(Column.GENESIS, f"none can be made for the runtime: {error}")
            return examination.row()
        examination.details["made_genesis"] = True
    examination.kind = _kind(runtime, spec)
    if not _describe(examination, runtime, spec.genesis) or not examination.attempt(
        Column.GENESIS, lambda: _genesis(examination, runtime, spec)
    ):
        return examination.row()
    if examination.kind is Kind.PARACHAIN:
        _parachain(examination, spec, relays, blocks=blocks, flips=flips, seed=seed, cache=cache)
    else:
        _own_chain(examination, spec, blocks=blocks, flips=flips, seed=seed, cache=cache)
    return examination.row()


def _compile(examination: _Examination, code: bytes, cache: CompileCache | None) -> WasmRuntime | None:
    started = time.perf_counter()
    try:
        runtime = WasmRuntime(code, cache=cache, timeout=CALL_TIMEOUT)
    except (BlobError, InvalidCode) as error:
        examination.fail(Column.COMPILES, str(error))
        return None
    examination.seconds["compile"] = time.perf_counter() - started
    examination.cells[Column.COMPILES] = Cell(True, 1)
    examination.details |= {
        "code_hash": f"0x{runtime.code_hash.hex()}",
        "code_bytes": len(code),
        "wasm_bytes": len(runtime.blob.code),
    }
    return runtime


def _describe(examination: _Examination, runtime: WasmRuntime, storage: Storage) -> bool:
    """Version and metadata. A validation function that is no runtime has neither, and need not.

    Metadata states the values of constants, which may be read from the state.
    """
    if examination.kind is Kind.BLOB and VERSION_ENTRY_POINT not in runtime.blob.entry_points:
        examination.cells[Column.METADATA] = Cell(True, 0)
        return True

    def tell() -> int:
        version = runtime.version
        examination.runtime = f"{version.spec_name}-{version.spec_version}"
        examination.details["state_version"] = version.state_version
        genesis = build_genesis(storage, version.state_version)
        backend = FullBackend(genesis.nodes, genesis.header.state_root, genesis.layout)
        answer = runtime.call("Metadata_metadata", b"", OffchainContext(backend, max_level=0))
        examination.details["metadata_version"] = Metadata(byte_vec.decode(answer)).version
        return 1

    return examination.attempt(Column.METADATA, tell)


def _is_parachain(runtime: WasmRuntime) -> bool:
    """Whether it is a runtime with a validation function; there are validation functions that are no runtimes."""
    return {PARACHAIN_ENTRY_POINT, VERSION_ENTRY_POINT} <= set(runtime.blob.entry_points)


def _kind(runtime: WasmRuntime, spec: ChainSpec) -> Kind:
    if _is_parachain(runtime):
        return Kind.PARACHAIN
    if RELAY_ENTRY_POINT in runtime.blob.entry_points:
        try:
            active_validator_keys(spec.genesis.top)
        except UnsuitableRelayChain:
            return Kind.CHAIN
        return Kind.RELAY_CHAIN
    return Kind.CHAIN


def _genesis(examination: _Examination, runtime: WasmRuntime, spec: ChainSpec) -> int:
    genesis = build_genesis(spec.genesis, runtime.version.state_version, hasher_of(runtime.code))
    examination.details |= {
        "keys": len(spec.genesis.top),
        "state_root": f"0x{genesis.header.state_root.hex()}",
        "genesis_hash": f"0x{genesis.hash.hex()}",
    }
    return 1


# -- parachains --------------------------------------------------------------------------------------------


def _parachain(
    examination: _Examination,
    spec: ChainSpec,
    relays: Sequence[tuple[str, ChainSpec]],
    *,
    blocks: int,
    flips: int,
    seed: int,
    cache: CompileCache | None,
) -> None:
    makers: list[tuple[str, Callable[[RealParachain], IncludingRelay] | None]] = [
        (name, partial(_real_relay, relay, cache)) for name, relay in relays
    ]
    reports: list[tuple[str, Report]] = []
    for name, maker in makers or [(MODEL, None)]:
        report = author_and_validate(spec, relay=maker, blocks=blocks, flips=flips, seed=seed, cache=cache)
        reports.append((name, report))
        if report.passed:
            break
    name, report = max(reports, key=lambda one: (one[1].passed, len(one[1].stages)))
    _take_report(examination, name, report)


def _real_relay(relay: ChainSpec, cache: CompileCache | None, para: RealParachain) -> IncludingRelay:
    return RealRelay.from_spec(relay, [para], cache=cache)


def _take_report(examination: _Examination, relay: str, report: Report) -> None:
    if report.para is not None:
        para = report.para
        engine = para.node.consensus_at(para.node.genesis_hash)
        examination.details |= {"para_id": para.para_id, "consensus": type(engine).__name__.lower()}
    for result in report.stages:
        if result.stage in COLUMNS:
            examination.cells[COLUMNS[result.stage]] = Cell(result.passed, result.count)
    examination.reason = report.reason
    if examination.reason is not None and relay != MODEL:
        examination.reason += f" (on {relay})"
    examination.details["relay"] = relay
    if report.blocks:
        last = report.blocks[-1]
        examination.details |= {"pov_bytes": last.pov_bytes, "proof_nodes": last.proof_nodes}
        for block in report.blocks:
            examination.fastest("author", block.author_seconds)
            examination.fastest("execute", block.execute_seconds)
            examination.fastest("validate", block.validate_seconds)


# -- chains that make their own blocks -----------------------------------------------------------------------


def _own_chain(
    examination: _Examination,
    spec: ChainSpec,
    *,
    blocks: int,
    flips: int,
    seed: int,
    cache: CompileCache | None,
) -> None:
    authored = executed = 0
    first: bytes | None = None
    try:
        chain = OwnChain.from_spec(spec, cache=cache)
        before = chain
        for _ in range(blocks):
            started = time.perf_counter()
            block = chain.author()
            examination.fastest("author", time.perf_counter() - started)
            authored += 1
            if first is None:
                first = block.encode()
                refused = _flip_block(before, first, len(block.header.encode()), flips, random.Random(seed))
            started = time.perf_counter()
            chain.import_block(block)
            examination.fastest("execute", time.perf_counter() - started)
            executed += 1
    except RUNTIME_FAULTS as error:
        column = Column.EXECUTED if executed < authored else Column.AUTHORED
        if column is Column.EXECUTED:
            examination.cells[Column.AUTHORED] = Cell(True, authored)
        examination.fail(column, str(error), min(authored, executed))
        return
    examination.cells[Column.AUTHORED] = Cell(True, authored)
    examination.cells[Column.EXECUTED] = Cell(True, executed)
    if examination.kind is Kind.RELAY_CHAIN and not examination.attempt(
        Column.INCLUDED, lambda: _include_demo(examination, spec, blocks, cache)
    ):
        return
    examination.cells[Column.FLIPS_REFUSED] = Cell(True, refused)


def _flip_block(chain: OwnChain, block: bytes, header_length: int, flips: int, chance: random.Random) -> int:
    """How many of the flipped bits ``Core_execute_block`` refused. Raises `ValueError` for one that changes a result.

    A flip in the body may be accepted: runtimes of 2020 do not look at the length in front of an extrinsic. The header
    stands for the result, so that one is the same. A changed header is another block.
    """
    refused = 0
    for bit in chance.sample(range(8 * len(block)), min(flips, 8 * len(block))):
        flipped = bytearray(block)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        try:
            chain.execute(bytes(flipped))
        except (SandboxError, ScaleError):
            refused += 1
            continue
        if bit >> 3 < header_length:
            raise ValueError(f"a block with bit {bit} of its header flipped is accepted")
    return refused


def _include_demo(examination: _Examination, spec: ChainSpec, blocks: int, cache: CompileCache | None) -> int:
    """Have a parachain of ours included, that many blocks. Raises `UnsuitableRelayChain` with what went wrong."""
    runtime = NativeRuntime(DEMO)
    keypair = Keypair.from_uri("//Alice")
    node = ParachainNode(runtime, GenesisConfig(DEMO_PARA, (keypair.public_key,), ()).encode())
    registration = ParaRegistration(DEMO_PARA, node.genesis.encode(), runtime.code)
    relay = RealRelay.with_registrations(
        spec, [registration], codes={runtime.code_hash: runtime}, cache=cache
    )
    examination.details["validators"] = len(relay.chain.validators)
    for _ in range(blocks):
        collation = Collator(node, relay, DEMO_PARA, keypair).collate(relay.best_block_hash())
        if collation is None:
            raise UnsuitableRelayChain("the collator could not build on its blocks")
        refusal = relay.include(collation)
        if refusal is not None:
            raise UnsuitableRelayChain(refusal)
        node.import_block(collation.block, relay.relay_state_prover(collation.descriptor.relay_parent))
    return blocks
