"""Small inputs that would unfold to much, and failures of the host that would look like the candidate's.

Each of these was found by attack: a PoV of 1.4 kB took 8.7 GB and 44 s before the counts had bounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import zstandard

from host_functions.compressed_blob import InvalidBlob, compress, decompress
from host_functions.contexts import AuthoringContext, ValidationContext
from host_functions.errors import GuestPanic
from host_functions.executor.native import NativeRuntime
from host_functions.state_machine.externalities import Externalities
from pov_validator import Abstain, AbstainReason, Carried, validate_candidate
from runtime.chains import demo
from runtime.primitives.additional_data import MAX_NODES, MAX_PRODUCERS, parse_relay_proof_entry
from runtime.primitives.block import MAX_EXTRINSICS, Block
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.header import MAX_DIGEST_ITEMS, Header
from runtime.primitives.parachain import CandidateDescriptorV2, PersistedValidationData, PoV
from runtime.primitives.parachain_block_data import MAX_BLOCKS, MAX_ITEMS, ParachainBlockData
from runtime.primitives.scale import encode_compact
from runtime.support.dispatch import InvalidTransaction
from runtime.support.weights import DispatchClass, DispatchInfo, Weight
from runtime.trie.build import trie_root
from runtime.trie.child import child_storage_key
from runtime.trie.compact import decode_compact_proof, encode_compact_with_children
from runtime.trie.layout import LAYOUT_V1

BARE_HEADER = bytes(32) + b"\x00" + bytes(64)
"""A header up to its digest."""
EMPTY_BLOCK = BARE_HEADER + b"\x00\x00"
V1, V3 = b"VERSIONEDPBD\x01", b"VERSIONEDPBD\x03"


def many(count: int, item: bytes = b"\x00") -> bytes:
    return encode_compact(count) + item * count


@pytest.mark.parametrize(
    "payload",
    [
        V1 + many(MAX_BLOCKS + 1, EMPTY_BLOCK) + b"\x00",
        V1 + b"\x00" + many(MAX_ITEMS + 1),
        V1 + b"\x04" + BARE_HEADER + many(MAX_DIGEST_ITEMS + 1, b"\x08") + b"\x00\x00",
        V1 + b"\x04" + BARE_HEADER + b"\x00" + many(MAX_EXTRINSICS + 1) + b"\x00",
        V1 + many(17, BARE_HEADER + many(MAX_DIGEST_ITEMS, b"\x08") + b"\x00") + b"\x00",
        V1 + many(2, BARE_HEADER + b"\x00" + many(MAX_ITEMS * 3 // 4)) + b"\x00",
        V3 + bytes(102) + many(MAX_BLOCKS + 1),
        V3 + bytes(102) + b"\x04\x01" + many(MAX_PRODUCERS + 1, b"\x04a\x00"),
        BARE_HEADER + b"\x00" + many(MAX_EXTRINSICS + 1) + b"\x00",
    ],
    ids=["blocks", "proof", "digest", "extrinsics", "digests", "all extrinsics", "maps", "map", "version 0"],
)
def test_payloads_unfold_to_bounded_counts(payload: bytes) -> None:
    with pytest.raises(ScaleError, match=r"at most|more than"):
        ParachainBlockData.decode(payload)


def test_counts_at_their_bounds_decode() -> None:
    header = BARE_HEADER + many(MAX_DIGEST_ITEMS, b"\x08")
    assert len(Header.decode(header).digest) == MAX_DIGEST_ITEMS
    data = ParachainBlockData.decode(V1 + many(MAX_BLOCKS, EMPTY_BLOCK) + many(MAX_ITEMS))
    assert (len(data.blocks), len(data.proof)) == (MAX_BLOCKS, MAX_ITEMS)
    assert data.encode() == V1 + many(MAX_BLOCKS, EMPTY_BLOCK) + many(MAX_ITEMS)


def test_relay_proofs_have_bounded_counts() -> None:
    assert parse_relay_proof_entry(bytes(32) + many(MAX_NODES))[1] == (b"",)
    with pytest.raises(ScaleError, match="at most"):
        parse_relay_proof_entry(bytes(32) + many(MAX_NODES + 1))


def test_extrinsics_beyond_every_pov_are_not_decoded() -> None:
    limit = demo.system.limits.max_length
    block = Block(
        Header(bytes(32), 1, bytes(32), bytes(32)), (b"\x00" * (limit // 2), b"\x00" * (limit // 2 + 1))
    )
    with pytest.raises(InvalidBlock, match=f"{limit + 1} bytes of extrinsics"):
        demo.RUNTIME.executive._apply_extrinsics(block.extrinsics)


def test_the_author_refuses_the_inherent_that_makes_a_block_too_long() -> None:
    """Or it would build a block that no validator accepts."""
    inherent = DispatchInfo(Weight(), DispatchClass.MANDATORY)
    with AuthoringContext(Externalities.recording({}, LAYOUT_V1.empty_root)).externalities():
        demo.system.check_weight(inherent, demo.system.limits.max_length)
        with pytest.raises(InvalidTransaction, match="EXHAUSTS_RESOURCES"):
            demo.system.check_weight(inherent, 1)


def test_frames_without_content_share_one_decompressor(monkeypatch: pytest.MonkeyPatch) -> None:
    # A frame of nothing has 9 bytes: a PoV holds a million of them.
    made: list[object] = []
    real = zstandard.ZstdDecompressor

    def counted() -> zstandard.ZstdDecompressor:
        made.append(None)
        return real()

    monkeypatch.setattr(zstandard, "ZstdDecompressor", counted)
    frame = zstandard.ZstdCompressor().compress(b"")
    assert decompress(BlobKind.POV.value + frame * 1000, 10) == b""
    assert len(made) == 1


class Unsliceable(tuple[bytes, ...]):
    """Items that may be walked once, and not copied for every child trie."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise AssertionError("a slice per child trie takes quadratic time")
        return super().__getitem__(index)


