"""A runtime for tests of the sandbox: each entry point does one thing, mostly wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from host_functions.interfaces import (
    child_storage,
    crypto,
    hashing,
    logging,
    misc,
    offchain_index,
    relay_chain_state,
    storage,
    storage_proof_size,
    trie,
)
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.scale import byte_vec, option, tuple_of, u32, u64, vec
from runtime.primitives.version import RuntimeVersion, api_id
from runtime.support.storage import StorageValue

LONG = {key: bytes([key]) * 9_000 for key in range(3)}


class Odd(Exception):
    """An exception of the runtime's own."""


ENDED: list[bytes] = []


class Mortal:
    """Tells when it is destroyed."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def __del__(self) -> None:
        ENDED.append(self.name)


KEPT = [Mortal(b"of the import")]


def fail(argument: bytes) -> bytes:
    return innermost(argument)


def innermost(argument: bytes) -> bytes:
    raise Odd(f"it went wrong with {argument.hex()}")


def refuse(argument: bytes) -> bytes:
    raise InvalidBlock("not this one")


def allocate(argument: bytes) -> bytes:
    return bytes(u32.decode(argument))[:8]


def hoard(argument: bytes) -> bytes:
    kept = []
    while True:
        kept.append(bytes(100_000) + b"x")


def recurse(argument: bytes) -> bytes:
    return recurse(argument)


def nest(argument: bytes) -> bytes:
    """Recursion in C, not in Python."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return repr(nested).encode()


def spin(argument: bytes) -> bytes:
    while True:
        pass


def grow(argument: bytes) -> bytes:
    """Integers of any size."""
    return (7 ** u32.decode(argument)).bit_length().to_bytes(8, "little")


