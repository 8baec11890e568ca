"""The conformance test passes for our contexts, and fails for contexts with a planted bug."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings

from host_functions.abi import MultiRemovalResults
from host_functions.conformance import NonConformance, run_conformance_test, storage_rules
from host_functions.conformance.known import LESSONS, known_examples
from host_functions.contexts import AuthoringContext, HostContext, ImportContext, OffchainContext
from host_functions.contexts.families import Logging, OffchainIndex
from host_functions.declare import functions_of
from host_functions.errors import HostError
from host_functions.interfaces import (
    child_storage,
    hashing,
    relay_chain_state,
    storage,
    storage_proof_size,
)
from host_functions.relay_state import EmbeddedRelayNode, RelayNodeState
from host_functions.state_machine import Externalities, FullBackend, Storage, build_state
from runtime.trie.layout import LAYOUT_V0, LAYOUT_V1, Layout
from runtime.trie.recorder import Recorder

Make = Callable[[Storage], HostContext]

# Enough to find each planted bug every time, without shrinking: these tests ask whether, not where.
SEARCH = settings(max_examples=400, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
QUICK = settings(max_examples=100, deadline=None)
KNOWN = settings(max_examples=1, derandomize=True, database=None, phases=[Phase.generate])
"""The emptiest example is all that is drawn."""


def making(
    state_of: type[Externalities] = Externalities,
    kind: type[AuthoringContext | ImportContext] = AuthoringContext,
    layout: Layout = LAYOUT_V1,
) -> Make:
    def make(initial: Storage) -> HostContext:
        root, nodes = build_state(initial, layout)
        return kind(state_of.recording(nodes, root, layout))

    return make


def recorded(context: HostContext) -> Iterable[bytes]:
    assert isinstance(context, AuthoringContext | ImportContext)
    assert context.state.recorder is not None
    return context.state.recorder.nodes()


def with_relay(relay_node: RelayNodeState, root: bytes) -> AuthoringContext:
    own_root, nodes = build_state(Storage({b"own": b"state"}))
    return AuthoringContext(Externalities.recording(nodes, own_root), EmbeddedRelayNode(relay_node, root))


# Ours.


@pytest.mark.parametrize("kind", [AuthoringContext, ImportContext])
def test_block_contexts_conform(kind: type[AuthoringContext | ImportContext]) -> None:
    run_conformance_test(making(kind=kind), settings=QUICK, recorded=recorded, make_relay_context=with_relay)


def test_contexts_of_state_version_0_conform() -> None:
    make = making(layout=LAYOUT_V0)
    run_conformance_test(make, settings=QUICK, recorded=recorded, state_version=0)


def test_the_query_context_conforms() -> None:
    def make(initial: Storage) -> HostContext:
        root, nodes = build_state(initial)
        return OffchainContext(FullBackend(nodes, root))

    run_conformance_test(make, settings=QUICK)


def test_an_override_conforms() -> None:
    make = making()
    run_conformance_test(lambda initial: make(initial).override({}), settings=QUICK)


def test_a_context_of_fewer_interfaces_is_tried_for_those() -> None:
    class OnlyLogging(Logging): ...

    run_conformance_test(lambda _: OnlyLogging(), settings=QUICK, interfaces=(hashing,))
    with pytest.raises(NonConformance, match="ext_storage_set_version_1 is not provided"):
        run_conformance_test(lambda _: OnlyLogging(), settings=QUICK)


# Planted bugs in the state.


class ForgetsDeletions(Externalities):
    def get(self, key: bytes) -> bytes | None:
        return super().get(key) or self.backend.get(key)


class ReadsTheTotalLength(Externalities):
    def read(self, key: bytes, value_out: bytearray, value_offset: int) -> int | None:
        remaining = super().read(key, value_out, value_offset)
        return remaining if remaining is None else len(self.get(key) or b"")


class WritesChildRoots(Externalities):
    def set(self, key: bytes, value: bytes) -> None:
        self._computed = {}
        self._top.set(key, value)


class LosesCommits(Externalities):
    def commit_transaction(self) -> None:
        super().rollback_transaction()


class RollsBackTooMuch(Externalities):
    def rollback_transaction(self) -> None:
        super().rollback_transaction()
        while self._overlay.transaction_depth:
            super().rollback_transaction()


class ClosesWhatIsNotOpen(Externalities):
    def rollback_transaction(self) -> None:
        if self._overlay.transaction_depth:
            super().rollback_transaction()


class IteratesOverDeletedKeys(Externalities):
    def next_key(self, key: bytes) -> bytes | None:
        keys = [*self._top.items(), *self.backend.top.keys(b"")]
        return min((other for other in keys if other > key), default=None)


class IteratesInPlace(Externalities):
    def next_key(self, key: bytes) -> bytes | None:
        return key if self.exists(key) else super().next_key(key)


class CountsTheOverlay(Externalities):
    def clear_prefix(self, prefix: bytes, limit: int | None) -> MultiRemovalResults:
        under = sum(key.startswith(prefix) for key in self._top.items())
        result = super().clear_prefix(prefix, limit)
        return result if result.loops == 0 else MultiRemovalResults(result.all_removed, result.loops + under)


class IgnoresTheLimit(Externalities):
    def child_clear_prefix(self, storage_key: bytes, prefix: bytes, limit: int | None) -> MultiRemovalResults:
        return super().child_clear_prefix(storage_key, prefix, None)


class AppendsWithoutCounting(Externalities):
    def append(self, key: bytes, value: bytes) -> None:
        before = self.get(key)
        super().append(key, value)
        if before and before[0] & 3 == 0 and before[0] >= 4:
            self._top.set(key, before + value)


class LeavesChildrenOutOfTheRoot(Externalities):
    def root(self, state_version: int) -> bytes:
        return self.backend.delta_root(self._top.items(), {}, state_version)[0]


class KeepsEmptyChildren(Externalities):
    def child_root(self, storage_key: bytes, state_version: int) -> bytes:
        root = super().child_root(storage_key, state_version)
        self._top.set(b":child_storage:default:" + storage_key, root)
        return root


class LoadsToSeeWhetherItExists(Externalities):
    def exists(self, key: bytes) -> bool:
        return self.get(key) is not None


class UnreadsOnRollback(Externalities):
    def start_transaction(self) -> None:
        super().start_transaction()
        assert self.recorder is not None
        self.recorder.start_transaction()

    def rollback_transaction(self) -> None:
        super().rollback_transaction()
        assert self.recorder is not None
        self.recorder.rollback_transaction()

    def commit_transaction(self) -> None:
        super().commit_transaction()
        assert self.recorder is not None
        self.recorder.commit_transaction()


class RecordsNothing(Externalities):
    @classmethod
    def recording(cls, store: Any, root: bytes, layout: Layout = LAYOUT_V1, relay_reader: Any = None) -> Any:
        return cls(FullBackend(store, root, layout), Recorder(store), relay_reader)


class CountsLengthsOnly(Externalities):
    def storage_proof_size(self) -> int:
        assert self.recorder is not None
        return sum(map(len, self.recorder.nodes()))


STATES_WITH_A_BUG = (
    *(ForgetsDeletions, ReadsTheTotalLength, WritesChildRoots, LosesCommits, RollsBackTooMuch),
    *(ClosesWhatIsNotOpen, IteratesOverDeletedKeys, IteratesInPlace, CountsTheOverlay, IgnoresTheLimit),
    *(AppendsWithoutCounting, LeavesChildrenOutOfTheRoot, KeepsEmptyChildren, LoadsToSeeWhetherItExists),
    *(UnreadsOnRollback, RecordsNothing, CountsLengthsOnly),
)


@pytest.mark.parametrize("state_of", STATES_WITH_A_BUG)
def test_a_bug_in_the_state_is_caught(state_of: type[Externalities]) -> None:
    """By the sequences that are known: what a random search draws depends on the modules that are loaded."""
    with pytest.raises(NonConformance) as caught:
        run_conformance_test(making(state_of), settings=KNOWN, recorded=recorded)
    assert "The calls: ext_" in caught.value.__notes__[0]


def test_the_search_catches_bugs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three that it finds within a few examples, whatever is drawn."""
    monkeypatch.setattr(storage_rules, "known_examples", lambda functions: [])
    for state_of in (ClosesWhatIsNotOpen, RecordsNothing, CountsLengthsOnly):
        with pytest.raises(NonConformance):
            run_conformance_test(making(state_of), settings=SEARCH, recorded=recorded)


