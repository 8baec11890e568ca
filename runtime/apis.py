"""The runtime APIs: how a node calls a parachain runtime, by name and with SCALE bytes.

Follows ``sp_api`` and the API traits of a Cumulus runtime [sp-api]: ``Core``, ``BlockBuilder``, ``AuraApi``,
``AccountNonceApi``, ``CollectCollationInfo``, ``KeyToIncludeInRelayProof``. ``StateMessagingApi`` and
``StateQueryApi`` are Pileus's own, and so is the argument of ``GenesisBuilder_build_state``. Names on the wire are
``Trait_method``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.executive import Executive
from runtime.pallets.aura import Aura
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.state_messaging import StateMessaging, views
from runtime.pallets.state_messaging.lanes import InboundLane, InboundWindow, OutboundLane
from runtime.pallets.state_messaging.types import InboundItem
from runtime.pallets.state_query import StateQuery
from runtime.pallets.state_query.types import Query
from runtime.pallets.system import System
from runtime.primitives.block import Block, opaque_extrinsic
from runtime.primitives.header import Header
from runtime.primitives.inherent import InherentData
from runtime.primitives.parachain import CollationInfo
from runtime.primitives.scale import Codec, account_id, byte_vec, option, tuple_of, u8, u32, u64, unit, vec
from runtime.primitives.version import RuntimeVersion, api_id
from runtime.support.construct import Pallets

__all__ = [
    "API_VERSIONS",
    "STATE_MESSAGING_APIS",
    "STATE_QUERY_API",
    "EntryPoint",
    "ParachainRuntime",
    "runtime_apis",
]

EntryPoint = Callable[[bytes], bytes]
"""SCALE of the arguments -> SCALE of the result."""

API_VERSIONS: tuple[tuple[bytes, int], ...] = tuple(
    (api_id(name), version)
    for name, version in (
        ("Core", 5),
        ("BlockBuilder", 6),
        ("AuraApi", 1),
        ("AccountNonceApi", 1),
        ("CollectCollationInfo", 3),
        ("GenesisBuilder", 1),
    )
)
"""API trait and its version, for `RuntimeVersion.apis`: what every parachain has. ``CollectCollationInfo`` 3 says:
takes versioned block data.
"""

STATE_MESSAGING_APIS: tuple[tuple[bytes, int], ...] = (
    (api_id("StateMessagingApi"), 2),
    (api_id("KeyToIncludeInRelayProof"), 1),
)
STATE_QUERY_API: tuple[bytes, int] = (api_id("StateQueryApi"), 1)


@dataclass(frozen=True, slots=True)
class ParachainRuntime:
    """The parts of a parachain runtime that its APIs and `validate_block` need."""

    version: RuntimeVersion
    pallets: Pallets
    executive: Executive
    system: System
    aura: Aura
    parachain_system: ParachainSystem
    build_state: Callable[[bytes], None]
    """Writes the genesis state of an encoded configuration."""
    state_messaging: StateMessaging | None = None
    """For chains that send and receive messages; they add `STATE_MESSAGING_APIS` to their version."""
    state_query: StateQuery | None = None
    """For chains that ask others; they add `STATE_QUERY_API` to their version."""


def runtime_apis(runtime: ParachainRuntime) -> Mapping[str, EntryPoint]:
    """Every API function of ``runtime`` by its wire name."""
    executive, messaging, queries = runtime.executive, runtime.state_messaging, runtime.state_query
    apis = {
        "Core_version": _entry(unit, RuntimeVersion.codec(), lambda _: runtime.version),
        "Core_initialize_block": _entry(Header.codec(), u8, executive.initialize_block),
        "Core_execute_block": _entry(Block.codec(), unit, executive.execute_block),
        "BlockBuilder_apply_extrinsic": executive.apply_extrinsic,
        "BlockBuilder_finalize_block": _entry(unit, Header.codec(), lambda _: executive.finalize_block()),
        "BlockBuilder_inherent_extrinsics": _entry(
            InherentData.codec(), vec(opaque_extrinsic), executive.inherent_extrinsics
        ),
        "AuraApi_slot_duration": _entry(unit, u64, lambda _: runtime.aura.slot_duration),
        "AuraApi_authorities": _entry(unit, vec(account_id), lambda _: runtime.aura.Authorities.get()),
        "AccountNonceApi_account_nonce": _entry(account_id, u32, runtime.system.account_nonce),
        "CollectCollationInfo_collect_collation_info": _entry(
            Header.codec(), CollationInfo.codec(), runtime.parachain_system.collect_collation_info
        ),
        "GenesisBuilder_build_state": _entry(byte_vec, unit, runtime.build_state),
    }
    if messaging is not None:
        apis |= _messaging_apis(messaging)
    if queries is not None:
        open_queries: Codec[tuple[tuple[int, Query], ...]] = vec(tuple_of(u64, Query.codec()))
        apis["StateQueryApi_open_queries"] = _entry(unit, open_queries, lambda _: queries.open_queries())
    return apis


def _entry(arguments: Codec[Any], result: Codec[Any], function: Callable[[Any], Any]) -> EntryPoint:
    return lambda data: result.encode(function(arguments.decode(data)))


def _messaging_apis(messaging: StateMessaging) -> Mapping[str, EntryPoint]:
    """``StateMessagingApi``, and ``KeyToIncludeInRelayProof``, which names what the block reads for the messages."""
    lane_name, position = tuple_of(u32, u8), tuple_of(u32, u8, u64)
    return {
        "StateMessagingApi_inbound_lane": _entry(lane_name, InboundLane.codec(), messaging.InboundLanes.get),
        "StateMessagingApi_outbound_lane": _entry(
            lane_name, OutboundLane.codec(), messaging.OutboundLanes.get
        ),
        "StateMessagingApi_inbound_window": _entry(
            lane_name, InboundWindow.codec(), messaging.InboundWindows.get
        ),
        "StateMessagingApi_inbound_lanes": _entry(
            unit, vec(views.LaneName.codec()), lambda _: views.inbound_lanes(messaging)
        ),
        "StateMessagingApi_outbound_lanes": _entry(
            unit, vec(views.OutboundLaneView.codec()), lambda _: views.outbound_lanes(messaging)
        ),
        "StateMessagingApi_pending_messages": _entry(
            tuple_of(u32, u8, u64, u32),
            vec(views.PendingView.codec()),
            lambda query: views.pending_messages(messaging, *query),
        ),
        "StateMessagingApi_due_timeouts": _entry(
            tuple_of(u32, u8, u64), vec(u64), lambda query: views.due_timeouts(messaging, *query)
        ),
        "StateMessagingApi_dry_run_item": _entry(InboundItem.codec(), option(u8), messaging.apply_item),
        "StateMessagingApi_outbound_lane_key": _entry(lane_name, byte_vec, messaging.keys.outbound_lane),
        "StateMessagingApi_inbound_key": _entry(
            lane_name, byte_vec, lambda name: messaging.keys.inbound(*name)
        ),
        "StateMessagingApi_outbox_key": _entry(position, byte_vec, messaging.keys.outbox),
        "StateMessagingApi_checkpoint_key": _entry(position, byte_vec, messaging.keys.checkpoint),
        "StateMessagingApi_timestamp_key": _entry(unit, byte_vec, lambda _: messaging.keys.now()),
        "KeyToIncludeInRelayProof_keys_to_prove": _entry(
            unit, views.RelayProofRequest.codec(), lambda _: views.keys_to_prove(messaging)
        ),
    }
