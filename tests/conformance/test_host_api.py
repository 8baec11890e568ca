"""Host functions against what other implementations recorded: the w3f host API suite and tests of other
clients.

Each case says what to call and what came out. It is played through the host functions themselves, in an
`AuthoringContext`; what does not fit there has a module of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.declare import registry
from host_functions.interfaces import child_storage, crypto, storage, trie
from host_functions.state_machine import Externalities, Storage, build_state
from runtime.primitives.scale import byte_vec, vec
from runtime.trie.layout import LAYOUT_V0

Case = dict[str, Any]
Vectors = Callable[[str], Any]

TEST_STATE = Storage({b":code": b""})
"""What the w3f adapters start from."""

PLAYED_ELSEWHERE = {
    "allocator": "test_allocator_vectors",
    "generate": "test_keystore_vectors",
    "from_seed": "test_keystore_vectors",
}
"""Families of cases that concern the executor's heap or need a keystore, and the module that plays them all."""


def in_context(state: Storage, play: Callable[[], Any]) -> Any:
    root, nodes = build_state(state, LAYOUT_V0)
    with AuthoringContext(Externalities.recording(nodes, root, LAYOUT_V0)).externalities():
        return play()


def text(case: Case, name: str) -> bytes:
    return str(case["inputs"][name]).encode()


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case["inputs"][name].removeprefix("0x"))


class Trie:
    """The storage functions of the top trie or of one child trie under one signature."""

    def __init__(self, storage_key: bytes | None) -> None:
        self.storage_key = storage_key

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.storage_key is None:
            return getattr(storage, name)  # type: ignore[no-any-return]
        return lambda *arguments: getattr(child_storage, name)(self.storage_key, *arguments)


def tries(case: Case) -> tuple[Trie, Trie | None]:
    """The trie under test, and for a child trie a second one that must stay untouched by it."""
    if "child1" not in case["inputs"]:
        return Trie(None), None
    return Trie(text(case, "child1")), Trie(text(case, "child2"))


def lines(*values: bytes | None) -> str:
    return "".join(value.decode() + "\n" for value in values if value is not None)


def set_and_get(case: Case) -> str:
    here, other = tries(case)
    key, value = text(case, "key"), text(case, "value")
    assert here.get(key) is None
    here.set(key, value)
    assert other is None or other.get(key) is None
    return lines(here.get(key))


def clear(case: Case) -> None:
    here, other = tries(case)
    key, value = text(case, "key"), text(case, "value")
    here.set(key, value)
    if other is not None:
        other.clear(key)
        assert here.get(key) == value
    here.clear(key)
    assert here.get(key) is None


def exists(case: Case) -> str:
    here, other = tries(case)
    key = text(case, "key")
    assert not here.exists(key)
    here.set(key, text(case, "value"))
    assert other is None or not other.exists(key)
    return "true\n" if here.exists(key) else "false\n"


def read(case: Case) -> str:
    here, _ = tries(case)
    offset, buffer = case["inputs"]["offset"], bytearray(case["inputs"]["buffer_size"])
    assert here.read(text(case, "key"), buffer, offset) is None
    here.set(text(case, "key"), text(case, "value"))
    remaining = here.read(text(case, "key"), buffer, offset)
    assert remaining == case["returned_length_remaining"]
    return bytes(buffer[:remaining]).decode()


def clear_prefix(case: Case) -> str | None:
    here, other = tries(case)
    keys = [text(case, "key1"), text(case, "key2")]
    here.set(keys[0], text(case, "value1"))
    here.set(keys[1], text(case, "value2"))
    if other is not None:
        other.clear_prefix_version_1(text(case, "prefix"))
        assert all(here.exists(key) for key in keys)
    here.clear_prefix_version_1(text(case, "prefix"))
    left = [key for key in keys if here.exists(key)]
    assert left == [key for key in keys if not key.startswith(text(case, "prefix"))]
    if "remaining" in case:
        assert [key.decode() for key in left] == case["remaining"]
    return None if other is None else lines(*(here.get(key) for key in left))


def clear_prefix_with_limit(case: Case) -> dict[str, Any]:
    committed = Storage({key.encode(): b"value" for key in case["inputs"]["committed"]})
    outcome = in_context(
        committed, lambda: storage.clear_prefix(text(case, "prefix"), case["inputs"]["limit"])
    )
    return {"deleted": outcome.loops, "all_deleted": outcome.all_removed}


def kill(case: Case) -> None:
    here, other = tries(case)
    assert other is not None
    for number in "12":
        here.set(text(case, f"key{number}"), text(case, f"value{number}"))
    other.storage_kill_version_1()
    assert here.exists(text(case, "key1"))
    assert here.exists(text(case, "key2"))
    here.storage_kill_version_1()
    assert not here.exists(text(case, "key1"))
    assert not here.exists(text(case, "key2"))


def append(case: Case) -> str:
    first, second = byte_vec.encode(text(case, "value1")), byte_vec.encode(text(case, "value2"))
    key1, key2 = text(case, "key1"), text(case, "key2")
    for key, item in [(key1, first), (key1, second), *[(key2, second), (key2, first)] * 2]:
        storage.append(key, item)
    stored = [storage.get(key1) or b"", storage.get(key2) or b""]
    assert [f"0x{value.hex()}" for value in stored] == [case["stored_key1"], case["stored_key2"]]
    return "\n".join(b";".join(vec(byte_vec).decode(value)).decode() for value in stored)


