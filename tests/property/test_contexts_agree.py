"""The central property: whatever happens on two parachains, every context agrees on it.

Each generated history is authored (embedded relay node), imported by a full node (once with live relay state, once with
the carried proof), and validated (relay's own state, carried proof). All must arrive at the same state root, head,
outputs, events and, call by call, the same `storage_proof_size`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from host_functions.relay_state import CarriedProof, EmbeddedRelayNode
from pileus.collator import Collation, ParachainNode
from pileus.keyring import Keypair
from pileus.network.parachain import RunningParachain
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pov_validator import Carried, OwnState, Valid, validate_candidate
from runtime.chains import demo
from runtime.pallets.assets import ESCROW
from runtime.primitives.additional_data import RELAY_PROOF_KEY, parse_relay_proof_entry
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.parachain import AvailableData

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(Parachain(id=para, collators=(Collator(f"collator-{para}"),)) for para in (2000, 2001)),
)
OTHERS = [Keypair.from_uri(f"//Account{index}") for index in range(3)]


@dataclass(frozen=True)
class Transfer:
    dest: int
    amount: int
    keep_alive: bool


@dataclass(frozen=True)
class Send:
    payload: bytes
    recipient: bytes
    lane: int
    timeout: int | None


@dataclass(frozen=True)
class Remark:
    text: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes that are no admissible extrinsic."""

    data: bytes


amounts = st.one_of(
    st.integers(0, 3 * demo.EXISTENTIAL_DEPOSIT), st.integers(0, 2**64), st.just(2**128 - 1), st.just(10**18)
)
timeouts = st.one_of(st.none(), st.integers(0, 2**64 - 1), st.integers(1_680_000_000_000, 1_680_000_100_000))
actions = st.one_of(
    st.builds(Transfer, st.integers(0, 2), amounts, st.booleans()),
    st.builds(
        Send,
        st.one_of(st.binary(max_size=40), st.just(b"x" * 5_000), st.just(b"y" * 102_401)),
        st.one_of(st.just(b"mailbox"), st.binary(max_size=33)),
        st.sampled_from((0, 0, 0, 7)),
        timeouts,
    ),
    st.builds(Remark, st.binary(max_size=300)),
    st.builds(Raw, st.binary(max_size=40)),
    st.just(Raw(Extrinsic.bare(demo.timestamp.call_of(demo.timestamp.set, 5).encode()).encode())),
    st.just(Raw(Extrinsic.bare(demo.system.call_of(demo.system.remark, b"unsigned").encode()).encode())),
)
histories = st.lists(
    st.lists(st.tuples(st.sampled_from((0, 1)), actions), max_size=5), min_size=3, max_size=7
)


def submit(para: RunningParachain, other: int, action: object) -> None:
    """Put what the action means into the parachain's mempool."""
    if isinstance(action, Transfer):
        method = (
            demo.balances.transfer_keep_alive if action.keep_alive else demo.balances.transfer_allow_death
        )
        para.submit(demo.balances.call_of(method, OTHERS[action.dest].public_key, action.amount).encode())
    elif isinstance(action, Send):
        arguments = (other, action.lane, action.recipient, action.timeout, action.payload)
        para.submit(demo.state_messaging.call_of(demo.state_messaging.send, *arguments).encode())
    elif isinstance(action, Remark):
        para.submit(demo.system.call_of(demo.system.remark_with_event, action.text).encode())
    elif isinstance(action, Raw):
        para.mempool.append(action.data)


@contextmanager
def recorded_proof_sizes() -> Iterator[list[int | None]]:
    """Every proof size that the runtime sees within the block."""
    sizes: list[int | None] = []
    original = demo.parachain_system.proof_size

    def proof_size() -> int | None:
        sizes.append(original())
        return sizes[-1]

    with patch.object(demo.parachain_system, "proof_size", proof_size):
        yield sizes


