"""Signature batches, keystore, offchain worker and transaction index of the contexts."""

from __future__ import annotations

import pytest

from host_functions.contexts import AuthoringContext, HostContext, OffchainContext, ValidationContext
from host_functions.contexts.batch_verify import NoSuchBatch
from host_functions.contexts.keystore import MemoryKeystore, UnknownSeed
from host_functions.contexts.offchain_worker import UnknownStorageKind
from host_functions.errors import MissingHostFunction
from host_functions.interfaces import (
    batch_verify,
    crypto,
    keystore,
    offchain,
    transaction_index,
    wasm_tracing,
)
from host_functions.state_machine import Externalities, FullBackend, Storage, build_state
from runtime.primitives.hashing import blake2_256

ROOT, NODES = build_state(Storage({b"key": b"value"}))
KEY_TYPE = b"test"
SEED = b"0x" + b"07" * 32


def queries(with_keys: MemoryKeystore | None = None) -> OffchainContext:
    return OffchainContext(FullBackend(NODES, ROOT), keystore=with_keys)


CONTEXTS = {
    "validation": ValidationContext,
    "authoring": lambda: AuthoringContext(Externalities.recording(NODES, ROOT)),
    "offchain": queries,
}


@pytest.mark.parametrize("kind", list(CONTEXTS))
def test_a_batch_remembers_a_wrong_signature(kind: str) -> None:
    store = MemoryKeystore()
    public = store.generate("ed25519", KEY_TYPE, SEED)
    signature = store.sign("ed25519", KEY_TYPE, public, b"message")
    assert signature is not None
    context: HostContext = CONTEXTS[kind]()
    with context.externalities():
        assert batch_verify.ed25519_batch_verify(signature, b"message", public)
        assert not batch_verify.ed25519_batch_verify(signature, b"other", public)
        batch_verify.start_batch_verify()
        assert batch_verify.finish_batch_verify(), "what came before the batch does not count"
        batch_verify.start_batch_verify()
        assert batch_verify.ed25519_batch_verify(signature, b"message", public)
        assert not batch_verify.sr25519_batch_verify(bytes(64), b"message", public)
        assert batch_verify.ed25519_batch_verify(signature, b"message", public)
        assert not batch_verify.finish_batch_verify()
        batch_verify.start_batch_verify()
        assert not batch_verify.ecdsa_batch_verify(bytes(65), b"message", bytes(33))
        assert not batch_verify.finish_batch_verify()


def test_batches_do_not_nest() -> None:
    with ValidationContext().externalities():
        with pytest.raises(NoSuchBatch, match="no batch"):
            batch_verify.finish_batch_verify()
        batch_verify.start_batch_verify()
        with pytest.raises(NoSuchBatch, match="open already"):
            batch_verify.start_batch_verify()
        assert batch_verify.finish_batch_verify()


def test_a_query_leaves_no_batch_behind() -> None:
    context = queries()
    for _ in range(2):
        with context.externalities():
            batch_verify.start_batch_verify()


def test_without_a_keystore_its_functions_are_missing() -> None:
    with queries().externalities(), pytest.raises(MissingHostFunction, match="without a keystore") as caught:
        keystore.sr25519_generate(KEY_TYPE, None)
    assert caught.value.function == "ext_crypto_sr25519_generate_version_1"
    with ValidationContext().externalities(), pytest.raises(MissingHostFunction):
        keystore.ed25519_public_keys(KEY_TYPE)


def test_keys_sign_what_verifies() -> None:
    with queries(MemoryKeystore()).externalities():
        edwards = [keystore.ed25519_generate(KEY_TYPE, seed) for seed in (SEED, None, None)]
        assert keystore.ed25519_public_keys(KEY_TYPE) == tuple(edwards)
        assert keystore.ed25519_public_keys(b"none") == ()
        assert keystore.sr25519_public_keys(KEY_TYPE) == ()
        signature = keystore.ed25519_sign(KEY_TYPE, edwards[1], b"message")
        assert signature is not None
        assert crypto.ed25519_verify(signature, b"message", edwards[1])

        ristretto = keystore.sr25519_generate(KEY_TYPE, SEED)
        signature = keystore.sr25519_sign(KEY_TYPE, ristretto, b"message")
        assert signature is not None
        assert crypto.sr25519_verify(signature, b"message", ristretto)
        assert keystore.sr25519_sign(b"none", ristretto, b"message") is None

        public = keystore.ecdsa_generate(KEY_TYPE, SEED)
        assert len(public) == 33
        signature = keystore.ecdsa_sign(KEY_TYPE, public, b"message")
        assert signature is not None
        assert crypto.ecdsa_verify(signature, b"message", public)
        assert keystore.ecdsa_public_keys(KEY_TYPE) == (public,)
        prehashed = keystore.ecdsa_sign_prehashed(KEY_TYPE, public, blake2_256(b"message"))
        assert prehashed == signature


