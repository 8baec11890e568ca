"""Older heads of a sibling: each way to a trusted ancestor, and every way in which evidence fails, by its name.

A sibling here is a chain of 40 blocks over real states that keep ``System::BlockHash`` as FRAME does; the relay state
holds its newest head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.errors import StateUnavailable
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayStateReader
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec, codec_of
from runtime.support.sibling_ancestry import (
    DEFAULT_ANCESTRY_LIMITS,
    AncestryLimits,
    BlockHashWindow,
    HeaderChain,
    HeadReference,
    HeadRefusal,
    HeadRefused,
    NewestHead,
    RememberedHead,
    SiblingHead,
    block_hash_key,
    resolve_head,
)
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

SIBLING, STRANGER, HEADLESS = 2000, 2999, 2500
LENGTH, KEPT = 40, 30
"""Blocks of the chain, and hashes its state keeps (FRAME keeps 256)."""

reference_codec = codec_of(HeadReference)


@dataclass(frozen=True)
class Chain:
    """A sibling's headers by number, and the nodes of all its states."""

    headers: tuple[Header, ...]
    nodes: dict[bytes, bytes]

    @property
    def newest(self) -> Header:
        return self.headers[-1]

    def window(self, number: int, at: Header | None = None) -> BlockHashWindow:
        """Evidence for block ``number`` from the state of ``at`` (the newest)."""
        root = (at or self.newest).state_root
        nodes = create_proof(self.nodes, root, [block_hash_key(number)], LAYOUT_V1)
        return BlockHashWindow(self.headers[number].encode(), nodes)

    def chain(self, number: int) -> HeaderChain:
        """Evidence for block ``number`` by the headers between."""
        return HeaderChain(tuple(self.headers[at].encode() for at in range(LENGTH - 2, number - 1, -1)))


@cache
def chain() -> Chain:
    entries = {b"filler %d" % index: bytes(40) for index in range(30)}
    nodes: dict[bytes, bytes] = {}
    headers: list[Header] = []
    for number in range(LENGTH):
        parent = headers[-1].hash() if headers else bytes(32)
        if number:
            entries[block_hash_key(number - 1)] = parent
            entries.pop(block_hash_key(number - 1 - KEPT) if number > KEPT else b"", None)
        root, new = build_state(Storage(dict(entries)))
        nodes.update(new)
        headers.append(Header(parent, number, root, bytes(32)))
    return Chain(tuple(headers), nodes)


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        if root not in self:
            raise StateUnavailable(root)
        return self


RELAY_ROOT, RELAY_NODES = build_state(
    Storage(
        {
            relay_keys.para_head(SIBLING): byte_vec.encode(chain().newest.encode()),
            relay_keys.para_head(HEADLESS): byte_vec.encode(b"no header"),
            **{b"relay %d" % index: bytes(40) for index in range(40)},
        }
    )
)


def embedded() -> RelayStateReader:
    return EmbeddedRelayNode(Database(RELAY_NODES), RELAY_ROOT)


def carried() -> RelayStateReader:
    keys = [relay_keys.para_head(para) for para in (SIBLING, STRANGER, HEADLESS)]
    return CarriedProof(RELAY_ROOT, create_proof(RELAY_NODES, RELAY_ROOT, keys, LAYOUT_V1))


@contextmanager
def receiving(relay: Callable[[], RelayStateReader] = embedded) -> Iterator[None]:
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, relay()).externalities():
        yield


def nothing(head_hash: bytes) -> SiblingHead | None:
    return None


def resolve(
    reference: HeadReference,
    para: int = SIBLING,
    remembered: Callable[[bytes], SiblingHead | None] = nothing,
    limits: AncestryLimits = DEFAULT_ANCESTRY_LIMITS,
) -> SiblingHead:
    return resolve_head(para, reference, remembered=remembered, limits=limits)


def refusal(
    reference: HeadReference, para: int = SIBLING, limits: AncestryLimits = DEFAULT_ANCESTRY_LIMITS
) -> str:
    with receiving(), pytest.raises(HeadRefused) as caught:
        resolve(reference, para, limits=limits)
    return caught.value.refusal.name


@pytest.mark.parametrize("relay", [embedded, carried])
def test_every_ancestor_in_reach_is_trusted_and_is_the_header_that_was_built(
    relay: Callable[[], RelayStateReader],
) -> None:
    built = chain()
    with receiving(relay):
        assert resolve(NewestHead(built.newest.hash())) == SiblingHead.of(built.newest)
        for number in range(LENGTH - 1):
            assert resolve(built.chain(number)) == SiblingHead.of(built.headers[number])
        for number in range(LENGTH - 1 - KEPT, LENGTH - 1):
            assert resolve(built.window(number)) == SiblingHead.of(built.headers[number])