def test_the_known_sequences_follow_the_model() -> None:
    """They are right: a store without bugs passes them, and each is of use to somebody who has all of storage."""
    run_conformance_test(making(), settings=KNOWN, recorded=recorded)
    functions = [*functions_of(storage), *functions_of(child_storage)]
    assert len(known_examples(functions)) == len(LESSONS)
    assert 0 < len(known_examples([*functions_of(storage)])) < len(LESSONS)


# Planted bugs around the state.


class Shared(AuthoringContext):
    """All contexts over one state write into the same changes."""

    states: ClassVar[dict[bytes, Externalities]] = {}

    def __init__(self, state: Externalities) -> None:
        super().__init__(self.states.setdefault(state.backend.root, state))


def impure_hashing() -> Make:
    make, salt = making(), iter(range(10**9))
    return lambda initial: make(initial).override(
        {hashing.twox_64: lambda data: next(salt).to_bytes(8, "big")}
    )


def wrong_hashing() -> Make:
    make = making()
    return lambda initial: make(initial).override({hashing.blake2_128: hashing.twox_128})


@pytest.mark.parametrize("make", [making(kind=Shared), impure_hashing(), wrong_hashing()])
def test_a_bug_around_the_state_is_caught(make: Make) -> None:
    with pytest.raises(NonConformance):
        run_conformance_test(make, settings=SEARCH)


