"""The container of a PoV is the one that the validation function takes, found out once for each code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from host_functions.contexts import HostContext
from host_functions.errors import GuestPanic
from pileus.collator.container import Containers, PovRefused
from runtime.primitives.block import Block
from runtime.primitives.header import Header
from runtime.primitives.parachain import PersistedValidationData, ValidationParams, ValidationResult
from runtime.primitives.parachain_block_data import VERSIONED_PREFIX

PVD = PersistedValidationData(b"parent", 5, bytes(32), 1 << 20)
BLOCK = Block(Header(bytes(32), 1, b"s" * 32, b"x" * 32), ())
PROOF = (b"compact",)
NODES = {b"2": b"second", b"1": b"first"}


def is_compact(payload: bytes) -> bool:
    return payload.endswith(b"\x04\x1ccompact") and not payload.startswith(VERSIONED_PREFIX)


def is_plain(payload: bytes) -> bool:
    return payload.endswith(b"\x08\x14first\x18second")


def is_versioned(payload: bytes) -> bool:
    return payload.startswith(VERSIONED_PREFIX + b"\x01")


class Picky:
    """A runtime that takes one form."""

    code = b"code"

    def __init__(
        self, takes: Callable[[bytes], bool], *, code_hash: bytes = bytes(32), head: bytes | None = None
    ):
        self.takes = takes
        self.code_hash = code_hash
        self.head = BLOCK.header.encode() if head is None else head
        self.asked = 0

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        assert entry_point == "validate_block"
        self.asked += 1
        if not self.takes(ValidationParams.decode(argument).block_data):
            raise GuestPanic(entry_point, "no such form")
        return ValidationResult(self.head, None, (), (), 0, 5).encode()


@pytest.mark.parametrize(
    "takes, asked", [(is_compact, 1), (is_plain, 2), (is_versioned, 3)], ids=["compact", "plain", "versioned"]
)
def test_the_form_is_found_out_once(takes: Callable[[bytes], bool], asked: int) -> None:
    containers = Containers()
    runtime = Picky(takes)
    payload = containers.choose(runtime, PVD, BLOCK, PROOF, NODES)
    assert takes(payload.encode())
    assert containers.choose(runtime, PVD, BLOCK, PROOF, NODES) == payload
    assert runtime.asked == asked
    # Another code is another question.
    other = Picky(is_compact, code_hash=b"\x01" * 32)
    assert is_compact(containers.choose(other, PVD, BLOCK, PROOF, NODES).encode())
    assert other.asked == 1


def test_what_every_form_met_with_is_said() -> None:
    containers = Containers()
    with pytest.raises(PovRefused) as refused:
        containers.choose(Picky(lambda payload: False), PVD, BLOCK, PROOF, NODES)
    for form in ("compact", "plain", "versioned"):
        assert f"{form}: validate_block: no such form" in str(refused.value)
    with pytest.raises(PovRefused, match="compact: another head came back; plain: validate_block"):
        containers.choose(Picky(is_compact, head=b"another"), PVD, BLOCK, PROOF, NODES)
    # Nothing was learnt from a block that is bad in every form.
    assert is_plain(containers.choose(Picky(is_plain), PVD, BLOCK, PROOF, NODES).encode())
