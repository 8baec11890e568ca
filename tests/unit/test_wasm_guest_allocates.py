"""The wire forms of RFC-145: signatures, each way a result gets into the guest's buffer, and mixed blobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from host_functions.abi import RemovalCounts, WireForm, wasm_signature
from host_functions.contexts import AuthoringContext, HostContext, ValidationContext
from host_functions.declare import HostFunction, functions_of
from host_functions.errors import HostError, PileusError
from host_functions.executor.wasm import CallingStyle, Dynamic, InvalidCode, Static, Trap, WasmRuntime
from host_functions.executor.wasm.runtime import Linking
from host_functions.executor.wasm.style import calling_style, style_of
from host_functions.interfaces import (
    child_storage,
    crypto,
    guest_allocates,
    hashing,
    keystore,
    misc,
    offchain,
    storage,
    trie,
)
from host_functions.interfaces.guest_allocates import (
    blake2_256,
    child_clear_prefix,
    child_storage_kill,
    child_storage_read,
    input_read,
    last_cursor,
    local_storage_read,
    secp256k1_ecdsa_recover,
    sr25519_generate,
    sr25519_num_public_keys,
    sr25519_public_key,
    sr25519_sign,
    storage_clear_prefix,
    storage_next_key,
    storage_read,
    storage_root,
    submit_transaction,
)
from host_functions.state_machine import Externalities, Storage, build_state
from runtime.primitives.hashing import blake2_256 as blake2_256_of
from runtime.primitives.scale import byte_vec, vec
from runtime.primitives.version import RuntimeVersion, api_id
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1

SIGNATURES = """
ext_input_read_version_1(i64)
ext_misc_last_cursor_version_1(i64)->i64
ext_storage_read_version_2(i64,i64,i32,i32)->i64
ext_storage_clear_prefix_version_4(i64,i64,i64,i64,i32)->i32
ext_storage_root_version_3(i64)
ext_storage_next_key_version_2(i64,i64)->i32
ext_default_child_storage_read_version_2(i64,i64,i64,i32,i32)->i64
ext_default_child_storage_storage_kill_version_5(i64,i64,i64,i64,i32)->i32
ext_default_child_storage_clear_prefix_version_4(i64,i64,i64,i64,i64,i32)->i32
ext_default_child_storage_root_version_3(i64,i64)
ext_default_child_storage_next_key_version_2(i64,i64,i64)->i32
ext_trie_blake2_256_root_version_3(i64,i32,i32)
ext_trie_blake2_256_ordered_root_version_3(i64,i32,i32)
ext_trie_keccak_256_root_version_3(i64,i32,i32)
ext_trie_keccak_256_ordered_root_version_3(i64,i32,i32)
ext_hashing_keccak_256_version_2(i64,i32)
ext_hashing_keccak_512_version_2(i64,i32)
ext_hashing_sha2_256_version_2(i64,i32)
ext_hashing_blake2_128_version_2(i64,i32)
ext_hashing_blake2_256_version_2(i64,i32)
ext_hashing_twox_256_version_2(i64,i32)
ext_hashing_twox_128_version_2(i64,i32)
ext_hashing_twox_64_version_2(i64,i32)
ext_crypto_secp256k1_ecdsa_recover_version_3(i32,i32,i32)->i64
ext_crypto_secp256k1_ecdsa_recover_compressed_version_3(i32,i32,i32)->i64
ext_misc_runtime_version_version_2(i64,i64)->i64
ext_crypto_ed25519_num_public_keys_version_1(i32)->i32
ext_crypto_ed25519_public_key_version_1(i32,i32,i32)
ext_crypto_ed25519_generate_version_2(i32,i64,i32)
ext_crypto_ed25519_sign_version_2(i32,i32,i64,i32)->i64
ext_crypto_sr25519_num_public_keys_version_1(i32)->i32
ext_crypto_sr25519_public_key_version_1(i32,i32,i32)
ext_crypto_sr25519_generate_version_2(i32,i64,i32)
ext_crypto_sr25519_sign_version_2(i32,i32,i64,i32)->i64
ext_crypto_ecdsa_num_public_keys_version_1(i32)->i32
ext_crypto_ecdsa_public_key_version_1(i32,i32,i32)
ext_crypto_ecdsa_generate_version_2(i32,i64,i32)
ext_crypto_ecdsa_sign_version_2(i32,i32,i64,i32)->i64
ext_crypto_ecdsa_sign_prehashed_version_2(i32,i32,i32,i32)->i64
ext_offchain_submit_transaction_version_2(i64)->i64
ext_offchain_random_seed_version_2(i32)
ext_offchain_local_storage_read_version_1(i32,i64,i64,i32)->i64
""".split()

ARGUMENT = 1024
"""Where the guest keeps its argument."""
BUFFER = 4096
"""Where a result goes; the guest fills it with 0xEE first."""
ROOM = 128
ANSWER = 8192
MISSING = 2**64 - 1
"""-1 as an ``i64``."""


def guest(*calls: tuple[HostFunction[..., Any], tuple[int, ...]], sections: bytes = b"") -> bytes:
    """A guest that makes the calls and returns the number that the last gave (8 bytes) and `ROOM` bytes of the
    buffer."""
    imports, body = [], []
    for index, (function, arguments) in enumerate(calls):
        params, results = wasm_signature(function)
        signature = f"(param {' '.join(params)})" + (f"(result {results[0]})" if results else "")
        imports.append(f'(import "env" "{function.name}" (func $f{index} {signature}))')
        pushed = " ".join(f"({kind}.const {value})" for kind, value in zip(params, arguments, strict=True))
        call = f"(call $f{index} {pushed})"
        if results == ("i32",):
            call = f"(i64.extend_i32_u {call})"
        body.append(f"(i64.store (i32.const {ANSWER}) {call})" if results else call)
    code = wasmtime.wat2wasm(f"""(module
      (import "env" "ext_input_read_version_1" (func $input (param i64)))
      {" ".join(imports)}
      (memory (export "memory") 1)
      (data (i32.const {BUFFER}) "{chr(92) + "ee"}{(chr(92) + "ee") * (ROOM - 1)}")
      (func (export "run") (param $n i32) (result i64) (local $i i32)
        (call $input (i64.or (i64.const {ARGUMENT}) (i64.shl (i64.extend_i32_u (local.get $n)) (i64.const 32))))
        {" ".join(body)}
        (loop $copy
          (i32.store8 offset={ANSWER + 8} (local.get $i) (i32.load8_u offset={BUFFER} (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $copy (i32.lt_u (local.get $i) (i32.const {ROOM}))))
        (i64.const {ANSWER | (8 + ROOM) << 32})))""")
    return bytes(code) + sections


def run(code: bytes, context: HostContext, argument: bytes = b"") -> tuple[int, bytes]:
    """Number and buffer, the same under both ways of linking."""
    linkings: tuple[Linking, ...] = ("raw", "stock")
    answers = {
        WasmRuntime(code, heap=Dynamic(64), linking=linking).call("run", argument, context)
        for linking in linkings
    }
    assert len(answers) == 1, answers
    answer = answers.pop()
    return int.from_bytes(answer[:8], "little"), answer[8:]


def answering(function: HostFunction[..., Any], implementation: Callable[..., Any]) -> HostContext:
    return ValidationContext().override({function: implementation})


def fat(address: int, length: int) -> int:
    return address | length << 32


def buffer_with(value: bytes, at: int = 0) -> bytes:
    untouched = b"\xee" * ROOM
    return untouched[:at] + value + untouched[at + len(value) :]


def test_signatures() -> None:
    declared = []
    for function in functions_of(guest_allocates):
        parameters, results = wasm_signature(function)
        declared.append(f"{function.name}({','.join(parameters)}){''.join(f'->{kind}' for kind in results)}")
    assert declared == SIGNATURES


def test_forms_are_answered_by_what_they_are_forms_of() -> None:
    forms = [function for function in functions_of(guest_allocates) if isinstance(function, WireForm)]
    assert len(forms) == len(SIGNATURES) - 2
    assert all(style_of(form) is CallingStyle.RFC145 for form in forms)
    assert storage_read.answered_by is storage.get
    assert blake2_256.pure_implementation is hashing.blake2_256.pure_implementation
    with pytest.raises(TypeError, match=r"is a wire form: override ext_storage_get_version_1"):
        ValidationContext().override({storage_read: lambda key: None})


@pytest.mark.parametrize("function", functions_of(guest_allocates), ids=lambda function: function.name)
def test_every_form_can_be_imported_and_called(function: HostFunction[..., Any]) -> None:
    """With zeros for arguments; what comes back is an answer or an error that says what is wrong."""
    code = guest((function, (0,) * len(wasm_signature(function)[0])))
    try:
        run(code, ValidationContext())
    except PileusError as error:
        assert str(error)


@given(st.binary(max_size=90), st.integers(0, ROOM), st.integers(0, 100), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_value_is_read_from_an_offset(value: bytes, room: int, offset: int, partial: bool) -> None:
    asked = []

    def get(key: bytes) -> bytes:
        asked.append(key)
        return value

    code = guest((storage_read, (fat(ARGUMENT + 2, 3), fat(BUFFER, room), offset, int(partial))))
    number, buffer = run(code, answering(storage.get, get), b"a key")
    rest = value[offset:]
    assert asked == [b"key"] * 2
    assert number == len(rest)
    assert buffer == buffer_with(rest[:room] if partial or len(rest) <= room else b"")


def test_an_absent_value_is_minus_one() -> None:
    code = guest((storage_read, (0, fat(BUFFER, 8), 0, 1)))
    assert run(code, answering(storage.get, lambda key: None)) == (MISSING, buffer_with(b""))
    code = guest((child_storage_read, (0, 0, fat(BUFFER, 8), 0, 1)))
    context = answering(child_storage.get, lambda storage_key, key: None)
    assert run(code, context) == (MISSING, buffer_with(b""))


def test_offchain_storage_tells_the_whole_length() -> None:
    context = answering(offchain.local_storage_get, lambda kind, key: b"0123456789")
    assert run(guest((local_storage_read, (1, 0, fat(BUFFER, 4), 7))), context) == (10, buffer_with(b"789"))
    assert run(guest((local_storage_read, (1, 0, fat(BUFFER, 2), 7))), context) == (10, buffer_with(b""))


@pytest.mark.parametrize("room", [0, 3, 4, 9])
def test_what_does_not_fit_is_not_written(room: int) -> None:
    written = b"next" if room >= 4 else b""
    code = guest((storage_next_key, (0, fat(BUFFER, room))))
    assert run(code, answering(storage.next_key, lambda key: b"next")) == (4, buffer_with(written))
    assert run(code, answering(storage.next_key, lambda key: None)) == (0, buffer_with(b""))
    code = guest((guest_allocates.runtime_version, (0, fat(BUFFER, room))))
    context = ValidationContext(version_of=lambda wasm: b"next")
    assert run(code, context) == (4, buffer_with(written))
    assert run(code, ValidationContext(version_of=lambda wasm: None)) == (MISSING, buffer_with(b""))


@pytest.mark.parametrize("system_version, layout", [(0, LAYOUT_V0), (1, LAYOUT_V1)])
def test_the_storage_root_is_in_the_state_version_of_the_runtime(system_version: int, layout: Any) -> None:
    root, nodes = build_state(Storage({b"long": b"x" * 50}), LAYOUT_V0)
    version = RuntimeVersion("a", "b", 1, 1, 1, (), 1, system_version)
    section = custom("runtime_version", version.encode()) + custom(
        "runtime_apis", api_id("Core") + b"\x05\0\0\0"
    )
    code = guest(
        (storage.set, (fat(BUFFER, 1), fat(BUFFER, 60))), (storage_root, (fat(BUFFER, 33),)), sections=section
    )
    _, buffer = run_on(code, nodes, root)
    state = Externalities.recording(nodes, root)
    state.set(b"\xee", b"\xee" * 60)
    assert state.root(0) != state.root(1)
    assert buffer[:33] == byte_vec.encode(state.root(layout.state_version))
    with pytest.raises(Trap, match="the buffer holds 32 bytes, the result has 33"):
        run_on(guest((storage_root, (fat(BUFFER, 32),))), nodes, root)


def run_on(code: bytes, nodes: Any, root: bytes) -> tuple[int, bytes]:
    context = AuthoringContext(Externalities.recording(nodes, root))
    answer = WasmRuntime(code).call("run", b"", context)
    return int.from_bytes(answer[:8], "little"), answer[8:]


def custom(name: str, content: bytes) -> bytes:
    body = bytes([len(name)]) + name.encode() + content
    assert len(body) < 128
    return bytes([0, len(body)]) + body


def test_hashes_go_where_the_guest_says() -> None:
    code = guest((blake2_256, (fat(ARGUMENT, 3), BUFFER)))
    assert run(code, ValidationContext(), b"abc")[1] == buffer_with(blake2_256_of(b"abc"))
    pairs = vec(byte_vec).encode((b"a", b"b"))
    code = guest((guest_allocates.blake2_256_ordered_root, (fat(ARGUMENT, len(pairs)), 1, BUFFER)))
    assert run(code, ValidationContext(), pairs)[1] == buffer_with(
        trie.blake2_256_ordered_root((b"a", b"b"), 1)
    )


@pytest.mark.parametrize("answer, number", [(b"\7" * 64, 0), (0, MISSING), (2, MISSING - 2)])
def test_recovery_gives_a_key_or_the_number_of_an_error(answer: bytes | int, number: int) -> None:
    code = guest((secp256k1_ecdsa_recover, (0, 0, BUFFER)))
    context = answering(crypto.secp256k1_ecdsa_recover, lambda sig, msg: answer)
    assert run(code, context) == (number, buffer_with(answer if isinstance(answer, bytes) else b""))


def test_keys_of_a_node_one_by_one() -> None:
    keys = (b"\1" * 32, b"\2" * 32)
    context = answering(keystore.sr25519_public_keys, lambda id: keys)
    assert run(guest((sr25519_num_public_keys, (ARGUMENT,))), context, b"aura")[0] == 2
    assert run(guest((sr25519_public_key, (ARGUMENT, 1, BUFFER))), context, b"aura")[1] == buffer_with(
        keys[1]
    )
    with pytest.raises(IndexError):
        run(guest((sr25519_public_key, (ARGUMENT, 2, BUFFER))), context, b"aura")


def test_generating_and_signing() -> None:
    context = answering(keystore.sr25519_generate, lambda id, seed: b"\5" * 32)
    assert run(guest((sr25519_generate, (0, fat(ARGUMENT, 1), BUFFER))), context, b"\0")[1] == buffer_with(
        b"\5" * 32
    )
    code = guest((sr25519_sign, (0, 0, 0, BUFFER)))
    context = answering(keystore.sr25519_sign, lambda id, pub_key, msg: b"\6" * 64)
    assert run(code, context) == (0, buffer_with(b"\6" * 64))
    context = answering(keystore.sr25519_sign, lambda id, pub_key, msg: None)
    assert run(code, context) == (MISSING, buffer_with(b""))
    code = guest((submit_transaction, (0,)))
    assert run(code, answering(offchain.submit_transaction, lambda data: True))[0] == 0
    assert run(code, answering(offchain.submit_transaction, lambda data: False))[0] == MISSING


def test_a_context_that_answers_the_wrong_size_is_the_hosts_fault() -> None:
    with pytest.raises(HostError, match=r"generate_version_2: the context answered 3 bytes instead of 32"):
        run(
            guest((sr25519_generate, (0, fat(ARGUMENT, 1), BUFFER))),
            answering(keystore.sr25519_generate, lambda id, seed: b"abc"),
            b"\0",
        )


COUNTS = BUFFER + 16


@pytest.mark.parametrize("limit, cursor", [(None, None), (0, b""), (7, b"key"), (2**32 - 1, b"k")])
def test_removals_take_a_limit_and_a_cursor(limit: int | None, cursor: bytes | None) -> None:
    seen = []

    def clear(prefix: bytes, limit: int | None, cursor: bytes | None) -> RemovalCounts:
        seen.append((prefix, limit, cursor))
        return RemovalCounts(b"next", 1, 2, 3)

    raw_limit = MISSING if limit is None else limit
    raw_cursor = MISSING if cursor is None else fat(ARGUMENT + 3, len(cursor))
    code = guest(
        (storage_clear_prefix, (fat(ARGUMENT, 3), raw_limit, raw_cursor, fat(BUFFER, 16), COUNTS)),
    )
    number, buffer = run(code, answering(storage.clear_prefix_from, clear), b"pre" + (cursor or b""))
    assert seen == [(b"pre", limit, cursor)] * 2
    assert number == 4
    assert buffer[:4] == b"next"
    assert buffer[16:28] == b"\1\0\0\0\2\0\0\0\3\0\0\0"


def test_a_limit_is_32_bits_or_minus_one() -> None:
    code = guest((storage_clear_prefix, (0, 2**32, MISSING, 0, COUNTS)))
    with pytest.raises(Trap, match="4294967296 is neither a 32-bit number nor -1"):
        run(code, answering(storage.clear_prefix_from, lambda *_: RemovalCounts(None, 0, 0, 0)))


def test_a_cursor_that_did_not_fit_is_kept_until_it_is_fetched() -> None:
    context = answering(storage.clear_prefix_from, lambda *_: RemovalCounts(b"cursor", 1, 1, 1))
    clear = (storage_clear_prefix, (0, MISSING, MISSING, fat(BUFFER, 5), COUNTS))
    fetch = (last_cursor, (fat(BUFFER, 6),))
    too_small = (last_cursor, (fat(BUFFER, 5),))
    assert run(guest(clear), context)[0] == 6
    number, buffer = run(guest(clear, too_small, fetch), context)
    assert (number, buffer[:6]) == (6, b"cursor")
    assert run(guest(clear, fetch, fetch), context)[0] == MISSING
    assert run(guest(fetch), context)[0] == MISSING


def test_removal_over_a_real_state_goes_on_where_it_stopped() -> None:
    entries = {b"p%d" % n: b"value" for n in range(5)}
    root, nodes = build_state(Storage(entries, {b"child": entries}))
    for function, key in (
        (storage_clear_prefix, ()),
        (child_clear_prefix, (fat(ARGUMENT, 5),)),
        (child_storage_kill, (fat(ARGUMENT, 5),)),
    ):
        prefix = () if function is child_storage_kill else (fat(ARGUMENT + 5, 1),)
        first = (function, (*key, *prefix, 2, MISSING, fat(BUFFER, 2), COUNTS))
        second = (function, (*key, *prefix, MISSING, fat(BUFFER, 2), fat(BUFFER, 2), COUNTS))
        state = Externalities.recording(nodes, root)
        answer = WasmRuntime(guest(first)).call("run", b"childp", AuthoringContext(state))
        assert (answer[0], answer[8:10], answer[24:36]) == (2, b"p2", b"\2\0\0\0\2\0\0\0\2\0\0\0")
        state = Externalities.recording(nodes, root)
        answer = WasmRuntime(guest(first, second)).call("run", b"childp", AuthoringContext(state))
        assert (answer[0], answer[24:36]) == (0, b"\3\0\0\0\3\0\0\0\3\0\0\0")
        left = state.next_key(b"p") if not key else state.child_next_key(b"child", b"p")
        assert left is None


def test_the_input_is_given_whole_or_not_at_all() -> None:
    code = guest((input_read, (fat(BUFFER, 2),)))
    assert run(code, ValidationContext(), b"ab")[1] == buffer_with(b"ab")
    with pytest.raises(Trap, match=r"ext_input_read_version_1: the buffer holds 2 bytes, the input has 3"):
        run(code, ValidationContext(), b"abc")


def test_a_guest_that_allocates_grows_its_memory_itself() -> None:
    """The host gives none in advance, and not more than the strategy says."""
    code = wasmtime.wat2wasm("""(module
      (import "env" "ext_input_read_version_1" (func $input (param i64)))
      (memory (export "memory") 1)
      (func (export "run") (param $n i32) (result i64)
        (i32.store (i32.const 0) (memory.size))
        (i32.store (i32.const 4) (memory.grow (i32.const 3)))
        (i32.store (i32.const 8) (memory.grow (i32.const 1)))
        (i64.const 0xc00000000)))""")
    for heap in (Static(3), Dynamic(4)):
        answer = WasmRuntime(bytes(code), heap=heap).call("run", b"", ValidationContext())
        assert answer == b"\1\0\0\0\1\0\0\0\xff\xff\xff\xff"


LEGACY_RUN = '(func (export "run") (param i32 i32) (result i64) (i64.const 0))'
NEW_RUN = '(func (export "run") (param i32) (result i64) (i64.const 0))'


def imports(entry: str, *functions: HostFunction[..., Any]) -> bytes:
    lines = []
    for function in functions:
        params, results = wasm_signature(function)
        result = f"(result {results[0]})" if results else ""
        lines.append(f'(import "env" "{function.name}" (func (param {" ".join(params)}) {result}))')
    return bytes(wasmtime.wat2wasm(f'(module {" ".join(lines)} (memory (export "memory") 1) {entry})'))


@pytest.mark.parametrize(
    "entry, function, style",
    [
        (NEW_RUN, storage.get, "legacy"),
        (NEW_RUN, hashing.twox_128, "legacy"),
        (NEW_RUN, misc.runtime_version, "legacy"),
        (LEGACY_RUN, storage_read, "RFC-145"),
        (LEGACY_RUN, blake2_256, "RFC-145"),
        (LEGACY_RUN, last_cursor, "RFC-145"),
    ],
)
def test_a_blob_that_mixes_styles_is_refused(
    entry: str, function: HostFunction[..., Any], style: str
) -> None:
    with pytest.raises(InvalidCode, match=f"mixes calling styles: .* {function.name} of the {style} style"):
        WasmRuntime(imports(entry, function))


@pytest.mark.parametrize("entry, style", [(LEGACY_RUN, CallingStyle.LEGACY), (NEW_RUN, CallingStyle.RFC145)])
def test_what_allocates_nowhere_belongs_to_both_styles(entry: str, style: CallingStyle) -> None:
    both = (storage.set, storage.exists, crypto.sr25519_verify, trie.blake2_256_verify_proof)
    runtime = WasmRuntime(imports(entry, *both))
    assert calling_style(runtime.blob) is style
