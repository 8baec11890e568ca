"""A frozen guest that goes wrong: every way has its own class of error, and the next call knows nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_functions.contexts import AuthoringContext, HostContext, ValidationContext
from host_functions.errors import GuestPanic, MissingHostFunction, StateUnavailable
from host_functions.executor import NativeRuntime
from host_functions.executor.frozen.freeze import FrozenBlob
from host_functions.executor.wasm import (
    CompileCache,
    DeadlineExceeded,
    Dynamic,
    OutOfFuel,
    OutOfMemory,
    StackExhausted,
    WasmRuntime,
)
from host_functions.executor.wasm.engine import EngineConfig
from host_functions.executor.wasm.runtime import Linking
from host_functions.interfaces import relay_chain_state, storage
from host_functions.relay_state import CarriedProof
from host_functions.state_machine import Externalities, Storage, build_state
from runtime.primitives.relay_keys import storage_prefix
from runtime.primitives.scale import byte_vec, u32, vec

RELAY = Storage({b"head": b"h" * 100, b"large relay value": bytes(range(256)) * 40})
RELAY_ROOT, RELAY_NODES = build_state(RELAY)
ROOT, NODES = build_state(Storage({b"kept": b"value" * 30}, {b"child": {b"aa": b"1", b"k9": b"2"}}))


def authoring() -> AuthoringContext:
    reader = CarriedProof(RELAY_ROOT, RELAY_NODES.values())
    return AuthoringContext(Externalities.recording(NODES, ROOT, relay_reader=reader), reader)


def test_an_exception_arrives_with_type_message_and_lines(trouble: WasmRuntime) -> None:
    with pytest.raises(GuestPanic) as caught:
        trouble.call("Trouble_fail", b"\xab\xcd", ValidationContext())
    lines = caught.value.message.splitlines()
    assert caught.value.entry_point == "Trouble_fail"
    assert lines[0] == "Odd: it went wrong with abcd"
    assert lines[1].strip().startswith("trouble.py:")
    assert lines[1].endswith("in fail")
    assert lines[2].strip() == "return innermost(argument)"
    assert lines[3].endswith("in innermost")
    assert lines[4].strip() == 'raise Odd(f"it went wrong with {argument.hex()}")'


def test_an_error_that_the_guest_means_keeps_its_name(trouble: WasmRuntime) -> None:
    with pytest.raises(GuestPanic, match="InvalidBlock: not this one"):
        trouble.call("Trouble_refuse", b"", ValidationContext())


@pytest.mark.parametrize(
    "entry_point, message",
    [
        ("Trouble_divide", "ZeroDivisionError"),
        ("Trouble_nothing", "TypeError: an entry point returns bytes, not NoneType"),
        ("Trouble_array", "TypeError: an entry point returns bytes, not bytearray"),
        ("Trouble_mute", r"Mute: \(its message could not be had: ZeroDivisionError\)\n.*in mute"),
        ("Trouble_masked", "Masked: behind a mask"),
        ("Trouble_print", r"RuntimeError: a frozen runtime cannot print: .*logging(?s:.*)print_something"),
        ("Trouble_open", "NameError: name 'open' is not defined"),
        ("Trouble_thin", "ValueError: a host function takes 64 bytes, not 5"),
        (
            "Trouble_other_root",
            "ValueError: the storage root in state version 0, but the runtime's version says 1",
        ),
        (
            "Trouble_unlinked",
            "MissingHostFunction: ext_storage_root_version_1 is not provided by the host interface",
        ),
    ],
)
def test_what_a_runtime_does_wrong_is_its_own_failure(
    trouble: WasmRuntime, entry_point: str, message: str
) -> None:
    with pytest.raises(GuestPanic, match=message):
        trouble.call(entry_point, b"", authoring())


@pytest.mark.parametrize("entry_point", ["Trouble_allocate", "Trouble_hoard"])
def test_out_of_memory(trouble_blob: FrozenBlob, compiled: CompileCache, entry_point: str) -> None:
    small = WasmRuntime(trouble_blob.code, cache=compiled, heap=Dynamic(400))
    with pytest.raises(OutOfMemory):
        small.call(entry_point, u32.encode(2**30), ValidationContext())
    assert small.call("Trouble_echo", b"still here", ValidationContext()) == b"still here"


@pytest.mark.parametrize("entry_point", ["Trouble_recurse", "Trouble_nest"])
def test_recursion(trouble: WasmRuntime, entry_point: str) -> None:
    with pytest.raises(StackExhausted):
        trouble.call(entry_point, b"", ValidationContext())
    assert trouble.call("Trouble_echo", b"still here", ValidationContext()) == b"still here"


def test_deadline(trouble_blob: FrozenBlob, compiled: CompileCache) -> None:
    hurried = WasmRuntime(trouble_blob.code, cache=compiled, timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        hurried.call("Trouble_spin", b"", ValidationContext())


def test_a_host_function_that_cannot_answer_is_the_hosts_failure(trouble: WasmRuntime) -> None:
    """Raised through CPython as it was raised, although the guest could catch nothing."""
    failure = StateUnavailable(bytes(32))

    def gone(key: bytes) -> bytes:
        raise failure

    with pytest.raises(StateUnavailable) as caught:
        trouble.call("Trouble_read", b"kept", authoring().override({storage.get: gone}))
    assert caught.value is failure
    with pytest.raises(MissingHostFunction, match=r"ext_storage_(read_version_2|get_version_1)"):
        trouble.call("Trouble_read", b"kept", ValidationContext())


def test_each_call_begins_where_the_runtime_was_frozen(trouble: WasmRuntime) -> None:
    assert [trouble.call("Trouble_remember", b"x", ValidationContext()) for _ in range(3)] == [b"\x04"] * 3


@pytest.mark.parametrize(
    "number, message",
    tuple(
        enumerate(
            [
                "TypeError: ext_storage_get_version_1: key is bytes, not str",
                "TypeError: ext_storage_get_version_1: key is bytes, not bytearray",
                "TypeError: ext_storage_set_version_1: value is bytes, not NoneType",
                "ValueError: ext_misc_print_num_version_1: val has 64 bits, and 18446744073709551616 does not fit",
                "TypeError: ext_misc_print_num_version_1: val is a number, not str",
                "ValueError: ext_logging_log_version_1: level has 32 bits, and -1 does not fit",
                "ValueError: ext_storage_clear_prefix_version_3: limit has 32 bits, and 4294967296 does not fit",
                "TypeError: ext_storage_clear_prefix_version_3: cursor is bytes, not str",
                "TypeError: ext_crypto_sr25519_verify_version_2: sig is bytes, not int",
                "ScaleError: Vec<",
                r"TypeError: get\(\) missing 1 required positional argument: 'key'",
            ]
        )
    ),
)
def test_a_wrong_argument_is_named(trouble: WasmRuntime, number: int, message: str) -> None:
    with pytest.raises(GuestPanic, match=message):
        trouble.call("Trouble_misuse", bytes([number]), authoring())


def test_arguments_by_name_and_of_derived_types(
    trouble: WasmRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "guests"))
    for runtime in (NativeRuntime("trouble"), trouble):
        context = authoring()
        assert runtime.call("Trouble_by_name", b"", context) == b"known"
        assert [line.level for line in context.lines] == [1]


def test_an_item_named_late_has_the_key_of_its_name(trouble: WasmRuntime) -> None:
    key = trouble.call("Trouble_late", b"", ValidationContext())
    assert key == storage_prefix("LateStorage", "Late")


def test_what_stops_nobody_natively_stops_no_frozen_guest(trouble: WasmRuntime) -> None:
    """The interpreter would tell standard error: a ``__del__`` that raises, a coroutine that nobody awaits."""
    assert trouble.call("Trouble_careless", b"", ValidationContext()) == b"went on"


def test_what_the_import_made_is_never_destroyed(trouble: WasmRuntime) -> None:
    """The price of immortal objects; what a call makes is destroyed as everywhere."""
    assert trouble.call("Trouble_forget", b"", ValidationContext()) == b"of the call"


@pytest.mark.parametrize("size", [0, 1, 1000, 4096, 4097, 70_000, 5_000_000])
def test_arguments_and_results_of_any_size(trouble: WasmRuntime, size: int) -> None:
    argument = bytes(range(251)) * (size // 251 + 1)
    assert trouble.call("Trouble_echo", argument[:size], ValidationContext()) == argument[:size]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_values_of_any_size_cross(trouble: WasmRuntime, size: int) -> None:
    """Around the size of the adapter's scratch buffer, which is 4096."""
    value = b"v" * size
    context = authoring().override({storage.get: lambda key: value})
    answer = trouble.call("Trouble_read", b"k", context)
    assert answer == b"\x01" + byte_vec.encode(value)


