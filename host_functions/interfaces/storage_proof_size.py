"""Size of the proof recorded so far: RFC-43 [RFC-43]."""

from host_functions.abi import U64
from host_functions.declare import host_function


@host_function("storage_proof_size")
def storage_proof_size() -> U64:
    """Bytes: the sum, over distinct recorded nodes and detached values, of length plus compact length prefix.

    ``2**64 - 1`` where nothing is recorded. Block authoring, import and PoV validation must agree on it to
    the byte.
    """
