"""Observers of host calls: what they see, in every engine, and that they can change nothing."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from host_functions.abi import U32, OptionBytes
from host_functions.contexts import AuthoringContext, HostContext, ValidationContext
from host_functions.declare import HostFunction, current_watcher, host_function
from host_functions.errors import MissingHostFunction, StateUnavailable
from host_functions.executor.wasm import WasmRuntime
from host_functions.interfaces import hashing, relay_chain_state, storage, storage_proof_size
from host_functions.interfaces import logging as logging_interface
from host_functions.relay_state import EmbeddedRelayNode
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from host_functions.tracing import HostCall, Match, Trace, align, observed, observing
from host_functions.tracing.call import SHOWN_BYTES, canonical
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import u64

_names = itertools.count()


def declared() -> HostFunction[[int], bytes | None]:
    @host_function(f"traced_{next(_names)}")
    def ask(n: U32) -> OptionBytes:
        """A host function of one test."""

    return ask


def answering(
    function: HostFunction[[int], bytes | None], answer: Callable[[int], bytes | None]
) -> HostContext:
    class Answering(HostContext):
        @function.implement
        def any_name(self, n: int) -> bytes | None:
            return answer(n)

    return Answering()


def traced(label: str, context: HostContext, guest: Callable[[], Any]) -> Trace:
    trace = Trace(label)
    with observing(trace), observed(context).externalities():
        guest()
    return trace


class TestCost:
    """Off means off: nothing of an observation is in the way of a call."""

    def test_contexts_and_replacements_are_as_they_were(self) -> None:
        function, context = declared(), HostContext()
        assert current_watcher.get() is None
        assert observed(context, "native", "x") is context

        def replacement(n: int) -> bytes | None:
            return None

        with function.replace_implementation(replacement):
            assert function.current_replacement() is replacement
        assert function.current_replacement() is None

    def test_an_observation_ends_with_its_block(self) -> None:
        context = answering(function := declared(), lambda n: b"")
        trace = Trace("one")
        with pytest.raises(RuntimeError), observing(trace), observed(context).externalities():
            function(1)
            raise RuntimeError
        assert current_watcher.get() is None
        with observed(context).externalities():
            function(2)
        assert len(trace) == 1


class TestRows:
    def test_a_row_says_who_what_and_which_nodes(self) -> None:
        root, nodes = build_state(Storage({b"key": b"value" * 20, b"other": b"1"}))
        state = Externalities.recording(nodes, root)

        class Node:
            def state_at(self, root: bytes) -> dict[bytes, bytes]:
                return nodes

        context = AuthoringContext(state, EmbeddedRelayNode(Node(), root))
        trace = Trace("author")
        with observing(trace), observed(context, "native", "Core_test").externalities():
            storage.get(b"key")
            storage.get(b"key")
            storage.get(key=b"absent")
            relay_chain_state.read_relay_state(b"key")
        first, again, absent, relay = trace.calls
        assert (first.context, first.engine, first.entry_point) == ("AuthoringContext", "native", "Core_test")
        assert first.function == "ext_storage_get_version_1"
        assert first.arguments == ("0x6b6579",)
        assert first.answered_by == "host"
        assert first.value_hash == blake2_256(b"value" * 20)
        assert first.result == f"0x{(b'value' * 20)[:SHOWN_BYTES].hex()}… (100 bytes)"
        assert set(first.nodes) == set(state.recorder or ())
        assert first.node_count == len(first.nodes) == 3
        assert (again.nodes, again.answer) == ((), first.answer)
        assert (absent.result, absent.value_hash, absent.arguments) == ("None", None, ("0x616273656e74",))
        assert set(relay.nodes) == set(first.nodes)
        assert [call.position for call in trace.calls] == [0, 1, 2, 3]

    def test_replacements_of_the_guest_are_seen_and_what_they_ask_is_deeper(self) -> None:
        context = answering(function := declared(), lambda n: b"host")

        def guest() -> None:
            with function.replace_implementation(lambda n: function.original_implementation(n + 1)):
                function(1)
            function(3)

        calls = traced("t", context, guest).calls
        assert [(call.answered_by, call.depth, call.arguments) for call in calls] == [
            ("guest", 0, ("1",)),
            ("host", 1, ("2",)),
            ("host", 0, ("3",)),
        ]

    def test_a_replacement_from_before_the_observation_is_seen(self) -> None:
        function, trace = declared(), Trace("t")
        with function.replace_implementation(lambda n: b"early"), observing(trace):
            function(1)
        assert [call.result for call in trace.calls] == ["0x6561726c79"]
        assert trace.calls[0].engine == "direct"

    def test_errors_are_rows_and_pass_through(self) -> None:
        def pruned(n: int) -> bytes | None:
            raise StateUnavailable(bytes(32))

        context, trace = answering(function := declared(), pruned), Trace("t")
        with observing(trace), observed(context).externalities():
            with pytest.raises(StateUnavailable):
                function(1)
            with pytest.raises(MissingHostFunction):
                storage.get(b"")
        unavailable, missing = trace.calls
        assert unavailable.error is not None
        assert unavailable.error.startswith("StateUnavailable: the state at root 0x00")
        assert missing.error is not None
        assert missing.error.startswith("MissingHostFunction: ext_storage_get_version_1 is not provided")
        assert missing.function == "ext_storage_get_version_1"

    def test_buffers_count_as_what_was_written_into_them(self) -> None:
        root, nodes = build_state(Storage({b"key": b"value"}))
        context = AuthoringContext(Externalities.recording(nodes, root))
        (call,) = traced("t", context, lambda: storage.read(b"key", bytearray(3), 1)).calls
        assert call.result == "4 0x616c75"
        assert call.arguments[1] == "0x616c75"  # shown as it is after the call
        assert call.arguments_hash == blake2_256(canonical((b"key", bytearray(3), 1)))

    def test_pure_functions_are_left_out_unless_wanted_or_answered_differently(self) -> None:
        context = HostContext()
        assert len(traced("t", context, lambda: hashing.twox_64(b""))) == 0
        own = context.override({hashing.twox_64: lambda data: bytes(8)})
        assert len(traced("t", own, lambda: hashing.twox_64(b""))) == 1
        trace = Trace("t")
        with observing(trace, pure=True), observed(context).externalities():
            hashing.twox_64(b"")
        assert len(trace) == 1

    def test_rows_are_bounded_whatever_is_passed(self) -> None:
        context = answering(function := declared(), lambda n: bytes(10**6))
        (call,) = traced("t", context, lambda: function(10**400)).calls
        assert len(str(call)) < 1_000

    def test_a_trace_is_bounded(self) -> None:
        context = answering(function := declared(), lambda n: b"")
        trace = Trace("t", limit=3)
        with observing(trace), observed(context).externalities():
            for n in range(5):
                function(n)
        assert (len(trace), trace.dropped) == (3, 2)


class TestObservers:
    def test_one_that_fails_is_detached_and_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        context, trace = answering(function := declared(), lambda n: bytes([n])), Trace("t")
        told: list[HostCall] = []

        def failing(call: HostCall) -> None:
            told.append(call)
            raise ValueError("boom")

        with (
            caplog.at_level(logging.ERROR),
            observing(failing, trace) as observation,
            observed(context).externalities(),
        ):
            assert [function(n) for n in range(3)] == [b"\x00", b"\x01", b"\x02"]
        assert len(told) == 1
        assert len(trace) == 3
        assert [detached.reason for detached in observation.detached] == ["ValueError: boom"]
        assert observation.detached[0].observer is failing
        assert "detached: ValueError: boom" in caplog.text

    def test_one_cannot_make_host_calls(self) -> None:
        context = answering(function := declared(), lambda n: b"")

        def meddling(call: HostCall) -> None:
            function(7)

        with function.replace_implementation(lambda n: b"replaced"), observing(meddling) as observation:
            assert function(1) == b"replaced"
        with observing(meddling) as second, observed(context).externalities():
            assert function(1) == b""
        for each in (observation, second):
            assert each.detached[0].reason.startswith("NoExternalities")

    def test_a_value_without_a_text_costs_the_row_and_nothing_else(self) -> None:
        class Odd(int):
            def __repr__(self) -> str:
                raise ValueError("no text")

        context, trace = answering(function := declared(), lambda n: b"fine"), Trace("t")
        with observing(trace) as observation, observed(context).externalities():
            assert function(Odd(1)) == b"fine"
        assert "no row could be made" in observation.detached[0].reason

    def test_observations_nest(self) -> None:
        context = answering(function := declared(), lambda n: b"")
        outer, inner = Trace("outer"), Trace("inner")
        with observing(outer), observed(context).externalities():
            function(1)
            with observing(inner), observed(context).externalities():
                function(2)
                with function.replace_implementation(lambda n: b"guest"):
                    function(3)
        assert [call.arguments for call in outer.calls] == [("1",), ("2",), ("3",)]
        assert [call.arguments for call in inner.calls] == [("2",), ("3",)]


WAT = """(module
  (import "env" "ext_relay_chain_state_read_relay_chain_state_into_version_1"
    (func $read (param i64 i64) (result i64)))
  (memory (export "memory") 2) (global (export "__heap_base") i32 (i32.const 1024))
  (data (i32.const 0) "key")
  (func (export "run") (param i32 i32) (result i64)
    (i64.store (i32.const 64) (call $read (i64.const 0x300000000) (i64.const 0x800000100)))
    (i64.const 0x800000040)))"""


def test_a_wasm_guest_is_seen_like_a_native_one() -> None:
    root, nodes = build_state(Storage({b"key": b"value"}))

    class Node:
        def state_at(self, root: bytes) -> dict[bytes, bytes]:
            return nodes

    def context() -> ValidationContext:
        return ValidationContext(EmbeddedRelayNode(Node(), root))

    native = traced("native", context(), lambda: relay_chain_state.read_relay_state(b"key"))
    for linking in ("fast", "raw", "stock"):
        trace = Trace(linking)
        runtime = WasmRuntime(bytes(wasmtime.wat2wasm(WAT)), linking=linking)  # type: ignore[arg-type]
        with observing(trace):
            assert runtime.call("run", b"", context()) == u64.encode(5)
        (call,) = trace.calls
        assert (call.engine, call.entry_point, call.context) == ("wasm", "run", "ValidationContext")
        assert call.nodes == native.calls[0].nodes
        assert len(call.nodes) == 1
        assert align(native, trace).difference is None


class TestAlignment:
    @given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
    def test_every_call_is_in_it_once_and_in_order(self, first: list[int], second: list[int]) -> None:
        context = answering(function := FUNCTION, lambda n: bytes([n]))
        a = traced("a", context, lambda: [function(n) for n in first])
        b = traced("b", context, lambda: [function(n) for n in second])
        alignment = align(a, b)
        assert [pair.first for pair in alignment.pairs if pair.first is not None] == list(a.calls)
        assert [pair.second for pair in alignment.pairs if pair.second is not None] == list(b.calls)
        assert all(
            pair.first is not None and pair.second is not None and pair.first.answer == pair.second.answer
            for pair in alignment.pairs
            if pair.match is Match.SAME
        )
        if first == second:
            assert alignment.difference is None
        back = align(b, a)
        assert back.first == "b"
        assert [call for pair in back.pairs if (call := pair.second) is not None] == list(a.calls)

    def test_the_first_differing_answer_is_named(self) -> None:
        function = declared()
        a = traced("honest", answering(function, lambda n: b"v"), lambda: [function(n) for n in range(5)])
        b = traced(
            "lying",
            answering(function, lambda n: None if n >= 3 else b"v"),
            lambda: [function(n) for n in range(5)],
        )
        alignment = align(a, b)
        found = alignment.difference
        assert found is not None
        assert found.first is not None
        assert found.first.arguments == ("3",)
        report = alignment.report()
        assert report.startswith(
            f"first differing host call, after 3 common ones: {function.name}(3) gives 0x76 in"
        )
        assert "> lying   " in report

    def test_a_call_that_only_one_makes_is_a_difference_within_and_none_around(self) -> None:
        function = declared()
        context = answering(function, lambda n: b"")
        a = traced("a", context, lambda: [function(n) for n in (1, 2, 3)])
        around = traced("b", context, lambda: [function(n) for n in (8, 1, 2, 3, 9)])
        within = traced("c", context, lambda: [function(n) for n in (1, 7, 2, 3)])
        assert align(a, around).difference is None
        assert align(a, around).count(Match.AROUND) == 2
        found = align(a, within).difference
        assert found is not None
        assert found.match is Match.ONLY_SECOND
        assert "only c calls" in align(a, within).explain(found)

    def test_nothing_in_common_is_a_difference(self) -> None:
        function = declared()
        context = answering(function, lambda n: b"")
        one, other = (traced("t", context, lambda n=n: function(n)) for n in (1, 2))  # type: ignore[misc]
        assert align(one, other).difference is not None
        assert align(one, Trace("empty")).difference is not None
        assert align(Trace("empty"), Trace("empty")).difference is None

    def test_where_the_entry_points_differ_only_answers_count(self) -> None:
        function = declared()
        context = answering(function, lambda n: b"")
        lying = answering(function, lambda n: b"lie" if n == 4 else b"")

        def entered(label: str, entry_point: str, numbers: tuple[int, ...], who: HostContext) -> Trace:
            trace = Trace(label)
            with observing(trace), observed(who, "native", entry_point).externalities():
                for n in numbers:
                    function(n)
            return trace

        author = entered("author", "apply", (1, 2, 9, 3, 4, 5), context)
        node = entered("node", "execute", (1, 2, 3, 4, 5), context)
        agreed = align(author, node)
        assert agreed.difference is None
        assert agreed.report() == "author and node agree on 5 host calls; 1 are of one entry point only"
        found = align(author, entered("liar", "execute", (1, 2, 3, 4, 5), lying)).difference
        assert found is not None
        assert found.first is not None
        assert found.first.arguments == ("4",)
        assert align(author, entered("other", "apply", (1, 2, 3, 4, 5), context)).difference is not None
        assert align(author, entered("stranger", "execute", (7, 8), context)).difference is not None

    def test_log_lines_are_not_compared(self) -> None:
        context = ValidationContext()
        quiet = traced("quiet", context, storage_proof_size.storage_proof_size)
        chatty = traced(
            "chatty",
            context,
            lambda: [logging_interface.max_level(), storage_proof_size.storage_proof_size()],
        )
        assert len(chatty) == 2
        assert align(quiet, chatty).difference is None
        assert len(align(quiet, chatty).pairs) == 1

    def test_long_values_that_look_alike_are_told_by_their_hashes(self) -> None:
        function = declared()
        one = traced("one", answering(function, lambda n: bytes(100)), lambda: function(1))
        other = traced("other", answering(function, lambda n: bytes(99) + b"\x01"), lambda: function(1))
        found = align(one, other).difference
        assert found is not None
        assert f"0x{blake2_256(bytes(100)).hex()}" in align(one, other).explain(found)


FUNCTION = declared()


@pytest.mark.parametrize(("engine", "agree"), [("wasm", True), ("native", False)])
def test_the_host_part_of_a_measure_that_a_blob_replaces_is_not_compared(engine: str, agree: bool) -> None:
    """A blob adds its own proof to it, out of sight; natively the whole is seen, and the part is made while it is."""

    def call(position: int, entry_point: str, function: str, result: str) -> HostCall:
        request = "ValidationContext", engine, entry_point, "host", function, (), b"", result, None, (), 0
        return HostCall(position, 0, *request)  # type: ignore[arg-type]

    measure = storage_proof_size.storage_proof_size.name
    author, validator = Trace("author"), Trace("validator")
    for trace, entry_point, measured in ((author, "Core_x", "910"), (validator, "validate_block", "0")):
        for position, (function, result) in enumerate(
            [("ext_before", "1"), (measure, measured), ("ext_after", "2")]
        ):
            trace(call(position, entry_point, function, result))
    found = align(author, validator).difference
    assert (found is None) == agree
    assert found is None or found.match is Match.DIFFERS


def test_arguments_that_differ_have_different_hashes() -> None:
    values: list[Any] = [
        (),
        (b"",),
        (b"", b""),
        (b"a",),
        ("a",),
        (1,),
        (True,),
        (None,),
        ((b"a",), b""),
        (b"a", b""),
    ]
    assert len({canonical(value) for value in values}) == len(values)
