"""A test for whoever writes a host context: does it behave as every context must?

::

    from host_functions.conformance import run_conformance_test

    def test_my_context():
        run_conformance_test(lambda storage: MyContext(*build_state(storage)))

It searches, with Hypothesis, for the shortest sequence of host calls that breaks a rule, and shows it. The
rules:

* what was written is read back, deleted or not, through all versions of each function;
* transactions nest, keep or take back everything, and cannot be closed when none is open;
* iteration by ``next_key`` has the order of keys; ``clear_prefix`` and ``storage_kill`` count the backend's
  keys;
* ``append`` keeps the vector and its length;
* the root is that of the resulting map, whatever the order of writes;
* hashing is a function of its input;
* two contexts over the same state do not see each other;
* the proof size never shrinks, and the recorded nodes alone give the same answers, root and proof size again;
* a relay read is constant, and a relay state with a node missing never yields "absent";
* a host function of your own that reads is decided by its arguments and the state, and never guesses.

Not tried: what happens to the block around the calls, which is `pileus`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from host_functions.conformance.report import NonConformance
from host_functions.contexts.base import HostContext
from host_functions.declare import HostFunction
from host_functions.interfaces import child_storage, hashing, storage
from host_functions.relay_state.answerers import RelayNodeState
from host_functions.state_machine.genesis import Storage

if TYPE_CHECKING:
    from hypothesis import settings as hypothesis_settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["NonConformance", "run_conformance_test"]


def run_conformance_test(
    make_context: Callable[[Storage], HostContext] | None = None,
    *,
    settings: hypothesis_settings | None = None,
    interfaces: Iterable[ModuleType] = (storage, child_storage, hashing),
    state_version: int = 1,
    recorded: Callable[[HostContext], Iterable[bytes]] | None = None,
    make_relay_context: Callable[[RelayNodeState, bytes], HostContext] | None = None,
    functions: Iterable[HostFunction[..., Any]] = (),
    relay_entries: SearchStrategy[Mapping[bytes, bytes]] | None = None,
) -> None:
    """Raise `NonConformance` if the contexts that ``make_context`` makes break a rule.

    ``make_context`` gets a state and returns a fresh context over it, written in ``state_version``; without it
    only what ``make_relay_context`` makes is tried. ``interfaces`` are those the context offers. ``recorded``
    gives the trie nodes that a context has recorded; with it, replays are tried. ``make_relay_context`` gets a
    relay node, possibly one that lost a trie node, and the storage root of the relay parent, and returns a
    context that reads from it; with it, the rules of relay reads are tried.

    ``functions`` are host functions of your own that read and write nothing. They are called with arguments
    drawn from their declarations, over states, and over relay states with the entries drawn from
    ``relay_entries``, which should have the keys that they look at.

    ``settings`` are Hypothesis', for more or fewer examples.

    Raises `ModuleNotFoundError` if Hypothesis is not installed.
    """
    try:
        # Late: contexts are useful without it, and a host must not need a testing tool to start.
        import hypothesis
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "run_conformance_test needs hypothesis: install pileus[testing]", name="hypothesis"
        ) from error
    from host_functions.conformance import function_rules, relay_rules, storage_rules

    if make_context is None and make_relay_context is None:
        raise TypeError("run_conformance_test needs make_context or make_relay_context")
    chosen = hypothesis.settings(deadline=None) if settings is None else settings
    families, own = tuple(interfaces), tuple(functions)
    if make_context is not None:
        if families:
            storage_rules.run(make_context, families, state_version, recorded, chosen)
        if own:
            function_rules.run(make_context, own, chosen)
    if make_relay_context is not None:
        relay_rules.run(make_relay_context, chosen)
        if own:
            function_rules.run_over_relay_states(make_relay_context, own, relay_entries, chosen)
