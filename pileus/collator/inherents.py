"""Inherent data: what the collator tells the runtime about the outside world.

Follows ``cumulus_client_parachain_inherent`` [cumulus-inherent] for the relay chain's part: the same keys are
proven, present or absent, at the relay parent. Both identifiers are provided, so that old and new runtimes
find theirs.
"""

from __future__ import annotations

from pileus.collator.consensus import Claim
from pileus.relay_chain.interface import RelayChainInterface
from runtime.pallets.state_messaging.lanes import VERSION
from runtime.pallets.state_messaging.types import InboundItem, MessagingInherent
from runtime.pallets.state_query.types import VERSION as QUERY_VERSION
from runtime.pallets.state_query.types import AnswerItem, QueryInherent
from runtime.primitives import relay_keys
from runtime.primitives.inherent import (
    PARACHAIN,
    PARACHAIN_V0,
    STATE_MESSAGING,
    STATE_QUERY,
    TIMESTAMP,
    InherentData,
)
from runtime.primitives.parachain import PersistedValidationData
from runtime.primitives.parachain_inherent import ParachainInherentDataV0, RawParachainInherentData
from runtime.primitives.scale import u32, u64, vec

__all__ = ["inherent_data", "relay_proof_keys"]

_paras = vec(u32)


def relay_proof_keys(relay: RelayChainInterface, para_id: int, relay_parent: bytes) -> tuple[bytes, ...]:
    """Every key of relay state that a parachain inherent proves."""
    ingress_key = relay_keys.hrmp_ingress_channel_index(para_id)
    egress_key = relay_keys.hrmp_egress_channel_index(para_id)
    ingress = _paras.decode(relay.get_storage_by_key(relay_parent, ingress_key) or b"\x00")
    egress = _paras.decode(relay.get_storage_by_key(relay_parent, egress_key) or b"\x00")
    return (
        relay_keys.CURRENT_BLOCK_RANDOMNESS,
        relay_keys.ONE_EPOCH_AGO_RANDOMNESS,
        relay_keys.TWO_EPOCHS_AGO_RANDOMNESS,
        relay_keys.CURRENT_SLOT,
        relay_keys.ACTIVE_CONFIG,
        relay_keys.dmq_mqc_head(para_id),
        relay_keys.relay_dispatch_queue_size(para_id),
        relay_keys.relay_dispatch_queue_remaining_capacity(para_id),
        ingress_key,
        egress_key,
        relay_keys.upgrade_go_ahead_signal(para_id),
        relay_keys.upgrade_restriction_signal(para_id),
        relay_keys.para_head(para_id),
        *(relay_keys.hrmp_channel(sender, para_id) for sender in ingress),
        *(relay_keys.hrmp_channel(para_id, recipient) for recipient in egress),
    )


def inherent_data(
    relay: RelayChainInterface,
    para_id: int,
    relay_parent: bytes,
    validation_data: PersistedValidationData,
    *,
    claim: Claim,
    items: tuple[InboundItem, ...],
    answers: tuple[AnswerItem, ...] = (),
) -> InherentData:
    """All inherent data for a block on ``relay_parent``: a runtime takes what it knows and ignores the rest.

    ``claim`` gives the time and what the consensus engine says; ``items`` by source,
    ``answers`` by id.
    """
    proof = relay.prove_read(relay_parent, relay_proof_keys(relay, para_id, relay_parent))
    downward = relay.retrieve_dmq_contents(para_id, relay_parent)
    horizontal = dict(relay.retrieve_all_inbound_hrmp_channel_contents(para_id, relay_parent))
    data = InherentData()
    data.put_data(TIMESTAMP, u64.encode(claim.timestamp))
    for identifier, value in claim.inherents.items():
        data.put_data(identifier, value)
    data.put_data(PARACHAIN, RawParachainInherentData(validation_data, proof, downward, horizontal).encode())
    data.put_data(
        PARACHAIN_V0, ParachainInherentDataV0(validation_data, proof, downward, horizontal).encode()
    )
    if items:
        data.put_data(STATE_MESSAGING, MessagingInherent(VERSION, items).encode())
    if answers:
        data.put_data(STATE_QUERY, QueryInherent(QUERY_VERSION, answers).encode())
    return data
