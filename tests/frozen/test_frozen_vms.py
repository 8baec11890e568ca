"""Two builds of the VM, each with its own seed for the hashes of strings: no runtime may tell them apart.

The other one has all of CPython as well: nothing is cut out of it, neither code nor tables
(`host_functions.executor.frozen.build.reach`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from unittest.mock import patch

import pytest

from host_functions.contexts import AuthoringContext, ValidationContext
from host_functions.executor.differential import DifferentialRuntime
from host_functions.executor.frozen import ensure
from host_functions.executor.frozen.build import build_vm
from host_functions.executor.frozen.freeze import freeze
from host_functions.executor.frozen.vm import MissingVm, find_vm
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.relay_state import CarriedProof
from host_functions.state_machine import Externalities, Storage, build_state
from pileus.network.parachain import RunningParachain
from pileus.network.run import Network
from pileus.network.topology import Collator, Parachain, RelayChainSection, RelayNode, Topology
from runtime.chains import demo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("componentize_py") is None,
        reason="no componentize-py (make test-frozen installs it)",
    ),
]
GUESTS = Path(__file__).parent / "guests"
RELAY_ROOT, RELAY_NODES = build_state(Storage({b"head": b"h" * 100}))


@pytest.fixture(scope="module")
def other_vm() -> bytes:
    with patch("host_functions.executor.frozen.build.vm.cut_unreachable", lambda joined: 0):
        return build_vm()


@pytest.fixture(scope="module")
def everything(python_vm: bytes, other_vm: bytes, compiled: CompileCache) -> tuple[WasmRuntime, WasmRuntime]:
    """A runtime that goes through what CPython's C code and tables say, in both."""
    assert len(other_vm) > len(python_vm) + 2_000_000
    one, other = (
        WasmRuntime(freeze("everything", paths=[GUESTS], vm=vm, cache=compiled).code, cache=compiled)
        for vm in (python_vm, other_vm)
    )
    return one, other


@pytest.mark.parametrize(
    "entry_point",
    "data decimals encodings forms methods names numbers patterns properties".split(),
)
def test_what_was_cut_out_is_not_missed(
    everything: tuple[WasmRuntime, WasmRuntime], entry_point: str
) -> None:
    """Every table of characters, every hash and compressor, floats, decimals, patterns."""
    one, other = (runtime.call(entry_point, b"", ValidationContext()) for runtime in everything)
    assert len(one) >= 16
    assert one == other


def test_a_chain_runs_alike_in_both(
    python_vm: bytes, other_vm: bytes, demo_wasm: WasmRuntime, compiled: CompileCache
) -> None:
    """Every host call, result and failure of a chain that sends, transfers and fails, call by call."""
    assert other_vm != python_vm
    other = WasmRuntime(freeze("runtime.chains.demo", vm=other_vm, cache=compiled).code, cache=compiled)
    assert other.code_hash != demo_wasm.code_hash
    both = DifferentialRuntime(demo_wasm, other, names=("one VM", "the other"))
    topology = Topology(
        relaychain=RelayChainSection(nodes=(RelayNode("alice"), RelayNode("bob"))),
        parachains=tuple(
            Parachain(id=para, collators=(Collator(f"c{para}"),), execution="both") for para in (2000, 2001)
        ),
    )
    with patch("pileus.network.boot.engine_of", lambda *_: both):
        network = Network(topology, seed=0, relay_state="carried")
    for block in range(6):
        for para, to in zip(network.parachains, (2001, 2000), strict=True):
            assert isinstance(para, RunningParachain)
            para.submit_message(to, bytes([block]) * 40)
            transfer = demo.balances.transfer_allow_death
            para.submit(demo.balances.call_of(transfer, bytes([block]) * 32, block * demo.UNIT).encode())
            para.submit(demo.balances.call_of(transfer, bytes(32), 2**127).encode())
            para.mempool.append(b"junk")
        report = network.step()
        assert both.divergence is None
        assert all(candidate.backed for candidate in report.candidates)


def test_a_corpus_of_calls_gives_the_same_bytes(
    trouble: WasmRuntime, other_vm: bytes, compiled: CompileCache
) -> None:
    blob = freeze("trouble", paths=[GUESTS], vm=other_vm, cache=compiled)
    other = WasmRuntime(blob.code, cache=compiled)
    for argument in (b"", b"argument", bytes(range(256)) * 20):
        for entry_point in ("Trouble_work", "Trouble_echo", "Trouble_ask_everything", "Trouble_numbers"):
            answers = set()
            for runtime in (trouble, other):
                root, nodes = build_state(Storage({b"kept": b"v"}))
                reader = CarriedProof(RELAY_ROOT, RELAY_NODES.values())
                state = Externalities.recording(nodes, root, relay_reader=reader)
                answers.add(runtime.call(entry_point, argument, AuthoringContext(state, reader)))
            assert len(answers) == 1, entry_point
    orders = {runtime.call("Trouble_orders", b"", ValidationContext()) for runtime in (trouble, other)}
    assert all(
        sorted(order.split(b",")) == sorted(b"one,two,three,four,five,six".split(b",")) for order in orders
    )


def test_a_damaged_vm_is_built_again_and_that_is_said_once(
    other_vm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_CACHE", str(tmp_path))
    monkeypatch.setattr("host_functions.executor.frozen.vm.PACKAGED_VM", tmp_path / "none")
    monkeypatch.setattr("host_functions.executor.frozen.vm.LEVEL", 1)
    monkeypatch.setattr("host_functions.executor.frozen.build.vm.build_vm", lambda: other_vm)
    with pytest.raises(MissingVm):
        find_vm()
    (tmp_path / ensure.cached_vm_path().name).write_bytes(b"damaged")
    said: list[str] = []
    assert ensure.ensure_vm(said.append) == other_vm
    assert [("damaged" in line, "building" in line) for line in said] == [(True, False), (False, True)]
    said.clear()
    assert ensure.ensure_vm(said.append) == other_vm
    assert said == []