def test_a_remembered_head_needs_no_relay_state() -> None:
    built = chain()
    known = {header.hash(): SiblingHead.of(header) for header in built.headers[5:9]}
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, None).externalities():
        assert resolve(RememberedHead(built.headers[7].hash()), remembered=known.get) == SiblingHead.of(
            built.headers[7]
        )
    assert refusal(RememberedHead(built.headers[7].hash())) == "NOT_REMEMBERED"


def test_the_cited_hash_is_that_of_the_head_for_every_kind() -> None:
    built = chain()
    wanted = built.headers[20].hash()
    kinds = [NewestHead(wanted), RememberedHead(wanted), built.window(20), built.chain(20)]
    for reference in kinds:
        assert reference.head_hash() == wanted
        assert reference_codec.decode(reference_codec.encode(reference)) == reference
    assert [reference.proof_bytes() > 0 for reference in kinds] == [False, False, True, True]


WINDOW, CHAIN = chain().window(20), chain().chain(20)
FORK = replace(chain().headers[20], extrinsics_root=b"\x07" * 32)
ORPHAN = replace(chain().headers[-2], number=LENGTH - 3).encode()


@pytest.mark.parametrize(
    "reference, para, expected",
    [
        pytest.param(NewestHead(chain().headers[20].hash()), SIBLING, "HEAD_MISMATCH", id="not newest"),
        pytest.param(NewestHead(chain().newest.hash()), STRANGER, "UNKNOWN_SIBLING", id="no head"),
        pytest.param(WINDOW, STRANGER, "UNKNOWN_SIBLING", id="window of a stranger"),
        pytest.param(CHAIN, HEADLESS, "BAD_HEAD", id="relay has no header"),
        pytest.param(HeaderChain(()), SIBLING, "TOO_LARGE", id="empty chain"),
        pytest.param(HeaderChain((b"",) * 65), SIBLING, "TOO_LARGE", id="65 headers"),
        pytest.param(HeaderChain((bytes(20_481),)), SIBLING, "TOO_LARGE", id="header above 20 kB"),
        pytest.param(
            replace(WINDOW, header=bytes(20_481)), SIBLING, "TOO_LARGE", id="window header too large"
        ),
        pytest.param(
            replace(WINDOW, nodes=tuple(bytes([i]) for i in range(65))), SIBLING, "TOO_LARGE", id="65 nodes"
        ),
        pytest.param(replace(WINDOW, nodes=(bytes(65_537),)), SIBLING, "TOO_LARGE", id="64 KiB of nodes"),
        pytest.param(
            replace(WINDOW, nodes=WINDOW.nodes[::-1]), SIBLING, "NODES_NOT_SORTED", id="unsorted nodes"
        ),
        pytest.param(
            replace(WINDOW, nodes=(*WINDOW.nodes, WINDOW.nodes[-1])),
            SIBLING,
            "NODES_NOT_SORTED",
            id="doubled node",
        ),
        pytest.param(
            replace(WINDOW, nodes=WINDOW.nodes[1:]), SIBLING, "PROOF_INCOMPLETE", id="node left out"
        ),
        pytest.param(replace(WINDOW, nodes=()), SIBLING, "PROOF_INCOMPLETE", id="no nodes"),
        pytest.param(
            replace(WINDOW, nodes=tuple(sorted((*WINDOW.nodes, b"junk")))),
            SIBLING,
            "UNUSED_NODE",
            id="junk node",
        ),
        pytest.param(replace(WINDOW, header=b"no header"), SIBLING, "BAD_HEADER", id="undecodable header"),
        pytest.param(
            replace(WINDOW, header=WINDOW.header + b"\0"), SIBLING, "BAD_HEADER", id="trailing byte in header"
        ),
        pytest.param(replace(WINDOW, header=FORK.encode()), SIBLING, "NOT_AN_ANCESTOR", id="fork"),
        pytest.param(
            replace(WINDOW, header=chain().newest.encode()), SIBLING, "NOT_AN_ANCESTOR", id="newest by window"
        ),
        pytest.param(chain().window(LENGTH - 2 - KEPT), SIBLING, "TOO_OLD", id="outside the window"),
        pytest.param(
            HeaderChain((FORK.encode(), *CHAIN.headers[1:])), SIBLING, "NOT_AN_ANCESTOR", id="fork in chain"
        ),
        pytest.param(
            HeaderChain(CHAIN.headers[1:]), SIBLING, "NOT_AN_ANCESTOR", id="chain with a gap at the top"
        ),
        pytest.param(
            HeaderChain(CHAIN.headers[:3] + CHAIN.headers[4:]), SIBLING, "NOT_AN_ANCESTOR", id="gap inside"
        ),
        pytest.param(HeaderChain(CHAIN.headers[::-1]), SIBLING, "NOT_AN_ANCESTOR", id="upside down"),
        pytest.param(HeaderChain((ORPHAN,)), SIBLING, "NOT_AN_ANCESTOR", id="number does not follow"),
    ],
)
def test_each_refusal(reference: HeadReference, para: int, expected: str) -> None:
    assert refusal(reference, para) == expected


