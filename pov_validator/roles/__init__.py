"""Who judges a candidate, when, and from what: each role as a function of exactly the inputs that it has.

==================== ============================== ========================================================
role                 when it looks                  what it has
==================== ============================== ========================================================
collator             while authoring                parachain state; relay state at the relay parent
backer               at once                        PoV and validation data from the collator; facts about
                                                    the relay parent
approval checker     a minute after inclusion       the receipt; recovers `AvailableData`
dispute participant  up to a day later, any fork    the receipt; recovers `AvailableData`
syncing full node    any time                       the block and its parent's state; what is synced with it
==================== ============================== ========================================================

Where relay state comes from is another choice (`pov_validator.RelayStateSource`), the same for all of them. Every role
answers with a `Judgement`: a `Verdict` with its typed reason, and what it took.
"""

from __future__ import annotations

from pov_validator.roles.judgement import Judgement, RelayReadLog, Role, Watching
from pov_validator.roles.parachain import Authored, judge_as_collator, judge_as_full_node
from pov_validator.roles.recovery import BadEncoding, Unavailable, recover
from pov_validator.roles.validators import (
    Recovery,
    RelayParentFacts,
    judge_as_approval_checker,
    judge_as_backer,
    judge_as_dispute_participant,
)

__all__ = [
    "Authored",
    "BadEncoding",
    "Judgement",
    "Recovery",
    "RelayParentFacts",
    "RelayReadLog",
    "Role",
    "Unavailable",
    "Watching",
    "judge_as_approval_checker",
    "judge_as_backer",
    "judge_as_collator",
    "judge_as_dispute_participant",
    "judge_as_full_node",
    "recover",
]
