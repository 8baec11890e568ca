"""What if a validator's relay chain lied? Override one host function in one context, and see.

Run it with ``python examples/lying_relay.py``.
"""

from pathlib import Path

from host_functions.contexts import ValidationContext
from host_functions.errors import PileusError, StateUnavailable
from host_functions.interfaces.relay_chain_state import read_relay_state
from host_functions.relay_state import RelayOwnState
from pileus.network.run import Network
from pileus.network.topology import read_topology
from pov_validator.validate import validation_params

_, topology = read_topology(Path(__file__).with_name("two_parachains.toml"))
network = Network(topology, seed=1, relay_state="own")
candidate = next(c for report in network.run(10) for c in report.candidates if c.proven).collation
params = validation_params(candidate.pvd, candidate.block_data.encode()).encode()
root = candidate.pvd.relay_parent_storage_root


def absent(key: bytes) -> None:
    """A relay chain that denies ever having heard of the sibling."""


def pruned(key: bytes) -> None:
    """A relay chain that has forgotten the state."""
    raise StateUnavailable(root)


for name, replacement in {"honest": None, "absent": absent, "pruned": pruned}.items():
    context = ValidationContext(RelayOwnState(network.chain.database, root))
    judged_in = context if replacement is None else context.override({read_relay_state: replacement})
    try:
        network.parachains[0].runtime.call("validate_block", params, judged_in)
        print(f"{name}: executes, and the header is the one it computes")
    except PileusError as error:
        print(f"{name}: {type(error).__name__}: {str(error)[:60]}…")
