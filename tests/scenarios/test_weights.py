"""What an item is charged is never less than what it costs: bytes of the PoV, counted as `storage_proof_size` does.

Real are the encoded item, which stands in the block, and the nodes that the block touches more with it than without.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from host_functions.interfaces import storage
from pileus.testing.lab import Lab
from runtime.chains import demo
from runtime.pallets.mailbox import MAX_LETTER, RECIPIENT
from runtime.pallets.state_messaging.events import ItemRefused, MessageConsumed, MessageSettled
from runtime.pallets.state_messaging.types import Ack, InboundItem, LaneBatch, TimeoutClaim
from runtime.primitives.digest import PreRuntime
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.support.sibling_ancestry import MAX_HEAD_BYTES

A, B = 2000, 2001
messaging = demo.state_messaging
SENT = 120


@cache
def world(neighbours: int) -> Lab:
    """A has sent B messages on three lanes and taken half of B's; B's own state has so many other entries."""
    lab = Lab((A, B))

    def fill() -> None:
        for index in range(neighbours):
            storage.set(blake2_256(b"%d" % (index % 60)) + blake2_256(b"entry %d" % index), bytes(40))

    recipients = (RECIPIENT, b"nobody")
    sizes = (0, 40, MAX_LETTER, MAX_LETTER + 1)
    sends = [
        lab.send(B, lane=lane, recipient=recipients[index % 2], payload=bytes(sizes[index % 4]))
        for lane in (0, 1, 128)
        for index in range(SENT)
    ]
    lab.step({A: sends}, only=[A])
    timeout = lab.relay.best.time + 1
    own = [lab.send(A, lane=lane, timeout=timeout) for lane in (0, 128, 1) for _ in range(SENT)]
    lab.relay.include({B: lab.build(B, [fill, *own], items=[]).header})
    taken = [lab.batch(B, A, 1, SENT // 2), lab.batch(B, A, 1, SENT // 2, lane=128)]
    lab.relay.include({A: lab.build(A, items=[lab.item(B, A, *taken)]).header})
    return lab


def cost(lab: Lab, item: InboundItem) -> int:
    block, without = lab.build(B, items=[item]), lab.build(B, items=[])
    for kind in (ItemRefused, MessageConsumed, MessageSettled):
        if block.of(kind):
            event(kind.__name__)
    return len(item.encode()) + block.proof_size - without.proof_size


counts = st.integers(0, SENT)


@settings(max_examples=25)
@given(
    neighbours=st.sampled_from((0, 2_000)),
    ordered=counts,
    head_mode=st.booleans(),
    unordered=st.tuples(st.integers(1, SENT), counts),
    acks=st.tuples(counts, st.integers(1, SENT), counts),
    claims=st.lists(st.integers(1, SENT), unique=True, max_size=40).map(sorted),
)
@example(neighbours=2_000, ordered=1, head_mode=False, unordered=(1, 0), acks=(0, 1, 0), claims=[])
@example(neighbours=2_000, ordered=0, head_mode=False, unordered=(60, 1), acks=(0, 1, 0), claims=[])
@example(neighbours=2_000, ordered=0, head_mode=False, unordered=(1, 0), acks=(1, 1, 0), claims=[])
@example(neighbours=2_000, ordered=0, head_mode=False, unordered=(1, 0), acks=(0, 60, 1), claims=[])
@example(neighbours=2_000, ordered=0, head_mode=False, unordered=(1, 0), acks=(0, 1, 0), claims=[1])
@example(
    neighbours=2_000,
    ordered=0,
    head_mode=False,
    unordered=(1, 0),
    acks=(0, 1, 0),
    claims=list(range(1, 120, 3)),
)
@example(neighbours=2_000, ordered=120, head_mode=True, unordered=(1, 120), acks=(60, 1, 60), claims=[1, 120])
def test_an_item_is_never_charged_less_than_it_costs(
    neighbours: int,
    ordered: int,
    head_mode: bool,
    unordered: tuple[int, int],
    acks: tuple[int, int, int],
    claims: list[int],
) -> None:
    lab = world(neighbours)
    batches: list[LaneBatch] = []
    if ordered:
        batches.append(
            lab.batch(A, B, 1, ordered, tail=(100 - ordered if ordered <= 100 else 0) if head_mode else None)
        )
    first, count = unordered
    if count:
        batches.append(lab.batch(A, B, first, count, lane=128))
    acknowledged, from_, in_window = acks
    acked = [Ack(0, 1, acknowledged)] if acknowledged else []
    acked += [Ack(128, from_, in_window)] if in_window else []
    timeouts = [TimeoutClaim(1, tuple(claims))] if claims else []
    item = lab.item(A, B, *batches, acks=acked, timeouts=timeouts)
    charged = messaging.item_weight(item).proof_size
    real = cost(lab, item)
    assert charged >= real
    # Nor so much more that nothing would fit: the handlers' share is theirs.
    assert charged <= real + 60_000 + 40_000 * (
        item.message_count + sum(a.limit for a in acked) + len(claims)
    )


def test_the_largest_head_that_the_relay_chain_takes_is_charged() -> None:
    """A sibling chooses how long its head is, up to a limit, and whoever reads it pays for all of it."""
    lab = Lab((A, B))
    lab.step({A: [lab.send(B)]}, only=[A])
    batch, small = lab.batch(A, B, 1, 1), Header.decode(lab.relay.best.heads[A])
    room = MAX_HEAD_BYTES - len(small.encode()) - 20
    large = replace(small, digest=(PreRuntime(b"long", bytes(room)),))
    assert MAX_HEAD_BYTES - 20 <= len(large.encode()) <= MAX_HEAD_BYTES
    without = lab.build(B, items=[]).proof_size
    lab.relay.include({A: large})
    item = lab.item(A, B, batch, head=large)
    block = lab.build(B, items=[item])
    assert block.of(MessageConsumed)
    assert messaging.item_weight(item).proof_size >= len(item.encode()) + block.proof_size - without


def test_what_was_charged_too_much_is_given_back() -> None:
    """The executive replaces the declared proof size by the measured one, so nobody's block is filled by estimates."""
    from pileus.network.run import Network
    from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology, Traffic

    topology = Topology(
        relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
        parachains=tuple(Parachain(id=para, collators=(Collator(f"c-{para}"),)) for para in (A, B)),
        traffic=(Traffic(source=A, destination=B, count=20),),
    )
    network = Network(topology, seed=1, relay_state="carried")
    reports = [network.step() for _ in range(6)]
    (collation, *_) = [
        c.collation for report in reports for c in report.candidates if c.proven and c.para_id == B
    ]
    items = [answer.item for _, answer in collation.fetched if answer.item is not None]
    declared = sum(messaging.item_weight(item).proof_size for item in items)
    network.step()
    raw = network.parachains[1].node.storage(demo.system.BlockWeight.key(), collation.block.header.hash())
    used = demo.system.BlockWeight.codec.decode(raw or b"").total().proof_size
    assert used < declared
    assert used < collation.proposal.storage_proof_size + 100_000
