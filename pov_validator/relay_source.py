"""Where a validator takes relay state from when the validation function asks for it.

Three answers to one host function, and the question this project is about. `OwnState` is the proposal: the validator
reads its own copy of the relay chain's state at the relay parent. `Carried` is what polkadot-sdk chose: the PoV brings
the proof of what it reads [sdk-13022]. `Fallback` is the policy between them: own state, and what that lacks from the
proof. In all of them the root is the ``relay_parent_storage_root`` of the persisted validation data, never one that
the PoV claims, and all record the nodes they touch, so a candidate that commits to its reads (a version 3 PoV) gets the
same verdict from each that can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from host_functions.errors import PileusError, WitnessMissing
from host_functions.relay_state import (
    CarriedProof,
    OwnElseCarried,
    RelayNodeState,
    RelayOwnState,
    RelayStateReader,
)
from pov_validator.verdict import Abstain, AbstainReason, Invalid, InvalidReason
from runtime.primitives.additional_data import RELAY_PROOF_KEY, parse_relay_proof_entry
from runtime.primitives.errors import ScaleError
from runtime.primitives.parachain_block_data import VERSIONED_PREFIX, ParachainBlockData
from runtime.trie.errors import TrieError

__all__ = [
    "Carried",
    "Fallback",
    "OwnState",
    "RelayStateSource",
    "WatchedReads",
    "carried_nodes",
    "carries_additional_data",
]


@dataclass(frozen=True, slots=True)
class OwnState:
    """The validator's own relay chain node."""

    node: RelayNodeState

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """Reads at `root`, for one validation. `block_data`, the decompressed PoV payload, plays no part."""
        del block_data
        return WatchedReads(lambda: RelayOwnState(self.node, root))

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        """Whatever keeps a database from answering is a condition of this validator."""
        if isinstance(failure, PileusError):
            return Abstain(AbstainReason.RELAY_STATE_UNAVAILABLE, str(failure))
        return Abstain(AbstainReason.HOST_FAILURE, f"{type(failure).__name__}: {failure}")


@dataclass(frozen=True, slots=True)
class Carried:
    """The proof in the candidate's own PoV."""

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """Reads at `root` from the nodes that `block_data` carries; one that carries none answers nothing."""
        return WatchedReads(lambda: CarriedProof(root, carried_nodes(block_data)))

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        """A proof that does not cover a read, or is damaged, is the candidate's fault."""
        if isinstance(failure, WitnessMissing):
            return Invalid(InvalidReason.RELAY_WITNESS_MISSING, str(failure))
        if isinstance(failure, TrieError):
            return Invalid(InvalidReason.EXECUTION_ERROR, f"carried relay proof: {failure}")
        return Abstain(AbstainReason.HOST_FAILURE, f"{type(failure).__name__}: {failure}")


@dataclass(frozen=True, slots=True)
class Fallback:
    """The validator's own relay chain node, else the proof in the candidate's PoV.

    A candidate that carries a proof is held to it even by a validator who does not need it: each node touched must be
    carried. Otherwise a proof with a hole would be valid for those who have the state and invalid for those who have
    not, and whoever lost the dispute between them would be slashed for the pruning of a database.
    """

    node: RelayNodeState

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """Reads at `root`, from the node and from what `block_data` carries."""
        carries = carries_additional_data(block_data)
        return WatchedReads(
            lambda: OwnElseCarried(self.node, root, carried_nodes(block_data) if carries else None),
            must_cover=carries,
        )

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        """With a proof it is the candidate's fault, without one the validator's condition."""
        if isinstance(failure, WitnessMissing | TrieError):
            return Carried().verdict_on(failure)
        return OwnState(self.node).verdict_on(failure)


class RelayStateSource(Protocol):
    """`OwnState`, `Carried`, `Fallback`, or what wraps one of them."""

    def reads(self, root: bytes, block_data: bytes) -> WatchedReads:
        """Reads at `root` (32 bytes) for one validation of the decompressed PoV payload `block_data`."""

    def verdict_on(self, failure: Exception) -> Invalid | Abstain:
        """What follows from a read that failed."""


