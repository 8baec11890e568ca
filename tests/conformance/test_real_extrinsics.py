"""Signed extrinsics, encoded from the metadata of real runtimes, go through those runtimes.

A runtime that takes a transaction has decoded its call, its address and every signed extension, and has checked the
signature over the payload that it made itself; there is no better judge of our encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from host_functions.contexts import OffchainContext
from host_functions.errors import SandboxError
from host_functions.executor.wasm import CompileCache
from host_functions.state_machine import FullBackend
from pileus.chain_spec import ChainSpec, parse_runtime_file
from pileus.keyring import Keypair
from pileus.metadata import (
    BadMetadata,
    EthereumSigner,
    Metadata,
    Sr25519Signer,
    UnknownName,
    signed_extrinsic,
)
from pileus.real_runtimes import ModelRelay, RealParachain
from pileus.testing.transfers import ENDOWMENT, collate_next, endowed, sender_of, transfers
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import byte_vec

APPLIED = b"\x00\x00"
FILTERED = b"\x00\x01\x02"
"""Included, and failed with ``BadOrigin``: both networks began with transfers switched off."""

TRANSFERS = {
    "rococo-asset-hub-genesis": (14, APPLIED),
    "kilt-spiritnet-genesis": (13, FILTERED),
    "moonriver-genesis": (13, FILTERED),
}
SLOW_TRANSFERS = {
    "collectives-genesis": (14, APPLIED),
    "kusama-bridgehub-genesis": (14, APPLIED),
    "kusama-coretime-genesis": (14, APPLIED),
    "polkadot-bridgehub-genesis": (14, APPLIED),
    "polkadot-coretime-genesis": (14, APPLIED),
    "rococo-bridgehub-genesis": (14, APPLIED),
}
Specs = Callable[[str], ChainSpec]
Running = Callable[[str], tuple[RealParachain, ModelRelay]]


@cache
def load_spec(path: Path) -> ChainSpec:
    spec = parse_runtime_file(path.read_bytes()).spec
    assert spec is not None
    return spec


@pytest.fixture(scope="session")
def spec(vectors_dir: Path) -> Specs:
    return lambda name: load_spec(vectors_dir / "files" / f"{name}.json.gz")


@pytest.fixture
def running(spec: Specs) -> Running:
    def start(name: str) -> tuple[RealParachain, ModelRelay]:
        para = RealParachain.from_spec(spec(name), cache=CompileCache.default(), balances=endowed(spec(name)))
        return para, ModelRelay([para])

    return start


@pytest.mark.parametrize(
    "name", [*TRANSFERS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_TRANSFERS)]
)
def test_fifty_signed_transfers_in_one_block(running: Running, spec: Specs, name: str) -> None:
    version, expected = (TRANSFERS | SLOW_TRANSFERS)[name]
    para, relay = running(name)
    assert para.metadata.version == version
    sender = sender_of(spec(name))
    pool = transfers(para, sender, 50)
    collation = collate_next(para, relay, pool)
    assert collation.proposal.refused == ()
    assert collation.block.extrinsics[-50:] == tuple(pool)
    assert collation.proposal.dispatch_results[-50:] == (expected,) * 50
    assert relay.include(collation) is None
    para.node.import_block(collation.block, relay.relay_state_prover(collation.descriptor.relay_parent))
    assert para.nonce(sender.account) == 50
    outcomes = [event.name for event in para.events() if event.name.startswith("Extrinsic")][-50:]
    assert outcomes == ["ExtrinsicSuccess" if expected == APPLIED else "ExtrinsicFailed"] * 50


def test_what_a_transfer_does_is_in_the_state(running: Running, spec: Specs) -> None:
    name = "rococo-asset-hub-genesis"
    para, relay = running(name)
    sender = sender_of(spec(name))
    assert para.storage("System", "Account", sender.account)["data"]["free"] == ENDOWMENT
    recipient = Keypair.from_uri("//Ferdie").public_key
    amount = 3 * 10**12
    call = para.metadata.compose_call("Balances", "transfer", {"Id": "0x" + recipient.hex()}, amount)
    remark = para.metadata.compose_call("System", "remark_with_event", remark=byte_vec.encode(b"hello"))
    pool = [para.signed(call, sender, 0), para.signed(remark, sender, 1)]
    collation = collate_next(para, relay, pool)
    para.node.import_block(collation.block, relay.relay_state_prover(collation.descriptor.relay_parent))
    assert para.storage("System", "Account", recipient)["data"]["free"] == amount
    names = [(event.pallet, event.name) for event in para.events()]
    assert ("Balances", "Transfer") in names
    assert ("System", "Remarked") in names
    after = para.storage("System", "Account", sender.account)
    fees = ENDOWMENT - amount - after["data"]["free"]
    assert after["nonce"] == 2
    assert 0 < fees < 10**12


def test_what_is_wrong_with_a_transaction_is_seen_by_the_runtime(running: Running, spec: Specs) -> None:
    """Of another chain, of an unknown signer, with a used nonce, with a changed call: none gets into a block."""
    name = "rococo-asset-hub-genesis"
    para, relay = running(name)
    sender = sender_of(spec(name))
    call = para.metadata.compose_call("System", "remark", b"\x08hi")
    good = para.signed(call, sender, 0)
    identity = para.identity
    other_chain = type(identity)(bytes(32), identity.spec_version, identity.transaction_version)
    wrong = [
        signed_extrinsic(para.metadata, call, sender, 0, other_chain),
        para.signed(call, Sr25519Signer(Keypair.from_uri("//Nobody")), 0),
        good[:-1] + bytes([good[-1] ^ 1]),
    ]
    collation = collate_next(para, relay, [*wrong, good, good])
    assert [(one.extrinsic, one.reason) for one in collation.proposal.refused] == [
        (wrong[0], "InvalidTransaction::BAD_PROOF"),
        (wrong[1], "InvalidTransaction::PAYMENT"),
        (wrong[2], "InvalidTransaction::BAD_PROOF"),
        (good, "InvalidTransaction::STALE"),
    ]
    assert collation.block.extrinsics[-1] == good


def test_what_is_refused_leaves_no_trace_in_the_proof(running: Running, spec: Specs) -> None:
    """The recorder is rolled back with the overlay: the PoV is that of a block for which nothing else was tried."""
    name = "rococo-asset-hub-genesis"
    para, relay = running(name)
    good = transfers(para, sender_of(spec(name)), 2)
    call = para.metadata.compose_call("System", "remark", b"\x08hi")
    stranger = Sr25519Signer(Keypair.from_uri("//Nobody"))
    pools = [
        [*good],
        [para.signed(call, stranger, 0), good[0], good[0], para.signed(call, stranger, 7), good[1]],
        [*good],
    ]
    made = [collate_next(para, relay, pool) for pool in pools]
    assert [len(one.proposal.refused) for one in made] == [0, 3, 0]
    assert len({one.block_data.encode() for one in made}) == 1
    assert len({one.commitments.hash() for one in made}) == 1
    assert len({one.proposal.storage_proof_size for one in made}) == 1


CLEAR_ORIGIN = b"\x02\x04\x0a"
"""XCM version 2 of one instruction, ``ClearOrigin``."""


def test_downward_messages_are_taken_in_the_order_of_their_chain(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime hashes what it is given and holds it against the head that the relay proof shows."""
    para, relay = running("rococo-asset-hub-genesis")
    for message in (CLEAR_ORIGIN, b"no message at all"):
        relay.chain.queue_downward_message(para.para_id, message)
    relay.advance()
    waiting = relay.retrieve_dmq_contents(para.para_id, relay.best_block_hash())
    assert [message.msg for message in waiting] == [CLEAR_ORIGIN, b"no message at all"]

    honest = relay.retrieve_dmq_contents
    with monkeypatch.context() as lying:
        lying.setattr(relay, "retrieve_dmq_contents", lambda *asked: honest(*asked)[::-1])
        with pytest.raises(SandboxError, match=r"assertion failed: `\(left == right\)`"):
            collate_next(para, relay)

    collation = collate_next(para, relay)
    assert collation.commitments.processed_downward_messages == 2
    assert relay.include(collation) is None
    para.node.import_block(collation.block, relay.relay_state_prover(collation.descriptor.relay_parent))
    assert relay.retrieve_dmq_contents(para.para_id, relay.best_block_hash()) == ()
    outcomes = [event.name for event in para.events() if event.pallet == "DmpQueue"]
    assert outcomes == ["ExecutedDownward", "InvalidFormat"]


