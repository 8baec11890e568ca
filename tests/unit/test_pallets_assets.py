"""Assets between two chains: locked and minted, burnt and released, and given back whenever they do not arrive.

The chains are two states under the demo's pallets; messages are handed over as the messaging pallet hands them over,
and after every step the books of both are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.interfaces import storage
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.testing.conservation import AssetBook, ValueNotConserved, check_conservation, read_book
from runtime.chains import demo
from runtime.pallets.assets import (
    ESCROW,
    NAME,
    VERSION,
    AssetMessage,
    ForeignTransferred,
    RefundKept,
    TransferReceived,
    TransferSent,
    TransferSettled,
)
from runtime.pallets.state_messaging.lanes import Outcome
from runtime.pallets.state_messaging.receive import ProvenBatch
from runtime.pallets.state_messaging.types import Message, MessageBody, SentMessage
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.header import Header
from runtime.primitives.scale import byte_vec
from runtime.support.dispatch import (
    ArithmeticError_,
    DispatchError,
    ModuleError,
    Origin,
    OriginKind,
    TokenError,
    with_storage_layer,
)
from runtime.trie.layout import LAYOUT_V1

HERE, THERE, ELSEWHERE, HEADLESS, NOWHERE = 2000, 2001, 2002, 2500, 2999
ALICE, BOB = bytes([1]) * 32, bytes([2]) * 32
UNIT, ED = demo.UNIT, demo.EXISTENTIAL_DEPOSIT
NOW = 1_700_000_000_000
assets, balances, messaging = demo.assets, demo.balances, demo.state_messaging


class Database(dict[bytes, bytes]):
    def state_at(self, root: bytes) -> Database:
        return self


RELAY_ROOT, RELAY_NODES = build_state(
    Storage(
        {
            **{
                relay_keys.para_head(para): byte_vec.encode(
                    Header(bytes(32), 1, bytes(32), bytes(32)).encode()
                )
                for para in (HERE, THERE, ELSEWHERE)
            },
            relay_keys.para_head(HEADLESS): byte_vec.encode(b"no header"),
        }
    )
)


def relay() -> EmbeddedRelayNode:
    return EmbeddedRelayNode(Database(RELAY_NODES), RELAY_ROOT)


def signed(who: bytes) -> Origin:
    return Origin(OriginKind.SIGNED, who)


class Chain:
    """A state under the demo's pallets."""

    def __init__(self, para: int) -> None:
        self.para = para
        self.nodes: dict[bytes, bytes] = {}
        self.root = LAYOUT_V1.empty_root
        self.bodies: dict[tuple[int, int], Message] = {}
        with self.block():
            demo.parachain_info.ParachainId.put(para)
            demo.timestamp.Now.put(NOW)
            demo.system.ExecutionPhase.put(ApplyExtrinsic(0))
            assets.build_genesis()
            balances.endow(ALICE, 100 * UNIT)

    @contextmanager
    def block(self) -> Iterator[None]:
        """Run pallets on the state, and keep what they change."""
        state = Externalities.recording(self.nodes, self.root, LAYOUT_V1)
        with AuthoringContext(state, relay()).externalities():
            yield
        changes = state.drain(1)
        self.nodes.update(changes.nodes)
        self.root = changes.root

    def call(self, what: Callable[[], object]) -> DispatchError | None:
        with self.block():
            return with_storage_layer(what)  # type: ignore[arg-type]

    def send(
        self, dest: int, amount: int, *, home: int | None = None, to: bytes = BOB, timeout: int | None = None
    ) -> Message:
        """`Assets.transfer` by Alice; the message it sent."""
        error = self.call(
            lambda: assets.transfer(
                signed(ALICE), dest, self.para if home is None else home, to, amount, timeout
            )
        )
        if error is not None:
            raise error
        (event,) = [event for event in self.events() if isinstance(event, TransferSent)][-1:]
        payload = AssetMessage(VERSION, event.home, ALICE, to, amount).encode()
        return Message(1, self.para, dest, 0, event.nonce, MessageBody(NAME, NAME, timeout, payload))

    def take(self, message: Message) -> Outcome:
        """The message arrives."""
        with self.block():
            messaging.consume_proven(
                message.source, ProvenBatch(message.lane, ((message, message.commitment()),))
            )
            return messaging.inbound(message.source, message.lane).outcome_of(message.nonce)

    def settle(self, message: Message, outcome: Outcome) -> DispatchError | None:
        """The outcome becomes known."""
        sent = SentMessage(message.dest, message.lane, message.nonce, message.commitment())
        return self.call(lambda: assets.on_outcome(sent, outcome))

    def events(self) -> list[object]:
        with self.block():
            raw = storage.get(demo.system.Events.key())
            return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]

    def native(self, who: bytes) -> int:
        with self.block():
            return balances.free_balance(who)

    def foreign(self, who: bytes, home: int) -> int:
        with self.block():
            return assets.Foreign.get(home, who)

    def book(self) -> AssetBook:
        return read_book(self.nodes, self.root)


