"""ParachainSystem: the parachain's side of the relay chain.

Follows ``cumulus_pallet_parachain_system`` [cumulus-parachain-system]: the inherent `set_validation_data`
brings the relay parent and a proof of its state, the pallet checks the proof and what it implies, and
collects what the block says to the relay chain. Not modelled: the unincluded segment (a block is built on an
included one), descendants of the relay parent, custom head data, sending HRMP messages.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from itertools import pairwise

from host_functions.interfaces import storage_proof_size as host_proof_size
from runtime.pallets.parachain_info import ParachainInfo
from runtime.pallets.parachain_system.events import (
    DownwardMessagesProcessed,
    DownwardMessagesReceived,
    UpwardMessageSent,
    ValidationFunctionApplied,
    ValidationFunctionDiscarded,
    ValidationFunctionStored,
)
from runtime.pallets.parachain_system.relay_state_snapshot import RelayChainStateProof
from runtime.pallets.system import System
from runtime.primitives.digest import RelayParentStorageRoot
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.inherent import PARACHAIN, PARACHAIN_V0, InherentData
from runtime.primitives.parachain import (
    EMPTY_MQC_HEAD,
    AbridgedHostConfiguration,
    CollationInfo,
    PersistedValidationData,
    UpgradeRestriction,
    ValidationParams,
    ValidationResult,
    mqc_head,
    mqc_head_of_hash,
    upgrade_go_ahead,
    upgrade_restriction,
)
from runtime.primitives.parachain import UpgradeGoAhead as GoAhead
from runtime.primitives.parachain_inherent import (
    AbridgedDownwardMessages,
    AbridgedHrmpMessages,
    InboundMessageId,
    InboundMessagesData,
    ParachainInherentData,
    ParachainInherentDataV0,
    RawParachainInherentData,
)
from runtime.primitives.scale import boolean, btree_map, byte_vec, h256, option, u32, vec
from runtime.support.dispatch import Origin, call, ensure_none
from runtime.support.pallet import Call, Pallet
from runtime.support.storage import StorageValue, StorageVec
from runtime.support.weights import DispatchClass, DispatchInfo, Weight

MESSAGES_SIZE_LIMIT = 10 * 1024 * 1024 // 6
"""Bytes of downward messages given in full in one block: a sixth of Polkadot's largest PoV. Horizontal messages
have as much again, and what the downward ones leave.
"""

RECORDING_DISABLED = 2**64 - 1


class ParachainSystem(Pallet):
    """Validation data, messages to and from the relay chain."""

    ValidationData = StorageValue(PersistedValidationData.codec())
    LastRelayChainBlockNumber = StorageValue(u32, default=0)
    RelayStateProof = StorageValue(vec(byte_vec))
    HostConfiguration = StorageValue(AbridgedHostConfiguration.codec())
    UpgradeRestrictionSignal: StorageValue[UpgradeRestriction | None, UpgradeRestriction | None] = (
        StorageValue(option(upgrade_restriction), default=None)
    )
    UpgradeGoAhead: StorageValue[GoAhead | None, GoAhead | None] = StorageValue(
        option(upgrade_go_ahead), default=None
    )
    PendingValidationCode = StorageValue(byte_vec, default=b"")
    """Code that was announced to the relay chain and waits for its word."""
    NewValidationCode = StorageValue(byte_vec)
    """Code that this block announces."""
    DidSetValidationCode = StorageValue(boolean, default=False)
    LastDmqMqcHead = StorageValue(h256, default=EMPTY_MQC_HEAD)
    LastHrmpMqcHeads: StorageValue[dict[int, bytes], dict[int, bytes]] = StorageValue(
        btree_map(u32, h256), default={}
    )
    ProcessedDownwardMessages = StorageValue(u32, default=0)
    LastProcessedDownwardMessage = StorageValue(InboundMessageId.codec())
    LastProcessedHrmpMessage = StorageValue(InboundMessageId.codec())
    HrmpWatermark = StorageValue(u32, default=0)
    """Stays for the next block: where messages are left in the middle of a relay block, the watermark does too."""
    PendingUpwardMessages = StorageVec(byte_vec)
    UpwardMessages = StorageVec(byte_vec)

    Event = (
        ValidationFunctionStored
        | ValidationFunctionApplied
        | ValidationFunctionDiscarded
        | DownwardMessagesReceived
        | DownwardMessagesProcessed
        | UpwardMessageSent
    )

    class Error(enum.IntEnum):
        """Why an upward message or new code is refused, with the indices of ``cumulus_pallet_parachain_system``."""

        OverlappingUpgrades = 0
        ProhibitedByPolkadot = 1
        TooBig = 2
        ValidationDataNotAvailable = 3
        HostConfigurationNotAvailable = 4

    def __init__(
        self, system: System, parachain_info: ParachainInfo, *, on_relay_slot: Callable[[int], None]
    ) -> None:
        """``on_relay_slot`` is told the relay parent's slot: the consensus hook."""
        self.system = system
        self.parachain_info = parachain_info
        self.on_relay_slot = on_relay_slot
        system.on_set_code = self.schedule_code_upgrade  # ``ParachainSetCode``

    # Hooks.

    def on_initialize(self, number: int) -> Weight:
        """Forget what the previous block said to the relay chain."""
        if not self.DidSetValidationCode.get():  # another pallet's hook may have set it before ours
            self.NewValidationCode.kill()
        self.ValidationData.kill()
        self.ProcessedDownwardMessages.kill()
        self.UpwardMessages.kill()
        return Weight(10_000_000, 2_000)

    def on_finalize(self, number: int) -> None:
        """Every block must have seen its validation data; then move out as many upward messages as
        allowed.
        """
        self.DidSetValidationCode.kill()
        self.UpgradeRestrictionSignal.kill()
        self.UpgradeGoAhead.kill()
        if not self.ValidationData.exists():
            raise InvalidBlock("set_validation_data inherent needs to be present in every block!")
        configuration = self.HostConfiguration.get()
        if configuration is None:
            raise InvalidBlock("host configuration is promised to be set by set_validation_data")
        pending = self.PendingUpwardMessages.get()
        if pending:
            count = configuration.max_upward_message_num_per_candidate
            self.UpwardMessages.put(pending[:count])
            self.PendingUpwardMessages.put(pending[count:])

    # The inherent.

    @call(
        0,
        weight=lambda data, messages: Weight(50_000_000, sum(len(node) for node in data.relay_chain_state)),
        dispatch_class=DispatchClass.MANDATORY,
    )
    def set_validation_data(
        self, origin: Origin, data: ParachainInherentData, messages: InboundMessagesData
    ) -> None:
        """Take the relay parent's data. Inherent, exactly once in every block."""
        ensure_none(origin)
        if self.ValidationData.exists():
            raise InvalidBlock("ValidationData must be updated only once in a block")
        validation_data = data.validation_data

        # CHECK RELAY PARENT
        number = validation_data.relay_parent_number
        last = self.LastRelayChainBlockNumber.get()
        if number <= last:
            raise InvalidBlock(
                f"Relay chain block number needs to strictly increase between Parachain blocks: {number}"
            )
        proof = RelayChainStateProof(
            self.parachain_info.ParachainId.get(),
            validation_data.relay_parent_storage_root,
            data.relay_chain_state,
        )
        self.on_relay_slot(proof.current_slot())
        self.system.deposit_log(
            RelayParentStorageRoot(validation_data.relay_parent_storage_root, number).to_digest_item()
        )

        # APPLY UPGRADE
        go_ahead = proof.upgrade_go_ahead()
        self._heed(go_ahead, number)

        # READ RELAY STATE
        configuration = proof.host_configuration()
        # Like `ValidationData` for this block only; removed again in `on_finalize`.
        self.UpgradeRestrictionSignal.put(proof.upgrade_restriction())
        self.UpgradeGoAhead.put(go_ahead)
        self.HostConfiguration.put(configuration)
        self.RelayStateProof.put(data.relay_chain_state)
        self.ValidationData.put(validation_data)
        self.LastRelayChainBlockNumber.put(number)

        # CHECK MESSAGES
        self._enqueue_downward(proof.dmq_mqc_head(), messages)
        self._enqueue_horizontal(proof, messages, number)

    def _heed(self, go_ahead: GoAhead | None, relay_parent_number: int) -> None:
        """Do with the pending code what the relay chain says."""
        if go_ahead is GoAhead.GO_AHEAD:
            if not self.PendingValidationCode.exists():
                raise InvalidBlock(
                    "No new validation function found in storage, GoAhead signal is not expected"
                )
            self.system.update_code_in_storage(self.PendingValidationCode.take())
            self.deposit_event(ValidationFunctionApplied(relay_parent_number))
        elif go_ahead is GoAhead.ABORT:
            self.PendingValidationCode.kill()
            self.deposit_event(ValidationFunctionDiscarded())

    def _enqueue_downward(self, expected: bytes, messages: InboundMessagesData) -> None:
        """The messages must continue our queue's hash chain to the head in relay state.

        Messages that stand as hashes are part of that chain but stay in the queue.
        """
        head = self.LastDmqMqcHead.get()
        full = messages.downward_messages.full_messages
        _check_enough_messages_included(len(full), len(messages.downward_messages.hashed_messages))
        for message in full:
            head = mqc_head(head, message.sent_at, message.msg)
        end = head
        for link in messages.downward_messages.hashed_messages:
            end = mqc_head_of_hash(end, link.sent_at, link.msg_hash)
        if end != expected:
            raise InvalidBlock(
                "downward message queue: the messages do not lead to the relay chain's queue head"
            )
        if full:
            self.LastDmqMqcHead.put(head)
            last = full[-1].sent_at
            behind = sum(link.sent_at == last for link in messages.downward_messages.hashed_messages)
            self.LastProcessedDownwardMessage.put(InboundMessageId(last, behind))
            self.deposit_event(DownwardMessagesReceived(len(full)))
            self.deposit_event(DownwardMessagesProcessed(Weight(), head))
        self.ProcessedDownwardMessages.put(len(full))

    def _enqueue_horizontal(
        self, proof: RelayChainStateProof, messages: InboundMessagesData, relay_parent_number: int
    ) -> None:
        """As `_enqueue_downward`, for every open HRMP channel; only senders with a channel may speak."""
        channels = proof.ingress_channels()
        known = self.LastHrmpMqcHeads.get()
        heads = {sender: known.get(sender, EMPTY_MQC_HEAD) for sender in channels}
        full, hashed = (
            messages.horizontal_messages.full_messages,
            messages.horizontal_messages.hashed_messages,
        )
        _check_enough_messages_included(len(full), len(hashed))
        for sender in [sender for sender, _ in full] + [sender for sender, _ in hashed]:
            if sender not in channels:
                raise InvalidBlock(f"horizontal message from {sender}, which has no channel to us")
        order = [(message.sent_at, sender) for sender, message in full]
        order += [(link.sent_at, sender) for sender, link in hashed]
        if any(second < first for first, second in pairwise(order)):
            raise InvalidBlock("horizontal messages are not in order of relay block and sender")
        for sender, message in full:
            heads[sender] = mqc_head(heads[sender], message.sent_at, message.data)
        ends = dict(heads)
        for sender, link in hashed:
            ends[sender] = mqc_head_of_hash(ends[sender], link.sent_at, link.msg_hash)
        for sender, channel in channels.items():
            if ends[sender] != (channel.mqc_head or EMPTY_MQC_HEAD):
                raise InvalidBlock(f"horizontal messages of {sender} do not lead to the channel's queue head")
        # Also when there is no channel left: a channel that is opened again starts from an empty queue.
        self.LastHrmpMqcHeads.put(heads)
        self._note_horizontal(
            [message.sent_at for _, message in full],
            [link.sent_at for _, link in hashed],
            relay_parent_number,
        )

    def _note_horizontal(self, taken: list[int], left: list[int], relay_parent_number: int) -> None:
        """How far the channels are read: for the author of the next block, and for the relay chain.

        The relay chain drops what was sent up to the watermark and accepts only its last one, the relay parent, or a
        block in which something was sent to us. So it is the last block none of whose messages stays queued.
        """
        if not left:
            last = taken[-1] if taken else relay_parent_number
            self.LastProcessedHrmpMessage.put(InboundMessageId(last, 0))
            self.HrmpWatermark.put(relay_parent_number)
            return
        last = taken[-1]
        self.LastProcessedHrmpMessage.put(InboundMessageId(last, sum(at == last for at in left)))
        finished = [at for at in taken if at < left[0]]
        if finished:
            self.HrmpWatermark.put(finished[-1])

    def create_inherent(self, data: InherentData) -> Call | None:
        raw = data.get_data(PARACHAIN, RawParachainInherentData.codec())
        if raw is None:
            old = data.get_data(PARACHAIN_V0, ParachainInherentDataV0.codec())
            if old is None:
                raise InvalidBlock("the author's inherent data has no validation data (sysi1338 or sysi1337)")
            raw = RawParachainInherentData(
                old.validation_data, old.relay_chain_state, old.downward_messages, old.horizontal_messages
            )
        # The node hands in whole queues. What an earlier block took is still in them until that block is included,
        # and longer if the watermark could not pass it.
        seen = InboundMessageId(self.LastRelayChainBlockNumber.get(), 0)
        downward, left = AbridgedDownwardMessages.abridge(
            raw.downward_messages, MESSAGES_SIZE_LIMIT, self.LastProcessedDownwardMessage.get() or seen
        )
        horizontal, _ = AbridgedHrmpMessages.abridge(
            raw.horizontal_messages,
            left + MESSAGES_SIZE_LIMIT,
            self.LastProcessedHrmpMessage.get() or seen,
        )
        messages = InboundMessagesData(downward, horizontal)
        return self.call_of(self.set_validation_data, raw.without_messages(), messages)

    def is_inherent(self, call: Call) -> bool:
        return call.function.spec.name == "set_validation_data"

    # Towards the relay chain.

    def send_upward_message(self, message: bytes) -> bytes:
        """Queue a message for the relay chain; its hash. For other pallets; raises `ModuleError`."""
        configuration = self.HostConfiguration.get()
        if configuration is None:
            raise self.fail(self.Error.HostConfigurationNotAvailable)
        if len(message) > configuration.max_upward_message_size:
            raise self.fail(self.Error.TooBig)
        self.PendingUpwardMessages.append(message)
        message_hash = blake2_256(message)
        self.deposit_event(UpwardMessageSent(message_hash))
        return message_hash

    def schedule_code_upgrade(self, code: bytes) -> None:
        """Announce new code to the relay chain, to be applied when that says so. Raises `ModuleError`.

        Chain and relay chain change to it with the same candidate, so that validators always have the code of the block
        they judge.
        """
        if not self.ValidationData.exists():  # with it comes the signal that is looked at next
            raise self.fail(self.Error.ValidationDataNotAvailable)
        if self.UpgradeRestrictionSignal.get() is not None:
            raise self.fail(self.Error.ProhibitedByPolkadot)
        if self.PendingValidationCode.exists():
            raise self.fail(self.Error.OverlappingUpgrades)
        configuration = self.HostConfiguration.get()
        if configuration is None:
            raise self.fail(self.Error.HostConfigurationNotAvailable)
        if len(code) > configuration.max_code_size:
            raise self.fail(self.Error.TooBig)
        self.NewValidationCode.put(code)
        self.DidSetValidationCode.put(True)
        self.PendingValidationCode.put(code)
        self.deposit_event(ValidationFunctionStored())

    def collect_collation_info(self, header: Header) -> CollationInfo:
        """What the block with ``header`` says to the relay chain, for the collator."""
        return CollationInfo(
            self.UpwardMessages.get(),
            (),
            self.NewValidationCode.get(),
            self.ProcessedDownwardMessages.get(),
            self.HrmpWatermark.get(),
            header.encode(),
        )

    def validation_result(self, head_data: bytes) -> ValidationResult:
        """The same for the validator, read from the state after the block."""
        return ValidationResult(
            head_data,
            self.NewValidationCode.get(),
            self.UpwardMessages.get(),
            (),
            self.ProcessedDownwardMessages.get(),
            self.HrmpWatermark.get(),
        )

    def check_validation_params(self, params: ValidationParams) -> None:
        """What the block believed of the relay chain is what the validator was given. Raises
        `InvalidBlock`.
        """
        data = self.ValidationData.get()
        if data is None:
            raise InvalidBlock("the block did not set its validation data")
        if data.parent_head != params.parent_head:
            raise InvalidBlock("Parent head doesn't match")
        if data.relay_parent_number != params.relay_parent_number:
            raise InvalidBlock("Relay parent number doesn't match")
        if data.relay_parent_storage_root != params.relay_parent_storage_root:
            raise InvalidBlock("Relay parent storage root doesn't match")

    # Proof size.

    def proof_size(self) -> int | None:
        """Bytes recorded so far, or ``None`` where nothing is recorded."""
        size = host_proof_size.storage_proof_size()
        return None if size == RECORDING_DISABLED else size

    def reclaim_weight(self, info: DispatchInfo, before: int | None) -> None:
        """Replace an extrinsic's declared proof size by what it really added: ``StorageWeightReclaim``.

        Source: ``cumulus_primitives_storage_weight_reclaim`` [cumulus-reclaim]. This puts the proof size into
        the state, so contexts that measure it differently arrive at different state roots.
        """
        after = self.proof_size()
        if before is None or after is None:
            return
        dispatch_class = info.dispatch_class
        used = self.system.BlockWeight.get()
        now = used.of(dispatch_class)
        proof_size = max(now.proof_size - info.weight.proof_size, 0) + (after - before)
        self.system.BlockWeight.put(used.replace(dispatch_class, Weight(now.ref_time, proof_size)))


def _check_enough_messages_included(full: int, hashed: int) -> None:
    """The advancement rule, ``check_enough_messages_included``: an author who leaves messages in a queue must
    take at least one.
    """
    if hashed and not full:
        raise InvalidBlock("advancement rule: messages are left in the queue and none is taken")
