"""Raw chain specs and runtime blobs from files: what a chain starts with, read as hostile input.

Three kinds of file are understood, each also gzipped: a raw chain spec (``genesis.raw.top`` and
``genesis.raw.childrenDefault``, hex to hex), a bare state (``top`` and ``children`` or ``childrenDefault`` at
the top level), and a runtime blob: Wasm as it is, behind a zstd prefix [RFC-135], or as the hex text that
``export-genesis-wasm`` writes. Everything is bounded, and what is wrong is named by its path in the file.

Follows ``sc_chain_spec`` and, for the genesis block, ``sc_chain_spec::construct_genesis_block``
[sc-chain-spec]. Not modelled: specs that are not raw (their state is made by the runtime), forks, code
substitutes, and the networking part of a spec.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from host_functions.compressed_blob import CODE_BLOB_BOMB_LIMIT, decompress
from host_functions.contexts.families import Misc
from host_functions.errors import PileusError
from host_functions.executor.wasm import CompileCache, WasmRuntime, embedded_version, parse_blob
from host_functions.executor.wasm.version import decode_runtime_version
from host_functions.state_machine import Storage, build_state
from runtime.primitives.compressed_blob import BlobKind, split_magic
from runtime.primitives.header import EMPTY_HASH, Header
from runtime.primitives.version import RuntimeVersion
from runtime.trie.layout import BLAKE2B_256, KECCAK_256, Hasher, Layout

__all__ = [
    "CODE",
    "MAX_SPEC_BYTES",
    "BadChainSpec",
    "ChainSpec",
    "Genesis",
    "RuntimeFile",
    "build_genesis",
    "hasher_of",
    "parse_runtime_file",
    "version_of",
]

CODE: Final = b":code"
"""[sp-core] ``well_known_keys::CODE``."""
KECCAK_ORDERED_ROOT: Final = "ext_trie_keccak_256_ordered_root_"
"""Imported by runtimes whose extrinsics root is a Keccak trie, so whose ``Hashing`` is Keccak."""
CHILD_STORAGE: Final = b":child_storage:"
"""[sp-core] ``well_known_keys::CHILD_STORAGE_KEY_PREFIX``."""
MAX_SPEC_BYTES: Final = 64 * 1024 * 1024
"""Largest file content after gunzipping, in bytes. Polkadot's spec has 6 MB, one with a large runtime 28 MB."""
MAX_JSON_ITEMS: Final = 2_000_000
"""Most objects, lists and members in a spec. A few bytes of JSON make an object of hundreds, so the size of the
text bounds memory badly. Polkadot's spec has 12,000."""

MAX_NAME: Final = 1_000
"""Characters of a chain's name and id."""

GZIP: Final = b"\x1f\x8b"
WASM: Final = b"\0asm"
NOT_WASM: Final = {
    BlobKind.POV: "a compressed proof of validity, not a runtime",
    BlobKind.POLKAVM_CODE: "compressed PolkaVM code: only Wasm runtimes are supported",
}


class BadChainSpec(PileusError):
    """A file that is neither a raw chain spec nor a runtime blob, or is damaged."""


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A chain by what it starts with."""

    genesis: Storage = field(repr=False)
    name: str | None = None
    id: str | None = None
    para_id: int | None = None
    """Of a parachain, where the spec says it."""

    @property
    def code(self) -> bytes | None:
        """The runtime under ``:code``, compressed or not."""
        return self.genesis.top.get(CODE)


@dataclass(frozen=True, slots=True)
class RuntimeFile:
    """What a file holds: a spec, or a bare blob (``spec`` is ``None``, ``code`` is not)."""

    code: bytes | None = field(repr=False)
    spec: ChainSpec | None = None


@dataclass(frozen=True, slots=True)
class Genesis:
    """The state and the header of block 0."""

    layout: Layout
    nodes: Mapping[bytes, bytes] = field(repr=False)
    """The state's trie nodes by hash."""
    header: Header

    @property
    def hash(self) -> bytes:
        """The genesis hash, 32 bytes."""
        return self.header.hash(self.layout.hasher.digest)


