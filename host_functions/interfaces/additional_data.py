"""Commitment to data a block depends on beyond its state: ``sp-additional-data`` [sdk-13022]."""

from typing import Annotated

from host_functions.abi import Into, Wire
from host_functions.declare import host_function

HashInto = Annotated[bytes | None, Wire((), "out", into=Into.FLAG)]
"""32 bytes written into a buffer of the guest and 1, or 0 when there is nothing to commit to."""


@host_function("additional_data", method="finalize_into")
def finalize() -> HashInto:
    """Hash over everything recorded for this block (the relay reads), or ``None`` if nothing was recorded.

    The block commits to it with a `DigestItem.AdditionalData`. Called once, when the block is finalized. A
    context that carries no additional data answers ``None``.
    """