@pytest.mark.parametrize("linking", ["raw", "stock"])
@pytest.mark.parametrize("argument", [b"", b"argument", bytes(5_000)])
def test_every_host_function_answers_as_it_does_natively(
    trouble_blob: FrozenBlob,
    compiled: CompileCache,
    linking: Linking,
    argument: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "guests"))
    native = NativeRuntime("trouble")
    frozen = WasmRuntime(trouble_blob.code, cache=compiled, linking=linking)
    contexts = {runtime: authoring() for runtime in (native, frozen)}
    answers = {
        runtime: runtime.call("Trouble_ask_everything", argument, context)
        for runtime, context in contexts.items()
    }
    told = [vec(byte_vec).decode(answer) for answer in answers.values()]
    assert told[0] == told[1]
    mine, other = contexts[native], contexts[frozen]
    assert mine.lines == other.lines
    assert mine.offchain_changes == other.offchain_changes
    assert mine.state.drain(1) == other.state.drain(1)


def test_the_host_overrides_what_the_guest_imports(trouble: WasmRuntime) -> None:
    """The same import, answered by whoever is linked: no other blob for the validator."""

    def answer(key: bytes) -> bytes:
        return b"validator's own " + key

    context: HostContext = authoring().override({relay_chain_state.read_relay_state: answer})
    told = vec(byte_vec).decode(trouble.call("Trouble_ask_everything", b"x", context))
    assert repr(b"validator's own head").encode() in told


