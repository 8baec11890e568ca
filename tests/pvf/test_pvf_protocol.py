"""Messages between host and workers, and executor parameters as the relay chain encodes them."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pov_validator.pvf import ExecKind, ExecutorParams, PrepareKind
from pov_validator.pvf.protocol import (
    Answer,
    Channel,
    Execute,
    HostCall,
    Line,
    ProtocolViolation,
    Returned,
    Stopped,
    decoded,
    from_python,
    from_worker,
    to_worker,
)
from runtime.primitives.errors import ScaleError

values = st.none() | st.booleans() | st.integers(0, 2**64 - 1) | st.binary(max_size=50)


@given(values)
def test_values_cross_unchanged(value: Any) -> None:
    message = decoded(to_worker, to_worker.encode(Answer(from_python(value))))
    crossed = message.value.python
    assert crossed == value
    assert type(crossed) is type(value)


@pytest.mark.parametrize("value", ["text", 1.5, [b"x"], (b"x",), bytearray(b"x"), object()])
def test_what_does_not_cross(value: Any) -> None:
    with pytest.raises(TypeError, match="does not cross"):
        from_python(value)


lines = st.builds(Line, st.integers(0, 2**32 - 1), st.text(max_size=9), st.text(max_size=20))
messages = st.one_of(
    st.builds(Returned, st.binary(max_size=50), st.lists(lines, max_size=3).map(tuple)),
    st.builds(Stopped, st.integers(0, 255), st.text(max_size=20), st.lists(lines, max_size=3).map(tuple)),
    st.builds(HostCall, st.text(max_size=20), st.lists(values.map(from_python), max_size=3).map(tuple)),
)


@given(messages)
def test_messages_cross_unchanged(message: Any) -> None:
    assert decoded(from_worker, from_worker.encode(message)) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_violation(data: bytes) -> None:
    for codec in (from_worker, to_worker):
        try:
            message = decoded(codec, data)
        except ProtocolViolation as error:
            assert str(error)
        else:
            assert codec.encode(message) == data, "one encoding per message"


@given(messages, st.data())
def test_a_message_cut_short_is_none(message: Any, data: st.DataObject) -> None:
    encoded = from_worker.encode(message)
    with pytest.raises(ProtocolViolation):
        decoded(from_worker, encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ProtocolViolation):
        decoded(from_worker, encoded + b"\0")


@pytest.fixture
def ends() -> Any:
    ours, theirs = socket.socketpair()
    yield Channel(ours, 1 << 22), theirs
    ours.close()
    theirs.close()


def test_frames(ends: Any) -> None:
    ours, theirs = ends
    assert ours.is_quiet()
    theirs.sendall(b"\x03\0\0\0abc\0\0\0\0")
    assert not ours.is_quiet()
    assert ours.receive(time.monotonic() + 9) == b"abc"
    assert ours.receive(time.monotonic() + 9) == b""
    large = bytes(range(256)) * 8192
    sender = threading.Thread(target=Channel(theirs, 9).send, args=(large,))
    sender.start()
    assert ours.receive(time.monotonic() + 60) == large
    sender.join()


def test_a_frame_that_is_too_long_is_not_waited_for(ends: Any) -> None:
    ours, theirs = ends
    theirs.sendall(((1 << 22) + 1).to_bytes(4, "little"))
    with pytest.raises(ProtocolViolation, match="4194305 bytes, more than 4194304"):
        ours.receive(time.monotonic() + 9)


def test_deadlines_and_ends(ends: Any) -> None:
    ours, theirs = ends
    theirs.sendall(b"\x03\0\0\0ab")
    with pytest.raises(TimeoutError):
        ours.receive(time.monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        ours.send(bytes(1 << 22), time.monotonic() + 0.05)
    theirs.close()
    assert not ours.is_quiet()
    with pytest.raises((EOFError, ConnectionResetError)):
        ours.receive(time.monotonic() + 9)
    ours.wait_for_hangup()


def test_execute_survives_a_large_argument() -> None:
    job = Execute(7, bytes(32), "validate_block", bytes(1 << 20), 2000, ("ext_a_version_1",), (), 3)
    assert decoded(to_worker, to_worker.encode(job)) == job


# -- executor parameters -----------------------------------------------------------------------------------


def encoded(*params: bytes) -> bytes:
    return bytes([len(params) << 2]) + b"".join(params)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_default_parameters_are_polkadots() -> None:
    params = ExecutorParams.decode(b"\0")
    assert params == ExecutorParams()
    assert params.memory_pages == 32 + 2048
    assert [params.execution_timeout(kind) for kind in ExecKind] == [2.0, 12.0]
    assert [params.preparation_timeout(kind) for kind in PrepareKind] == [60.0, 360.0]
    assert params.stack_native_max >= 128 * params.stack_logical_max


def test_every_parameter() -> None:
    params = ExecutorParams.decode(
        encoded(
            b"\x01" + u32(8192),
            b"\x02" + u32(1024),
            b"\x03" + u32(1 << 20),
            b"\x04" + u64(1 << 31),
            b"\x05\x00" + u64(90_000),
            b"\x05\x01" + u64(120_000),
            b"\x06\x00" + u64(2_500),
            b"\x06\x01" + u64(15_000),
            b"\x07",
        )
    )
    assert params == ExecutorParams(
        max_memory_pages=8192,
        stack_logical_max=1024,
        stack_native_max=1 << 20,
        preparation_memory=1 << 31,
        precheck_timeout=90.0,
        prepare_timeout=120.0,
        backing_timeout=2.5,
        approval_timeout=15.0,
        bulk_memory=True,
    )


@pytest.mark.parametrize(
    "data, what",
    [
        (encoded(b"\x00"), "unknown parameter 0"),
        (encoded(b"\x08"), "unknown parameter 8"),
        (encoded(b"\x05\x02" + u64(1)), "no timeout of kind 2"),
        (encoded(b"\x07") + b"\0", "trailing"),
        (encoded(b"\x07", b"\x07"), "parameter 7 a second time"),
        (encoded(b"\x06\x00" + u64(1), b"\x06\x00" + u64(1)), "parameter 6 a second time"),
        (encoded(b"\x01" + u32(65_537)), "MaxMemoryPages"),
        (encoded(b"\x02" + u32(1023)), "StackLogicalMax"),
        (encoded(b"\x03" + u32(128 * 65_536 - 1)), "StackNativeMax"),
        (encoded(b"\x04" + u64((256 << 20) - 1)), "PrecheckingMaxMemory"),
        (encoded(b"\x05\x01" + u64(2**64 - 1)), "PvfPrepTimeout"),
        (encoded(b"\x06\x00" + u64(0)), "PvfExecTimeout"),
        (b"\xfe\xff\xff\xff", "parameters announced"),
        (encoded(b"\x01\0\0"), "u32"),
        (b"", "."),
    ],
)
def test_parameters_that_are_none(data: bytes, what: str) -> None:
    with pytest.raises(ScaleError, match=what):
        ExecutorParams.decode(data)


@given(st.binary(max_size=80))
def test_any_bytes_are_parameters_or_an_error(data: bytes) -> None:
    try:
        params = ExecutorParams.decode(data)
    except ScaleError:
        return
    assert isinstance(params, ExecutorParams)
