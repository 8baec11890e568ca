"""The host configuration of the model relay chain, as a topology sets it.

In zombienet's place and with Polkadot's names: the patch of the relay chain's genesis, there the genesis configuration
of the pallet ``configuration`` [zombienet] [polkadot-configuration]. What is not given stays as `RelayChainConfig` has
it. Bounds are those of upstream's consistency check, except for code and PoVs: a workbench may have larger ones.

Not modelled: all other fields of ``HostConfiguration``. They are unknown keys here, since they would have no effect.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from pileus.relay_chain.genesis import RelayChainConfig

__all__ = [
    "MAX_BLOB_SIZE",
    "AsyncBackingSettings",
    "ConfigurationPallet",
    "Genesis",
    "GenesisPatch",
    "HostSettings",
    "RuntimeGenesis",
    "configured",
]

MAX_BLOB_SIZE = 32 * 1024 * 1024
"""Most bytes of code and of a PoV. Upstream's hard limits are 3 MiB and 16 MiB; frozen Python runtimes need room."""

U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
BlobSize: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_BLOB_SIZE)]
MessageCount: TypeAlias = Annotated[int, Meta(ge=0, le=16 * 1024)]
"""``MAX_UPWARD_MESSAGE_NUM``, ``MAX_HORIZONTAL_MESSAGE_NUM``."""


class AsyncBackingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``async_backing_params``."""

    max_candidate_depth: U32 | None = None
    allowed_ancestry_len: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """The same as ``relaychain.allowed_ancestry_len``."""


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of ``HostConfiguration`` that something here heeds. Sizes in bytes, times in relay blocks."""

    max_code_size: BlobSize | None = None
    max_head_data_size: Annotated[int, Meta(ge=0, le=1024 * 1024)] | None = None
    max_upward_queue_count: U32 | None = None
    max_upward_queue_size: U32 | None = None
    max_upward_message_size: Annotated[int, Meta(ge=0, le=128 * 1024)] | None = None
    max_upward_message_num_per_candidate: MessageCount | None = None
    hrmp_max_message_num_per_candidate: MessageCount | None = None
    validation_upgrade_cooldown: U32 | None = None
    """From the inclusion of a candidate that announces code to the next that may."""
    validation_upgrade_delay: Annotated[int, Meta(ge=2, le=2**32 - 1)] | None = None
    """From the inclusion of a candidate that announces code to the go-ahead."""
    async_backing_params: AsyncBackingSettings = AsyncBackingSettings()
    max_pov_size: BlobSize | None = None
    max_downward_message_size: U32 | None = None
    pvf_voting_ttl: Annotated[int, Meta(ge=1, le=2**32 - 1)] | None = None
    """Sessions in which new code is accepted, or is rejected."""
    minimum_validation_upgrade_delay: Annotated[int, Meta(ge=1, le=2**32 - 1)] | None = None
    """From the acceptance of new code to the go-ahead, at least."""


class ConfigurationPallet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pallet ``configuration`` in a genesis patch."""

    config: HostSettings = HostSettings()


class GenesisPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a genesis has instead of its defaults, by pallet."""

    configuration: ConfigurationPallet = ConfigurationPallet()


class RuntimeGenesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtimeGenesis`` of a chain spec."""

    patch: GenesisPatch = GenesisPatch()


class Genesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``[relaychain.genesis]``."""

    runtime_genesis: RuntimeGenesis = RuntimeGenesis()


_NOT_ABRIDGED = (
    "max_pov_size",
    "max_downward_message_size",
    "pvf_voting_ttl",
    "minimum_validation_upgrade_delay",
)
"""Settings that parachains do not read: the model has them beside its state."""


def configured(config: RelayChainConfig, settings: HostSettings) -> RelayChainConfig:
    """`config` with what `settings` give instead."""
    given = _given(settings)
    own = {name: given.pop(name) for name in _NOT_ABRIDGED if name in given}
    given["async_backing_params"] = replace(
        config.host.async_backing_params, **_given(settings.async_backing_params)
    )
    return replace(config, host=replace(config.host, **given), **own)


def _given(settings: msgspec.Struct) -> dict[str, Any]:
    values = ((name, getattr(settings, name)) for name in settings.__struct_fields__)
    return {name: value for name, value in values if isinstance(value, int)}
