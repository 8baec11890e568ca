"""The primitive types of relay chain and parachains, byte for byte, and SCALE, which encodes them."""