def test_child_tries_of_a_proof_take_linear_time() -> None:
    store: dict[bytes, bytes] = {}
    roots = {
        child_storage_key(bytes([number])): trie_root({b"key": bytes([number])}, LAYOUT_V1, store)
        for number in range(50)
    }
    root = trie_root(roots, LAYOUT_V1, store)
    items = Unsliceable(encode_compact_with_children(store, root, LAYOUT_V1))
    assert decode_compact_proof(items, LAYOUT_V1, root)[0] == root


# What is the host's fault.

NO_MEMORY = "zstd decompressor error: Allocation error : not enough memory"


def failing_decompressor(message: str) -> Callable[[], SimpleNamespace]:
    def decompress_nothing(_: bytes) -> bytes:
        raise zstandard.ZstdError(message)

    frame = SimpleNamespace(eof=False, unused_data=b"", decompress=decompress_nothing)
    return lambda: SimpleNamespace(decompressobj=lambda: frame)


def test_zstd_without_memory_says_nothing_about_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    blob = compress(b"data", BlobKind.POV, 100)
    assert blob is not None
    monkeypatch.setattr(zstandard, "ZstdDecompressor", failing_decompressor(NO_MEMORY))
    with pytest.raises(MemoryError, match="not enough memory"):
        decompress(blob, 100)
    # The size of the window that a frame asks for is the frame's fault.
    too_large = "zstd decompressor error: Frame requires too much memory for decoding"
    monkeypatch.setattr(zstandard, "ZstdDecompressor", failing_decompressor(too_large))
    with pytest.raises(InvalidBlob):
        decompress(blob, 100)


def runtime_raising(error: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> NativeRuntime:
    def validate_block(_: bytes) -> bytes:
        if error is not None:
            raise error
        return b""

    module = ModuleType("runtime.chains.scripted")
    module.ENTRY_POINTS = {"validate_block": validate_block}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("host_functions.executor.native.source_archive", lambda name, version: name.encode())
    return NativeRuntime(module.__name__)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RecursionError("stack"),
        OSError(5, "input/output error"),
        ImportError("no such library"),
    ],
    ids=repr,
)
def test_what_no_guest_can_cause_is_no_panic(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_raising(error, monkeypatch)
    with pytest.raises(type(error)):
        runtime.call("validate_block", b"", ValidationContext())
    with pytest.raises(GuestPanic):
        runtime_raising(KeyError(1), monkeypatch).call("validate_block", b"", ValidationContext())


def judge(runtime: NativeRuntime, pov: PoV) -> object:
    pvd = PersistedValidationData(b"", 1, bytes(32), 1_000_000)
    descriptor = CandidateDescriptorV2(
        para_id=1,
        relay_parent=bytes(32),
        version=0,
        core_index=0,
        session_index=0,
        reserved1=bytes(25),
        persisted_validation_data_hash=pvd.hash(),
        pov_hash=pov.hash(),
        erasure_root=bytes(32),
        reserved2=bytes(64),
        para_head=bytes(32),
        validation_code_hash=runtime.code_hash,
    )
    return validate_candidate(descriptor, bytes(32), pov, pvd, runtime, Carried())


def test_a_host_that_fails_outside_the_execution_abstains(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_raising(None, monkeypatch)
    blob = compress(b"data", BlobKind.POV, 100)
    assert blob is not None
    monkeypatch.setattr(zstandard, "ZstdDecompressor", failing_decompressor(NO_MEMORY))
    verdict = judge(runtime, PoV(blob))
    assert isinstance(verdict, Abstain)
    assert verdict.reason is AbstainReason.HOST_FAILURE
    assert verdict.detail == f"MemoryError: {NO_MEMORY}"
