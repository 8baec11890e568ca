"""ParachainSystem: what the inherent proves of the relay chain, queues from and to it, and what validators compare.

The relay state is a real trie and every proof a real one; the pallet runs over the demo runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext
from host_functions.interfaces import storage
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pileus.relay_chain.genesis import host_configuration
from pov_validator import Valid
from runtime.chains import demo
from runtime.pallets.parachain_system.pallet import (
    MESSAGES_SIZE_LIMIT,
    DownwardMessagesProcessed,
    DownwardMessagesReceived,
    UpwardMessageSent,
)
from runtime.pallets.parachain_system.relay_state_snapshot import RelayChainStateProof
from runtime.pallets.system import ApplyExtrinsic
from runtime.primitives import relay_keys
from runtime.primitives.digest import RelayParentStorageRoot, relay_parent_storage_root
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.inherent import PARACHAIN, PARACHAIN_V0, InherentData
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHrmpChannel,
    CollationInfo,
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
    UpgradeRestriction,
    ValidationParams,
    ValidationResult,
    mqc_head,
)
from runtime.primitives.parachain_inherent import (
    AbridgedDownwardMessages,
    AbridgedHrmpMessages,
    HashedMessage,
    InboundMessagesData,
    ParachainInherentData,
    ParachainInherentDataV0,
    RawParachainInherentData,
)
from runtime.primitives.scale import u32, u64, vec
from runtime.support.dispatch import NONE, BadOrigin, ModuleError, Origin, OriginKind
from runtime.support.weights import Weight
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

ME, SENDER, OTHER = 2001, 2000, 2002
SLOT = 1_000
pallet, system = demo.parachain_system, demo.system
NO_MESSAGES = InboundMessagesData()

DOWN = tuple(InboundDownwardMessage(10 + at, b"downward %d" % at) for at in range(3))
HORIZONTAL = tuple(InboundHrmpMessage(20 + at, b"horizontal %d" % at) for at in range(3))


def chain_head(messages: tuple[InboundDownwardMessage | InboundHrmpMessage, ...]) -> bytes:
    head = EMPTY_MQC_HEAD
    for message in messages:
        payload = message.msg if isinstance(message, InboundDownwardMessage) else message.data
        head = mqc_head(head, message.sent_at, payload)
    return head


def channel(mqc: bytes | None) -> bytes:
    return AbridgedHrmpChannel(8, 8_000, 1_000, 0, 0, mqc).encode()


@dataclass(frozen=True)
class Relay:
    """A relay parent: its number, and its state as a node has it."""

    number: int
    entries: dict[bytes, bytes]

    def inherent(self, **changes: object) -> ParachainInherentData:
        root, nodes = build_state(Storage(self.entries))
        proof = create_proof(nodes, root, list(keys()), LAYOUT_V1)
        pvd = PersistedValidationData(b"parent head", self.number, root, 10_000_000)
        return replace(ParachainInherentData(pvd, proof), **changes)  # type: ignore[arg-type]


def keys() -> Iterator[bytes]:
    yield relay_keys.CURRENT_SLOT
    yield relay_keys.ACTIVE_CONFIG
    yield relay_keys.dmq_mqc_head(ME)
    yield relay_keys.hrmp_ingress_channel_index(ME)
    yield relay_keys.upgrade_restriction_signal(ME)
    yield relay_keys.upgrade_go_ahead_signal(ME)
    yield from (relay_keys.hrmp_channel(sender, ME) for sender in (SENDER, OTHER))


def relay(number: int = 5, **entries: bytes | None) -> Relay:
    """Named entries stand for the keys of `NAMED`; ``None`` leaves one out."""
    state = {
        relay_keys.CURRENT_SLOT: u64.encode(SLOT),
        relay_keys.ACTIVE_CONFIG: host_configuration().encode(),
        **{b"unrelated %d" % index: bytes(40) for index in range(30)},
    }
    for name, value in entries.items():
        key = NAMED[name]
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return Relay(number, state)


NAMED = {
    "slot": relay_keys.CURRENT_SLOT,
    "config": relay_keys.ACTIVE_CONFIG,
    "down": relay_keys.dmq_mqc_head(ME),
    "ingress": relay_keys.hrmp_ingress_channel_index(ME),
    "from_sender": relay_keys.hrmp_channel(SENDER, ME),
    "from_other": relay_keys.hrmp_channel(OTHER, ME),
    "restriction": relay_keys.upgrade_restriction_signal(ME),
    "go_ahead": relay_keys.upgrade_go_ahead_signal(ME),
}


@contextmanager
def block() -> Iterator[Externalities]:
    """Inside a block of the parachain, before its inherents."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state).externalities():
        demo.parachain_info.ParachainId.put(ME)
        system.Number.put(1)
        system.ExecutionPhase.put(ApplyExtrinsic(0))
        demo.aura.CurrentSlot.put(SLOT + 1)
        yield state


