"""The relay validator's side: checks around a candidate, the PVF call, verdicts.

`validate_candidate` judges one candidate from exactly what a validator of some role holds, and answers with one of
three verdicts: `Valid`, `Invalid` (the candidate is wrong) or `Abstain` (this validator cannot tell).
"""

from __future__ import annotations

from pov_validator.relay_source import Carried, Fallback, OwnState, RelayStateSource
from pov_validator.validate import validate_candidate
from pov_validator.verdict import Abstain, AbstainReason, Invalid, InvalidReason, Valid, Verdict

__all__ = [
    "Abstain",
    "AbstainReason",
    "Carried",
    "Fallback",
    "Invalid",
    "InvalidReason",
    "OwnState",
    "RelayStateSource",
    "Valid",
    "Verdict",
    "validate_candidate",
]
