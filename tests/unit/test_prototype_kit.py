"""The kit for host functions of one's own: it finds what it promises to find."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from host_functions.abi import (
    U32,
    U64,
    Bool,
    Bytes,
    Bytes32,
    KeyValues,
    MultiRemovalResults,
    OptionBytes,
    Removal,
)
from host_functions.conformance import NonConformance, run_conformance_test
from host_functions.contexts import (
    AuthoringContext,
    BlockContext,
    HostContext,
    ImportContext,
    ValidationContext,
)
from host_functions.declare import HostFunction, functions_of, host_function
from host_functions.errors import ContextDivergence, HostError, MissingHostFunction, StateUnavailable
from host_functions.interfaces import (
    additional_data,
    guest_allocates,
    hashing,
    relay_chain_state,
    storage,
    storage_proof_size,
)
from host_functions.relay_state import RelayOwnState
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from pileus.testing import (
    RuntimeCall,
    WasmCaller,
    assert_contexts_agree,
    assert_function_conforms,
    relay_contexts,
    strategies,
)
from pileus.testing.relay_contexts import RELAY_CONTEXTS, OneState
from runtime.primitives import relay_keys
from runtime.primitives.header import Header

FEW = settings(
    max_examples=25, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
_names = itertools.count()
Ask = HostFunction[[int], bytes | None]


def declared() -> Ask:
    @host_function(f"kit_{next(_names)}")
    def ask(para_id: U32) -> OptionBytes:
        """Of one test."""

    return ask


class TestAnswers:
    def test_a_context_and_those_derived_from_it_answer(self) -> None:
        function = declared()
        made_before = ValidationContext()

        @BlockContext.answers(function)
        def in_a_block(context: BlockContext, para_id: int) -> bytes | None:
            return str(context).encode()

        @ValidationContext.answers(function)
        def in_validation(context: ValidationContext, para_id: int) -> bytes | None:
            return b"validation"

        for cls in (AuthoringContext, ImportContext):
            with cls(Externalities.recording({}, bytes(32))).externalities():
                assert function(1) == cls.__name__.encode()
        with made_before.externalities():
            assert function(1) == b"validation"
        assert function.name in AuthoringContext.provides()

    def test_the_nearest_class_wins(self) -> None:
        function = declared()

        class Base(HostContext):
            pass

        class Derived(Base):
            @function.implement
            def any_name(self, para_id: int) -> bytes | None:
                return b"derived"

        Base.answers(function)(lambda self, para_id: b"base")
        for context, expected in ((Base(), b"base"), (Derived(), b"derived")):
            with context.externalities():
                assert function(1) == expected

    def test_mistakes_are_told(self) -> None:
        function = declared()

        class Base(HostContext):
            pass

        with pytest.raises(TypeError, match=r"Base\.wrong\(para\) implements ext_kit_.*\(para_id\)"):

            @Base.answers(function)
            def wrong(self: Base, para: int) -> bytes | None:
                return None

        Base.answers(function)(lambda self, para_id: None)
        with pytest.raises(TypeError, match=r"Base answers ext_kit_.* already: use override\(\)"):
            Base.answers(function)(lambda self, para_id: None)
        with pytest.raises(TypeError, match="already"):
            ValidationContext.answers(relay_chain_state.read_relay_state)(lambda self, key: None)


def answering(function: Ask, answer: Callable[[int], bytes | None]) -> Callable[[], HostContext]:
    return lambda: HostContext().override({function: answer})


class TestAgreement:
    def test_agreeing_contexts_give_the_outcome(self) -> None:
        function = declared()
        contexts = {label: answering(function, lambda n: bytes([n])) for label in "abc"}
        run = assert_contexts_agree(lambda: function(3), contexts)
        assert (run.label, run.value, run.error, run.outcome) == ("a", b"\x03", None, "returns 0x03")
        assert len(run.trace) == 1

    def test_the_first_differing_call_is_named(self) -> None:
        function = declared()
        contexts = {
            "honest": answering(function, lambda n: b"v"),
            "lying": answering(function, lambda n: None if n == 2 else b"v"),
        }
        with pytest.raises(ContextDivergence) as caught:
            assert_contexts_agree(lambda: [function(n) for n in range(5)], contexts)
        error = caught.value
        assert (error.first, error.second) == ("honest", "lying")
        assert f"after 2 common ones: {function.name}(2) gives 0x76 in honest, None in lying" in error.report

    def test_an_unanswered_call_is_a_difference(self) -> None:
        function = declared()

        def pruned(n: int) -> bytes | None:
            raise StateUnavailable(bytes(32))

        contexts = {"has it": answering(function, lambda n: b"v"), "pruned": answering(function, pruned)}
        with pytest.raises(ContextDivergence, match="gives 0x76 in has it, StateUnavailable"):
            assert_contexts_agree(lambda: function(1), contexts)
        run = assert_contexts_agree(
            lambda: function(1), {"one": contexts["pruned"], "two": contexts["pruned"]}
        )
        assert isinstance(run.error, StateUnavailable)
        missing = {"one": HostContext, "two": contexts["has it"]}
        with pytest.raises(ContextDivergence, match="MissingHostFunction"):
            assert_contexts_agree(lambda: function(1), missing)

    def test_a_guest_that_depends_on_something_else_is_told_so(self) -> None:
        function, count = declared(), itertools.count()
        contexts = {label: answering(function, lambda n: b"") for label in "ab"}
        with pytest.raises(ContextDivergence, match=r"no host call differs .* depends on something else"):
            assert_contexts_agree(lambda: (function(1), next(count)), contexts)

    def test_one_context_agrees_with_nobody(self) -> None:
        with pytest.raises(ValueError, match="two contexts at least"):
            assert_contexts_agree(lambda: None, {"one": HostContext})

    def test_a_runtime_is_a_guest(self) -> None:
        runtime = WasmCaller(relay_chain_state.read_relay_state).runtime
        caller = WasmCaller(relay_chain_state.read_relay_state)
        call = RuntimeCall(runtime, "call", caller.argument((b"key",)))
        run = assert_contexts_agree(call, relay_contexts({b"key": b"value"}))
        assert caller.result(run.value, (b"key",)) == b"value"
        assert [row.engine for row in run.trace.calls] == ["wasm"]


class TestWasmCaller:
    """Through Wasm comes what comes natively, in every wire form."""

    @given(entries=strategies.relay_states(), para=strategies.para_ids())
    @settings(max_examples=15)
    def test_into(self, entries: dict[bytes, bytes], para: int) -> None:
        key = relay_keys.para_head(para)
        for guest in (
            lambda: relay_chain_state.read_relay_state(key),
            READER(key),
        ):
            assert assert_contexts_agree(guest, relay_contexts(entries)).value == entries.get(key)

    @pytest.mark.parametrize(
        "function, arguments",
        [
            (storage.get, (b"key",)),
            (storage.get, (b"absent",)),
            (storage.exists, (b"key",)),
            (storage.exists, (b"absent",)),
            (storage.read, (b"key", bytearray(3), 1)),
            (storage.read, (b"absent", bytearray(3), 0)),
            (storage.set, (b"key", b"other")),
            (storage.next_key, (b"",)),
            (storage.root, (1,)),
            (hashing.blake2_256, (b"data",)),
            (hashing.twox_64, (b"",)),
            (storage_proof_size.storage_proof_size, ()),
            (additional_data.finalize, ()),
        ],
        ids=lambda value: getattr(value, "method", None),
    )
    def test_every_form(self, function: HostFunction[..., Any], arguments: tuple[Any, ...]) -> None:
        root, nodes = build_state(Storage({b"key": b"value", b"k": b"v" * 40}))

        def context() -> HostContext:
            relay = RelayOwnState(OneState({b"r": b""}), OneState({b"r": b""}).root)
            made = AuthoringContext(Externalities.recording(nodes, root), relay, commit_relay_reads=True)
            relay.read(b"r")
            return made

        def copies() -> tuple[Any, ...]:
            return tuple(bytearray(value) if isinstance(value, bytearray) else value for value in arguments)

        native, wasm = copies(), copies()
        with context().externalities():
            expected = function(*native)
        found = WasmCaller(function)(*wasm).run_in(context())
        assert (found, type(found), wasm) == (expected, type(expected), native)

    def test_scale_arguments(self) -> None:
        @host_function(f"kit_{next(_names)}")
        def ask(pairs: KeyValues, key: Bytes, hash_: Bytes32, flag: Bool, number: U64) -> Bytes:
            """Of this test."""
            raise NotImplementedError

        def answer(*arguments: Any) -> bytes:
            return repr(arguments).encode()

        context = HostContext().override({ask: answer})
        given_ = (((b"a", b"b"),), b"key", bytes(32), True, 2**64 - 1)
        assert (
            WasmCaller(ask)(*given_).run_in(context)
            == repr((((b"a", b"b"),), b"key", bytes(32), 1, 2**64 - 1)).encode()
        )

    def test_an_unprovided_function_is_a_host_error_there_too(self) -> None:
        with pytest.raises(MissingHostFunction):
            WasmCaller(declared())(1).run_in(ValidationContext())

    def test_the_other_calling_style_is_refused(self) -> None:
        for function in functions_of(guest_allocates):
            if function.result is not type(None) and function.parameters:
                try:
                    WasmCaller(function)
                except TypeError as error:
                    assert "guests allocate" in str(error)
                    return
        pytest.fail("no function of that style was refused")

    def test_a_result_that_no_guest_decodes_is_refused(self) -> None:
        @host_function(f"kit_{next(_names)}")
        def ask() -> Removal:
            """Of this test."""
            raise NotImplementedError

        context = HostContext().override({ask: lambda: MultiRemovalResults(all_removed=True, loops=1)})
        with pytest.raises(Exception, match="a type that is an argument of no host function"):
            WasmCaller(ask)().run_in(context)


READER = WasmCaller(relay_chain_state.read_relay_state)
"""Holds no module itself; the guest is compiled at the first call."""


class TestConformance:
    """Each rule has a function that breaks it, and is found."""

    def make(self, function: Ask, answer: Callable[[Any, int], bytes | None]) -> Any:
        def context(node: Any, root: bytes) -> HostContext:
            base = ValidationContext(RelayOwnState(node, root))
            return base.override({function: lambda para_id: answer(base, para_id)})

        return context

    def run(self, function: Ask, answer: Callable[[Any, int], bytes | None]) -> None:
        run_conformance_test(
            make_relay_context=self.make(function, answer),
            functions=[function],
            relay_entries=strategies.relay_states(paras=(2000,)),
            settings=FEW,
        )

    def test_an_honest_function_passes(self) -> None:
        function = declared()
        self.run(function, lambda context, para: context.relay.read(relay_keys.para_head(2000)))

    def test_one_that_counts_is_found(self) -> None:
        function, count = declared(), itertools.count()
        with pytest.raises(NonConformance, match=r"ext_kit_.* gives .* asked again|in a second context"):
            self.run(function, lambda context, para: bytes([next(count) % 256]))

    def test_one_that_guesses_is_found(self) -> None:
        def guessing(context: Any, para: int) -> bytes | None:
            try:
                found: bytes | None = context.relay.read(relay_keys.para_head(2000))
            except HostError:
                return None
            return found

        with pytest.raises(NonConformance, match=r"with a relay trie node missing, ext_kit_.* gives None"):
            self.run(declared(), guessing)

    def test_one_that_crashes_is_found(self) -> None:
        with pytest.raises(NonConformance, match=r"raises ZeroDivisionError"):
            self.run(declared(), lambda context, para: bytes(1 // 0))

    def test_one_that_is_not_there_is_found(self) -> None:
        with pytest.raises(NonConformance, match="is not provided by AuthoringContext"):
            assert_function_conforms(declared(), settings=FEW)

    def test_a_function_of_the_own_state(self) -> None:
        function = declared()

        def make(state: Storage) -> HostContext:
            root, nodes = build_state(state)
            base = AuthoringContext(Externalities.recording(nodes, root))
            return base.override({function: lambda para_id: base.state.get(b"a")})

        run_conformance_test(make, interfaces=(), functions=[function], settings=FEW)
        with pytest.raises(NonConformance, match="is not provided"):
            run_conformance_test(
                lambda state: ValidationContext(), interfaces=(), functions=[function], settings=FEW
            )

    def test_nothing_to_test_is_a_mistake(self) -> None:
        with pytest.raises(TypeError, match="needs make_context or make_relay_context"):
            run_conformance_test()


class TestStrategies:
    @given(st.data())
    def test_what_they_draw_is_what_they_say(self, data: st.DataObject) -> None:
        header = data.draw(strategies.headers())
        assert Header.decode(header.encode()) == header
        entries = data.draw(strategies.relay_states(paras=(7,)))
        assert relay_keys.CURRENT_SLOT in entries
        (para_id,) = data.draw(strategies.host_call_arguments(ARGUMENTS))
        assert 0 <= para_id < 2**32
        build_state(data.draw(strategies.storages()))

    def test_mistakes_are_told_early(self) -> None:
        with pytest.raises(ValueError, match="paras must not be empty"):
            strategies.relay_states(paras=())
        with pytest.raises(ValueError, match="must not be negative, got -1"):
            strategies.headers(max_digest_items=-1)

        @host_function(f"kit_{next(_names)}")
        def ask(removal: Removal) -> None:
            """Of this test."""

        with pytest.raises(TypeError, match="no strategy for removal, which travels as KillStorageResult"):
            strategies.host_call_arguments(ask)


ARGUMENTS = declared()


def test_every_standard_context_is_there() -> None:
    assert list(RELAY_CONTEXTS) == ["author", "import", "validate-own", "validate-carried"]


PLUGIN_TESTS = """
from host_functions.interfaces import storage

