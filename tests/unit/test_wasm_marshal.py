"""Each form in which arguments and results cross into Wasm, through a guest, under every way of linking."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from host_functions import interfaces
from host_functions.abi import MultiRemovalResults, wasm_signature, wire_of
from host_functions.contexts import HostContext, ValidationContext
from host_functions.declare import HostFunction, functions_of
from host_functions.errors import PileusError
from host_functions.executor.wasm import Dynamic, Trap, WasmRuntime
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import (
    additional_data,
    child_storage,
    crypto,
    guest_allocates,
    keystore,
    offchain,
    relay_chain_state,
    storage,
    storage_proof_size,
    trie,
)
from runtime.primitives.scale import byte_vec, option, u32, vec

LINKINGS: tuple[Linking, ...] = ("fast", "raw", "stock")
ALL_FUNCTIONS = [
    function
    for module in pkgutil.iter_modules(interfaces.__path__, f"{interfaces.__name__}.")
    for function in functions_of(importlib.import_module(module.name))
    if module.name != guest_allocates.__name__  # of the other calling style: test_wasm_guest_allocates
]
ANSWER = 1024
"""Where the guest puts a number it got back."""
BUFFER = 4096
"""Where arguments stand, and buffers begin."""


def guest(function: HostFunction[..., Any], *arguments: int, result: str = "number") -> bytes:
    """A guest that calls ``function`` with raw numbers and returns what it got.

    ``result``: ``number`` (8 bytes), ``fat`` (the bytes a packed pointer leads to), ``thin:N`` (N bytes), and
    ``number+N``: the number and N bytes of the buffer.
    """
    params, results = wasm_signature(function)
    signature = f"(param {' '.join(params)})" + (f"(result {results[0]})" if results else "")
    pushed = " ".join(f"({kind}.const {value})" for kind, value in zip(params, arguments, strict=True))
    call = f"(call $f {pushed})"
    if results == ("i32",):
        call = f"(i64.extend_i32_u {call})"
    if not results:
        call = f"{call} (i64.const 0)"
    if result == "fat":
        body = call
    elif result.startswith("thin:"):
        body = f"(i64.or {call} (i64.const {int(result[5:]) << 32}))"
    else:
        extra = int(result.partition("+")[2] or 0)
        packed = ANSWER | (8 + extra) << 32
        copy = "".join(
            f"(i32.store8 (i32.const {ANSWER + 8 + i}) (i32.load8_u (i32.const {BUFFER + i})))"
            for i in range(extra)
        )
        body = f"(local.set $r {call}) (i64.store (i32.const {ANSWER}) (local.get $r)) {copy} (i64.const {packed})"
    return bytes(
        wasmtime.wat2wasm(f"""(module
          (import "env" "memory" (memory 2))
          (import "env" "{function.name}" (func $f {signature}))
          (global (export "__heap_base") i32 (i32.const 8192))
          (func (export "run") (param $p i32) (param $n i32) (result i64) (local $r i64)
            (block $done (loop $copy (br_if $done (i32.eqz (local.get $n)))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (i32.store8 offset={BUFFER} (local.get $n)
                (i32.load8_u (i32.add (local.get $p) (local.get $n))))
              (br $copy)))
            {body}))""")
    )


def run(code: bytes, context: HostContext, argument: bytes = b"") -> bytes:
    """The result, the same under every way of linking."""
    answers = {
        linking: WasmRuntime(code, heap=Dynamic(64), linking=linking).call("run", argument, context)
        for linking in LINKINGS
    }
    assert len(set(answers.values())) == 1, answers
    return answers["fast"]


def answering(function: HostFunction[..., Any], implementation: Callable[..., Any]) -> HostContext:
    return ValidationContext().override({function: implementation})


def fat(address: int, length: int) -> int:
    return address | length << 32


@pytest.mark.parametrize("function", ALL_FUNCTIONS, ids=lambda function: function.name)
def test_every_declared_function_can_be_imported_and_called(function: HostFunction[..., Any]) -> None:
    """With zeros for arguments; what comes back is an answer or an error that says what is wrong."""
    code = guest(function, *[0] * len(wasm_signature(function)[0]))
    for linking in LINKINGS:
        runtime = WasmRuntime(code, heap=Dynamic(64), linking=linking)
        try:
            runtime.call("run", b"", ValidationContext())
        except PileusError as error:
            assert str(error)


def test_scale_names_are_known() -> None:
    from host_functions.executor.wasm.wire_codecs import WIRE_CODECS

    used = set()
    for function in ALL_FUNCTIONS:
        hints = [*function.parameters.values()]
        if function.result is not type(None):
            hints.append(function.result)
        used |= {wire_of(hint).scale for hint in hints}
    assert used - {""} <= set(WIRE_CODECS)


@given(st.binary(max_size=60), st.integers(0, 64))
@settings(max_examples=15)
def test_into_writes_what_fits_and_tells_the_whole_length(value: bytes, room: int) -> None:
    asked = []

    def read(key: bytes) -> bytes:
        asked.append(key)
        return value

    context = answering(relay_chain_state.read_relay_state, read)
    code = guest(
        relay_chain_state.read_relay_state, fat(BUFFER + 100, 3), fat(BUFFER, room), result="number+64"
    )
    argument = bytes([0xEE] * 100) + b"key"
    answer = run(code, context, argument)
    assert asked == [b"key"] * len(LINKINGS)
    assert int.from_bytes(answer[:8], "little") == len(value)
    written = min(room, len(value))
    assert answer[8:] == value[:written] + b"\xee" * (64 - written)


def test_into_says_absent_with_minus_one() -> None:
    context = answering(relay_chain_state.read_relay_state, lambda key: None)
    code = guest(relay_chain_state.read_relay_state, 0, fat(BUFFER, 8), result="number+8")
    answer = run(code, context, b"\xee" * 8)
    assert int.from_bytes(answer[:8], "little", signed=True) == -1
    assert answer[8:] == b"\xee" * 8


def test_into_buffers_stay_inside_memory() -> None:
    context = answering(relay_chain_state.read_relay_state, lambda key: b"value")
    for linking in LINKINGS:
        code = guest(relay_chain_state.read_relay_state, 0, fat(2 * 65536 - 4, 5))
        with pytest.raises(
            Trap, match="read_relay_chain_state_into_version_1: 5 bytes at 0x1fffc are outside"
        ):
            WasmRuntime(code, heap=Dynamic(2), linking=linking).call("run", b"", context)


def test_finalize_writes_a_hash_or_nothing() -> None:
    digest = bytes(range(32))
    code = guest(additional_data.finalize, fat(BUFFER, 32), result="number+32")
    answer = run(code, answering(additional_data.finalize, lambda: digest))
    assert answer == (1).to_bytes(8, "little") + digest
    answer = run(code, answering(additional_data.finalize, lambda: None), b"\xee" * 32)
    assert answer == bytes(8) + b"\xee" * 32
    short = guest(additional_data.finalize, fat(BUFFER, 31))
    for linking in LINKINGS:
        with pytest.raises(Trap, match="the buffer holds 31 bytes, the result has 32"):
            WasmRuntime(short, heap=Dynamic(4), linking=linking).call(
                "run", b"", answering(additional_data.finalize, lambda: digest)
            )


def test_out_buffers_come_back_changed() -> None:
    def read(key: bytes, value_out: bytearray, value_offset: int) -> int | None:
        assert (key, bytes(value_out), value_offset) == (b"k", b"abcd", 0xFFFF_FFFF)
        value_out[1:3] = b"XY"
        return 7

    code = guest(storage.read, fat(BUFFER + 4, 1), fat(BUFFER, 4), -1, result="fat")
    assert run(code, answering(storage.read, read), b"abcdk") == option(u32).encode(7)
    code = guest(storage.read, fat(BUFFER + 4, 1), fat(BUFFER, 4), -1, result="number+4")
    assert run(code, answering(storage.read, read), b"abcdk")[8:] == b"aXYd"


@pytest.mark.parametrize("value", [None, b"", b"value", bytes(300)])
def test_optional_bytes(value: bytes | None) -> None:
    code = guest(storage.get, 0, result="fat")
    assert run(code, answering(storage.get, lambda key: value)) == option(byte_vec).encode(value)
    seen: list[bytes | None] = []
    code = guest(offchain.local_storage_compare_and_set, 1, 0, fat(BUFFER, 320), fat(BUFFER, 0))

    def compare(kind: int, key: bytes, old_value: bytes | None, new_value: bytes) -> bool:
        seen.append(old_value)
        return True

    argument = option(byte_vec).encode(value).ljust(320, b"\0")
    assert run(code, answering(offchain.local_storage_compare_and_set, compare), argument)[0] == 1
    assert seen == [value] * len(LINKINGS), "bytes after the value are ignored"


def test_removals() -> None:
    for limit, removal in ((None, MultiRemovalResults(True, 3)), (5, MultiRemovalResults(False, 2**32 - 1))):
        seen = []

        def kill(storage_key: bytes, limit: int | None, removal: MultiRemovalResults = removal) -> Any:
            seen.append(limit)  # noqa: B023  (called before the next round)
            return removal

        code = guest(child_storage.storage_kill, 0, fat(BUFFER, 5), result="fat")
        answer = run(
            code, answering(child_storage.storage_kill, kill), option(u32).encode(limit).ljust(5, b"\0")
        )
        assert answer == bytes([not removal.all_removed]) + removal.loops.to_bytes(4, "little")
        assert seen == [limit] * len(LINKINGS)


@pytest.mark.parametrize("answer, encoded", [(b"\7" * 64, b"\0" + b"\7" * 64), (2, b"\1\2")])
def test_recovery_results(answer: bytes | int, encoded: bytes) -> None:
    code = guest(crypto.secp256k1_ecdsa_recover, 0, 0, result="fat")
    assert run(code, answering(crypto.secp256k1_ecdsa_recover, lambda sig, msg: answer)) == encoded


def test_thin_pointers_and_sequences() -> None:
    values = (b"one", b"", b"three")
    seen = []

    def root(input: Any, version: int) -> bytes:
        seen.append((tuple(input), version))
        return bytes(range(32))

    encoded = vec(byte_vec).encode(values)
    code = guest(trie.blake2_256_ordered_root, fat(BUFFER, len(encoded)), 1, result="thin:32")
    assert run(code, answering(trie.blake2_256_ordered_root, root), encoded) == bytes(range(32))
    assert seen == [(values, 1)] * len(LINKINGS)

    def keys(id: bytes) -> tuple[bytes, ...]:
        assert id == b"aura"
        return (bytes(32), b"\1" * 32)

    code = guest(keystore.sr25519_public_keys, BUFFER, result="fat")
    answer = run(code, answering(keystore.sr25519_public_keys, keys), b"aura")
    assert answer == b"\x08" + bytes(32) + b"\1" * 32


@pytest.mark.parametrize("number", [0, 1, 2**63, 2**64 - 1])
def test_numbers_are_unsigned(number: int) -> None:
    code = guest(storage_proof_size.storage_proof_size)
    answer = run(code, answering(storage_proof_size.storage_proof_size, lambda: number))
    assert int.from_bytes(answer, "little") == number
    seen = []
    code = guest(offchain.sleep_until, number)
    run(code, answering(offchain.sleep_until, seen.append))
    assert seen == [number] * len(LINKINGS)


def test_success_and_failure() -> None:
    for success in (True, False):
        code = guest(offchain.submit_transaction, 0, result="fat")
        answer = run(code, answering(offchain.submit_transaction, lambda data, success=success: success))
        assert answer == (b"\0" if success else b"\1")
    code = guest(offchain.network_state, result="fat")
    assert run(code, answering(offchain.network_state, lambda: None)) == b"\1"
    assert run(code, answering(offchain.network_state, lambda: b"state")) == b"\0state"


def test_http_requests() -> None:
    """Errors by number, statuses as variants, bytes read into a buffer of the guest."""
    code = guest(offchain.http_request_write_body, 7, fat(BUFFER, 2), fat(BUFFER + 2, 1), result="fat")
    seen: list[object] = []

    def write(request_id: int, chunk: bytes, deadline: int | None) -> int | None:
        seen.append((request_id, chunk, deadline))
        return None if chunk else 2

    assert run(code, answering(offchain.http_request_write_body, write), b"ab\0") == b"\0"
    assert set(seen) == {(7, b"ab", None)}
    assert run(code, answering(offchain.http_request_write_body, lambda *a: 3), b"ab\0") == b"\1\3"
    code = guest(offchain.http_response_wait, fat(BUFFER, 5), fat(BUFFER + 5, 1), result="fat")
    waited = run(code, answering(offchain.http_response_wait, lambda ids, d: [0, 404]), b"\x08\1\0\2\0\0")
    assert waited == b"\x08\0\3" + (404).to_bytes(2, "little")
    code = guest(offchain.http_response_read_body, 7, fat(BUFFER, 4), fat(BUFFER + 4, 1), result="fat")

    def read_body(request_id: int, buffer: bytearray, deadline: int | None) -> tuple[bool, int]:
        buffer[:2] = b"hi"
        return True, 2

    assert run(code, answering(offchain.http_response_read_body, read_body), bytes(5)) == b"\0\2\0\0\0"
    assert run(code, answering(offchain.http_response_read_body, lambda *a: (False, 1)), bytes(5)) == b"\1\1"
