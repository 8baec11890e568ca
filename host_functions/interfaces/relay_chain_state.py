"""The relay chain's state as a parachain runtime sees it: the proposal's host function.

The wire form is polkadot-sdk's (``cumulus-primitives-additional-data``) [sdk-13022]: the guest passes a
buffer, the host writes what fits and returns the value's full length, or -1 when the key is *provably
absent*. It never allocates in the guest.
"""

from typing import Annotated

from host_functions.abi import Bytes, Into, Wire
from host_functions.declare import host_function

ValueInto = Annotated[bytes | None, Wire((), "out", into=Into.PREFIX)]
"""The value, written into a buffer of the guest; full length, or -1, as ``i64``."""


@host_function("relay_chain_state", method="read_relay_chain_state_into")
def read_relay_state(key: Bytes) -> ValueInto:
    """Value under ``key`` in the state of the *relay parent*, or ``None`` if it is provably absent there.

    The relay parent is the one of the block's `PersistedValidationData` [cumulus-pvd], so a collator and
    every validator read one and the same trie, whatever their newest block is. A context that cannot answer
    raises `StateUnavailable` or `WitnessMissing`; it never returns ``None`` for want of data.

    Cost: the trie nodes on the key's path count towards `storage_proof_size`, the same in every context.
    """
