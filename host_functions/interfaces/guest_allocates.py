"""The wire forms of [RFC-145]: what a guest that manages its own memory imports.

Each is another form of a function declared elsewhere, so a context that answers that one answers this; the
exceptions are `input_read` and `last_cursor`, which concern the call and are the executor's. Versions are
those of polkadot-sdk: where the RFC's number was taken already (``clear_prefix``, ``storage_kill``) the next
one [sp-io].

Not declared: the offchain functions for HTTP and for the network's state, which no runtime we know imports.
"""

from collections.abc import Sequence
from typing import Annotated

from host_functions.abi import (
    U32,
    Buffer,
    Bytes,
    Bytes4,
    Bytes32,
    Bytes33,
    Bytes65,
    Into,
    KeyValues,
    OptionBytes,
    RemovalCounts,
    Values,
    Wire,
    wire_form,
)
from host_functions.declare import host_function
from host_functions.interfaces import (
    child_storage,
    crypto,
    hashing,
    keystore,
    misc,
    offchain,
    storage,
    trie,
)

Window = Annotated[bytes | None, Wire((), "out", into=Into.WINDOW)]
FromOffset = Annotated[bytes | None, Wire((), "out", into=Into.FROM_OFFSET)]
Whole = Annotated[bytes | None, Wire((), "out", into=Into.WHOLE)]
Key = Annotated[bytes | None, Wire((), "out", into=Into.WHOLE_OR_EMPTY)]
Encoded = Annotated[bytes, Wire((), "out", into=Into.ENCODED)]
Into8 = Annotated[bytes, Wire((), "out", size=8, into=Into.FIXED)]
Into16 = Annotated[bytes, Wire((), "out", size=16, into=Into.FIXED)]
Into32 = Annotated[bytes, Wire((), "out", size=32, into=Into.FIXED)]
Into33 = Annotated[bytes, Wire((), "out", size=33, into=Into.FIXED)]
Into64 = Annotated[bytes, Wire((), "out", size=64, into=Into.FIXED)]
Signature = Annotated[bytes | None, Wire((), "out", size=64, into=Into.CHECKED)]
EcdsaSignature = Annotated[bytes | None, Wire((), "out", size=65, into=Into.CHECKED)]
Recovered33 = Annotated[bytes | int, Wire((), "out", size=33, into=Into.CHECKED)]
Recovered64 = Annotated[bytes | int, Wire((), "out", size=64, into=Into.CHECKED)]
Counts = Annotated[RemovalCounts, Wire((), "out", into=Into.CURSOR)]
Status = Annotated[bool, Wire((), "out", into=Into.STATUS)]
Limit = Annotated[int | None, Wire(("i64",), "optional")]
Cursor = Annotated[bytes | None, Wire(("i64",), "optional fat")]


@host_function("input", method="read")
def input_read(buffer: Buffer) -> None:
    """The argument of the entry point. Stops the guest if it does not fit."""


@host_function("misc")
def last_cursor() -> Whole:
    """The cursor that did not fit into a buffer, ``None`` once it was fetched."""


# -- storage -----------------------------------------------------------------------------------------------


@wire_form(storage.get, version=2, method="read")
def storage_read(key: Bytes) -> Window:
    """As `storage.get`."""


@wire_form(storage.clear_prefix_from, version=4)
def storage_clear_prefix(prefix: Bytes, limit: Limit, cursor: Cursor) -> Counts:
    """As `storage.clear_prefix_from`."""


@wire_form(storage.root, version=3)
def storage_root() -> Encoded:
    """As `storage.root`, in the state version of the runtime."""


@wire_form(storage.next_key, version=2)
def storage_next_key(key: Bytes) -> Key:
    """As `storage.next_key`."""


@wire_form(child_storage.get, version=2, method="read")
def child_storage_read(storage_key: Bytes, key: Bytes) -> Window:
    """As `child_storage.get`."""


@wire_form(child_storage.storage_kill_from, version=5)
def child_storage_kill(storage_key: Bytes, limit: Limit, cursor: Cursor) -> Counts:
    """As `child_storage.storage_kill_from`."""


@wire_form(child_storage.clear_prefix_from, version=4)
def child_clear_prefix(storage_key: Bytes, prefix: Bytes, limit: Limit, cursor: Cursor) -> Counts:
    """As `child_storage.clear_prefix_from`."""


@wire_form(child_storage.root, version=3)
def child_storage_root(storage_key: Bytes) -> Encoded:
    """As `child_storage.root`, in the state version of the runtime."""


@wire_form(child_storage.next_key, version=2)
def child_storage_next_key(storage_key: Bytes, key: Bytes) -> Key:
    """As `child_storage.next_key`."""


# -- pure functions ----------------------------------------------------------------------------------------


@wire_form(trie.blake2_256_root, version=3)
def blake2_256_root(input: KeyValues, version: U32) -> Into32:
    """As `trie.blake2_256_root`."""


@wire_form(trie.blake2_256_ordered_root, version=3)
def blake2_256_ordered_root(input: Values, version: U32) -> Into32:
    """As `trie.blake2_256_ordered_root`."""


@wire_form(trie.keccak_256_root, version=3)
def keccak_256_root(input: KeyValues, version: U32) -> Into32:
    """As `trie.keccak_256_root`."""


@wire_form(trie.keccak_256_ordered_root, version=3)
def keccak_256_ordered_root(input: Values, version: U32) -> Into32:
    """As `trie.keccak_256_ordered_root`."""


@wire_form(hashing.keccak_256, version=2)
def keccak_256(data: Bytes) -> Into32:
    """As `hashing.keccak_256`."""