def set_data(data: ParachainInherentData, messages: InboundMessagesData = NO_MESSAGES) -> None:
    pallet.set_validation_data(NONE, data, messages)


def next_block(number: int = 2) -> None:
    pallet.on_finalize(number - 1)
    pallet.on_initialize(number)


def downward(
    full: tuple[InboundDownwardMessage, ...], hashed: tuple[HashedMessage, ...] = ()
) -> InboundMessagesData:
    return InboundMessagesData(AbridgedDownwardMessages(full, hashed))


def horizontal(
    full: tuple[tuple[int, InboundHrmpMessage], ...], hashed: tuple[tuple[int, HashedMessage], ...] = ()
) -> InboundMessagesData:
    return InboundMessagesData(horizontal_messages=AbridgedHrmpMessages(full, hashed))


def from_sender(*messages: InboundHrmpMessage) -> tuple[tuple[int, InboundHrmpMessage], ...]:
    return tuple((SENDER, message) for message in messages)


def events() -> list[object]:
    raw = storage.get(system.Events.key())
    return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]


# The relay parent.


def test_the_relay_parent_is_taken_over() -> None:
    data = relay(number=7, restriction=b"\x00").inherent()
    with block():
        set_data(data)
        assert pallet.ValidationData.get() == data.validation_data
        assert pallet.LastRelayChainBlockNumber.get() == 7
        assert pallet.HostConfiguration.get() == host_configuration()
        assert pallet.RelayStateProof.get() == data.relay_chain_state
        assert pallet.UpgradeRestrictionSignal.get() is UpgradeRestriction.PRESENT
        root = data.validation_data.relay_parent_storage_root
        assert relay_parent_storage_root(system.Digest.get()) == RelayParentStorageRoot(root, 7)
        assert (pallet.HrmpWatermark.get(), pallet.ProcessedDownwardMessages.get()) == (7, 0)
        assert events() == []
        pallet.on_finalize(1)
        assert not pallet.UpgradeRestrictionSignal.exists()


def without_root(data: ParachainInherentData) -> ParachainInherentData:
    root = data.validation_data.relay_parent_storage_root
    nodes = tuple(node for node in data.relay_chain_state if blake2_256(node) != root)
    return replace(data, relay_chain_state=nodes)


def with_root(data: ParachainInherentData) -> ParachainInherentData:
    return replace(data, validation_data=replace(data.validation_data, relay_parent_storage_root=bytes(32)))


