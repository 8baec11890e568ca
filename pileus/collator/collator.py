"""The collator: one block on a relay parent, as a candidate with its proof of validity.

Follows ``cumulus_client_collator`` and the aura collator of Cumulus [cumulus-collator]. The relay parent's
state answers the runtime's relay reads through the embedded relay node; with ``commit_relay_reads`` what was
read travels in the PoV and the header commits to it, without, validators answer from their own state. The
block is built on the head that the relay parent's state holds (no unincluded segment).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

from host_functions.compressed_blob import POV_BOMB_LIMIT, compress
from host_functions.contexts import AuthoringContext, OffchainContext
from host_functions.errors import SandboxError
from host_functions.relay_state import RelayStateReader
from host_functions.state_machine.backend import FullBackend
from host_functions.state_machine.externalities import Externalities
from pileus.block_builder import Proposal, propose
from pileus.collator.consensus import Claim
from pileus.collator.container import Containers, validate
from pileus.collator.descriptor import signed_descriptor
from pileus.collator.inherents import inherent_data
from pileus.collator.message_source import Fetched, MessageSource
from pileus.collator.messages import MessageCollector
from pileus.collator.node import ParachainNode
from pileus.collator.query_source import (
    FetchedAnswer,
    SiblingQuerySource,
    answers_that_fit,
    fetch_relay_answer,
)
from pileus.keyring import Keypair
from pileus.relay_chain.interface import RelayChainInterface
from pov_validator.erasure import erasure_root as root_of_chunks
from pov_validator.erasure import obtain_chunks
from runtime.pallets.state_messaging.limits import DEFAULT_LIMITS, Limits
from runtime.pallets.state_query.limits import DEFAULT_QUERY_LIMITS, QueryLimits
from runtime.pallets.state_query.types import Query
from runtime.primitives import relay_keys
from runtime.primitives.block import Block
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    AvailableData,
    CandidateCommitments,
    CandidateDescriptor,
    CandidateDescriptorV2,
    CollationInfo,
    CollationInfoV1,
    PersistedValidationData,
    PoV,
)
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.primitives.scale import Codec, byte_vec, tuple_of, u64, vec
from runtime.primitives.version import api_id
from runtime.trie.compact import encode_compact_with_children

__all__ = ["Collation", "Collator"]

COLLATION_API = api_id("CollectCollationInfo")

_open_queries: Codec[tuple[tuple[int, Query], ...]] = vec(tuple_of(u64, Query.codec()))


@dataclass(frozen=True, slots=True)
class Collation:
    """A candidate and how it came about."""

    para_id: int
    descriptor: CandidateDescriptor
    commitments: CandidateCommitments
    pov: PoV
    pvd: PersistedValidationData
    block: Block
    """The sealed block."""
    block_data: ParachainBlockData
    proposal: Proposal
    relay_reads: tuple[bytes, ...]
    """Nodes of relay state that the block's relay reads touched."""
    fetched: tuple[tuple[int, Fetched], ...]
    """Sibling -> what its message source gave."""
    answers: tuple[FetchedAnswer, ...] = ()
    """What came of each query that was open."""


