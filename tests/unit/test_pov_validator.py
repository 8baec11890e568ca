"""The checks around the validation function, with validation functions made for the purpose.

The Python runtime's own ``validate_block`` is tested elsewhere; here a scripted one does exactly what a test needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from host_functions.compressed_blob import compress
from host_functions.contexts import HostContext, ValidationContext
from host_functions.errors import GuestPanic, NoExternalities, StateUnavailable, WitnessMissing
from host_functions.interfaces import additional_data, storage
from host_functions.interfaces.relay_chain_state import read_relay_state
from host_functions.relay_state import RelayOwnState
from host_functions.state_machine.genesis import Storage, build_state
from pileus.testing import bit_flips, recommit
from pov_validator import (
    Abstain,
    AbstainReason,
    Carried,
    Invalid,
    InvalidReason,
    OwnState,
    RelayStateSource,
    Valid,
    Verdict,
    validate_candidate,
)
from runtime.primitives.additional_data import RELAY_PROOF_KEY, relay_proof_entry
from runtime.primitives.compressed_blob import BlobKind
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import (
    CandidateDescriptorV2,
    PersistedValidationData,
    PoV,
    ValidationParams,
    ValidationResult,
)
from runtime.primitives.parachain_block_data import ParachainBlockData
from runtime.trie.errors import MissingNode
from runtime.trie.layout import LAYOUT_V1
from runtime.trie.proof import create_proof

KEY = b"relay key"
VALUE = b"a value that is long enough to be stored apart from its trie node"
RELAY_STATE = {KEY: VALUE, b"relay kez": b"another", b"unrelated": b"x" * 100}
ROOT, NODES = build_state(Storage(RELAY_STATE))

Script = Callable[[ValidationParams], bytes]


class ScriptedRuntime:
    """A runtime whose ``validate_block`` is a Python function of the parameters."""

    code = b"scripted validation code"
    code_hash = blake2_256(code)

    def __init__(self, script: Script) -> None:
        self.script = script

    def call(self, entry_point: str, argument: bytes, context: HostContext) -> bytes:
        assert entry_point == "validate_block"
        with context.externalities():
            return self.script(ValidationParams.decode(argument))


class RelayNode:
    """A relay chain node that may have lost some of its state."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self.nodes = nodes

    def state_at(self, root: bytes) -> dict[bytes, bytes]:
        if root not in self.nodes:
            raise StateUnavailable(root)
        return self.nodes


def result(head: bytes, **changes: object) -> ValidationResult:
    return replace(ValidationResult(head, None, (), (), 0, 7), **changes)


def echo(params: ValidationParams) -> bytes:
    """The new head is a hash over all parameters."""
    return result(blake2_256(params.encode())).encode()


def reading(params: ValidationParams) -> bytes:
    """The new head says what the relay state holds under two keys, one of them absent."""
    head = repr((read_relay_state(KEY), read_relay_state(b"relay absent"))).encode()
    return result(head).encode()


PVD = PersistedValidationData(b"parent head", 7, ROOT, 10_000)
OWN = OwnState(RelayNode(NODES))


class Candidate:
    """A candidate that an honest collator made with a given validation function."""

    def __init__(self, script: Script, payload: bytes = b"payload", *, compressed: bool = False) -> None:
        self.runtime = ScriptedRuntime(script)
        packed = compress(payload, BlobKind.POV, 1 << 20) if compressed else payload
        assert packed is not None
        self.pov = PoV(packed)
        self.pvd = PVD
        params = ValidationParams(
            PVD.parent_head, payload, PVD.relay_parent_number, PVD.relay_parent_storage_root
        )
        head, commitments_hash = b"?", bytes(32)
        try:
            returned = ValidationResult.decode(self._run(params))
            head, commitments_hash = returned.head_data, returned.to_commitments().hash()
        except (
            Exception
        ):  # a script that fails has no result to commit to; the tests only need some descriptor
            pass
        self.commitments_hash = commitments_hash
        self.descriptor = CandidateDescriptorV2(
            para_id=2000,
            relay_parent=bytes(32),
            version=0,
            core_index=0,
            session_index=0,
            reserved1=bytes(25),
            persisted_validation_data_hash=PVD.hash(),
            pov_hash=self.pov.hash(),
            erasure_root=bytes(32),
            reserved2=bytes(64),
            para_head=blake2_256(head),
            validation_code_hash=ScriptedRuntime.code_hash,
        )

    def _run(self, params: ValidationParams) -> bytes:
        context = ValidationContext(RelayOwnState(OWN.node, ROOT))
        return self.runtime.call("validate_block", params.encode(), context)

    def judge(self, relay_state: RelayStateSource = OWN, **changes: object) -> Verdict:
        arguments = {
            "descriptor": self.descriptor,
            "commitments_hash": self.commitments_hash,
            "pov": self.pov,
            "pvd": self.pvd,
            "runtime": self.runtime,
            "relay_state": relay_state,
        }
        return validate_candidate(**{**arguments, **changes})  # type: ignore[arg-type]