def test_keys_can_be_made_again() -> None:
    first, again = MemoryKeystore(b"entropy"), MemoryKeystore(b"entropy")
    made = [first.generate("sr25519", KEY_TYPE, None) for _ in range(3)]
    assert made == [again.generate("sr25519", KEY_TYPE, None) for _ in range(3)]
    assert len(set(made)) == 3
    assert MemoryKeystore(b"other").generate("sr25519", KEY_TYPE, None) not in made


@pytest.mark.parametrize(
    "seed", [b"", b"//Alice", b"0x", b"0x" + b"0" * 63, b"0" * 64, b"\xff", b"0x" + b"zz" * 32]
)
def test_seeds_of_other_forms_are_refused(seed: bytes) -> None:
    with pytest.raises(UnknownSeed):
        MemoryKeystore().generate("sr25519", KEY_TYPE, seed)


def test_a_seed_that_is_no_key() -> None:
    with pytest.raises(UnknownSeed, match="secp256k1"):
        MemoryKeystore().generate("ecdsa", KEY_TYPE, b"0x" + b"00" * 32)


def test_offchain_database() -> None:
    context = queries()
    with context.externalities():
        for kind in (1, 2):
            assert offchain.local_storage_get(kind, b"k") is None
            assert not offchain.local_storage_compare_and_set(kind, b"k", b"", b"1")
            assert offchain.local_storage_compare_and_set(kind, b"k", None, b"1")
            assert not offchain.local_storage_compare_and_set(kind, b"k", None, b"2")
            assert offchain.local_storage_compare_and_set(kind, b"k", b"1", b"2")
            assert offchain.local_storage_get(kind, b"k") == b"2"
        offchain.local_storage_clear(1, b"k")
        offchain.local_storage_clear(1, b"absent")
        assert offchain.local_storage_get(1, b"k") is None
        offchain.local_storage_set(1, b"k", b"3")
    assert context.offchain_storage == {(1, b"k"): b"3", (2, b"k"): b"2"}
    with context.externalities(), pytest.raises(UnknownStorageKind, match="kind 0"):
        offchain.local_storage_get(0, b"k")


def test_an_offchain_worker_sees_what_it_is_told() -> None:
    context = queries()
    with context.externalities():
        assert not offchain.is_validator()
        assert offchain.timestamp() == 0
        offchain.sleep_until(5_000)
        offchain.sleep_until(4_000)
        assert offchain.timestamp() == 5_000
        assert offchain.random_seed() == bytes(32)
        assert offchain.submit_transaction(b"extrinsic")
        assert offchain.network_state() is None
        offchain.set_authorized_nodes([b"peer"], True)
    assert context.submitted == [b"extrinsic"]
    context.has_validator_role, context.now, context.seed = True, 7, b"\1" * 32
    with context.externalities():
        assert (offchain.is_validator(), offchain.timestamp(), offchain.random_seed()) == (
            True,
            7,
            b"\1" * 32,
        )


def test_there_is_no_network() -> None:
    """No request begins, and what is said about any other is that there is none."""
    with queries().externalities():
        assert offchain.http_request_start(b"GET", b"http://localhost", b"") is None
        assert not offchain.http_request_add_header(0, b"name", b"value")
        assert offchain.http_request_write_body(0, b"", None) == 3
        assert list(offchain.http_response_wait([0, 7], 1_000)) == [2, 2]
        assert list(offchain.http_response_headers(0)) == []
        buffer = bytearray(b"untouched")
        assert offchain.http_response_read_body(0, buffer, None) == (False, 3)
        assert buffer == b"untouched"


def test_nobody_profiles_the_runtime() -> None:
    for make in (queries, CONTEXTS["authoring"]):
        with make().externalities():
            assert not wasm_tracing.enabled(b"metadata")
            assert wasm_tracing.enter_span(b"span") == 0
            wasm_tracing.event(b"event")
            wasm_tracing.exit(0)
    with ValidationContext().externalities(), pytest.raises(MissingHostFunction):
        wasm_tracing.enabled(b"metadata")


def test_offchain_functions_are_no_part_of_blocks() -> None:
    for make in (CONTEXTS["validation"], CONTEXTS["authoring"]):
        with make().externalities(), pytest.raises(MissingHostFunction):
            offchain.timestamp()


def test_transaction_index_is_accepted_where_blocks_are_made() -> None:
    with CONTEXTS["authoring"]().externalities():
        transaction_index.index(0, 10, bytes(32))
        transaction_index.renew(0, bytes(32))
    with ValidationContext().externalities(), pytest.raises(MissingHostFunction):
        transaction_index.renew(0, bytes(32))
