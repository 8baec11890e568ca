"""EVM messaging: messages that a contract on an EVM parachain logged, proven like those of other siblings.

A parachain with Frontier's pallets has contracts, and contracts have no access to an outbox; what they can leave is a
log. The chain of trust is one step longer: the sibling's head from relay state, its Ethereum block from its state by
a Substrate proof, the receipt from the block's receipts root by an Ethereum proof, and in the receipt the log of the
gateway contract that our governance named. From there on it is a message like any other: the same lanes, handlers and
limits of `StateMessaging`, ordered by the gateway's nonces.

Anyone hands the items in, for a fee. Not modelled: an inherent (no EVM node to fetch from is here), acknowledgements
and timeouts at the contract, which cannot read our state; its users read `InboundLanes` by proof.

Source: the proposal; the protocol is Pileus's own (docs: "Messages from EVM parachains").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from runtime.pallets.evm_messaging import verify
from runtime.pallets.evm_messaging.types import EvmItem
from runtime.pallets.evm_messaging.verify import Refusal, Refused
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.state_messaging.pallet import StateMessaging
from runtime.pallets.state_messaging.receive import ProvenBatch
from runtime.pallets.state_messaging.weights import ITEM, PATH
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.scale import H160, U8, U32, Variant, h160, u32
from runtime.support.dispatch import Origin, call, ensure_root, ensure_signed
from runtime.support.pallet import Pallet
from runtime.support.sibling_ancestry import MAX_HEAD_BYTES, HeadRefused, SiblingHead, resolve_head
from runtime.support.storage import StorageMap
from runtime.support.weights import Weight


@dataclass(frozen=True, slots=True)
class EvmItemRefused(Variant):
    """An item was refused and changed nothing. ``reason`` is a `verify.Refusal`."""

    index: ClassVar[int] = 0
    source: U32
    reason: U8


@dataclass(frozen=True, slots=True)
class GatewaySet(Variant):
    """Our governance named the gateway contract of a sibling, or none."""

    index: ClassVar[int] = 1
    source: U32
    contract: H160 | None


class EvmMessaging(Pallet):
    """Logs of gateway contracts, as messages."""

    Gateways = StorageMap(twox_64_concat, u32, h160)
    """Sibling -> address of the contract whose logs are messages."""

    Event = EvmItemRefused | GatewaySet

    def __init__(
        self,
        parachain_info: ParachainInfo,
        messaging: StateMessaging,
        *,
        governance: Callable[[Origin], None] = ensure_root,
    ) -> None:
        """Limits, handlers, layout of siblings and fees are those of ``messaging``; ``governance`` raises `BadOrigin`
        for who may not name gateways.
        """
        self.parachain_info = parachain_info
        self.messaging = messaging
        self.governance = governance

    @call(0, weight="item_weight", fee="item_fee")
    def submit(self, origin: Origin, item: EvmItem) -> None:
        """Hand in an item, as anybody may. It succeeds also when the item is refused (the event says why), so that the
        work is paid either way.
        """
        ensure_signed(origin)
        try:
            head, batch = self._check(item)
        except Refused as refused:
            self.deposit_event(EvmItemRefused(item.source, refused.refusal))
            return
        self.messaging.consume_proven(item.source, batch)
        self.messaging.note_head_used(item.source, head)

    @call(1, weight=Weight(30_000_000, 2 * PATH))
    def set_gateway(self, origin: Origin, source: U32, contract: H160 | None) -> None:
        """Take the logs of this contract on ``source`` for messages; ``None``: of none."""
        self.governance(origin)
        if contract is None:
            self.Gateways.remove(source)
        else:
            self.Gateways.insert(source, contract)
        self.deposit_event(GatewaySet(source, contract))

    def item_weight(self, item: EvmItem) -> Weight:
        """At most, of everything that the item may do: from the item alone, charged before it is looked at.

        Who the recipients are is in the receipts; each message is charged as the dearest handler's, with all of the
        receipts for its payload.
        """
        proof = (
            item.proof_bytes() + 8 * (len(item.state_nodes) + len(item.receipt_nodes)) + 8 * len(item.logs)
        )
        total = ITEM + Weight(40_000_000 + 6_000 * proof, proof + 6 * PATH + MAX_HEAD_BYTES)
        payload = sum(map(len, item.receipt_nodes))
        weights = [handler.message_weight(payload) for handler in self.messaging.handlers.values()]
        ref_time = 30_000_000 + max((weight.ref_time for weight in weights), default=0)
        proof_size = max((weight.proof_size for weight in weights), default=0)
        return total + Weight(ref_time * len(item.logs), proof_size * len(item.logs))

    def item_fee(self, item: EvmItem) -> int:
        """What `submit` costs, in the native token's smallest unit."""
        return self.messaging.fees.of(self.item_weight(item))

    def _check(self, item: EvmItem) -> tuple[SiblingHead, ProvenBatch]:
        """The protocol's checks, in its order. Raises `Refused`."""
        # WHAT THE ITEM ALONE SHOWS
        me, messaging = self.parachain_info.ParachainId.get(), self.messaging
        verify.check_shape(item, messaging.limits, me)

        # OUR OWN STATE
        gateway = self.Gateways.get(item.source)
        if gateway is None:
            raise Refused(Refusal.NO_GATEWAY)
        if messaging.BlockedSources.get(item.source):
            raise Refused(Refusal.SOURCE_BLOCKED)
        verify.check_cursor(item, messaging.inbound(item.source, item.lane))

        # THE HEAD
        try:
            head = resolve_head(
                item.source,
                item.head,
                remembered=lambda hash_: messaging.remembered_head(item.source, hash_),
                layout=messaging.sibling_layout,
            )
        except HeadRefused as refused:
            raise Refused(verify.of_head(refused.refusal)) from None

        # THE PROOFS
        block = verify.prove_block(head, item.block, item.state_nodes, messaging.sibling_layout)
        messages = verify.prove_messages(item, block, gateway, me, messaging.limits)
        return head, ProvenBatch(item.lane, messages)
