"""A laboratory for messaging: several demo chains and a relay chain in memory, as fast as the pallets themselves.

Everything that decides is the real thing: the pallets over real tries, relay state in a real trie, the collator's
message collector and sources. What is left out is what costs time and decides nothing here: seals, signatures,
extrinsics, PoV containers. A block is a list of actions: functions that call pallets, each in its own storage layer.

Every block is executed three times: authored over the node's database with an embedded relay node, and executed again
over nothing but the nodes recorded, once with the validator's own relay state and once with the carried proof of what
was read. All three must give one header, and with it one list of events, or `LabDivergence` is raised.

    lab = Lab((2000, 2001))
    lab.step({2000: [lab.send(2001, payload=b"hello")]})
    lab.step()  # 2000's block is included; 2001's collator fetches, its runtime delivers
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from host_functions.contexts import AuthoringContext
from host_functions.executor import NativeRuntime
from host_functions.interfaces import storage
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayOwnState, RelayStateReader
from host_functions.state_machine.backend import FullBackend, WitnessBackend
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.collator.message_source import Fetched, MessageSource, ProofForm, SiblingMessageSource
from pileus.collator.messages import MessageCollector
from pileus.collator.node import ParachainNode
from pileus.relay_chain.interface import RelayChainInterface
from pileus.relay_chain.state import StateDatabase
from runtime.chains import demo
from runtime.pallets.mailbox import RECIPIENT
from runtime.pallets.state_messaging.lanes import CHECKPOINT_INTERVAL, VERSION
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_messaging.types import (
    Ack,
    InboundItem,
    LaneBatch,
    Message,
    MessageBody,
    MessagingInherent,
    TimeoutClaim,
)
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.scale import Variant, byte_vec
from runtime.support.dispatch import NONE, DispatchError, Origin, OriginKind, with_storage_layer
from runtime.support.pallet import Pallet
from runtime.support.sibling_ancestry import HeadReference, NewestHead
from runtime.trie.proof import create_proof
from runtime.trie.recorder import Recorder

__all__ = [
    "ALICE",
    "Action",
    "Lab",
    "LabBlock",
    "LabChain",
    "LabDivergence",
    "LabRelay",
    "LabRelayBlock",
    "claimed_keys",
]

Action = Callable[[], object]
"""Calls pallets, inside a block."""

ALICE = bytes(range(32))
"""An account with money on every chain."""
GENESIS_TIME = 1_700_000_000_000
SLOT = 6_000
"""Milliseconds between relay blocks; the block on a relay parent has its time."""
MAX_POV_SIZE = 10 * 1024 * 1024


class LabDivergence(AssertionError):
    """One block, executed in two contexts, came out differently."""


@dataclass(frozen=True)
class LabRelayBlock:
    """A relay block: which heads it has included."""

    number: int
    root: bytes
    hash: bytes
    """Names the block; forks of equal state are different blocks."""
    heads: Mapping[int, bytes]
    """Parachain -> head data."""
    parent: LabRelayBlock | None = None

    @property
    def time(self) -> int:
        """Milliseconds since 1970 of a parachain block built on this one."""
        return GENESIS_TIME + SLOT * self.number


class LabRelay:
    """The relay chain: a tree of blocks over one database, and what a collator asks of it."""

    def __init__(self, heads: Mapping[int, bytes]) -> None:
        self.database = StateDatabase()
        self.blocks: dict[bytes, LabRelayBlock] = {}
        filler = {b"relay %d" % index: bytes(40) for index in range(40)}
        entries = {
            **filler,
            **{relay_keys.para_head(para): byte_vec.encode(head) for para, head in heads.items()},
        }
        root = self.database.commit(
            self.database.layout.empty_root, cast(Mapping[bytes, bytes | None], entries)
        )
        self.best = self._add(LabRelayBlock(1, root, b"", dict(heads)))

    def include(
        self, heads: Mapping[int, Header | bytes], parent: LabRelayBlock | None = None
    ) -> LabRelayBlock:
        """A block on ``parent`` (else on the best one) that includes these heads; it becomes the best."""
        parent = parent or self.best
        encoded = {para: head if isinstance(head, bytes) else head.encode() for para, head in heads.items()}
        changes = {relay_keys.para_head(para): byte_vec.encode(head) for para, head in encoded.items()}
        changes[b"relay number"] = (parent.number + 1).to_bytes(8, "little")
        root = self.database.commit(parent.root, cast(Mapping[bytes, bytes | None], changes))
        self.best = self._add(
            LabRelayBlock(parent.number + 1, root, b"", {**parent.heads, **encoded}, parent)
        )
        return self.best

    def _add(self, block: LabRelayBlock) -> LabRelayBlock:
        named = LabRelayBlock(
            block.number, block.root, len(self.blocks).to_bytes(32, "big"), block.heads, block.parent
        )
        self.blocks[named.hash] = named
        return named

    # What a collator asks.

    def get_storage_by_key(self, relay_parent: bytes, key: bytes) -> bytes | None:
        """Value in the state of a block. Raises `StateUnavailable`."""
        return EmbeddedRelayNode(self.database, self.blocks[relay_parent].root).read(key)

    def relay_state_prover(self, relay_parent: bytes) -> RelayStateReader:
        """Recorded reads at a block. Raises `StateUnavailable`."""
        return EmbeddedRelayNode(self.database, self.blocks[relay_parent].root)


@dataclass(frozen=True)
class LabBlock:
    """A parachain block as it was built."""

    header: Header
    relay_parent: LabRelayBlock
    events: tuple[Variant, ...]
    results: tuple[DispatchError | None, ...]
    """Of each action: why it failed, or ``None``."""
    items: tuple[InboundItem, ...]
    fetched: tuple[tuple[int, Fetched], ...] = ()
    proof_size: int = 0
    """Bytes of the nodes that the block touched, relay reads included."""

    def of(self, kind: type[Variant]) -> list[Variant]:
        """Its events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class LabChain(ParachainNode):
    """One node of a demo chain that builds its blocks of actions."""

    def __init__(
        self, runtime: NativeRuntime, para_id: int, pallets: Sequence[Pallet], *, validate: bool = True
    ) -> None:
        genesis = demo.GenesisConfig(para_id, (bytes(32),), ((ALICE, 10**18),))
        super().__init__(runtime, genesis.encode())
        self.para_id = para_id
        self._pallets = pallets
        self.validate = validate

    def build(
        self,
        relay_parent: LabRelayBlock,
        relay: LabRelay,
        actions: Sequence[Action],
        items: Sequence[InboundItem],
    ) -> LabBlock:
        """Build on the head that ``relay_parent`` has, in all contexts. Raises what the pallets raise."""
        parent = Header.decode(relay_parent.heads[self.para_id])
        reader = EmbeddedRelayNode(relay.database, relay_parent.root)
        state = Externalities.recording(self.nodes, parent.state_root, self.layout)
        context = AuthoringContext(state, reader)
        header, results = self._execute(context, parent, relay_parent.time, actions, items)
        proof_size = state.storage_proof_size()
        witness = dict(state.recorder or {})
        self.nodes.update(state.drain(self.layout.state_version).nodes)
        for key, value in context.offchain_changes.items():
            if value is None:
                self.offchain.pop(key, None)
            else:
                self.offchain[key] = value
        block_hash = header.hash()
        self._headers[block_hash] = header
        self._runtimes[block_hash] = self.runtime
        self.best_hash = block_hash
        if self.validate:
            self._validate(header, reader, relay, parent, witness, relay_parent, actions, items)
        raw = self.storage(demo.system.Events.key(), block_hash)
        events = tuple(record.event for record in demo.pallets.decode_events(raw or b"\x00"))
        return LabBlock(header, relay_parent, events, tuple(results), tuple(items), proof_size=proof_size)

    def _execute(
        self,
        context: AuthoringContext,
        parent: Header,
        now: int,
        actions: Sequence[Action],
        items: Sequence[InboundItem],
    ) -> tuple[Header, list[DispatchError | None]]:
        number = parent.number + 1
        with context.externalities():
            demo.system.reset_events()
            demo.system.initialize(Header(parent.hash(), number, bytes(32), bytes(32)))
            for pallet in self._pallets:
                pallet.on_initialize(number)
            demo.system.note_finished_initialize()
            demo.timestamp.Now.put(now)
            if items:
                demo.state_messaging.receive(NONE, MessagingInherent(VERSION, tuple(items)))
            results = [with_storage_layer(lambda action=action: action()) for action in actions]  # type: ignore[misc]
            demo.system.note_finished_extrinsics()
            for pallet in self._pallets:
                pallet.on_finalize(number)
            demo.system.ExtrinsicCount.put(0)
            return demo.system.finalize(), results

    def _validate(
        self,
        header: Header,
        read: EmbeddedRelayNode,
        relay: LabRelay,
        parent: Header,
        witness: Mapping[bytes, bytes],
        relay_parent: LabRelayBlock,
        actions: Sequence[Action],
        items: Sequence[InboundItem],
    ) -> None:
        readers: dict[str, RelayStateReader] = {"own": RelayOwnState(relay.database, relay_parent.root)}
        if read.nodes():
            readers["carried"] = CarriedProof(relay_parent.root, read.nodes())
        for name, reader in readers.items():
            recorder = Recorder(witness)
            backend = WitnessBackend(recorder, parent.state_root, self.layout)
            context = AuthoringContext(Externalities(backend, recorder), reader)
            again, _ = self._execute(context, parent, relay_parent.time, actions, items)
            if again != header or reader.nodes() != read.nodes():
                raise LabDivergence(
                    f"block {header.number} of {self.para_id} differs with {name} relay state"
                )

    def forget_all_but(self, header: Header) -> None:
        """Keep the state of one block."""
        state = FullBackend(self.nodes, header.state_root, self.layout)
        entries: dict[bytes, bytes] = {}
        key = state.next_key(b"")
        while key is not None:
            entries[key] = state.get(key) or b""
            key = state.next_key(key)
        root, self.nodes = build_state(Storage(entries), self.layout)
        if root != header.state_root:
            raise LabDivergence(f"the entries of block {header.number} of {self.para_id} make another state")

    def read(self, question: Callable[[], object], at: bytes | None = None) -> object:
        """Ask the pallets about the state of a block, by default the newest built."""
        root = self._root(at or self.best_hash)
        with AuthoringContext(Externalities.recording(self.nodes, root, self.layout)).externalities():
            return question()

    def keys(self, at: bytes | None = None) -> int:
        """Entries in the state of the messaging pallet."""
        prefix = demo.state_messaging.Outbox.prefix[:16]

        def count() -> int:
            found, key = 0, storage.next_key(prefix)
            while key is not None and key.startswith(prefix):
                found, key = found + 1, storage.next_key(key)
            return found

        return cast(int, self.read(count, at))


