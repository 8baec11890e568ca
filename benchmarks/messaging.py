"""Sizes and speed of state messaging.

* proof bytes per message, bodies not counted, for six layouts of an outbox: the reference design's child trie of hashed
  keys (A), ours flat (B), variants of it (C, D, E), and ours in head mode (F), in a state with 20 000 other entries;
* messages per second, delivered and validated: a block with 1 000 messages of 150 bytes from four siblings, from asking
  the siblings over authoring to one validator's verdict;
* the proof size that is charged for an item against what it turns out to be;
* how the state grows over many blocks of steady traffic.

    python benchmarks/messaging.py [--blocks N] [--json]

A proof's bytes are those of its SCALE-encoded list of nodes. Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from host_functions.state_machine.genesis import Storage, build_state
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pileus.testing.lab import Lab, LabBlock
from pov_validator import OwnState, Valid, validate_candidate
from runtime.chains import demo
from runtime.pallets.state_messaging.lanes import CHECKPOINT_INTERVAL, OutboundLane
from runtime.pallets.state_messaging.types import Ack, InboundItem, TimeoutClaim
from runtime.primitives.hashing import blake2_128_concat
from runtime.primitives.scale import byte_vec, vec
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1, Layout
from runtime.trie.proof import create_proof

messaging = demo.state_messaging
DEST = 2000
NEIGHBOURS = 20_000
PREFIXES = 60
"""Storage items of the chain around the outbox; their keys are hashed, as most are."""
COUNTS = (100, 1_000, 10_000)
BATCHES = (1, 16, 100)
FLAT_GOAL, HEAD_GOAL = 101, 18
"""Bytes per message at 10 000 outstanding, in batches of 100."""
FIRST = 1_000_001
"""First nonce outstanding: a multiple of no power of two lies near."""

_nodes = vec(byte_vec)
_random = random.Random(7)


@dataclass(frozen=True)
class OutboxLayout:
    """Where messages lie, and what proves a batch of them."""

    name: str
    entries: Callable[[int], dict[bytes, bytes]]
    """Messages outstanding -> entries of the trie."""
    keys: Callable[[int, int], list[bytes]]
    """(first, count) -> keys that prove the messages."""
    layout: Layout = LAYOUT_V1
    alone: bool = False
    """In a trie of its own: proofs start at its root, which has to be proven or committed to elsewhere."""
    payload: int = 0
    """Body bytes in the proof, per message; not counted."""


def digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=32).digest()


def hashed(first: int, count: int) -> list[bytes]:
    return [b"RequestCommitments" + digest("request", at) for at in range(first, first + count)]


def flat(first: int, count: int) -> list[bytes]:
    return [messaging.keys.outbox((DEST, 0, nonce)) for nonce in range(first, first + count)]


def hashed_nonce(first: int, count: int) -> list[bytes]:
    prefix = messaging.Outbox.prefix
    return [prefix + blake2_128_concat(key[len(prefix) :]) for key in flat(first, count)]


def short(first: int, count: int) -> list[bytes]:
    return [key[len(messaging.Outbox.prefix) :] for key in flat(first, count)]


def commitments(keys: Iterable[bytes], size: int = 32) -> dict[bytes, bytes]:
    return {key: (digest("value", key) * (size // 32 + 1))[:size] for key in keys}


def with_receipts(count: int) -> dict[bytes, bytes]:
    receipts = {b"RequestReceipts" + digest("receipt", at): bytes(33) for at in range(count)}
    return {**commitments(hashed(FIRST, count), 65), **receipts}


def head_mode(count: int) -> dict[bytes, bytes]:
    """Our own state with so many messages outstanding: outbox, checkpoints, and 30 lanes to other siblings."""
    last = FIRST + count - 1
    lane = OutboundLane(last + 1, FIRST - 1, 0, digest("head"))
    checkpoints = range(-(-FIRST // CHECKPOINT_INTERVAL) * CHECKPOINT_INTERVAL, last + 1, CHECKPOINT_INTERVAL)
    return {
        **commitments(flat(FIRST, count)),
        **commitments(messaging.keys.checkpoint((DEST, 0, nonce)) for nonce in checkpoints),
        **{messaging.keys.outbound_lane((DEST + para, 0)): lane.encode() for para in range(30)},
    }


def head_key(first: int, count: int) -> list[bytes]:
    last = first + count - 1
    if last % CHECKPOINT_INTERVAL:
        return [messaging.keys.outbound_lane((DEST, 0))]
    return [messaging.keys.checkpoint((DEST, 0, last))]


LAYOUTS = (
    OutboxLayout("A child trie, hashed keys", with_receipts, hashed, LAYOUT_V0, alone=True),
    OutboxLayout("B flat (ours)", lambda count: commitments(flat(FIRST, count)), flat),
    OutboxLayout(
        "C as B, hashed nonces", lambda count: commitments(hashed_nonce(FIRST, count)), hashed_nonce
    ),
    OutboxLayout(
        "D as B, bodies in state", lambda count: commitments(flat(FIRST, count), 256), flat, payload=256
    ),
    OutboxLayout(
        "E child trie, short keys",
        lambda count: commitments(short(FIRST, count)),
        short,
        LAYOUT_V0,
        alone=True,
    ),
    OutboxLayout("F head mode (ours)", head_mode, head_key),
)


def neighbours() -> dict[bytes, bytes]:
    prefixes = [digest("pallet", at)[:16] + digest("item", at)[:16] for at in range(PREFIXES)]
    return {
        prefixes[at % PREFIXES] + digest("entry", at)[:24]: _random.randbytes(40) for at in range(NEIGHBOURS)
    }


def proof_sizes() -> dict[str, dict[str, float]]:
    """Layout -> "outstanding/batch" -> proof bytes per message."""
    around = neighbours()
    sizes: dict[str, dict[str, float]] = {}
    for layout in LAYOUTS:
        row = sizes[layout.name] = {}
        for count in COUNTS:
            entries = layout.entries(count)
            root, nodes = build_state(
                Storage(entries if layout.alone else {**around, **entries}), layout.layout
            )
            for batch in BATCHES:
                # In the middle of what is outstanding; in head mode where a batch can end.
                first = FIRST + (count - batch) // 2
                if layout.entries is head_mode:
                    first = (
                        FIRST
                        + count // 2 // CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL
                        + CHECKPOINT_INTERVAL
                        - batch
                    )
                    first = min(first - FIRST % CHECKPOINT_INTERVAL + 1, FIRST + count - batch)
                proof = create_proof(nodes, root, layout.keys(first, batch), layout.layout)
                row[f"{count}/{batch}"] = len(_nodes.encode(proof)) / batch - layout.payload
    return sizes


def messages_per_second(rounds: int = 3) -> float:
    """Median over some rounds."""
    paras = [Parachain(id=DEST + index, collators=(Collator(f"c{index}"),)) for index in range(5)]
    nodes = tuple(RelayNode(f"v{index}") for index in range(5))
    network = Network(
        Topology(relaychain=RelayChainSection(nodes=nodes), parachains=tuple(paras)),
        seed=1,
        relay_state="own",
    )
    for sibling in network.parachains[1:]:
        for index in range(250):
            sibling.submit_message(DEST, index.to_bytes(4, "little") * 37)
    receiver = network.parachains[0]
    while any(sibling.mempool for sibling in network.parachains[1:]):
        network.step()
    relay_parent = network.chain.best.hash
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        collation = receiver.collate(relay_parent)
        if collation is None:
            raise SystemExit("the receiver cannot build on this relay block")
        verdict = validate_candidate(
            collation.descriptor,
            collation.commitments.hash(),
            collation.pov,
            collation.pvd,
            receiver.runtime,
            OwnState(network.chain.database),
        )
        seconds = time.perf_counter() - start
        if not isinstance(verdict, Valid):
            raise SystemExit(f"the candidate is not valid: {verdict}")
        delivered = sum(answer.item.message_count for _, answer in collation.fetched if answer.item)
        if delivered != 1_000:
            raise SystemExit(f"{delivered} messages instead of 1000")
        rates.append(delivered / seconds)
    return statistics.median(rates)


def charged_and_real() -> dict[str, tuple[int, int]]:
    """Kind of item -> proof bytes charged for it and found: the item itself, and our state that it touches."""
    found: dict[str, tuple[int, int]] = {}
    lab = Lab((DEST, DEST + 1))
    me, sibling = DEST + 1, DEST
    lab.step(
        {sibling: [lab.send(me) for _ in range(200)] + [lab.send(me, lane=128) for _ in range(50)]},
        only=[sibling],
    )
    timeout = lab.relay.best.time + 1
    sends = [lab.send(sibling) for _ in range(100)] + [
        lab.send(sibling, lane=1, timeout=timeout) for _ in range(50)
    ]
    lab.relay.include({me: lab.build(me, sends, items=[]).header})
    taken = lab.item(me, sibling, lab.batch(me, sibling, 1, 100))
    lab.relay.include({sibling: lab.build(sibling, items=[taken]).header})

    def item(*batches: object, **claims: object) -> InboundItem:
        return lab.item(sibling, me, *batches, **claims)  # type: ignore[arg-type]

    items = {
        "1 message, flat": item(lab.batch(sibling, me, 1, 1)),
        "100 messages, flat": item(lab.batch(sibling, me, 1, 100)),
        "100 messages, head": item(lab.batch(sibling, me, 1, 100, tail=0)),
        "200 messages, head": item(lab.batch(sibling, me, 1, 200, tail=0)),
        "50 unordered": item(lab.batch(sibling, me, 1, 50, lane=128)),
        "100 acknowledged": item(acks=[Ack(0, 1, 100)]),
        "50 timed out": item(timeouts=[TimeoutClaim(1, tuple(range(1, 51)))]),
        "refused": item(lab.batch(sibling, me, 2, 100)),
    }
    without = lab.build(me, items=[]).proof_size
    for name, handed in items.items():
        block: LabBlock = lab.build(me, items=[handed])
        real = len(handed.encode()) + block.proof_size - without
        found[name] = messaging.item_weight(handed).proof_size, real
    return found


def state_growth(blocks: int) -> list[tuple[int, int, int]]:
    """(block, sender, receiver): entries in the messaging state, each time when the traffic has just come to rest."""
    lab = Lab((DEST, DEST + 1), validate=False)
    seen: list[tuple[int, int, int]] = []
    marks = {blocks * part // 10 for part in range(1, 11)}
    for number in range(1, blocks + 1):
        lab.step({DEST: [lab.send(DEST + 1, payload=b"")] * 3})
        if number in marks:
            for _ in range(4):
                lab.step()
            seen.append((number, lab[DEST].keys(), lab[DEST + 1].keys()))
        if number % 200 == 0:
            lab.prune()
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description="Sizes and speed of state messaging.")
    parser.add_argument(
        "--blocks", type=int, default=10_000, help="blocks of each chain for the state's growth"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    sizes = proof_sizes()
    flat_bytes, head_bytes = sizes["B flat (ours)"]["10000/100"], sizes["F head mode (ours)"]["10000/100"]
    charged = charged_and_real()
    rate = messages_per_second()
    growth = state_growth(arguments.blocks)
    never_under = all(declared >= real for declared, real in charged.values())
    # The rings of heads fill during the first blocks; from then on nothing grows.
    is_flat = _is_flat(growth)
    met = flat_bytes <= FLAT_GOAL and head_bytes <= HEAD_GOAL and never_under and is_flat
    if arguments.json:
        json.dump(
            {
                "flat_bytes_per_message": round(flat_bytes, 2),
                "head_bytes_per_message": round(head_bytes, 2),
                "messages_per_second": round(rate, 1),
                "proof_bytes_per_message": sizes,
                "weight": {name: {"charged": one, "real": other} for name, (one, other) in charged.items()},
                "never_under_charged": never_under,
                "state_growth": [{"block": at, "sender": s, "receiver": r} for at, s, r in growth],
                "state_is_flat": is_flat,
                "goals_met": met,
            },
            sys.stdout,
            indent=2,
        )
        print()
        return 0 if met else 1
    columns = [f"{count}/{batch}" for count in COUNTS for batch in BATCHES]
    print(f"Proof bytes per message, by messages outstanding / proven together; {NEIGHBOURS} other entries")
    print(f"  {'':<28}" + "".join(f"{column:>11}" for column in columns))
    for name, row in sizes.items():
        print(f"  {name:<28}" + "".join(f"{row[column]:>11,.1f}" for column in columns))
    print(f"  goals at 10000/100: flat <= {FLAT_GOAL}, head mode <= {HEAD_GOAL}")
    print(f"\nMessages per second, fetched, delivered and validated: {rate:,.0f}")
    print("\nProof size of an item: charged beforehand, and found")
    for name, (declared, real) in charged.items():
        print(f"  {name:<22}{declared:>10,} B{real:>10,} B")
    print(f"\nEntries in the messaging state over {arguments.blocks} blocks of 3 messages (sender, receiver)")
    for at, sender, receiver in growth:
        print(f"  block {at:>6}{sender:>8}{receiver:>8}")
    print(f"\nall goals met: {met}")
    return 0 if met else 1


def _is_flat(growth: list[tuple[int, int, int]]) -> bool:
    """From the second mark on, when the rings of heads are full, nothing changes."""
    return len({(sender, receiver) for _, sender, receiver in growth[1:]}) == 1


if __name__ == "__main__":
    sys.exit(main())