class Observed(Network):
    """A network whose every collation is put through all contexts."""

    def _collate(self, para, relay_parent, problems):  # type: ignore[no-untyped-def]
        with recorded_proof_sizes() as sizes:
            collation = super()._collate(para, relay_parent, problems)
        if collation is not None:
            self.check(para, collation, sizes)
        return collation

    def check(self, para: RunningParachain, collation: Collation, authored: list[int | None]) -> None:
        pvd, block = collation.pvd, collation.block
        root = pvd.relay_parent_storage_root
        additional = collation.block_data.additional_data
        readers = {"embedded": EmbeddedRelayNode(self.chain.database, root)}
        if additional and additional[0] is not None:
            _, nodes = parse_relay_proof_entry(additional[0][RELAY_PROOF_KEY])
            readers["carried"] = CarriedProof(root, nodes)

        # IMPORT
        for name, reader in readers.items():
            fork = fork_of(para.node)
            with recorded_proof_sizes() as sizes:
                imported = fork.import_block(block, reader)
            # The builder also measures refused extrinsics; what it measured for the block is in there, in order.
            assert is_subsequence(sizes, authored), name
            assert imported.proof_size == collation.proposal.storage_proof_size, name
            assert reader.nodes() == collation.relay_reads, name
            assert fork.nodes.keys() >= collation.proposal.changes.nodes.keys(), name
            events = fork.storage(demo.system.Events.key(), block.header.hash())
            assert events is not None
            event(f"events of a block: {min(len(demo.pallets.decode_events(events)), 12)}")

        # VALIDATE
        answerers = [OwnState(self.chain.database)] + ([Carried()] if self.carried else [])
        available = AvailableData.decode(AvailableData(collation.pov, pvd).encode())
        for answerer in answerers:
            with recorded_proof_sizes() as sizes:
                verdict = validate_candidate(
                    collation.descriptor,
                    collation.commitments.hash(),
                    available.pov,
                    available.validation_data,
                    para.runtime,
                    answerer,
                )
            assert isinstance(verdict, Valid), (answerer, verdict)
            assert verdict.result.to_commitments() == collation.commitments
            assert verdict.result.head_data == block.header.encode()
            assert is_subsequence(sizes, authored), answerer


def fork_of(node: ParachainNode) -> ParachainNode:
    """A node with the same past, so that an import can be tried without changing the original."""
    fork = object.__new__(ParachainNode)
    fork.__dict__.update(
        {name: dict(value) if isinstance(value, dict) else value for name, value in vars(node).items()}
    )
    return fork


def is_subsequence(part: list[int | None], whole: list[int | None]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("mode", ["own", "carried"])
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(history=histories)
@example(
    history=[[], [(0, Send(b"hello", b"mailbox", 0, None))], [], [(1, Send(b"", b"nobody", 7, 1))], [], []]
)
@example(history=[[], [(0, Transfer(0, 10**18, False)), (0, Remark(b"from a dead account"))], [], []])
def test_every_context_agrees(mode: str, history: list[list[tuple[int, object]]]) -> None:
    network = Observed(TOPOLOGY, seed=1, relay_state=mode)  # type: ignore[arg-type]
    ids = [para.para_id for para in network.parachains]
    for slot in history:
        for which, action in slot:
            submit(network.parachains[which], ids[1 - which], action)
        report = network.step()
        for candidate in report.candidates:
            assert candidate.backed
        # Some histories hold bytes that are no extrinsic, and accounts that cannot pay.
        assert all(" refused an extrinsic: " in problem for problem in report.problems)
    conserve(network)


def conserve(network: Network) -> None:
    """Balances add up to the issuance, and no message was delivered twice or out of order."""
    for para in network.parachains:
        node = para.node
        issuance = node.storage(demo.balances.TotalIssuance.key(), node.best_hash)
        accounts = [para._sender.public_key, ESCROW, *(keypair.public_key for keypair in OTHERS)]
        held = 0
        for account in accounts:
            raw = node.storage(demo.system.Account.key(account), node.best_hash)
            held += 0 if raw is None else demo.system.Account.value_codec.decode(raw).data.free
        assert issuance is not None
        assert demo.balances.TotalIssuance.codec.decode(issuance) == held
