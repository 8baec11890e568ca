"""Rules of relay reads, tried over relay states that are complete and over ones that lack a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from host_functions.conformance.report import NonConformance
from host_functions.contexts.base import HostContext
from host_functions.errors import HostError, StateUnavailable
from host_functions.interfaces import relay_chain_state, storage_proof_size
from host_functions.relay_state.answerers import RelayNodeState
from host_functions.state_machine.genesis import Storage, build_state
from runtime.trie.layout import NodeStore

__all__ = ["RelayNode", "relay_entries", "run"]


@dataclass(frozen=True, slots=True)
class RelayNode:
    """A relay chain node that has one state, or what is left of it."""

    root: bytes
    nodes: Mapping[bytes, bytes]

    def state_at(self, root: bytes) -> NodeStore:
        """The nodes of the state. Raises `StateUnavailable` for another root."""
        if root != self.root:
            raise StateUnavailable(root)
        return self.nodes


def relay_keys() -> st.SearchStrategy[bytes]:
    """Keys that share beginnings, so that tries branch."""
    return st.binary(max_size=3) | st.sampled_from([b"k" * 20, b"k" * 20 + b"x"])


def relay_entries() -> st.SearchStrategy[dict[bytes, bytes]]:
    """Small relay states; some values are stored apart from their nodes."""
    return st.dictionaries(relay_keys(), st.binary(max_size=60), min_size=1, max_size=12)


def run(
    make_relay_context: Callable[[RelayNodeState, bytes], HostContext], settings: hypothesis_settings
) -> None:
    """Search for relay reads that break a rule. Raises `NonConformance`."""
    key = relay_keys()

    @settings
    @given(relay_entries(), st.lists(key, min_size=1, max_size=8), st.data())
    def conforms(entries: dict[bytes, bytes], others: list[bytes], data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from([*entries, *others]), min_size=1, max_size=8))
        root, nodes = build_state(Storage(entries))
        answers(make_relay_context(RelayNode(root, nodes), root), entries, keys)
        lost = data.draw(st.sampled_from(sorted(nodes)))
        note(f"lost node: {lost.hex()}")
        left = {digest: node for digest, node in nodes.items() if digest != lost}
        never_guesses(make_relay_context, RelayNode(root, left), entries, keys)

    conforms()


def answers(context: HostContext, entries: Mapping[bytes, bytes], keys: Sequence[bytes]) -> None:
    """Every read gives the relay state's value, however often; what was read is counted once."""
    sizes: dict[bytes, int] = {}
    size = 0
    with context.externalities():
        for key in (*keys, *keys):
            value = relay_chain_state.read_relay_state(key)
            if value != entries.get(key):
                raise NonConformance(f"relay key 0x{key.hex()} reads {value!r}, not {entries.get(key)!r}")
            now = storage_proof_size.storage_proof_size()
            if now < size:
                raise NonConformance(f"reading relay key 0x{key.hex()} makes the proof smaller")
            if key in sizes and now != size:
                raise NonConformance(f"reading relay key 0x{key.hex()} again is counted again")
            sizes[key] = size = now


def never_guesses(
    make_relay_context: Callable[[RelayNodeState, bytes], HostContext],
    relay_node: RelayNode,
    entries: Mapping[bytes, bytes],
    keys: Sequence[bytes],
) -> None:
    """With a node missing, a read gives the right value or a `HostError`; never "absent" for want of data."""
    try:
        context = make_relay_context(relay_node, relay_node.root)
    except HostError:
        return
    with context.externalities():
        for key in keys:
            try:
                value = relay_chain_state.read_relay_state(key)
            except HostError:
                continue
            if value != entries.get(key):
                raise NonConformance(
                    f"with a relay trie node missing, relay key 0x{key.hex()} reads {value!r},"
                    f" its value is {entries.get(key)!r}"
                )