class WatchedReads:
    """A `RelayStateReader` that opens the real one at the first read and remembers the first failure.

    At the first read, because a candidate that reads nothing can be judged without any relay state. And the verdict is
    decided by `failure`, not by what the guest makes of it: a guest that caught the error and went on with a guess
    would otherwise turn this validator's pruned database into a verdict about the candidate.
    """

    def __init__(self, open_reader: Callable[[], RelayStateReader], *, must_cover: bool = False) -> None:
        """`must_cover`: what is carried has to contain all that is touched, whoever answered (`finish`)."""
        self._open_reader = open_reader
        self._must_cover = must_cover
        self._reader: RelayStateReader | None = None
        self._transactions = 0
        self.failure: Exception | None = None
        self.count = 0
        """Reads, repeated ones too."""
        self.values: dict[bytes, bytes | None] = {}
        """What was read, by key: ``None`` is a proven absence. In the order of the first read."""

    def read(self, key: bytes) -> bytes | None:
        """As `RelayStateReader.read`; after a failure, that failure again."""
        if self.failure is not None:
            raise self.failure
        self.count += 1
        try:
            value = self._opened(key).read(key)
        except Exception as error:
            self.failure = error
            raise
        self.values[key] = value
        return value

    def finish(self) -> None:
        """The execution has ended well: a hole in a proof that nobody needed is found now, as a `failure`."""
        if self._must_cover and self.failure is None and isinstance(self._reader, OwnElseCarried):
            node = self._reader.uncovered_node()
            if node is not None:
                self.failure = WitnessMissing(next(iter(self.values), b""), node)

    @property
    def fell_back(self) -> bool:
        """Whether own state could not answer something that the carried proof then had to."""
        return isinstance(self._reader, OwnElseCarried) and self._reader.fell_back

    def _opened(self, key: bytes) -> RelayStateReader:
        if self._reader is None:
            try:
                self._reader = self._open_reader()
            except WitnessMissing as error:
                # Nothing under this root is proven; the key is the one that was asked for.
                raise WitnessMissing(key, error.node) from error
            for _ in range(self._transactions):
                self._reader.start_transaction()
        return self._reader

    def proof_size(self) -> int:
        return 0 if self._reader is None else self._reader.proof_size()

    def nodes(self) -> tuple[bytes, ...]:
        return () if self._reader is None else self._reader.nodes()

    def additional_data(self) -> dict[str, bytes] | None:
        return None if self._reader is None else self._reader.additional_data()

    def commitment(self) -> bytes | None:
        return None if self._reader is None else self._reader.commitment()

    def start_transaction(self) -> None:
        self._transactions += 1
        if self._reader is not None:
            self._reader.start_transaction()

    def commit_transaction(self) -> None:
        self._transactions -= 1
        if self._reader is not None:
            self._reader.commit_transaction()

    def rollback_transaction(self) -> None:
        self._transactions -= 1
        if self._reader is not None:
            self._reader.rollback_transaction()


def carries_additional_data(block_data: bytes) -> bool:
    """Whether the payload is of version 3, whose blocks commit to what they read from the relay chain."""
    return block_data[: len(VERSIONED_PREFIX) + 1] == VERSIONED_PREFIX + b"\x03"


def carried_nodes(block_data: bytes) -> tuple[bytes, ...]:
    """The relay trie nodes of all blocks of a PoV payload; none if it carries none or does not decode.

    A payload that does not decode is not judged here: the validation function decodes it too, and panics.
    """
    if not carries_additional_data(block_data):
        return ()
    nodes: dict[bytes, None] = {}
    try:
        payload, _ = ParachainBlockData.decode_prefix(block_data)
        for data in payload.additional_data:
            if data is not None and RELAY_PROOF_KEY in data:
                _, touched = parse_relay_proof_entry(data[RELAY_PROOF_KEY])
                nodes.update(dict.fromkeys(touched))
    except ScaleError:
        return ()
    return tuple(nodes)
