"""One candidate, executed again in each context that executes it in the course of its life.

From what a validator gets (the PoV and its validation data) and a relay chain node, every context can be had: the PoV
holds the parachain state that the block touches, so its author and a full node can be replayed over it as well.

=================== ========================================================= ======================================
context             what runs                                                 relay reads are answered from
=================== ========================================================= ======================================
`author`            ``Core_initialize_block``, ``apply_extrinsic``, …         the collator's relay node
`import`            ``Core_execute_block``                                    the full node's relay node
`import-carried`    ``Core_execute_block``                                    the proof that came with the block
`validate-own`      ``validate_block``                                        the validator's relay node
`validate-carried`  ``validate_block``                                        the proof in the PoV
`validate-fallback` ``validate_block``                                        the relay node, else the proof
=================== ========================================================= ======================================

Not modelled: what an author does before the block stands, such as making inherents and trying extrinsics that it leaves
out; observe a running collator to see that (`host_functions.tracing.observing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from host_functions.compressed_blob import POV_BOMB_LIMIT, BlobError, decompress
from host_functions.contexts import AuthoringContext, ImportContext
from host_functions.errors import PileusError
from host_functions.executor import Runtime
from host_functions.executor.wasm import embedded_version_reader
from host_functions.relay_state import RelayNodeState, RelayStateReader
from host_functions.state_machine.externalities import Externalities
from host_functions.tracing import Trace, observing
from pov_validator import Carried, Fallback, OwnState, RelayStateSource, Valid, validate_candidate
from runtime.primitives.block import Block
from runtime.primitives.digest import AdditionalData, PreRuntime
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import CandidateReceipt, PersistedValidationData, PoV
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.trie.compact import decode_compact_proof
from runtime.trie.layout import LAYOUT_V1

__all__ = ["CONTEXTS", "Replayed", "ReplayedCandidate", "UnknownContext", "replay"]


class UnknownContext(PileusError):
    """No context of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no context {name[:40]!r}; there are {', '.join(CONTEXTS)}")


@dataclass(frozen=True, slots=True)
class ReplayedCandidate:
    """What a replay needs: a candidate, the code it names, and a relay chain node."""

    receipt: CandidateReceipt
    pov: PoV
    pvd: PersistedValidationData
    runtime: Runtime | None
    """``None``: the code is not here, and nothing can be executed."""
    relay_node: RelayNodeState


@dataclass(frozen=True, slots=True)
class Replayed:
    """How one context fared."""

    context: str
    trace: Trace
    outcome: str
    """``executes``, a verdict, or the error that ended the execution; one line."""
    succeeded: bool
    """Whether the block was executed to its end, and by a validator found valid."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A PoV, unpacked."""

    block: Block
    """Without its seal."""
    parent: Header
    witness: dict[bytes, bytes]
    commits: bool
    """Whether the header commits to the relay reads."""
    payload: bytes
    """The whole PoV, decompressed."""


def replay(candidate: ReplayedCandidate, context: str) -> Replayed:
    """Execute the candidate in the context of that name, and watch. Raises `UnknownContext`.

    Whatever a candidate can do ends in `Replayed.outcome`.
    """
    if context not in CONTEXTS:
        raise UnknownContext(context)
    trace = Trace(context)
    with observing(trace):
        try:
            outcome, succeeded = CONTEXTS[context](candidate)
        except (PileusError, BlobError) as error:
            outcome, succeeded = f"{type(error).__name__}: {error}", False
    return Replayed(context, trace, outcome, succeeded)


def _open(candidate: ReplayedCandidate) -> _Opened:
    payload = decompress(candidate.pov.block_data, POV_BOMB_LIMIT)
    data = ParachainBlockData.decode_prefix(payload)[0]
    if len(data.blocks) != 1:
        raise PileusError(f"the PoV holds {len(data.blocks)} blocks, only one block can be replayed")
    parent = Header.decode(candidate.pvd.parent_head)
    witness = {blake2_256(node): node for node in data.proof}
    if parent.state_root not in witness:  # the plain nodes are what the oldest runtimes take
        _, witness = decode_compact_proof(data.proof, LAYOUT_V1, parent.state_root)
    block = data.blocks[0]
    unsealed, _ = block.header.without_seal()
    commits = any(isinstance(item, AdditionalData) for item in unsealed.digest)
    return _Opened(Block(unsealed, block.extrinsics), parent, witness, commits, payload)


def _state(opened: _Opened) -> Externalities:
    return Externalities.recording(opened.witness, opened.parent.state_root)


def _author(candidate: ReplayedCandidate) -> tuple[str, bool]:
    opened, runtime = _open(candidate), _runtime_of(candidate)
    context = AuthoringContext(
        _state(opened),
        _relay(candidate, opened, own=True),
        commit_relay_reads=opened.commits,
        version_of=embedded_version_reader,
    )
    header = opened.block.header
    # Only what an author puts there before the block; the rest of the digest is the runtime's own.
    begun = tuple(item for item in header.digest if isinstance(item, PreRuntime))
    announced = replace(header, state_root=bytes(32), extrinsics_root=bytes(32), digest=begun)
    runtime.call("Core_initialize_block", announced.encode(), context)
    for extrinsic in opened.block.extrinsics:
        runtime.call("BlockBuilder_apply_extrinsic", extrinsic, context)
    built = Header.decode(runtime.call("BlockBuilder_finalize_block", b"", context))
    if built != header:
        return f"builds another block: header 0x{built.hash().hex()}", False
    return "builds this block", True


def _import(candidate: ReplayedCandidate, *, own: bool) -> tuple[str, bool]:
    opened, runtime = _open(candidate), _runtime_of(candidate)
    relay = _relay(candidate, opened, own=own)
    context = ImportContext(
        _state(opened), relay, commit_relay_reads=opened.commits, version_of=embedded_version_reader
    )
    runtime.call("Core_execute_block", opened.block.encode(), context)
    return "executes", True


def _relay(candidate: ReplayedCandidate, opened: _Opened, *, own: bool) -> RelayStateReader:
    """Opened at the first read: a block that reads nothing needs no relay state."""
    source = OwnState(candidate.relay_node) if own else Carried()
    return source.reads(candidate.pvd.relay_parent_storage_root, opened.payload)


def _validate(candidate: ReplayedCandidate, relay_state: RelayStateSource) -> tuple[str, bool]:
    verdict = validate_candidate(
        candidate.receipt.descriptor,
        candidate.receipt.commitments_hash,
        candidate.pov,
        candidate.pvd,
        candidate.runtime,
        relay_state,
    )
    return str(verdict), isinstance(verdict, Valid)


def _runtime_of(candidate: ReplayedCandidate) -> Runtime:
    runtime, wanted = candidate.runtime, candidate.receipt.descriptor.validation_code_hash
    if runtime is None or runtime.code_hash != wanted:
        raise PileusError(f"no validation code with hash 0x{wanted.hex()} here")
    return runtime


CONTEXTS: Final[Mapping[str, Callable[[ReplayedCandidate], tuple[str, bool]]]] = {
    "author": _author,
    "import": lambda candidate: _import(candidate, own=True),
    "import-carried": lambda candidate: _import(candidate, own=False),
    "validate-own": lambda candidate: _validate(candidate, OwnState(candidate.relay_node)),
    "validate-carried": lambda candidate: _validate(candidate, Carried()),
    "validate-fallback": lambda candidate: _validate(candidate, Fallback(candidate.relay_node)),
}
"""What executes a candidate, by name."""
