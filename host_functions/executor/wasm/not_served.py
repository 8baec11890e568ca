"""Host functions that exist, or existed, and that no context here answers: their names and why.

A blob that imports one links to a stub that stops the guest with this reason when it is called. What is neither
declared nor listed here is nobody's: the stub says so.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NOT_SERVED", "reason_not_served"]

NOT_SERVED: Final = {
    "ext_sandbox_": "guests that run guests; retired from polkadot-sdk with the contracts of 2020",
    "ext_elliptic_curves_": "arithmetic on elliptic curves, off on validators unless an executor parameter is set",
    "ext_crypto_bandersnatch_": "keys for ring signatures; experimental",
    "ext_crypto_bls381_": "BLS keys; experimental",
    "ext_crypto_ecdsa_bls381_": "BLS keys; experimental",
    "ext_runtime_tasks_": "threads of the runtime; retired from polkadot-sdk",
    "ext_statement_store_": "the node's statement store, which Pileus does not have",
    "ext_benchmarking_": "measuring weights, for nodes built for benchmarking only",
}
"""Prefix of the import name -> what the functions are."""


def reason_not_served(name: str) -> str | None:
    """Why nobody answers the function with this import name, if it is known."""
    for prefix, reason in NOT_SERVED.items():
        if name.startswith(prefix):
            return reason
    return None