class Collator:
    """Authors for one parachain with one key, as the consensus of its runtime wants it."""

    def __init__(
        self,
        node: ParachainNode,
        relay: RelayChainInterface,
        para_id: int,
        keypair: Keypair,
        *,
        message_sources: Sequence[MessageSource] = (),
        query_sources: Sequence[SiblingQuerySource] = (),
        lanes: Sequence[int] = (0,),
        commit_relay_reads: bool = False,
        fetch_deadline: int = 500,
        limits: Limits = DEFAULT_LIMITS,
        query_limits: QueryLimits = DEFAULT_QUERY_LIMITS,
        containers: Containers | None = None,
    ) -> None:
        """``lanes`` are looked at with every sibling, besides those in use; ``fetch_deadline`` in milliseconds,
        for each; ``limits`` and ``query_limits`` are those of this parachain's runtime; ``containers`` is what
        other collators have found out about its validation function. Several ``message_sources`` of one sibling, its
        nodes in order of preference, stand in for each other. Raises `ValueError` for two ``query_sources`` of one.
        """
        self.node = node
        self.relay = relay
        self.para_id = para_id
        self.keypair = keypair
        self.messages = MessageCollector(
            node, relay, para_id, message_sources, lanes=lanes, fetch_deadline=fetch_deadline, limits=limits
        )
        self.query_sources = {source.para_id: source for source in query_sources}
        if len(self.query_sources) != len(query_sources):
            raise ValueError(
                "two query sources for one sibling: only for messages can nodes stand in for each other"
            )
        self.query_limits = query_limits
        self.fetch_deadline = fetch_deadline
        self.commit_relay_reads = commit_relay_reads
        self.pool: list[bytes] = []
        """Extrinsics that wait for a block, oldest first."""
        self._containers = containers or Containers()

    def collate(self, relay_parent: bytes) -> Collation | None:
        """Build a candidate on ``relay_parent``; ``None`` if it is not this collator's turn.

        Raises `InvalidBlock` if the runtime refuses the collator's own inherents, and `HostError`
        (`StateUnavailable`) if the relay or parachain state is gone.
        """
        # RELAY PARENT
        pvd = self.relay.persisted_validation_data(self.para_id, relay_parent)
        slot = self.relay.slot(relay_parent)
        if pvd is None or slot is None or pvd.relay_parent_number == 0:
            # Runtimes require the relay block number to increase from 0, so nobody can build on the relay
            # genesis.
            return None
        parent = Header.decode(pvd.parent_head)
        parent_hash = parent.hash(self.node.digest)
        engine = self.node.consensus_at(parent_hash)
        claim = engine.claim(
            self.node.query_at(parent_hash), parent, slot, pvd.relay_parent_number, self.keypair
        )
        if claim is None:
            return None

        # MESSAGES
        fetched = self.messages.collect(relay_parent, parent, pvd.max_pov_size)

        answers = self._answers(relay_parent, pvd, parent_hash)

        # AUTHOR
        try:
            reader, proposal = self._propose(relay_parent, pvd, parent, claim, fetched, answers)
        except (InvalidBlock, SandboxError) as error:
            if not any(answer.item for _, answer in fetched) and not any(answer.item for answer in answers):
                raise
            # Messages must not stop us: a runtime that cannot take them builds its block without them.
            fetched = [
                (
                    source,
                    Fetched(None, f"the messages of {source} are left out: {error}")
                    if answer.item
                    else answer,
                )
                for source, answer in fetched
            ]
            answers = tuple(FetchedAnswer(answer.id, None, f"left out: {error}") for answer in answers)
            reader, proposal = self._propose(relay_parent, pvd, parent, claim, fetched, answers)
        self.pool = [refused.extrinsic for refused in proposal.refused if refused.is_future]
        sealed = engine.seal(proposal.block.header, self.keypair, self.node.digest)
        block = Block(sealed, proposal.block.extrinsics)

        # PROVE
        block_data = self._block_data(block, parent, pvd, proposal, reader)
        encoded = block_data.encode()
        pov = PoV(compress(encoded, BlobKind.POV, POV_BOMB_LIMIT) or encoded)
        commitments = self._commitments(block, parent_hash, pvd, proposal, block_data)
        return Collation(
            para_id=self.para_id,
            descriptor=self._descriptor(relay_parent, parent_hash, pvd, pov, commitments),
            commitments=commitments,
            pov=pov,
            pvd=pvd,
            block=block,
            block_data=block_data,
            proposal=proposal,
            relay_reads=reader.nodes(),
            fetched=tuple(fetched),
            answers=answers,
        )

    def _propose(
        self,
        relay_parent: bytes,
        pvd: PersistedValidationData,
        parent: Header,
        claim: Claim,
        fetched: Sequence[tuple[int, Fetched]],
        answers: Sequence[FetchedAnswer],
    ) -> tuple[RelayStateReader, Proposal]:
        """Build the unsealed block, with what was fetched; also gives the reader that recorded its relay reads."""
        reader = self.relay.relay_state_prover(relay_parent)
        parent_hash = parent.hash(self.node.digest)
        state = Externalities.recording(self.node.nodes, parent.state_root, self.node.layout)
        context = AuthoringContext(
            state, reader, commit_relay_reads=self.commit_relay_reads, version_of=self.node.version_of
        )
        proposal = propose(
            self.node.runtime_at(parent_hash),
            parent,
            claim.pre_digest,
            context,
            inherent_data(
                self.relay,
                self.para_id,
                relay_parent,
                pvd,
                claim=claim,
                items=tuple(answer.item for _, answer in fetched if answer.item is not None),
                answers=tuple(answer.item for answer in answers if answer.item is not None),
            ),
            self.pool,
            layout=self.node.layout,
            state_version=self.node.version_at(parent_hash).state_version,
            max_pov_size=pvd.max_pov_size,
        )
        return reader, proposal

    def _block_data(
        self,
        block: Block,
        parent: Header,
        pvd: PersistedValidationData,
        proposal: Proposal,
        reader: RelayStateReader,
    ) -> ParachainBlockData:
        """The payload of the PoV, in the container that the validation function takes."""
        parent_hash = parent.hash(self.node.digest)
        proof = tuple(encode_compact_with_children(proposal.proof_nodes, parent.state_root, self.node.layout))
        additional_data = reader.additional_data()
        if self.commit_relay_reads and additional_data is not None:
            return ParachainBlockData(3, (block,), proof, (additional_data,))
        if self.node.version_at(parent_hash).has_api("CollectCollationInfo", 3):
            return ParachainBlockData(1, (block,), proof)
        return self._containers.choose(
            self.node.runtime_at(parent_hash), pvd, block, proof, proposal.proof_nodes
        )

    def _commitments(
        self,
        block: Block,
        parent_hash: bytes,
        pvd: PersistedValidationData,
        proposal: Proposal,
        block_data: ParachainBlockData,
    ) -> CandidateCommitments:
        """What the block says to the relay chain: the runtime's answer on the state after it."""
        version = dict(self.node.version_at(parent_hash).apis).get(COLLATION_API)
        runtime = self.node.runtime_at(parent_hash)
        if version is None:
            # Runtimes of before 2022 leave the outputs to whoever knows their storage; validators know them as well.
            return validate(runtime, pvd, block_data).to_commitments()
        store = ChainMap(proposal.changes.nodes, self.node.nodes)
        after = OffchainContext(FullBackend(store, proposal.changes.root, self.node.layout))
        function = "CollectCollationInfo_collect_collation_info"
        if version == 1:
            info = CollationInfoV1.decode(runtime.call(function, b"", after)).with_head(block.header.encode())
        else:
            info = CollationInfo.decode(runtime.call(function, block.header.encode(), after))
        return info.to_commitments()

    def _descriptor(
        self,
        relay_parent: bytes,
        parent_hash: bytes,
        pvd: PersistedValidationData,
        pov: PoV,
        commitments: CandidateCommitments,
    ) -> CandidateDescriptor:
        code_hash = self.node.runtime_at(parent_hash).code_hash
        erasure_root = self._erasure_root(relay_parent, pvd, pov)
        if not self.relay.accepts_v2_descriptors(relay_parent):
            return signed_descriptor(
                self.keypair, self.para_id, relay_parent, pvd, pov, commitments, erasure_root, code_hash
            )
        return CandidateDescriptorV2(
            para_id=self.para_id,
            relay_parent=relay_parent,
            version=0,
            core_index=self.relay.core_index(self.para_id) or 0,
            session_index=self.relay.session_index_for_child(relay_parent),
            reserved1=bytes(25),
            persisted_validation_data_hash=pvd.hash(),
            pov_hash=pov.hash(),
            erasure_root=erasure_root,
            reserved2=bytes(64),
            para_head=blake2_256(commitments.head_data),
            validation_code_hash=code_hash,
        )

    def _erasure_root(self, relay_parent: bytes, pvd: PersistedValidationData, pov: PoV) -> bytes:
        """The commitment to the chunks that the relay parent's validators will hold."""
        validators = self.relay.validators(relay_parent)
        return root_of_chunks(obtain_chunks(len(validators), AvailableData(pov, pvd)))

    # Queries.

    def _answers(
        self, relay_parent: bytes, pvd: PersistedValidationData, parent_hash: bytes
    ) -> tuple[FetchedAnswer, ...]:
        """What the runtime has asked and can be told in this block; nothing for a runtime that does not ask."""
        if not self.node.version_at(parent_hash).has_api("StateQueryApi", 1):
            return ()
        open_queries = _open_queries.decode(self.node.call("StateQueryApi_open_queries", b"", parent_hash))
        by_source: dict[int, list[tuple[int, Query]]] = {}
        fetched: list[FetchedAnswer] = []
        for query_id, query in open_queries:
            if query.source is not None:
                by_source.setdefault(query.source, []).append((query_id, query))
                continue
            root = pvd.relay_parent_storage_root
            fetched.append(
                fetch_relay_answer(query_id, query, self.relay, relay_parent, root, self.query_limits)
            )
        for para_id, asked in by_source.items():
            fetched += self._answers_of(para_id, asked, relay_parent)
        fetched.sort(key=lambda answer: answer.id)
        return answers_that_fit(fetched, pvd.max_pov_size // 6, self.query_limits)

    def _answers_of(
        self, para_id: int, asked: Sequence[tuple[int, Query]], relay_parent: bytes
    ) -> list[FetchedAnswer]:
        """Of one sibling, at the head that the relay parent's state has of it."""
        source = self.query_sources.get(para_id)
        head = self._sibling_head(para_id, relay_parent)
        if source is None or isinstance(head, str):
            problem = head if isinstance(head, str) else f"no node of {para_id} to ask"
            return [FetchedAnswer(query_id, None, problem) for query_id, _ in asked]
        return source.fetch_all(asked, head, self.fetch_deadline)

    def _sibling_head(self, para_id: int, relay_parent: bytes) -> Header | str:
        """The head that the relay parent's state has, or why there is none."""
        raw = self.relay.get_storage_by_key(relay_parent, relay_keys.para_head(para_id))
        if raw is None:
            return f"the relay chain has no head of {para_id}"
        try:
            return Header.decode(byte_vec.decode(raw))
        except ScaleError as error:
            return f"the head of {para_id} is not a header: {error}"
