"""PoV validation of whole blocks of the demo runtime, natively, as ratio to the hash floor.

The floor hashes, with the standard library, exactly the byte strings that validation must hash in any
implementation: every node and value of the witness, every node the block writes, and two hashes for each
message (its commitment and the step of the lane's chain). Everything above it is Python: decoding,
signatures, dispatch, trie walks. A `validate` row is the whole of `pov_validator.validate_candidate`,
decompression included, with relay state answered by the validator's own state.

    python benchmarks/blocks.py [--rounds N] [--only NAME] [--json]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Contender, Row, main, measure

from pileus.collator import Collation
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pov_validator import OwnState, Valid, validate_candidate
from runtime.chains import demo
from runtime.primitives.scale import byte_vec
from runtime.trie.compact import decode_compact_proof

DEST = 2000


@dataclass(frozen=True)
class Subject:
    """A candidate ready to be validated."""

    network: Network
    collation: Collation

    def validate(self) -> None:
        collation = self.collation
        verdict = validate_candidate(
            collation.descriptor,
            collation.commitments.hash(),
            collation.pov,
            collation.pvd,
            self.network.parachains[0].runtime,
            OwnState(self.network.chain.database),
        )
        if not isinstance(verdict, Valid):
            raise SystemExit(f"the candidate is not valid: {verdict}")

    def floor(self, messages: int = 0) -> Contender:
        """Hash what must be hashed."""
        collation = self.collation
        root = self.network.parachains[0].node.header(collation.block.header.parent_hash).state_root
        _, witness = decode_compact_proof(collation.block_data.proof, demo.LAYOUT, root)
        strings = [*witness.values(), *collation.proposal.changes.nodes.values()]
        bodies = [
            body.encode()
            for _, fetched in collation.fetched
            if fetched.item is not None
            for batch in fetched.item.batches
            for body in batch.bodies
        ]
        if len(bodies) != messages:
            raise SystemExit(f"the candidate delivers {len(bodies)} messages instead of {messages}")
        strings += [bytes(31) + body for body in bodies] + [bytes(88)] * messages

        def run() -> None:
            for string in strings:
                blake2b(string, digest_size=32).digest()

        return Contender(f"floor: {len(strings)} hashes", run)


def network(siblings: int) -> Network:
    paras = [Parachain(id=DEST + index, collators=(Collator(f"c{index}"),)) for index in range(siblings + 1)]
    nodes = tuple(RelayNode(f"v{index}") for index in range(siblings + 1))
    return Network(
        Topology(relaychain=RelayChainSection(nodes=nodes), parachains=tuple(paras)),
        seed=1,
        relay_state="own",
    )


def next_candidate(net: Network) -> Collation:
    """Step until the first parachain has a new candidate."""
    while True:
        for report in net.step().candidates:
            if report.para_id == DEST:
                return report.collation


def empty_block(rounds: int) -> list[Row]:
    net = network(0)
    subject = Subject(net, next_candidate(net))
    return measure("empty block", subject.floor(), [Contender("validate", subject.validate)], rounds)


def thousand_transfers(rounds: int) -> list[Row]:
    net = network(0)
    para = net.parachains[0]
    for index in range(1000):
        dest = blake2b(index.to_bytes(4, "little"), digest_size=32).digest()
        para.submit(demo.balances.call_of(demo.balances.transfer_keep_alive, dest, demo.UNIT).encode())
    subject = Subject(net, next_candidate(net))
    if len(subject.collation.block.extrinsics) != 1002:
        raise SystemExit(f"{len(subject.collation.block.extrinsics)} extrinsics instead of 1002")
    return measure(
        "1000 transfers to new accounts", subject.floor(), [Contender("validate", subject.validate)], rounds
    )


def thousand_messages(rounds: int) -> list[Row]:
    net = network(4)
    for sibling in net.parachains[1:]:
        for index in range(250):
            sibling.submit_message(DEST, byte_vec.encode(index.to_bytes(4, "little") * 37))
    collation = next_candidate(net)
    while not any(fetched.item for _, fetched in collation.fetched):
        collation = next_candidate(net)
    subject = Subject(net, collation)
    return measure(
        "1000 messages of 150 bytes from 4 siblings",
        subject.floor(1000),
        [Contender("validate", subject.validate)],
        rounds,
    )


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", [empty_block, thousand_transfers, thousand_messages]))