INVALID: dict[str, tuple[Callable[[], ParachainInherentData], str]] = {
    "no root node": (lambda: without_root(relay().inherent()), "RootMismatch"),
    "another root": (lambda: with_root(relay().inherent()), "RootMismatch"),
    "no nodes": (lambda: relay().inherent(relay_chain_state=()), "RootMismatch"),
    "number 0": (lambda: relay(number=0).inherent(), "strictly increase"),
    "relay slot too old": (
        lambda: relay(slot=u64.encode(SLOT - 1)).inherent(),
        "ahead of relay chain slot 999",
    ),
    "no slot": (lambda: relay(slot=None).inherent(), "the current slot is absent"),
    "short slot": (lambda: relay(slot=bytes(7)).inherent(), "input ended"),
    "no configuration": (lambda: relay(config=None).inherent(), "the host configuration is absent"),
    "short configuration": (lambda: relay(config=bytes(43)).inherent(), "input ended"),
    "no such restriction": (lambda: relay(restriction=b"\x01").inherent(), "no variant has index 1"),
    "no such go-ahead": (lambda: relay(go_ahead=b"\x02").inherent(), "no variant has index 2"),
    "a go-ahead for nothing": (
        lambda: relay(go_ahead=b"\x01").inherent(),
        "No new validation function found in storage",
    ),
    "a channel without entry": (
        lambda: relay(ingress=vec(u32).encode((SENDER,))).inherent(),
        "HRMP channel 2000->2001 is absent",
    ),
    "too many channels claimed": (lambda: relay(ingress=b"\xfe\xff\xff\xff").inherent(), "items claimed"),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_relay_parent_that_does_not_hold_invalidates_the_block(name: str) -> None:
    make, reason = INVALID[name]
    with block(), pytest.raises(InvalidBlock, match=reason):
        set_data(make())


def test_each_node_of_the_proof_is_needed() -> None:
    """A collator cannot suppress a value by leaving out a node: that is no absence."""
    good = relay(
        down=chain_head(DOWN),
        ingress=vec(u32).encode((SENDER, OTHER)),
        from_sender=channel(chain_head(HORIZONTAL)),
        from_other=channel(None),
    ).inherent()
    minimal = good.relay_chain_state
    messages = InboundMessagesData(
        AbridgedDownwardMessages(DOWN), AbridgedHrmpMessages(from_sender(*HORIZONTAL))
    )
    with block():
        set_data(good, messages)
    for position in range(len(minimal)):
        clipped = replace(good, relay_chain_state=minimal[:position] + minimal[position + 1 :])
        with block(), pytest.raises(InvalidBlock, match="relay chain state proof"):
            set_data(clipped, messages)


def test_nodes_nobody_asks_for_are_ignored() -> None:
    data = relay().inherent()
    with block():
        set_data(replace(data, relay_chain_state=tuple(sorted((*data.relay_chain_state, b"\xff" * 9)))))
        assert pallet.ValidationData.exists()


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_of_the_proof_is_never_another_value(position: int, flip: int) -> None:
    data = relay(down=chain_head(DOWN)).inherent()
    nodes = [bytearray(node) for node in data.relay_chain_state]
    position %= sum(map(len, nodes))
    for node in nodes:
        if position < len(node):
            node[position] ^= flip
            break
        position -= len(node)
    root = data.validation_data.relay_parent_storage_root
    try:
        proof = RelayChainStateProof(ME, root, tuple(map(bytes, nodes)))
        assert proof.dmq_mqc_head() == chain_head(DOWN)
        assert (proof.current_slot(), proof.host_configuration()) == (SLOT, host_configuration())
    except InvalidBlock:
        pass


def test_fields_that_a_newer_relay_chain_appends_are_ignored() -> None:
    with block():
        set_data(relay(config=host_configuration().encode() + bytes(100)).inherent())
        assert pallet.HostConfiguration.get() == host_configuration()


def test_the_relay_number_increases_from_block_to_block() -> None:
    with block():
        set_data(relay(number=5).inherent())
        next_block()
        for number in (4, 5):
            with pytest.raises(InvalidBlock, match=f"strictly increase between Parachain blocks: {number}"):
                set_data(relay(number=number).inherent())
        set_data(relay(number=6).inherent())


def test_once_in_each_block() -> None:
    with block():
        set_data(relay().inherent())
        with pytest.raises(InvalidBlock, match="only once"):
            set_data(relay(number=6).inherent())
    with block(), pytest.raises(InvalidBlock, match="needs to be present"):
        pallet.on_finalize(1)


@pytest.mark.parametrize("origin", [Origin(OriginKind.SIGNED, bytes(32)), Origin(OriginKind.ROOT)])
def test_only_an_inherent_may_say_it(origin: Origin) -> None:
    with block(), pytest.raises(BadOrigin):
        pallet.set_validation_data(origin, relay().inherent(), InboundMessagesData())


# Downward messages.


def test_downward_messages_continue_the_chain() -> None:
    with block():
        set_data(relay(down=chain_head(DOWN[:2])).inherent(), downward(DOWN[:2]))
        assert pallet.ProcessedDownwardMessages.get() == 2
        assert events() == [
            DownwardMessagesReceived(2),
            DownwardMessagesProcessed(Weight(), chain_head(DOWN[:2])),
        ]
        next_block()
        assert pallet.ProcessedDownwardMessages.get() == 0
        set_data(relay(number=6, down=chain_head(DOWN)).inherent(), downward(DOWN[2:]))
        assert pallet.LastDmqMqcHead.get() == chain_head(DOWN)


WRONG_DOWNWARD: dict[str, InboundMessagesData] = {
    "none": InboundMessagesData(),
    "one less": downward(DOWN[:-1]),
    "first missing": downward(DOWN[1:]),
    "another order": downward((DOWN[1], DOWN[0], DOWN[2])),
    "one twice": downward((*DOWN, DOWN[2])),
    "another payload": downward((*DOWN[:2], replace(DOWN[2], msg=b"forged"))),
    "another block": downward((*DOWN[:2], replace(DOWN[2], sent_at=99))),
    "another hash": downward(DOWN[:2], (HashedMessage(DOWN[2].sent_at, bytes(32)),)),
}


@pytest.mark.parametrize("name", WRONG_DOWNWARD)
def test_downward_messages_must_lead_to_the_relay_chains_head(name: str) -> None:
    with block(), pytest.raises(InvalidBlock, match="do not lead to the relay chain's queue head"):
        set_data(relay(down=chain_head(DOWN)).inherent(), WRONG_DOWNWARD[name])


def test_hashed_messages_stay_in_the_queue() -> None:
    hashed = tuple(HashedMessage.of(message.sent_at, message.msg) for message in DOWN[1:])
    with block():
        set_data(relay(down=chain_head(DOWN)).inherent(), downward(DOWN[:1], hashed))
        assert pallet.ProcessedDownwardMessages.get() == 1
        assert pallet.LastDmqMqcHead.get() == chain_head(DOWN[:1])
        next_block()
        set_data(relay(number=6, down=chain_head(DOWN)).inherent(), downward(DOWN[1:]))
        assert pallet.LastDmqMqcHead.get() == chain_head(DOWN)


def test_an_author_who_leaves_messages_must_take_one() -> None:
    hashed = tuple(HashedMessage.of(message.sent_at, message.msg) for message in DOWN)
    with block(), pytest.raises(InvalidBlock, match="advancement rule"):
        set_data(relay(down=chain_head(DOWN)).inherent(), downward((), hashed))
    links = tuple((SENDER, HashedMessage.of(message.sent_at, message.data)) for message in HORIZONTAL)
    with block(), pytest.raises(InvalidBlock, match="advancement rule"):
        set_data(open_channel(HORIZONTAL).inherent(), horizontal((), links))


# Horizontal messages.


def open_channel(messages: tuple[InboundHrmpMessage, ...], number: int = 5) -> Relay:
    head = channel(chain_head(messages)) if messages else channel(None)
    return relay(number=number, ingress=vec(u32).encode((SENDER,)), from_sender=head)


def test_horizontal_messages_continue_their_channels_chain() -> None:
    with block():
        set_data(open_channel(HORIZONTAL[:1]).inherent(), horizontal(from_sender(*HORIZONTAL[:1])))
        assert pallet.LastHrmpMqcHeads.get() == {SENDER: chain_head(HORIZONTAL[:1])}
        assert pallet.HrmpWatermark.get() == 5
        next_block()
        set_data(open_channel(HORIZONTAL, 6).inherent(), horizontal(from_sender(*HORIZONTAL[1:])))
        assert pallet.LastHrmpMqcHeads.get() == {SENDER: chain_head(HORIZONTAL)}
        next_block(3)
        set_data(open_channel(HORIZONTAL, 7).inherent())  # nothing new


@pytest.mark.parametrize(
    "messages",
    [
        horizontal(((OTHER, HORIZONTAL[0]),)),
        horizontal(from_sender(HORIZONTAL[0]), ((OTHER, HashedMessage(1, bytes(32))),)),
        horizontal(((ME, HORIZONTAL[0]),)),
    ],
)
def test_only_senders_with_a_channel_may_speak(messages: InboundMessagesData) -> None:
    with block(), pytest.raises(InvalidBlock, match="which has no channel to us"):
        set_data(open_channel(HORIZONTAL[:1]).inherent(), messages)


@pytest.mark.parametrize(
    "messages",
    [
        InboundMessagesData(),
        horizontal(from_sender(*HORIZONTAL[:2])),
        horizontal(from_sender(*HORIZONTAL[::-1])),
        horizontal(from_sender(*HORIZONTAL, HORIZONTAL[0])),
        horizontal(from_sender(*HORIZONTAL[:2]), ((SENDER, HashedMessage(22, bytes(32))),)),
    ],
    ids=["none", "one less", "another order", "one twice", "another hash"],
)
def test_horizontal_messages_must_lead_to_their_channels_head(messages: InboundMessagesData) -> None:
    with block(), pytest.raises(InvalidBlock, match=r"horizontal messages of 2000 do not lead|not in order"):
        set_data(open_channel(HORIZONTAL).inherent(), messages)


def test_the_watermark_does_not_pass_a_message_that_stays() -> None:
    links = tuple((SENDER, HashedMessage.of(message.sent_at, message.data)) for message in HORIZONTAL[1:])
    with block():
        set_data(open_channel(HORIZONTAL, 40).inherent(), horizontal(from_sender(HORIZONTAL[0]), links))
        assert pallet.HrmpWatermark.get() == HORIZONTAL[0].sent_at
        assert pallet.LastHrmpMqcHeads.get() == {SENDER: chain_head(HORIZONTAL[:1])}


def test_horizontal_messages_come_in_the_order_of_the_relay_chain() -> None:
    """Else an author could leave an early message of one channel and still move the watermark over it."""
    early = InboundHrmpMessage(20, b"early")
    both = relay(
        number=40,
        ingress=vec(u32).encode((SENDER, OTHER)),
        from_sender=channel(chain_head(HORIZONTAL)),
        from_other=channel(chain_head((early,))),
    )
    left = ((OTHER, HashedMessage.of(early.sent_at, early.data)),)
    with block(), pytest.raises(InvalidBlock, match="not in order of relay block and sender"):
        set_data(both.inherent(), horizontal(from_sender(*HORIZONTAL), left))


@given(
    sent=st.lists(
        st.tuples(st.integers(11, 13), st.sampled_from([SENDER, OTHER]), st.integers(0, 4)), max_size=7
    ),
    limit=st.integers(4, 9),
)
def test_channels_are_read_to_their_end_whatever_fits_into_a_block(
    sent: list[tuple[int, int, int]], limit: int
) -> None:
    """The relay chain's side: it drops what was sent up to the watermark, which may land only on its last place, on
    the relay parent, or on a block in which something was sent."""
    ordered = sorted(sent)
    queue = [
        (sender, InboundHrmpMessage(at, bytes([position]) * size))
        for position, (at, sender, size) in enumerate(ordered)
    ]
    heads = {
        sender: channel(chain_head(_of(sender, queue)) if _of(sender, queue) else None)
        for sender in (SENDER, OTHER)
    }
    taken: list[tuple[int, InboundHrmpMessage]] = []
    with block(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.pallets.parachain_system.pallet.MESSAGES_SIZE_LIMIT", limit // 2)
        set_data(relay(number=10).inherent())
        for number in range(20, 20 + len(queue) + 1):
            next_block(number)
            watermark = pallet.HrmpWatermark.get()
            waiting = [(sender, message) for sender, message in queue if message.sent_at > watermark]
            basic = relay(
                number=number,
                ingress=vec(u32).encode((SENDER, OTHER)),
                from_sender=heads[SENDER],
                from_other=heads[OTHER],
            ).inherent()
            raw = RawParachainInherentData(
                basic.validation_data,
                basic.relay_chain_state,
                (),
                {sender: _of(sender, waiting) for sender in (SENDER, OTHER)},
            )
            data = InherentData()
            data.put_data(PARACHAIN, raw.encode())
            made = pallet.create_inherent(data)
            assert made is not None
            messages = made.arguments[1]
            set_data(basic, messages)
            taken += messages.horizontal_messages.full_messages
            moved = pallet.HrmpWatermark.get()
            assert moved in {watermark, number, *(message.sent_at for _, message in waiting)}
            assert moved >= watermark
            if not messages.horizontal_messages.hashed_messages:
                assert moved == number
    assert taken == queue


def _of(sender: int, queue: list[tuple[int, InboundHrmpMessage]]) -> tuple[InboundHrmpMessage, ...]:
    return tuple(message for by, message in queue if by == sender)


def test_a_channel_that_is_opened_again_starts_from_nothing() -> None:
    """Otherwise the head of the closed channel would never fit again, and with it no block of the chain."""
    with block():
        set_data(open_channel(HORIZONTAL).inherent(), horizontal(from_sender(*HORIZONTAL)))
        next_block()
        set_data(relay(number=6).inherent())  # closed
        assert pallet.LastHrmpMqcHeads.get() == {}
        next_block(3)
        set_data(open_channel((), 7).inherent())
        assert pallet.LastHrmpMqcHeads.get() == {SENDER: EMPTY_MQC_HEAD}
        next_block(4)
        set_data(open_channel(HORIZONTAL[:1], 8).inherent(), horizontal(from_sender(HORIZONTAL[0])))


# What the author's inherent data become.


def test_the_inherent_is_made_of_either_form_of_the_data() -> None:
    basic = relay(down=chain_head(DOWN)).inherent()
    pvd, proof = basic.validation_data, basic.relay_chain_state
    channels = {SENDER: HORIZONTAL, OTHER: (InboundHrmpMessage(20, b"first of its block"),)}
    made = []
    for identifier, raw in (
        (PARACHAIN, RawParachainInherentData(pvd, proof, DOWN, channels)),
        (PARACHAIN_V0, ParachainInherentDataV0(pvd, proof, DOWN, channels)),
    ):
        data = InherentData()
        data.put_data(identifier, raw.encode())
        with block():
            made.append(pallet.create_inherent(data))
    assert made[0] is not None
    assert made[0].encode() == made[1].encode()  # type: ignore[union-attr]
    assert pallet.is_inherent(made[0])
    order = [
        (sender, message.sent_at)
        for sender, message in made[0].arguments[1].horizontal_messages.full_messages
    ]
    assert order == [(SENDER, 20), (OTHER, 20), (SENDER, 21), (SENDER, 22)]
    with block(), pytest.raises(InvalidBlock, match="has no validation data"):
        pallet.create_inherent(InherentData())


def test_a_long_downward_queue_leaves_room_for_the_channels() -> None:
    large = tuple(InboundDownwardMessage(at, bytes(MESSAGES_SIZE_LIMIT // 2)) for at in range(1, 5))
    pvd = relay().inherent().validation_data
    data = InherentData()
    data.put_data(PARACHAIN, RawParachainInherentData(pvd, (), large, {SENDER: HORIZONTAL}).encode())
    with block():
        made = pallet.create_inherent(data)
    assert made is not None
    messages = made.arguments[1]
    assert (
        len(messages.downward_messages.full_messages),
        len(messages.downward_messages.hashed_messages),
    ) == (2, 2)
    assert (
        len(messages.horizontal_messages.full_messages),
        len(messages.horizontal_messages.hashed_messages),
    ) == (3, 0)


# Upward messages.


def test_upward_messages_leave_in_order_and_as_many_as_allowed() -> None:
    limit = host_configuration().max_upward_message_num_per_candidate
    sent = tuple(b"upward %d" % at for at in range(limit + 2))
    with block():
        with pytest.raises(ModuleError, match="HostConfigurationNotAvailable"):
            pallet.send_upward_message(b"too early")
        set_data(relay().inherent())
        for message in sent:
            assert pallet.send_upward_message(message) == blake2_256(message)
        assert events()[0] == UpwardMessageSent(blake2_256(sent[0]))
        assert pallet.UpwardMessages.get() == ()
        pallet.on_finalize(1)
        assert (pallet.UpwardMessages.get(), pallet.PendingUpwardMessages.get()) == (
            sent[:limit],
            sent[limit:],
        )
        outputs = pallet.validation_result(b"head")
        assert outputs.upward_messages == sent[:limit]
        pallet.on_initialize(2)
        assert pallet.UpwardMessages.get() == ()
        set_data(relay(number=6).inherent())
        pallet.on_finalize(2)
        assert (pallet.UpwardMessages.get(), pallet.PendingUpwardMessages.get()) == (sent[limit:], ())


def test_an_upward_message_has_a_largest_size() -> None:
    limit = host_configuration().max_upward_message_size
    with block():
        set_data(relay().inherent())
        pallet.send_upward_message(bytes(limit))
        with pytest.raises(ModuleError, match="TooBig") as caught:
            pallet.send_upward_message(bytes(limit + 1))
        assert caught.value.encode() == b"\x03\x01\x02\x00\x00\x00"
        assert pallet.PendingUpwardMessages.get() == (bytes(limit),)


def test_event_bytes() -> None:
    """Indices and fields of ``cumulus_pallet_parachain_system::Event``."""
    head = bytes(range(32))
    assert DownwardMessagesReceived(2).encode() == b"\x03\x02\x00\x00\x00"
    assert DownwardMessagesProcessed(Weight(1, 2), head).encode() == b"\x04\x04\x08" + head
    assert UpwardMessageSent(head).encode() == b"\x05\x01" + head
    assert UpwardMessageSent(None).encode() == b"\x05\x00"


# Towards the relay chain.


def test_collator_and_validator_say_the_same() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32))
    with block():
        set_data(relay(down=chain_head(DOWN)).inherent(), downward(DOWN))
        pallet.send_upward_message(b"up")
        pallet.on_finalize(1)
        info = pallet.collect_collation_info(header)
        result = pallet.validation_result(header.encode())
    assert info == CollationInfo((b"up",), (), None, 3, 5, header.encode())
    assert result == ValidationResult(header.encode(), None, (b"up",), (), 3, 5)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"parent_head": b"another head"}, "Parent head doesn't match"),
        ({"relay_parent_number": 6}, "Relay parent number doesn't match"),
        ({"relay_parent_storage_root": bytes(32)}, "Relay parent storage root doesn't match"),
    ],
)
def test_the_block_believed_what_the_validator_was_given(changes: dict[str, object], reason: str) -> None:
    data = relay().inherent()
    pvd = data.validation_data
    params = ValidationParams(pvd.parent_head, b"", pvd.relay_parent_number, pvd.relay_parent_storage_root)
    with block():
        with pytest.raises(InvalidBlock, match="did not set its validation data"):
            pallet.check_validation_params(params)
        set_data(data)
        pallet.check_validation_params(params)
        with pytest.raises(InvalidBlock, match=reason):
            pallet.check_validation_params(replace(params, **changes))  # type: ignore[arg-type]


