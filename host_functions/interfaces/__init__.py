"""The host functions a runtime may call, one module per interface, as ``sp-io`` groups them [sp-io].

Declarations only: no module here contains behaviour, so a guest may import them all.
"""
