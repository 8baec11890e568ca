"""The guests of the zoo, in both calling styles, in every context: one host, one answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from host_functions.contexts import (
    AuthoringContext,
    HostContext,
    ImportContext,
    OffchainContext,
    ValidationContext,
)
from host_functions.errors import MissingHostFunction, WitnessMissing
from host_functions.executor.wasm import CallingStyle, Trap, WasmRuntime
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import relay_chain_state, storage, storage_proof_size
from host_functions.relay_state import CarriedProof
from host_functions.state_machine import Externalities, FullBackend, Storage, build_state
from host_functions.state_machine.externalities import NO_RECORDER
from pileus.testing.guests import proof_size_reader, relay_reader, storage_echo

ROOT, NODES = build_state(Storage({b"key": b"value" * 20, b"other": b"x" * 40}))
RELAY = {bytes([n]): bytes([n]) * 10 * n for n in range(20)}
RELAY_ROOT, RELAY_NODES = build_state(Storage(RELAY))

Maker = Callable[[], HostContext]


def relay() -> CarriedProof:
    return CarriedProof(RELAY_ROOT, RELAY_NODES.values())


def authoring() -> HostContext:
    return AuthoringContext(Externalities.recording(NODES, ROOT, relay_reader=(reader := relay())), reader)


def importing() -> HostContext:
    return ImportContext(Externalities.recording(NODES, ROOT, relay_reader=(reader := relay())), reader)


def offchain() -> HostContext:
    return OffchainContext(FullBackend(NODES, ROOT), relay())


def validation() -> HostContext:
    return ValidationContext(relay())


NODE: list[Maker] = [authoring, importing, offchain]


@pytest.fixture(params=list(CallingStyle), ids=lambda style: style.value)
def style(request: pytest.FixtureRequest) -> CallingStyle:
    chosen: CallingStyle = request.param
    return chosen


@pytest.fixture(params=["fast", "raw", "stock"])
def linking(request: pytest.FixtureRequest) -> Linking:
    chosen: Linking = request.param
    return chosen


@pytest.mark.parametrize("make", NODE)
@pytest.mark.parametrize("value", [b"", b"x", b"long " * 10_000])
def test_storage_echo(style: CallingStyle, linking: Linking, make: Maker, value: bytes) -> None:
    context = make()
    assert WasmRuntime(storage_echo(style), linking=linking).call("run", value, context) == value
    if make is not offchain:  # a query leaves nothing behind
        assert context.resolve(storage.get)(b"echo") == value


def test_a_validator_offers_no_storage_in_either_style(style: CallingStyle, linking: Linking) -> None:
    with pytest.raises(MissingHostFunction, match="ext_storage_set_version_1"):
        WasmRuntime(storage_echo(style), linking=linking).call("run", b"value", validation())


@pytest.mark.parametrize("make", [*NODE, validation])
@pytest.mark.parametrize("key", [*RELAY, b"absent", b""], ids=lambda key: key.hex() or "empty")
def test_relay_reader(style: CallingStyle, make: Maker, key: bytes) -> None:
    """The collator's relay node and the validator's proof answer one and the same import."""
    answer = WasmRuntime(relay_reader(style)).call("run", key, make())
    value = RELAY.get(key)
    length = -1 if value is None else len(value)
    assert answer == length.to_bytes(8, "little", signed=True) + (value or b"")


def test_a_relay_read_that_the_proof_does_not_cover_is_not_absent(
    style: CallingStyle, linking: Linking
) -> None:
    context = ValidationContext(CarriedProof(RELAY_ROOT, [RELAY_NODES[RELAY_ROOT]]))
    with pytest.raises(WitnessMissing):
        WasmRuntime(relay_reader(style), linking=linking).call("run", b"\x01", context)


def test_the_host_overrides_what_either_style_imports(style: CallingStyle, linking: Linking) -> None:
    """One override of `storage.get` and of the relay read: whatever wire form the guest uses."""
    asked = []

    def answer(key: bytes) -> bytes:
        asked.append(key)
        return b"from elsewhere"

    relayed = validation().override({relay_chain_state.read_relay_state: answer})
    assert WasmRuntime(relay_reader(style), linking=linking).call("run", b"k", relayed) == (
        (14).to_bytes(8, "little") + b"from elsewhere"
    )
    reads = {storage.read: read, storage.get: answer}
    stored = authoring().override(reads)
    assert (
        WasmRuntime(storage_echo(style), linking=linking).call("run", b"value", stored) == b"from elsewhere"
    )


def read(key: bytes, value_out: bytearray, value_offset: int) -> int:
    value_out[:14] = b"from elsewhere"
    return 14


@pytest.mark.parametrize("make", [authoring, importing])
def test_proof_size_reader(style: CallingStyle, linking: Linking, make: Maker) -> None:
    runtime = WasmRuntime(proof_size_reader(style), linking=linking)
    context = make()
    answer = runtime.call("run", b"key", context)
    before, after = int.from_bytes(answer[:8], "little"), int.from_bytes(answer[8:], "little")
    assert 0 == before < after == context.resolve(storage_proof_size.storage_proof_size)()


def test_proof_size_where_nothing_is_recorded(style: CallingStyle) -> None:
    runtime = WasmRuntime(proof_size_reader(style))
    assert runtime.call("run", b"key", offchain()) == NO_RECORDER.to_bytes(8, "little") * 2
    assert runtime.call("run", b"", validation()) == bytes(16)


def test_an_argument_that_does_not_fit_is_the_guests_fault() -> None:
    """The zoo fetches it to the last page of memory."""
    runtime = WasmRuntime(storage_echo(CallingStyle.RFC145))
    with pytest.raises(Trap, match=r"ext_input_read_version_1: 65537 bytes at 0x30000 are outside"):
        runtime.call("run", bytes(65537), authoring())
