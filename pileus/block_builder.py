"""Building a block: the runtime's APIs called in order, over recorded state.

Follows ``sc_basic_authorship`` and ``sc_block_builder`` [sc-block-builder]: initialize, inherents (created in
a transaction that is rolled back), extrinsics from the pool (each in a transaction of its own, so that a
refused one leaves neither changes nor proof), finalize. Drives any runtime that offers ``Core`` and
``BlockBuilder``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from host_functions.contexts import AuthoringContext
from host_functions.errors import SandboxError
from host_functions.executor import Runtime
from host_functions.state_machine.externalities import StorageChanges
from runtime.primitives.block import Block, opaque_extrinsic
from runtime.primitives.digest import DigestItem
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.inherent import InherentData
from runtime.primitives.scale import vec
from runtime.support.dispatch import InvalidTransaction, TransactionValidity
from runtime.trie.layout import Layout

__all__ = ["APPLIED", "Proposal", "RefusedExtrinsic", "propose"]

POV_SHARE = 85
"""Percent of ``max_pov_size`` that a block may fill; the rest is for what the estimate does not see."""

APPLIED: Final = b"\x00\x00"
"""``ApplyExtrinsicResult`` of an extrinsic whose call succeeded."""

_extrinsics = vec(opaque_extrinsic)


@dataclass(frozen=True, slots=True)
class RefusedExtrinsic:
    """An extrinsic of the pool that did not go into the block."""

    extrinsic: bytes
    reason: str
    is_future: bool
    """Whether it may go into a later block: its nonce is ahead, or the block was full."""


_FUTURE = (
    InvalidTransaction(TransactionValidity.FUTURE),
    InvalidTransaction(TransactionValidity.EXHAUSTS_RESOURCES),
)
FUTURE_RESULTS = tuple(b"\x01" + error.encode() for error in _FUTURE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block without its seal, and everything its PoV is made of."""

    block: Block
    changes: StorageChanges
    proof_nodes: dict[bytes, bytes]
    """Recorded nodes and detached values of the parent's state, by hash."""
    storage_proof_size: int
    """Bytes, at the end of the execution; relay reads included."""
    dispatch_results: tuple[bytes, ...]
    """SCALE ``ApplyExtrinsicResult`` of every extrinsic in the block."""
    refused: tuple[RefusedExtrinsic, ...]


def _refusal(result: bytes) -> str:
    """An ``ApplyExtrinsicResult`` that is an error, by its name where it is an ``InvalidTransaction``."""
    if len(result) == 3 and result[:2] == b"\x01\x00" and result[2] in [*TransactionValidity]:
        return str(InvalidTransaction(TransactionValidity(result[2])))
    return f"ApplyExtrinsicResult 0x{result.hex()}"


def propose(
    runtime: Runtime,
    parent: Header,
    digest: Sequence[DigestItem],
    context: AuthoringContext,
    inherent_data: InherentData,
    pool: Sequence[bytes],
    *,
    layout: Layout,
    state_version: int,
    max_pov_size: int,
) -> Proposal:
    """Build a block on ``parent``, whose state ``context`` records.

    ``state_version`` is the runtime's, with which it writes the state.

    Raises `InvalidBlock` if an inherent is refused, and `PileusError` from the runtime or the host.
    """
    state = context.state
    recorder = state.recorder
    if recorder is None:
        raise TypeError("a block is built over an Externalities with a recorder")

    def call(entry_point: str, argument: bytes) -> bytes:
        try:
            return runtime.call(entry_point, argument, context)
        except SandboxError as error:
            error.args = (f"block {parent.number + 1}: {error}",)
            raise

    # INITIALIZE
    header = Header(parent.hash(layout.hasher.digest), parent.number + 1, bytes(32), bytes(32), tuple(digest))
    call("Core_initialize_block", header.encode())

    # INHERENTS
    state.begin_host_transaction()
    inherents = _extrinsics.decode(call("BlockBuilder_inherent_extrinsics", inherent_data.encode()))
    state.rollback_host_transaction()
    included: list[bytes] = []
    results: list[bytes] = []
    for extrinsic in inherents:
        result = call("BlockBuilder_apply_extrinsic", extrinsic)
        if result != APPLIED:
            raise InvalidBlock(f"inherent {len(included)} was refused: ApplyExtrinsicResult 0x{result.hex()}")
        included.append(extrinsic)
        results.append(result)

    # EXTRINSICS
    refused: list[RefusedExtrinsic] = []
    room = max_pov_size * POV_SHARE // 100
    length = sum(map(len, included))
    for extrinsic in pool:
        if state.storage_proof_size() + length + len(extrinsic) > room:
            refused.append(RefusedExtrinsic(extrinsic, "the block is full", is_future=True))
            continue
        state.begin_host_transaction()
        try:
            result = call("BlockBuilder_apply_extrinsic", extrinsic)
        except (InvalidBlock, SandboxError) as error:
            # The runtime panicked: the extrinsic would make any block invalid (an inherent in the pool, for example).
            state.rollback_host_transaction()
            refused.append(RefusedExtrinsic(extrinsic, str(error), is_future=False))
            continue
        if result.startswith(b"\x00"):
            state.commit_host_transaction()
            included.append(extrinsic)
            results.append(result)
            length += len(extrinsic)
        else:
            state.rollback_host_transaction()
            future = result in FUTURE_RESULTS
            refused.append(RefusedExtrinsic(extrinsic, _refusal(result), is_future=future))

    # FINALIZE
    final = Header.decode(call("BlockBuilder_finalize_block", b""))
    proof_size = state.storage_proof_size()
    proof_nodes = dict(recorder)
    return Proposal(
        Block(final, tuple(included)),
        state.drain(state_version),
        proof_nodes,
        proof_size,
        tuple(results),
        tuple(refused),
    )
