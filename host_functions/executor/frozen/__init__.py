"""A Python runtime as one Wasm blob: the VM it needs, freezing it, and running it."""
