"""Errors of the primitive types: undecodable bytes, values that do not encode, invalid blocks.

Follows the error behaviour of [parity-scale-codec] (`codec::Error`) with the position added. Dispatch
errors, host errors and trie errors are defined beside the code that raises them.
"""

from __future__ import annotations

from host_functions.errors import PileusError


class ScaleError(PileusError, ValueError):
    """Bytes are not an encoding of the expected type, or a value is not a member of the type to encode.

    `reason` says what is wrong, `what` names the type or the field path it was expected at, and `offset` is
    the position in the input (in bytes; None when encoding).
    """

    def __init__(self, reason: str, *, what: str, offset: int | None = None) -> None:
        self.reason = reason
        self.what = what
        self.offset = offset
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{what}{where}: {reason}")

    def within(self, container: str) -> ScaleError:
        """The same error, named from the field or the item of `container` it occurred in."""
        return ScaleError(self.reason, what=f"{container}: {self.what}", offset=self.offset)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_scale_error, (self.reason, self.what, self.offset))


def _rebuild_scale_error(reason: str, what: str, offset: int | None) -> ScaleError:
    return ScaleError(reason, what=what, offset=offset)


class InvalidBlock(PileusError):
    """A block breaks a rule of the chain.

    `reason` is the rule in words; it is a verdict, never a failure to judge.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
