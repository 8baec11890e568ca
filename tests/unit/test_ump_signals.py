"""Signals behind the separator, and the core they select. Names and order of the faults are upstream's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pov_validator.ump_signals import (
    CandidateUMPSignals,
    UMPSignalsError,
    UMPSignalsFault,
    check_ump_signals,
    ump_signals,
)
from runtime.primitives.parachain import (
    ApprovedPeer,
    CandidateDescriptorV1,
    CandidateDescriptorV2,
    SelectCore,
)
from runtime.primitives.scale import byte_vec

V2 = CandidateDescriptorV2(
    2000, bytes(32), 0, 5, 77, bytes(25), bytes(32), bytes(32), bytes(32), bytes(64), bytes(32), bytes(32)
)
V1 = CandidateDescriptorV1(
    2000, bytes(32), b"k" * 32, bytes(32), bytes(32), bytes(32), b"s" * 64, bytes(32), bytes(32)
)
SELECT = SelectCore(1, 0)
PEER = ApprovedPeer(b"peer")


def test_nothing_before_the_separator_is_a_signal() -> None:
    for messages in ((), (SELECT.encode(),), (b"xcm", b""), (b"",)):
        assert ump_signals(messages).is_empty
    assert ump_signals((b"xcm", b"", SELECT.encode())) == CandidateUMPSignals(SELECT)
    both = CandidateUMPSignals(SELECT, PEER)
    assert ump_signals((b"", SELECT.encode(), PEER.encode())) == both
    assert ump_signals((b"", PEER.encode(), SELECT.encode())) == both


@pytest.mark.parametrize(
    "signals, fault",
    [
        ((b"\x02",), UMPSignalsFault.UMP_SIGNAL_DECODE),
        ((b"",), UMPSignalsFault.UMP_SIGNAL_DECODE),
        ((b"\x00\x01",), UMPSignalsFault.UMP_SIGNAL_DECODE),
        ((SELECT.encode(), b""), UMPSignalsFault.UMP_SIGNAL_DECODE),
        ((SELECT.encode(), SELECT.encode()), UMPSignalsFault.DUPLICATE_UMP_SIGNAL),
        ((PEER.encode(), PEER.encode()), UMPSignalsFault.DUPLICATE_UMP_SIGNAL),
        ((SELECT.encode(), PEER.encode(), b"\xff"), UMPSignalsFault.TOO_MANY_UMP_SIGNALS),
        ((SELECT.encode(), SELECT.encode(), PEER.encode()), UMPSignalsFault.DUPLICATE_UMP_SIGNAL),
        ((b"\x01" + byte_vec.encode(b"p" * 65),), UMPSignalsFault.UMP_SIGNAL_DECODE),
    ],
)
def test_signals_that_break_the_rules(signals: tuple[bytes, ...], fault: UMPSignalsFault) -> None:
    with pytest.raises(UMPSignalsError) as caught:
        ump_signals((b"xcm", b"", *signals))
    assert caught.value.fault is fault


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_are_signals_or_a_named_fault(messages: list[bytes]) -> None:
    try:
        assert isinstance(ump_signals(messages), CandidateUMPSignals)
    except UMPSignalsError as error:
        assert error.fault in UMPSignalsFault


def fault(descriptor: object, claim_queue: dict[int, tuple[int, ...]], *signals: object) -> object:
    messages = (b"", *(signal.encode() for signal in signals)) if signals else ()  # type: ignore[attr-defined]
    try:
        check_ump_signals(descriptor, messages, claim_queue)  # type: ignore[arg-type]
    except UMPSignalsError as error:
        return error.fault
    return None


@pytest.mark.parametrize(
    "descriptor, claim_queue, signals, expected",
    [
        (V2, {0: (5,)}, (), None),
        (V2, {0: (4,)}, (), UMPSignalsFault.CORE_INDEX_MISMATCH),
        (V2, {0: (4, 5)}, (), None),
        (V2, {0: (4, 6)}, (), UMPSignalsFault.INVALID_CORE_INDEX),
        (V2, {0: ()}, (), UMPSignalsFault.NO_ASSIGNMENT),
        (V2, {1: (5,)}, (), UMPSignalsFault.NO_ASSIGNMENT),
        (V2, {0: (4, 5)}, (SELECT,), None),
        (V2, {0: (5, 6)}, (SELECT,), UMPSignalsFault.CORE_INDEX_MISMATCH),
        (V2, {0: (4, 6), 2: (4, 5)}, (SelectCore(255, 2),), None),
        (V2, {0: (4, 5)}, (SelectCore(1, 2),), UMPSignalsFault.NO_ASSIGNMENT),
        (V2, {0: (5,)}, (PEER,), None),
        (V2, {0: (5,)}, (SELECT, PEER), None),
        (replace(V2, version=1), {0: (5,)}, (), UMPSignalsFault.UNKNOWN_VERSION),
        (V1, {}, (), None),
        (V1, {0: (5,)}, (SELECT,), UMPSignalsFault.UMP_SIGNAL_WITH_V1_DESCRIPTOR),
        (replace(V2, reserved2=b"s" * 64), {}, (), None),
    ],
)
def test_the_descriptor_names_the_core_that_is_selected(
    descriptor: object, claim_queue: dict[int, tuple[int, ...]], signals: tuple[object, ...], expected: object
) -> None:
    assert fault(descriptor, claim_queue, *signals) is expected
