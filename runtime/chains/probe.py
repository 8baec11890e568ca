"""The chain of the verdict matrix: nothing but what a parachain needs, and a pallet that reads relay state on demand.

Small on purpose, so that what a candidate costs in bytes and relay reads is the doing of the probe alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from host_functions.interfaces import storage as host
from runtime.apis import API_VERSIONS, ParachainRuntime, runtime_apis
from runtime.executive import Executive
from runtime.pallets.aura import Aura
from runtime.pallets.balances import Balances
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.relay_probe import RelayProbe
from runtime.pallets.system import LastRuntimeUpgradeInfo, System, phase_codec
from runtime.pallets.timestamp import Timestamp
from runtime.primitives.scale import U32, U128, AccountId, Struct
from runtime.primitives.version import RuntimeVersion
from runtime.support.construct import Pallets
from runtime.trie.layout import LAYOUT_V1
from runtime.validate_block import validate_block

SLOT_DURATION = 6_000
"""Milliseconds."""
EXISTENTIAL_DEPOSIT = 10**9

VERSION = RuntimeVersion(
    spec_name="pileus-probe",
    impl_name="pileus-probe",
    authoring_version=1,
    spec_version=1,
    impl_version=0,
    apis=API_VERSIONS,
    transaction_version=1,
    system_version=1,
)
LAYOUT = LAYOUT_V1

system = System(version=VERSION)
parachain_info = ParachainInfo()
aura = Aura(system, slot_duration=SLOT_DURATION)
timestamp = Timestamp(minimum_period=SLOT_DURATION // 2, on_timestamp_set=aura.check_timestamp)
parachain_system = ParachainSystem(system, parachain_info, on_relay_slot=aura.check_relay_slot)
balances = Balances(system, existential_deposit=EXISTENTIAL_DEPOSIT)
relay_probe = RelayProbe()

pallets = Pallets(
    {
        0: system,
        1: parachain_system,
        2: timestamp,
        3: parachain_info,
        10: balances,
        23: aura,
        60: relay_probe,
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
    """Endowed accounts."""


def build_state(encoded: bytes) -> None:
    """Write the genesis state of a `GenesisConfig`. Raises `ScaleError`."""
    config = GenesisConfig.decode(encoded)
    host.set(b":c", b"")
    host.set(b":extrinsic_index", b"\x00\x00\x00\x00")
    system.BlockHash.insert(0, bytes(32))
    system.LastRuntimeUpgrade.put(LastRuntimeUpgradeInfo(VERSION.spec_version, VERSION.spec_name))
    parachain_info.ParachainId.put(config.para_id)
    aura.Authorities.put(config.authorities)
    for account, amount in config.balances:
        balances.endow(account, amount)


RUNTIME = ParachainRuntime(
    version=VERSION,
    pallets=pallets,
    executive=Executive(system, parachain_system, pallets),
    system=system,
    aura=aura,
    parachain_system=parachain_system,
    build_state=build_state,
)

ENTRY_POINTS = {**runtime_apis(RUNTIME), "validate_block": partial(validate_block, RUNTIME, LAYOUT)}
"""What a node may call."""
