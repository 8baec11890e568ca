"""Runtimes put together from the pallets: the chains of docs, demo and tests."""