def divide(argument: bytes) -> bytes:
    return bytes([1 // len(argument)])


def nothing(argument: bytes) -> bytes:
    return None  # type: ignore[return-value]


class OddBytes(bytes):
    """Bytes that lie about their length."""

    def __len__(self) -> int:
        return 10**9


MISUSES: tuple[Callable[[], object], ...] = (
    lambda: storage.get("key"),  # type: ignore[arg-type]
    lambda: storage.get(bytearray(b"key")),  # type: ignore[arg-type]
    lambda: storage.set(b"key", None),  # type: ignore[arg-type]
    lambda: misc.print_num(2**64),
    lambda: misc.print_num("7"),  # type: ignore[arg-type]
    lambda: logging.log(-1, b"target", b"message"),
    lambda: storage.clear_prefix_from(b"p", 2**32, None),
    lambda: storage.clear_prefix_from(b"p", None, "cursor"),  # type: ignore[arg-type]
    lambda: crypto.sr25519_verify(7, b"message", bytes(32)),  # type: ignore[arg-type]
    lambda: trie.blake2_256_ordered_root((b"a", 7), 0),  # type: ignore[arg-type]
    storage.get,
)
"""Calls of host functions with what they do not take."""


def misuse(argument: bytes) -> bytes:
    return repr(MISUSES[argument[0]]()).encode()


def by_name(argument: bytes) -> bytes:
    """Arguments by name, and of types derived from the right ones."""
    storage.set(value=OddBytes(b"value"), key=b"named")
    logging.log(message=b"told", level=True, target=OddBytes(b"target"))
    return b"known" if storage.exists(key=OddBytes(b"named")) else b"unknown"


LATE: StorageValue[int, int] = StorageValue(u32, default=7)


class LateStorage:
    """Where an item goes that was made before."""


def late(argument: bytes) -> bytes:
    """A storage item that gets its name when a call comes, and not at the import."""
    LATE.__set_name__(LateStorage, "Late")
    return LATE.key()


def array(argument: bytes) -> bytes:
    return bytearray(argument)


class Mute(Exception):
    """Has no message to give."""

    def __str__(self) -> str:
        return str(1 // 0)


def mute(argument: bytes) -> bytes:
    raise Mute


class Mask(type):
    """Hides the names of its classes."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Masked(Exception, metaclass=Mask):
    """Has no name to give."""


def masked(argument: bytes) -> bytes:
    raise Masked("behind a mask")


def print_something(argument: bytes) -> bytes:
    print("something")
    return b""


def open_something(argument: bytes) -> bytes:
    with open("something", "rb") as file:
        return file.read()


class Careless:
    """Fails when it is destroyed."""

    def __del__(self) -> None:
        raise ValueError("too late")


async def nobody_waits() -> None:
    """Is called and not awaited."""


def careless(argument: bytes) -> bytes:
    Careless()
    nobody_waits()  # type: ignore[unused-coroutine]
    return b"went on"


def echo(argument: bytes) -> bytes:
    return argument


def remember(argument: bytes) -> bytes:
    """Python state of one call, which no other call may see."""
    LONG[len(LONG)] = argument
    return bytes([len(LONG)])


def forget(argument: bytes) -> bytes:
    """Let go of an object that the import made, and of one that this call made."""
    KEPT.clear()
    KEPT.append(Mortal(b"of the call"))
    KEPT.clear()
    return b", ".join(ENDED)


def work(argument: bytes) -> bytes:
    """Some of everything that costs fuel."""
    digest, table = argument, {}
    for _ in range(200):
        digest = hashlib.blake2b(digest, digest_size=32).digest()
        table[digest[:4]] = int.from_bytes(digest, "little") % (2**61 - 1)
    return b"".join(key + value.to_bytes(8, "little") for key, value in sorted(table.items()))[:64]


def orders(argument: bytes) -> bytes:
    """What depends on the seed of the hashes of strings: no runtime may, and the lint of the guest says so."""
    return ",".join({"one", "two", "three", "four", "five", "six"}).encode()


def ask_everything(argument: bytes) -> bytes:
    """Every kind of host function, with what came back, so that engines can be compared."""
    seen: list[bytes] = []

    def note(value: object) -> None:
        seen.append(repr(value).encode())

    storage.set(b"key", argument)
    note(storage.get(b"key"))
    note(storage.get(b"absent"))
    storage.set(b"big", LONG[1])
    note(hashlib.blake2b(storage.get(b"big") or b"", digest_size=16).hexdigest())
    out = bytearray(b"\xee" * 6)
    note((storage.read(b"key", out, 1), bytes(out)))
    note(storage.read(b"absent", out, 0))
    note(storage.exists(b"key"))
    storage.append(b"vector", u32.encode(7))
    note(storage.get(b"vector"))
    note(storage.next_key(b"k"))
    note(storage.next_key(b"\xff" * 4))
    storage.start_transaction()
    storage.clear(b"key")
    note(storage.get(b"key"))
    storage.rollback_transaction()
    note(storage.get(b"key"))
    for index in range(4):
        storage.set(b"p%d" % index, b"v")
    note(storage.clear_prefix(b"p", 2))
    note(storage.clear_prefix_from(b"v", None, b"v"))
    storage.clear_prefix_version_1(b"p")
    note(storage.root(1).hex())
    child_storage.set(b"child", b"key", LONG[2])
    note(hashlib.blake2b(child_storage.get(b"child", b"key") or b"", digest_size=16).hexdigest())
    note(child_storage.get(b"child", b"absent"))
    note(child_storage.read(b"child", b"key", out, 8_998))
    note(child_storage.exists(b"child", b"key"))
    note(child_storage.next_key(b"child", b"a"))
    note(child_storage.root(b"child", 1).hex())
    note(child_storage.clear_prefix(b"child", b"k", None))
    note(child_storage.storage_kill(b"child", 5))
    note(child_storage.storage_kill_version_2(b"child", None))
    note(hashing.twox_64(argument).hex())
    note(hashing.twox_128(argument).hex())
    note(hashing.keccak_256(argument).hex())
    note(hashing.blake2_256(argument).hex())
    note(trie.blake2_256_ordered_root((b"a", argument), 0).hex())
    note(trie.blake2_256_root(((b"a", b"b"), (b"c", argument)), 1).hex())
    note(trie.blake2_256_verify_proof(bytes(32), (b"x",), b"k", b"v", 1))
    note(crypto.sr25519_verify(bytes(64), argument, bytes(32)))
    note(crypto.secp256k1_ecdsa_recover(bytes(65), bytes(32)))
    note(relay_chain_state.read_relay_state(b"head"))
    note(relay_chain_state.read_relay_state(b"large relay value"))
    note(relay_chain_state.read_relay_state(b"absent"))
    note(storage_proof_size.storage_proof_size() > 0)
    note(logging.max_level())
    logging.log(2, b"target", b"message " + argument)
    misc.print_num(2**64 - 1)
    misc.print_utf8(b"text")
    misc.print_hex(argument)
    offchain_index.set(b"index", argument)
    return vec(byte_vec).encode(tuple(seen))


def thin(argument: bytes) -> bytes:
    """Fewer bytes than the host function takes."""
    return bytes([crypto.sr25519_verify(b"short", argument, bytes(32))])


def unlinked(argument: bytes) -> bytes:
    """A function of an old version, which needs a host that allocates."""
    return storage.root_version_1()


def other_root(argument: bytes) -> bytes:
    """Hosts of RFC-145 compute the root in the state version of the runtime, and in no other."""
    return storage.root(0)


def version(argument: bytes) -> bytes:
    return RuntimeVersion("trouble", "trouble", 1, 1, 1, ((api_id("Core"), 5),), 1, 1).encode()


def read(argument: bytes) -> bytes:
    return option(byte_vec).encode(storage.get(argument))


def numbers(argument: bytes) -> bytes:
    return tuple_of(u64, u32).encode((2**64 - 1, 2**32 - 1))


ENTRY_POINTS = {
    f"Trouble_{function.__name__}": function
    for function in (
        *(
            fail,
            refuse,
            allocate,
            hoard,
            recurse,
            nest,
            spin,
            grow,
            divide,
            nothing,
            echo,
            remember,
            forget,
            work,
            orders,
        ),
        *(ask_everything, thin, unlinked, other_root, read, numbers),
        *(array, mute, masked, careless, misuse, by_name, late),
    )
} | {
    "Trouble_print": print_something,
    "Trouble_open": open_something,
    "Core_version": version,
}
