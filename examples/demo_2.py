"""The second version of the demo parachain: its mailbox cuts long letters instead of refusing them.

What a new version is: a higher ``spec_version``, what has changed, and the pallets put together again, at the places
they have. Its storage is the first version's, so there is nothing to migrate. ``upgrade.toml`` upgrades to it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from runtime.apis import ParachainRuntime, runtime_apis
from runtime.chains import demo
from runtime.executive import Executive
from runtime.pallets import mailbox as first
from runtime.pallets.assets import Assets
from runtime.pallets.aura import Aura
from runtime.pallets.balances import Balances
from runtime.pallets.evm_messaging import EvmMessaging
from runtime.pallets.lookout import Lookout
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.state_messaging import StateMessaging
from runtime.pallets.state_messaging.types import Message
from runtime.pallets.state_query import StateQuery
from runtime.pallets.system import System, phase_codec
from runtime.pallets.timestamp import Timestamp
from runtime.support.construct import Pallets
from runtime.validate_block import validate_block

VERSION = replace(demo.VERSION, spec_version=2)


class Mailbox(first.Mailbox):
    """Has the first one's name, which is that of its storage."""

    def on_message(self, message: Message) -> None:
        """Keep the letter, as much of it as a letter may have."""
        shown = replace(message.body, payload=message.body.payload[: first.MAX_LETTER])
        super().on_message(replace(message, body=shown))


system = System(version=VERSION, governance=demo.ensure_authority)
parachain_info = ParachainInfo()
aura = Aura(system, slot_duration=demo.SLOT_DURATION)
timestamp = Timestamp(minimum_period=demo.SLOT_DURATION // 2, on_timestamp_set=aura.check_timestamp)
parachain_system = ParachainSystem(system, parachain_info, on_relay_slot=aura.check_relay_slot)
balances = Balances(system, existential_deposit=demo.EXISTENTIAL_DEPOSIT)
mailbox = Mailbox()
state_messaging = StateMessaging(parachain_info, timestamp, handlers={first.RECIPIENT: mailbox})
assets = Assets(parachain_info, balances, state_messaging)
state_query = StateQuery(
    system, parachain_info, parachain_system, balances, heads=state_messaging, deposit=demo.QUERY_DEPOSIT
)
lookout = Lookout(state_query)

pallets = Pallets(
    {
        0: system,
        1: parachain_system,
        2: timestamp,
        3: parachain_info,
        10: balances,
        23: aura,
        50: state_messaging,
        51: mailbox,
        52: state_query,
        53: assets,
        54: EvmMessaging(parachain_info, state_messaging),
        55: lookout,
    },
    events=system,
    phase=phase_codec,
)

GenesisConfig = demo.GenesisConfig
RUNTIME = ParachainRuntime(
    version=VERSION,
    pallets=pallets,
    executive=Executive(system, parachain_system, pallets, charge=balances.charge_fee),
    system=system,
    aura=aura,
    parachain_system=parachain_system,
    state_messaging=state_messaging,
    build_state=demo.build_state,
    state_query=state_query,
)
ENTRY_POINTS = {**runtime_apis(RUNTIME), "validate_block": partial(validate_block, RUNTIME, demo.LAYOUT)}
