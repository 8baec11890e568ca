"""ParachainInfo: the parachain's own id, fixed at genesis. Follows ``parachain_info``
[cumulus-parachain-info].
"""

from __future__ import annotations

from runtime.primitives.scale import u32
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageValue


class ParachainInfo(Pallet):
    """Who we are on the relay chain."""

    ParachainId = StorageValue(u32, default=100)
    """100 is the default of ``parachain_info``."""
