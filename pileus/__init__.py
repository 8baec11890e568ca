"""The node side and the tool: relay chain model, collator, network, command line.

Everything a parachain runtime may *not* know lives here. The command is ``pileus`` (`pileus.cli`).
"""
