"""State-proof messaging, the pallet: see `runtime.pallets.state_messaging.pallet`."""

from runtime.pallets.state_messaging.pallet import StateMessaging as StateMessaging
