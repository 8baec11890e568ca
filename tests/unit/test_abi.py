"""Wasm types of the imports, against the list of what a PVF and a node must offer.

The list is the reference's: all of ``sp_io`` in the legacy calling style, from ``executor_interface`` of the PVF host,
the host function signatures of smoldot, and the imports of real blobs.
"""

from __future__ import annotations

import re

import pytest

from host_functions import abi
from host_functions.abi import MultiRemovalResults, wasm_signature, wire_of
from host_functions.declare import host_function, registry
from host_functions.interfaces import (
    additional_data,
    allocator,
    batch_verify,
    child_storage,
    crypto,
    hashing,
    keystore,
    logging,
    misc,
    offchain,
    offchain_index,
    panic_handler,
    relay_chain_state,
    storage,
    storage_proof_size,
    transaction_index,
    trie,
    wasm_tracing,
)

SIGNATURES = """
ext_misc_print_num_version_1(i64)
ext_misc_print_utf8_version_1(i64)
ext_misc_print_hex_version_1(i64)
ext_misc_runtime_version_version_1(i64)->i64
ext_hashing_keccak_256_version_1(i64)->i32
ext_hashing_keccak_512_version_1(i64)->i32
ext_hashing_sha2_256_version_1(i64)->i32
ext_hashing_blake2_128_version_1(i64)->i32
ext_hashing_blake2_256_version_1(i64)->i32
ext_hashing_twox_64_version_1(i64)->i32
ext_hashing_twox_128_version_1(i64)->i32
ext_hashing_twox_256_version_1(i64)->i32
ext_crypto_ed25519_verify_version_1(i32,i64,i32)->i32
ext_crypto_sr25519_verify_version_1(i32,i64,i32)->i32
ext_crypto_sr25519_verify_version_2(i32,i64,i32)->i32
ext_crypto_ecdsa_verify_version_1(i32,i64,i32)->i32
ext_crypto_ecdsa_verify_version_2(i32,i64,i32)->i32
ext_crypto_ecdsa_verify_prehashed_version_1(i32,i32,i32)->i32
ext_crypto_secp256k1_ecdsa_recover_version_1(i32,i32)->i64
ext_crypto_secp256k1_ecdsa_recover_version_2(i32,i32)->i64
ext_crypto_secp256k1_ecdsa_recover_compressed_version_1(i32,i32)->i64
ext_crypto_secp256k1_ecdsa_recover_compressed_version_2(i32,i32)->i64
ext_trie_blake2_256_root_version_1(i64)->i32
ext_trie_blake2_256_root_version_2(i64,i32)->i32
ext_trie_blake2_256_ordered_root_version_1(i64)->i32
ext_trie_blake2_256_ordered_root_version_2(i64,i32)->i32
ext_trie_keccak_256_root_version_1(i64)->i32
ext_trie_keccak_256_root_version_2(i64,i32)->i32
ext_trie_keccak_256_ordered_root_version_1(i64)->i32
ext_trie_keccak_256_ordered_root_version_2(i64,i32)->i32
ext_trie_blake2_256_verify_proof_version_1(i32,i64,i64,i64)->i32
ext_trie_blake2_256_verify_proof_version_2(i32,i64,i64,i64,i32)->i32
ext_trie_keccak_256_verify_proof_version_1(i32,i64,i64,i64)->i32
ext_trie_keccak_256_verify_proof_version_2(i32,i64,i64,i64,i32)->i32
ext_logging_log_version_1(i32,i64,i64)
ext_logging_max_level_version_1()->i32
ext_storage_set_version_1(i64,i64)
ext_storage_get_version_1(i64)->i64
ext_storage_read_version_1(i64,i64,i32)->i64
ext_storage_clear_version_1(i64)
ext_storage_exists_version_1(i64)->i32
ext_storage_clear_prefix_version_1(i64)
ext_storage_clear_prefix_version_2(i64,i64)->i64
ext_storage_clear_prefix_version_3(i64,i64,i64)->i64
ext_storage_append_version_1(i64,i64)
ext_storage_root_version_1()->i64
ext_storage_root_version_2(i32)->i64
ext_storage_changes_root_version_1(i64)->i64
ext_storage_next_key_version_1(i64)->i64
ext_storage_start_transaction_version_1()
ext_storage_rollback_transaction_version_1()
ext_storage_commit_transaction_version_1()
ext_default_child_storage_get_version_1(i64,i64)->i64
ext_default_child_storage_read_version_1(i64,i64,i64,i32)->i64
ext_default_child_storage_set_version_1(i64,i64,i64)
ext_default_child_storage_clear_version_1(i64,i64)
ext_default_child_storage_storage_kill_version_1(i64)
ext_default_child_storage_storage_kill_version_2(i64,i64)->i32
ext_default_child_storage_storage_kill_version_3(i64,i64)->i64
ext_default_child_storage_storage_kill_version_4(i64,i64,i64)->i64
ext_default_child_storage_exists_version_1(i64,i64)->i32
ext_default_child_storage_clear_prefix_version_1(i64,i64)
ext_default_child_storage_clear_prefix_version_2(i64,i64,i64)->i64
ext_default_child_storage_clear_prefix_version_3(i64,i64,i64,i64)->i64
ext_default_child_storage_root_version_1(i64)->i64
ext_default_child_storage_root_version_2(i64,i32)->i64
ext_default_child_storage_next_key_version_1(i64,i64)->i64
ext_storage_proof_size_storage_proof_size_version_1()->i64
ext_offchain_index_set_version_1(i64,i64)
ext_offchain_index_clear_version_1(i64)
ext_relay_chain_state_read_relay_chain_state_into_version_1(i64,i64)->i64
ext_additional_data_finalize_into_version_1(i64)->i32
ext_allocator_malloc_version_1(i32)->i32
ext_allocator_free_version_1(i32)
ext_panic_handler_abort_on_panic_version_1(i64)
ext_crypto_start_batch_verify_version_1()
ext_crypto_finish_batch_verify_version_1()->i32
ext_crypto_ed25519_batch_verify_version_1(i32,i64,i32)->i32
ext_crypto_sr25519_batch_verify_version_1(i32,i64,i32)->i32
ext_crypto_ecdsa_batch_verify_version_1(i32,i64,i32)->i32
ext_crypto_ed25519_public_keys_version_1(i32)->i64
ext_crypto_ed25519_generate_version_1(i32,i64)->i32
ext_crypto_ed25519_sign_version_1(i32,i32,i64)->i64
ext_crypto_sr25519_public_keys_version_1(i32)->i64
ext_crypto_sr25519_generate_version_1(i32,i64)->i32
ext_crypto_sr25519_sign_version_1(i32,i32,i64)->i64
ext_crypto_ecdsa_public_keys_version_1(i32)->i64
ext_crypto_ecdsa_generate_version_1(i32,i64)->i32
ext_crypto_ecdsa_sign_version_1(i32,i32,i64)->i64
ext_crypto_ecdsa_sign_prehashed_version_1(i32,i32,i32)->i64
ext_transaction_index_index_version_1(i32,i32,i32)
ext_transaction_index_renew_version_1(i32,i32)
ext_offchain_is_validator_version_1()->i32
ext_offchain_submit_transaction_version_1(i64)->i64
ext_offchain_network_state_version_1()->i64
ext_offchain_timestamp_version_1()->i64
ext_offchain_sleep_until_version_1(i64)
ext_offchain_random_seed_version_1()->i32
ext_offchain_local_storage_set_version_1(i32,i64,i64)
ext_offchain_local_storage_clear_version_1(i32,i64)
ext_offchain_local_storage_compare_and_set_version_1(i32,i64,i64,i64)->i32
ext_offchain_local_storage_get_version_1(i32,i64)->i64
ext_offchain_set_authorized_nodes_version_1(i64,i32)
ext_offchain_http_request_start_version_1(i64,i64,i64)->i64
ext_offchain_http_request_add_header_version_1(i32,i64,i64)->i64
ext_offchain_http_request_write_body_version_1(i32,i64,i64)->i64
ext_offchain_http_response_wait_version_1(i64,i64)->i64
ext_offchain_http_response_headers_version_1(i32)->i64
ext_offchain_http_response_read_body_version_1(i32,i64,i64)->i64
ext_wasm_tracing_enabled_version_1(i64)->i32
ext_wasm_tracing_enter_span_version_1(i64)->i64
ext_wasm_tracing_event_version_1(i64)
ext_wasm_tracing_exit_version_1(i64)
"""

