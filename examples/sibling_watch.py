"""A runtime that calls the host function of ``sibling_head.py``: the demo's, with one pallet more.

Run it with ``PYTHONPATH=examples pileus run examples/sibling_watch.toml``.
"""

from dataclasses import replace
from functools import partial

import sibling_head

from runtime.apis import runtime_apis
from runtime.chains import demo
from runtime.executive import Executive
from runtime.pallets.system import phase_codec
from runtime.primitives.scale import byte_vec
from runtime.support.construct import Pallets
from runtime.support.pallet import Pallet
from runtime.support.storage import StorageValue
from runtime.support.weights import Weight
from runtime.validate_block import validate_block


class SiblingWatch(Pallet):
    """Keeps the head that its sibling had at the relay parent of the newest block."""

    Seen = StorageValue(byte_vec, default=b"")

    def on_initialize(self, number):
        self.Seen.put(sibling_head.head(2000) or b"")
        return Weight()


pallets = Pallets(
    {**{pallet.index: pallet for pallet in demo.pallets}, 99: SiblingWatch()},
    events=demo.system,
    phase=phase_codec,
)
GenesisConfig = demo.GenesisConfig
RUNTIME = replace(
    demo.RUNTIME, pallets=pallets, executive=Executive(demo.system, demo.parachain_system, pallets)
)
ENTRY_POINTS = {**runtime_apis(RUNTIME), "validate_block": partial(validate_block, RUNTIME, demo.LAYOUT)}