def test_upward_messages_are_outputs_of_the_candidate(running: Running, spec: Specs) -> None:
    name = "rococo-asset-hub-genesis"
    para, relay = running(name)
    beneficiary = {
        "V1": {"parents": 0, "interior": {"X1": {"AccountId32": {"network": "Any", "id": "0x" + "55" * 32}}}}
    }
    coins = {"id": {"Concrete": {"parents": 1, "interior": "Here"}}, "fun": {"Fungible": 2 * 10**12}}
    call = para.metadata.compose_call(
        "PolkadotXcm",
        "teleport_assets",
        {"V1": {"parents": 1, "interior": "Here"}},
        beneficiary,
        {"V1": [coins]},
        0,
    )
    # The relay chain's host configuration, as its proof shows it, lets so many and so large messages through.
    collation = collate_next(para, relay, [para.signed(call, sender_of(spec(name)))])
    (message,) = collation.commitments.upward_messages
    assert message[0] == 2  # an XCM of version 2
    assert bytes.fromhex("55" * 32) in message
    assert relay.include(collation) is None


def test_names_that_are_not_there(running: Running) -> None:
    metadata = running("rococo-asset-hub-genesis")[0].metadata
    with pytest.raises(UnknownName, match="no pallet 'Moon'"):
        metadata.compose_call("Moon", "land")
    with pytest.raises(UnknownName, match="pallet System has no call 'land'"):
        metadata.call("System", "land")
    with pytest.raises(UnknownName, match="no storage item 'Moon'"):
        metadata.storage_key("System", "Moon")
    with pytest.raises(ValueError, match=r"System.remark takes \(remark\), not 0 values and \(\)"):
        metadata.compose_call("System", "remark")
    with pytest.raises(ValueError, match="has 1 keys, not 2"):
        metadata.storage_key("System", "Account", bytes(32), b"")
    with pytest.raises(ScaleError):
        metadata.compose_call("Balances", "transfer", b"\x00" + bytes(32), "much")
    assert metadata.find_item("System", "Moon") is None


