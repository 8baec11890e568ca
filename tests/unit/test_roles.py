"""Each role with exactly its inputs: what it can tell from them, and that it says nothing where it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from host_functions.contexts import HostContext
from host_functions.errors import DeadlineExceeded, StateUnavailable
from host_functions.interfaces.relay_chain_state import read_relay_state
from host_functions.relay_state import RelayStateReader
from host_functions.state_machine.genesis import Storage, build_state
from pov_validator import (
    Abstain,
    AbstainReason,
    Carried,
    Fallback,
    Invalid,
    InvalidReason,
    OwnState,
    RelayStateSource,
    Valid,
)
from pov_validator.erasure import ErasureChunk, erasure_chunks, obtain_chunks
from pov_validator.pvf import ExecKind, PvfRuntime
from pov_validator.roles import (
    Judgement,
    Recovery,
    RelayParentFacts,
    Role,
    judge_as_approval_checker,
    judge_as_backer,
    judge_as_collator,
    judge_as_dispute_participant,
    judge_as_full_node,
)
from runtime.primitives.additional_data import RELAY_PROOF_KEY, hash_commitments, relay_proof_entry
from runtime.primitives.block import Block
from runtime.primitives.digest import AdditionalData, RelayParentStorageRoot
from runtime.primitives.errors import InvalidBlock
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.parachain import (
    AvailableData,
    CandidateCommitments,
    CandidateDescriptorV2,
    CandidateReceipt,
    CommittedCandidateReceipt,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
)
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

KEY = b"relay key"
ABSENT = b"relay absent"
ROOT, NODES = build_state(Storage({KEY: b"v" * 50, b"relay kez": b"another", b"unrelated": b"x" * 100}))
PVD = PersistedValidationData(b"parent head", 7, ROOT, 100_000)
VALIDATORS = 7


class Node:
    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self.nodes = nodes

    def state_at(self, root: bytes) -> dict[bytes, bytes]:
        if root not in self.nodes:
            raise StateUnavailable(root)
        return self.nodes


FULL, PRUNED = Node(NODES), Node({})


class Reading:
    """A validation function that reads two relay keys, one of them absent, and says in its head what they hold."""

    code = b"reading"
    code_hash = blake2_256(code)

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        params = ValidationParams.decode(argument)
        with context.externalities():
            if params.block_data == b"panic":
                raise InvalidBlock("panicked")
            return result(outputs(read_relay_state(KEY), read_relay_state(ABSENT))).encode()


def outputs(*values: bytes | None) -> CandidateCommitments:
    return CandidateCommitments((), (), None, repr(values).encode(), 0, 7)


def result(commitments: CandidateCommitments) -> ValidationResult:
    return ValidationResult(commitments.head_data, None, (), (), 0, 7)


COMMITMENTS = outputs(b"v" * 50, None)
CODES = {Reading.code_hash: Reading()}
PROOF = create_proof(NODES, ROOT, [KEY, ABSENT], LAYOUT_V1)
FACTS = RelayParentFacts(session_index=3, code_hash=Reading.code_hash, cores=(1,), validators=VALIDATORS)


def payload(nodes: Iterable[bytes] = PROOF) -> bytes:
    entry = relay_proof_entry(ROOT, sorted(nodes))
    return ParachainBlockData(3, (), (), ({RELAY_PROOF_KEY: entry},)).encode()


def candidate(block_data: bytes, **changes: object) -> CommittedCandidateReceipt:
    pov = PoV(block_data)
    root, _ = erasure_chunks(obtain_chunks(VALIDATORS, AvailableData(pov, PVD)))
    descriptor = CandidateDescriptorV2(
        para_id=2000,
        relay_parent=bytes(32),
        version=0,
        core_index=1,
        session_index=3,
        reserved1=bytes(25),
        persisted_validation_data_hash=PVD.hash(),
        pov_hash=pov.hash(),
        erasure_root=root,
        reserved2=bytes(64),
        para_head=blake2_256(COMMITMENTS.head_data),
        validation_code_hash=Reading.code_hash,
    )
    return CommittedCandidateReceipt(replace(descriptor, **changes), COMMITMENTS)  # type: ignore[arg-type]


def chunks_of(block_data: bytes) -> tuple[ErasureChunk, ...]:
    return erasure_chunks(obtain_chunks(VALIDATORS, AvailableData(PoV(block_data), PVD)))[1]


def back(block_data: bytes, source: RelayStateSource, **changes: object) -> Judgement:
    return judge_as_backer(candidate(block_data, **changes), PoV(block_data), PVD, CODES, source, FACTS)


def check(block_data: bytes, source: RelayStateSource) -> Judgement:
    receipt = candidate(block_data).to_plain()
    return judge_as_approval_checker(receipt, Recovery(VALIDATORS, chunks_of(block_data)), CODES, source)


def reason(judgement: Judgement) -> InvalidReason | AbstainReason | None:
    return judgement.verdict.reason if isinstance(judgement.verdict, Invalid | Abstain) else None


@pytest.mark.parametrize(
    "block_data, source, expected",
    [
        (b"plain", OwnState(FULL), None),
        (b"plain", OwnState(PRUNED), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (b"plain", Carried(), InvalidReason.RELAY_WITNESS_MISSING),
        (b"plain", Fallback(FULL), None),
        (b"plain", Fallback(PRUNED), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (payload(), OwnState(FULL), None),
        (payload(), OwnState(PRUNED), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (payload(), Carried(), None),
        (payload(), Fallback(FULL), None),
        (payload(), Fallback(PRUNED), None),
        (payload(PROOF[1:]), Carried(), InvalidReason.RELAY_WITNESS_MISSING),
        (payload(PROOF[1:]), Fallback(FULL), InvalidReason.RELAY_WITNESS_MISSING),
        (payload(PROOF[1:]), Fallback(PRUNED), InvalidReason.RELAY_WITNESS_MISSING),
        (payload(()), Fallback(FULL), InvalidReason.RELAY_WITNESS_MISSING),
        (payload(()), Fallback(PRUNED), InvalidReason.RELAY_WITNESS_MISSING),
        (b"panic", Fallback(PRUNED), InvalidReason.EXECUTION_ERROR),
    ],
)
@pytest.mark.parametrize("judge", [back, check])
def test_who_has_what_decides_who_can_tell(
    judge: object, block_data: bytes, source: RelayStateSource, expected: object
) -> None:
    judgement = judge(block_data, source)  # type: ignore[operator]
    assert reason(judgement) is expected, judgement.verdict


def test_a_hole_in_a_proof_that_the_validator_does_not_need_is_a_hole() -> None:
    """This validation function does not check the commitment; the host does, so that no two validators differ."""
    for left_out in range(len(PROOF)):
        damaged = payload(PROOF[:left_out] + PROOF[left_out + 1 :])
        verdicts = {reason(back(damaged, source)) for source in (Carried(), Fallback(FULL), Fallback(PRUNED))}
        assert verdicts == {InvalidReason.RELAY_WITNESS_MISSING}


def test_a_half_pruned_or_damaged_database_falls_back_node_by_node() -> None:
    for lost in PROOF:
        for damaged in ({}, {blake2_256(lost): b"\x00damaged"}):
            node = Node({key: value for key, value in NODES.items() if value != lost} | damaged)
            if blake2_256(lost) != ROOT:
                assert reason(back(payload(), OwnState(node))) is AbstainReason.RELAY_STATE_UNAVAILABLE
            judgement = back(payload(), Fallback(node))
            assert isinstance(judgement.verdict, Valid)
            assert judgement.reads.fell_back


def test_a_judgement_says_what_it_took() -> None:
    judgement = back(payload(), Fallback(FULL))
    assert judgement.role is Role.BACKER
    assert judgement.pov_bytes == len(PoV(payload()).encode())
    assert judgement.relay_proof_bytes == len(relay_proof_entry(ROOT, PROOF))
    assert judgement.reads.count == 2
    assert judgement.reads.values == {KEY: b"v" * 50, ABSENT: None}
    assert judgement.reads.nodes == tuple(sorted(PROOF))
    assert judgement.reads.node_bytes == sum(map(len, PROOF))
    assert not judgement.reads.fell_back
    own = check(b"plain", OwnState(FULL))
    assert (own.role, own.relay_proof_bytes, own.reads.keys) == (Role.APPROVAL_CHECKER, 0, (KEY, ABSENT))


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"session_index": 4}, InvalidReason.INVALID_SESSION_INDEX),
        ({"core_index": 0}, InvalidReason.INVALID_UMP_SIGNALS),
        ({"erasure_root": bytes(32)}, InvalidReason.ERASURE_ROOT_MISMATCH),
        ({"validation_code_hash": bytes(32)}, InvalidReason.CODE_HASH_MISMATCH),
    ],
)
def test_a_backer_knows_the_relay_parent_and_the_others_do_not(
    changes: dict[str, object], expected: InvalidReason
) -> None:
    assert reason(back(b"plain", OwnState(FULL), **changes)) is expected
    receipt = candidate(b"plain", **changes).to_plain()
    later = judge_as_dispute_participant(
        receipt, Recovery(VALIDATORS, chunks_of(b"plain")), CODES, OwnState(FULL)
    )
    assert later.role is Role.DISPUTE_PARTICIPANT
    assert not isinstance(later.verdict, Invalid)


@pytest.mark.parametrize(
    "claim_queue, expected",
    [
        (None, None),
        ({0: (1,)}, None),
        ({0: (2,)}, InvalidReason.INVALID_UMP_SIGNALS),
        ({}, InvalidReason.INVALID_UMP_SIGNALS),
    ],
)
def test_an_empty_claim_queue_is_not_an_unknown_one(
    claim_queue: dict[int, tuple[int, ...]] | None, expected: InvalidReason | None
) -> None:
    facts = replace(FACTS, claim_queue=claim_queue)
    judgement = judge_as_backer(candidate(b"plain"), PoV(b"plain"), PVD, CODES, OwnState(FULL), facts)
    assert reason(judgement) is expected


def recover_from(receipt: CandidateReceipt, validators: int | None, chunks: Iterable[ErasureChunk]) -> object:
    return reason(judge_as_approval_checker(receipt, Recovery(validators, chunks), CODES, OwnState(FULL)))


def test_two_of_seven_chunks_are_too_few_and_that_is_nobodys_fault() -> None:
    receipt, chunks = candidate(b"plain").to_plain(), chunks_of(b"plain")
    assert recover_from(receipt, VALIDATORS, chunks[4:]) is None
    assert recover_from(receipt, VALIDATORS, chunks[5:]) is AbstainReason.AVAILABLE_DATA_UNAVAILABLE
    assert recover_from(receipt, VALIDATORS, ()) is AbstainReason.AVAILABLE_DATA_UNAVAILABLE
    assert recover_from(receipt, None, chunks) is AbstainReason.SESSION_INFO_UNAVAILABLE
    assert recover_from(receipt, 1, chunks) is AbstainReason.AVAILABLE_DATA_UNAVAILABLE


def test_wrong_chunks_are_ignored_however_many_they_are() -> None:
    receipt, chunks = candidate(b"plain").to_plain(), chunks_of(b"plain")
    foreign = chunks_of(b"other")
    flipped = tuple(ErasureChunk(c.index, bytes([c.chunk[0] ^ 1]) + c.chunk[1:], c.proof) for c in chunks)
    moved = tuple(ErasureChunk(c.index ^ 1, c.chunk, c.proof) for c in chunks)
    outside = tuple(ErasureChunk(c.index + (1 << 40), c.chunk, c.proof) for c in chunks)
    for wrong in (foreign, flipped, moved, outside):
        assert recover_from(receipt, VALIDATORS, wrong) is AbstainReason.AVAILABLE_DATA_UNAVAILABLE
        assert recover_from(receipt, VALIDATORS, (*wrong, *chunks[:3])) is None
        assert recover_from(receipt, VALIDATORS, chunks[:1] * 9) is AbstainReason.AVAILABLE_DATA_UNAVAILABLE


def test_a_root_over_chunks_that_are_no_encoding_is_the_backers_fault() -> None:
    """Whichever chunks are recovered from: honest checkers agree that the candidate is invalid."""
    honest = obtain_chunks(VALIDATORS, AvailableData(PoV(b"plain"), PVD))
    for changed in range(VALIDATORS):
        bad = list(honest)
        bad[changed] = bytes(byte ^ 0xFF for byte in bad[changed])
        root, chunks = erasure_chunks(bad)
        receipt = candidate(b"plain", erasure_root=root).to_plain()
        for first in range(VALIDATORS):
            rotated = chunks[first:] + chunks[:first]
            assert recover_from(receipt, VALIDATORS, rotated) is InvalidReason.AVAILABLE_DATA_INVALID


class TestCollator:
    def test_it_authored(self) -> None:
        class Collation:
            commitments = COMMITMENTS
            pov = PoV(payload())
            relay_reads = PROOF

        judgement = judge_as_collator(Collation)
        assert judgement.role is Role.COLLATOR
        assert isinstance(judgement.verdict, Valid)
        assert judgement.verdict.result == result(COMMITMENTS)
        assert judgement.pov_bytes == len(PoV(payload()).encode())
        assert judgement.reads.nodes == PROOF
        assert judgement.reads.count is None

    @pytest.mark.parametrize(
        "error, expected",
        [
            (StateUnavailable(ROOT), AbstainReason.RELAY_STATE_UNAVAILABLE),
            (InvalidBlock("bad inherent"), InvalidReason.EXECUTION_ERROR),
            (MemoryError(), AbstainReason.HOST_FAILURE),
        ],
    )
    def test_it_could_not(self, error: Exception, expected: object) -> None:
        def author() -> None:
            raise error

        assert reason(judge_as_collator(author)) is expected

    def test_it_is_not_its_turn(self) -> None:
        assert reason(judge_as_collator(lambda: None)) is AbstainReason.NOT_ITS_TURN


def block_with(data: dict[str, bytes] | None) -> Block:
    digest = [RelayParentStorageRoot(ROOT, 7).to_digest_item()]
    commitment = hash_commitments(data or {})
    if commitment is not None:
        digest.append(AdditionalData(commitment))  # type: ignore[arg-type]
    return Block(Header(bytes(32), 1, bytes(32), bytes(32), tuple(digest)), ())


def execute(reader: RelayStateReader) -> CandidateCommitments:
    return outputs(reader.read(KEY), reader.read(ABSENT))


DATA = {RELAY_PROOF_KEY: relay_proof_entry(ROOT, sorted(PROOF))}
LESS = {RELAY_PROOF_KEY: relay_proof_entry(ROOT, sorted(PROOF)[1:])}


@pytest.mark.parametrize(
    "committed, synced, source, expected",
    [
        (DATA, DATA, Carried(), None),
        (DATA, DATA, OwnState(FULL), None),
        (DATA, DATA, Fallback(PRUNED), None),
        (DATA, DATA, OwnState(PRUNED), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (DATA, None, Carried(), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (DATA, None, OwnState(FULL), None),
        (DATA, None, Fallback(FULL), None),
        (DATA, None, Fallback(PRUNED), AbstainReason.RELAY_STATE_UNAVAILABLE),
        (DATA, LESS, Carried(), InvalidReason.EXECUTION_ERROR),
        (DATA, LESS, OwnState(FULL), InvalidReason.EXECUTION_ERROR),
        (None, DATA, Carried(), InvalidReason.EXECUTION_ERROR),
        (LESS, LESS, Carried(), InvalidReason.RELAY_WITNESS_MISSING),
        (LESS, LESS, Fallback(FULL), InvalidReason.RELAY_WITNESS_MISSING),
        (None, None, OwnState(FULL), None),
        (None, None, Carried(), AbstainReason.RELAY_STATE_UNAVAILABLE),
    ],
)
def test_a_syncing_full_node(
    committed: dict[str, bytes] | None,
    synced: dict[str, bytes] | None,
    source: RelayStateSource,
    expected: object,
) -> None:
    judgement = judge_as_full_node(block_with(committed), synced, execute, source)
    assert reason(judgement) is expected, judgement.verdict
    assert judgement.role is Role.FULL_NODE
    assert judgement.pov_bytes is None
    if expected is None:
        assert isinstance(judgement.verdict, Valid)
        assert judgement.verdict.commitments == COMMITMENTS
        assert judgement.reads.count == 2


def test_a_full_node_finds_a_bad_block() -> None:
    def refuse(reader: RelayStateReader) -> CandidateCommitments:
        raise InvalidBlock("bad")

    judgement = judge_as_full_node(block_with(None), None, refuse, OwnState(FULL))
    assert reason(judgement) is InvalidReason.EXECUTION_ERROR


def test_a_node_that_gives_up_waiting_says_nothing_about_the_block() -> None:
    """Only validators have a time limit that is part of the rules."""

    def slow(*reader: RelayStateReader) -> CandidateCommitments:
        raise DeadlineExceeded("Core_execute_block", 2.0)

    judged = [
        judge_as_full_node(block_with(None), None, slow, OwnState(FULL)),
        judge_as_collator(slow),  # type: ignore[arg-type]
    ]
    assert [reason(judgement) for judgement in judged] == [AbstainReason.HOST_FAILURE] * 2


def test_a_backer_is_in_a_hurry_and_the_others_are_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In worker processes the later roles have the longer deadline, and a second try."""
    kinds: list[ExecKind] = []

    def call(self: PvfRuntime, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        kinds.append(self.kind)
        return Reading().call(entry_point, argument, context)

    monkeypatch.setattr(PvfRuntime, "call", call)
    codes = {Reading.code_hash: PvfRuntime(Reading.code)}
    receipt = candidate(b"plain")
    judged = [
        judge_as_backer(receipt, PoV(b"plain"), PVD, codes, OwnState(FULL), FACTS),
        *(
            judge(receipt.to_plain(), Recovery(VALIDATORS, chunks_of(b"plain")), codes, OwnState(FULL))
            for judge in (judge_as_approval_checker, judge_as_dispute_participant)
        ),
    ]
    assert all(isinstance(judgement.verdict, Valid) for judgement in judged)
    assert kinds == [ExecKind.BACKING, ExecKind.APPROVAL, ExecKind.APPROVAL]
