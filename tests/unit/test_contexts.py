"""Contexts: what each place of execution answers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host_functions.contexts import (
    AuthoringContext,
    HostContext,
    ImportContext,
    OffchainContext,
    ValidationContext,
)
from host_functions.contexts.families import MAX_LINES, MAX_TEXT, Logging, Misc
from host_functions.declare import functions_of
from host_functions.errors import MissingHostFunction, NoExternalities
from host_functions.interfaces import (
    additional_data,
    child_storage,
    hashing,
    logging,
    misc,
    offchain_index,
    relay_chain_state,
    storage,
    storage_proof_size,
    trie,
)
from host_functions.relay_state import CarriedProof
from host_functions.state_machine import Externalities, FullBackend, Storage, build_state
from host_functions.state_machine.externalities import NO_RECORDER

STATE = Storage({b"key": b"value", b"big": b"v" * 50}, {b"child": {b"key": b"child value"}})
ROOT, NODES = build_state(STATE)
RELAY_ROOT, RELAY_NODES = build_state(Storage({bytes([n]): bytes([n]) * 40 for n in range(20)}))


def relay() -> CarriedProof:
    return CarriedProof(RELAY_ROOT, RELAY_NODES.values())


def authoring(**options: Any) -> AuthoringContext:
    return AuthoringContext(Externalities.recording(NODES, ROOT), **options)


def importing(**options: Any) -> ImportContext:
    return ImportContext(Externalities.recording(NODES, ROOT), **options)


def offchain(**options: Any) -> OffchainContext:
    return OffchainContext(FullBackend(NODES, ROOT), **options)


MAKERS: list[Callable[..., HostContext]] = [authoring, importing, offchain, ValidationContext]
WITH_STORAGE = [authoring, importing, offchain]


# Class statements.


def test_a_complete_context_must_answer_every_function() -> None:
    with pytest.raises(TypeError, match="Half is declared complete but does not answer: ext_logging_max"):

        class Half(HostContext, complete=(logging,)):
            @logging.log.implement
            def log(self, level: int, target: bytes, message: bytes) -> None: ...


def test_pure_functions_need_no_answer() -> None:
    class Empty(HostContext, complete=(hashing, trie)): ...

    with Empty().externalities():
        assert hashing.twox_64(b"") == bytes.fromhex("99e9d85137db46ef")


def test_a_method_must_take_the_declared_parameters() -> None:
    with pytest.raises(TypeError, match=r"Wrong.log\(level, text\) implements ext_logging_log_version_1\("):

        class Wrong(HostContext):
            @logging.log.implement  # type: ignore[arg-type]
            def log(self, level: int, text: bytes) -> None: ...


def test_answers_are_inherited_from_all_bases_in_the_order_of_bases() -> None:
    class Base(HostContext):
        @logging.max_level.implement
        def base_level(self) -> int:
            return 1

    class Left(Base):
        @misc.print_num.implement
        def print_num(self, val: int) -> None: ...

    class Right(Base):
        @logging.max_level.implement
        def right_level(self) -> int:
            return 2

    class Both(Left, Right): ...

    assert Both.provides() == (logging.max_level.name, misc.print_num.name)
    with Both().externalities():
        assert logging.max_level() == 2


def test_delegates_answer_and_methods_go_before_them() -> None:
    class Levels:
        def level(self) -> int:
            return 1

    class Delegating(HostContext, delegates={"levels": {logging.max_level: "level"}}):
        def __init__(self) -> None:
            self.levels = Levels()

    class Own(Delegating):
        @logging.max_level.implement
        def own(self) -> int:
            return 2

    with Delegating().externalities():
        assert logging.max_level() == 1
    with Own().externalities():
        assert logging.max_level() == 2


# Overrides.


def test_an_override_leaves_its_base_alone_and_composes() -> None:
    context = authoring()
    louder = context.override({storage.get: lambda key: key.upper()})
    both = louder.override({storage.exists: lambda key: True})
    with both.externalities():
        assert storage.get(b"abc") == b"ABC"
        assert storage.exists(b"no such key")
        assert storage.next_key(b"key") is None
    with context.externalities():
        assert storage.get(b"abc") is None
        assert not storage.exists(b"no such key")


def test_an_override_can_answer_what_the_base_lacks() -> None:
    context = ValidationContext().override({storage.get: lambda key: b"!"})
    with context.externalities():
        assert storage.get(b"") == b"!"
        with pytest.raises(MissingHostFunction, match="ext_storage_set_version_1"):
            storage.set(b"", b"")


def test_an_override_names_host_functions() -> None:
    with pytest.raises(TypeError, match="host functions as keys"):
        authoring().override({"storage.get": lambda key: None})  # type: ignore[dict-item]


def test_an_override_keeps_the_scope_of_its_base() -> None:
    context = offchain()
    with context.override({misc.print_num: lambda val: None}).externalities():
        storage.set(b"key", b"changed")
    with context.externalities():
        assert storage.get(b"key") == b"value"


# What each answers.


@pytest.mark.parametrize("make", WITH_STORAGE)
def test_storage_is_answered_from_the_state(make: Callable[..., HostContext]) -> None:
    with make().externalities():
        assert storage.get(b"key") == b"value"
        assert child_storage.get(b"child", b"key") == b"child value"
        storage.set(b"key", b"changed")
        assert storage.get(b"key") == b"changed"


def test_a_validator_offers_no_storage_and_no_offchain_index() -> None:
    refused = [
        function
        for interface in (storage, child_storage, offchain_index)
        for function in functions_of(interface)
    ]
    context = ValidationContext(relay())
    for function in refused:
        with pytest.raises(MissingHostFunction, match="is not provided by ValidationContext") as caught:
            context.resolve(function)
        assert caught.value.function == function.name


@pytest.mark.parametrize("make", MAKERS)
def test_without_a_reader_there_is_no_relay_state(make: Callable[..., HostContext]) -> None:
    with make().externalities():
        with pytest.raises(MissingHostFunction) as caught:
            relay_chain_state.read_relay_state(b"key")
        assert caught.value.function == "ext_relay_chain_state_read_relay_chain_state_into_version_1"
        assert additional_data.finalize() is None


@pytest.mark.parametrize("make", [authoring, importing, ValidationContext])
def test_relay_reads_are_committed_to_where_they_are_carried(make: Callable[..., HostContext]) -> None:
    reader = relay()
    with make(relay=reader, commit_relay_reads=True).externalities():
        assert additional_data.finalize() is None
        assert relay_chain_state.read_relay_state(b"\x07") == b"\x07" * 40
        assert relay_chain_state.read_relay_state(b"\x77") is None
        assert additional_data.finalize() == reader.commitment()
    with make(relay=relay()).externalities():
        relay_chain_state.read_relay_state(b"\x07")
        assert additional_data.finalize() is None


def test_proof_sizes() -> None:
    reader = relay()
    with authoring(relay=reader).externalities():
        assert storage_proof_size.storage_proof_size() == 0
        storage.get(b"big")
        own = storage_proof_size.storage_proof_size()
        assert own > 50
        relay_chain_state.read_relay_state(b"\x07")
        assert storage_proof_size.storage_proof_size() == own + reader.proof_size()
    with ValidationContext().externalities():
        assert storage_proof_size.storage_proof_size() == 0
    with ValidationContext(reader).externalities():
        assert storage_proof_size.storage_proof_size() == reader.proof_size() > 40
    with offchain().externalities():
        storage.get(b"big")
        assert storage_proof_size.storage_proof_size() == NO_RECORDER


@pytest.mark.parametrize("kind", [AuthoringContext, ImportContext])
def test_blocks_are_recorded(kind: type[AuthoringContext | ImportContext]) -> None:
    with pytest.raises(ValueError, match="needs an Externalities with a recorder"):
        kind(Externalities(FullBackend(NODES, ROOT)))


def test_the_state_counts_the_reads_of_one_reader() -> None:
    state = Externalities.recording(NODES, ROOT)
    reader = relay()
    AuthoringContext(state, reader)
    assert state.relay_reader is reader
    with pytest.raises(ValueError, match="another relay state reader"):
        AuthoringContext(state, relay())


def test_queries_leave_no_trace() -> None:
    context = offchain()
    with context.externalities():
        storage.set(b"key", b"changed")
        storage.start_transaction()
        child_storage.set(b"child", b"key", b"changed")
        offchain_index.set(b"key", b"value")
        with context.externalities():
            assert storage.get(b"key") == b"changed"
            storage.set(b"key", b"inner")
        assert storage.get(b"key") == b"changed"
    assert not context.offchain_changes
    with pytest.raises(RuntimeError), context.externalities():
        raise RuntimeError
    with context.externalities():
        assert storage.get(b"key") == b"value"
        assert child_storage.get(b"child", b"key") == b"child value"
    with pytest.raises(NoExternalities):
        storage.get(b"key")


@pytest.mark.parametrize("make", [authoring, importing])
def test_the_offchain_index_is_collected(make: Callable[..., Any]) -> None:
    context = make()
    with context.externalities():
        offchain_index.set(b"a", b"1")
        offchain_index.set(b"b", b"2")
        offchain_index.clear(b"a")
    assert context.offchain_changes == {b"a": None, b"b": b"2"}


# Logging and misc.


def test_log_lines_are_kept_and_bounded() -> None:
    context = Logging(max_level=5)
    with context.externalities():
        assert logging.max_level() == 5
        logging.log(0, b"runtime", b"panicked at \xff")
        assert context.lines[-1] == (0, "runtime", "panicked at �")
        logging.log(2, b"t" * (MAX_TEXT + 1), b"m" * (MAX_TEXT + 1))
        assert len(context.lines[-1].target) == len(context.lines[-1].message) == MAX_TEXT
        for n in range(MAX_LINES):
            logging.log(2, b"runtime", b"%d" % n)
    assert len(context.lines) == MAX_LINES
    assert context.lines[0].message == "0"


def test_printing_goes_to_the_log() -> None:
    context = Misc()
    with context.externalities():
        misc.print_num(7)
        misc.print_utf8("ü".encode())
        misc.print_hex(b"\x0a\xff")
    assert [line.message for line in context.lines] == ["7", "ü", "0aff"]


@pytest.mark.parametrize("make", MAKERS)
def test_runtime_version_needs_an_executor(make: Callable[..., HostContext]) -> None:
    with make().externalities(), pytest.raises(MissingHostFunction, match="without a version reader"):
        misc.runtime_version(b"code")
    with make(version_of=lambda code: code[::-1] if code else None).externalities():
        assert misc.runtime_version(b"code") == b"edoc"
        assert misc.runtime_version(b"") is None
