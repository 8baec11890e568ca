"""Availability and forks of the relay chain model: encoding and recovering a PoV, and what a fork costs in memory.

The floor hashes, with the standard library, all chunks of the encoding, as the erasure root has to in any
implementation. A fork's memory is what Python allocates for its states, by tracemalloc, beside that of the state it
forks from; it is printed to stderr, so that ``--json`` stays JSON.

    python benchmarks/relay_chain.py [--rounds N] [--only NAME] [--json]
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Contender, Row, main, measure

from pileus.relay_chain.state import StateDatabase
from pov_validator.erasure.code import CodeParams, decode, encode, recovery_threshold
from runtime.trie.layout import LAYOUT_V1

VALIDATORS = (6, 30, 1000)
ENTRIES = 20_000
FORKS = 50
CHANGED = 10
"""Entries that each fork writes."""


def coding(size: int, validators: int, subject: str, rounds: int) -> list[Row]:
    """Encode and recover from a third of the chunks, chosen at random."""
    data = random.Random(1).randbytes(size)
    params = CodeParams.of(validators)
    chunks = encode(data, params)
    third = random.Random(2).sample(range(validators), recovery_threshold(validators))
    received = {index: chunks[index] for index in third}
    if decode(received, params)[:size] != data:
        raise AssertionError("a third of the chunks does not recover the data")

    def floor() -> None:
        for chunk in chunks:
            blake2b(chunk, digest_size=32).digest()

    return measure(
        subject,
        Contender(f"{validators} validators: hash all chunks", floor),
        [
            Contender(f"{validators} validators: encode", lambda: encode(data, params)),
            Contender(f"{validators} validators: recover", lambda: decode(received, params)),
        ],
        rounds,
    )


def genesis() -> dict[bytes, bytes]:
    """The entries of the state that is forked; each value is stored apart from its node."""
    return {number.to_bytes(4, "big"): bytes(48) + number.to_bytes(4, "big") for number in range(ENTRIES)}


def changes_of(fork: int) -> dict[bytes, bytes | None]:
    """What a fork writes: neighbours, other ones in each fork."""
    keys = [(fork * CHANGED + at).to_bytes(4, "big") for at in range(CHANGED)]
    return {key: bytes([fork + 1]) * 48 + key for key in keys}


def fork_memory() -> str:
    """What a state and its forks take, in bytes."""
    entries = genesis()
    tracemalloc.start()
    database = StateDatabase()
    before = tracemalloc.get_traced_memory()[0]
    root = database.commit(LAYOUT_V1.empty_root, entries)
    whole = tracemalloc.get_traced_memory()[0] - before
    items = len(database)
    before = tracemalloc.get_traced_memory()[0]
    for fork in range(FORKS):
        database.commit(root, changes_of(fork))
    fork_bytes = (tracemalloc.get_traced_memory()[0] - before) // FORKS
    fork_items = (len(database) - items) / FORKS
    tracemalloc.stop()
    return (
        f"a state of {ENTRIES} entries: {whole} bytes, {items} items; a fork that writes {CHANGED} of them: "
        f"{fork_bytes} bytes, {fork_items:.1f} items ({fork_bytes / whole:.2%})"
    )


def small_pov(rounds: int) -> list[Row]:
    """10 KiB."""
    return [row for count in VALIDATORS for row in coding(10 * 1024, count, "PoV of 10 KiB", rounds)]


def large_pov(rounds: int) -> list[Row]:
    """1 MiB."""
    return [row for count in VALIDATORS for row in coding(1024 * 1024, count, "PoV of 1 MiB", rounds)]


def forks(rounds: int) -> list[Row]:
    """A fork of a large state: memory on stderr, and the time to make one and let go of it."""
    print(fork_memory(), file=sys.stderr)
    database = StateDatabase()
    root = database.commit(LAYOUT_V1.empty_root, genesis())
    changes = changes_of(0)
    before = {item for item, _ in database.items_of(root)}
    fork = database.commit(root, changes)
    written = [node for _, node in database.items_of(fork, before)]
    database.release(fork)

    def floor() -> None:
        for node in written:
            blake2b(node, digest_size=32).digest()

    return measure(
        f"a fork that writes {CHANGED} of {ENTRIES} entries",
        Contender("hash what it writes", floor),
        [Contender("commit and release", lambda: database.release(database.commit(root, changes)))],
        rounds,
    )


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", [small_pov, large_pov, forks]))