def test_keys_of_the_networks(spec: Specs, running: Running, vectors: Callable[[str], Any]) -> None:
    """Keys made from metadata are those under which the genesis states have their entries."""
    for name in TRANSFERS:
        para, _ = running(name)
        top = spec(name).genesis.top
        prefix = para.metadata.storage_key("System", "Account")
        accounts = [key for key in top if key.startswith(prefix)]
        account = len(sender_of(spec(name)).account)
        for key in accounts[:5]:
            assert para.metadata.storage_key("System", "Account", key[-account:]) == key
        assert para.metadata.storage_key("ParachainInfo", "ParachainId") in top


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kusama-coretime-genesis", "polkadot-coretime-genesis"])
def test_version_15_says_the_same_as_version_14(running: Running, spec: Specs, name: str) -> None:
    """Both runtimes answer in either version; what is signed by the newer one goes through."""
    para, relay = running(name)
    backend = FullBackend(para.node.nodes, para.node.best_header.state_root, para.node.layout)
    newer = Metadata.of(para.runtime, OffchainContext(backend), 15)
    older = para.metadata
    assert (older.version, newer.version) == (14, 15)
    assert [*newer.pallets] == [*older.pallets]
    for pallet in older.pallets:
        calls = [(call.name, call.index) for call in newer.pallet(pallet).calls.values()]
        assert calls == [(call.name, call.index) for call in older.pallet(pallet).calls.values()]
        for item, stored in newer.pallet(pallet).storage.items():
            assert (stored.prefix, stored.hashers) == (
                older.item(pallet, item).prefix,
                older.item(pallet, item).hashers,
            )
    assert [one.name for one in newer.signed_extensions] == [one.name for one in older.signed_extensions]
    sender = sender_of(spec(name))
    call = newer.compose_call("System", "remark_with_event", byte_vec.encode(b"fifteen"))
    extrinsic = signed_extrinsic(newer, call, sender, 0, para.identity)
    assert extrinsic == signed_extrinsic(older, call, sender, 0, para.identity)
    collation = collate_next(para, relay, [extrinsic])
    assert collation.proposal.dispatch_results[-1] == APPLIED
    with pytest.raises(BadMetadata, match="no metadata of version 99"):
        Metadata.of(para.runtime, OffchainContext(backend), 99)


