"""A guest in a worker process asks the validator for relay state, and the validator's answer decides."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from host_functions.contexts import ValidationContext
from host_functions.errors import MissingHostFunction
from host_functions.executor.wasm import CallingStyle, WasmRuntime
from host_functions.interfaces import hashing
from host_functions.interfaces.relay_chain_state import read_relay_state
from host_functions.relay_state import RelayOwnState
from host_functions.tracing import Trace, observing
from pileus.testing.guests import relay_reader
from pov_validator import Abstain, AbstainReason, Carried, Invalid, InvalidReason, OwnState, Valid
from pov_validator.pvf import ExecKind, ExecutorParams, PossiblyInvalid, PvfHost, PvfRuntime
from pov_validator.pvf.process import PROGRAM

READ = (
    '(import "env" "ext_relay_chain_state_read_relay_chain_state_into_version_1"'
    " (func $read (param i64 i64) (result i64)))"
)
PROOF_SIZE = '(import "env" "ext_storage_proof_size_storage_proof_size_version_1" (func $size (result i64)))'


def reading(guests: Any, key: bytes, then: str, *fields: str) -> bytes:
    """A guest that reads ``key`` into 1024, where ``then`` says READ."""
    data = "".join(f"\\{byte:02x}" for byte in key)
    call = f"(call $read (i64.const {512 | len(key) << 32}) (i64.const {1024 | 256 << 32}))"
    return guests.module(then.replace("READ", call), READ, f'(data (i32.const 512) "{data}")', *fields)  # type: ignore[no-any-return]


@pytest.fixture
def answering(guests: Any) -> bytes:
    """Returns the value under the relay key."""
    return reading(guests, guests.relay_key, "(i64.or (i64.shl READ (i64.const 32)) (i64.const 1024))")


@pytest.fixture
def careless(guests: Any) -> bytes:
    """Reads, and is right whatever the answer."""
    return reading(guests, guests.relay_key, f"(drop READ) {guests.ok}")


def test_values_and_absence(guests: Any, host: PvfHost, answering: bytes, relay_node: Any) -> None:
    context = ValidationContext(RelayOwnState(relay_node(), guests.relay_root))
    assert PvfRuntime(answering, host).call("validate_block", b"", context) == guests.relay_value
    absent = reading(guests, b"nothing here", "(i64.store (i32.const 0) READ) (i64.const 0x800000000)")
    answer = PvfRuntime(absent, host).call("validate_block", b"", context)
    assert int.from_bytes(answer, "little", signed=True) == -1


def test_worker_and_process_agree(guests: Any, host: PvfHost, answering: bytes, relay_node: Any) -> None:
    """The same reads, recorded by the caller's reader, and the same proof size seen by the guest."""
    sized = reading(
        guests,
        guests.relay_key,
        "(drop READ) (i64.store (i32.const 0) (call $size)) (i64.const 0x800000000)",
        PROOF_SIZE,
    )
    for code in (answering, sized):
        outcomes = []
        for runtime in (PvfRuntime(code, host), WasmRuntime(code)):
            relay = RelayOwnState(relay_node(), guests.relay_root)
            returned = runtime.call("validate_block", b"", ValidationContext(relay))
            outcomes.append((returned, relay.nodes(), relay.commitment(), relay.proof_size()))
        assert outcomes[0] == outcomes[1]
        assert outcomes[0][1]


@pytest.mark.parametrize("style", list(CallingStyle), ids=lambda style: style.value)
def test_either_calling_style(guests: Any, host: PvfHost, relay_node: Any, style: CallingStyle) -> None:
    """Guests that allocate for themselves go through the same processes, with the same answers."""
    code = relay_reader(style)
    for key in (guests.relay_key, b"nothing here"):
        outcomes = []
        for runtime in (PvfRuntime(code, host), WasmRuntime(code)):
            relay = RelayOwnState(relay_node(), guests.relay_root)
            outcomes.append((runtime.call("run", key, ValidationContext(relay)), relay.nodes()))
        assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == b"\xff" * 8


