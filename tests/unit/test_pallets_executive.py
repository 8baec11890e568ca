"""The executive: what is admitted into a block, what a failing call leaves behind, and what ends a block.

The demo runtime over its real genesis state, entered through its runtime APIs as a node enters it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.state_machine.externalities import Externalities
from pileus.keyring import Keypair
from runtime.chains import demo
from runtime.pallets.system import ExtrinsicFailed, ExtrinsicSuccess, LastRuntimeUpgradeInfo
from runtime.primitives.digest import AURA, PreRuntime
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.extrinsic import IMMORTAL, Era, Extrinsic, Id, SignedPayload, Sr25519
from runtime.primitives.header import Header
from runtime.primitives.scale import account_id, u32, u64
from runtime.support.dispatch import InvalidTransaction, TransactionValidity
from runtime.support.weights import Weight
from runtime.trie.layout import LAYOUT_V1

ALICE, BOB = Keypair.from_uri("//Alice"), Keypair.from_uri("//Bob")
GENESIS_HASH = bytes(range(32))
ENTRY = demo.ENTRY_POINTS
REMARK = demo.system.call_of(demo.system.remark_with_event, b"hello").encode()


@contextmanager
def block(number: int = 1) -> Iterator[Externalities]:
    """Inside block ``number``, initialized; its predecessors are hashes only."""
    config = demo.GenesisConfig(2000, (ALICE.public_key,), ((ALICE.public_key, 10**15),))
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state).externalities():
        demo.build_state(config.encode())
        if number > 1:
            demo.system.Number.put(number - 1)
            demo.system.BlockHash.insert(0, GENESIS_HASH)
        ENTRY["Core_initialize_block"](header(number).encode())
        yield state


def header(number: int) -> Header:
    parent = GENESIS_HASH if number == 1 else bytes([number - 1 & 255]) * 32
    return Header(parent, number, bytes(32), bytes(32), (PreRuntime(AURA, u64.encode(number + 7)),))


def signed(call: bytes = REMARK, signer: Keypair = ALICE, **changes: object) -> bytes:
    payload = SignedPayload(call, IMMORTAL, 0, 0, 1, 1, GENESIS_HASH, GENESIS_HASH)
    return _signed(replace(payload, **changes), signer)  # type: ignore[arg-type]


def _signed(payload: SignedPayload, signer: Keypair, signature: bytes | None = None) -> bytes:
    proof = signer.sign(payload.signing_bytes()) if signature is None else signature
    return Extrinsic.signed(payload, Id(signer.public_key), Sr25519(proof)).encode()


def apply(extrinsic: bytes) -> bytes:
    return ENTRY["BlockBuilder_apply_extrinsic"](extrinsic)


def refused(kind: TransactionValidity) -> bytes:
    return b"\x01" + InvalidTransaction(kind).encode()


def events() -> list[object]:
    raw = demo.host.get(demo.system.Events.key())
    return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]


# Admission.


def test_a_signed_extrinsic_is_admitted_once() -> None:
    with block():
        assert apply(signed()) == b"\x00\x00"
        assert apply(signed()) == refused(TransactionValidity.STALE)
        assert apply(signed(nonce=1)) == b"\x00\x00"
        assert u32.decode(ENTRY["AccountNonceApi_account_nonce"](account_id.encode(ALICE.public_key))) == 2


@pytest.mark.parametrize(
    "extrinsic, kind",
    [
        (lambda: signed(nonce=1), TransactionValidity.FUTURE),
        (lambda: signed(genesis_hash=bytes(32), era_birth_hash=bytes(32)), TransactionValidity.BAD_PROOF),
        (lambda: signed(spec_version=2), TransactionValidity.BAD_PROOF),
        (lambda: signed(transaction_version=2), TransactionValidity.BAD_PROOF),
        (lambda: signed(signer=BOB), TransactionValidity.PAYMENT),
        (lambda: signed(tip=1), TransactionValidity.PAYMENT),
        (lambda: signed(call=REMARK + b"\x00"), TransactionValidity.CALL),
        (lambda: signed(call=b"\xff\x00"), TransactionValidity.CALL),
        (lambda: Extrinsic.bare(REMARK).encode(), TransactionValidity.CALL),
        (lambda: b"\x04\x04", TransactionValidity.CALL),
        (lambda: b"", TransactionValidity.CALL),
        (
            lambda: _signed(
                SignedPayload(REMARK, IMMORTAL, 0, 0, 1, 1, GENESIS_HASH, GENESIS_HASH), ALICE, bytes(64)
            ),
            TransactionValidity.BAD_PROOF,
        ),
        (lambda: signed(era=Era.mortal(64, 200)), TransactionValidity.ANCIENT_BIRTH_BLOCK),
    ],
)
def test_what_is_not_admitted(extrinsic: object, kind: TransactionValidity) -> None:
    with block():
        assert apply(extrinsic()) == refused(kind)  # type: ignore[operator]


def test_mortal_extrinsics() -> None:
    with block(100):
        birth = bytes([99]) * 32
        era = Era.mortal(4, 99)
        assert era.birth(100) == 99
        assert apply(signed(era=era, era_birth_hash=birth)) == b"\x00\x00"
        assert apply(signed(era=era, era_birth_hash=bytes(32), nonce=1)) == refused(
            TransactionValidity.BAD_PROOF
        )


def test_a_full_block_refuses_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with block():
        used = demo.system.BlockWeight.get()
        monkeypatch.setattr(
            demo.system,
            "limits",
            replace(demo.system.limits, max_normal=Weight(used.normal.ref_time + 10, 10**9)),
        )
        assert apply(signed()) == refused(TransactionValidity.EXHAUSTS_RESOURCES)
        monkeypatch.setattr(
            demo.system,
            "limits",
            replace(demo.system.limits, max_normal=Weight(10**15, 10**9), max_normal_length=10),
        )
        # The refused extrinsic left its nonce behind: it is the author who rolls it back.
        assert apply(signed(nonce=1)) == refused(TransactionValidity.EXHAUSTS_RESOURCES)


# Outcome.


def test_a_failing_call_stays_in_the_block_and_leaves_only_its_trace() -> None:
    call = demo.balances.call_of(demo.balances.transfer_keep_alive, BOB.public_key, 10**16).encode()
    with block():
        result = apply(signed(call=call))
        assert result == b"\x00\x01\x07\x00"  # Ok(Err(Token(FundsUnavailable)))
        (event,) = events()
        assert isinstance(event, ExtrinsicFailed)
        assert event.dispatch_error == b"\x07\x00"
        assert demo.balances.free_balance(ALICE.public_key) == 10**15
        assert demo.system.account_nonce(ALICE.public_key) == 1


def test_events_carry_the_extrinsic_they_belong_to() -> None:
    with block():
        apply(signed())
        apply(signed(nonce=1))
        raw = demo.host.get(demo.system.Events.key())
        assert raw is not None
        records = demo.pallets.decode_events(raw)
        assert [record.phase.number for record in records] == [0, 0, 1, 1]
        assert [type(record.event).__name__ for record in records] == ["Remarked", "ExtrinsicSuccess"] * 2
        assert demo.system.EventCount.get() == 4
        assert isinstance(records[1].event, ExtrinsicSuccess)


def test_a_block_number_must_follow() -> None:
    with block():
        with pytest.raises(InvalidBlock, match="does not follow"):
            demo.system.initialize(header(5))


def test_a_block_without_its_inherents_does_not_end() -> None:
    with block(), pytest.raises(InvalidBlock, match="needs to be present"):
        ENTRY["BlockBuilder_finalize_block"](b"")


def test_the_slot_must_increase() -> None:
    with block():
        demo.aura.CurrentSlot.put(100)
        with pytest.raises(InvalidBlock, match="Slot must increase"):
            demo.aura.on_initialize(2)


def test_timestamp_bounds() -> None:
    from runtime.support.dispatch import NONE

    with block():
        demo.timestamp.set(NONE, 8 * demo.SLOT_DURATION)
        with pytest.raises(InvalidBlock, match="only once"):
            demo.timestamp.set(NONE, 9 * demo.SLOT_DURATION)
        demo.timestamp.DidUpdate.kill()
        with pytest.raises(InvalidBlock, match="increment"):
            demo.timestamp.set(NONE, 8 * demo.SLOT_DURATION)
        demo.timestamp.DidUpdate.kill()
        with pytest.raises(InvalidBlock, match="must match CurrentSlot"):
            demo.timestamp.set(NONE, 10 * demo.SLOT_DURATION)


def test_old_block_hashes_are_dropped_and_the_genesis_hash_is_kept() -> None:
    with block(300):
        demo.system.BlockHash.insert(43, bytes(32))
        demo.system.note_finished_extrinsics()
        demo.system.finalize()
        assert not demo.system.BlockHash.contains_key(43)
        assert demo.system.BlockHash.get(0) == GENESIS_HASH


def test_the_runtime_version_is_noted() -> None:
    with block():
        assert demo.system.LastRuntimeUpgrade.get() == LastRuntimeUpgradeInfo(1, "pileus-demo")


def test_hostile_arguments_name_the_argument() -> None:
    with pytest.raises(ScaleError, match=r"Balances.transfer_keep_alive\(dest\)"):
        demo.pallets.decode_call(b"\x0a\x03\x01")
    with pytest.raises(ScaleError, match="no pallet has index 99"):
        demo.pallets.decode_call(b"\x63\x00")
    with pytest.raises(ScaleError, match="no call has index 200"):
        demo.pallets.decode_call(b"\x0a\xc8")


def test_genesis_refuses_a_balance_below_the_existential_deposit() -> None:
    config = demo.GenesisConfig(2000, (), ((BOB.public_key, 1),))
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state).externalities(), pytest.raises(ValueError, match="existential deposit"):
        demo.build_state(config.encode())


def test_an_account_is_where_polkadot_tools_look_for_it() -> None:
    """``System.Account`` of Alice, as polkadot.js computes the key."""
    assert demo.system.Account.key(ALICE.public_key).hex() == (
        "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
        "de1e86a9a8c739864cf3cc5ec2bea59f" + ALICE.public_key.hex()
    )