@pytest.fixture(scope="module")
def metered(trouble_blob: FrozenBlob, compiled: CompileCache) -> WasmRuntime:
    return WasmRuntime(trouble_blob.code, cache=compiled, engine=EngineConfig(metered=True))


def test_fuel_is_the_same_every_time(metered: WasmRuntime) -> None:
    argument = b"some argument"
    used = {metered.call_metered("Trouble_work", argument, ValidationContext()) for _ in range(3)}
    assert len(used) == 1
    _, fuel = used.pop()
    assert fuel > 100_000
    assert metered.call_metered("Trouble_work", argument, ValidationContext(), fuel)[1] == fuel
    # Fuel is looked at where functions and loops begin, so a little too little may do.
    with pytest.raises(OutOfFuel, match=f"stopped after {fuel // 2} units of fuel"):
        metered.call_metered("Trouble_work", argument, ValidationContext(), fuel // 2)


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from host_functions.contexts import ValidationContext
from host_functions.executor.wasm import CompileCache, WasmRuntime
from host_functions.executor.wasm.engine import EngineConfig
code = Path(sys.argv[1]).read_bytes()
runtime = WasmRuntime(code, cache=CompileCache.default(), engine=EngineConfig(metered=True))
print(runtime.call_metered("Trouble_work", b"some argument", ValidationContext())[1])
"""


@pytest.mark.slow
def test_fuel_is_the_same_in_every_process(
    metered: WasmRuntime, trouble_blob: FrozenBlob, tmp_path: Path
) -> None:
    _, fuel = metered.call_metered("Trouble_work", b"some argument", ValidationContext())
    (tmp_path / "trouble.wasm").write_bytes(trouble_blob.code)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "trouble.wasm")],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        assert int(done.stdout) == fuel


def test_an_endless_loop_runs_out_of_fuel(metered: WasmRuntime) -> None:
    with pytest.raises(OutOfFuel):
        metered.call_metered("Trouble_spin", b"", ValidationContext(), 5_000_000)


def test_without_a_meter_there_is_no_fuel(trouble: WasmRuntime) -> None:
    with pytest.raises(ValueError, match="metered=True"):
        trouble.call_metered("Trouble_echo", b"", ValidationContext())
