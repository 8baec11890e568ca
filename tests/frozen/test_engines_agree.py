"""Native and frozen, side by side: histories of blocks, lies, and how a difference is reported."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from host_functions.contexts import AuthoringContext, HostContext, ImportContext, ValidationContext
from host_functions.errors import ContextDivergence, GuestPanic, PileusError, StateUnavailable
from host_functions.executor import NativeRuntime
from host_functions.executor.differential import DifferentialRuntime
from host_functions.executor.wasm import WasmRuntime
from host_functions.interfaces import hashing, storage
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine import Externalities, Storage, build_state
from pileus.keyring import Keypair
from pileus.network.parachain import RunningParachain
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from pov_validator.validate import validation_params
from runtime.chains import demo
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.extrinsic import Extrinsic
from runtime.primitives.scale import u32

TOPOLOGY = Topology(
    relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
    parachains=tuple(
        Parachain(id=para, collators=(Collator(f"collator-{para}"),), execution="both")
        for para in (2000, 2001)
    ),
)
OTHERS = [Keypair.from_uri(f"//Account{index}").public_key for index in range(3)]
ROOT, NODES = build_state(Storage({b"key": b"value"}))


@pytest.fixture(scope="session")
def both(demo_wasm: WasmRuntime) -> DifferentialRuntime:
    return DifferentialRuntime(NativeRuntime("runtime.chains.demo"), demo_wasm)


amounts = st.one_of(
    st.integers(0, 3 * demo.EXISTENTIAL_DEPOSIT), st.integers(0, 2**64), st.just(2**128 - 1), st.just(10**18)
)
balances, messaging, system = demo.balances, demo.state_messaging, demo.system
calls = st.one_of(
    st.builds(
        lambda dest, amount: balances.call_of(balances.transfer_allow_death, OTHERS[dest], amount),
        st.integers(0, 2),
        amounts,
    ),
    st.builds(
        lambda dest, lane, recipient, timeout, payload: messaging.call_of(
            messaging.send, dest, lane, recipient, timeout, payload
        ),
        st.sampled_from((2000, 2001, 7)),
        st.sampled_from((0, 0, 7)),
        st.just(b"mailbox") | st.binary(max_size=33),
        st.none() | st.integers(0, 2**64 - 1),
        st.binary(max_size=40) | st.just(b"x" * 5_000),
    ),
    st.builds(lambda text: system.call_of(system.remark_with_event, text), st.binary(max_size=300)),
)
raw = st.one_of(
    st.binary(max_size=60),
    st.just(Extrinsic.bare(demo.timestamp.call_of(demo.timestamp.set, 5).encode()).encode()),
    st.just(Extrinsic.bare(system.call_of(system.remark, b"unsigned").encode()).encode()),
)
actions = st.tuples(st.sampled_from((0, 1)), calls | raw)
histories = st.lists(st.lists(actions, max_size=4), min_size=3, max_size=5)


@pytest.mark.slow
@pytest.mark.parametrize("relay_state", ["own", "carried"])
def test_generated_blocks_and_lying_proofs(both: DifferentialRuntime, relay_state: str) -> None:
    """Authored, validated, imported by both engines; every host call, result and failure is the same.

    A `ContextDivergence` in any of them ends the run; no other failure does.
    """

    @settings(
        max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )  # each example takes seconds
    @given(histories, st.data())
    def agree(history: list[list[tuple[int, object]]], data: st.DataObject) -> None:
        both.divergence = None
        with patch("pileus.network.boot.engine_of", lambda *_: both):
            network = Network(TOPOLOGY, seed=0, relay_state="own" if relay_state == "own" else "carried")
        for block in history:
            for index, action in block:
                para = network.parachains[index]
                assert isinstance(para, RunningParachain)
                if isinstance(action, bytes):
                    para.mempool.append(action)
                else:
                    para.submit(action.encode())  # type: ignore[attr-defined]
            report = network.step()
            assert both.divergence is None
            for candidate in report.candidates:
                collation = candidate.collation
                root = collation.pvd.relay_parent_storage_root
                payload = collation.block_data.encode()
                for _ in range(3):
                    lie = bytearray(payload)
                    lie[data.draw(st.integers(0, len(lie) - 1))] ^= 1 << data.draw(st.integers(0, 7))
                    cut = data.draw(st.sampled_from((len(lie), len(lie) - 1, len(lie) // 2)))
                    params = validation_params(collation.pvd, bytes(lie[:cut])).encode()
                    context = ValidationContext(EmbeddedRelayNode(network.chain.database, root))
                    try:
                        both.call("validate_block", params, context)
                    except ContextDivergence:
                        raise
                    except PileusError:
                        pass

    agree()


def test_a_network_in_both_engines(both: DifferentialRuntime) -> None:
    with patch("pileus.network.boot.engine_of", lambda *_: both):
        network = Network(TOPOLOGY, seed=3, relay_state="carried")
    first = network.parachains[0]
    assert isinstance(first, RunningParachain)
    first.submit_message(2001, b"hello")
    candidates = [candidate for report in network.run(4) for candidate in report.candidates]
    assert len(candidates) == 4
    assert all(candidate.backed for candidate in candidates)
    assert both.divergence is None
    assert first.node.storage(b":code", first.node.genesis_hash) == both.code == both.second.code


class Scripted:
    """A runtime that does as it is told."""

    code = code_hash = b"scripted"

    def __init__(self, script: Callable[[], bytes]) -> None:
        self._script = script

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        with context.externalities():
            return self._script()


def differing(first: Callable[[], bytes], second: Callable[[], bytes], context: HostContext) -> str:
    runtime = DifferentialRuntime(Scripted(first), Scripted(second))
    with pytest.raises(ContextDivergence) as caught:
        runtime.call("Entry_point", b"", context)
    assert runtime.divergence is caught.value
    return caught.value.report


def authoring() -> AuthoringContext:
    return AuthoringContext(Externalities.recording(NODES, ROOT))


def after(*steps: Callable[[], object], result: bytes = b"") -> Callable[[], bytes]:
    def script() -> bytes:
        for step in steps:
            step()
        return result

    return script


def get(key: bytes) -> Callable[[], object]:
    return lambda: storage.get(key)


def test_the_first_call_that_differs_is_named() -> None:
    report = differing(after(get(b"a"), get(b"b")), after(get(b"a"), get(b"c")), authoring())
    get_b, get_c = (f"ext_storage_get_version_1(0x{byte:x})" for byte in b"bc")
    assert report == f"Entry_point: host call 2: native calls {get_b}, wasm calls {get_c}"
    report = differing(after(get(b"a")), after(get(b"a"), get(b"c")), authoring())
    assert (
        report
        == "Entry_point: host call 2: native makes no further call, wasm calls ext_storage_get_version_1(0x63)"
    )
    report = differing(after(get(b"a"), get(b"b")), after(get(b"a"), result=b"xx"), authoring())
    assert (
        report
        == "Entry_point: host call 2: native calls ext_storage_get_version_1(0x62), wasm returns 2 bytes"
    )


def test_a_guest_may_ask_again_for_what_did_not_fit() -> None:
    """With a larger buffer, as adapters do; but not later, and not for another key."""
    runtime = DifferentialRuntime(
        Scripted(after(get(b"a"), get(b"b"))), Scripted(after(get(b"a"), get(b"a"), get(b"b"), get(b"b")))
    )
    assert runtime.call("Entry_point", b"", authoring()) == b""
    report = differing(after(get(b"a"), get(b"b")), after(get(b"a"), get(b"b"), get(b"a")), authoring())
    assert (
        report
        == "Entry_point: host call 3: native makes no further call, wasm calls ext_storage_get_version_1(0x61)"
    )


def test_results_are_compared_from_the_first_byte_that_differs() -> None:
    report = differing(after(result=b"abcdef"), after(result=b"abXd"), authoring())
    assert report == (
        "Entry_point: the results differ from byte 2 on: native gives 6 bytes, 0x63646566, wasm 4, 0x5864"
    )


def failing(error: Exception) -> Callable[[], bytes]:
    def script() -> bytes:
        raise error

    return script


@pytest.mark.parametrize(
    "first, second",
    [
        (failing(InvalidBlock("one")), after()),
        (after(), failing(GuestPanic("Entry_point", "InvalidBlock: one"))),
        (failing(InvalidBlock("one")), failing(GuestPanic("Entry_point", "InvalidBlock: other"))),
        (failing(InvalidBlock("one")), failing(GuestPanic("Entry_point", "ScaleError: one"))),
        (failing(InvalidBlock("one")), failing(ValueError("one"))),
    ],
)
def test_failures_must_be_alike(first: Callable[[], bytes], second: Callable[[], bytes]) -> None:
    assert "fails with" in differing(first, second, authoring())


def test_failing_alike_is_the_first_ones_failure() -> None:
    error = InvalidBlock("not this one")
    panic = GuestPanic("Entry_point", "InvalidBlock: not this one\n  runtime/x.py:3 in f\n    raise")
    runtime = DifferentialRuntime(Scripted(failing(error)), Scripted(failing(panic)))
    with pytest.raises(InvalidBlock) as caught:
        runtime.call("Entry_point", b"", authoring())
    assert caught.value is error


def test_what_the_host_raises_both_engines_see() -> None:
    gone = StateUnavailable(bytes(32))

    def unavailable(key: bytes) -> bytes:
        raise gone

    runtime = DifferentialRuntime(Scripted(after(get(b"k"))), Scripted(after(get(b"k"))))
    with pytest.raises(StateUnavailable) as caught:
        runtime.call("Entry_point", b"", authoring().override({storage.get: unavailable}))
    assert caught.value is gone


def test_the_host_sees_one_execution() -> None:
    """Written once, recorded once; and pure functions are nobody's business."""

    def script() -> bytes:
        storage.append(b"log", u32.encode(1))
        hashing.twox_128(b"x")
        return storage.get(b"log") or b""

    context = authoring()
    runtime = DifferentialRuntime(Scripted(script), Scripted(script))
    assert runtime.call("Entry_point", b"", context) == b"\x04" + u32.encode(1)
    assert context.state.get(b"log") == b"\x04" + u32.encode(1)
    assert runtime.divergence is None


@pytest.mark.parametrize("make", [authoring, lambda: ImportContext(Externalities.recording(NODES, ROOT))])
def test_the_demo_fails_alike(both: DifferentialRuntime, make: Callable[[], HostContext]) -> None:
    both.divergence = None
    for entry_point, argument in (
        ("Core_execute_block", b""),
        ("Core_execute_block", bytes(200)),
        ("BlockBuilder_finalize_block", b""),
        ("AuraApi_slot_duration", b"more than nothing"),
        ("validate_block", b"\xff" * 40),
        ("No_such_function", b""),
    ):
        with pytest.raises(PileusError) as caught:
            both.call(entry_point, argument, make())
        assert not isinstance(caught.value, ContextDivergence), (entry_point, caught.value)
