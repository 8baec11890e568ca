"""The contexts that read relay state, all over one and the same: what a host function of your own is tried in.

=================== ============================================ =================================================
label               context                                      answers from
=================== ============================================ =================================================
`author`            `AuthoringContext`                           a collator's relay node
`import`            `ImportContext`                              the proof that comes with a block
`validate-own`      `ValidationContext`                          a validator's own relay node
`validate-carried`  `ValidationContext`                          the proof in the PoV
=================== ============================================ =================================================

The proofs hold the whole relay state here, because what a function reads is not known before; that a proof is minimal
is the business of the block, not of the function. The state of the parachain is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from host_functions.conformance import run_conformance_test
from host_functions.contexts import AuthoringContext, HostContext, ImportContext, ValidationContext
from host_functions.declare import HostFunction
from host_functions.errors import StateUnavailable
from host_functions.relay_state import CarriedProof, EmbeddedRelayNode, RelayNodeState, RelayOwnState
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.genesis import Storage, build_state
from runtime.trie.layout import LAYOUT_V1, NodeStore

if TYPE_CHECKING:
    from hypothesis import settings as hypothesis_settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["RELAY_CONTEXTS", "OneState", "assert_function_conforms", "relay_contexts"]

MakeRelayContext = Callable[[RelayNodeState, bytes], HostContext]


class OneState:
    """A relay chain node that has one state."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self.root, self.nodes = build_state(Storage(dict(entries)))

    def state_at(self, root: bytes) -> NodeStore:
        """The nodes of the state. Raises `StateUnavailable` for another root."""
        if root != self.root:
            raise StateUnavailable(root)
        return self.nodes


def _empty() -> Externalities:
    return Externalities.recording({}, LAYOUT_V1.empty_root)


def _carried(node: RelayNodeState, root: bytes) -> CarriedProof:
    # What a collator would have put there: all that its node has, which may be less than the state.
    items = node.state_at(root)
    return CarriedProof(root, items.values() if isinstance(items, Mapping) else ())


RELAY_CONTEXTS: Final[Mapping[str, MakeRelayContext]] = {
    "author": lambda node, root: AuthoringContext(_empty(), EmbeddedRelayNode(node, root)),
    "import": lambda node, root: ImportContext(_empty(), _carried(node, root)),
    "validate-own": lambda node, root: ValidationContext(RelayOwnState(node, root)),
    "validate-carried": lambda node, root: ValidationContext(_carried(node, root)),
}
"""How each context is made of a relay node and the root of the relay parent's state."""


def relay_contexts(entries: Mapping[bytes, bytes]) -> dict[str, Callable[[], HostContext]]:
    """Every context over the relay state with these entries, for `assert_contexts_agree`."""
    node = OneState(entries)

    def making(make: MakeRelayContext) -> Callable[[], HostContext]:
        return lambda: make(node, node.root)

    return {label: making(make) for label, make in RELAY_CONTEXTS.items()}


def assert_function_conforms(
    *functions: HostFunction[..., Any],
    relay_states: SearchStrategy[dict[bytes, bytes]] | None = None,
    settings: hypothesis_settings | None = None,
) -> None:
    """Put host functions that read relay state through `run_conformance_test` in every context.

    ``relay_states`` draws the entries of relay states (`pileus.testing.strategies.relay_states`). Raises
    `NonConformance`; a context's label stands in a note of the error.
    """
    for label, make in RELAY_CONTEXTS.items():
        try:
            run_conformance_test(
                make_relay_context=make, functions=functions, relay_entries=relay_states, settings=settings
            )
        except Exception as error:
            error.add_note(f"in the context {label}")
            raise
