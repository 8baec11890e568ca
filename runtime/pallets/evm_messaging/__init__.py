"""Messages that contracts on EVM parachains log: see `runtime.pallets.evm_messaging.pallet`."""

from runtime.pallets.evm_messaging.pallet import EvmMessaging as EvmMessaging