@dataclass
class Lab:
    """Chains and their relay chain, step by step."""

    paras: Sequence[int]
    limits: Limits = DEFAULT_LIMITS
    form: ProofForm = "head"
    lanes: Sequence[int] = (0, 128)
    pallets: Sequence[Pallet] = (demo.state_messaging, demo.state_query)
    """Whose hooks run, besides the system's."""
    validate: bool = True
    """Whether every block is executed in all contexts; without, in one."""
    chains: dict[int, LabChain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        runtime = NativeRuntime("runtime.chains.demo")
        self.chains = {
            para: LabChain(runtime, para, self.pallets, validate=self.validate) for para in self.paras
        }
        self.relay = LabRelay({para: chain.genesis.encode() for para, chain in self.chains.items()})

    def __getitem__(self, para: int) -> LabChain:
        return self.chains[para]

    def source(self, sibling: int, **options: object) -> SiblingMessageSource:
        """A source of one sibling's messages from its own node."""
        chain = self.chains[sibling]
        return SiblingMessageSource(
            sibling,
            chain,
            chain.layout,
            self.limits,
            form=self.form,
            **options,  # type: ignore[arg-type]
        )

    def collector(self, para: int, sources: Iterable[MessageSource] | None = None) -> MessageCollector:
        """The collator's message collector of a chain; by default with a source for every sibling."""
        if sources is None:
            sources = [self.source(sibling) for sibling in self.paras if sibling != para]
        return MessageCollector(
            self.chains[para],
            cast(RelayChainInterface, self.relay),
            para,
            tuple(sources),
            lanes=self.lanes,
            fetch_deadline=500,
            limits=self.limits,
        )

    def build(
        self,
        para: int,
        actions: Sequence[Action] = (),
        *,
        items: Sequence[InboundItem] | None = None,
        sources: Iterable[MessageSource] | None = None,
        on: LabRelayBlock | None = None,
    ) -> LabBlock:
        """A block of one chain, not included yet. ``items``: those instead of what a collator fetches."""
        relay_parent = on or self.relay.best
        fetched: list[tuple[int, Fetched]] = []
        if items is None:
            parent = Header.decode(relay_parent.heads[para])
            fetched = self.collector(para, sources).collect(relay_parent.hash, parent, MAX_POV_SIZE)
            items = [answer.item for _, answer in fetched if answer.item is not None]
        built = self.chains[para].build(relay_parent, self.relay, actions, items)
        return LabBlock(
            built.header,
            relay_parent,
            built.events,
            built.results,
            built.items,
            tuple(fetched),
            built.proof_size,
        )

    def step(
        self, actions: Mapping[int, Sequence[Action]] | None = None, *, only: Sequence[int] | None = None
    ) -> dict[int, LabBlock]:
        """Every chain (or ``only`` these) builds on the best relay block, and the next one includes it all."""
        actions = actions or {}
        built = {
            para: self.build(para, actions.get(para, ())) for para in (self.paras if only is None else only)
        }
        self.relay.include({para: block.header for para, block in built.items()})
        return built

    def prune(self) -> None:
        """Forget every state but that of the included heads: long runs would keep them all."""
        for para, chain in self.chains.items():
            chain.forget_all_but(Header.decode(self.relay.best.heads[para]))

    # Items by hand.

    def batch(
        self,
        source: int,
        dest: int,
        first: int,
        count: int,
        *,
        lane: int = 0,
        tail: int | None = None,
        head: Header | None = None,
    ) -> LaneBatch:
        """Messages in flight at ``head`` (by default the one that the best relay block has), as the source's node has
        them; ``tail`` commitments behind them for head mode.
        """
        at = blake2_256(self.relay.best.heads[source]) if head is None else head.hash()
        encoded = self.chains[source].message_bodies(dest, lane, first, count, 2**30, at)
        bodies = tuple(MessageBody.decode(body) for body in encoded)
        if tail is None:
            return LaneBatch(lane, first, bodies)
        last = first + len(bodies) - 1
        behind = self.chains[source].message_bodies(dest, lane, last + 1, tail, 2**30, at)
        commitments = tuple(
            Message(VERSION, source, dest, lane, nonce, MessageBody.decode(body)).commitment()
            for nonce, body in enumerate(behind, last + 1)
        )
        return LaneBatch(lane, first, bodies, commitments)

    def item(
        self,
        source: int,
        dest: int,
        *batches: LaneBatch,
        acks: Sequence[Ack] = (),
        timeouts: Sequence[TimeoutClaim] = (),
        head: Header | None = None,
        reference: HeadReference | None = None,
    ) -> InboundItem:
        """An item for ``dest`` with the proof of exactly what it claims, against ``head`` of ``source`` (by default
        the one that the best relay block has).
        """
        chain = self.chains[source]
        head = head or Header.decode(self.relay.best.heads[source])
        claims = InboundItem(
            VERSION, source, reference or NewestHead(head.hash()), batches, tuple(acks), tuple(timeouts)
        )
        keys = claimed_keys(claims, dest)
        return replace(claims, nodes=create_proof(chain.nodes, head.state_root, keys, chain.layout))

    # Actions.

    def send(
        self,
        dest: int,
        *,
        lane: int = 0,
        payload: bytes = b"letter",
        recipient: bytes = RECIPIENT,
        timeout: int | None = None,
        sender: bytes = ALICE,
    ) -> Action:
        """`StateMessaging.send` from an account."""
        origin = Origin(OriginKind.SIGNED, sender)
        return lambda: demo.state_messaging.send(origin, dest, lane, recipient, timeout, payload)


def claimed_keys(item: InboundItem, dest: int) -> list[bytes]:
    """The keys in the source's state that an item for ``dest`` makes claims about."""
    keys = demo.state_messaging.keys
    claimed: list[bytes] = []
    for batch in item.batches:
        if batch.tail is None:
            nonces = range(batch.first_nonce, batch.last_nonce + 1)
            claimed += [keys.outbox((dest, batch.lane, nonce)) for nonce in nonces]
        elif batch.proven_nonce % CHECKPOINT_INTERVAL:
            claimed.append(keys.outbound_lane((dest, batch.lane)))
        else:
            claimed.append(keys.checkpoint((dest, batch.lane, batch.proven_nonce)))
    claimed += [keys.inbound(dest, lane) for lane in sorted({ack.lane for ack in item.acks})]
    claimed += [keys.inbound(dest, claim.lane) for claim in item.timeouts]
    return [*claimed, keys.now()] if item.timeouts else claimed
