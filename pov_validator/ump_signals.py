"""The signals behind the separator of a candidate's upward messages, and the core they select.

Follows ``CandidateCommitments::ump_signals`` and ``CommittedCandidateReceiptV2::parse_ump_signals``
[polkadot-primitives] [RFC-103]: at most two signals, one of each kind, and the core that the descriptor names must be
the one they select in the claim queue at the relay parent. Backers check this, and so does the relay chain's runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from host_functions.errors import PileusError
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain import (
    ApprovedPeer,
    CandidateDescriptor,
    CandidateDescriptorV1,
    DescriptorVersion,
    SelectCore,
    descriptor_version,
    split_upward_messages,
    ump_signal,
)

__all__ = [
    "DEFAULT_CLAIM_QUEUE_OFFSET",
    "MAX_SIGNALS",
    "CandidateUMPSignals",
    "UMPSignalsError",
    "UMPSignalsFault",
    "check_ump_signals",
    "ump_signals",
]

DEFAULT_CLAIM_QUEUE_OFFSET: Final = 0
"""Where in the claim queue a candidate without a `SelectCore` signal is scheduled."""
MAX_SIGNALS: Final = 2
"""Of one candidate: one of each kind."""


class UMPSignalsFault(Enum):
    """What is wrong. Named as ``CommittedCandidateReceiptError``."""

    INVALID_CORE_INDEX = "InvalidCoreIndex"
    """Several cores are assigned, none is selected, and the descriptor names another one."""
    CORE_INDEX_MISMATCH = "CoreIndexMismatch"
    """The descriptor names another core than the signal selects, or than the only one assigned."""
    UMP_SIGNAL_DECODE = "UmpSignalDecode"
    NO_ASSIGNMENT = "NoAssignment"
    """No core is assigned to the para at that offset of the claim queue."""
    UNKNOWN_VERSION = "UnknownVersion"
    TOO_MANY_UMP_SIGNALS = "TooManyUMPSignals"
    DUPLICATE_UMP_SIGNAL = "DuplicateUMPSignal"
    UMP_SIGNAL_WITH_V1_DESCRIPTOR = "UMPSignalWithV1Decriptor"
    """Spelled as upstream spells it: version 1 descriptors came before signals."""


class UMPSignalsError(PileusError):
    """Signals that break the rules."""

    def __init__(self, fault: UMPSignalsFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CandidateUMPSignals:
    """The signals of one candidate."""

    select_core: SelectCore | None = None
    approved_peer: ApprovedPeer | None = None

    @property
    def is_empty(self) -> bool:
        return self.select_core is None and self.approved_peer is None


def ump_signals(upward_messages: Iterable[bytes]) -> CandidateUMPSignals:
    """What follows the first separator. Raises `UMPSignalsError`.

    As upstream: what follows a signal's own bytes in its message is ignored, and a third signal is an error before it
    is looked at.
    """
    _, encoded = split_upward_messages(upward_messages)
    select_core: SelectCore | None = None
    approved_peer: ApprovedPeer | None = None
    for position, message in enumerate(encoded[:MAX_SIGNALS]):
        try:
            signal, _ = ump_signal.decode_prefix(message)
        except ScaleError as error:
            raise UMPSignalsError(UMPSignalsFault.UMP_SIGNAL_DECODE, f"signal {position}: {error}") from None
        if isinstance(signal, SelectCore) and select_core is None:
            select_core = signal
        elif isinstance(signal, ApprovedPeer) and approved_peer is None:
            approved_peer = signal
        else:
            raise UMPSignalsError(UMPSignalsFault.DUPLICATE_UMP_SIGNAL, f"a second {type(signal).__name__}")
    if len(encoded) > MAX_SIGNALS:
        raise UMPSignalsError(UMPSignalsFault.TOO_MANY_UMP_SIGNALS, f"{len(encoded)} signals")
    return CandidateUMPSignals(select_core, approved_peer)


def check_ump_signals(
    descriptor: CandidateDescriptor,
    upward_messages: Iterable[bytes],
    claim_queue: Mapping[int, Sequence[int]],
) -> CandidateUMPSignals:
    """The candidate's signals, which fit its descriptor and the `claim_queue`. Raises `UMPSignalsError`.

    `claim_queue` maps offsets to the cores that are assigned to the para there, ascending.
    """
    signals = ump_signals(upward_messages)
    version = descriptor_version(descriptor)
    if version is DescriptorVersion.V1 or isinstance(descriptor, CandidateDescriptorV1):
        if not signals.is_empty:
            raise UMPSignalsError(
                UMPSignalsFault.UMP_SIGNAL_WITH_V1_DESCRIPTOR, "a version 1 descriptor with signals"
            )
        return signals
    if version is DescriptorVersion.UNKNOWN:
        raise UMPSignalsError(UMPSignalsFault.UNKNOWN_VERSION, f"descriptor version {descriptor.version}")
    selected = signals.select_core
    offset = DEFAULT_CLAIM_QUEUE_OFFSET if selected is None else selected.claim_queue_offset
    cores = claim_queue.get(offset, ())
    if not cores:
        raise UMPSignalsError(
            UMPSignalsFault.NO_ASSIGNMENT, f"no core for para {descriptor.para_id} at offset {offset}"
        )
    if selected is None and len(cores) > 1:
        if descriptor.core_index not in cores:
            raise UMPSignalsError(
                UMPSignalsFault.INVALID_CORE_INDEX,
                f"core {descriptor.core_index}, assigned are {list(cores)}",
            )
        return signals
    core = cores[(0 if selected is None else selected.core_selector) % len(cores)]
    if core != descriptor.core_index:
        raise UMPSignalsError(
            UMPSignalsFault.CORE_INDEX_MISMATCH,
            f"the descriptor names core {descriptor.core_index}, selected is core {core}",
        )
    return signals
