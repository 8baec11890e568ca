"""A topology, running: one relay slot at a time, on a virtual clock.

In each slot the traffic due is submitted; every parachain without a candidate pending availability collates on the best
relay block; the groups judge the collations; the next relay block backs and includes; parachain nodes import what was
included. Nothing reads a clock or draws a random number, so the same topology and seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from host_functions.errors import HostError, SandboxError
from host_functions.executor.wasm import CompileCache
from pileus.block_builder import APPLIED
from pileus.collator import Collation
from pileus.collator.consensus import RELAY_SLOT_DURATION
from pileus.collator.message_source import SiblingMessageSource
from pileus.collator.query_source import SiblingQuerySource
from pileus.metadata import Metadata
from pileus.network.boot import AnyParachain, boot_parachains, boot_relay_chain
from pileus.network.messages import MessageId, MessageLedger
from pileus.network.parachain import RunningParachain, message_payload
from pileus.network.queries import QueryLedger, keys_of
from pileus.network.real_parachain import RunningRealParachain
from pileus.network.report import CandidateReport, ImportReport, SlotReport, pov_parts
from pileus.network.topology import QuerySection, RelayStateMode, Topology, Traffic, TransferSection
from pileus.network.totals import RunTotals
from pileus.network.transfers import movements_of
from pileus.network.upgrades import UpgradeStep, plan_upgrades
from pileus.relay_chain.backing import BackingOutcome, Validator
from pileus.relay_chain.block import RelayBlock
from pileus.relay_chain.chain import BuiltBlock, RelayChain
from pileus.relay_chain.checking import ApprovalReport, check_block
from pileus.relay_chain.real import RealRelayChain
from pov_validator import Verdict
from runtime.primitives import relay_keys
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.header import Header
from runtime.primitives.parachain import CommittedCandidateReceipt
from runtime.primitives.scale import byte_vec

__all__ = ["Network"]


class Network:
    """A relay chain with its parachains."""

    def __init__(
        self, topology: Topology, *, seed: int, relay_state: RelayStateMode, directory: Path = Path()
    ) -> None:
        """Boot everything. `directory` is what the topology's paths are relative to.

        Raises `TopologyError` for a runtime that cannot be loaded, and for a chain spec that cannot be used.
        """
        self.topology = topology
        self.seed = seed
        self.relay_state: RelayStateMode = relay_state
        self.ledger = MessageLedger()
        self.totals = RunTotals()
        self._sent: dict[tuple[int, int], int] = {}
        self._attempts: dict[tuple[int, int], int] = {}
        self._in_flight: dict[bytes, Collation] = {}
        self.parachains = boot_parachains(topology, directory)
        self.upgrades = plan_upgrades(topology, self.parachains, CompileCache.if_usable())
        self.chain, self.relay = boot_relay_chain(topology, self.parachains, seed, directory)
        self._query_keys = [keys_of(query, f"$.queries[{at}]") for at, query in enumerate(topology.queries)]
        self._queries = QueryLedger(
            {key: name for keys in self._query_keys for key, name in keys.items()},
            self._metadata(),
        )
        for para in self.parachains:
            peers = [sibling for sibling in self.parachains if sibling is not para]
            if para.spec.peers is not None:
                peers = [sibling for sibling in peers if sibling.para_id in para.spec.peers]
            sources = [SiblingMessageSource(peer.para_id, peer.node, peer.node.layout) for peer in peers]
            queried = [SiblingQuerySource(peer.para_id, peer.node, peer.node.layout) for peer in peers]
            para.start_collators(self.relay, sources, queried, commit_relay_reads=self.carried)

    @property
    def carried(self) -> bool:
        """Whether candidates carry the proof of their relay reads, for validators to use it."""
        return self.relay_state != "own"

    @property
    def fallback(self) -> bool:
        """Whether validators use it only where their own relay state has gaps."""
        return self.relay_state == "fallback"

    def run(self, blocks: int) -> Iterator[SlotReport]:
        """Build that many relay blocks, one per step of the iterator."""
        for _ in range(blocks):
            yield self.step()

    def step(self) -> SlotReport:
        """One relay slot. Raises `ContextDivergence` if a parachain runs in two engines and they differ."""
        problems: list[str] = []
        relay_parent = self.chain.best
        self._disturb(relay_parent)
        self._submit_traffic(relay_parent.number + 1)
        for upgrade in self.upgrades:
            if upgrade.section.at == relay_parent.number + 1:
                upgrade.submit()
        offered: list[tuple[AnyParachain, Collation, BackingOutcome]] = []
        for para in self.parachains:
            collation = self._collate(para, relay_parent, problems)
            if collation is not None:
                outcome = self.chain.back(collation, carried=self.carried, fallback=self.fallback)
                offered.append((para, collation, outcome))
        for para in self.parachains:
            if isinstance(para, RunningParachain) and para.divergence is not None:
                raise para.divergence
        built = self.chain.build_block(
            [outcome.backed for *_, outcome in offered if outcome.backed is not None]
        )
        candidates = tuple(self._report(*offer, built) for offer in offered)
        for candidate in candidates:
            if candidate.backed:
                self._in_flight[candidate.outcome.candidate.hash()] = candidate.collation
                self.ledger.note_proven(candidate.proven, built.block.number)
        upgrades: list[UpgradeStep] = []
        imported = [
            self._import(receipt, built.block, problems, upgrades) for receipt in built.block.included
        ]
        read = partial(self.relay.get_storage_by_key, built.block.hash)
        steps = [upgrade.note_block(built.block.number, read) for upgrade in self.upgrades]
        upgrades += [step for step in steps if step is not None]
        approvals = self._check_approvals(built.block, problems)
        report = SlotReport(
            built.block,
            self.chain.finalized.number,
            candidates,
            tuple(report for report in imported if report is not None),
            tuple(problems),
            approvals,
            tuple(upgrades),
        )
        self.totals.add(report)
        self._forget_settled_bodies()
        return report

    def _forget_settled_bodies(self) -> None:
        """What is acknowledged for good need not be kept beside the state."""
        finalized = self.chain.finalized
        for para in self.parachains:
            if isinstance(para, RunningParachain):
                head = self.relay.get_storage_by_key(finalized.hash, relay_keys.para_head(para.para_id))
                if head is not None:
                    para.node.forget_settled_bodies(para.node.digest(byte_vec.decode(head)))

    def _disturb(self, newest: RelayBlock) -> None:
        """What the topology wants to go wrong on the relay chain, before the next block is built on `newest`."""
        section, chain = self.topology.relaychain, self.chain
        if not isinstance(chain, RelayChain):
            return
        stalled = any(first <= newest.number <= last for first, last in section.finality_stalls)
        if stalled and not chain.finality_stalled:
            chain.stall_finality()
        elif chain.finality_stalled and not stalled:
            chain.resume_finality()
        if section.fork_every and newest.number and newest.number % section.fork_every == 0:
            # In a later slot, so that it is another block, and not higher, so that it is not the best one.
            parent = chain.block(newest.parent_hash)
            if chain.tree.is_viable(parent) and chain.has_state(parent):
                chain.build_block(parent=parent.hash, slot=newest.slot + 1)

    def _check_approvals(self, block: RelayBlock, problems: list[str]) -> tuple[ApprovalReport, ...]:
        """Let validators check what a block includes, if the topology wants them to."""
        if not self.topology.relaychain.approvals or not isinstance(self.chain, RelayChain):
            return ()
        reports = check_block(
            self.chain,
            block,
            lambda validator: validator.relay_state(carried=self.carried, fallback=self.fallback),
        )
        problems += [
            f"candidate 0x{report.candidate.hex()[:8]}… is not approved: "
            + "; ".join(str(judgement.verdict) for _, judgement in report.judgements[-1:])
            for report in reports
            if not report.approved
        ]
        return reports

    def _metadata(self) -> dict[int | None, Metadata]:
        """By para id, ``None`` for the relay chain: of the real chains, where a query needs it."""
        asked = {query.asked for query in self.topology.queries}
        found: dict[int | None, Metadata] = {
            para.para_id: para.chain.metadata
            for para in self.parachains
            if isinstance(para, RunningRealParachain) and para.para_id in asked
        }
        if "relay" in asked and isinstance(self.chain, RealRelayChain):
            found[None] = self.chain.metadata(self.chain.best)
        return found

    def _submit_traffic(self, relay_block: int) -> None:
        by_id = {para.para_id: para for para in self.parachains if isinstance(para, RunningParachain)}
        for query, keys in zip(self.topology.queries, self._query_keys, strict=True):
            if _is_due(query, relay_block):
                by_id[query.asker].submit_query(None if query.asked == "relay" else query.asked, keys)
        # Of the block that will be built on the best one, as `Claim` has it.
        now = (self.chain.best.slot + 1) * RELAY_SLOT_DURATION
        for transfer in self.topology.transfers:
            if _is_due(transfer, relay_block):
                by_id[transfer.source].submit_transfer(
                    transfer.destination,
                    transfer.source if transfer.home is None else transfer.home,
                    by_id[transfer.destination].account,
                    transfer.amount,
                    None if transfer.timeout is None else now + transfer.timeout,
                )
        for traffic in self.topology.traffic:
            if not _is_due(traffic, relay_block):
                continue
            route = traffic.source, traffic.destination
            for _ in range(traffic.count):
                position = self._sent[route] = self._sent.get(route, 0) + 1
                payload = message_payload(self.seed, *route, position, traffic.size)
                by_id[traffic.source].submit_message(traffic.destination, payload)

    def _collate(self, para: AnyParachain, relay_parent: RelayBlock, problems: list[str]) -> Collation | None:
        if not self.chain.expects(para.para_id, relay_parent):
            return None
        try:
            collation = para.collate(relay_parent.hash)
        except (HostError, InvalidBlock, SandboxError) as error:
            problems.append(f"{para.name} could not collate: {error}")
            return None
        if collation is not None:
            problems += [
                f"{para.name}: {fetched.problem}" for _, fetched in collation.fetched if fetched.problem
            ]
            problems += [
                f"{para.name} refused an extrinsic: {refused.reason}"
                for refused in collation.proposal.refused
                if not refused.is_future
            ]
        return collation

    def _report(
        self, para: AnyParachain, collation: Collation, outcome: BackingOutcome, built: BuiltBlock
    ) -> CandidateReport:
        block = para.para_id, collation.block.header.number
        attempt = self._attempts[block] = self._attempts.get(block, 0) + 1
        refusal = next((refusal for refusal in built.refused if refusal.candidate == outcome.candidate), None)
        proven = [
            MessageId(item.source, para.para_id, batch.lane, batch.first_nonce + position)
            for _, fetched in collation.fetched
            if (item := fetched.item) is not None
            for batch in item.batches
            for position in range(len(batch.bodies))
        ]
        return CandidateReport(
            para.para_id,
            para.name,
            collation.block.header.number,
            attempt,
            collation,
            outcome,
            self._cross_checks(outcome) if self.carried else (),
            refusal,
            tuple(proven),
            sum(result != APPLIED for result in collation.proposal.dispatch_results),
            pov_parts(collation.block_data, collation.pov),
            self.relay_state,
        )

    def _cross_checks(self, outcome: BackingOutcome) -> tuple[tuple[Validator, Verdict], ...]:
        """The backers' verdicts once more, from their own relay state instead of the carried proof."""
        candidate = outcome.candidate
        registered = self.relay.validation_code_hash(
            candidate.descriptor.para_id, candidate.descriptor.relay_parent
        )
        return tuple(
            (
                validator,
                validator.validate(
                    candidate,
                    outcome.pov,
                    outcome.pvd,
                    validator.relay_state(carried=False),
                    registered_code_hash=registered,
                ),
            )
            for validator, _ in outcome.verdicts
        )

    def _import(
        self,
        receipt: CommittedCandidateReceipt,
        relay_block: RelayBlock,
        problems: list[str],
        upgrades: list[UpgradeStep],
    ) -> ImportReport | None:
        para = next(para for para in self.parachains if para.para_id == receipt.descriptor.para_id)
        collation = self._in_flight.pop(receipt.hash())
        try:
            events = para.import_included(collation.block, self.relay, receipt.descriptor.relay_parent)
        except (HostError, InvalidBlock, SandboxError) as error:
            problems.append(f"{para.name} could not import its included block: {error}")
            return None
        header: Header = collation.block.header
        for upgrade in self.upgrades:
            if upgrade.para is para:
                step = upgrade.note_import(
                    collation.block, events, upgrade.para.module_at(header.parent_hash).RUNTIME.pallets
                )
                upgrades += [] if step is None else [step]
        noted = self.ledger.note_events(para.para_id, events, relay_block.number)
        answers = self._queries.note_events(para.para_id, events)
        block_hash = header.hash(para.node.digest)
        return ImportReport(
            para.para_id,
            para.name,
            header.number,
            block_hash,
            noted.sent,
            noted.delivered,
            noted.failed,
            noted.expired,
            noted.settled,
            answers,
            movements_of(para.para_id, events),
        )


def _is_due(section: Traffic | QuerySection | TransferSection, relay_block: int) -> bool:
    """Whether something is sent, or asked, with this block."""
    over = section.until is not None and relay_block > section.until
    return not over and (relay_block - 1) % section.every == 0