def next_key(case: Case) -> str | None:
    if "search" in case["inputs"]:
        return next_key_in_transaction(case)
    here, other = tries(case)
    keys = sorted([text(case, "key1"), text(case, "key2")])
    assert other is None or here.next_key(b"") is None
    here.set(text(case, "key1"), text(case, "value1"))
    here.set(text(case, "key2"), text(case, "value2"))
    assert here.next_key(keys[1]) is None
    found = lines(here.next_key(keys[0]))
    return found if other is not None else found.removesuffix("\n")


def next_key_in_transaction(case: Case) -> str | None:
    def play() -> bytes | None:
        storage.start_transaction()
        for operation, key in case["inputs"]["inside_transaction"]:
            {"delete": storage.clear, "put": lambda key: storage.set(key, b"value")}[operation](key.encode())
        return storage.next_key(text(case, "search"))

    found = in_context(Storage({key.encode(): b"value" for key in case["inputs"]["state"]}), play)
    return None if found is None else found.decode()


def root(case: Case) -> str:
    here, other = tries(case)
    for number, swapped in ("12", "21"):
        here.set(text(case, f"key{number}"), text(case, f"value{number}"))
        if other is not None:
            other.set(text(case, f"key{number}"), text(case, f"value{swapped}"))
    return here.root_version_1().hex() + ("" if other is None else "\n")


def trie_root(case: Case) -> str:
    pairs = [(key.encode(), value.encode()) for key, value in case["inputs"]["pairs"]]
    return trie.blake2_256_root_version_1(pairs).hex()


def ordered_root(case: Case) -> str:
    return trie.blake2_256_ordered_root_version_1(
        [value.encode() for value in case["inputs"]["values"]]
    ).hex()


def hashed(case: Case) -> str:
    return registry()[case["function"]](text(case, "data")).hex()


def verified(case: Case) -> bool:
    return bool(registry()[case["function"]](raw(case, "sig"), raw(case, "msg"), raw(case, "public")))


def recovered(case: Case) -> str:
    result = registry()[case["function"]](raw(case, "signature"), raw(case, "message_hash"))
    encoded = b"\x01" + bytes([result]) if isinstance(result, int) else b"\x00" + result
    return f"0x{encoded.hex()}"


STORAGE, CHILD = "ext_storage_", "ext_default_child_storage_"
PLAYERS: dict[str, Callable[[Case], Any]] = {
    **{f"{prefix}{name}_version_1": set_and_get for prefix in (STORAGE, CHILD) for name in ("set", "get")},
    **{f"{prefix}clear_version_1": clear for prefix in (STORAGE, CHILD)},
    **{f"{prefix}exists_version_1": exists for prefix in (STORAGE, CHILD)},
    **{f"{prefix}read_version_1": read for prefix in (STORAGE, CHILD)},
    **{f"{prefix}clear_prefix_version_1": clear_prefix for prefix in (STORAGE, CHILD)},
    **{f"{prefix}next_key_version_1": next_key for prefix in (STORAGE, CHILD)},
    **{f"{prefix}root_version_1": root for prefix in (STORAGE, CHILD)},
    f"{STORAGE}clear_prefix_version_2": clear_prefix_with_limit,
    f"{STORAGE}append_version_1": append,
    f"{CHILD}storage_kill_version_1": kill,
    "test_storage_init": lambda case: storage.root_version_1().hex() + "\n",
    "ext_trie_blake2_256_root_version_1": trie_root,
    "ext_trie_blake2_256_ordered_root_version_1": ordered_root,
    **{
        f"ext_hashing_{name}_version_1": hashed
        for name in "blake2_128 blake2_256 keccak_256 sha2_256 twox_64 twox_128 twox_256".split()
    },
    crypto.ed25519_verify.name: verified,
    crypto.sr25519_verify.name: verified,
    crypto.ecdsa_verify.name: verified,
    crypto.secp256k1_ecdsa_recover.name: recovered,
    crypto.secp256k1_ecdsa_recover_version_1.name: recovered,
    crypto.secp256k1_ecdsa_recover_compressed_version_1.name: recovered,
}


@pytest.mark.parametrize("function", sorted(PLAYERS))
def test_function(vectors: Vectors, function: str) -> None:
    cases = [case for case in vectors("host_api") if case["function"] == function]
    assert cases, "the vectors no longer have this function"
    for case in cases:
        found = in_context(TEST_STATE, lambda case=case: PLAYERS[function](case))
        assert found == case["expected"], case["id"]


@pytest.mark.parametrize("family", sorted(PLAYED_ELSEWHERE))
def test_played_elsewhere(vectors: Vectors, family: str) -> None:
    cases = [case for case in vectors("host_api") if family in case["function"]]
    assert cases, "the vectors no longer have this family"
    assert not any(case["function"] in PLAYERS for case in cases)
    assert (Path(__file__).parent / f"{PLAYED_ELSEWHERE[family]}.py").is_file()


def test_every_case_is_played_or_named(vectors: Vectors) -> None:
    left_out = Counter(
        case["function"]
        for case in vectors("host_api")
        if case["function"] not in PLAYERS
        and not any(family in case["function"] for family in PLAYED_ELSEWHERE)
    )
    assert not left_out