def proof() -> tuple[bytes, ...]:
    """The nodes that `reading` touches."""
    return create_proof(NODES, ROOT, [KEY, b"relay absent"], LAYOUT_V1)


def payload_v3(*nodes: bytes) -> bytes:
    return ParachainBlockData(3, (), (), ({RELAY_PROOF_KEY: relay_proof_entry(ROOT, nodes)},)).encode()


def refused(verdict: Verdict, reason: InvalidReason) -> str:
    assert isinstance(verdict, Invalid), verdict
    assert verdict.reason is reason, verdict
    return verdict.detail


def abstains(verdict: Verdict, reason: AbstainReason) -> str:
    assert isinstance(verdict, Abstain), verdict
    assert verdict.reason is reason, verdict
    return verdict.detail


@pytest.mark.parametrize("compressed", [False, True])
def test_an_honest_candidate_is_valid(compressed: bool) -> None:
    candidate = Candidate(echo, compressed=compressed)
    verdict = candidate.judge()
    assert isinstance(verdict, Valid)
    assert verdict.commitments.hash() == candidate.commitments_hash
    assert verdict.result.to_commitments() == verdict.commitments


def test_the_first_fault_in_the_order_of_the_node_is_the_one_reported() -> None:
    """Each step makes one more thing wrong that is checked earlier."""
    candidate = Candidate(echo)
    descriptor = candidate.descriptor

    def judge(**changes: object) -> Verdict:
        return candidate.judge(**{"descriptor": descriptor, **changes})

    commitments_hash = bytes(32)
    refused(judge(commitments_hash=commitments_hash), InvalidReason.COMMITMENTS_HASH_MISMATCH)
    descriptor = replace(descriptor, para_head=bytes(32))
    refused(judge(commitments_hash=commitments_hash), InvalidReason.PARA_HEAD_HASH_MISMATCH)
    broken = PoV(BlobKind.POV.value + b"not zstd")
    descriptor = recommit(descriptor, broken)
    refused(judge(pov=broken), InvalidReason.POV_DECOMPRESSION_FAILURE)
    descriptor = replace(descriptor, persisted_validation_data_hash=bytes(32))
    refused(judge(pov=broken), InvalidReason.BAD_PARENT)
    refused(judge(pov=broken, registered_code_hash=bytes(32)), InvalidReason.CODE_HASH_MISMATCH)
    descriptor = replace(descriptor, pov_hash=bytes(32))
    refused(judge(pov=broken, registered_code_hash=bytes(32)), InvalidReason.POV_HASH_MISMATCH)
    too_large = PoV(bytes(PVD.max_pov_size - 1))
    refused(judge(pov=too_large, registered_code_hash=bytes(32)), InvalidReason.PARAMS_TOO_LARGE)


def test_the_size_limit_is_on_the_encoded_pov() -> None:
    largest = PoV(bytes(PVD.max_pov_size - 2))
    assert len(largest.encode()) == PVD.max_pov_size
    candidate = Candidate(echo, bytes(PVD.max_pov_size - 2))
    assert isinstance(candidate.judge(), Valid)
    refused(Candidate(echo, bytes(PVD.max_pov_size - 1)).judge(), InvalidReason.PARAMS_TOO_LARGE)


def test_a_pov_may_not_decompress_to_more_than_four_times_the_limit() -> None:
    assert isinstance(Candidate(echo, bytes(4 * PVD.max_pov_size), compressed=True).judge(), Valid)
    detail = refused(
        Candidate(echo, bytes(4 * PVD.max_pov_size + 1), compressed=True).judge(),
        InvalidReason.POV_DECOMPRESSION_FAILURE,
    )
    assert str(4 * PVD.max_pov_size) in detail


