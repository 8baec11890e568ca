"""Answerers of `read_relay_state`: where a block's reads of the relay chain's state come from.

They differ in where the trie nodes lie and in what a missing one means, and in nothing else: for the same
relay parent and keys, all that can answer give the same values, touch the same nodes and arrive at the same
commitment.
"""

from host_functions.relay_state.answerers import CarriedProof as CarriedProof
from host_functions.relay_state.answerers import EmbeddedRelayNode as EmbeddedRelayNode
from host_functions.relay_state.answerers import OwnElseCarried as OwnElseCarried
from host_functions.relay_state.answerers import RelayNodeState as RelayNodeState
from host_functions.relay_state.answerers import RelayOwnState as RelayOwnState
from host_functions.relay_state.reads import RelayReads as RelayReads
from host_functions.state_machine.relay_reader import RelayStateReader as RelayStateReader