INTERFACES = (
    *(
        additional_data,
        allocator,
        batch_verify,
        child_storage,
        crypto,
        hashing,
        keystore,
        logging,
        misc,
        offchain,
    ),
    *(offchain_index, panic_handler, relay_chain_state, storage, storage_proof_size, transaction_index, trie),
    wasm_tracing,
)
LISTED = {line.partition("(")[0]: line for line in SIGNATURES.split()}


@pytest.mark.parametrize("name", LISTED)
def test_signature(name: str) -> None:
    parameters, results = wasm_signature(registry()[name])
    arrow = "".join(f"->{result}" for result in results)
    assert f"{name}({','.join(parameters)}){arrow}" == LISTED[name]


def test_nothing_else_is_declared() -> None:
    modules = {interface.__name__ for interface in INTERFACES}
    assert {function.name for function in registry().values() if function.__module__ in modules} == set(
        LISTED
    )


def test_names_follow_the_macro() -> None:
    assert all(re.fullmatch(r"ext_[a-z0-9_]+_version_[1-9]", name) for name in LISTED)


def test_a_type_without_wire_form_is_refused() -> None:
    @host_function("test_abi_plain")
    def plain(key: bytes) -> None:
        """Plain `bytes` do not say how they travel."""

    with pytest.raises(TypeError, match="no wire form"):
        wasm_signature(plain)


def test_wire_forms() -> None:
    assert wire_of(abi.Bytes32).size == 32
    assert wire_of(abi.OptionBytes).scale == "Option<Vec<u8>>"
    with pytest.raises(TypeError, match="no wire form"):
        wire_of(bytes)


def test_removal_results_are_a_pair() -> None:
    assert MultiRemovalResults(all_removed=True, loops=3) == (True, 3)
