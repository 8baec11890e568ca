"""Real parachain blocks through the Wasm executor, as ratio to the same blob when host calls cost nothing.

The floor is a tape. One call is recorded: of each host call the number it returned and the bytes it wrote into the
guest's memory. Then the blob runs again with host functions that are a few Wasm instructions each: they take the next
record off the tape, copy its bytes, and return its number. Nothing is allocated, hashed, verified or looked up, and
the guest does exactly what it did before. Everything else is measured alike: a fresh store, instance and memory for
each call, the argument copied in, the result read back and compared.

Verifying the signatures of a block is its own work and not the cost of a call, and whatever host runs the blob does it
outside of Wasm; so the floor verifies them, with the same library, and the bare tape stands beside it. A runtime that
reaches the goal of 1.25 spends at most a fifth of its time on allocating, hashing and crossing the boundary.

The chain is the Spiritnet of the conformance vectors, or, without those, the Rococo asset hub of `make real-chains`.

    python benchmarks/executor.py [--rounds N] [--only NAME] [--json]
"""

from __future__ import annotations

import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import wasmtime
from _harness import Contender, Row, main, measure

from host_functions.contexts import ValidationContext
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.executor.wasm import raw as raw_linking
from host_functions.executor.wasm.engine import EngineConfig, engine_for
from host_functions.executor.wasm.heap import PAGE, PVF_HEAP
from host_functions.executor.wasm.marshal import binding_of
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import allocator, crypto
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.collator import Collation
from pileus.real_runtimes import ModelRelay, RealParachain
from pileus.testing.transfers import collate_next, endowed, sender_of, transfers
from pov_validator.pvf import PvfHost, PvfRuntime
from pov_validator.validate import validation_params

ROOT = Path(__file__).resolve().parent.parent
ENTRY_POINT = "validate_block"
TRANSFERS = 50
CALLS = 1000
OWN = (allocator.malloc.name, allocator.free.name)
RECORD = struct.Struct("<qII")


@cache
def chain() -> ChainSpec:
    vectors = Path(os.environ.get("PILEUS_VECTORS") or ROOT.parent / "shared" / "vectors")
    real = Path(os.environ.get("PILEUS_REAL_CHAINS") or ROOT / ".cache" / "real-chains")
    for path in (vectors / "files" / "kilt-spiritnet-genesis.json.gz", real / "rococo_v2_2_asset_hub.json"):
        if path.is_file():
            spec = parse_runtime_file(path.read_bytes()).spec
            assert spec is not None
            return spec
    print(f"skipped: no parachain, neither conformance vectors in {vectors} nor specs in {real}")
    sys.exit(0)


@cache
def parachain() -> tuple[RealParachain, ModelRelay]:
    para = RealParachain.from_spec(
        chain(), cache=CompileCache.default(), balances=endowed(chain()), timeout=None
    )
    return para, ModelRelay([para])


@dataclass(frozen=True)
class Subject:
    """A candidate of the parachain and its validation function under every way of linking."""

    collation: Collation
    params: bytes
    result: bytes

    def runtime(self, linking: Linking) -> WasmRuntime:
        return WasmRuntime(
            parachain()[0].runtime.code, heap=PVF_HEAP, cache=CompileCache.default(), linking=linking
        )

    def validate(self, runtime: Any) -> Callable[[], None]:
        def run() -> None:
            if runtime.call(ENTRY_POINT, self.params, ValidationContext()) != self.result:
                raise SystemExit("validate_block returned something else")

        return run


@cache
def subject(count: int) -> Subject:
    """A candidate with ``count`` signed transfers."""
    para, relay = parachain()
    collation = collate_next(para, relay, transfers(para, sender_of(chain()), count))
    params = validation_params(collation.pvd, collation.block_data.encode()).encode()
    return Subject(collation, params, para.runtime.call(ENTRY_POINT, params, ValidationContext()))


# -- the tape ----------------------------------------------------------------------------------------------


