"""Cores for our parachains, on relay chains that sell coretime.

Such a relay chain schedules a para only on a core that the coretime chain gave it. The assignment is a value
in the scheduler's storage, so at genesis it can simply be there: each para has a whole core, for ever. Where the values
lie, and where in the host configuration the number of cores stands, is read from the runtime's metadata
[polkadot-scheduler]. Runtimes of before 2024 have neither and schedule every registered para by themselves.

Not modelled: shared cores, the on-demand pool, and assignments that end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from pileus.metadata import Metadata
from pileus.relay_chain.real.genesis import UnsuitableRelayChain
from runtime.primitives import relay_keys
from runtime.primitives.errors import ScaleError
from runtime.primitives.scale import U16, U32, Struct, Variant, btree_map, u32

__all__ = ["core_entries", "sells_coretime"]

CORE_DESCRIPTORS: Final = "CoreDescriptors"
ASSIGNERS: Final = ("CoretimeAssignmentProvider", "ParaScheduler")
"""Pallets that have had the item, the one of 2024 first."""
NUMBER_OF_CORES: Final = ("scheduler_params", "num_cores")
WHOLE: Final = 57_600
"""``PartsOf57600``: all of a core."""


@dataclass(frozen=True, slots=True)
class Task(Variant):
    """``CoreAssignment::Task``: the core belongs to a para."""

    index: ClassVar[int] = 2
    para_id: U32


@dataclass(frozen=True, slots=True)
class AssignmentState(Struct):
    """How much of the core an assignment has."""

    ratio: U16 = WHOLE
    remaining: U16 = WHOLE


@dataclass(frozen=True, slots=True)
class Assigned(Struct):
    """One assignment and its state."""

    assignment: Task
    state: AssignmentState = AssignmentState()


@dataclass(frozen=True, slots=True)
class WorkState(Struct):
    """``WorkState``: what a core is doing, in turns."""

    assignments: tuple[Assigned, ...]
    end_hint: U32 | None = None
    position: U16 = 0
    step: U16 = WHOLE


@dataclass(frozen=True, slots=True)
class Schedule(Struct):
    """``QueueDescriptor``: the blocks of the first and the last schedule that waits for the core."""

    first: U32
    last: U32


@dataclass(frozen=True, slots=True)
class CoreDescriptor(Struct):
    """``CoreDescriptor``: what waits for a core, and what it is doing."""

    queue: Schedule | None
    current_work: WorkState | None


_descriptors: Final = btree_map(u32, CoreDescriptor.codec())


def sells_coretime(encoded_metadata: bytes) -> bool:
    """Whether metadata may know core descriptors. Cheap, to be sure before they are decoded."""
    return CORE_DESCRIPTORS.encode() in encoded_metadata


def core_entries(
    metadata: Metadata, top: Mapping[bytes, bytes], para_ids: Sequence[int]
) -> dict[bytes, bytes]:
    """What the genesis state `top` must hold so that each para has a core; nothing for a runtime without coretime.

    Raises `UnsuitableRelayChain` for a host configuration that is not what the metadata say.
    """
    pallet = next((pallet for pallet in ASSIGNERS if metadata.has_item(pallet, CORE_DESCRIPTORS)), None)
    if pallet is None:
        return {}
    entries = {relay_keys.ACTIVE_CONFIG: _with_cores(metadata, top, len(para_ids))}
    descriptors = {
        core: CoreDescriptor(None, WorkState((Assigned(Task(para_id)),)))
        for core, para_id in enumerate(para_ids)
    }
    if metadata.item(pallet, CORE_DESCRIPTORS).hashers:
        for core, descriptor in descriptors.items():
            entries[metadata.storage_key(pallet, CORE_DESCRIPTORS, u32.encode(core))] = descriptor.encode()
    else:
        entries[metadata.storage_key(pallet, CORE_DESCRIPTORS)] = _descriptors.encode(descriptors)
    return entries


def _with_cores(metadata: Metadata, top: Mapping[bytes, bytes], cores: int) -> bytes:
    """The host configuration with `cores` cores at least."""
    configuration = top.get(relay_keys.ACTIVE_CONFIG, b"")
    value_type = metadata.item("Configuration", "ActiveConfig").value_type
    try:
        start, end = metadata.field_span(value_type, configuration, *NUMBER_OF_CORES)
        present = u32.decode(configuration[start:end])
    except ScaleError as error:
        raise UnsuitableRelayChain(f"Configuration.ActiveConfig: {error}") from error
    return configuration[:start] + u32.encode(max(present, cores)) + configuration[end:]
