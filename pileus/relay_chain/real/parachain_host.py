"""The ``ParachainHost`` runtime API of a relay chain, typed.

What a node asks its relay runtime about parachains: cores, groups, pending candidates, messages, events. Follows
``polkadot_primitives::runtime_api`` [polkadot-primitives] as far as runtimes since 2021 agree on it. A function that
a runtime does not export is `None` here where the node has a way to do without, else a `MissingRuntimeApi`.

Not modelled: the claim queue and the functions about disputes, approvals and executor parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final, TypeAlias, TypeVar

from host_functions.errors import PileusError
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain import (
    AnyDescriptor,
    CandidateReceipt,
    CommittedCandidateReceipt,
    InboundDownwardMessage,
    InboundHrmpMessage,
    PersistedValidationData,
)
from runtime.primitives.scale import (
    H256,
    U32,
    Codec,
    Struct,
    Variant,
    bit_vec,
    btree_map,
    byte_vec,
    enum_codec,
    h256,
    option,
    u32,
    vec,
)

__all__ = [
    "CORE_INDEX_BITS",
    "CandidateBacked",
    "CandidateIncluded",
    "CandidateTimedOut",
    "CoreState",
    "Free",
    "GroupRotation",
    "MissingRuntimeApi",
    "NodeFeature",
    "Occupied",
    "ParachainHost",
    "Scheduled",
]

T = TypeVar("T")

CORE_INDEX_BITS: Final = 8
"""With `NodeFeature.ELASTIC_SCALING_MVP`: bits behind those of the group in a backed candidate's votes."""

MAX_ITEMS: Final = 1 << 16
"""Most validators, cores, groups, events or messages that an answer may have; real chains have hundreds."""


class MissingRuntimeApi(PileusError):
    """The relay runtime does not offer a function that this node cannot do without."""

    def __init__(self, function: str) -> None:
        super().__init__(f"the relay runtime does not export {function}")
        self.function = function


class NodeFeature(IntEnum):
    """Bits of ``NodeFeatures``: what a relay chain has been switched to."""

    ELASTIC_SCALING_MVP = 1
    """Backed candidates name their core in `CORE_INDEX_BITS` after the votes of the group."""
    CANDIDATE_RECEIPT_V2 = 3
    """Descriptors with core and session are accepted [RFC-103]."""


@dataclass(frozen=True, slots=True)
class ScheduledCore(Struct):
    """Who may use a core next."""

    para_id: U32
    collator: H256 | None


@dataclass(frozen=True, slots=True)
class Occupied(Variant):
    """A candidate on the core is pending availability."""

    index: ClassVar[int] = 0
    next_up_on_available: ScheduledCore | None
    occupied_since: U32
    time_out_at: U32
    next_up_on_time_out: ScheduledCore | None
    availability: Annotated[tuple[bool, ...], bit_vec]
    group_responsible: U32
    candidate_hash: H256
    candidate_descriptor: AnyDescriptor


@dataclass(frozen=True, slots=True)
class Scheduled(Variant):
    """A para is expected on the core."""

    index: ClassVar[int] = 1
    para_id: U32
    collator: H256 | None


@dataclass(frozen=True, slots=True)
class Free(Variant):
    """Nobody is."""

    index: ClassVar[int] = 2


CoreState: TypeAlias = Occupied | Scheduled | Free


@dataclass(frozen=True, slots=True)
class GroupRotation(Struct):
    """How validator groups move over the cores. All in relay blocks."""

    session_start_block: U32
    group_rotation_frequency: U32
    now: U32

    def group_of_core(self, core: int, groups: int) -> int:
        """The group that backs candidates on `core` in block `now`; `groups` is their number."""
        if not self.group_rotation_frequency:
            return core
        rotations = (self.now - self.session_start_block) // self.group_rotation_frequency
        return (core + rotations) % groups


@dataclass(frozen=True, slots=True)
class CandidateBacked(Variant):
    """The block backed a candidate."""

    index: ClassVar[int] = 0
    candidate: CandidateReceipt
    head_data: bytes
    core_index: U32
    group_index: U32


@dataclass(frozen=True, slots=True)
class CandidateIncluded(Variant):
    """The block included a candidate."""

    index: ClassVar[int] = 1
    candidate: CandidateReceipt
    head_data: bytes
    core_index: U32
    group_index: U32