def test_age_and_window_proof_against_another_state_are_refused() -> None:
    built = chain()
    assert refusal(built.window(20), limits=AncestryLimits(max_age=LENGTH - 22)) == "TOO_OLD"
    assert refusal(built.chain(20), limits=AncestryLimits(max_age=LENGTH - 22)) == "TOO_OLD"
    assert refusal(built.window(20, at=built.headers[30])) == "PROOF_INCOMPLETE"


def test_a_window_that_a_lying_sibling_fills_with_nonsense_leads_nowhere() -> None:
    """The sibling chooses its state: what lies under `BlockHash` need not be a hash."""
    entries = {block_hash_key(3): b"short", block_hash_key(4): bytes(32), b"other": bytes(40)}
    root, nodes = build_state(Storage(entries))
    newest = Header(bytes(32), 10, root, bytes(32))
    relay_root, relay_nodes = build_state(
        Storage({relay_keys.para_head(SIBLING): byte_vec.encode(newest.encode())})
    )
    for number in (3, 4):
        proof = create_proof(nodes, root, [block_hash_key(number)], LAYOUT_V1)
        reference = BlockHashWindow(Header(bytes(32), number, bytes(32), bytes(32)).encode(), proof)
        with receiving(lambda: EmbeddedRelayNode(Database(relay_nodes), relay_root)):
            with pytest.raises(HeadRefused) as caught:
                resolve(reference)
        assert caught.value.refusal is HeadRefusal.NOT_AN_ANCESTOR


def test_a_parent_whose_number_does_not_precede_its_childs_is_none() -> None:
    """The sibling signs what it likes: a chain of right hashes and wrong numbers could name any height."""
    parent = Header(bytes(32), 3, bytes(32), bytes(32))
    newest = Header(parent.hash(), 10, bytes(32), bytes(32))
    root, nodes = build_state(Storage({relay_keys.para_head(SIBLING): byte_vec.encode(newest.encode())}))
    with receiving(lambda: EmbeddedRelayNode(Database(nodes), root)):
        with pytest.raises(HeadRefused) as caught:
            resolve(HeaderChain((parent.encode(),)))
    assert caught.value.refusal is HeadRefusal.NOT_AN_ANCESTOR


def test_relay_state_that_is_gone_is_no_refusal() -> None:
    """A relay node that lost part of the state cannot answer; that is never "unknown sibling"."""
    gone = EmbeddedRelayNode(Database({RELAY_ROOT: RELAY_NODES[RELAY_ROOT]}), RELAY_ROOT)
    with receiving(lambda: gone), pytest.raises(StateUnavailable):
        resolve(CHAIN)


@given(data=st.data(), kind=st.sampled_from(["window", "chain"]))
def test_evidence_that_is_damaged_anywhere_never_leads_to_a_head_that_was_not_built(
    data: st.DataObject, kind: str
) -> None:
    built = chain()
    number = data.draw(st.integers(LENGTH - 1 - KEPT, LENGTH - 2))
    honest = built.window(number) if kind == "window" else built.chain(number)
    encoded = bytearray(reference_codec.encode(honest))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    damage(bytes(encoded), honest)


@example(b"\x02\x00\x00", chain().window(30))
@example(b"\x03\x00", chain().window(30))
@given(st.binary(max_size=200), st.sampled_from([chain().window(30), chain().chain(30)]))
def test_made_up_evidence_is_refused_or_does_not_decode(made_up: bytes, honest: HeadReference) -> None:
    damage(made_up, honest)


def damage(encoded: bytes, honest: HeadReference) -> None:
    """Whatever this decodes to resolves to a header that the sibling built, or is refused."""
    try:
        reference = reference_codec.decode(encoded)
    except ValueError:
        return
    with receiving():
        try:
            found = resolve(reference)
        except HeadRefused:
            return
    assert found in [SiblingHead.of(header) for header in chain().headers]
    assert found.hash == reference.head_hash()