def test_missing_code_is_not_wrong_code() -> None:
    """A validator that lacks the code abstains; a descriptor that names other code than the para's is invalid."""
    candidate = Candidate(echo)
    abstains(candidate.judge(runtime=None), AbstainReason.VALIDATION_CODE_UNAVAILABLE)
    other = replace(candidate.descriptor, validation_code_hash=bytes(32))
    detail = abstains(candidate.judge(descriptor=other), AbstainReason.VALIDATION_CODE_UNAVAILABLE)
    assert bytes(32).hex() in detail
    refused(
        candidate.judge(descriptor=other, registered_code_hash=ScriptedRuntime.code_hash),
        InvalidReason.CODE_HASH_MISMATCH,
    )
    assert isinstance(candidate.judge(registered_code_hash=ScriptedRuntime.code_hash), Valid)


def raising(error: BaseException) -> Script:
    def script(_: ValidationParams) -> bytes:
        raise error

    return script


@pytest.mark.parametrize(
    "error",
    [
        GuestPanic("validate_block", "KeyError: 3"),
        InvalidBlock("bad state root"),
        ScaleError("input ended", what="Header"),
        MissingNode(bytes(32), b"key"),
        WitnessMissing(b"key", bytes(32)),
    ],
)
def test_a_guest_that_fails_makes_the_candidate_invalid(error: Exception) -> None:
    detail = refused(Candidate(raising(error)).judge(), InvalidReason.EXECUTION_ERROR)
    assert str(error) in detail


def test_a_function_no_validator_provides_is_a_panic() -> None:
    """Polkadot links missing imports as stubs that trap; storage is the one every blob imports."""
    verdict = Candidate(lambda params: storage.get(b"key") or b"").judge()
    assert "ext_storage_get_version_1" in refused(verdict, InvalidReason.EXECUTION_ERROR)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(5, "input/output error"),
        RecursionError("too deep"),
        NoExternalities("ext_x"),
        KeyError(1),
    ],
)
def test_a_failing_host_abstains(error: Exception) -> None:
    abstains(Candidate(raising(error)).judge(), AbstainReason.HOST_FAILURE)


def test_an_interrupt_is_not_a_verdict() -> None:
    with pytest.raises(KeyboardInterrupt):
        Candidate(raising(KeyboardInterrupt())).judge()


@pytest.mark.parametrize("returned", [b"", b"\xff" * 40, result(b"head").encode() + b"\x00"])
def test_bytes_that_are_no_result_are_a_bad_return(returned: bytes) -> None:
    refused(Candidate(lambda _: returned).judge(), InvalidReason.BAD_RETURN)


def test_outputs_have_absolute_limits() -> None:
    head = bytes(1024 * 1024)
    assert isinstance(Candidate(lambda _: result(head).encode()).judge(), Valid)
    refused(Candidate(lambda _: result(head + b"x").encode()).judge(), InvalidReason.INVALID_OUTPUTS)


