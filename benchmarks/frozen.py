"""A Python runtime frozen into Wasm, as ratio to the same runtime in this process.

The floor of each row is the native engine doing the same; host functions, state and signatures are the same work for
both. ``fresh instance and first call`` is what every call pays at least, since each gets an instance of its own; its
floor is a native call of nothing. Sizes are those of the demo runtime's blob.

    python benchmarks/frozen.py [--rounds N] [--only NAME] [--json]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Contender, Row, main, measure

from host_functions.contexts import AuthoringContext, ImportContext, ValidationContext
from host_functions.executor import NativeRuntime, Runtime
from host_functions.executor.frozen.freeze import FrozenBlob, freeze
from host_functions.executor.frozen.vm import MissingVm
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine import Externalities
from host_functions.tracing import HostCall, observing
from pileus.collator import Collation
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pov_validator.validate import validation_params
from runtime.chains import demo
from runtime.primitives.block import Block
from runtime.primitives.digest import PreRuntime
from runtime.primitives.header import Header

PARA = 2000
MODULE = "runtime.chains.demo"
PROFILED = 50
"""Runs over which `explain` takes the mean."""
BLOCK_GOAL = 4.0
"""Largest acceptable ratio of a whole block."""


@cache
def blob() -> FrozenBlob:
    begun = time.perf_counter()
    made = freeze(MODULE, cache=CompileCache.default())
    print(
        f"frozen in {time.perf_counter() - begun:.1f} s: {len(made.code)} bytes of Wasm,"
        f" {len(made.compressed())} compressed",
        file=sys.stderr,
    )
    return made


@cache
def frozen() -> WasmRuntime:
    code = blob().code
    begun = time.perf_counter()
    runtime = WasmRuntime(code, cache=CompileCache.default())
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    WasmRuntime(code, cache=CompileCache.default())
    again = time.perf_counter() - begun
    print(f"loaded in {first:.2f} s, from the cache in {again * 1000:.0f} ms", file=sys.stderr)
    return runtime


@cache
def native() -> NativeRuntime:
    return NativeRuntime(MODULE)


class Subject:
    """A block of the demo chain with its parent's state and its relay parent."""

    def __init__(self, transfers: int) -> None:
        nodes = (RelayNode("alice"), RelayNode("bob"))
        paras = (Parachain(id=PARA, collators=(Collator("charlie"),)),)
        self.network = Network(
            Topology(relaychain=RelayChainSection(nodes=nodes), parachains=paras), seed=1, relay_state="own"
        )
        self.para = self.network.parachains[0]
        for index in range(transfers):
            dest = blake2b(index.to_bytes(4, "little"), digest_size=32).digest()
            self.para.submit(
                demo.balances.call_of(demo.balances.transfer_keep_alive, dest, demo.UNIT).encode()
            )
        self.collation = self._next()
        if len(self.collation.block.extrinsics) != transfers + 2:
            raise SystemExit(f"{len(self.collation.block.extrinsics)} extrinsics instead of {transfers + 2}")

    def _next(self) -> Collation:
        while True:
            for report in self.network.step().candidates:
                return report.collation

    def execute(self, runtime: Runtime) -> Callable[[], object]:
        """As a full node imports it."""
        header = self.collation.block.header
        parent = self.para.node.header(header.parent_hash)
        block = Block(header.without_seal()[0], self.collation.block.extrinsics).encode()

        def run() -> None:
            relay = self._relay()
            state = Externalities.recording(self.para.node.nodes, parent.state_root, demo.LAYOUT, relay)
            runtime.call("Core_execute_block", block, ImportContext(state, relay))

        return run

    def author(self, runtime: Runtime) -> Callable[[], object]:
        """As a collator builds it from the extrinsics it has: several calls, each in an instance of its own."""
        header = self.collation.block.header
        parent = self.para.node.header(header.parent_hash)
        digest = tuple(item for item in header.digest if isinstance(item, PreRuntime))
        begun = Header(header.parent_hash, header.number, bytes(32), bytes(32), digest).encode()

        def run() -> None:
            relay = self._relay()
            state = Externalities.recording(self.para.node.nodes, parent.state_root, demo.LAYOUT)
            context = AuthoringContext(state, relay)
            runtime.call("Core_initialize_block", begun, context)
            for extrinsic in self.collation.block.extrinsics:
                runtime.call("BlockBuilder_apply_extrinsic", extrinsic, context)
            runtime.call("BlockBuilder_finalize_block", b"", context)

        return run

    def validate(self, runtime: Runtime) -> Callable[[], object]:
        """As a validator does, over the witness; the trie is then inside the guest."""
        params = validation_params(self.collation.pvd, self.collation.block_data.encode()).encode()
        return lambda: runtime.call("validate_block", params, ValidationContext(self._relay()))

    def _relay(self) -> EmbeddedRelayNode:
        return EmbeddedRelayNode(self.network.chain.database, self.collation.pvd.relay_parent_storage_root)


def rows(
    name: str, work: Callable[[Runtime], Callable[[], object]], goal: float | None, rounds: int
) -> list[Row]:
    floor = Contender("native", work(native()))
    return measure(name, floor, [Contender("frozen", work(frozen()), goal=goal)], rounds)


def first_call(rounds: int) -> list[Row]:
    return rows(
        "fresh instance and first call",
        lambda runtime: lambda: runtime.call("Core_version", b"", ValidationContext()),
        None,
        rounds,
    )


def thousand_transfers(rounds: int) -> list[Row]:
    subject = Subject(1000)
    return [
        *rows("import a block of 1000 transfers", subject.execute, BLOCK_GOAL, rounds),
        *rows("validate a block of 1000 transfers", subject.validate, BLOCK_GOAL, rounds),
    ]


def small_block(rounds: int) -> list[Row]:
    subject = Subject(0)
    kinds = {"import": subject.execute, "author": subject.author, "validate": subject.validate}
    for name, work in kinds.items():
        explain(f"{name} an empty block", work)
    return [row for name, work in kinds.items() for row in rows(f"{name} an empty block", work, None, rounds)]


def explain(name: str, work: Callable[[Runtime], Callable[[], object]]) -> None:
    """Say what the frozen runtime spends its time on: calls of the host, and pages the kernel maps and copies."""
    run = work(frozen())
    calls: list[HostCall] = []
    with observing(calls.append, pure=True):
        run()
    begun = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(PROFILED):
        run()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    faults, user, system = (
        (getattr(ended, field) - getattr(begun, field)) / PROFILED
        for field in ("ru_minflt", "ru_utime", "ru_stime")
    )
    print(
        f"{name}: {len(calls)} host calls, {faults:.0f} page faults;"
        f" {user * 1000:.1f} ms of CPU in the process, {system * 1000:.1f} in the kernel",
        file=sys.stderr,
    )


if __name__ == "__main__":
    try:
        sys.exit(main(__doc__ or "", [first_call, small_block, thousand_transfers]))
    except MissingVm as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
