"""The demo parachain: balances that move between parachains, a mailbox, and a lookout on others.

``construct_runtime!`` and the runtime's configuration in one file: versions, pallets with their indices,
limits, genesis. Every parachain of the demo runs this runtime; its id is in its genesis state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from host_functions.interfaces import storage as host
from runtime.apis import (
    API_VERSIONS,
    STATE_MESSAGING_APIS,
    STATE_QUERY_API,
    ParachainRuntime,
    runtime_apis,
)
from runtime.executive import Executive
from runtime.pallets.assets import Assets
from runtime.pallets.aura import Aura
from runtime.pallets.balances import Balances
from runtime.pallets.evm_messaging import EvmMessaging
from runtime.pallets.lookout import Lookout
from runtime.pallets.mailbox import RECIPIENT, Mailbox
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.state_messaging import StateMessaging
from runtime.pallets.state_query import StateQuery
from runtime.pallets.system import LastRuntimeUpgradeInfo, System, phase_codec
from runtime.pallets.timestamp import Timestamp
from runtime.primitives.scale import U32, U128, AccountId, Struct
from runtime.primitives.version import RuntimeVersion
from runtime.support.construct import Pallets
from runtime.support.dispatch import BadOrigin, Origin, ensure_signed
from runtime.trie.layout import LAYOUT_V1
from runtime.validate_block import validate_block

SLOT_DURATION = 6_000
"""Milliseconds."""
UNIT = 10**12
EXISTENTIAL_DEPOSIT = UNIT // 1_000
QUERY_DEPOSIT = UNIT // 100

VERSION = RuntimeVersion(
    spec_name="pileus-demo",
    impl_name="pileus-demo",
    authoring_version=1,
    spec_version=1,
    impl_version=0,
    apis=(*API_VERSIONS, *STATE_MESSAGING_APIS, STATE_QUERY_API),
    transaction_version=1,
    system_version=1,
)
LAYOUT = LAYOUT_V1
"""``system_version`` 1: state in layout V1, extrinsics root in V0 [RFC-42]."""


def ensure_authority(origin: Origin) -> None:
    """The demo's governance: whoever authors blocks may authorize an upgrade. Raises `BadOrigin`."""
    if ensure_signed(origin) not in aura.Authorities.get():
        raise BadOrigin("an Aura authority is required")


system = System(version=VERSION, governance=ensure_authority)
parachain_info = ParachainInfo()
aura = Aura(system, slot_duration=SLOT_DURATION)
timestamp = Timestamp(minimum_period=SLOT_DURATION // 2, on_timestamp_set=aura.check_timestamp)
parachain_system = ParachainSystem(system, parachain_info, on_relay_slot=aura.check_relay_slot)
balances = Balances(system, existential_deposit=EXISTENTIAL_DEPOSIT)
mailbox = Mailbox()
state_messaging = StateMessaging(parachain_info, timestamp, handlers={RECIPIENT: mailbox})
assets = Assets(parachain_info, balances, state_messaging)
state_query = StateQuery(
    system, parachain_info, parachain_system, balances, heads=state_messaging, deposit=QUERY_DEPOSIT
)
lookout = Lookout(state_query)
evm_messaging = EvmMessaging(parachain_info, state_messaging)

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
        54: evm_messaging,
        55: lookout,
    },
    events=system,
    phase=phase_codec,
)


@dataclass(frozen=True, slots=True)
class GenesisConfig(Struct):
    """What the genesis state depends on."""

    para_id: U32
    authorities: tuple[AccountId, ...]
    """Aura authorities, in the order of their turns."""
    balances: tuple[tuple[AccountId, U128], ...]
    """Endowed accounts; amounts below the existential deposit are refused."""


def build_state(encoded: bytes) -> None:
    """Write the genesis state of a `GenesisConfig`. Raises `ScaleError`, `ValueError`."""
    config = GenesisConfig.decode(encoded)
    host.set(b":c", b"")
    host.set(b":extrinsic_index", b"\x00\x00\x00\x00")
    system.BlockHash.insert(0, bytes(32))
    system.LastRuntimeUpgrade.put(LastRuntimeUpgradeInfo(VERSION.spec_version, VERSION.spec_name))
    parachain_info.ParachainId.put(config.para_id)
    aura.Authorities.put(config.authorities)
    for account, amount in config.balances:
        if amount < EXISTENTIAL_DEPOSIT:
            raise ValueError(
                f"genesis balance {amount} of 0x{account.hex()} is below the existential deposit"
            )
        balances.endow(account, amount)
    assets.build_genesis()


RUNTIME = ParachainRuntime(
    version=VERSION,
    pallets=pallets,
    executive=Executive(system, parachain_system, pallets, charge=balances.charge_fee),
    system=system,
    aura=aura,
    parachain_system=parachain_system,
    build_state=build_state,
    state_messaging=state_messaging,
    state_query=state_query,
)

ENTRY_POINTS = {**runtime_apis(RUNTIME), "validate_block": partial(validate_block, RUNTIME, LAYOUT)}
"""What a node may call."""