def test_a_pruned_relay_node_abstains(guests: Any, host: PvfHost, careless: bytes, relay_node: Any) -> None:
    assert isinstance(guests.judge(careless, host), Valid)
    verdict = guests.judge(careless, host, relay_state=OwnState(relay_node(pruned=True)))
    assert isinstance(verdict, Abstain)
    assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE


def test_a_proof_that_is_not_carried(guests: Any, host: PvfHost, careless: bytes) -> None:
    verdict = guests.judge(careless, host, relay_state=Carried())
    assert isinstance(verdict, Invalid)
    assert verdict.reason is InvalidReason.RELAY_WITNESS_MISSING


def test_without_the_executor_parameter_there_is_no_such_function(
    guests: Any, make_host: Callable[..., PvfHost], careless: bytes
) -> None:
    """What Polkadot's validators say to it today: they trap."""
    host = make_host(ExecutorParams(relay_state=False))
    verdict = guests.judge(careless, host)
    assert isinstance(verdict, Invalid)
    assert "read_relay_chain_state_into_version_1 is not provided" in verdict.detail
    assert isinstance(guests.judge(guests.module(guests.ok, READ), host), Valid), "importing it is fine"


def test_observers_see_what_leaves_the_worker(
    guests: Any, host: PvfHost, answering: bytes, relay_node: Any
) -> None:
    for runtime in (PvfRuntime(answering, host), WasmRuntime(answering)):
        trace = Trace("validator")
        with observing(trace):
            context = ValidationContext(RelayOwnState(relay_node(), guests.relay_root))
            runtime.call("validate_block", b"", context)
        assert [call.function for call in trace.calls] == [read_relay_state.name]
    with observing(Trace("validator")):
        assert isinstance(guests.judge(guests.module("unreachable"), host), Invalid)


def test_errors_of_the_context_come_out_as_they_are(guests: Any, host: PvfHost, careless: bytes) -> None:
    class OutOfPaper(Exception):
        pass

    def broken(key: bytes) -> bytes:
        assert key == guests.relay_key
        raise OutOfPaper

    with pytest.raises(OutOfPaper):
        PvfRuntime(careless, host).call(
            "validate_block", b"", ValidationContext().override({read_relay_state: broken})
        )
    with pytest.raises(MissingHostFunction, match="without a relay state reader"):
        PvfRuntime(careless, host).call("validate_block", b"", ValidationContext())
    assert isinstance(guests.judge(careless, host), Valid), "the process lives on"


def test_an_interrupt_of_the_caller_costs_the_process_only(
    guests: Any, make_host: Callable[..., PvfHost], careless: bytes
) -> None:
    host = make_host()

    def interrupted(key: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PvfRuntime(careless, host).call(
            "validate_block", b"", ValidationContext().override({read_relay_state: interrupted})
        )
    assert host.pids == ()
    assert isinstance(guests.judge(careless, host), Valid)


@pytest.mark.parametrize("pause, valid", [(100.0, True), (200.0, False)])
def test_a_slow_disk_is_not_the_candidates_fault(
    guests: Any,
    make_host: Callable[..., PvfHost],
    careless: bytes,
    relay_node: Any,
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
    valid: bool,
) -> None:
    """Nothing is said about the candidate where answering takes more than the time that it has: 4 times 30 s."""
    slept = 0.0

    def sleep() -> None:
        nonlocal slept
        slept += pause

    host = make_host(ExecutorParams(backing_timeout=30))
    assert isinstance(guests.judge(careless, host), Valid), "prepared"
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + slept)
    monkeypatch.setattr("pov_validator.pvf.host.time", clock)
    verdict = guests.judge(careless, host, relay_state=OwnState(relay_node(on_read=sleep)))
    assert slept == pause
    if valid:
        assert isinstance(verdict, Valid), verdict
    else:
        assert isinstance(verdict, Abstain), verdict
        assert verdict.reason is AbstainReason.HOST_FAILURE
        assert "takes too long" in verdict.detail