# Planted bugs in relay reads.


class WithBug(OffchainIndex):
    """A relay context with the reading function of a test."""

    def __init__(self, read: Callable[[bytes], bytes | None], size: Callable[[], int]) -> None:
        super().__init__()
        self._read, self._size = read, size

    @relay_chain_state.read_relay_state.implement
    def read_relay_state(self, key: bytes) -> bytes | None:
        return self._read(key)

    @storage_proof_size.storage_proof_size.implement
    def storage_proof_size(self) -> int:
        return self._size()


def guesses_absence(relay_node: RelayNodeState, root: bytes) -> HostContext:
    reader = EmbeddedRelayNode(relay_node, root)

    def read(key: bytes) -> bytes | None:
        try:
            return reader.read(key)
        except HostError:
            return None

    return WithBug(read, reader.proof_size)


def answers_once(relay_node: RelayNodeState, root: bytes) -> HostContext:
    reader = EmbeddedRelayNode(relay_node, root)
    read_before: set[bytes] = set()

    def read(key: bytes) -> bytes | None:
        if key in read_before:
            return None
        read_before.add(key)
        return reader.read(key)

    return WithBug(read, reader.proof_size)


def counts_every_read(relay_node: RelayNodeState, root: bytes) -> HostContext:
    reader = EmbeddedRelayNode(relay_node, root)
    reads = [0]

    def read(key: bytes) -> bytes | None:
        reads[0] += 1
        return reader.read(key)

    return WithBug(read, lambda: reader.proof_size() + reads[0])


def empties_values(relay_node: RelayNodeState, root: bytes) -> HostContext:
    reader = EmbeddedRelayNode(relay_node, root)
    return WithBug(lambda key: reader.read(key) or None, reader.proof_size)


@pytest.mark.parametrize("make_relay", [guesses_absence, answers_once, counts_every_read, empties_values])
def test_a_bug_in_relay_reads_is_caught(make_relay: Callable[[RelayNodeState, bytes], HostContext]) -> None:
    with pytest.raises(NonConformance):
        run_conformance_test(making(), settings=SEARCH, interfaces=(), make_relay_context=make_relay)


# How it reports.


def test_the_shortest_counterexample_is_told() -> None:
    shrinking = settings(SEARCH, phases=[Phase.generate, Phase.shrink])
    with pytest.raises(NonConformance, match=r"ext_storage_next_key_version_1\(.* gives b'' where") as caught:
        run_conformance_test(making(IteratesInPlace), settings=shrinking)
    story = "\n".join(getattr(caught.value, "__notes__", ()))
    assert story.count("ext_storage_") <= 3, "the counterexample should be one write and one query"


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refusing(name: str, globals: Mapping[str, object] | None = None, *rest: Any, **options: Any) -> Any:
        if name == "hypothesis":
            raise ModuleNotFoundError(name)
        return original(name, globals, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ModuleNotFoundError, match=r"install pileus\[testing\]"):
        run_conformance_test(making())


def test_importing_it_does_not_import_hypothesis() -> None:
    import subprocess

    program = "import sys, host_functions.conformance; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_interfaces_under_test_are_those_of_storage() -> None:
    assert run_conformance_test.__kwdefaults__["interfaces"] == (storage, child_storage, hashing)
