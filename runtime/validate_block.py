"""The guest side of PoV validation: ``validate_block``.

Follows ``cumulus_pallet_parachain_system::validate_block`` [cumulus-vb], phase by phase. Storage is answered
inside the guest: the storage host functions are replaced by a state machine over the witness that the PoV
carries, so a validator needs no parachain state. Relay-chain reads still go to the host, which is the
proposal's override: the validator answers them from the relay chain's own state, or from the proof in the
PoV.

Not modelled: candidates that are submitted again with another scheduling parent, custom head data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from host_functions.declare import HostFunction, replace_implementations
from host_functions.interfaces import offchain_index, storage_proof_size
from host_functions.state_machine.backend import WitnessBackend
from host_functions.state_machine.externalities import Externalities
from host_functions.state_machine.table import storage_implementations
from runtime.apis import ParachainRuntime
from runtime.primitives.additional_data import RELAY_PROOF_KEY, hash_commitments
from runtime.primitives.block import Block
from runtime.primitives.digest import AdditionalData
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.parachain import ValidationParams
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.primitives.scheduling_proof import check_scheduling_proof
from runtime.trie.compact import decode_compact_proof
from runtime.trie.layout import Layout
from runtime.trie.recorder import Recorder

RELAY_PARENT_OFFSET = 0
"""Relay blocks between the newest one and the one built upon. Runtimes here build on the newest."""

MAX_HEAD_DATA_SIZE = 1024 * 1024
"""Bytes; ``polkadot_primitives::MAX_HEAD_DATA_SIZE``."""


def validate_block(runtime: ParachainRuntime, layout: Layout, argument: bytes) -> bytes:
    """Execute the blocks of a PoV on its witness: SCALE `ValidationParams` in, SCALE `ValidationResult` out.

    Raises `InvalidBlock`, `ScaleError` or `TrieError` when the candidate is invalid, and `HostError` when it
    cannot be judged: `WitnessMissing` for an incomplete witness, and whatever the host's relay state raises.
    """
    # DECODE
    params = ValidationParams.decode_prefix(argument)[0]
    data = ParachainBlockData.decode_prefix(params.block_data)[0]
    parent = Header.decode(params.parent_head)

    # CHECK CHAIN
    check_scheduling_proof(data.scheduling_proof, params.extension, RELAY_PARENT_OFFSET)
    _check_chain(data, parent, runtime)

    # REBUILD STATE
    root, witness = decode_compact_proof(data.proof, layout, parent.state_root)
    recorder = Recorder(witness, layout.hasher)

    # EXECUTE
    for position, block in enumerate(data.blocks):
        additional = data.additional_data[position] if data.additional_data else None
        _check_additional_data(block.header, additional)
        state = Externalities(WitnessBackend(recorder, root, layout), recorder)
        with _storage_replaced(state, recorder.encoded_size):
            unsealed = runtime.aura.verify_and_strip_seal(block.header)
            runtime.executive.execute_block(Block(unsealed, block.extrinsics))
            runtime.parachain_system.check_validation_params(params)

            # COLLECT OUTPUT
            result = runtime.parachain_system.validation_result(block.header.encode())
        changes = state.drain(layout.state_version)
        witness.update(changes.nodes)
        root = changes.root
    return result.encode()


def _check_chain(data: ParachainBlockData, parent: Header, runtime: ParachainRuntime) -> None:
    """At least one block; the first on the parent head, each next on the one before."""
    if not data.blocks:
        raise InvalidBlock("the PoV holds no block")
    if data.version == 3 and data.additional_data and len(data.additional_data) != len(data.blocks):
        raise InvalidBlock(
            f"additional data for {len(data.additional_data)} blocks, the PoV holds {len(data.blocks)}"
        )
    if len(data.blocks) > 1:
        raise InvalidBlock("more than one block: a block is built on an included one (no unincluded segment)")
    expected = runtime.system.hashing(parent.encode())
    for block in data.blocks:
        if block.header.parent_hash != expected:
            raise InvalidBlock("Invalid parent hash")
        if len(block.header.encode()) > MAX_HEAD_DATA_SIZE:
            raise InvalidBlock("head data is larger than the relay chain takes")
        expected = block.header.hash(runtime.system.hashing)


def _check_additional_data(header: Header, additional: dict[str, bytes] | None) -> None:
    """Header and PoV agree on the additional data: at most one digest item, present iff the data is, with its
    hash.

    That the data is *minimal* follows when the header is recomputed: finalizing the block hashes what was
    read. Under which name it travels does not, because the hash leaves names out: relay reads under another name
    would be no proof to a validator that needs one, and make no difference to one with its own relay state.
    """
    if additional is not None and not additional:
        raise InvalidBlock("additional data without an entry: a block that carries none has none")
    for name in additional or {}:
        if name != RELAY_PROOF_KEY:
            raise InvalidBlock(f"additional data of an unknown producer: {name[:64]!r}")
    items = [item for item in header.digest if isinstance(item, AdditionalData)]
    if len(items) > 1:
        raise InvalidBlock("more than one AdditionalData digest item")
    commitment = None if additional is None else hash_commitments(additional)
    if (items[0].hash if items else None) != commitment:
        raise InvalidBlock("AdditionalData digest item does not match the additional data of the PoV")


@contextlib.contextmanager
def _storage_replaced(state: Externalities, size_before: int) -> Iterator[None]:
    """Answer storage from ``state`` and ignore what is only for nodes, as long as the block runs."""

    def proof_size() -> int:
        # The host knows what the relay reads added, the guest what the witness did.
        return (
            state.storage_proof_size()
            - size_before
            + storage_proof_size.storage_proof_size.original_implementation()
        )

    replacements: dict[HostFunction[..., Any], Callable[..., Any]] = {
        **storage_implementations(state),
        storage_proof_size.storage_proof_size: proof_size,
        offchain_index.set: lambda key, value: None,
        offchain_index.clear: lambda key: None,
    }
    with replace_implementations(replacements):
        yield
