"""What answers cost: ``python benchmarks/queries.py [--json]``.

Sizes are exact and the same on every machine: bytes of a page's proof beyond its keys and values, rounds of asking a
node for it, evidence for an older head, an Ethereum log. The two walks are compared in time, run in turn: ours, whose
book of unexplored prefixes is a stack, and the same walk with py-trie's ``HexaryTrieFog`` for a book.

The state is synthetic: the map in question with hashed keys and 40-byte values, among 20 000 other entries.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

if __name__ == "__main__":
    # As a script, this folder is on the path, where `trie` is another benchmark. The packages are one above.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import rlp
from trie import HexaryTrie
from trie.fog import HexaryTrieFog

from host_functions.contexts import OffchainContext
from host_functions.state_machine.externalities import Externalities
from pileus.collator.subtree_walk import fetch_subtree
from runtime.primitives.digest import AURA, PreRuntime, RelayParentStorageRoot, Seal
from runtime.primitives.header import Header
from runtime.support.sibling_ancestry import block_hash_key
from runtime.trie import LAYOUT_V1, create_proof, trie_root, verify_subtree
from runtime.trie.node import decode_node, digits_of

MAP_ENTRIES, OTHERS = 10_000, 20_000
PAGES = (1, 16, 100, 256)
PREFIX = blake2b(b"map", digest_size=32).digest()


@cache
def state() -> tuple[bytes, dict[bytes, bytes]]:
    """Root and nodes."""
    entries = {
        PREFIX + blake2b(b"%d" % i, digest_size=16).digest() + b"%08d" % i: bytes([i % 251]) * 40
        for i in range(MAP_ENTRIES)
    }
    entries |= {
        blake2b(b"item %d" % (i % 60), digest_size=32).digest()
        + blake2b(b"%d" % i, digest_size=16).digest(): b"o" * 40
        for i in range(OTHERS)
    }
    with OffchainContext(Externalities.recording({}, LAYOUT_V1.empty_root).backend).externalities():
        entries |= {block_hash_key(i): blake2b(b"%d" % i, digest_size=32).digest() for i in range(256)}
    store: dict[bytes, bytes] = {}
    return trie_root(entries, LAYOUT_V1, store), store


def page_rows() -> list[dict[str, int]]:
    """Proof and rounds of the first page of the map, by its size."""
    root, store = state()
    rows = []
    for page in PAGES:
        rounds = 0

        def ask(keys: Sequence[bytes]) -> Sequence[bytes]:
            nonlocal rounds
            rounds += 1
            return create_proof(store, root, keys, LAYOUT_V1)

        nodes = fetch_subtree(ask, root, PREFIX, LAYOUT_V1, after=None, max_entries=page)
        shown = verify_subtree(root, nodes, PREFIX, LAYOUT_V1, max_entries=page, max_bytes=1 << 30)
        carried = sum(len(value) for _, value in shown.entries)
        total = sum(map(len, nodes))
        rows.append(
            {
                "entries": page,
                "proof_bytes": total,
                "bytes_per_entry_beyond_values": (total - carried) // page,
                "rounds": rounds,
            }
        )
    return rows


def ancestry_rows() -> list[dict[str, int | str]]:
    """Bytes of evidence for a head that many blocks before the newest."""
    root, store = state()
    header = Header(
        bytes(32),
        5_000_000,
        bytes(32),
        bytes(32),
        (
            PreRuntime(AURA, bytes(8)),
            RelayParentStorageRoot(bytes(32), 20_000_000).to_digest_item(),
            Seal(AURA, bytes(64)),
        ),
    ).encode()
    with OffchainContext(Externalities.recording({}, LAYOUT_V1.empty_root).backend).externalities():
        window = sum(map(len, create_proof(store, root, [block_hash_key(7)], LAYOUT_V1))) + len(header)
    rows: list[dict[str, int | str]] = [{"evidence": "window", "blocks": 256, "bytes": window}]
    rows += [{"evidence": "headers", "blocks": n, "bytes": n * len(header)} for n in (1, 2, 5, 10, 20)]
    return rows


def ethereum_rows() -> list[dict[str, int]]:
    """Bytes of receipts proof for messages that share a block of 200 transactions, one log each."""
    rows = []
    log = [bytes(20), [bytes(32)] * 4, bytes(320)]
    for count in (1, 10, 50):
        database: dict[bytes, bytes] = {}
        trie = HexaryTrie(database)
        for index in range(200):
            logs = [log] if index < count else [[bytes(20), [bytes(32)] * 3, bytes(32)]]
            trie[rlp.encode(index)] = b"\x02" + rlp.encode([1, 21_000 * index, bytes(256), logs])
        read: dict[bytes, bytes] = {}

        class Recording(dict[bytes, bytes]):
            def __getitem__(self, key: bytes) -> bytes:
                read[key] = value = super().__getitem__(key)  # noqa: B023
                return value

        recorded = HexaryTrie(Recording(database), trie.root_hash)
        for index in range(count):
            recorded.get(rlp.encode(index))
        total = sum(map(len, read.values()))
        rows.append({"messages": count, "proof_bytes": total, "bytes_per_message": total // count})
    return rows


def walk_with_fog(nodes: Sequence[bytes], root: bytes) -> int:
    """Explore a finished proof with `HexaryTrieFog` for a book; the nodes explored."""
    known = {LAYOUT_V1.digest(node): node for node in nodes}
    fog, explored = HexaryTrieFog(), 0
    references: dict[tuple[int, ...], bytes] = {(): root}
    pending: list[tuple[int, ...]] = [()]
    while pending:
        path = pending.pop()
        reference = references[path]
        node = known.get(reference) if len(reference) == 32 else reference
        if node is None:
            continue
        partial, _, _, bitmap, children, _, _ = decode_node(node)
        segments = []
        for digit, child in zip(digits_of(bitmap), children, strict=True):
            segment = tuple(int(nibble, 16) for nibble in partial + digit)
            segments.append(segment)
            references[path + segment] = child
            pending.append(path + segment)
        fog, explored = fog.explore(path, segments), explored + 1
    return explored


def walk_rows() -> list[dict[str, float]]:
    """Milliseconds, best of three each in turn: the whole walk with ours, the bookkeeping alone with the fog."""
    root, store = state()
    rows = []
    for page in (100, 256):

        def ours(page: int = page) -> tuple[bytes, ...]:
            return fetch_subtree(
                lambda keys: create_proof(store, root, keys, LAYOUT_V1),
                root,
                PREFIX,
                LAYOUT_V1,
                after=None,
                max_entries=page,
            )

        nodes = ours()

        def fog(nodes: Sequence[bytes] = nodes) -> object:
            return walk_with_fog(nodes, root)

        times: dict[str, list[float]] = {"ours": [], "fog": []}
        for _ in range(3):
            for name, run in (("ours", ours), ("fog", fog)):
                times[name].append(_milliseconds(run))
        rows.append({"entries": page, "ours_ms": min(times["ours"]), "fog_ms": min(times["fog"])})
    return rows


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return round(1_000 * (time.perf_counter() - start), 1)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    tables = {
        "pages": page_rows(),
        "ancestry": ancestry_rows(),
        "ethereum_logs": ethereum_rows(),
        "walks": walk_rows(),
    }
    if parser.parse_args().json:
        print(json.dumps(tables))
        return
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
