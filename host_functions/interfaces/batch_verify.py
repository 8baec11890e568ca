"""Batched signature verification: the retired part of ``sp_io::crypto`` [sp-io].

Nothing is batched any more: each signature is verified at once, and `finish_batch_verify` says whether all of
the batch were right. Old runtimes still open and close a batch around every block.
"""

from host_functions.abi import Bool, Bytes, Bytes32, Bytes33, Bytes64, Bytes65
from host_functions.declare import host_function


@host_function("crypto")
def start_batch_verify() -> None:
    """Open a batch. Fails when one is open."""


@host_function("crypto")
def finish_batch_verify() -> Bool:
    """Close the batch; whether every signature in it was right. Fails when none is open."""


@host_function("crypto")
def ed25519_batch_verify(sig: Bytes64, msg: Bytes, pub_key: Bytes32) -> Bool:
    """As ``ed25519_verify``; counts towards the open batch."""


@host_function("crypto")
def sr25519_batch_verify(sig: Bytes64, msg: Bytes, pub_key: Bytes32) -> Bool:
    """As ``sr25519_verify``; counts towards the open batch."""


@host_function("crypto")
def ecdsa_batch_verify(sig: Bytes65, msg: Bytes, pub_key: Bytes33) -> Bool:
    """As ``ecdsa_verify``; counts towards the open batch."""
