"""The boundary between a parachain runtime and whoever executes it.

A host function is declared once (`host_functions.interfaces`) and answered by a *context*
(`host_functions.contexts`): block authoring, PoV validation, block import, offchain queries. The guest sees the
declarations only.
"""
