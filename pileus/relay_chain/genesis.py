"""How a model relay chain begins: its parameters, its parachains, and the entries of its first state.

The state uses the keys of a real relay chain, so that everything which reads it (runtimes, proofs, other people's
tools) needs no special case [polkadot-primitives]. Not modelled: everything else a relay runtime stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from host_functions.compressed_blob import MAX_CODE_SIZE, MAX_VALIDATION_CODE_COMPRESSION_RATIO
from pileus.relay_chain.approvals import ApprovalParams
from pov_validator.pvf import ExecutorParams
from runtime.primitives import relay_keys
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import AbridgedHostConfiguration, AsyncBackingParams
from runtime.primitives.scale import byte_vec, h256, option, tuple_of, u32, u64, vec

__all__ = ["SLOT_DURATION", "ParaGenesis", "RelayChainConfig", "genesis_entries", "host_configuration"]

SLOT_DURATION = 6000
"""Milliseconds."""

MODEL_CODE = b"pileus: the relay chain model has no code"
"""Stands under ``:code``, because clients and validators expect an entry there."""


def host_configuration(allowed_ancestry_len: int = 3) -> AbridgedHostConfiguration:
    """The limits that Polkadot had in 2025, except for the ancestry."""
    return AbridgedHostConfiguration(
        max_code_size=MAX_CODE_SIZE,
        max_head_data_size=20 * 1024,
        max_upward_queue_count=174_762,
        max_upward_queue_size=1024 * 1024,
        max_upward_message_size=65_531,
        max_upward_message_num_per_candidate=16,
        hrmp_max_message_num_per_candidate=10,
        validation_upgrade_cooldown=14_400,
        validation_upgrade_delay=600,
        async_backing_params=AsyncBackingParams(
            max_candidate_depth=3, allowed_ancestry_len=allowed_ancestry_len
        ),
    )


@dataclass(frozen=True, slots=True)
class RelayChainConfig:
    """The parameters of the model."""

    host: AbridgedHostConfiguration = field(default_factory=host_configuration)
    max_pov_size: int = 10 * 1024 * 1024
    """Bytes of an encoded PoV. In the host configuration of a real chain, beyond its abridged prefix."""
    pvf_voting_ttl: int = 2
    """Sessions in which new code is accepted, or is rejected."""
    minimum_validation_upgrade_delay: int = 2
    """Blocks from the acceptance of new code to its use, at least: the delay counts from its inclusion. Polkadot has
    20."""
    max_downward_message_size: int = 51_200
    """Bytes of a message from the relay chain."""
    genesis_slot: int = 280_000_000
    """Slot of the genesis block. Slots are numbered from 1970, so this one begins in March 2023."""
    epoch_length: int = 10
    """Slots of a BABE epoch, which is also a session."""
    group_rotation_frequency: int = 10
    """Blocks after which validator groups move to the next core."""
    finality_lag: int = 2
    """Blocks by which finality follows the best block."""
    state_pruning: int = 256
    """States of this many finalized blocks are kept."""
    max_relay_parent_session_age: int = 0
    """Sessions back from which candidates may still take their relay parent; 0 is the classic ancestry."""
    availability_period: int = 10
    """Blocks after which a backed candidate that is not available is given up."""
    availability_retention: int = 15_000
    """Finalized blocks for which available data is kept: 25 hours of 6-second slots."""
    approvals: ApprovalParams = field(default_factory=ApprovalParams)
    approval_checking: bool = False
    """Whether finality waits for approvals. They are made by `pileus.relay_chain.checking`."""
    seed: int = 0
    """Decides the chain's randomness."""

    @property
    def executor_params(self) -> ExecutorParams:
        """What validators grant validation functions: Polkadot's, for code of the size that this chain accepts."""
        return ExecutorParams(code_bomb_limit=self.host.max_code_size * MAX_VALIDATION_CODE_COMPRESSION_RATIO)

    def epoch_at(self, slot: int) -> int:
        """The epoch that `slot` lies in; the model's sessions are its epochs."""
        return (slot - self.genesis_slot) // self.epoch_length


@dataclass(frozen=True, slots=True)
class ParaGenesis:
    """A parachain as registered at genesis."""

    para_id: int
    head_data: bytes
    """For Cumulus chains the SCALE header of the para's genesis block."""
    validation_code_hash: bytes
    """``blake2_256`` of the code as it would stand on chain, 32 bytes."""
    entries: Mapping[bytes, bytes] = field(default_factory=dict)
    """What else the relay state holds about it, by key: a para that has run elsewhere remembers some of that."""


def epoch_randomness(seed: int, epoch: int) -> bytes:
    """The randomness of a BABE epoch, 32 bytes. Real chains gather it from the VRF outputs of an earlier epoch."""
    return blake2_256(b"pileus relay epoch" + u64.encode(seed) + u64.encode(epoch))


def epoch_entries(config: RelayChainConfig, epoch: int) -> dict[bytes, bytes]:
    """What the first block of an epoch writes."""
    return {
        relay_keys.EPOCH_INDEX: u64.encode(epoch),
        relay_keys.TWO_EPOCHS_AGO_RANDOMNESS: epoch_randomness(config.seed, epoch),
        relay_keys.ONE_EPOCH_AGO_RANDOMNESS: epoch_randomness(config.seed, epoch + 1),
    }


def authority_entries(now: Sequence[bytes], following: Sequence[bytes]) -> dict[bytes, bytes]:
    """Who authors in an epoch and in the one after it: sr25519 public keys, 32 bytes each."""
    return {
        key: _AUTHORITIES.encode(tuple((authority, 1) for authority in authorities))
        for key, authorities in ((relay_keys.AUTHORITIES, now), (relay_keys.NEXT_AUTHORITIES, following))
    }


def genesis_entries(
    config: RelayChainConfig, authorities: Sequence[bytes], paras: Sequence[ParaGenesis]
) -> dict[bytes, bytes]:
    """Key and value of every entry of the first state. `authorities` are sr25519 public keys, 32 bytes each."""
    capacity = config.host.max_upward_queue_count, config.host.max_upward_queue_size
    entries = {
        b":code": MODEL_CODE,
        # Without neighbours that stay, writing `:extrinsic_index` in each block would move the node of `:code`.
        b":c": b"",
        b":extrinsic_index": u32.encode(0),
        relay_keys.ACTIVE_CONFIG: config.host.encode(),
        # Only VRF slots bring randomness, and the model has secondary slots only: `Option::None`, in every block.
        relay_keys.CURRENT_BLOCK_RANDOMNESS: option(h256).encode(None),
        relay_keys.CURRENT_SLOT: u64.encode(config.genesis_slot),
        **authority_entries(authorities, authorities),
        **epoch_entries(config, 0),
    }
    for para in paras:
        entries |= {
            relay_keys.para_head(para.para_id): byte_vec.encode(para.head_data),
            relay_keys.current_code_hash(para.para_id): para.validation_code_hash,
            relay_keys.most_recent_context(para.para_id): u32.encode(0),
            relay_keys.hrmp_ingress_channel_index(para.para_id): _NO_CHANNELS,
            relay_keys.hrmp_egress_channel_index(para.para_id): _NO_CHANNELS,
            relay_keys.relay_dispatch_queue_remaining_capacity(para.para_id): _CAPACITY.encode(capacity),
            **para.entries,
        }
    return entries


_AUTHORITIES = vec(tuple_of(h256, u64))
_CAPACITY = tuple_of(u32, u32)
_NO_CHANNELS = vec(u32).encode(())
