"""The guest side of Pileus: primitives, tries, pallets, chains and the entry points a runtime exports.

Everything below this package is pure: it imports the standard library only, reads no clock, draws no
randomness and touches no file, so that the same code gives the same bytes on every machine and inside every
executor. What a runtime needs from the outside world it asks for through ``host_functions``.
"""
