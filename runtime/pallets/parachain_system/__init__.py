"""The parachain's side of the relay chain: see `runtime.pallets.parachain_system.pallet`."""

from runtime.pallets.parachain_system.pallet import ParachainSystem as ParachainSystem
