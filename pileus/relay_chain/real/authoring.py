"""One relay block: made through the runtime's APIs, and executed once more as any other node would.

Follows BABE's secondary slots [sp-consensus-babe]: the authority ``slot % authorities`` authors, no VRF and no seal,
which the runtime does not check. Its debug log is kept, because that is where the inclusion pallet says why it leaves
a candidate out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from host_functions.contexts import AuthoringContext, ImportContext
from host_functions.contexts.families import LogLine, VersionReader
from host_functions.errors import ContextDivergence, DeadlineExceeded, SandboxError
from host_functions.executor.wasm import WasmRuntime
from host_functions.state_machine import Externalities
from pileus.block_builder import Proposal, RefusedExtrinsic, propose
from pileus.relay_chain.block import RelayBlock, SecondaryPlainPreDigest
from pileus.relay_chain.chain import BuiltBlock
from pileus.relay_chain.real.inherent import ParachainsInherentData, relay_inherent_data
from pileus.relay_chain.state import StateDatabase
from runtime.primitives import relay_keys
from runtime.primitives.block import Block
from runtime.primitives.digest import BABE, PreRuntime
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.scale import h256, tuple_of, u64, vec
from runtime.trie.layout import BLAKE2B_256, Layout

__all__ = ["AuthoredBlock", "author_block", "check_block", "layout_of"]

UNLIMITED: Final = 1 << 62
"""A relay block has no proof of validity, so nothing limits its size but the runtime's weights."""
DEBUG: Final = 4
"""``ext_logging_max_level``: the inclusion pallet says at this level why it leaves a candidate out."""

_authorities = vec(tuple_of(h256, u64))


@dataclass(frozen=True, slots=True)
class AuthoredBlock(BuiltBlock):
    """A new block with its body, and what was offered for it that it does not contain."""

    extrinsics: tuple[bytes, ...] = ()
    """The body, inherents first."""
    dispatch_results: tuple[bytes, ...] = ()
    """SCALE ``ApplyExtrinsicResult`` of each."""
    refused_extrinsics: tuple[RefusedExtrinsic, ...] = ()
    log: tuple[LogLine, ...] = field(default=(), repr=False)
    """What the runtime said while the block was authored."""


def layout_of(runtime: WasmRuntime) -> Layout:
    """How a relay runtime writes its state. All of them hash with BLAKE2b."""
    return Layout(BLAKE2B_256, runtime.version.state_version)


def author_block(
    database: StateDatabase,
    parent: RelayBlock,
    slot: int,
    runtime: WasmRuntime,
    inherent: ParachainsInherentData,
    extrinsics: Sequence[bytes],
    *,
    slot_duration: int,
    version_of: VersionReader,
) -> tuple[Proposal, tuple[LogLine, ...]]:
    """The block in `slot` on `parent`, and what the runtime said meanwhile. `slot_duration` in milliseconds.

    Raises `StateUnavailable`, `InvalidBlock` for an inherent that the runtime refuses, and `SandboxError`.
    """
    layout = layout_of(runtime)
    state = Externalities.recording(database.state_at(parent.state_root), parent.state_root, layout)
    context = AuthoringContext(state, version_of=version_of, max_level=DEBUG)
    stored = database.get(parent.state_root, relay_keys.AUTHORITIES)
    authorities = () if stored is None else _authorities.decode(stored)
    pre_digest = SecondaryPlainPreDigest(slot % max(len(authorities), 1), slot)
    proposal = propose(
        runtime,
        parent.header,
        (PreRuntime(BABE, pre_digest.encode()),),
        context,
        relay_inherent_data(inherent, slot=slot, slot_duration=slot_duration),
        extrinsics,
        layout=layout,
        state_version=layout.state_version,
        max_pov_size=UNLIMITED,
    )
    return proposal, tuple(context.lines)


def check_block(
    database: StateDatabase,
    parent: RelayBlock,
    runtime: WasmRuntime,
    block: Block,
    *,
    version_of: VersionReader,
) -> None:
    """``Core_execute_block``. Raises `ContextDivergence` if the runtime refuses what it has made itself."""
    state = Externalities.recording(
        database.state_at(parent.state_root), parent.state_root, layout_of(runtime)
    )
    try:
        runtime.call("Core_execute_block", block.encode(), ImportContext(state, version_of=version_of))
    except DeadlineExceeded:
        raise
    except (SandboxError, InvalidBlock) as error:
        raise ContextDivergence("authoring", "Core_execute_block", str(error)) from error