@wire_form(hashing.keccak_512, version=2)
def keccak_512(data: Bytes) -> Into64:
    """As `hashing.keccak_512`."""


@wire_form(hashing.sha2_256, version=2)
def sha2_256(data: Bytes) -> Into32:
    """As `hashing.sha2_256`."""


@wire_form(hashing.blake2_128, version=2)
def blake2_128(data: Bytes) -> Into16:
    """As `hashing.blake2_128`."""


@wire_form(hashing.blake2_256, version=2)
def blake2_256(data: Bytes) -> Into32:
    """As `hashing.blake2_256`."""


@wire_form(hashing.twox_256, version=2)
def twox_256(data: Bytes) -> Into32:
    """As `hashing.twox_256`."""


@wire_form(hashing.twox_128, version=2)
def twox_128(data: Bytes) -> Into16:
    """As `hashing.twox_128`."""


@wire_form(hashing.twox_64, version=2)
def twox_64(data: Bytes) -> Into8:
    """As `hashing.twox_64`."""


@wire_form(crypto.secp256k1_ecdsa_recover, version=3)
def secp256k1_ecdsa_recover(sig: Bytes65, msg: Bytes32) -> Recovered64:
    """As `crypto.secp256k1_ecdsa_recover`."""


@wire_form(crypto.secp256k1_ecdsa_recover_compressed, version=3)
def secp256k1_ecdsa_recover_compressed(sig: Bytes65, msg: Bytes32) -> Recovered33:
    """As `crypto.secp256k1_ecdsa_recover_compressed`."""


# -- of a node ---------------------------------------------------------------------------------------------


@wire_form(misc.runtime_version, version=2)
def runtime_version(wasm: Bytes) -> Whole:
    """As `misc.runtime_version`."""


def _number_of(keys: Sequence[bytes]) -> int:
    return len(keys)


def _key_at(keys: Sequence[bytes], index: int) -> bytes:
    """Raises `IndexError`, which stops the guest."""
    return keys[index]


@wire_form(keystore.ed25519_public_keys, version=1, method="ed25519_num_public_keys", select=_number_of)
def ed25519_num_public_keys(id: Bytes4) -> U32:
    """How many keys `keystore.ed25519_public_keys` gives."""


@wire_form(keystore.ed25519_public_keys, version=1, method="ed25519_public_key", select=_key_at)
def ed25519_public_key(id: Bytes4, index: U32) -> Into32:
    """One of the keys that `keystore.ed25519_public_keys` gives."""


@wire_form(keystore.ed25519_generate, version=2)
def ed25519_generate(id: Bytes4, seed: OptionBytes) -> Into32:
    """As `keystore.ed25519_generate`."""


@wire_form(keystore.ed25519_sign, version=2)
def ed25519_sign(id: Bytes4, pub_key: Bytes32, msg: Bytes) -> Signature:
    """As `keystore.ed25519_sign`."""


@wire_form(keystore.sr25519_public_keys, version=1, method="sr25519_num_public_keys", select=_number_of)
def sr25519_num_public_keys(id: Bytes4) -> U32:
    """How many keys `keystore.sr25519_public_keys` gives."""


@wire_form(keystore.sr25519_public_keys, version=1, method="sr25519_public_key", select=_key_at)
def sr25519_public_key(id: Bytes4, index: U32) -> Into32:
    """One of the keys that `keystore.sr25519_public_keys` gives."""


@wire_form(keystore.sr25519_generate, version=2)
def sr25519_generate(id: Bytes4, seed: OptionBytes) -> Into32:
    """As `keystore.sr25519_generate`."""


@wire_form(keystore.sr25519_sign, version=2)
def sr25519_sign(id: Bytes4, pub_key: Bytes32, msg: Bytes) -> Signature:
    """As `keystore.sr25519_sign`."""


@wire_form(keystore.ecdsa_public_keys, version=1, method="ecdsa_num_public_keys", select=_number_of)
def ecdsa_num_public_keys(id: Bytes4) -> U32:
    """How many keys `keystore.ecdsa_public_keys` gives."""


@wire_form(keystore.ecdsa_public_keys, version=1, method="ecdsa_public_key", select=_key_at)
def ecdsa_public_key(id: Bytes4, index: U32) -> Into33:
    """One of the keys that `keystore.ecdsa_public_keys` gives."""


@wire_form(keystore.ecdsa_generate, version=2)
def ecdsa_generate(id: Bytes4, seed: OptionBytes) -> Into33:
    """As `keystore.ecdsa_generate`."""


@wire_form(keystore.ecdsa_sign, version=2)
def ecdsa_sign(id: Bytes4, pub_key: Bytes33, msg: Bytes) -> EcdsaSignature:
    """As `keystore.ecdsa_sign`."""


@wire_form(keystore.ecdsa_sign_prehashed, version=2)
def ecdsa_sign_prehashed(id: Bytes4, pub_key: Bytes33, msg: Bytes32) -> EcdsaSignature:
    """As `keystore.ecdsa_sign_prehashed`."""


@wire_form(offchain.submit_transaction, version=2)
def submit_transaction(data: Bytes) -> Status:
    """As `offchain.submit_transaction`."""


@wire_form(offchain.random_seed, version=2)
def random_seed() -> Into32:
    """As `offchain.random_seed`."""


@wire_form(offchain.local_storage_get, version=1, method="local_storage_read")
def local_storage_read(kind: U32, key: Bytes) -> FromOffset:
    """As `offchain.local_storage_get`."""
