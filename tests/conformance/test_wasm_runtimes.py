"""Real runtimes on our host: version and metadata of every genesis with code, and blocks of the live Westend.

The runtimes are the blobs of the networks, from the genesis states in ``files``; `blobs.json` says what others
found in them, `real_blocks_westend.json` holds blocks that the network made.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext, ImportContext, OffchainContext, ValidationContext
from host_functions.declare import registry
from host_functions.errors import GuestPanic, PileusError
from host_functions.executor.wasm import CompileCache, WasmRuntime, embedded_version
from host_functions.executor.wasm.heap import PVF_HEAP
from host_functions.executor.wasm.not_served import NOT_SERVED, reason_not_served
from host_functions.executor.wasm.runtime import Linking, embedded_version_reader, version_reader
from host_functions.executor.wasm.version import decode_runtime_version
from host_functions.state_machine import Externalities, FullBackend, Storage, build_state
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, encode_compact, option
from runtime.trie.layout import LAYOUT_V0

Vectors = Callable[[str], Any]

QUICK = ["local-testnet-genesis", "kusama-genesis", "westend-genesis"]
"""Small ones: compiled in under a second. Kusama's exports its memory, the others import it."""
SLOW = [
    "asset-hub-polkadot-genesis",
    "collectives-genesis",
    "development-genesis",
    "kilt-spiritnet-genesis",
    "kusama-asset-hub-genesis",
    "kusama-block-3783-state",
    "kusama-bridgehub-genesis",
    "kusama-coretime-genesis",
    "moonriver-genesis",
    "polkadot-bridgehub-genesis",
    "polkadot-coretime-genesis",
    "polkadot-genesis",
    "rococo-asset-hub-genesis",
    "rococo-bridgehub-genesis",
    "rococo-genesis",
]
WESTEND = "westend-genesis"
METADATA_MAGIC = b"meta"


@dataclass(frozen=True)
class Genesis:
    top: dict[bytes, bytes]
    root: bytes
    nodes: dict[bytes, bytes]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@cache
def load_genesis(path: Path) -> Genesis:
    state = json.loads(gzip.decompress(path.read_bytes()))
    top = {unhex(key): unhex(value) for key, value in state["top"].items()}
    return Genesis(top, *build_state(Storage(top), LAYOUT_V0))


@pytest.fixture(scope="module")
def genesis(vectors_dir: Path) -> Callable[[str], Genesis]:
    return lambda name: load_genesis(vectors_dir / "files" / f"{name}.json.gz")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompileCache:
    return CompileCache(tmp_path_factory.mktemp("compiled"))


def test_every_file_with_a_runtime_is_listed(vectors_dir: Path) -> None:
    found = {path.name.removesuffix(".json.gz") for path in (vectors_dir / "files").glob("*.json.gz")}
    assert found == set(QUICK) | set(SLOW)


@pytest.mark.parametrize("linking", ["fast", "raw", "stock"])
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_version_and_metadata(
    vectors: Vectors,
    genesis: Callable[[str], Genesis],
    compiled: CompileCache,
    name: str,
    linking: Linking,
) -> None:
    state = genesis(name)
    runtime = WasmRuntime(state.top[b":code"], cache=compiled, linking=linking)
    context = OffchainContext(FullBackend(state.nodes, state.root, LAYOUT_V0))

    version = decode_runtime_version(runtime.call("Core_version", b"", context))
    assert runtime.version == version
    assert embedded_version(runtime.blob) in (None, version)
    code_hash = f"0x{runtime.code_hash.hex()}"
    known = [blob for blob in vectors("blobs") if blob["code_blake2_256"] == code_hash]
    for blob in known:
        assert blob["import_names"] == sorted(wanted.name for wanted in runtime.blob.imports)
        assert blob["has_validate_block"] == ("validate_block" in runtime.blob.entry_points)
        if "spec_version" in blob:
            assert (blob["spec_name"], blob["spec_version"]) == (version.spec_name, version.spec_version)
            assert blob["state_version"] == version.state_version

    metadata, rest = byte_vec.decode_prefix(runtime.call("Metadata_metadata", b"", context))
    assert rest == len(encode_compact(len(metadata))) + len(metadata)
    assert metadata[:4] == METADATA_MAGIC
    assert 9 <= metadata[4] <= 14
    assert len(metadata) > 10_000


def test_every_import_of_every_blob_is_declared_or_a_stub_that_says_why(vectors: Vectors) -> None:
    wanted = {name for blob in vectors("blobs") for name in blob.get("import_names", ())}
    assert len(wanted) > 80
    stubs = {name for name in wanted if name not in registry()}
    assert {name for name in stubs if reason_not_served(name) is None} == set()
    assert len(stubs) == 14, "of two runtimes: contracts of 2020, and a consensus under construction"
    for prefix in NOT_SERVED:
        assert not any(name.startswith(prefix) for name in registry()), "declared by now"


def execute_westend(
    vectors: Vectors, state: Genesis, runtime: WasmRuntime, blocks: int
) -> list[tuple[Header, bytes]]:
    """Execute and re-author blocks #1 … of the network; what we authored, with the network's headers."""
    nodes, root = dict(state.nodes), state.root
    authored = []
    for block in vectors("real_blocks_westend")["blocks"][:blocks]:
        sealed = Header.decode(unhex(block["header"]))
        header = Header(
            sealed.parent_hash, sealed.number, sealed.state_root, sealed.extrinsics_root, sealed.digest[:-1]
        )
        extrinsics = [unhex(extrinsic) for extrinsic in block["extrinsics"]]
        body = encode_compact(len(extrinsics)) + b"".join(extrinsics)
        importing = Externalities.recording(nodes, root, LAYOUT_V0)
        assert runtime.call("Core_execute_block", header.encode() + body, ImportContext(importing)) == b""
        changes = importing.drain(0)
        assert changes.root == header.state_root, header.number

        # Digest items that the runtime deposits itself come back with the finalized header.
        pre_runtime = tuple(item for item in header.digest if type(item).__name__ == "PreRuntime")
        start = Header(header.parent_hash, header.number, bytes(32), bytes(32), pre_runtime)
        building = AuthoringContext(Externalities.recording(nodes, root, LAYOUT_V0))
        runtime.call("Core_initialize_block", start.encode(), building)
        for extrinsic in extrinsics:
            assert runtime.call("BlockBuilder_apply_extrinsic", extrinsic, building)[:1] == b"\0"
        authored.append((header, runtime.call("BlockBuilder_finalize_block", b"", building)))

        nodes.update(changes.nodes)
        root = changes.root
    return authored


