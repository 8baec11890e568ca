"""The ``pileus`` command: one file per verb, assembled in `pileus.cli.app`.

Exit status: 0 when what was asked holds, 1 when it does not (with the reason), 2 when the input cannot be
read.
"""
