"""Blocks as a whole: the order of extrinsics, what a block may hold, what its events say, and what validators compare.

Complements the tests of single extrinsics in ``test_pallets_executive.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_functions.contexts import AuthoringContext, ValidationContext
from host_functions.errors import NoExternalities
from host_functions.interfaces import storage
from host_functions.relay_state import EmbeddedRelayNode, RelayOwnState
from host_functions.state_machine.externalities import Externalities
from pileus.collator import Collation
from pileus.keyring import Keypair
from pileus.network.parachain import dev_keypair
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pileus.testing import reseal
from pov_validator.validate import validation_params
from runtime.chains import demo
from runtime.pallets.balances import TRANSFER_WEIGHT
from runtime.pallets.system import (
    ApplyExtrinsic,
    BlockLimits,
    ExtrinsicFailed,
    ExtrinsicSuccess,
    Finalization,
    Initialization,
    LastRuntimeUpgradeInfo,
    phase_codec,
)
from runtime.primitives.block import Block
from runtime.primitives.digest import AURA, Other, PreRuntime, Seal
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.extrinsic import (
    IMMORTAL,
    Ecdsa,
    Ed25519,
    Era,
    Extrinsic,
    Id,
    MultiAddress,
    MultiSignature,
    Raw,
    SignedPayload,
    Sr25519,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import ValidationParams, ValidationResult
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.primitives.scale import u64
from runtime.support.dispatch import InvalidTransaction, TransactionValidity
from runtime.support.weights import DispatchClass, DispatchInfo, Weight
from runtime.trie.layout import LAYOUT_V1

ALICE, BOB = Keypair.from_uri("//Alice"), Keypair.from_uri("//Bob")
GENESIS = bytes(range(32))
ENTRY = demo.ENTRY_POINTS
UNIT = demo.UNIT
REMARK = demo.system.call_of(demo.system.remark, b"hello").encode()


@contextmanager
def block(number: int = 1, *, endowed: tuple[bytes, ...] = ()) -> Iterator[Externalities]:
    """Inside block ``number``, initialized; its predecessors are hashes only."""
    balances = tuple((account, 10 * UNIT) for account in (ALICE.public_key, *endowed))
    config = demo.GenesisConfig(2000, (ALICE.public_key,), balances)
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state).externalities():
        demo.build_state(config.encode())
        if number > 1:
            demo.system.Number.put(number - 1)
            demo.system.BlockHash.insert(0, GENESIS)
        parent = GENESIS if number == 1 else bytes([number - 1 & 255]) * 32
        item = PreRuntime(AURA, u64.encode(number))
        ENTRY["Core_initialize_block"](
            Header(parent, number, bytes(32), bytes(32), (item, Other(b"dropped"))).encode()
        )
        yield state


def payload(call: bytes = REMARK, **changes: object) -> SignedPayload:
    return replace(SignedPayload(call, IMMORTAL, 0, 0, 1, 1, GENESIS, GENESIS), **changes)  # type: ignore[arg-type]


def signed(
    what: SignedPayload, address: MultiAddress | None = None, signature: MultiSignature | None = None
) -> bytes:
    signature = Sr25519(ALICE.sign(what.signing_bytes())) if signature is None else signature
    return Extrinsic.signed(what, address or Id(ALICE.public_key), signature).encode()


def apply(extrinsic: bytes) -> bytes:
    return ENTRY["BlockBuilder_apply_extrinsic"](extrinsic)


def refused(kind: TransactionValidity) -> bytes:
    return b"\x01" + InvalidTransaction(kind).encode()


def records() -> list[object]:
    raw = storage.get(demo.system.Events.key())
    return [] if raw is None else list(demo.pallets.decode_events(raw))


def transfer(dest: bytes, amount: int) -> bytes:
    return demo.balances.call_of(demo.balances.transfer_allow_death, dest, amount).encode()


# Who signs.


def test_long_payloads_are_signed_by_their_hash() -> None:
    def long(size: int) -> SignedPayload:
        return payload(demo.system.call_of(demo.system.remark, bytes(size)).encode())

    base = len(long(100).encode()) - 100
    with block():
        at_limit, above = long(256 - base), replace(long(257 - base), nonce=1)
        assert (len(at_limit.encode()), len(above.encode())) == (256, 257)
        assert apply(signed(at_limit, None, Sr25519(ALICE.sign(at_limit.encode())))) == b"\x00\x00"
        assert apply(signed(above, None, Sr25519(ALICE.sign(above.encode())))) == refused(
            TransactionValidity.BAD_PROOF
        )
        assert apply(signed(above, None, Sr25519(ALICE.sign(blake2_256(above.encode()))))) == b"\x00\x00"


def test_ed25519_accounts_sign_too() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01")
    account = key.public_key().public_bytes_raw()
    what = payload()
    with block(endowed=(account,)):
        assert apply(signed(what, Id(account), Ed25519(key.sign(what.signing_bytes())))) == b"\x00\x00"
        wrong = Ed25519(key.sign(b"another payload"))
        assert apply(signed(payload(nonce=1), Id(account), wrong)) == refused(TransactionValidity.BAD_PROOF)


def test_what_cannot_sign_here() -> None:
    with block():
        assert apply(signed(payload(), Raw(ALICE.public_key))) == refused(TransactionValidity.BAD_SIGNER)
        assert apply(signed(payload(), None, Ecdsa(bytes(65)))) == refused(TransactionValidity.BAD_PROOF)
        sr25519_as_ed25519 = Ed25519(ALICE.sign(payload().signing_bytes()))
        assert apply(signed(payload(), None, sr25519_as_ed25519)) == refused(TransactionValidity.BAD_PROOF)
        assert demo.system.account_nonce(ALICE.public_key) == 0


def test_an_account_that_spent_itself_away_cannot_sign() -> None:
    with block():
        assert apply(signed(payload(transfer(BOB.public_key, 10 * UNIT)))) == b"\x00\x00"
        assert apply(signed(payload(nonce=1))) == refused(TransactionValidity.PAYMENT)
        assert not demo.system.Account.contains_key(ALICE.public_key)


@pytest.mark.parametrize(
    "number, kind",
    [
        (98, TransactionValidity.BAD_PROOF),  # too early: read as the era before, from 95 on
        (99, TransactionValidity.ANCIENT_BIRTH_BLOCK),  # the hash it signs is not known within block 99
        (100, None),
        (102, None),
        (103, TransactionValidity.ANCIENT_BIRTH_BLOCK),  # the next era begins with this very block
        (104, TransactionValidity.BAD_PROOF),  # expired: the era is read as the next one
    ],
)
def test_a_mortal_extrinsic_lives_for_its_era(number: int, kind: TransactionValidity | None) -> None:
    era = Era.mortal(4, 99)
    with block(number):
        for past in (95, 99, 103):
            if past < number:
                demo.system.BlockHash.insert(past, bytes([past]) * 32)
        extrinsic = signed(payload(era=era, era_birth_hash=bytes([99]) * 32))
        assert apply(extrinsic) == (b"\x00\x00" if kind is None else refused(kind))


# What a call leaves.


def test_a_failed_call_leaves_only_its_nonce_its_events_and_its_weight() -> None:
    def keys(state: Externalities, extrinsic: bytes) -> tuple[set[bytes], bytes]:
        before = dict(state._changes()[0])
        result = apply(extrinsic)
        after = dict(state._changes()[0])
        return {key for key in after if after[key] != before.get(key)}, result

    system = demo.system
    bookkeeping = {
        b":extrinsic_index",
        system.Account.key(ALICE.public_key),
        system.AllExtrinsicsLen.key(),
        system.BlockWeight.key(),
        system.EventCount.key(),
        system.Events.key(),
        system.ExecutionPhase.key(),
        system.ExtrinsicData.key(0),
    }
    with block() as state:
        changed, result = keys(state, signed(payload(transfer(BOB.public_key, 11 * UNIT))))
        assert result.startswith(b"\x00\x01")
        assert changed == bookkeeping
    with block() as state:
        changed, result = keys(state, signed(payload(transfer(BOB.public_key, UNIT))))
        assert result == b"\x00\x00"
        assert changed == bookkeeping | {system.Account.key(BOB.public_key)}


@pytest.mark.parametrize("amount, kind", [(UNIT, ExtrinsicSuccess), (11 * UNIT, ExtrinsicFailed)])
def test_the_event_tells_the_weight_with_the_base_weight(amount: int, kind: type) -> None:
    """As ``frame_system::note_applied_extrinsic`` does: what explorers sum up is what the block was charged."""
    with block():
        apply(signed(payload(transfer(BOB.public_key, amount))))
        event = records()[-1].event  # type: ignore[attr-defined]
        assert isinstance(event, kind)
        expected = TRANSFER_WEIGHT + demo.system.limits.base_extrinsic
        assert event.dispatch_info == DispatchInfo(expected, DispatchClass.NORMAL)  # type: ignore[attr-defined]


def test_phases_of_a_block() -> None:
    with block():
        assert phase_codec.decode(storage.get(demo.system.ExecutionPhase.key()) or b"") == ApplyExtrinsic(0)
        apply(signed(payload()))
        assert demo.system.extrinsic_index() == 1
        demo.system.note_finished_extrinsics()
        demo.system.deposit_event_of(0, ExtrinsicSuccess(DispatchInfo(Weight(), DispatchClass.NORMAL)))
        assert [record.phase for record in records()] == [ApplyExtrinsic(0), Finalization()]  # type: ignore[attr-defined]
    assert [
        phase_codec.encode(phase).hex() for phase in (ApplyExtrinsic(1), Finalization(), Initialization())
    ] == [
        "0001000000",
        "01",
        "02",
    ]


def test_only_pre_runtime_digests_are_taken_from_the_announced_header() -> None:
    with block():
        assert demo.system.Digest.get() == (PreRuntime(AURA, u64.encode(1)),)


def test_the_version_of_a_new_runtime_is_noted() -> None:
    with block():
        demo.system.LastRuntimeUpgrade.put(LastRuntimeUpgradeInfo(0, "pileus-demo"))
        ENTRY["Core_initialize_block"](
            Header(bytes(32), 2, bytes(32), bytes(32), (PreRuntime(AURA, u64.encode(9)),)).encode()
        )
        assert demo.system.LastRuntimeUpgrade.get() == LastRuntimeUpgradeInfo(1, "pileus-demo")


@pytest.mark.parametrize("number, dropped", [(256, None), (257, None), (258, 1), (259, 2)])
def test_256_block_hashes_are_kept_and_the_first_one(number: int, dropped: int | None) -> None:
    with block(number):
        for past in range(1, number):
            demo.system.BlockHash.insert(past, bytes(32))
        demo.system.note_finished_extrinsics()
        demo.system.finalize()
        kept = [past for past in range(number) if demo.system.BlockHash.contains_key(past)]
        assert kept == [past for past in range(number) if past != dropped]


# What a block may hold.


def test_mandatory_extrinsics_fit_into_a_full_block(monkeypatch: pytest.MonkeyPatch) -> None:
    full = BlockLimits(max_block=Weight(1, 1), max_normal=Weight(1, 1), max_normal_length=1)
    with block():
        monkeypatch.setattr(demo.system, "limits", full)
        assert apply(signed(payload())) == refused(TransactionValidity.EXHAUSTS_RESOURCES)
        inherent = demo.timestamp.call_of(demo.timestamp.set, demo.SLOT_DURATION)
        assert apply(Extrinsic.bare(inherent.encode()).encode()) == b"\x00\x00"


@pytest.mark.parametrize("spare, fits", [(0, True), (-1, False)])
def test_the_length_of_a_block_is_exact(spare: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = signed(payload()), signed(payload(nonce=1))
    limits = replace(demo.system.limits, max_normal_length=len(first) + len(second) + spare)
    with block():
        monkeypatch.setattr(demo.system, "limits", limits)
        assert apply(first) == b"\x00\x00"
        assert (apply(second) == b"\x00\x00") is fits


@pytest.mark.parametrize("spare, fits", [(0, True), (-1, False)])
@pytest.mark.parametrize("limit", ["max_normal", "max_block"])
def test_the_weight_of_a_block_is_exact(
    limit: str, spare: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with block():
        used = demo.system.BlockWeight.get()
        declared = demo.pallets.decode_call(REMARK).function.spec.weight(b"hello")
        whole = used.total() if limit == "max_block" else used.normal
        room = whole.ref_time + declared.ref_time + demo.system.limits.base_extrinsic.ref_time + spare
        monkeypatch.setattr(
            demo.system, "limits", replace(demo.system.limits, **{limit: Weight(room, 10**9)})
        )
        assert (apply(signed(payload())) == b"\x00\x00") is fits


def test_the_declared_proof_size_is_replaced_by_the_measured_one() -> None:
    with block() as state:
        used = demo.system.BlockWeight.get().normal
        before = state.storage_proof_size()
        apply(signed(payload(transfer(BOB.public_key, UNIT))))
        grown = demo.system.BlockWeight.get().normal.proof_size - used.proof_size
        # Nothing is read from below the overlay here, so nothing of the declared 7 kB remains.
        assert grown == state.storage_proof_size() - before == 0


# Order, and what fails a block. Blocks of a real network, changed by their own author.

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=(Parachain(id=2000, collators=(Collator("collator"),)),),
)
KEY = dev_keypair("collator")
Change = Callable[[Block], Block]


@cache
def candidate() -> tuple[Network, Collation]:
    network = Network(TOPOLOGY, seed=3, relay_state="own")
    network.step()
    network.parachains[0].submit(demo.system.call_of(demo.system.remark, b"signed").encode())
    (report,) = network.step().candidates
    assert len(report.collation.block.extrinsics) == 3
    return network, report.collation


def validate(
    params: ValidationParams | None = None, change: Change = lambda block: block
) -> ValidationResult:
    """Run ``validate_block`` on the candidate, its block changed and sealed again."""
    network, collation = candidate()
    block = change(collation.block)
    data = replace(collation.block_data, blocks=(Block(reseal(block.header, KEY), block.extrinsics),))
    given = validation_params(collation.pvd, data.encode()) if params is None else params
    # Always the real relay state: what the params claim about it is for the runtime to compare.
    reader = RelayOwnState(network.chain.database, collation.pvd.relay_parent_storage_root)
    runtime = network.parachains[0].runtime
    answer = runtime.call("validate_block", given.encode(), ValidationContext(reader))
    return ValidationResult.decode(answer)


def with_extrinsics(order: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Change:
    return lambda block: replace(block, extrinsics=order(block.extrinsics))


def with_digest(change: Callable[[tuple[object, ...]], tuple[object, ...]]) -> Change:
    def apply_to(block: Block) -> Block:
        unsealed = block.header.without_seal()[0]
        return replace(block, header=replace(unsealed, digest=change(unsealed.digest)))  # type: ignore[arg-type]

    return apply_to


SIGNED_TIMESTAMP = demo.timestamp.call_of(demo.timestamp.set, 5).encode()
SECOND_SLOT = PreRuntime(AURA, u64.encode(1))


def sign_for(network: Network, call: bytes, nonce: int) -> bytes:
    sender = network.parachains[0]._sender
    genesis = network.parachains[0].node.genesis_hash
    what = SignedPayload(call, IMMORTAL, nonce, 0, 1, 1, genesis, genesis)
    return Extrinsic.signed(what, Id(sender.public_key), Sr25519(sender.sign(what.signing_bytes()))).encode()


BAD_BLOCKS: dict[str, tuple[Callable[[], Change], str]] = {
    "an inherent behind an extrinsic": (
        lambda: with_extrinsics(lambda xts: (xts[0], xts[2], xts[1])),
        "Invalid inherent position for extrinsic at index 2",
    ),
    "an inherent that fails": (
        lambda: with_extrinsics(lambda xts: (*xts, sign_for(candidate()[0], SIGNED_TIMESTAMP, 1))),
        "extrinsic 3: InvalidTransaction::BAD_MANDATORY",
    ),
    "an extrinsic twice": (lambda: with_extrinsics(lambda xts: (*xts, xts[2])), "STALE"),
    "a nonce left out": (
        lambda: with_extrinsics(lambda xts: (*xts, sign_for(candidate()[0], REMARK, 2))),
        "FUTURE",
    ),
    "an extrinsic left out": (
        lambda: with_extrinsics(lambda xts: xts[:2]),
        "Storage root must match that calculated",
    ),
    "two slots": (
        lambda: with_digest(lambda items: (items[0], SECOND_SLOT, *items[1:])),
        "Header has 2 aura pre-runtime digests, not one",
    ),
    "no slot": (lambda: with_digest(lambda items: items[1:]), "Header has no aura pre-runtime digests"),
    "half a slot": (
        lambda: with_digest(lambda items: (PreRuntime(AURA, bytes(4)), *items[1:])),
        "aura pre-runtime digest: u64",
    ),
    "a seal within": (
        lambda: with_digest(lambda items: (items[0], Seal(AURA, bytes(64)), *items[1:])),
        "Number of digest items must match",
    ),
    "another engine's slot": (
        lambda: with_digest(lambda items: (*items, PreRuntime(b"xxxx", b""))),
        "Digest item must match",
    ),
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
def test_a_block_its_author_spoiled(name: str) -> None:
    change, reason = BAD_BLOCKS[name]
    with pytest.raises(InvalidBlock, match=reason):
        validate(change=change())


@pytest.mark.parametrize("name", BAD_BLOCKS)
def test_a_node_refuses_what_validators_refuse(name: str) -> None:
    """And the other way round: or a block is included that nobody can build on."""
    network, collation = candidate()
    change, _ = BAD_BLOCKS[name]
    spoiled = change()(collation.block)
    spoiled = replace(spoiled, header=reseal(spoiled.header, KEY))
    node = network.parachains[0].node
    reader = EmbeddedRelayNode(network.chain.database, collation.pvd.relay_parent_storage_root)
    best = node.best_hash
    with pytest.raises(InvalidBlock):
        node.import_block(spoiled, reader)
    assert node.best_hash == best


def test_the_unchanged_block_is_valid() -> None:
    _, collation = candidate()
    assert validate().to_commitments() == collation.commitments


# What validate_block was given.


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"relay_parent_number": 99}, "Relay parent number doesn't match"),
        ({"relay_parent_storage_root": bytes(32)}, "Relay parent storage root doesn't match"),
    ],
)
def test_params_that_the_block_was_not_built_on(changes: dict[str, object], reason: str) -> None:
    _, collation = candidate()
    params = validation_params(collation.pvd, collation.block_data.encode())
    with pytest.raises(InvalidBlock, match=reason):
        validate(replace(params, **changes))  # type: ignore[arg-type]


def test_another_parent() -> None:
    _, collation = candidate()
    data = collation.block_data.encode()
    parent = Header.decode(collation.pvd.parent_head)
    other = replace(parent, extrinsics_root=bytes(32))
    with pytest.raises(InvalidBlock, match="Invalid parent hash"):
        validate(replace(validation_params(collation.pvd, data), parent_head=other.encode()))


def test_a_block_that_believes_in_another_parent_head() -> None:
    """The inherent says which head the parachain had; nothing before the comparison at the end looks at it."""
    network, collation = candidate()

    def lie(block: Block) -> Block:
        inherent = demo.pallets.decode_call(Extrinsic.decode(block.extrinsics[0]).call)
        data, messages = inherent.arguments
        lying = replace(data, validation_data=replace(data.validation_data, parent_head=b"another"))
        call = demo.parachain_system.call_of(demo.parachain_system.set_validation_data, lying, messages)
        forged = (Extrinsic.bare(call.encode()).encode(), *block.extrinsics[1:])
        return replace(block, extrinsics=forged, header=recompute(network, collation, forged))

    with pytest.raises(InvalidBlock, match="Parent head doesn't match"):
        validate(change=lie)


def recompute(network: Network, collation: Collation, extrinsics: tuple[bytes, ...]) -> Header:
    """The header that executing these extrinsics gives."""
    node = network.parachains[0].node
    parent = node.header(collation.block.header.parent_hash)
    assert parent is not None
    state = Externalities.recording(node.nodes, parent.state_root, node.layout)
    relay = EmbeddedRelayNode(network.chain.database, collation.pvd.relay_parent_storage_root)
    context = AuthoringContext(state, relay)
    slot = collation.block.header.digest[0]
    announced = Header(parent.hash(), parent.number + 1, bytes(32), bytes(32), (slot,))
    runtime = network.parachains[0].runtime
    runtime.call("Core_initialize_block", announced.encode(), context)
    for extrinsic in extrinsics:
        runtime.call("BlockBuilder_apply_extrinsic", extrinsic, context)
    return Header.decode(runtime.call("BlockBuilder_finalize_block", b"", context))


def test_no_block_and_two_blocks() -> None:
    _, collation = candidate()
    for blocks, reason in (((), "holds no block"), ((collation.block,) * 2, "more than one block")):
        data = ParachainBlockData(1, blocks, collation.block_data.proof)
        with pytest.raises(InvalidBlock, match=reason):
            validate(validation_params(collation.pvd, data.encode()))


def test_trailing_bytes_are_ignored_as_in_the_reference() -> None:
    _, collation = candidate()
    params = validation_params(collation.pvd, collation.block_data.encode() + b"padding")
    assert validate(params).to_commitments() == collation.commitments


def test_a_failed_block_leaves_no_replacement_behind() -> None:
    """The storage replaced for one candidate must be gone for the next, however the first one ended."""
    with pytest.raises(InvalidBlock):
        validate(change=BAD_BLOCKS["two slots"][0]())
    with pytest.raises(NoExternalities):
        storage.get(b"")
    _, collation = candidate()
    assert validate().to_commitments() == collation.commitments