@pytest.mark.parametrize(
    "linking, blocks",
    [("fast", 40), ("raw", 10), ("stock", 5), pytest.param("fast", 160, marks=pytest.mark.slow)],
)
def test_blocks_of_the_network_execute_and_author_alike(
    vectors: Vectors,
    genesis: Callable[[str], Genesis],
    compiled: CompileCache,
    linking: Linking,
    blocks: int,
) -> None:
    state = genesis(WESTEND)
    runtime = WasmRuntime(state.top[b":code"], cache=compiled, linking=linking)
    authored = execute_westend(vectors, state, runtime, blocks)
    assert len(authored) == blocks
    for header, ours in authored:
        assert ours == header.encode(), header.number


def test_a_block_with_another_state_root_is_refused(
    vectors: Vectors, genesis: Callable[[str], Genesis], compiled: CompileCache
) -> None:
    state = genesis(WESTEND)
    runtime = WasmRuntime(state.top[b":code"], cache=compiled)
    block = vectors("real_blocks_westend")["blocks"][0]
    sealed = Header.decode(unhex(block["header"]))
    flipped = bytes([sealed.state_root[0] ^ 1]) + sealed.state_root[1:]
    header = Header(sealed.parent_hash, 1, flipped, sealed.extrinsics_root, sealed.digest[:-1])
    body = encode_compact(len(block["extrinsics"])) + b"".join(map(unhex, block["extrinsics"]))
    context = ImportContext(Externalities.recording(state.nodes, state.root, LAYOUT_V0))
    with pytest.raises(GuestPanic, match=r"Core_execute_block: panicked at .*Storage root must match"):
        runtime.call("Core_execute_block", header.encode() + body, context)


ASKING = """(module
  (import "env" "memory" (memory 40))
  (import "env" "ext_misc_runtime_version_version_1" (func $version (param i64) (result i64)))
  (global (export "__heap_base") i32 (i32.const 8))
  (func (export "ask") (param i32 i32) (result i64)
    (call $version
      (i64.or (i64.extend_i32_u (local.get 0)) (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32))))))"""


@pytest.mark.parametrize("linking", ["fast", "raw", "stock"])
@pytest.mark.parametrize("name", ["local-testnet-genesis", "kusama-genesis"])
def test_a_guest_reads_the_version_of_another(
    genesis: Callable[[str], Genesis], compiled: CompileCache, name: str, linking: Linking
) -> None:
    """A guest inside the host function of a guest, when the version is not in a section (Kusama's)."""
    code = genesis(name).top[b":code"]
    asking = WasmRuntime(bytes(wasmtime.wat2wasm(ASKING)), linking=linking)
    context = ValidationContext(version_of=version_reader(compiled))
    answer = option(byte_vec).decode(asking.call("ask", code, context))
    assert answer == WasmRuntime(code, cache=compiled).version.encode()
    embedded = embedded_version(WasmRuntime(code, cache=compiled).blob)
    validating = ValidationContext(version_of=embedded_version_reader)
    said = option(byte_vec).decode(asking.call("ask", code, validating))
    assert said == (None if embedded is None else answer)
    assert (said is None) == (name == "kusama-genesis")
    for garbage in (b"", b"no code", code[:1000], code[:-1]):
        assert asking.call("ask", garbage, validating) == b"\0"
        assert asking.call("ask", garbage, context) == b"\0"


@pytest.mark.slow
def test_a_validation_function_refuses_nonsense_by_name(
    genesis: Callable[[str], Genesis], compiled: CompileCache
) -> None:
    """The same blob that runs a node validates candidates; there it finds no storage, and asks for none."""
    runtime = WasmRuntime(genesis("kilt-spiritnet-genesis").top[b":code"], heap=PVF_HEAP, cache=compiled)
    with pytest.raises(GuestPanic, match=r"validate_block: panicked at .*Invalid input data"):
        runtime.call("validate_block", b"nonsense", ValidationContext())


@given(st.data())
@settings(max_examples=40)
def test_every_linking_answers_alike(
    genesis: Callable[[str], Genesis], compiled: CompileCache, data: st.DataObject
) -> None:
    """Any entry point with any argument: the same result, or the same error, and the same writes."""
    state = genesis("local-testnet-genesis")
    runtimes = [
        WasmRuntime(state.top[b":code"], cache=compiled, linking=linking)
        for linking in ("fast", "raw", "stock")
    ]
    entry_point = data.draw(st.sampled_from(runtimes[0].blob.entry_points))
    argument = data.draw(st.binary(max_size=200))
    outcomes = []
    for runtime in runtimes:
        context = AuthoringContext(Externalities.recording(state.nodes, state.root, LAYOUT_V0))
        try:
            result: object = runtime.call(entry_point, argument, context)
        except PileusError as error:
            result = (type(error), str(error))
        changes = context.state.drain(0)
        outcomes.append((result, changes.root, context.state.storage_proof_size(), list(context.lines)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
