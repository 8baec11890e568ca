"""The trie against the hash floor: ``python benchmarks/trie.py [--json]``.

The floor is a loop of ``hashlib.blake2b(item, digest_size=32).digest()`` over exactly the byte strings that the
contender has to hash: what any implementation on this interpreter must spend. The states are synthetic, with the
shape of a relay chain's: 60 storage maps with hashed keys that end in a number or an account, values of 1 to 120
bytes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path

if __name__ == "__main__":
    # As a script, the folder of this file is on the path; the packages are one above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import Contender, Row, main, measure
from runtime.trie import (
    LAYOUT_V1,
    Recorder,
    Trie,
    create_proof,
    decode_compact,
    encode_compact,
    trie_root,
    verify_proof,
)

Entries = list[tuple[bytes, bytes]]

MAPS = 60
PROOF_NODES = 423
"""Size of the proof in smoldot's benchmark, which has been the yardstick of proof verification."""


def item_prefix(pallet: bytes, item: bytes) -> bytes:
    """32 bytes that look like ``twox_128(pallet) ++ twox_128(item)``; the benchmark needs no real ones."""
    return blake2b(pallet, digest_size=16).digest() + blake2b(item, digest_size=16).digest()


CHANNELS = 10
HEADS = [
    item_prefix(b"Xcm", b"MqcHead") + blake2b(b"c%d" % i, digest_size=16).digest() for i in range(CHANNELS)
]
RECEIPTS = item_prefix(b"Ismp", b"Receipts")


NUMBER = 4
ACCOUNT = 32
"""What a map's keys end in, in bytes."""


@cache
def state(size: int, tail: int = NUMBER) -> tuple[Entries, dict[bytes, bytes], bytes]:
    """Entries in key order, the store with all nodes, and the root."""
    draw = random.Random(size)
    entries = {head: bytes(32) for head in HEADS}
    for i in range(size):
        prefix = item_prefix(b"Pallet%d" % (i % 20), b"Item%d" % (i % 3))
        key = prefix + blake2b(b"k%d" % i, digest_size=16).digest() + i.to_bytes(tail, "little")
        entries[key] = draw.randbytes(draw.choice([1, 8, 16, 32, 48, 80, 120]))
    pairs = sorted(entries.items())
    store: dict[bytes, bytes] = {}
    root = trie_root(pairs, LAYOUT_V1, store)
    return pairs, store, root


def hash_floor(items: Iterable[bytes]) -> Contender:
    batch = tuple(items)

    def run() -> None:
        for item in batch:
            blake2b(item, digest_size=32).digest()

    return Contender(f"hash floor ({len(batch)} items, {sum(map(len, batch))} B)", run)


def proof_of(nodes: int) -> tuple[bytes, list[bytes], tuple[bytes, ...]]:
    """Root, keys and a proof of about `nodes` items: as many random keys of a big state as it takes."""
    pairs, store, root = state(100_000, ACCOUNT)
    draw = random.Random(nodes)
    recorder = Recorder(store)
    keys: list[bytes] = []
    trie = Trie(recorder, root, LAYOUT_V1)
    while len(recorder) < nodes:
        keys.append(draw.choice(pairs)[0])
        trie.get(keys[-1])
    return root, keys, recorder.nodes()


def verify(rounds: int) -> list[Row]:
    root, keys, nodes = proof_of(PROOF_NODES)
    contender = Contender(
        f"verify {len(nodes)} nodes, {len(keys)} keys",
        lambda: verify_proof(root, nodes, keys, LAYOUT_V1),
        3.5,
    )
    return measure("verify a storage proof", hash_floor(nodes), [contender], rounds)


