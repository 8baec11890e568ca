"""The outside of a blob: what is read from it, and that garbage is refused with a typed error."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from host_functions.executor.wasm import (
    CallingStyle,
    InvalidCode,
    WasmBlob,
    WasmRuntime,
    embedded_version,
    parse_blob,
)
from host_functions.executor.wasm.blob import FunctionType, MemoryType
from host_functions.executor.wasm.heap import Dynamic, Static
from host_functions.executor.wasm.version import decode_runtime_version
from runtime.primitives.scale import encode_compact
from runtime.primitives.version import RuntimeVersion, api_id

WAT = """(module
  (import "env" "ext_logging_log_version_1" (func (param i32 i64 i64)))
  (import "env" "memory" (memory 3 17))
  (import "env" "ext_storage_get_version_1" (func (param i64) (result i64)))
  (global (export "__heap_base") i32 (i32.const 8))
  (func (export "inner") (param f64) (result f32) (f32.const 0))
  (func (export "Core_version") (param i32 i32) (result i64) (i64.const 0))
  (export "imported" (func 1)))"""
CODE = bytes(wasmtime.wat2wasm(WAT))


def test_the_outside() -> None:
    blob = parse_blob(CODE)
    assert [(function.name, str(function.type)) for function in blob.imports] == [
        ("ext_logging_log_version_1", "(i32, i64, i64)"),
        ("ext_storage_get_version_1", "(i64) -> i64"),
    ]
    assert blob.memory == MemoryType(3, 17)
    assert blob.memory_is_imported
    assert blob.function_exports == {
        "Core_version": FunctionType(("i32", "i32"), ("i64",)),
        "inner": FunctionType(("f64",), ("f32",)),
        "imported": FunctionType(("i64",), ("i64",)),
    }
    assert blob.entry_points == ("Core_version",)
    assert blob.calling_style is CallingStyle.LEGACY


@given(st.integers(0, len(CODE) - 1), st.integers(1, 255))
def test_every_changed_byte_is_read_or_refused(position: int, change: int) -> None:
    damaged = bytearray(CODE)
    damaged[position] ^= change
    try:
        blob = parse_blob(bytes(damaged))
    except InvalidCode as error:
        assert str(error)
    else:
        assert isinstance(blob, WasmBlob)


@given(st.integers(0, len(CODE) - 1))
def test_no_prefix_can_be_run(length: int) -> None:
    with pytest.raises(InvalidCode):
        WasmRuntime(CODE[:length])


@given(st.binary(max_size=200))
def test_garbage_after_the_header(garbage: bytes) -> None:
    with pytest.raises(InvalidCode):
        parse_blob(b"\0asm\1\0\0\0" + garbage)


@pytest.mark.parametrize(
    "tail, reason",
    [
        (b"\x01\xff\xff\xff\xff\x0f", "bytes announced"),
        (b"\x01\xff\xff\xff\xff\x7f", "above 32 bits"),
        (b"\x01\x05\xff\xff\xff\xff\x0f", "items announced"),
        (b"\x0d\x00", "unknown section 13"),
        (b"\x01\x01\x00\x01\x01\x00", "a second time"),
        (b"\x00\x02\x01\xff", "not UTF-8"),
        (b"\x05\x03\x01\x04\x01", "limits of a kind"),
        (b"\x01\x05\x01\x60\x01\x7b\x00", "a value type"),
        (b"\x01\xe6\xa7\x12\xa1\x8d\x06" + b"\x60\0\0" * 100_001, "100001 items announced, more than 100000"),
        (b"\0\2\1a" * 100_001, "more than 100000 sections"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_damage_is_named_with_its_place(tail: bytes, reason: str) -> None:
    with pytest.raises(InvalidCode, match=reason):
        parse_blob(b"\0asm\1\0\0\0" + tail)


def with_section(name: str, content: bytes) -> bytes:
    body = bytes([len(name)]) + name.encode() + content
    assert len(body) < 16384
    return b"\0" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body


CORE = api_id("Core")
APIS = ((CORE, 4), (api_id("Metadata"), 2))
VERSION = RuntimeVersion("spec", "impl", 1, 2, 3, APIS, 5, 1)


def sections(version: RuntimeVersion) -> bytes:
    bare = RuntimeVersion("spec", "impl", 1, 2, 3, (), version.transaction_version, version.system_version)
    listed = b"".join(name + number.to_bytes(4, "little") for name, number in version.apis)
    return with_section("runtime_version", bare.encode()) + with_section("runtime_apis", listed)


def test_embedded_version() -> None:
    assert embedded_version(parse_blob(CODE)) is None
    assert embedded_version(parse_blob(CODE + sections(VERSION))) == VERSION
    plain = parse_blob(CODE + with_section("runtime_version", VERSION.encode()))
    assert embedded_version(plain) == VERSION
    for damaged in (
        with_section("runtime_version", VERSION.encode()[:9]),
        with_section("runtime_version", VERSION.encode()) + with_section("runtime_apis", b"\1" * 13),
    ):
        with pytest.raises(InvalidCode, match="section runtime_"):
            embedded_version(parse_blob(CODE + damaged))


@pytest.mark.parametrize("core, fields", [(1, (1, 0)), (2, (1, 0)), (3, (5, 0)), (4, (5, 1))])
def test_versions_of_every_age(core: int, fields: tuple[int, int]) -> None:
    apis = ((CORE, core),)
    encoded = RuntimeVersion("spec", "impl", 1, 2, 3, apis, 5, 1).encode()
    old = encoded[: len(encoded) - (5 if core < 3 else 1 if core < 4 else 0)]
    version = decode_runtime_version(old)
    assert (version.transaction_version, version.system_version) == fields
    assert version.apis == apis
    assert encode_compact(1) in old


@given(st.integers(0, 3000), st.none() | st.integers(0, 3000), st.integers(0, 3000))
def test_heaps_stay_within_what_the_blob_declares(minimum: int, maximum: int | None, pages: int) -> None:
    if maximum is not None:
        maximum += minimum
    declared = MemoryType(minimum, maximum)
    for strategy in (Dynamic(pages), Dynamic(None), Static(pages)):
        least, most = strategy.memory(declared)
        assert minimum <= least <= most <= (65536 if maximum is None else maximum)
    assert Dynamic(pages).memory(declared)[0] == minimum