class TestRelayState:
    """Where relay state comes from, and what it means when it does not come."""

    def test_own_state_answers(self) -> None:
        verdict = Candidate(reading).judge(OWN)
        assert isinstance(verdict, Valid)
        assert verdict.result.head_data == repr((VALUE, None)).encode()

    def test_a_carried_proof_gives_the_same_result(self) -> None:
        candidate = Candidate(reading, payload_v3(*proof()))
        own, carried = candidate.judge(OWN), candidate.judge(Carried())
        assert isinstance(own, Valid)
        assert own == carried

    def test_pruned_state_abstains(self) -> None:
        pruned = OwnState(RelayNode({}))
        detail = abstains(Candidate(reading).judge(pruned), AbstainReason.RELAY_STATE_UNAVAILABLE)
        assert ROOT.hex() in detail

    def test_pruned_state_does_not_matter_to_who_does_not_read_it(self) -> None:
        assert isinstance(Candidate(echo).judge(OwnState(RelayNode({}))), Valid)
        assert isinstance(Candidate(echo).judge(Carried()), Valid)

    def test_carried_after_pruning_is_valid(self) -> None:
        candidate = Candidate(reading, payload_v3(*proof()))
        abstains(candidate.judge(OwnState(RelayNode({}))), AbstainReason.RELAY_STATE_UNAVAILABLE)
        assert isinstance(candidate.judge(Carried()), Valid)

    @pytest.mark.parametrize("missing", sorted(NODES))
    def test_a_damaged_database_never_makes_a_candidate_invalid(self, missing: bytes) -> None:
        damaged = {hash_: node for hash_, node in NODES.items() if hash_ != missing}
        verdict = Candidate(reading).judge(OwnState(RelayNode(damaged)))
        assert isinstance(verdict, Valid) or (
            isinstance(verdict, Abstain) and verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE
        )

    @pytest.mark.parametrize("broken", sorted(NODES))
    def test_a_database_with_flipped_bits_never_makes_a_candidate_invalid(self, broken: bytes) -> None:
        for _, flipped in bit_flips(NODES[broken]):
            verdict = Candidate(reading).judge(OwnState(RelayNode({**NODES, broken: flipped})))
            assert isinstance(verdict, Valid) or (
                isinstance(verdict, Abstain) and verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE
            )

    def test_a_node_error_that_is_not_ours_is_a_host_failure(self) -> None:
        class Failing(RelayNode):
            def state_at(self, root: bytes) -> dict[bytes, bytes]:
                raise OSError(5, "input/output error")

        abstains(Candidate(reading).judge(OwnState(Failing({}))), AbstainReason.HOST_FAILURE)

    @pytest.mark.parametrize("dropped", range(4))
    def test_a_proof_that_misses_a_node_is_invalid_and_never_absence(self, dropped: int) -> None:
        nodes = proof()
        if dropped >= len(nodes):
            pytest.skip("the proof is smaller")
        candidate = Candidate(reading, payload_v3(*(node for node in nodes if node != nodes[dropped])))
        refused(candidate.judge(Carried()), InvalidReason.RELAY_WITNESS_MISSING)

    @pytest.mark.parametrize("payload", [b"payload", payload_v3(), payload_v3()[:-1]])
    def test_a_candidate_that_carries_nothing_can_read_nothing(self, payload: bytes) -> None:
        refused(Candidate(reading, payload).judge(Carried()), InvalidReason.RELAY_WITNESS_MISSING)

    def test_the_root_in_the_pov_is_never_trusted(self) -> None:
        forged_root, forged = build_state(Storage({**RELAY_STATE, KEY: b"forged"}))
        entry = relay_proof_entry(forged_root, create_proof(forged, forged_root, [KEY], LAYOUT_V1))
        payload = ParachainBlockData(3, (), (), ({RELAY_PROOF_KEY: entry},)).encode()
        refused(Candidate(reading, payload).judge(Carried()), InvalidReason.RELAY_WITNESS_MISSING)

    def test_a_guest_cannot_swallow_the_failure(self) -> None:
        """Otherwise a guess would become a verdict about the candidate."""

        def guessing(params: ValidationParams) -> bytes:
            try:
                head = read_relay_state(KEY)
            except Exception:
                head = b"a guess"
            try:
                read_relay_state(b"unrelated")
            except Exception:
                pass
            return result(head or b"").encode()

        candidate = Candidate(guessing)
        assert isinstance(candidate.judge(OWN), Valid)
        abstains(candidate.judge(OwnState(RelayNode({}))), AbstainReason.RELAY_STATE_UNAVAILABLE)
        refused(candidate.judge(Carried()), InvalidReason.RELAY_WITNESS_MISSING)

    def test_reads_are_committed_exactly_when_the_pov_is_version_3(self) -> None:
        def committing(params: ValidationParams) -> bytes:
            read_relay_state(KEY)
            return result(additional_data.finalize() or b"nothing").encode()

        committed: list[bytes] = []
        for payload, source in [
            (payload_v3(*proof()), OWN),
            (payload_v3(*proof()), Carried()),
            (b"payload", OWN),
        ]:
            candidate = Candidate(committing, payload)
            returned: list[bytes] = []

            def script(params: ValidationParams, seen: list[bytes] = returned) -> bytes:
                seen.append(committing(params))
                return seen[0]

            candidate.judge(source, runtime=ScriptedRuntime(script))
            committed.append(ValidationResult.decode(returned[0]).head_data)
        assert committed[0] == committed[1] != b"nothing"
        assert len(committed[0]) == 32
        assert committed[2] == b"nothing"


@pytest.mark.parametrize("source", [OWN, Carried()], ids=["own", "carried"])
def test_no_flipped_bit_of_a_committed_pov_is_valid_with_another_result(source: RelayStateSource) -> None:
    candidate = Candidate(reading, payload_v3(*proof()))
    honest = candidate.judge(source)
    assert isinstance(honest, Valid)
    for _, flipped in bit_flips(candidate.pov.block_data):
        pov = PoV(flipped)
        verdict = candidate.judge(source, pov=pov, descriptor=recommit(candidate.descriptor, pov))
        assert not isinstance(verdict, Valid) or verdict == honest
        assert not isinstance(verdict, Abstain)


def test_flipped_bits_without_recommitment_stop_at_the_hash() -> None:
    candidate = Candidate(echo)
    for _, flipped in bit_flips(candidate.pov.block_data):
        refused(candidate.judge(pov=PoV(flipped)), InvalidReason.POV_HASH_MISMATCH)
