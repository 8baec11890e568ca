"""`pileus runtime` and `pileus chain` on the runtimes of real networks, and on blobs that are up to no good."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
import zstandard

from host_functions.executor.wasm.version import decode_runtime_version
from pileus.cli.app import main
from runtime.primitives.hashing import blake2_256

Vectors = Callable[[str], Any]
Pileus = Callable[..., tuple[int, str, str]]

GENESIS = {
    "kusama-genesis": "0xb0a8d493285c2df73290dfb7e61f870f17b41801197a149ca93654499ea3dafe",
    "polkadot-genesis": "0x91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3",
    "westend-genesis": "0xe143f23803ac50e8f6f8e62695d1ce9e4e1d68aa36c1cd2cfd15340213f3423e",
    "asset-hub-polkadot-genesis": "0x68d56f15f85d3136970ec16946040bc1752654e906147f7e43e9d539d7c3de2f",
    "kilt-spiritnet-genesis": "0x411f057b9107718c9624d6aa4a3f23c1653898297f3d4d529d9bb6511a39dd21",
    "polkadot-coretime-genesis": "0xefb56e30d9b4a24099f88820987d0f45fb645992416535d87650d98e00f46fc4",
}
"""Public hashes; the last is of a chain with state version 1."""
ALICE = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
AUTHORITIES = f"0x08{ALICE[2:]}8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48\n"
"""Alice and Bob."""
LOCAL = "local-testnet-genesis"


@pytest.fixture
def pileus(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The tool, with the user's own cache: compiling the big runtimes takes seconds each."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert captured.err.count("\n") <= 1, "one line per error"
        return status, captured.out, captured.err

    return run


@pytest.fixture
def spec(vectors_dir: Path) -> Callable[[str], Path]:
    return lambda name: vectors_dir / "files" / f"{name}.json.gz"


@pytest.fixture
def local_code(spec: Callable[[str], Path], tmp_path: Path) -> Path:
    """The bare runtime of the small test network."""
    state = json.loads(gzip.decompress(spec(LOCAL).read_bytes()))
    path = tmp_path / "code.wasm"
    path.write_bytes(bytes.fromhex(state["top"]["0x3a636f6465"][2:]))
    return path


def written(path: Path, wat: str) -> Path:
    path.write_bytes(bytes(wasmtime.wat2wasm(wat)))
    return path


@pytest.mark.parametrize("name", GENESIS)
def test_genesis_hashes_of_the_networks(name: str, pileus: Pileus, spec: Callable[[str], Path]) -> None:
    status, out, error = pileus("chain", "genesis", spec(name), "--json")
    assert (status, error) == (0, "")
    found = json.loads(out)
    assert found["hash"] == GENESIS[name]
    assert found["hash"] == f"0x{blake2_256(bytes.fromhex(found['header'][2:])).hex()}"
    status, out, _ = pileus("chain", "genesis", spec(name))
    assert out.splitlines()[-1].split() == ["hash", GENESIS[name]]
    # The hash function belongs to the chain: with another one, it is another chain.
    status, out, _ = pileus("chain", "genesis", spec(name), "--hasher", "keccak_256", "--json")
    assert status == 0
    assert json.loads(out)["state_root"] != found["state_root"]


@pytest.mark.parametrize("name", [*GENESIS, LOCAL])
def test_inspect_agrees_with_what_others_found(
    name: str, pileus: Pileus, spec: Callable[[str], Path], vectors: Vectors
) -> None:
    status, out, error = pileus("runtime", "inspect", spec(name), "--json")
    assert (status, error) == (0, "")
    found = json.loads(out)
    known = [blob for blob in vectors("blobs") if blob["code_blake2_256"] == found["code_hash"]]
    assert known
    version = found["version"]
    for blob in known:
        assert blob["code_size"] == found["code_size"]
        assert blob["wasm_size"] == found["wasm_size"]
        assert blob["compressed"] == found["compressed"]
        assert blob["import_names"] == [wanted["name"] for wanted in found["imports"]]
        assert blob["has_validate_block"] == found["validate_block"]
        if "spec_name" in blob:
            names = ("spec_name", "spec_version", "impl_version", "transaction_version", "state_version")
            assert [blob[key] for key in names] == [version[key] for key in names]
    assert found["calling_style"] == "legacy"
    assert found["memory"]["imported"] == (name != "kusama-genesis")
    assert {wanted["node"] for wanted in found["imports"]} <= {
        "inside Wasm", "executor", "node", "node in queries", "node with a keystore"
    }  # fmt: skip
    for wanted in found["imports"]:
        if wanted["name"].startswith("ext_storage_") and "proof_size" not in wanted["name"]:
            assert (wanted["node"], wanted["pvf"]) == ("node", "trapping stub")
        if wanted["name"].startswith("ext_allocator_"):
            assert wanted["node"] == ("inside Wasm" if name != "kusama-genesis" else "executor")
    assert all(api["name"] for api in found["apis"])
    assert {"Core", "Metadata", "BlockBuilder"} <= {api["name"] for api in found["apis"]}

    assert found["metadata_problem"] is None
    pallets = {pallet["name"]: pallet for pallet in found["pallets"]}
    assert next(iter(pallets)) == "System"
    assert "remark" in pallets["System"]["calls"]
    assert {"ExtrinsicSuccess": 0, "ExtrinsicFailed": 1}.items() <= pallets["System"]["events"].items()
    assert ("Balances" in pallets) == (version["spec_name"] != "shell")

    status, text, _ = pileus("runtime", "inspect", spec(name))
    assert status == 0
    assert f"pallets ({len(pallets)}, metadata version {found['metadata_version']})" in text
    assert f"{version['spec_name']}-{version['spec_version']}" in text
    assert found["code_hash"] in text
    assert all(wanted["name"] in text for wanted in found["imports"])


def test_call_reads_the_genesis_state_and_leaves_it(
    pileus: Pileus, spec: Callable[[str], Path], local_code: Path
) -> None:
    status, out, error = pileus("runtime", "call", spec(LOCAL), "Core_version")
    assert (status, error) == (0, "")
    assert decode_runtime_version(bytes.fromhex(out.strip()[2:])).spec_name == "node-template"
    authorities = ("runtime", "call", spec(LOCAL), "AuraApi_authorities")
    assert pileus(*authorities) == (0, AUTHORITIES, "")
    # The bare runtime has no state, unless it is given one.
    assert pileus("runtime", "call", local_code, "AuraApi_authorities") == (0, "0x00\n", "")
    given_state = pileus("runtime", "call", local_code, "AuraApi_authorities", "--at", spec(LOCAL))
    assert given_state == (0, AUTHORITIES, "")
    header = f"0x{'00' * 32}04{'00' * 64}00"
    for _ in range(2):
        assert pileus("runtime", "call", spec(LOCAL), "Core_initialize_block", header) == (0, "0x\n", "")
    nonce = pileus("runtime", "call", spec(LOCAL), "AccountNonceApi_account_nonce", ALICE)
    assert nonce == (0, "0x00000000\n", "")


def test_a_panic_shows_what_the_runtime_says(pileus: Pileus, spec: Callable[[str], Path]) -> None:
    status, out, error = pileus("runtime", "call", spec(LOCAL), "Core_execute_block", "0x00")
    assert (status, out) == (1, "")
    assert "Core_execute_block: panicked at 'Bad input data provided to execute_block" in error


ENTRY = '(func (export "Core_version") (param i32 i32) (result i64)'
HEAD = '(module (import "env" "memory" (memory 20)) (global (export "__heap_base") i32 (i32.const 1024))'


@pytest.mark.parametrize(
    "body, message",
    [
        ("(loop $again (br $again)) (i64.const 0)", "stopped after 0.1 s"),
        ("unreachable", "Core_version: .*unreachable"),
        ("(i64.const -1)", "bytes at 0xffffffff are outside the memory"),
    ],
    ids=["endless", "trap", "result outside memory"],
)
def test_a_guest_that_misbehaves_costs_one_line(
    body: str, message: str, pileus: Pileus, tmp_path: Path
) -> None:
    blob = written(tmp_path / "bad.wasm", f"{HEAD} {ENTRY} {body}))")
    status, out, error = pileus("runtime", "call", blob, "Core_version", "--timeout", "0.1")
    assert (status, out) == (1, "")
    assert re.search(message, error)
    assert error.startswith("pileus: Core_version: ")


def test_inspect_says_how_each_import_is_served(pileus: Pileus, tmp_path: Path) -> None:
    blob = written(
        tmp_path / "odd.wasm",
        """(module
        (import "env" "ext_moon_phase_version_1" (func (result i64)))
        (import "env" "ext_storage_get_version_1" (func (param i32)))
        (import "env" "ext_allocator_malloc_version_1" (func (param i32) (result i32)))
        (import "env" "ext_hashing_twox_64_version_1" (func (param i64) (result i32)))
        (memory (export "memory") 1 7)
        (func (export "validate_block") (param i32 i32) (result i64) (i64.const 0)))""",
    )
    status, out, error = pileus("runtime", "inspect", blob, "--json")
    assert (status, error) == (0, "")
    report = json.loads(out)
    assert report["version"] is None
    assert "ext_storage_get_version_1" in report["version_problem"]
    assert report["memory"] == {"imported": False, "minimum_pages": 1, "maximum_pages": 7}
    assert report["validate_block"] is True
    assert report["chain"] is None
    assert (report["pallets"], report["metadata_problem"]) == ([], "the runtime has no Metadata_metadata")
    served = {wanted["name"]: (wanted["node"], wanted["pvf"]) for wanted in report["imports"]}
    assert served == {
        "ext_allocator_malloc_version_1": ("executor", "executor"),  # its memory is its own: no fast path
        "ext_hashing_twox_64_version_1": ("node", "node"),
        "ext_moon_phase_version_1": ("trapping stub", "trapping stub"),
        "ext_storage_get_version_1": ("refused", "refused"),
    }
    status, out, _ = pileus("runtime", "inspect", blob)
    assert status == 0
    assert "ext_moon_phase_version_1        trapping stub\n" in out
    # ... and what inspection shows as refused does not run.
    status, _, error = pileus("runtime", "call", blob, "validate_block")
    assert status == 2
    assert "ext_storage_get_version_1" in error


GUEST = """(module (memory (export "memory") 1) (global (export "__heap_base") i32 (i32.const 8)) {}
  (func (export "validate_block") (param i32 i32) (result i64) {} (i64.const 0)))"""


def test_precheck(pileus: Pileus, tmp_path: Path) -> None:
    good = written(tmp_path / "good.wasm", GUEST.format("", ""))
    status, out, error = pileus("runtime", "precheck", good)
    assert (status, error) == (0, "")
    assert "pre-checking  accepts" in out
    assert blake2_256(good.read_bytes()).hex() in out


@pytest.mark.parametrize(
    "fields, body, failure, reason",
    [
        ("", "(drop (v128.const i64x2 0 0))", "Preparation", "SIMD"),
        ("", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", "Preparation", "bulk memory"),
        ("(func $s) (start $s)", "", "Prevalidation", "start function"),
    ],
)
def test_precheck_says_what_validators_would(
    pileus: Pileus, tmp_path: Path, fields: str, body: str, failure: str, reason: str
) -> None:
    blob = written(tmp_path / "blob.wasm", GUEST.format(fields, body))
    status, out, error = pileus("runtime", "precheck", blob, "--json")
    report = json.loads(out)
    assert status == 1
    assert (report["accepted"], report["failure"], report["deterministic"]) == (False, failure, True)
    assert reason in report["detail"]
    assert reason in error


@pytest.mark.parametrize("params", ["0x140500", "zz", "0x0463"])
def test_precheck_under_parameters_that_are_none(pileus: Pileus, tmp_path: Path, params: str) -> None:
    good = written(tmp_path / "good.wasm", GUEST.format("", ""))
    status, out, error = pileus("runtime", "precheck", good, "--executor-params", params)
    assert (status, out) == (2, "")
    assert "--executor-params" in error


def test_precheck_with_bulk_memory_allowed(pileus: Pileus, tmp_path: Path) -> None:
    blob = written(
        tmp_path / "b.wasm", GUEST.format("", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))")
    )
    assert pileus("runtime", "precheck", blob, "--executor-params", "0x0407")[0] == 0


def test_precheck_of_code_that_is_too_large(pileus: Pileus, tmp_path: Path) -> None:
    blob = tmp_path / "large.wasm"
    section = b"\0" + b"\x80\x80\xc0\x01" + b"\x01x" + bytes((3 << 20) - 2)
    blob.write_bytes(bytes(wasmtime.wat2wasm(GUEST.format("", ""))) + section)
    status, _, error = pileus("runtime", "precheck", blob)
    assert status == 1
    assert f"CodeTooLarge: {blob.stat().st_size} bytes, more than 3145728" in error
    assert pileus("runtime", "precheck", blob, "--max-code-size", str(blob.stat().st_size))[0] == 0


def test_names_from_a_blob_cannot_command_the_terminal(pileus: Pileus, tmp_path: Path) -> None:
    blob = written(
        tmp_path / "rude.wasm",
        """(module (import "env" "x\\1b[31my" (func)) (memory (export "memory") 1)
        (func (export "validate_block") (param i32 i32) (result i64) (i64.const 0)))""",
    )
    status, out, _ = pileus("runtime", "inspect", blob)
    assert status == 0
    assert "x\\x1b[31my" in out
    assert "\x1b" not in out


def test_inspect_shows_a_blob_of_mixed_styles(pileus: Pileus, tmp_path: Path) -> None:
    one = '(func (export "Core_version") (param i32) (result i64) (i64.const 0))'
    mixed = written(
        tmp_path / "mixed.wasm",
        f'(module (import "env" "ext_allocator_free_version_1" (func (param i32))) (memory (export "memory") 1) {one})',
    )
    status, out, _ = pileus("runtime", "inspect", mixed)
    assert status == 0
    assert "calling style   none: the blob mixes calling styles" in out
    status, _, error = pileus("runtime", "call", mixed, "Core_version")
    assert status == 2
    assert "mixes calling styles" in error
    new = written(tmp_path / "new.wasm", f'(module (memory (export "memory") 1) {one})')
    status, out, _ = pileus("runtime", "inspect", new, "--json")
    assert (status, json.loads(out)["calling_style"]) == (0, "RFC-145")


def files_to_refuse(spec: Callable[[str], Path]) -> dict[str, tuple[bytes, str]]:
    packed = spec(LOCAL).read_bytes()
    frame = bytes.fromhex("52bc537646db8e05")
    return {
        "not Wasm": (b"\x7fELF", "neither a chain spec"),
        "wrong version": (b"\0asm\2\0\0\0", "not a Wasm module"),
        "unknown section": (b"\0asm\1\0\0\0\x7f\0", "unknown section 127"),
        "cut frame": (frame + zstandard.compress(bytes(1000))[:-3], "incomplete"),
        "bad frame": (frame + b"what", "invalid zstd frame"),
        "bomb": (frame + zstandard.compress(bytes(60 << 20)), "exceeds 52428800 bytes"),
        "cut gzip": (packed[:-9], "incomplete"),
        "bad hex": (b'{"genesis": {"raw": {"top": {"0x0x": "0x"}}}}', "not hex: 'x' at digit 1"),
        "repeated": (b'{"top": {"0x": "0x", "0x": "0x"}}', "appears twice"),
        "no code": (b'{"top": {}}', "no runtime under :code"),
        "code that is none": (b'{"top": {"0x3a636f6465": "0x00"}}', "not a Wasm module"),
    }


def test_bad_files_cost_one_line(pileus: Pileus, spec: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "bad"
    for what, (data, message) in files_to_refuse(spec).items():
        path.write_bytes(data)
        for verb in (("runtime", "inspect", path), ("runtime", "call", path, "Core_version")):
            status, out, error = pileus(*verb)
            assert (status, out) == (2, ""), (what, verb)
            assert error.startswith(f"pileus: {path}: "), what
            assert message in error, what
        status, out, error = pileus("chain", "genesis", path)
        assert (status, out) == (2, ""), what
        if data[:1] == b"{":
            assert message in error, what


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["call", "SPEC", "Core_versio"], "no function 'Core_versio' (did you mean Core_version"),
        (["call", "SPEC", "memory"], "no function 'memory'"),
        (["call", "SPEC", "Core_version", "0x0g"], "HEXARGS: not hex: 'g' at digit 1"),
        (["call", "SPEC", "Core_version", "--state", "CODE"], "a runtime blob, which has no state"),
        (["call", "-", "Core_version", "-"], "standard input (-) can be read once only"),
        (["call", "SPEC", "Core_version", "--timeout", "0"], "--timeout"),
        (["inspect", "no/such/file"], "cannot read no/such/file"),
        (["inspect", "missing.json"], "cannot read missing.json: No such file or directory\n"),
        (
            ["inspect", "runtime.chains.demo"],
            "; 'pileus runtime build runtime.chains.demo' makes a blob of a Python",
        ),
        (["inspect", __file__], "; 'pileus runtime build "),
        (["build", "SPEC"], "expected a Python module, or its file, which ends in .py"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_questions_cost_one_line(
    arguments: list[str], message: str, pileus: Pileus, spec: Callable[[str], Path], local_code: Path
) -> None:
    paths: dict[str, str | Path] = {"SPEC": spec(LOCAL), "CODE": local_code}
    status, out, error = pileus("runtime", *(paths.get(argument, argument) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in error


def test_a_cache_that_is_not_ours_alone_is_not_used(
    pileus: Pileus, spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("PILEUS_CACHE", str(shared))
    status, out, error = pileus("runtime", "call", spec(LOCAL), "AuraApi_authorities")
    assert (status, out) == (0, AUTHORITIES)
    assert error.startswith("pileus: warning: compiled code is not kept: ")
    assert list(shared.iterdir()) == []
    status, _, error = pileus("runtime", "inspect", spec(LOCAL))
    assert (status, error.count("compiled code is not kept")) == (0, 1)