def verify_one(rounds: int) -> list[Row]:
    pairs, store, root = state(100_000, ACCOUNT)
    keys = [pairs[len(pairs) // 2][0]]
    nodes = create_proof(store, root, keys, LAYOUT_V1)
    contender = Contender(
        f"verify {len(nodes)} nodes, 1 key", lambda: verify_proof(root, nodes, keys, LAYOUT_V1), 2.7
    )
    return measure("verify a proof of one key", hash_floor(nodes), [contender], rounds)


def verify_dense(rounds: int) -> list[Row]:
    """Every entry of one storage map: neighbours share their paths, and each node is visited about once."""
    pairs, store, root = state(100_000, ACCOUNT)
    prefix = pairs[len(pairs) // 2][0][:32]
    keys = [key for key, _ in pairs if key.startswith(prefix)]
    nodes = create_proof(store, root, keys, LAYOUT_V1)
    contender = Contender(
        f"verify {len(nodes)} nodes, {len(keys)} keys", lambda: verify_proof(root, nodes, keys, LAYOUT_V1)
    )
    return measure("verify a dense proof", hash_floor(nodes), [contender], rounds)


def compact(rounds: int) -> list[Row]:
    root, keys, nodes = proof_of(PROOF_NODES)
    recorder = Recorder(state(100_000, ACCOUNT)[1])
    for key in keys:
        Trie(recorder, root, LAYOUT_V1).get(key)
    items = encode_compact(recorder, root, LAYOUT_V1)
    contenders = [
        Contender("decode compact proof", lambda: decode_compact(items, LAYOUT_V1), 5.0),
        Contender("encode compact proof", lambda: encode_compact(recorder, root, LAYOUT_V1)),
    ]
    return measure("compact proof", hash_floor(nodes), contenders, rounds)


def roots(rounds: int) -> list[Row]:
    pairs, store, _ = state(10_000)
    contender = Contender("root of 10 000 entries", lambda: trie_root(pairs, LAYOUT_V1), 5.0)
    return measure("build a root", hash_floor(store.values()), [contender], rounds)


def update(rounds: int) -> list[Row]:
    """Here the floor is the same work on the small state: a ratio near 1 means the size of the state is free."""

    def updating(size: int) -> Callable[[], bytes]:
        pairs, store, root = state(size)
        draw = random.Random(7)
        changes = [(key, draw.randbytes(20)) for key, _ in draw.sample(pairs, 10)]

        def run() -> bytes:
            trie = Trie(Recorder(store), root, LAYOUT_V1)
            for key, value in changes:
                trie.insert(key, value)
            return trie.commit({})

        return run

    floor = Contender("update 10 keys of 1 000", updating(1_000))
    contenders = [
        Contender("update 10 keys of 10 000", updating(10_000)),
        Contender("update 10 keys of 100 000", updating(100_000), 4.0),
    ]
    return measure("growth of an update (load, change, commit)", floor, contenders, rounds)


Message = bytes


def execute(trie: Trie, messages: list[Message], reads: list[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """A block of messages: per message its channel's head chain, a replay check with a receipt, one other read."""
    changes: dict[bytes, bytes] = {}
    for i, (message, read) in enumerate(zip(messages, reads, strict=True)):
        head_key = HEADS[i % CHANNELS]
        head = changes.get(head_key) or trie.get(head_key) or b""
        hash_ = blake2b(message, digest_size=32).digest()
        changes[head_key] = blake2b(head + i.to_bytes(4, "little") + hash_, digest_size=32).digest()
        receipt = RECEIPTS + hash_
        if trie.get(receipt) is not None:
            raise ValueError("replayed message")
        changes[receipt] = b"\x01" + head[:8]
        trie.get(read)
    for key, value in sorted(changes.items()):
        trie.insert(key, value)
    new: dict[bytes, bytes] = {}
    return trie.commit(new), new


def block(rounds: int) -> list[Row]:
    pairs, store, root = state(100_000)
    draw = random.Random(3)
    count = 1_000
    messages = [draw.randbytes(150) for _ in range(count)]
    reads = [draw.choice(pairs)[0] for _ in range(count)]
    recorder = Recorder(store)
    after, new = execute(Trie(recorder, root, LAYOUT_V1), messages, reads)
    witness = encode_compact(recorder, root, LAYOUT_V1)

    def validate() -> None:
        before, nodes, _ = decode_compact(witness, LAYOUT_V1, root)
        if execute(Trie(nodes, before, LAYOUT_V1), messages, reads)[0] != after:
            raise ValueError("the replay gives another root")

    def build() -> bytes:
        return execute(Trie(Recorder(store), root, LAYOUT_V1), messages, reads)[0]

    def work() -> Iterator[bytes]:
        yield from recorder.values()
        yield from new.values()
        yield from messages + messages

    contenders = [
        Contender("validate: decode, replay, root", validate, 10.0),
        Contender("build: execute and record", build),
        Contender("encode compact proof", lambda: encode_compact(recorder, root, LAYOUT_V1)),
    ]
    return measure(f"a block of {count} messages on 100 000 entries", hash_floor(work()), contenders, rounds)


if __name__ == "__main__":
    sys.exit(main("Trie benchmarks", [verify, verify_one, verify_dense, compact, roots, update, block]))
