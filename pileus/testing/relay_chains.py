"""A relay chain with candidates and no parachain behind them: for tests of everything that comes after collation.

`AppendingRuntime` is a validation function of a few lines. Its payload is a list of keys to read from relay state and
some bytes to append to the head; `collate` makes honest candidates for it, with the relay proof in the PoV or without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from host_functions.contexts import HostContext
from host_functions.interfaces.relay_chain_state import read_relay_state
from host_functions.relay_state import RelayNodeState
from pileus.keyring import Keypair
from pileus.relay_chain import (
    ParaGenesis,
    RelayChain,
    RelayChainConfig,
    RelayChainInProcessInterface,
    StateDatabase,
    Validator,
)
from pov_validator.erasure import erasure_root, obtain_chunks
from runtime.primitives.additional_data import RELAY_PROOF_KEY, relay_proof_entry
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    AvailableData,
    CandidateCommitments,
    CandidateDescriptorV2,
    CommittedCandidateReceipt,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
)
from runtime.primitives.parachain_block_data import ParachainBlockData

__all__ = ["AppendingRuntime", "HonestCollation", "collate", "dev_validators", "make_chain"]

NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "One", "Two")


class AppendingRuntime:
    """Appends its data to the parent head, and after them what the relay chain holds under the keys it names.

    The payload is a `ParachainBlockData` without blocks: the first item of its proof is the data, the others are keys.
    Data that begin with ``panic`` make it panic.
    """

    code = b"pileus.testing: appending"
    code_hash = blake2_256(code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        """As `host_functions.executor.Runtime.call`."""
        params = ValidationParams.decode(argument)
        payload, _ = ParachainBlockData.decode_prefix(params.block_data)
        data, *keys = payload.proof
        if data.startswith(b"panic"):
            raise InvalidBlock("the data say panic")
        with context.externalities():
            values = [read_relay_state(key) for key in keys]
        return _result(params.parent_head, data, values, params.relay_parent_number).encode()


def _result(
    parent_head: bytes, data: bytes, values: Sequence[bytes | None], relay_parent_number: int
) -> ValidationResult:
    head = parent_head + data + b"".join(b"absent" if value is None else value for value in values)
    return ValidationResult(head, None, (), (), 0, relay_parent_number)


@dataclass(frozen=True, slots=True)
class HonestCollation:
    """A candidate as an honest collator makes it. A `pileus.relay_chain.Collation`, and `Authored`."""

    para_id: int
    descriptor: CandidateDescriptorV2
    commitments: CandidateCommitments
    pov: PoV
    pvd: PersistedValidationData
    relay_reads: tuple[bytes, ...]

    def hash(self) -> bytes:
        """The candidate hash, 32 bytes."""
        return CommittedCandidateReceipt(self.descriptor, self.commitments).hash()


def dev_validators(
    count: int,
    database: StateDatabase,
    node_of: Callable[[int], RelayNodeState] | None = None,
) -> tuple[Validator, ...]:
    """Validators with development keys that know `AppendingRuntime`; all read `database` unless `node_of` says else."""
    codes = {AppendingRuntime.code_hash: AppendingRuntime()}
    return tuple(
        Validator(
            index,
            NAMES[index].lower(),
            Keypair.from_uri(f"//{NAMES[index]}"),
            database if node_of is None else node_of(index),
            codes,
        )
        for index in range(count)
    )


def make_chain(
    config: RelayChainConfig | None = None,
    *,
    paras: Sequence[int] = (1000, 2000),
    validators: int = 6,
    node_of: Callable[[int, StateDatabase], RelayNodeState] | None = None,
) -> RelayChain:
    """A chain at genesis. `node_of` gives each validator its relay chain node."""
    database = StateDatabase()
    members = dev_validators(
        validators, database, None if node_of is None else lambda index: node_of(index, database)
    )
    genesis = [
        ParaGenesis(para_id, b"genesis of %d" % para_id, AppendingRuntime.code_hash) for para_id in paras
    ]
    return RelayChain(config or RelayChainConfig(), genesis, members, database)


def collate(
    chain: RelayChain,
    para_id: int,
    data: bytes = b".",
    *,
    keys: Sequence[bytes] = (),
    carried: bool = False,
    relay_parent: bytes | None = None,
) -> HonestCollation:
    """A candidate for `AppendingRuntime` on the best block or on `relay_parent`.

    `carried` puts the proof of the relay `keys` it reads into its PoV. Raises `StateUnavailable` if the chain's own
    node has lost the relay parent's state.
    """
    relay = RelayChainInProcessInterface(chain)
    parent = chain.best.hash if relay_parent is None else relay_parent
    pvd = relay.persisted_validation_data(para_id, parent)
    if pvd is None:
        raise ValueError(f"para {para_id} is not registered")
    reader = relay.relay_state_prover(parent)
    values = [reader.read(key) for key in keys]
    payload = ParachainBlockData(1, (), (data, *keys))
    if carried:
        entry = {RELAY_PROOF_KEY: relay_proof_entry(pvd.relay_parent_storage_root, reader.nodes())}
        payload = ParachainBlockData(3, (), (data, *keys), (entry,))
    pov = PoV(payload.encode())
    result = _result(pvd.parent_head, data, values, pvd.relay_parent_number)
    root = erasure_root(obtain_chunks(len(relay.validators(parent)), AvailableData(pov, pvd)))
    descriptor = CandidateDescriptorV2(
        para_id=para_id,
        relay_parent=parent,
        version=0,
        core_index=relay.core_index(para_id) or 0,
        session_index=relay.session_index_for_child(parent),
        reserved1=bytes(25),
        persisted_validation_data_hash=pvd.hash(),
        pov_hash=pov.hash(),
        erasure_root=root,
        reserved2=bytes(64),
        para_head=blake2_256(result.head_data),
        validation_code_hash=AppendingRuntime.code_hash,
    )
    return HonestCollation(para_id, descriptor, result.to_commitments(), pov, pvd, reader.nodes())
