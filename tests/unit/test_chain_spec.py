"""Chain specs are read back as they were written, and whatever is not one is refused in one clear line."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import wasmtime
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from host_functions.state_machine import Storage
from pileus.chain_spec import (
    CHILD_STORAGE,
    MAX_SPEC_BYTES,
    BadChainSpec,
    RuntimeFile,
    build_genesis,
    hasher_of,
    parse_runtime_file,
)
from runtime.primitives.hashing import blake2_256, keccak_256
from runtime.trie.build import trie_root
from runtime.trie.child import child_storage_key
from runtime.trie.layout import BLAKE2B_256, KECCAK_256, Hasher, Layout

ENTRIES = st.dictionaries(st.binary(max_size=40), st.binary(max_size=80), max_size=8)
TOP = ENTRIES.map(lambda top: {key: value for key, value in top.items() if not key.startswith(CHILD_STORAGE)})
STORAGES = st.builds(Storage, TOP, st.dictionaries(st.binary(max_size=8), ENTRIES, max_size=3))
NAMES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


def hexed(entries: Any, prefix: str) -> dict[str, str]:
    return {prefix + key.hex(): prefix + value.hex() for key, value in entries.items()}


def state_of(storage: Storage, name: str, prefix: str = "0x") -> dict[str, Any]:
    children = {prefix + key.hex(): hexed(child, prefix) for key, child in storage.children.items()}
    return {"top": hexed(storage.top, prefix), name: children}


def raw_spec(top: Any, **more: Any) -> bytes:
    return json.dumps({"genesis": {"raw": {"top": top, **more}}}).encode()


@given(STORAGES, NAMES, NAMES, st.booleans(), st.sampled_from(["0x", ""]), st.booleans())
def test_a_spec_is_read_as_it_was_written(
    storage: Storage, name: str | None, id: str | None, bare: bool, prefix: str, packed: bool
) -> None:
    state = state_of(storage, "children" if bare else "childrenDefault", prefix)
    document = state if bare else {"genesis": {"raw": state}, "bootNodes": [{"deep": [1.5]}]}
    data = json.dumps({"name": name, "id": id, **document}).encode()
    found = parse_runtime_file(gzip.compress(data) if packed else data)
    assert found.spec is not None
    assert found.spec.genesis == storage
    assert (found.spec.name, found.spec.id) == (name, id)
    assert found.code == found.spec.code == storage.top.get(b":code")


@given(st.binary(max_size=60), st.sampled_from(["wasm", "zstd", "hex"]), st.booleans())
def test_a_blob_is_handed_on_as_it_is(rest: bytes, form: str, packed: bool) -> None:
    code = b"\0asm" + rest
    if form == "zstd":
        code = bytes.fromhex("52bc537646db8e05") + zstandard.compress(code)
    data = f"0x{code.hex()}\n".encode() if form == "hex" else code
    assert parse_runtime_file(gzip.compress(data) if packed else data) == RuntimeFile(code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just("0x00"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["genesis", "raw", "top", "childrenDefault", "0x00", "zz"]), inner)
    ),
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"")
@example(b"\x1f\x8b")
@example(b"0x")
@example(b'{"top": {}, "name": "\\ud800"}')
@example(b'{"top":{"\\ud800":"0x"}}')
@example(b'{"id":' + b"9" * 5000 + b"}")
@example(b"{" + b'"a":{' * 100_000)
@example(b'{"a":' + b"[" * 100_000)
def test_nothing_else_is_ever_raised(data: bytes) -> None:
    try:
        found = parse_runtime_file(data)
    except BadChainSpec as error:
        assert 0 < len(str(error)) < 300
    else:
        assert found.code is not None or found.spec is not None


@given(STORAGES, st.data())
def test_a_damaged_file_is_refused_or_says_the_same(storage: Storage, data: st.DataObject) -> None:
    """A gzipped file has a checksum: damage that changes the content, or an end too early, never goes unnoticed.

    Some bits of a deflate stream change only how the same content is packed.
    """
    good = gzip.compress(json.dumps(state_of(storage, "childrenDefault")).encode(), mtime=0)
    if data.draw(st.booleans()):
        bad = good[: data.draw(st.integers(0, len(good) - 1))]
    else:
        at = data.draw(st.integers(10, len(good) - 1))  # the head has bits that mean nothing
        bad = good[:at] + bytes([good[at] ^ 1 << data.draw(st.integers(0, 7))]) + good[at + 1 :]
    try:
        found = parse_runtime_file(bad)
    except BadChainSpec:
        return
    assert found == parse_runtime_file(good)


WRONG = {
    "no file": (b"", "neither a chain spec"),
    "text": (b"hello", "neither a chain spec"),
    "a list": (b"[]", "neither a chain spec"),
    "cut off": (b'{"genesis": {', "not JSON: .* at line 1, column"),
    "not UTF-8": (b'{"\xff": 1}', r"not UTF-8 text \(byte 2\)"),
    "another document": (b'{"a": 1}', r"neither \$\.genesis nor \$\.top"),
    "not raw": (
        b'{"genesis": {"runtimeGenesis": {}}}',
        "not a raw chain spec: .*'runtimeGenesis'.*build-spec --raw",
    ),
    "a list of maps": (b'{"genesis": {"raw": [{}, {}]}}', r"\$\.genesis\.raw is not an object"),
    "no top": (b'{"genesis": {"raw": {}}}', r"\$\.genesis\.raw\.top is missing"),
    "name": (b'{"top": {}, "name": 1}', r"\$\.name is not a string"),
    "odd key": (raw_spec({"0x012": "0x"}), r"raw\.top: a key has an odd number of hex digits: '0x012'"),
    "bad key": (raw_spec({"0x0g": "0x"}), r"raw\.top: a key is not hex: 'g' at digit 1"),
    "odd value": (raw_spec({"0x01": "0x1"}), r"raw\.top: the value of 0x01 has an odd number"),
    "bad value": (raw_spec({"0x01": "0x00 11"}), r"raw\.top: the value of 0x01 is not hex: ' 11' at digit 2"),
    "no value": (raw_spec({"0x01": None}), r"raw\.top\['0x01'\] is not a string"),
    "same key": (b'{"top": {"0x01": "0x", "0x01": "0x"}}', "'0x01' appears twice in one object"),
    "same bytes": (raw_spec({"0xAB": "0x", "0xab": "0x"}), "key 0xab is given twice"),
    "same section": (b'{"genesis": {}, "genesis": {}}', "'genesis' appears twice"),
    "same child": (raw_spec({}, childrenDefault={"0x01": {}, "01": {}}), "the key is given twice"),
    "hex text": (b"0x0061736", "the file has an odd number"),
    "child": (raw_spec({}, childrenDefault={"0x01": 1}), r"childrenDefault\['0x01'\] is not an object"),
    "child value": (
        raw_spec({}, childrenDefault={"0x01": {"0x": "z"}}),
        r"childrenDefault\['0x01'\]: the value of 0x is not hex",
    ),
    "two children": (raw_spec({}, childrenDefault={}, children={}), "both 'childrenDefault' and 'children'"),
    "child root": (raw_spec({"0x" + child_storage_key(b"a").hex(): "0x"}), "is the root of a child trie"),
    "proof": (bytes.fromhex("52bc537646db8e06"), "a compressed proof of validity"),
    "PolkaVM": (bytes.fromhex("52bc537646db8e08"), "PolkaVM"),
    "two members": (gzip.compress(b"{}") * 2, "bytes after the end of the gzip data"),
    "not gzip": (b"\x1f\x8b\0\0\0", "not valid gzip"),
    "JSON bomb": (b'{"a":[' + b"[]," * 1_000_001 + b"0]}", "more than 2000000 objects"),
    "bomb": (gzip.compress(bytes(MAX_SPEC_BYTES + 1), 1), "larger than 64 MiB when unpacked"),
    "para id is text": (b'{"top": {}, "para_id": "100"}', r"\$\.para_id is not a number below 2\^32"),
    "para id is a truth value": (b'{"top": {}, "paraId": true}', r"\$\.paraId is not a number below 2\^32"),
    "para id is too large": (b'{"top": {}, "para_id": 4294967296}', "not a number below"),
    "para id is infinite": (b'{"top": {}, "para_id": 1e999}', "not a number below"),
    "name without end": (b'{"top": {}, "name": "' + b"A" * 1001 + b'"}', r"\$\.name has 1001 characters"),
    "digits of another script": ('{"top": {"0x\uff11\uff12": "0x"}}'.encode(), "is not hex"),
}


@pytest.mark.parametrize("data, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(BadChainSpec, match=message):
        parse_runtime_file(data)


def test_a_spec_may_say_the_para_id() -> None:
    for text, expected in (
        ("", None),
        (', "para_id": 2000', 2000),
        (', "paraId": 0', 0),
        (', "para_id": null', None),
    ):
        spec = parse_runtime_file(f'{{"top": {{}}{text}}}'.encode()).spec
        assert spec is not None
        assert spec.para_id == expected


def test_the_hash_function_is_that_of_the_ordered_root() -> None:
    def hasher(imported: str) -> Hasher:
        text = f'(module (import "env" "{imported}" (func (param i64) (result i32))) (memory (export "memory") 1))'
        return hasher_of(bytes(wasmtime.wat2wasm(text)))

    assert hasher("ext_trie_keccak_256_ordered_root_version_2") == KECCAK_256
    assert hasher("ext_trie_blake2_256_ordered_root_version_2") == BLAKE2B_256
    assert hasher("ext_hashing_keccak_256_version_1") == BLAKE2B_256  # bridges hash with it


@given(STORAGES, st.sampled_from([0, 1]), st.sampled_from([BLAKE2B_256, KECCAK_256]))
def test_genesis_is_the_block_zero_over_the_state(storage: Storage, version: int, hasher: Hasher) -> None:
    layout = Layout(hasher, version)
    digest = {BLAKE2B_256: blake2_256, KECCAK_256: keccak_256}[hasher]
    roots = {
        child_storage_key(key): trie_root(child, layout) for key, child in storage.children.items() if child
    }
    genesis = build_genesis(storage, version, hasher)
    header = bytes(32) + b"\0" + trie_root({**storage.top, **roots}, layout) + digest(b"\0") + b"\0"
    assert genesis.header.encode() == header
    assert genesis.hash == digest(header)
    assert all(digest(node) == key for key, node in genesis.nodes.items())