@dataclass(frozen=True, slots=True)
class CandidateTimedOut(Variant):
    """A candidate did not become available in time."""

    index: ClassVar[int] = 2
    candidate: CandidateReceipt
    head_data: bytes
    core_index: U32


CandidateEvent: TypeAlias = CandidateBacked | CandidateIncluded | CandidateTimedOut

_core_states: Final[Codec[tuple[CoreState, ...]]] = vec(enum_codec(CoreState), max_items=MAX_ITEMS)
_events: Final[Codec[tuple[CandidateEvent, ...]]] = vec(enum_codec(CandidateEvent), max_items=MAX_ITEMS)
_groups: Final = vec(vec(u32, max_items=MAX_ITEMS), max_items=MAX_ITEMS)
_keys: Final = vec(h256, max_items=MAX_ITEMS)
_downward: Final = vec(InboundDownwardMessage.codec(), max_items=MAX_ITEMS)
_horizontal: Final = btree_map(u32, vec(InboundHrmpMessage.codec(), max_items=MAX_ITEMS), max_items=MAX_ITEMS)
_FREE: Final = b"\x02"
"""``OccupiedCoreAssumption::Free``: what occupies the core is left out, so the answer is about the included head."""


class ParachainHost:
    """The API at one block. Every method may raise `PileusError` of the runtime and the host."""

    def __init__(self, call: Callable[[str, bytes], bytes], entry_points: Container[str]) -> None:
        """`call` runs an exported function with SCALE bytes; `entry_points` are what the runtime exports."""
        self._call = call
        self._entry_points = entry_points

    def validators(self) -> tuple[bytes, ...]:
        """Public keys of the validators of the next block's session, 32 bytes each."""
        return self._ask("validators", b"", _keys)

    def validator_groups(self) -> tuple[tuple[tuple[int, ...], ...], GroupRotation]:
        """The groups, as positions in the validator set, and how they rotate in the next block."""
        data = self._raw("validator_groups", b"")
        groups, end = _groups.decode_prefix(data)
        return groups, GroupRotation.decode(data[end:])

    def availability_cores(self) -> tuple[CoreState, ...]:
        """What every core is doing."""
        return self._ask("availability_cores", b"", _core_states)

    def session_index_for_child(self) -> int:
        """Session of a block built on this one."""
        return self._ask("session_index_for_child", b"", u32)

    def persisted_validation_data(self, para_id: int) -> PersistedValidationData | None:
        """Inputs of a candidate on the para's included head; ``None`` for a para that is not registered."""
        argument = u32.encode(para_id) + _FREE
        return self._ask("persisted_validation_data", argument, option(PersistedValidationData.codec()))

    def candidate_pending_availability(self, para_id: int) -> CommittedCandidateReceipt | None:
        """The para's candidate that is backed and not yet included."""
        answer = option(CommittedCandidateReceipt.codec())
        return self._ask("candidate_pending_availability", u32.encode(para_id), answer)

    def candidate_events(self) -> tuple[CandidateEvent, ...]:
        """What this block did with candidates."""
        return self._ask("candidate_events", b"", _events)

    def dmq_contents(self, para_id: int) -> tuple[InboundDownwardMessage, ...]:
        """Downward messages that wait for the para, oldest first."""
        return self._ask("dmq_contents", u32.encode(para_id), _downward)

    def inbound_hrmp_channels_contents(self, para_id: int) -> dict[int, tuple[InboundHrmpMessage, ...]]:
        """Messages that wait in the para's ingress channels, by sender."""
        return self._ask("inbound_hrmp_channels_contents", u32.encode(para_id), _horizontal)

    def validation_code_by_hash(self, code_hash: bytes) -> bytes | None:
        """Code that is on chain."""
        return self._ask("validation_code_by_hash", code_hash, option(byte_vec))

    def has_feature(self, feature: NodeFeature) -> bool:
        """Whether the chain is switched to a feature; no runtime without the function is to any."""
        if "ParachainHost_node_features" not in self._entry_points:
            return False
        bits = self._ask("node_features", b"", bit_vec)
        return feature < len(bits) and bits[feature]

    def _raw(self, name: str, argument: bytes) -> bytes:
        function = f"ParachainHost_{name}"
        if function not in self._entry_points:
            raise MissingRuntimeApi(function)
        return self._call(function, argument)

    def _ask(self, name: str, argument: bytes, answer: Codec[T]) -> T:
        data = self._raw(name, argument)
        try:
            return answer.decode(data)
        except ScaleError as error:
            raise error.within(f"ParachainHost_{name}") from None
