"""Votes on new validation code, handed to a real relay runtime as its validators' nodes do.

The runtime itself makes the extrinsic: `ParachainHost_submit_pvf_check_statement` leaves it with the node
[polkadot-pvf-checker]. Who votes how is `pileus.relay_chain.prechecking`.
"""

from __future__ import annotations

from host_functions.contexts import OffchainContext
from host_functions.executor import Runtime
from pileus.relay_chain.pvf_checks import SignedPvfCheck

__all__ = ["SUBMIT", "pvf_check_extrinsic"]

SUBMIT = "ParachainHost_submit_pvf_check_statement"
"""The function of the runtime API; runtimes of before 2022 have no votes and lack it."""


def pvf_check_extrinsic(runtime: Runtime, context: OffchainContext, vote: SignedPvfCheck) -> bytes | None:
    """The extrinsic that brings a vote, with its length; ``None`` if the runtime makes none."""
    runtime.call(SUBMIT, vote.encode(), context)
    return context.submitted[-1] if context.submitted else None
