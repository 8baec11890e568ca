"""Whole networks: a topology file becomes a running relay chain with parachains, on a virtual clock."""