# Through a whole network.

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=(Parachain(id=ME, collators=(Collator("collator"),)),),
)


@pytest.mark.parametrize("mode", ["own", "carried"])
def test_downward_and_upward_messages_through_a_network(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay chain's messages arrive, are counted and pruned; what the runtime sends up is in the commitments."""

    def answer(origin: Origin, remark: bytes) -> None:
        demo.parachain_system.send_upward_message(remark)

    remark = demo.system.function(0)
    assert remark is not None
    monkeypatch.setitem(demo.system._functions, 0, replace(remark, method=answer))
    network = Network(TOPOLOGY, seed=1, relay_state=mode)  # type: ignore[arg-type]
    (para,) = network.parachains
    processed: list[int] = []
    upward: list[bytes] = []
    for step in range(10):
        if step == 2:
            network.chain.queue_downward_message(ME, b"one")
            network.chain.queue_downward_message(ME, b"two")
            para.submit(demo.system.call_of(demo.system.remark, b"up it goes").encode())
        if step == 5:
            network.chain.queue_downward_message(ME, b"x" * 50_000)
        report = network.step()
        assert not report.problems
        for candidate in report.candidates:
            assert candidate.backed
            assert all(isinstance(verdict, Valid) for _, verdict in candidate.outcome.verdicts)
            processed.append(candidate.outcome.candidate.commitments.processed_downward_messages)
            upward += candidate.outcome.candidate.commitments.upward_messages
    assert [count for count in processed if count] == [2, 1]
    assert upward == [b"up it goes"]
    state = network.chain.state(network.chain.best)
    assert state.downward_messages(ME) == ()
    expected = EMPTY_MQC_HEAD
    for sent_at, message in ((3, b"one"), (3, b"two"), (6, b"x" * 50_000)):
        expected = mqc_head(expected, sent_at, message)
    assert state.downward_mqc_head(ME) == expected
    assert para.node.storage(pallet.LastDmqMqcHead.key(), para.node.best_hash) == expected