@pytest.fixture
def chains() -> Iterator[tuple[Chain, Chain]]:
    here, there = Chain(HERE), Chain(THERE)
    yield here, there
    check(here, there)


def check(*chains: Chain) -> None:
    check_conservation({chain.para: chain.book() for chain in chains})


def test_out_and_back(chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    message = here.send(THERE, 30 * UNIT, to=ALICE)
    check(*chains)
    assert here.native(ALICE) == 70 * UNIT
    assert here.native(ESCROW) == 30 * UNIT + ED
    assert there.take(message) is Outcome.DELIVERED
    check(*chains)
    assert there.foreign(ALICE, HERE) == 30 * UNIT
    assert here.settle(message, Outcome.DELIVERED) is None
    check(*chains)

    back = there.send(HERE, 30 * UNIT, home=HERE)
    check(*chains)
    assert there.foreign(ALICE, HERE) == 0
    assert here.take(back) is Outcome.DELIVERED
    check(*chains)
    assert there.settle(back, Outcome.DELIVERED) is None
    assert here.native(BOB) == 30 * UNIT
    assert here.native(ESCROW) == ED
    assert [type(event) for event in here.events() if "Transfer" in type(event).__name__][
        -1
    ] is TransferReceived
    for chain in chains:
        book = chain.book()
        assert not book.transit
        assert not book.locked
        assert not book.derivatives


@pytest.mark.parametrize(
    "outcome", [outcome for outcome in Outcome if outcome is not Outcome.DELIVERED], ids=lambda o: o.name
)
def test_whatever_does_not_arrive_comes_back(outcome: Outcome, chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    message = here.send(THERE, 10 * UNIT)
    assert here.settle(message, outcome) is None
    check(*chains)
    assert here.native(ALICE) == 100 * UNIT
    assert TransferSettled(THERE, 1, outcome, 10 * UNIT) in here.events()

    arrived = here.send(THERE, 10 * UNIT, to=ALICE)
    there.take(arrived)
    back = there.send(HERE, 4 * UNIT, home=HERE)
    assert there.foreign(ALICE, HERE) == 6 * UNIT
    assert there.settle(back, outcome) is None
    assert there.foreign(ALICE, HERE) == 10 * UNIT


def test_an_outcome_is_told_once_and_only_of_what_was_sent(chains: tuple[Chain, Chain]) -> None:
    here, _ = chains
    message = here.send(THERE, 10 * UNIT)
    assert here.settle(message, Outcome.TIMED_OUT) is None
    assert here.settle(message, Outcome.FAILED) is None
    assert here.settle(replace(message, nonce=99), Outcome.FAILED) is None
    assert here.native(ALICE) == 100 * UNIT


def test_a_refund_that_its_account_cannot_take_waits_for_it(chains: tuple[Chain, Chain]) -> None:
    here, _ = chains
    with here.block():
        balances.transfer(ALICE, BOB, 100 * UNIT - ED - ED // 2, keep_alive=True)
    message = here.send(THERE, ED + ED // 2)
    assert here.native(ALICE) == 0
    assert here.settle(message, Outcome.FAILED) is None
    assert here.native(ALICE) == ED + ED // 2
    small = here.send(THERE, ED // 2)
    here.call(lambda: balances.transfer(ALICE, BOB, ED, keep_alive=False))
    assert here.native(ALICE) == 0
    assert here.settle(small, Outcome.EXPIRED) is None
    assert RefundKept(ALICE, ED // 2) in here.events()
    check(*chains)
    error = here.call(lambda: assets.claim_refund(signed(ALICE)))
    assert isinstance(error, TokenError)
    here.call(lambda: balances.transfer(BOB, ALICE, ED, keep_alive=True))
    assert here.call(lambda: assets.claim_refund(signed(ALICE))) is None
    assert here.native(ALICE) == ED + ED // 2
    error = here.call(lambda: assets.claim_refund(signed(ALICE)))
    assert isinstance(error, ModuleError)
    assert error.error.name == "NothingToClaim"


def test_derivatives_move_within_their_chain(chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    there.take(here.send(THERE, 10 * UNIT, to=ALICE))
    assert there.call(lambda: assets.transfer_foreign(signed(ALICE), HERE, BOB, 3 * UNIT)) is None
    assert there.foreign(ALICE, HERE) == 7 * UNIT
    assert there.foreign(BOB, HERE) == 3 * UNIT
    assert ForeignTransferred(HERE, ALICE, BOB, 3 * UNIT) in there.events()
    for amount, kind in ((0, ModuleError), (8 * UNIT, TokenError)):
        error = there.call(lambda amount=amount: assets.transfer_foreign(signed(ALICE), HERE, BOB, amount))
        assert isinstance(error, kind)


@pytest.mark.parametrize(
    "dest, home, amount, error",
    [
        (THERE, HERE, 0, "ZeroAmount"),
        (THERE, ELSEWHERE, 1, "NotThroughHere"),
        (HERE, HERE, UNIT, "DestinationIsSelf"),
        (NOWHERE, HERE, UNIT, "UnknownDestination"),
        (HEADLESS, HERE, UNIT, "UnknownDestination"),
        (THERE, THERE, 1, "FUNDS_UNAVAILABLE"),
        (THERE, HERE, 101 * UNIT, "FUNDS_UNAVAILABLE"),
    ],
)
def test_each_refusal_to_send_changes_nothing(
    dest: int, home: int, amount: int, error: str, chains: tuple[Chain, Chain]
) -> None:
    here, _ = chains
    before = here.book()
    with pytest.raises(DispatchError, match=error):
        here.send(dest, amount, home=home)
    assert here.book() == before


def payload(home: int, amount: int, version: int = VERSION) -> bytes:
    return AssetMessage(version, home, ALICE, BOB, amount).encode()


@pytest.mark.parametrize(
    "sender, content",
    [
        pytest.param(ALICE, payload(THERE, UNIT), id="an account, not the pallet"),
        pytest.param(b"mailbox", payload(THERE, UNIT), id="another pallet"),
        pytest.param(NAME, b"", id="empty"),
        pytest.param(NAME, payload(THERE, UNIT) + b"\0", id="trailing byte"),
        pytest.param(NAME, payload(THERE, UNIT, 2), id="another version"),
        pytest.param(NAME, payload(THERE, 0), id="nothing"),
        pytest.param(NAME, payload(ELSEWHERE, UNIT), id="a third chain's token"),
        pytest.param(NAME, payload(HERE, 31 * UNIT), id="more than was locked"),
        pytest.param(NAME, payload(HERE, 2**128 - 1), id="more than there is"),
    ],
)
def test_a_lying_sibling_mints_and_releases_nothing(
    sender: bytes, content: bytes, chains: tuple[Chain, Chain]
) -> None:
    here, there = chains
    there.take(here.send(THERE, 30 * UNIT))
    before = replace(here.book(), inbound={})
    message = Message(1, THERE, HERE, 0, 1, MessageBody(sender, NAME, None, content))
    assert here.take(message) is Outcome.FAILED
    assert replace(here.book(), inbound={}) == before


def test_a_sibling_can_inflate_only_its_own_token() -> None:
    here = Chain(HERE)
    forged = Message(1, THERE, HERE, 0, 1, MessageBody(NAME, NAME, None, payload(THERE, 2**128 - 1)))
    assert here.take(forged) is Outcome.DELIVERED
    assert here.foreign(BOB, THERE) == 2**128 - 1
    again = replace(forged, nonce=2)
    assert here.take(again) is Outcome.FAILED
    with here.block(), pytest.raises(ArithmeticError_):
        assets.on_message(again)
    # And the books of the two show it.
    with pytest.raises(ValueNotConserved, match="2001 has locked 0 towards 2000"):
        check(here, Chain(THERE))


def test_a_release_below_the_existential_deposit_fails_and_is_refunded(chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    there.take(here.send(THERE, UNIT, to=ALICE))
    back = there.send(HERE, ED - 1, home=HERE)
    assert here.take(back) is Outcome.FAILED
    check(*chains)
    there.settle(back, Outcome.FAILED)
    assert there.foreign(ALICE, HERE) == UNIT


def test_the_books_notice_what_is_missing(chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    there.take(here.send(THERE, UNIT, to=ALICE))
    good = {HERE: here.book(), THERE: there.book()}
    check_conservation(good)
    for para, changes in (
        (HERE, {"locked": {}}),
        (HERE, {"held": 1}),
        (HERE, {"escrow": UNIT - 1}),
        (HERE, {"refunds": 2 * UNIT}),
        (THERE, {"derivatives": {HERE: 1}, "derivatives_held": {HERE: 1}}),
        (THERE, {"derivatives_held": {}}),
        (THERE, {"inbound": {}}),
    ):
        with pytest.raises(ValueNotConserved):
            check_conservation({**good, para: replace(good[para], **changes)})  # type: ignore[arg-type]


def test_weights_cover_what_is_read(chains: tuple[Chain, Chain]) -> None:
    here, there = chains
    message = here.send(THERE, UNIT)
    sent = SentMessage(THERE, 0, 1, message.commitment())
    for chain, run, weight in (
        (there, lambda: assets.on_message(message), assets.message_weight(100)),
        (here, lambda: assets.on_outcome(sent, Outcome.FAILED), assets.outcome_weight()),
        (
            here,
            lambda: assets.transfer(signed(ALICE), THERE, HERE, BOB, UNIT, None),
            assets._functions[0].weight(),
        ),
    ):
        state = Externalities.recording(chain.nodes, chain.root, LAYOUT_V1)
        with AuthoringContext(state, relay()).externalities():
            run()
            storage.root(1)
        assert 0 < state.storage_proof_size() <= weight.proof_size
