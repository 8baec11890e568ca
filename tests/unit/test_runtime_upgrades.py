"""The parachain's side of a code upgrade: what the pallets do with new code, and with the relay chain's signals.

The whole way, with a relay chain and validators, is `tests/e2e/test_upgrade.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from host_functions.contexts import AuthoringContext
from host_functions.executor.archive import MAGIC, archived_version
from host_functions.executor.wasm import embedded_version_reader
from host_functions.interfaces import storage
from host_functions.state_machine.externalities import Externalities
from pileus.relay_chain.genesis import host_configuration
from runtime.chains import demo
from runtime.pallets.parachain_system import pallet as events_of
from runtime.pallets.system import (
    ApplyExtrinsic,
    CodeUpdated,
    RejectedInvalidAuthorizedUpgrade,
    UpgradeAuthorized,
)
from runtime.primitives.digest import RuntimeEnvironmentUpdated
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import PersistedValidationData, UpgradeGoAhead, UpgradeRestriction
from runtime.primitives.scale import byte_vec, string
from runtime.primitives.version import RuntimeVersion
from runtime.support.dispatch import NONE, BadOrigin, ModuleError, Origin, OriginKind
from runtime.trie.layout import LAYOUT_V1

pallet, system = demo.parachain_system, demo.system
AUTHORITY, OTHER = (Origin(OriginKind.SIGNED, bytes([n]) * 32) for n in (1, 2))
LIMIT = 1_000


def code_of(version: RuntimeVersion, size: int = 300) -> bytes:
    """Code that says it is of a version, as an archive."""
    head = MAGIC + string.encode("some.runtime") + byte_vec.encode(version.encode())
    return head.ljust(size, b"\0")


NEXT = code_of(replace(demo.VERSION, spec_version=2))


@contextmanager
def block() -> Iterator[None]:
    """Inside a block, after `set_validation_data`."""
    state = Externalities.recording({}, LAYOUT_V1.empty_root)
    with AuthoringContext(state, version_of=embedded_version_reader).externalities():
        system.ExecutionPhase.put(ApplyExtrinsic(2))
        demo.aura.Authorities.put((bytes([1]) * 32,))
        pallet.ValidationData.put(PersistedValidationData(b"head", 5, bytes(32), 10_000_000))
        pallet.HostConfiguration.put(replace(host_configuration(), max_code_size=LIMIT))
        yield


def events() -> list[object]:
    raw = storage.get(system.Events.key())
    return [] if raw is None else [record.event for record in demo.pallets.decode_events(raw)]


def new_code() -> tuple[bytes | None, bytes | None]:
    """What the block says to the collator and to the validator; they must agree."""
    header = Header(bytes(32), 1, bytes(32), bytes(32))
    return (
        pallet.collect_collation_info(header).new_validation_code,
        pallet.validation_result(b"head").new_validation_code,
    )


def refused(code: bytes = NEXT) -> object:
    with pytest.raises(ModuleError) as raised:
        system.apply_authorized_upgrade(OTHER, code)
    return raised.value.error


def test_code_is_authorized_by_governance_and_brought_by_anybody() -> None:
    with block():
        for origin in (OTHER, NONE):
            with pytest.raises(BadOrigin):
                system.authorize_upgrade(origin, blake2_256(NEXT))
        assert refused() is system.Error.NothingAuthorized
        system.authorize_upgrade(AUTHORITY, blake2_256(NEXT))
        assert refused(NEXT + b"\0") is system.Error.Unauthorized
        system.apply_authorized_upgrade(OTHER, NEXT)
        assert events() == [UpgradeAuthorized(blake2_256(NEXT), True), events_of.ValidationFunctionStored()]
        assert new_code() == (NEXT, NEXT)
        assert not storage.exists(b":code")
        assert refused() is system.Error.NothingAuthorized


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (code_of(demo.VERSION), system.Error.SpecVersionNeedsToIncrease),
        (code_of(replace(demo.VERSION, spec_version=0)), system.Error.SpecVersionNeedsToIncrease),
        (code_of(replace(demo.VERSION, spec_version=2, spec_name="other")), system.Error.InvalidSpecName),
        (b"no code at all", system.Error.FailedToExtractRuntimeVersion),
        (MAGIC + b"\xff" * 20, system.Error.FailedToExtractRuntimeVersion),
        (MAGIC + b"\0" + byte_vec.encode(b"\xff"), system.Error.FailedToExtractRuntimeVersion),
    ],
)
def test_a_version_that_may_not_follow_uses_the_authorisation_up(code: bytes, error: object) -> None:
    with block():
        system.authorize_upgrade(AUTHORITY, blake2_256(code))
        system.apply_authorized_upgrade(OTHER, code)
        rejected = RejectedInvalidAuthorizedUpgrade(
            blake2_256(code),
            system.fail(error).encode(),  # type: ignore[arg-type]
        )
        assert events()[1:] == [rejected]
        assert refused(code) is system.Error.NothingAuthorized
        system.authorize_upgrade_without_checks(AUTHORITY, blake2_256(code))
        system.apply_authorized_upgrade(OTHER, code)
        assert new_code() == (code, code)


def test_what_the_relay_chain_would_refuse_is_refused_here() -> None:
    def attempt(code: bytes = NEXT) -> object:
        with pytest.raises(ModuleError) as raised:
            pallet.schedule_code_upgrade(code)
        return raised.value.error

    with block():
        assert attempt(bytes(LIMIT + 1)) is pallet.Error.TooBig
        pallet.UpgradeRestrictionSignal.put(UpgradeRestriction.PRESENT)
        assert attempt() is pallet.Error.ProhibitedByPolkadot
        pallet.UpgradeRestrictionSignal.kill()
        pallet.schedule_code_upgrade(bytes(LIMIT))
        assert attempt() is pallet.Error.OverlappingUpgrades
        pallet.ValidationData.kill()
        assert attempt() is pallet.Error.ValidationDataNotAvailable
    with block():
        pallet.HostConfiguration.kill()
        assert attempt() is pallet.Error.HostConfigurationNotAvailable


def test_new_code_is_announced_by_one_block() -> None:
    with block():
        pallet.schedule_code_upgrade(NEXT)
        pallet.on_finalize(1)
        assert new_code() == (NEXT, NEXT)
        pallet.on_initialize(2)
        assert new_code() == (None, None)
        assert pallet.PendingValidationCode.get() == NEXT
        # A hook before ours may announce, too.
        pallet.ValidationData.put(PersistedValidationData(b"head", 6, bytes(32), 10_000_000))
        pallet.PendingValidationCode.kill()
        pallet.schedule_code_upgrade(NEXT)
        pallet.on_initialize(2)
        assert new_code() == (NEXT, NEXT)


def test_the_signals() -> None:
    with block():
        pallet._heed(None, 7)
        with pytest.raises(InvalidBlock, match="GoAhead signal is not expected"):
            pallet._heed(UpgradeGoAhead.GO_AHEAD, 7)
        pallet.PendingValidationCode.put(NEXT)
        pallet._heed(None, 7)
        assert (events(), pallet.PendingValidationCode.get()) == ([], NEXT)
        pallet._heed(UpgradeGoAhead.ABORT, 7)
        assert (events(), pallet.PendingValidationCode.get()) == (
            [events_of.ValidationFunctionDiscarded()],
            b"",
        )
        assert not storage.exists(b":code")
        pallet.PendingValidationCode.put(NEXT)
        pallet._heed(UpgradeGoAhead.GO_AHEAD, 8)
        assert events()[1:] == [CodeUpdated(), events_of.ValidationFunctionApplied(8)]
        assert storage.get(b":code") == NEXT
        assert not pallet.PendingValidationCode.exists()
        assert system.Digest.get() == (RuntimeEnvironmentUpdated(),)


def test_the_archive_of_a_runtime_says_its_version() -> None:
    assert archived_version(NEXT) == replace(demo.VERSION, spec_version=2).encode()
    assert embedded_version_reader(NEXT) == archived_version(NEXT)
    for code in (b"", MAGIC, MAGIC + b"\0\0", b"\0asm" + NEXT):
        assert archived_version(code) is None