def test_network(pileus_network):
    network = pileus_network()
    assert network.seed == 5
    assert network.relay_state == "carried"
    assert all(candidate.all_valid for report in network.run(3) for candidate in report.candidates)

def test_fails(host_trace, pileus_network):
    for report in pileus_network().run(2):
        pass
    assert len(host_trace) == 0
"""


def test_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PLUGIN_TESTS, encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "pileus.pytest_plugin",
            "-p",
            "no:cacheprovider",
        ]
        return subprocess.run(
            [*command, *arguments, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )

    result = run("--pileus-seed=5", "--pileus-relay-state=carried", "--pileus-trace=3")
    assert "1 failed, 1 passed" in result.stdout, result.stdout + result.stderr
    assert "- last host calls, of " in result.stdout
    shown = result.stdout.split("- last host calls, of ")[1]
    assert shown.count("ext_storage") == 3
    refused = run("--pileus-relay-state=nowhere", "-k", "network")
    assert "relay state 'nowhere': there is own, carried" in refused.stdout


def test_the_plugin_is_found_by_its_entry_point(repository: Path) -> None:
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"pileus": "pileus.pytest_plugin"}


def test_the_plugin_costs_a_test_run_nothing_before_it_is_used() -> None:
    """Whoever has Pileus installed loads it in every run of pytest."""
    code = (
        "import sys, pileus.pytest_plugin; "
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in "
        "('pileus', 'host_functions', 'runtime', 'pov_validator', 'wasmtime')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["pileus", "pileus.pytest_plugin"]
