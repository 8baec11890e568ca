"""Which container a validation function takes its block and its proof in.

Three forms were in use, and a runtime says of itself only that it takes the newest (``CollectCollationInfo`` 3):
plain trie nodes until the summer of 2021, the compact proof after, and the versioned container since 2025
[cumulus-pbd]. For the others the collator asks the function itself, once for each code: the first form that it accepts
with the block's own head is the one.
"""

from __future__ import annotations

from collections.abc import Mapping

from host_functions.contexts import ValidationContext
from host_functions.errors import SandboxError
from host_functions.executor import Runtime
from pov_validator.validate import validation_params
from runtime.primitives.block import Block
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.parachain import PersistedValidationData, ValidationResult
from runtime.primitives.parachain_block_data import CompactProof, ParachainBlockData

__all__ = ["Containers", "PovRefused", "validate"]

FORMS = ("compact", "plain", "versioned")
"""In the order they are tried: the first is right for all but the oldest runtimes."""


class PovRefused(InvalidBlock):
    """A validation function accepts its own block in no form."""


class Containers:
    """The forms found out so far."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    def choose(
        self,
        runtime: Runtime,
        pvd: PersistedValidationData,
        block: Block,
        proof: CompactProof,
        nodes: Mapping[bytes, bytes],
    ) -> ParachainBlockData:
        """The payload that ``runtime`` takes. ``nodes`` is what the compact ``proof`` was made of.

        Raises `PovRefused` with what the validation function said to each form.
        """
        known = self._known.get(runtime.code_hash)
        if known is not None:
            return _payload(known, block, proof, nodes)
        reasons: list[str] = []
        for form in FORMS:
            payload = _payload(form, block, proof, nodes)
            try:
                head = validate(runtime, pvd, payload).head_data
            except (SandboxError, ScaleError) as error:
                reasons.append(f"{form}: {error}")
                continue
            if head == block.header.encode():
                self._known[runtime.code_hash] = form
                return payload
            reasons.append(f"{form}: another head came back")
        raise PovRefused("validate_block refuses the collator's own block: " + "; ".join(reasons))


def _payload(
    form: str, block: Block, proof: CompactProof, nodes: Mapping[bytes, bytes]
) -> ParachainBlockData:
    if form == "plain":
        return ParachainBlockData(0, (block,), tuple(sorted(nodes.values())))
    return ParachainBlockData(0 if form == "compact" else 1, (block,), proof)


def validate(runtime: Runtime, pvd: PersistedValidationData, payload: ParachainBlockData) -> ValidationResult:
    """What ``validate_block`` answers. Raises what the runtime raises, and `ScaleError`."""
    params = validation_params(pvd, payload.encode())
    return ValidationResult.decode(runtime.call("validate_block", params.encode(), ValidationContext()))
