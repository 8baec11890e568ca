"""Helpers for tests and experiments: candidates as a dishonest collator would make them."""

from pileus.testing.tampering import bit_flips as bit_flips
from pileus.testing.tampering import recommit as recommit
from pileus.testing.tampering import reseal as reseal