TYPED = ["rococo-asset-hub-genesis", *(name for name in SLOW_TRANSFERS)]


@pytest.mark.parametrize(
    "name", [TYPED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in TYPED[1:])]
)
def test_every_value_of_a_genesis_reads_and_writes_back(running: Running, spec: Specs, name: str) -> None:
    """Each entry of a public genesis, decoded by the type that the metadata give it, is the same when encoded again."""
    metadata = running(name)[0].metadata
    items = {
        stored.prefix: (pallet.name, item, stored)
        for pallet in metadata.pallets.values()
        for item, stored in pallet.storage.items()
    }
    read = set()
    for key, value in spec(name).genesis.top.items():
        if key[:32] in items:
            pallet, item, stored = items[key[:32]]
            assert metadata.encode(stored.value_type, metadata.decode(stored.value_type, value)) == value
            read.add((pallet, item))
    assert {("System", "Account"), ("Session", "Validators"), ("Aura", "Authorities")} <= read
    for type_name in {stored.value_type for _, _, stored in items.values()}:
        zero = metadata.zero(type_name)
        metadata.decode(type_name, zero)


def test_an_ethereum_account_is_the_known_one() -> None:
    """The first account of the development mnemonic that Moonbeam's nodes and Hardhat share the form of."""
    secret = bytes.fromhex("5fb92d6e98884f76de468fa3f6278f8807c48bebc13595d45af5bdc4da702133")
    assert EthereumSigner(secret).account.hex() == "f24ff3a9cf04c71dbc94d0b566f7a27b94566cac"


@cache
def small_metadata(folder: Path) -> bytes:
    para = RealParachain.from_spec(
        load_spec(folder / "files" / "kusama-asset-hub-genesis.json.gz"), cache=CompileCache.default()
    )
    return byte_vec.decode(para.node.call("Metadata_metadata", b"", para.node.genesis_hash))


@settings(max_examples=10)
@given(st.integers(0, 12_000), st.integers(0, 255), st.integers(1, 12_000))
@example(4, 13, 1).via("read as another version")
@example(4, 14, 1).via("read as another version")
@example(5, 255, 1).via("a count of types that are not there")
def test_damaged_metadata_is_refused_or_read(vectors_dir: Path, at: int, byte: int, cut: int) -> None:
    """A runtime may answer anything: what comes out is metadata, or one clear error."""
    honest = small_metadata(vectors_dir)
    damaged = bytearray(honest)
    damaged[at % len(honest)] = byte
    for data in (bytes(damaged), honest[: cut % len(honest)]):
        try:
            metadata = Metadata(data)
        except BadMetadata as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 300
        else:
            assert metadata.version == data[4]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "does not begin with 'meta'"),
        (b"meta", "does not begin with 'meta'"),
        (b"meta\x08", "version 8; known are 9 to 15"),
        (b"meta\x10", "version 16; known are 9 to 15"),
        (b"meta\x0e", "damaged metadata"),
        (b"meta" + bytes(5 << 20), "at most 4194304 are read"),
    ],
)
def test_what_is_no_metadata(data: bytes, message: str) -> None:
    with pytest.raises(BadMetadata, match=message):
        Metadata(data)