class Tape:
    """One recorded call, and the blob that runs on it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.runtime = subject.runtime("raw")
        self.records: list[tuple[int, int, bytes]] = []
        self.called: set[str] = set()
        self.verified: list[tuple[bytes, bytes, bytes]] = []
        self.pages = 0
        self.argument_at = -1
        blob = self.runtime.blob
        bindings = [(wanted, self._recording(wanted.name, binding_of(wanted))) for wanted in blob.imports]
        callbacks = raw_linking.callbacks_of(bindings)
        engine = engine_for(EngineConfig())
        played, self.runtime._linker = self.runtime._linker, callbacks.linker(engine)
        verify = crypto.sr25519_verify
        context = ValidationContext().override({verify: self._verify})
        if self.runtime.call(ENTRY_POINT, subject.params, context) != subject.result:
            raise SystemExit("recording changes the result")
        self.runtime._linker = played
        self.module = wasmtime.Module(engine, bytes(wasmtime.wat2wasm(self._text())))
        # What is imported and never called stays bound as it is, at no cost per call.
        self.linker = self.runtime._callbacks.linker(engine)
        self.engine = engine

    def _verify(self, sig: bytes, msg: bytes, pub_key: bytes) -> bool:
        self.verified.append((sig, msg, pub_key))
        return crypto.sr25519_verify.pure_implementation(sig, msg, pub_key)

    def _recording(self, name: str, binding: Callable[..., int | None]) -> Callable[..., int | None]:
        def record(execution: Any, *raw: int) -> int | None:
            memory = execution.memory
            if self.argument_at < 0:
                # The first block of the heap, before the guest asked for any.
                self.argument_at = execution.allocator._bumper - 8 - _block(len(self.subject.params)) + 8
            written: list[tuple[int, bytes]] = []
            original, headers = memory.write, memory.write_u64

            def write(address: int, data: bytes) -> None:
                written.append((address, bytes(data)))
                original(address, data)

            memory.write = write
            memory.write_u64 = lambda address, value: original(address, value.to_bytes(8, "little"))
            try:
                answer = binding(execution, *raw)
            finally:
                memory.write, memory.write_u64 = original, headers
            if len(written) > 1 or (written and name in OWN):
                raise SystemExit(f"{name} writes more than a record holds")
            address, data = written[0] if written else (0, b"")
            self.records.append((answer or 0, address, data))
            self.called.add(name)
            self.pages = memory.size // PAGE
            return answer

        return record

    def _text(self) -> str:
        tape = b"".join(
            RECORD.pack(answer - ((answer >> 63) << 64), address, len(data)) + data + bytes(-len(data) % 8)
            for answer, address, data in self.records
        )
        functions = []
        for wanted in {wanted.name: wanted for wanted in self.runtime.blob.imports}.values():
            if wanted.name not in self.called:
                continue
            params = " ".join(f"(param {kind})" for kind in wanted.type.params)
            if not wanted.type.results:
                body = "(drop (call $next))"
            elif wanted.type.results[0] == "i32":
                body = "(i32.wrap_i64 (call $next))"
            else:
                body = "(call $next)"
            results = " ".join(f"(result {kind})" for kind in wanted.type.results)
            functions.append(f'(func (export "{wanted.name}") {params} {results} {body})')
        pages = -(-len(tape) // PAGE)
        data = "".join(f"\\{byte:02x}" for byte in tape)
        return f"""(module (import "env" "memory" (memory $m 0)) (memory $s {pages})
          (data (memory $s) (i32.const 0) "{data}") (global $at (mut i32) (i32.const 0))
          (func $next (result i64) (local $p i32) (local $to i32) (local $n i32)
            (local.set $to (i32.load $s offset=8 (global.get $at)))
            (local.set $n (i32.load $s offset=12 (global.get $at)))
            (i64.load $s (global.get $at))
            (local.set $p (i32.add (global.get $at) (i32.const 16)))
            (global.set $at (i32.and (i32.add (i32.add (local.get $p) (local.get $n)) (i32.const 7)) (i32.const -8)))
            (block $words (loop $word
              (br_if $words (i32.lt_u (local.get $n) (i32.const 8)))
              (i64.store $m (local.get $to) (i64.load $s (local.get $p)))
              (local.set $to (i32.add (local.get $to) (i32.const 8)))
              (local.set $p (i32.add (local.get $p) (i32.const 8)))
              (local.set $n (i32.sub (local.get $n) (i32.const 8)))
              (br $word)))
            (block $bytes (loop $byte
              (br_if $bytes (i32.eqz (local.get $n)))
              (i32.store8 $m (local.get $to) (i32.load8_u $s (local.get $p)))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (local.set $p (i32.add (local.get $p) (i32.const 1)))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $byte))))
          {" ".join(functions)})"""

    def play(self) -> None:
        """One call on the tape."""
        store = wasmtime.Store(self.engine)
        try:
            memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(self.pages, self.pages)))
            exports = wasmtime.Instance(store, self.module, [memory]).exports(store)
            self.linker.define(store, "env", "memory", memory)
            for name in self.called:
                self.linker.define(store, "env", name, exports[name])
            instance = self.linker.instantiate(store, self.runtime._module)
            function = instance.exports(store)[ENTRY_POINT]
            memory.write(store, self.subject.params, self.argument_at)
            packed = int(function(store, self.argument_at, len(self.subject.params)))
            begin = packed & 0xFFFF_FFFF
            if bytes(memory.read(store, begin, begin + (packed >> 32))) != self.subject.result:
                raise SystemExit("the tape plays something else")
        finally:
            store.close()

    def play_and_verify(self) -> None:
        """The same, and what a host must do in any case."""
        self.play()
        for signature, message, public in self.verified:
            crypto.sr25519_verify.pure_implementation(signature, message, public)


def _block(size: int) -> int:
    """Bytes that the allocator takes for a block of ``size``, with its header."""
    return 8 + (1 << (max(size, 8) - 1).bit_length())


# -- what is measured --------------------------------------------------------------------------------------


def fifty_transfers(rounds: int) -> list[Row]:
    chosen = subject(TRANSFERS)
    tape = Tape(chosen)
    with PvfHost(workers=1) as host:
        worker = PvfRuntime(parachain()[0].runtime.code, host)
        return measure(
            f"validate_block, {TRANSFERS} signed transfers: floor of {len(tape.records)} host calls off a tape",
            Contender(f"host calls cost nothing, {len(tape.verified)} signatures", tape.play_and_verify),
            [
                Contender("the bare tape", tape.play),
                Contender("as it is (fast linking)", chosen.validate(chosen.runtime("fast")), 1.25),
                Contender("in a worker process", chosen.validate(worker)),
            ],
            rounds,
        )


def other_bindings(rounds: int) -> list[Row]:
    chosen = subject(TRANSFERS)
    return measure(
        f"validate_block, {TRANSFERS} signed transfers, by way of linking",
        Contender("stock binding", chosen.validate(chosen.runtime("stock"))),
        [
            Contender("raw callbacks", chosen.validate(chosen.runtime("raw"))),
            Contender("fast linking", chosen.validate(chosen.runtime("fast")), 1 / 50),
        ],
        min(rounds, 5),
    )


def empty_block(rounds: int) -> list[Row]:
    """For orientation: authoring below 6 ms, validation below 2 ms."""
    chosen = subject(0)
    tape = Tape(chosen)
    para, relay = parachain()
    collator = para.collator(relay)

    def author() -> None:
        collator.pool = []
        if collator.collate(relay.best_block_hash()) is None:
            raise SystemExit("it is not the collator's turn")

    return measure(
        f"empty block: floor of {len(tape.records)} host calls off a tape",
        Contender("host calls cost nothing", tape.play),
        [Contender("validate", chosen.validate(chosen.runtime("fast"))), Contender("author", author)],
        rounds,
    )


def loading(rounds: int) -> list[Row]:
    """For orientation: a cached module below 5 ms, a fresh instance below 1 ms."""
    runtime = subject(0).runtime("fast")
    store = CompileCache.default()
    config = EngineConfig()

    def load() -> None:
        store.module(config, runtime.blob.code, runtime.code_hash)

    def call() -> None:
        runtime.call("Core_version", b"", ValidationContext())

    return measure(
        f"loading a runtime of {len(runtime.blob.code)} bytes",
        Contender("a store", lambda: wasmtime.Store(engine_for(config)).close()),
        [Contender("cached module", load), Contender("fresh instance, and Core_version", call)],
        rounds,
    )


def memory(rounds: int) -> list[Row]:
    """Resident memory after 1000 calls, as ratio to what it was before them."""
    chosen = subject(0)
    validate = chosen.validate(chosen.runtime("fast"))
    for _ in range(100):
        validate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    for _ in range(CALLS):
        validate()
    each = (time.perf_counter() - begun) / CALLS * 1e6
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [
        Row(f"largest resident memory: {before} KiB", "before", each, 1.0, None),
        Row("", f"after {CALLS} calls", each, after / before, 1.01),
    ]


def workers(rounds: int) -> list[Row]:
    """What a process costs: to start, and per call."""
    echo = bytes(
        wasmtime.wat2wasm(
            """(module (memory (export "memory") 2) (global (export "__heap_base") i32 (i32.const 8))
            (func (export "validate_block") (param i32 i32) (result i64) (i64.const 0)))"""
        )
    )
    here = WasmRuntime(echo)
    with PvfHost(workers=1) as host:
        there = PvfRuntime(echo, host)

        def start() -> None:
            with PvfHost(workers=1) as another:
                PvfRuntime(echo, another).call(ENTRY_POINT, b"", ValidationContext())

        return measure(
            "a validation function that does nothing",
            Contender("in this process", lambda: here.call(ENTRY_POINT, b"", ValidationContext())),
            [
                Contender("in a worker process", lambda: there.call(ENTRY_POINT, b"", ValidationContext())),
                Contender("in a process that must start first", start),
            ],
            min(rounds, 5),
        )


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", [fifty_transfers, other_bindings, empty_block, loading, memory, workers]))
