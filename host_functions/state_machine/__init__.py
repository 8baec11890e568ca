"""The state machine: a state at a root, the changes on top of it, and the storage host functions over both.

Pure guest code: a node runs it over its database, ``validate_block`` runs the same code over the witness of a
PoV.
"""

from host_functions.state_machine.backend import FullBackend as FullBackend
from host_functions.state_machine.backend import TrieBackend as TrieBackend
from host_functions.state_machine.backend import WitnessBackend as WitnessBackend
from host_functions.state_machine.errors import NoOpenTransaction as NoOpenTransaction
from host_functions.state_machine.errors import OpenHostTransaction as OpenHostTransaction
from host_functions.state_machine.externalities import Externalities as Externalities
from host_functions.state_machine.externalities import StateChanges as StateChanges
from host_functions.state_machine.externalities import StorageChanges as StorageChanges
from host_functions.state_machine.genesis import Storage as Storage
from host_functions.state_machine.genesis import build_state as build_state
from host_functions.state_machine.overlay import Overlay as Overlay
from host_functions.state_machine.relay_reader import RelayStateReader as RelayStateReader
from host_functions.state_machine.table import STORAGE_TABLE as STORAGE_TABLE
from host_functions.state_machine.table import storage_implementations as storage_implementations