def test_a_fault_of_a_host_function_is_ours(guests: Any, make_host: Callable[..., PvfHost]) -> None:
    """Whatever a guest does to provoke it: an error that no host function means to raise says nothing about it."""
    broken = "import host_functions.pure as p; import host_functions.interfaces.hashing as h;"
    broken += "h.keccak_256.bind_pure(lambda data: {}[0]);"
    host = make_host(program=PROGRAM.replace("main(int", f"{broken} main(int"))
    keccak = '(import "env" "ext_hashing_keccak_256_version_1" (func $keccak (param i64) (result i32)))'
    verdict = guests.judge(guests.module("(drop (call $keccak (i64.const 0))) (i64.const 0)", keccak), host)
    assert isinstance(verdict, Abstain), verdict
    assert verdict.reason is AbstainReason.HOST_FAILURE
    assert "KeyError in a host function" in verdict.detail


def test_what_the_context_overrides_is_asked(guests: Any, host: PvfHost) -> None:
    """A laboratory replaces host functions; the worker asks for those too."""
    blake2 = '(import "env" "ext_hashing_blake2_256_version_1" (func $blake2 (param i64) (result i32)))'
    code = guests.module(
        "(i64.or (i64.const 0x2000000000) (i64.extend_i32_u (call $blake2 (i64.const 0x100000000))))", blake2
    )
    asked: list[bytes] = []

    def weak(data: bytes) -> bytes:
        asked.append(data)
        return b"\x07" * 32

    context = ValidationContext().override({hashing.blake2_256: weak})
    assert PvfRuntime(code, host).call("validate_block", b"", context) == b"\x07" * 32
    assert asked == [b"\0"]


# -- workers that die in the middle ------------------------------------------------------------------------


def killing(host: PvfHost, times: int) -> Callable[[], None]:
    """Kills the worker at its first ``times`` reads: what an engine that crashes looks like from outside."""
    left = times

    def kill() -> None:
        nonlocal left
        if left:
            left -= 1
            for pid in host.pids:
                end(pid, signal.SIGKILL)

    return kill


def end(pid: int, by: signal.Signals) -> None:
    """Kill a worker, and wait until it is dead: it must not come to reading the answer."""
    os.kill(pid, by)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    "kind, deaths, valid", [("BACKING", 1, False), ("APPROVAL", 1, True), ("APPROVAL", 2, False)]
)
def test_a_death_is_retried_once_by_those_who_must_decide(
    guests: Any,
    make_host: Callable[..., PvfHost],
    careless: bytes,
    relay_node: Any,
    kind: str,
    deaths: int,
    valid: bool,
) -> None:
    host = make_host()
    node = relay_node(on_read=killing(host, deaths))
    verdict = guests.judge(careless, host, ExecKind[kind], relay_state=OwnState(node))
    if valid:
        assert isinstance(verdict, Valid), verdict
    else:
        assert isinstance(verdict, Invalid), verdict
        assert verdict.reason is InvalidReason.EXECUTION_ERROR
        assert "ambiguous worker death: the process died of signal 9" in verdict.detail


def test_a_retry_reads_from_the_beginning(
    guests: Any, make_host: Callable[..., PvfHost], relay_node: Any
) -> None:
    """Reads of the attempt that died do not count towards the proof size of the next."""
    relay = RelayOwnState(relay_node(), guests.relay_root)
    relay.read(guests.relay_key)
    check = f"(if (i64.ne (call $size) (i64.const {relay.proof_size()})) (then unreachable))"
    code = reading(guests, guests.relay_key, f"(drop READ) {check} {guests.ok}", PROOF_SIZE)
    host = make_host()
    node = relay_node(on_read=killing(host, 1))
    assert isinstance(guests.judge(code, host, ExecKind.APPROVAL, relay_state=OwnState(node)), Valid)


def test_a_dead_worker_is_named(guests: Any, make_host: Callable[..., PvfHost], careless: bytes) -> None:
    host = make_host()

    def kill(key: bytes) -> bytes:
        for pid in host.pids:
            end(pid, signal.SIGABRT)
        return b""

    with pytest.raises(PossiblyInvalid, match="died of signal 6"):
        PvfRuntime(careless, host).call(
            "validate_block", b"", ValidationContext().override({read_relay_state: kill})
        )
