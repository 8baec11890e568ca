"""The overlay against dictionaries copied at every transaction, through both levels of transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from host_functions.state_machine.overlay import UNCHANGED, ChangeSet, Overlay
from runtime.primitives.scale import byte_vec, vec

KEYS = st.sampled_from([b"", b"a", b"aa", b"ab", b"b", b"\xff", b"\xff\xff"])
CHILDREN = st.sampled_from([None, b"one", b"two"])
VALUES = st.binary(max_size=4)
ITEMS = vec(byte_vec)

Content = dict[bytes, bytes | None]
World = dict[bytes | None, Content]
"""Changes of the top trie (``None``) and of each child trie."""


class OverlayMachine(RuleBasedStateMachine):
    """`model` is what the overlay should say; `saved` has a copy of it for every open transaction, and its
    level."""

    @initialize(backend=st.dictionaries(KEYS, st.lists(VALUES, max_size=3).map(ITEMS.encode)))
    def start(self, backend: dict[bytes, bytes]) -> None:
        self.overlay = Overlay()
        self.backend = backend
        self.model: World = {None: {}}
        self.saved: list[tuple[bool, World]] = []

    def changes(self, trie: bytes | None) -> Content:
        return self.model.setdefault(trie, {})

    @rule(trie=CHILDREN, key=KEYS, value=st.none() | VALUES)
    def set(self, trie: bytes | None, key: bytes, value: bytes | None) -> None:
        target = self.overlay.top if trie is None else self.overlay.child(trie)
        target.set(key, value)
        self.changes(trie)[key] = value

    @rule(trie=CHILDREN, key=KEYS, item=VALUES)
    def append(self, trie: bytes | None, key: bytes, item: bytes) -> None:
        """Appends to what is an encoded vector of byte strings, or starts one."""
        target = self.overlay.top if trie is None else self.overlay.child(trie)
        content = self.changes(trie)
        before = content[key] if key in content else self.backend.get(key)
        try:
            items = ITEMS.decode(before or b"\x00")
        except ValueError:
            return
        target.append(key, byte_vec.encode(item), self.backend.get)
        content[key] = ITEMS.encode((*items, item))

    @rule(trie=CHILDREN, prefix=KEYS)
    def clear_prefix(self, trie: bytes | None, prefix: bytes) -> None:
        target = self.overlay.top if trie is None else self.overlay.child(trie)
        target.clear_prefix(prefix)
        content = self.changes(trie)
        content.update({key: None for key in content if key.startswith(prefix)})

    @rule()
    def start_transaction(self) -> None:
        self.open(self.overlay.start_transaction, host=False)

    @rule()
    def begin_host_transaction(self) -> None:
        self.open(self.overlay.begin_host_transaction, host=True)

    def open(self, start: Callable[[], None], *, host: bool) -> None:
        start()
        self.saved.append((host, {trie: dict(content) for trie, content in self.model.items()}))

    @precondition(lambda self: self.saved and not self.saved[-1][0])
    @rule()
    def commit(self) -> None:
        self.overlay.commit_transaction()
        self.saved.pop()

    @precondition(lambda self: self.saved and not self.saved[-1][0])
    @rule()
    def rollback(self) -> None:
        self.overlay.rollback_transaction()
        self.model = self.saved.pop()[1]

    def leave_runtime(self) -> int:
        """Roll the model back to the host's level; how many transactions that closed."""
        closed = 0
        while self.saved and not self.saved[-1][0]:
            self.model = self.saved.pop()[1]
            closed += 1
        return closed

    @rule()
    def exit_runtime(self) -> None:
        assert self.overlay.exit_runtime() == self.leave_runtime()

    @precondition(lambda self: any(host for host, _ in self.saved))
    @rule(keep=st.booleans())
    def end_host_transaction(self, keep: bool) -> None:
        left_open = self.leave_runtime()
        _, before = self.saved.pop()
        if keep:
            assert self.overlay.commit_host_transaction() == left_open
        else:
            self.overlay.rollback_host_transaction()
            self.model = before

    @invariant()
    def says_what_the_model_says(self) -> None:
        assert self.overlay.transaction_depth == len(self.saved)
        for trie, content in self.model.items():
            found = self.overlay.top if trie is None else self.overlay.children.get(trie)
            if found is None:
                assert not content
                continue
            assert found.items() == content
            assert list(found.items()) == sorted(content)
            assert found.get(b"never written") is UNCHANGED
            for key in content:
                assert found.get(key) == content[key]
                after = [(other, content[other] is not None) for other in sorted(content) if other > key]
                assert list(found.after(key)) == after


TestOverlay = OverlayMachine.TestCase
TestOverlay.settings = settings(max_examples=100, stateful_step_count=40)

WRITES = st.tuples(st.sampled_from([b"a", b"b"]), st.none() | st.sampled_from([b"1", b"2", b"3"]))
# A program is a list of writes (key, value) and of transactions (kept?, program).
PROGRAMS = st.recursive(
    st.lists(WRITES, max_size=3),
    lambda inner: st.lists(WRITES | st.tuples(st.booleans(), inner), max_size=4),
    max_leaves=12,
)


def run(changes: ChangeSet, program: list[Any], state: Content) -> Content:
    """Run in the change set; what its content should be afterwards, from what it was before."""
    for first, second in program:
        if isinstance(first, bytes):
            changes.set(first, second)
            state = {**state, first: second}
        else:
            changes.start_transaction()
            within = run(changes, second, state)
            changes.commit_transaction() if first else changes.rollback_transaction()
            state = within if first else state
    return state


@given(PROGRAMS)
@example([(False, [(b"a", b"1"), (True, [(b"a", b"2")])])])
@example([(b"a", b"0"), (False, [(True, [(b"a", b"1")]), (b"b", b"2"), (False, [(b"a", None)])])])
def test_transactions_nest(program: list[Any]) -> None:
    changes = ChangeSet()
    assert run(changes, program, {}) == changes.items()