def parse_runtime_file(data: bytes) -> RuntimeFile:
    """What the bytes of a file hold. Raises `BadChainSpec`. A blob is not looked into."""
    if data[:2] == GZIP:
        data = _gunzip(data)
    if len(data) > MAX_SPEC_BYTES:
        raise BadChainSpec(f"larger than {MAX_SPEC_BYTES // 2**20} MiB")
    kind, _ = split_magic(data)
    if kind in NOT_WASM:
        raise BadChainSpec(NOT_WASM[kind])
    if kind is not None or data[:4] == WASM:
        return RuntimeFile(data)
    start = data[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:2] in (b"0x", b"0X"):
        return RuntimeFile(_hex(data.decode("ascii", "replace").strip(), "the file"))
    if start[:1] != b"{":
        raise BadChainSpec("neither a chain spec (JSON) nor a runtime (Wasm, or Wasm behind a zstd prefix)")
    spec = _spec(_json(data))
    return RuntimeFile(spec.code, spec)


def version_of(
    code: bytes, *, cache: CompileCache | None = None, timeout: float | None = None
) -> tuple[RuntimeVersion, bool]:
    """The version of a runtime, and whether a section of the blob says it; else ``Core_version`` is run.

    Raises `BlobError` and `InvalidCode` for code that cannot be run, `SandboxError` and `ScaleError` for code
    that tells no version.
    """
    blob = parse_blob(decompress(code, CODE_BLOB_BOMB_LIMIT))
    embedded = embedded_version(blob)
    if embedded is not None:
        return embedded, True
    runtime = WasmRuntime(code, cache=cache, timeout=timeout)
    return decode_runtime_version(runtime.call("Core_version", b"", Misc(max_level=0))), False


def hasher_of(code: bytes) -> Hasher:
    """The hash function of a chain's state, headers and extrinsics: that of the ordered root its runtime asks for.

    Nothing else in a runtime says it: ``Header`` fixes it at compile time. Raises `BlobError` and `InvalidCode`.
    """
    blob = parse_blob(decompress(code, CODE_BLOB_BOMB_LIMIT))
    keccak = any(wanted.name.startswith(KECCAK_ORDERED_ROOT) for wanted in blob.imports)
    return KECCAK_256 if keccak else BLAKE2B_256


def build_genesis(storage: Storage, state_version: int, hasher: Hasher = BLAKE2B_256) -> Genesis:
    """Block 0 over ``storage``.

    ``state_version``: 0 or 1, of the genesis code (`version_of`). ``hasher``: the chain's, which its runtime
    does not say; nearly all use BLAKE2b.
    """
    layout = Layout(hasher, state_version)
    root, nodes = build_state(storage, layout)
    return Genesis(layout, nodes, Header(EMPTY_HASH, 0, root, layout.empty_root))


def _gunzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(data, MAX_SPEC_BYTES + 1)
    except zlib.error as error:
        raise BadChainSpec(f"not valid gzip: {error}") from None
    if len(content) > MAX_SPEC_BYTES:
        raise BadChainSpec(f"larger than {MAX_SPEC_BYTES // 2**20} MiB when unpacked")
    if not stream.eof:
        raise BadChainSpec("the gzip data is incomplete")
    if stream.unused_data:
        raise BadChainSpec(f"{len(stream.unused_data)} bytes after the end of the gzip data")
    return content


