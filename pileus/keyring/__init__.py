"""Development keys that sign reproducibly.

A run of the workbench must give the same bytes from the same seed, but the library that verifies sr25519
signatures draws a random nonce for each one it makes. This package signs without randomness instead, for
**test keys only**: the time its integer arithmetic takes depends on the secret, and the well-known
development keys are public anyway. Verification is never done here; that is the host function's.
"""

from __future__ import annotations

from pileus.keyring.keypair import DEV_MINI_SECRET, InvalidUri, Keypair

__all__ = ["DEV_MINI_SECRET", "InvalidUri", "Keypair"]