def _json(data: bytes) -> dict[str, Any]:
    if data.count(b",") + data.count(b"{") + data.count(b"[") > MAX_JSON_ITEMS:
        raise BadChainSpec(f"not a usable chain spec: more than {MAX_JSON_ITEMS} objects, lists and members")
    try:
        document = json.loads(data, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise BadChainSpec(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise BadChainSpec(f"not JSON: not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise BadChainSpec("not usable JSON: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise BadChainSpec(f"not usable JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadChainSpec("not a chain spec: the document is no object")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadChainSpec(f"key {_short(key)!r} appears twice in one object")
            seen.add(key)
    return result


def _spec(document: dict[str, Any]) -> ChainSpec:
    if "genesis" in document:
        genesis = _object(document, "genesis", "$")
        if "raw" not in genesis:
            found = ", ".join(repr(_short(key)) for key in list(genesis)[:3]) or "nothing"
            raise BadChainSpec(
                f"not a raw chain spec: $.genesis has {found} and no 'raw' (convert it with build-spec --raw)"
            )
        state, path = _object(genesis, "raw", "$.genesis"), "$.genesis.raw"
    elif "top" in document:
        state, path = document, "$"
    else:
        raise BadChainSpec("not a chain spec: there is neither $.genesis nor $.top")
    if "childrenDefault" in state and "children" in state:
        raise BadChainSpec(f"{path} has both 'childrenDefault' and 'children'")
    top = _entries(_object(state, "top", path), f"{path}.top")
    for key in top:
        if key.startswith(CHILD_STORAGE):
            raise BadChainSpec(
                f"{path}.top: key 0x{key[:64].hex()} is the root of a child trie,"
                f" which follows from {path}.childrenDefault"
            )
    children: dict[bytes, dict[bytes, bytes]] = {}
    name = "children" if "children" in state else "childrenDefault"
    if state.get(name) is not None:
        for text, entries in _object(state, name, path).items():
            where = f"{path}.{name}[{_short(text)!r}]"
            key = _hex(text, where)
            if key in children:
                raise BadChainSpec(f"{where}: the key is given twice")
            if not isinstance(entries, dict):
                raise BadChainSpec(f"{where} is not an object")
            children[key] = _entries(entries, where)
    return ChainSpec(
        Storage(top, children), _text(document, "name"), _text(document, "id"), _para_id(document)
    )


def _object(parent: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    found = parent.get(key)
    if not isinstance(found, dict):
        raise BadChainSpec(f"{path}.{key} is {'missing' if key not in parent else 'not an object'}")
    return found


def _text(document: dict[str, Any], key: str) -> str | None:
    found = document.get(key)
    if found is not None and not isinstance(found, str):
        raise BadChainSpec(f"$.{key} is not a string")
    if found is not None and len(found) > MAX_NAME:
        raise BadChainSpec(f"$.{key} has {len(found)} characters, at most {MAX_NAME} are a name")
    return found


def _para_id(document: dict[str, Any]) -> int | None:
    """Both spellings are in use."""
    for key in ("para_id", "paraId"):
        found = document.get(key)
        if found is None:
            continue
        if type(found) is not int or not 0 <= found < 1 << 32:
            raise BadChainSpec(f"$.{key} is not a number below 2^32")
        return found
    return None


def _entries(texts: dict[str, Any], path: str) -> dict[bytes, bytes]:
    entries: dict[bytes, bytes] = {}
    for key_text, value_text in texts.items():
        key = _hex(key_text, path, "a key")
        if key in entries:  # the same bytes in other digits
            raise BadChainSpec(f"{path}: key {_short(key_text)} is given twice")
        if not isinstance(value_text, str):
            raise BadChainSpec(f"{path}[{_short(key_text)!r}] is not a string")
        entries[key] = _hex(value_text, path, "the value of", key_text)
    return entries


def _hex(text: str, path: str, what: str = "", key: str = "") -> bytes:
    """``text`` with or without ``0x``. ``what`` and ``key`` say which entry of ``path`` it is."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) * 2 == len(digits):  # fromhex skips white space, which has no place here
        return value
    where = f"{path}: {what} {_short(key)}".rstrip(" :")
    bad = next((at for at, digit in enumerate(digits) if digit not in "0123456789abcdefABCDEF"), None)
    if bad is None:
        raise BadChainSpec(f"{where} has an odd number of hex digits: {_short(text)!r}")
    raise BadChainSpec(f"{where} is not hex: {_short(digits[bad:], 8)!r} at digit {bad}")


def _short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
